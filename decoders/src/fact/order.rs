//! Listings and offers.

use alloy_primitives::{Address, B256, U256, keccak256};
use serde_json::{Value, json};

use super::kind::{Fact, FactKind, Place, currency, hex, number};
use super::standard::Standard;
use crate::id::RecordKind;

/// Which side of a trade an order takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OrderKind {
    /// The maker gives tokens: a row of `listings`.
    Listing,
    /// The maker gives money: a row of `offers`.
    Offer,
}

impl OrderKind {
    /// The name used in messages and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            OrderKind::Listing => "listing",
            OrderKind::Offer => "offer",
        }
    }
}

/// A listing or an offer that the chain shows, at the position of the log that opens it (decoding specification, section 5).
///
/// It stays open until a [`Closing`](super::Closing) above it reaches it, or another order with its key replaces it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// Decoder that saw it: the coverage source, such as `seaport`.
    pub source: &'static str,
    /// Height of the block.
    pub block_number: u64,
    /// Index of the log within its block.
    pub log_index: u32,
    /// Index among the orders of that log.
    pub item: u32,
    /// Transaction that emitted the log.
    pub tx_hash: B256,
    /// Listing or offer.
    pub kind: OrderKind,
    /// Name of the market, such as `seaport`.
    pub marketplace: &'static str,
    /// Version of its contracts, such as `1.5`; empty where there is but one.
    pub version: &'static str,
    /// The market's contract: a closing of all orders of a maker reaches those of the same contract.
    pub market: Address,
    /// What the market knows the order by: its hash, or [`order_key`] of what stands for one.
    pub key: B256,
    /// Whether `key` is the market's own hash of the order.
    pub hashed: bool,
    /// Who made it.
    pub maker: Address,
    /// Token contract.
    pub contract: Address,
    /// Token number within the contract; absent where any token of the contract, or any of several, will do.
    pub token: Option<U256>,
    /// Token standard.
    pub standard: Standard,
    /// Units offered or asked for.
    pub quantity: U256,
    /// What is to be paid in: zero for the native currency, else the ERC-20 contract.
    pub currency: Address,
    /// What the whole quantity costs, in the smallest unit of the currency; absent where it is not emitted. Where it changes
    /// with time, what it costs at first.
    pub price: Option<U256>,
    /// When it can be taken, seconds since the Unix epoch; absent for at once.
    pub starts_at: Option<u64>,
    /// When it ends on its own; absent for never.
    pub expires_at: Option<u64>,
    /// The only one who may take it.
    pub taker: Option<Address>,
    /// The maker's nonce or counter it lives under, where the market emits it.
    pub nonce: Option<U256>,
    /// Whether the market holds the token meanwhile, so that it is not the maker who owns it.
    pub escrowed: bool,
    /// Whether it is won by bids.
    pub auction: bool,
}

/// The key of an order that its market gives no hash: of the market's contract, the kind, and what the market knows it by.
pub fn order_key(market: Address, kind: OrderKind, parts: &[B256]) -> B256 {
    let mut named = Vec::with_capacity(32 * (parts.len() + 1));
    named.extend_from_slice(market.as_slice());
    named.extend_from_slice(kind.as_str().as_bytes());
    parts.iter().for_each(|part| named.extend_from_slice(part.as_slice()));
    keccak256(named)
}

impl Fact for Order {
    fn place(&self) -> Place {
        Place {
            source: self.source,
            contracts: [self.market; 2],
            block_number: self.block_number,
            log_index: self.log_index,
            item: self.item,
            tx_hash: self.tx_hash,
        }
    }

    fn name(&self) -> Option<&'static str> {
        Some(self.kind.as_str())
    }

    fn marketplace(&self) -> Option<&'static str> {
        Some(self.marketplace)
    }

    fn currency(&self) -> Option<Address> {
        Some(self.currency)
    }

    fn cells(&self) -> Vec<(&'static str, String)> {
        vec![
            ("log", self.log_index.to_string()),
            ("kind", self.kind.as_str().to_owned()),
            (
                "market",
                format!("{} {}", self.marketplace, self.version).trim_end().to_owned(),
            ),
            ("maker", hex(self.maker)),
            ("contract", hex(self.contract)),
            ("token", number(self.token)),
            ("quantity", self.quantity.to_string()),
            ("price", number(self.price)),
            ("currency", currency(self.currency)),
            ("key", self.key.to_string()),
        ]
    }

    fn json(&self) -> Value {
        json!({
            "log_index": self.log_index, "item": self.item, "decoder": self.source, "kind": self.kind.as_str(),
            "marketplace": self.marketplace, "version": self.version, "market": self.market, "key": self.key,
            "maker": self.maker, "contract": self.contract, "token": self.token.map(|token| token.to_string()),
            "quantity": self.quantity.to_string(), "currency": self.currency,
            "price": self.price.map(|price| price.to_string()), "starts_at": self.starts_at,
            "expires_at": self.expires_at, "taker": self.taker, "nonce": self.nonce.map(|nonce| nonce.to_string()),
            "escrowed": self.escrowed, "auction": self.auction,
        })
    }
}

impl FactKind for Order {
    const RECORD: RecordKind = RecordKind::fact(3);

    const TITLE: &'static str = "orders";

    const NAMES: &'static [&'static str] = &["listing", "offer"];

    fn item_mut(&mut self) -> &mut u32 {
        &mut self.item
    }
}
