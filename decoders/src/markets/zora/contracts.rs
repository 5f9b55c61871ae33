//! Contracts of Zora that its sales and its orders both look at.

use alloy_primitives::{Address, address};

use crate::chains;
use crate::trade::Market;
use crate::transaction::Transaction;

const MEDIA: &[(u64, Address)] = &[
    (chains::ETHEREUM, address!("abefbc9fd2f806065b4f3c237d4b59d9a97bcac7")),
    (chains::POLYGON, address!("6953190aafd8f8995e8f47e8f014d0db83e92300")),
];
/// The auction house.
pub(crate) const V2: &[(u64, Address)] = &[
    (chains::ETHEREUM, address!("e468ce99444174bd3bbbed09209577d25d1ad673")),
    (chains::POLYGON, address!("48f1c97259dc7f3900965391651693baebfd59a2")),
];

pub(crate) fn market(version: &'static str) -> Market {
    Market { name: "zora", version }
}

/// Zora's own token, the only one that v1 sells.
pub(crate) fn media(transaction: &Transaction<'_>) -> Address {
    transaction.here(MEDIA).unwrap_or_default()
}

/// Whether `bidder` is the auction house, whose bids on v1 its auctions emit.
pub(crate) fn is_auction_house(transaction: &Transaction<'_>, bidder: Address) -> bool {
    transaction.here(V2) == Some(bidder)
}
