//! Listings and offers and their ends, as market decoders emit them (decoding specification, section 5).

use alloy_primitives::{Address, B256, U256};

use crate::block::Log;
use crate::fact::{Closing, ClosingReason, Nonces, Order, OrderKind, Reach, order_key};
use crate::log_reader::Word;
use crate::trade::transfer_index::TransferIndex;
use crate::trade::{LineItem, Market, Trade};
use crate::transaction::Transaction;

/// The last second of the year 9999: a later time stands for never.
const LAST_MOMENT: u64 = 253_402_300_799;

/// What a market knows an order by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Key {
    name: B256,
    hashed: bool,
}

impl Key {
    /// The market's own hash of the order.
    pub(crate) fn hash(hash: B256) -> Self {
        Key {
            name: hash,
            hashed: true,
        }
    }

    /// What stands for a hash at the market that emitted `log`: orders of one kind, distinguished by `parts`.
    pub(crate) fn natural(log: &Log, kind: OrderKind, parts: &[B256]) -> Self {
        Key {
            name: order_key(log.address, kind, parts),
            hashed: false,
        }
    }

    /// The key as the nonce of an order that a market ends by its maker.
    pub(crate) fn number(self) -> U256 {
        self.name.into()
    }
}

/// A number as a part of a key.
pub(crate) fn part(number: U256) -> B256 {
    B256::from(number)
}

/// The order of `maker` about the token of `line` at the market that emitted `log`: open at once and for good, at a price not
/// known, in native currency. Position and item are set when it is emitted.
pub(crate) fn order(market: Market, log: &Log, kind: OrderKind, key: Key, maker: Address, line: LineItem) -> Order {
    Order {
        source: "",
        block_number: log.block_number,
        log_index: log.log_index,
        item: 0,
        tx_hash: log.tx_hash,
        kind,
        marketplace: market.name,
        version: market.version,
        market: log.address,
        key: key.name,
        hashed: key.hashed,
        maker,
        contract: line.contract,
        token: line.token,
        standard: line.standard,
        quantity: line.quantity,
        currency: Address::ZERO,
        price: None,
        starts_at: None,
        expires_at: None,
        taker: None,
        nonce: None,
        escrowed: false,
        auction: false,
    }
}

/// The end of orders at the market that emitted `log`.
pub(crate) fn closing(market: Market, log: &Log, reason: ClosingReason, reach: Reach) -> Closing {
    Closing {
        source: "",
        block_number: log.block_number,
        log_index: log.log_index,
        item: 0,
        tx_hash: log.tx_hash,
        marketplace: market.name,
        market: log.address,
        reach,
        reason,
        quantity: None,
    }
}

/// The order is taken whole.
pub(crate) fn filled(market: Market, log: &Log, key: Key) -> Closing {
    closing(market, log, ClosingReason::Filled, Reach::Key(key.name))
}

/// `quantity` units of the order are taken.
pub(crate) fn filled_by(market: Market, log: &Log, key: Key, quantity: U256) -> Closing {
    Closing {
        quantity: Some(quantity),
        ..filled(market, log, key)
    }
}

/// The order is taken back.
pub(crate) fn canceled(market: Market, log: &Log, key: Key) -> Closing {
    closing(market, log, ClosingReason::Canceled, Reach::Key(key.name))
}

/// The market ends the order.
pub(crate) fn invalidated(market: Market, log: &Log, key: Key) -> Closing {
    closing(market, log, ClosingReason::Invalidated, Reach::Key(key.name))
}

/// The maker takes back the orders with these nonces.
pub(crate) fn revoked(market: Market, log: &Log, maker: Address, nonces: Nonces) -> Closing {
    closing(market, log, ClosingReason::Canceled, Reach::Maker { maker, nonces })
}

/// Who lists a token when `log` does not name it: who got the token last in the transaction, else the sender that called the
/// market or the token directly. Behind another contract anybody may stand.
pub(crate) fn lister(
    transaction: &Transaction<'_>,
    transfers: &TransferIndex,
    log: &Log,
    contract: Address,
    token: U256,
) -> Option<Address> {
    let before = transfers.transfers_of(contract, token).map(|(_, movement)| movement);
    let last = before.rev().find(|movement| movement.log_index < log.log_index);
    last.map(|movement| movement.to)
        .filter(|owner| !owner.is_zero())
        .or_else(|| {
            let envelope = transaction.envelope?;
            let called = envelope.to?;
            (called == log.address || called == contract).then_some(envelope.from)
        })
}

/// When an order starts, in seconds as contracts write it; absent for at once.
pub(crate) fn from(seconds: U256) -> Option<u64> {
    (!seconds.is_zero()).then(|| u64::try_from(seconds).map_or(LAST_MOMENT, |seconds| seconds.min(LAST_MOMENT)))
}

/// When an order ends, in seconds as contracts write it; absent where no calendar holds it, which stands for never.
pub(crate) fn until(seconds: U256) -> Option<u64> {
    u64::try_from(seconds).ok().filter(|seconds| *seconds <= LAST_MOMENT)
}

/// The only one who may take an order; the zero address stands for anybody.
pub(crate) fn only(taker: Address) -> Option<Address> {
    (!taker.is_zero()).then_some(taker)
}

/// All that one log states about trade.
#[derive(Debug, Default)]
pub(crate) struct LogOutcome {
    pub(crate) trades: Vec<Trade>,
    pub(crate) orders: Vec<Order>,
    pub(crate) closings: Vec<Closing>,
}

impl LogOutcome {
    /// The same, and the end of an order, emitted once however often.
    pub(crate) fn and(mut self, closing: Closing) -> Self {
        if !self.closings.contains(&closing) {
            self.closings.push(closing);
        }
        self
    }

    /// The same, and the fill of both orders of a match. The caller may sign nothing: the caller's order has no hash, and there
    /// is nothing to end.
    pub(crate) fn and_both(self, market: Market, log: &Log, hashes: [&Word; 2], quantity: Option<U256>) -> Self {
        let signed = hashes.map(|hash| B256::from(*hash)).into_iter();
        signed.filter(|hash| !hash.is_zero()).fold(self, |outcome, hash| {
            let fill = filled(market, log, Key::hash(hash));
            outcome.and(Closing { quantity, ..fill })
        })
    }
}

impl From<Trade> for LogOutcome {
    fn from(trade: Trade) -> Self {
        LogOutcome {
            trades: vec![trade],
            ..LogOutcome::default()
        }
    }
}

impl From<Order> for LogOutcome {
    fn from(order: Order) -> Self {
        LogOutcome {
            orders: vec![order],
            ..LogOutcome::default()
        }
    }
}

impl From<Closing> for LogOutcome {
    fn from(closing: Closing) -> Self {
        LogOutcome {
            closings: vec![closing],
            ..LogOutcome::default()
        }
    }
}

impl<S: Into<LogOutcome>> From<Option<S>> for LogOutcome {
    fn from(outcome: Option<S>) -> Self {
        outcome.map_or_else(LogOutcome::default, Into::into)
    }
}
