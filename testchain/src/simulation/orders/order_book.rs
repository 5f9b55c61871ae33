//! What stands open at the markets: what can be taken, replaced and taken back.

use std::collections::BTreeMap;

use alloy_primitives::{B256, U256};

use super::super::roster::{ContractIndex, Owner, Serial};
use super::super::trades::{Position, Side};
use super::lot::Lot;
use super::price::Price;
use super::terms::Terms;

/// A token with one owner.
pub(crate) type Piece = (ContractIndex, Serial);

/// The orders that the chain shows and that have not ended; those whose time is over among them.
#[derive(Clone, Debug, Default)]
pub(crate) struct OrderBook {
    /// At Seaport.
    pub(crate) validated: Vec<Signed>,
    /// Of Seaport; zero for makers that never raised theirs.
    pub(crate) counters: BTreeMap<Owner, U256>,
    /// Prices at Foundation, whose tokens it holds.
    pub(crate) prices: BTreeMap<Piece, Ask>,
    /// Offers at Foundation, the highest for each token.
    pub(crate) offers: BTreeMap<Piece, Bid>,
    /// Punks offered.
    pub(crate) punk_offers: BTreeMap<Serial, Ask>,
    /// Live bids on punks.
    pub(crate) punk_bids: BTreeMap<Serial, Bid>,
}

/// A token with one owner, for sale at a price.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ask {
    /// The log that shows it; absent for a gift, which is no listing.
    pub(crate) opened: Option<Position>,
    pub(crate) seller: Owner,
    pub(crate) price: U256,
    /// The only one who may take it.
    pub(crate) taker: Option<Owner>,
}

/// A price bid for a token with one owner.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bid {
    pub(crate) opened: Position,
    pub(crate) buyer: Owner,
    pub(crate) price: U256,
    /// The last second it is good for.
    pub(crate) until: Option<u64>,
}

/// An order as its maker signed it.
#[derive(Clone, Debug)]
pub(crate) struct Signed {
    pub(crate) maker: Owner,
    pub(crate) side: Side,
    /// What is to change owners, held by the maker if they sell.
    pub(crate) lots: Vec<Lot>,
    /// Whether any token of the lot's contract will do.
    pub(crate) any: bool,
    /// What the whole costs, at first.
    pub(crate) price: Price,
    /// Whether the price falls to its half until the order ends.
    pub(crate) falls: bool,
    pub(crate) taker: Option<Owner>,
    pub(crate) terms: Terms,
    pub(crate) hash: B256,
    /// The log that showed it.
    pub(crate) opened: Option<Position>,
    /// Units not taken.
    pub(crate) left: u128,
}
