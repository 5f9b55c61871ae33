//! What stands open at the markets: what can be taken, replaced and taken back.

use std::collections::BTreeMap;

use alloy_primitives::U256;

use super::super::roster::{ContractIndex, Owner, Serial};
use super::super::trades::Position;
use super::signing::Signed;

/// A token with one owner.
pub(super) type Piece = (ContractIndex, Serial);

/// The orders that the chain shows and that have not ended; those whose time is over among them.
#[derive(Clone, Debug, Default)]
pub(in crate::simulation) struct OrderBook {
    /// At Seaport.
    pub(super) validated: Vec<Signed>,
    /// Of Seaport; zero for makers that never raised theirs.
    pub(super) counters: BTreeMap<Owner, U256>,
    /// Prices at Foundation, whose tokens it holds.
    pub(super) prices: BTreeMap<Piece, Ask>,
    /// Offers at Foundation, the highest for each token.
    pub(super) offers: BTreeMap<Piece, Bid>,
    /// Punks offered.
    pub(super) punk_offers: BTreeMap<Serial, Ask>,
    /// Live bids on punks.
    pub(super) punk_bids: BTreeMap<Serial, Bid>,
}

/// A token with one owner, for sale at a price.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ask {
    /// The log that shows it; absent for a gift, which is no listing.
    pub(super) opened: Option<Position>,
    pub(super) seller: Owner,
    pub(super) price: U256,
    /// The only one who may take it.
    pub(super) taker: Option<Owner>,
}

/// A price bid for a token with one owner.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bid {
    pub(super) opened: Position,
    pub(super) buyer: Owner,
    pub(super) price: U256,
    /// The last second it is good for.
    pub(super) until: Option<u64>,
}
