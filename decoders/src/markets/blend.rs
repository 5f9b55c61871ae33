//! Blend, Blur's lending contract, as far as it sells (decoding specification, section 4.8; its verified source).
//!
//! `BuyLocked` sells a token out of a loan and states no price. The buyer's money comes from the Blur Pool: the seller's fees before the
//! repaid loan and the sale are emitted, the lender and then the seller after. If the buyer borrows on the token at once, which
//! the next log shows, the buyer's lender funds part of it. The old lender's part is repaid debt.

use std::ops::Range;

use alloy_primitives::{Address, B256, U256, address, b256};

use crate::block::Log;
use crate::chains;
use crate::decoder::{Claim, Decoder};
use crate::events::Events;
use crate::fact::{Closing, FeeKind, Nonces, PriceAllocation, Side, flag};
use crate::log_reader::{DecodeError, Reader, uint, words};
use crate::trade::orders::revoked;
use crate::trade::transfer_index::{Payment, TransferIndex};
use crate::trade::{LineItem, Market, Trade, sum_of};
use crate::transaction::Transaction;

/// Ether deposited for bids, one unit per wei.
pub(crate) const POOL: Address = address!("0000000000a39bb272e79075ade125fd351887ac");
/// The lending contract.
pub(crate) const BLEND: Address = address!("29469395eaf6f95920e59f858042f0e28d98a20b");

const CONTRACTS: &[(u64, Address)] = &[(chains::ETHEREUM, BLEND)];
const MARKET: Market = Market {
    name: "blend",
    version: "",
};

/// `BuyLocked(uint256,address,address,address,uint256)`.
const BUY_LOCKED: B256 = b256!("7ffb5bd9cdc79a6f9bc6e00c82f43836e0afbb204d47972001f6e853764a8ef1");
/// `LoanOfferTaken(bytes32,uint256,address,address,address,uint256,uint256,uint256,uint256)`.
const LOAN_OFFER_TAKEN: B256 = b256!("06a333c2d6fe967ca967f7a35be2eb45e8caeb6cf05e16f55d42b91b5fe31255");

words! {
    /// What [`BUY_LOCKED`] states.
    struct BuyLocked { lien_id, collection, buyer, seller, token_id }

    /// What [`LOAN_OFFER_TAKEN`] states.
    struct LoanOfferTaken {
        offer_hash, lien_id, collection, lender, borrower, loan_amount, rate, token_id, auction_duration,
    }
}

/// `NonceIncremented(address,uint256)`, of this contract and of the exchanges that sell out of its loans.
pub(crate) const NONCE_INCREMENTED: B256 = b256!("a82a649bbd060c9099cd7b7326e2b0dc9e9af0836480e0f849dc9eaa79710b3b");

/// The contract on Ethereum. New loans are seen only to distinguish what a buyer spends from what the buyer borrows.
pub(crate) const DECODER: Decoder = Decoder {
    name: "blend",
    claims: &[
        Claim::of(CONTRACTS, BUY_LOCKED, 1).with_envelope(),
        Claim::of(CONTRACTS, LOAN_OFFER_TAKEN, 1),
        Claim::of(CONTRACTS, NONCE_INCREMENTED, 2),
    ],
    holders: &[BLEND],
    intermediaries: &[BLEND],
    decode,
    ..Decoder::NONE
};

fn decode(transaction: &Transaction<'_>, events: &mut Events) {
    let transfers = events.transfer_index(transaction);
    let (raised, logs): (Vec<&Log>, Vec<&Log>) = transaction
        .claimed()
        .partition(|log| log.topic0() == Some(&NONCE_INCREMENTED));
    for log in raised {
        events.emit(log, nonce_incremented(MARKET, log));
    }
    let mut since = 0;
    for (nth, log) in logs.iter().enumerate() {
        if log.topic0() != Some(&BUY_LOCKED) {
            continue;
        }
        let verdict = Sold::read(log, &logs[nth + 1..]).and_then(|(sold, warning)| {
            let (fees, paid) = (sold.fees(&transfers, since), sold.paid(&transfers));
            since = paid.last().map_or(since, |payment| payment.log_index + 1);
            events.trade(log, sold.trade(fees, &paid)?);
            Ok(warning)
        });
        events.settle(log, verdict);
    }
}

/// A raised nonce ends the orders signed under the ones before.
pub(crate) fn nonce_incremented(market: Market, log: &Log) -> Result<(Closing, Option<&'static str>), DecodeError> {
    let mut reader = Reader::new(log);
    let [nonce] = reader.head()?;
    let below = Nonces::Below(uint(nonce));
    let closing = revoked(market, log, reader.topic_address(1), below);
    Ok((closing, reader.warning()))
}

/// One `BuyLocked`, with what follows it.
struct Sold {
    log_index: u32,
    line: LineItem,
    /// The loan by which the buyer funds the purchase.
    loan: Option<Loan>,
    /// The logs between which the price is paid.
    window: Range<u32>,
    /// Whether no other sale follows, whose fees would stand among the payments of this one.
    is_last: bool,
}

impl Sold {
    fn read(log: &Log, later: &[&Log]) -> Result<(Self, Option<&'static str>), DecodeError> {
        let mut reader = Reader::new(log);
        let locked = BuyLocked::of(reader.head()?);
        let (contract, token) = (reader.address(locked.collection), uint(locked.token_id));
        let (buyer, seller) = (reader.address(locked.buyer), reader.address(locked.seller));
        let next = later.first().filter(|next| next.log_index == log.log_index + 1);
        let is_his = |loan: &Loan| (loan.contract, loan.token, loan.borrower) == (contract, token, buyer);
        let loan = next.and_then(|next| Loan::read(next)).filter(is_his);
        let later = &later[usize::from(loan.is_some())..];
        let sold = Sold {
            log_index: log.log_index,
            line: LineItem::of(contract, token, U256::ONE).between(seller, buyer),
            loan,
            window: log.log_index..later.first().map_or(u32::MAX, |next| next.log_index),
            is_last: !later.iter().any(|later| later.topic0() == Some(&BUY_LOCKED)),
        };
        Ok((sold, reader.warning()))
    }

    /// What the buyer paid right before the repaid loan and the sale were emitted, from log `since` on.
    fn fees<'t>(&self, transfers: &'t TransferIndex, since: u32) -> &'t [Payment] {
        let before = transfers.payments(since..self.log_index);
        let places = (since..self.log_index.saturating_sub(1)).rev();
        let is_fee = |payment: &Payment| payment.currency == POOL && payment.from == self.line.buyer;
        let count = (before.iter().rev().zip(places))
            .take_while(|(payment, place)| payment.log_index == *place && is_fee(payment))
            .count();
        &before[before.len() - count..]
    }

    /// What was paid out after the sale was emitted: to the lender, then to the seller.
    fn paid(&self, transfers: &TransferIndex) -> Vec<Payment> {
        let LineItem { seller, buyer, .. } = self.line;
        let payers = [buyer, self.loan.as_ref().map_or(buyer, |loan| loan.lender)];
        let is_paid = |payment: &&Payment| {
            let to_other = payment.to != buyer && !payment.to.is_zero();
            payment.currency == POOL && payers.contains(&payment.from) && to_other
        };
        let payments = transfers.payments(self.window.clone()).iter();
        let mut paid: Vec<Payment> = payments.filter(is_paid).copied().collect();
        let lender = paid.first().map(|payment| payment.to);
        paid.retain(|payment| self.is_last || payment.to == seller || Some(payment.to) == lender);
        paid
    }

    fn trade(&self, fees: &[Payment], paid: &[Payment]) -> Result<Trade, DecodeError> {
        let mut trade = Trade {
            currency: POOL,
            price: None,
            allocation: PriceAllocation::Unknown,
            ..Trade::of(MARKET, Side::Listing, self.line, U256::ZERO)
        };
        if paid.is_empty() {
            trade.flags.push(flag::FEES_UNKNOWN);
            return Ok(trade);
        }
        trade.price = Some(sum_of(fees.iter().chain(paid).map(|payment| payment.amount))?);
        trade.allocation = PriceAllocation::Inferred;
        for payment in fees {
            trade.fee(payment.to, payment.amount, FeeKind::Royalty);
        }
        for payment in paid {
            trade.fee(payment.to, payment.amount, FeeKind::Other);
        }
        Ok(trade)
    }
}

/// One `LoanOfferTaken`: borrower, lender and token.
pub(crate) struct Loan {
    pub(crate) contract: Address,
    pub(crate) token: U256,
    pub(crate) borrower: Address,
    lender: Address,
}

impl Loan {
    /// The loan that `log` emits, if it is one of Blend's.
    pub(crate) fn read(log: &Log) -> Option<Self> {
        if log.address != BLEND || log.topic0() != Some(&LOAN_OFFER_TAKEN) || log.topics.len() != 1 {
            return None;
        }
        let mut reader = Reader::new(log);
        let taken = LoanOfferTaken::of(reader.head().ok()?);
        Some(Loan {
            contract: reader.address(taken.collection),
            lender: reader.address(taken.lender),
            borrower: reader.address(taken.borrower),
            token: uint(taken.token_id),
        })
    }
}
