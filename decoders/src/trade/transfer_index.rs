//! What moved in one transaction: tokens and payments, so that a sale can be paired with both.

use std::ops::Range;

use alloy_primitives::{Address, U256};
use rustc_hash::{FxHashMap, FxHashSet};
use smallvec::SmallVec;

use crate::block::Log;
use crate::fact::{Standard, Transfer};
use crate::log_reader::Reader;
use crate::roster::Roster;
use crate::signatures::TRANSFER;

/// One token transferred.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Movement {
    pub(crate) log_index: u32,
    pub(crate) contract: Address,
    pub(crate) token: U256,
    pub(crate) from: Address,
    pub(crate) to: Address,
    pub(crate) quantity: U256,
    pub(crate) standard: Standard,
}

/// One ERC-20 amount transferred.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Payment {
    pub(crate) log_index: u32,
    pub(crate) currency: Address,
    pub(crate) from: Address,
    pub(crate) to: Address,
    pub(crate) amount: U256,
}

/// How often a token is followed in one transaction; where it moves more often, the rest is no evidence.
///
/// Every sale looks through the movements of its token, and both are as many as the sender of the transaction likes.
const MAX_MOVEMENTS: usize = 1_024;

/// The movements and payments of one transaction, each in log order.
#[derive(Debug, Default)]
pub(crate) struct TransferIndex {
    movements: Vec<Movement>,
    /// Where the movements of each token stand among all.
    transfers_of: FxHashMap<(Address, U256), SmallVec<[usize; 2]>>,
    payments: Vec<Payment>,
}

impl TransferIndex {
    /// The transfer index of a transaction's logs and of the transfers decoded from them.
    ///
    /// Ranges are left out ([`Decoder::ranges`](crate::decoder::Decoder)). Transfers of nothing are left out too: anybody can emit them in anybody's name.
    pub(crate) fn of(roster: &Roster, logs: &[Log], transfers: &[Transfer]) -> Self {
        let single = transfers
            .iter()
            .filter(|transfer| !roster.emits_ranges(transfer.source));
        let mut movements: Vec<Movement> = single.map(Movement::of).collect();
        movements.sort_by_key(|movement| movement.log_index);
        let mut transfers_of: FxHashMap<(Address, U256), SmallVec<[usize; 2]>> = FxHashMap::default();
        for (index, movement) in movements.iter().enumerate() {
            let places = transfers_of.entry((movement.contract, movement.token)).or_default();
            // Beyond that only this token loses its evidence; the others keep theirs.
            if places.len() < MAX_MOVEMENTS {
                places.push(index);
            }
        }
        // A contract whose tokens moved in this transaction is no currency, though an early token emits the log of one.
        let tokens: FxHashSet<Address> = movements.iter().map(|movement| movement.contract).collect();
        let payments = logs
            .iter()
            .filter(|log| !tokens.contains(&log.address))
            .filter_map(Payment::read)
            .collect();
        TransferIndex {
            movements,
            transfers_of,
            payments,
        }
    }

    /// All movements.
    pub(crate) fn all_movements(&self) -> &[Movement] {
        &self.movements
    }

    /// The movements by logs in `window`.
    pub(crate) fn movements(&self, window: Range<u32>) -> &[Movement] {
        let place = |index| self.movements.partition_point(|movement| movement.log_index < index);
        &self.movements[place(window.start)..place(window.end.max(window.start))]
    }

    /// The payments by logs in `window`.
    pub(crate) fn payments(&self, window: Range<u32>) -> &[Payment] {
        let place = |index| self.payments.partition_point(|payment| payment.log_index < index);
        &self.payments[place(window.start)..place(window.end.max(window.start))]
    }

    /// The payments by logs in `window` that make up `price`, in order: by one hand, the last of them to `seller`.
    pub(crate) fn shares(
        &self,
        window: Range<u32>,
        currency: Address,
        price: U256,
        seller: Address,
    ) -> Option<Vec<Payment>> {
        let payments = self.payments(window);
        let last = payments
            .iter()
            .rposition(|payment| (payment.currency, payment.to) == (currency, seller))?;
        let payer = payments[last].from;
        let by_payer = |payment: &&Payment| (payment.currency, payment.from) == (currency, payer);
        // Backwards from the seller's part: fees are paid before it, and where they begin is known by the sum alone.
        let mut missing = price;
        let mut shares = Vec::new();
        for payment in payments[..=last].iter().rev().filter(by_payer) {
            missing = missing.checked_sub(payment.amount)?;
            shares.push(*payment);
            if missing.is_zero() {
                shares.reverse();
                return Some(shares);
            }
        }
        None
    }

    /// The movements of one token, each with its place among all.
    pub(crate) fn transfers_of(
        &self,
        contract: Address,
        token: U256,
    ) -> impl DoubleEndedIterator<Item = (usize, &Movement)> {
        let places = self.places(contract, token).iter();
        places.map(|index| (*index, &self.movements[*index]))
    }

    /// The movements of one token by logs in `window`.
    pub(crate) fn transfers_of_token_in(
        &self,
        contract: Address,
        token: U256,
        window: Range<u32>,
    ) -> impl DoubleEndedIterator<Item = &Movement> {
        let places = self.places(contract, token);
        let place = |log_index| places.partition_point(|index| self.movements[*index].log_index < log_index);
        let places = &places[place(window.start)..place(window.end.max(window.start))];
        places.iter().map(|index| &self.movements[*index])
    }

    fn places(&self, contract: Address, token: U256) -> &[usize] {
        let places = self.transfers_of.get(&(contract, token));
        places.map_or(&[][..], SmallVec::as_slice)
    }
}

impl Movement {
    fn of(transfer: &Transfer) -> Self {
        Movement {
            log_index: transfer.log_index,
            contract: transfer.contract,
            token: transfer.token,
            from: transfer.from,
            to: transfer.to,
            quantity: transfer.quantity,
            standard: transfer.standard,
        }
    }
}

impl Payment {
    /// The payment `log` emits, if it is an ERC-20 `Transfer` of something.
    fn read(log: &Log) -> Option<Self> {
        if log.topic0() != Some(&TRANSFER) || log.topics.len() != 3 || log.data.len() != 32 {
            return None;
        }
        let mut reader = Reader::new(log);
        let amount = U256::from_be_slice(&log.data);
        (!amount.is_zero()).then(|| Payment {
            log_index: log.log_index,
            currency: log.address,
            from: reader.topic_address(1),
            to: reader.topic_address(2),
            amount,
        })
    }
}
