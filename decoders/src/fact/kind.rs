//! What all kinds of facts have in common.

use std::fmt::Debug;

use alloy_primitives::{Address, B256, U256};
use serde_json::Value;
use uuid::Uuid;

use crate::block::ChainId;
use crate::id::{Position, RecordKind};

/// Where a fact stands, and which source decoded it from which contracts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Decoder that saw it: the coverage source, such as `erc721`.
    pub source: &'static str,
    /// The contract that emitted the log, and the one the fact is about: a sale is of both its market and its token's contract.
    pub contracts: [Address; 2],
    /// Height of the block.
    pub block_number: u64,
    /// Index of the log within its block.
    pub log_index: u32,
    /// Index among the facts of its kind at that log.
    pub item: u32,
    /// Transaction that emitted the log.
    pub tx_hash: B256,
}

impl Place {
    /// The id of a fact of this kind here, given the block it stands in.
    pub fn id(&self, kind: RecordKind, chain: ChainId, block_hash: B256) -> Uuid {
        let position = Position {
            chain,
            block_number: self.block_number,
            block_hash,
            log_index: self.log_index,
            item: self.item,
            kind,
        };
        position.id()
    }
}

/// What a fact of any kind states of itself: all that is asked by those who need not know its kind.
pub trait Fact: Debug + Send + Sync {
    /// Where it stands.
    fn place(&self) -> Place;

    /// What messages and metrics call it, one of [`FactKind::NAMES`]; absent where it is stored and not announced.
    fn name(&self) -> Option<&'static str>;

    /// The market it names.
    fn marketplace(&self) -> Option<&'static str> {
        None
    }

    /// The currency it names; zero for the native one.
    fn currency(&self) -> Option<Address> {
        None
    }

    /// Its line in the report of `indexer decode`, cell by cell under their headings; none where [`crate::explain`] shows each of its
    /// parts instead.
    fn cells(&self) -> Vec<(&'static str, String)> {
        Vec::new()
    }

    /// The same as JSON.
    fn json(&self) -> Value;
}

/// A kind of fact: what is the same for all its facts.
pub trait FactKind: Fact + Sized + 'static {
    /// What separates facts of this kind from others of one log in ids: a digit that no other kind has, or the one that all kinds of
    /// governance share (docs/decisions/0003-ids.md). It never changes.
    const RECORD: RecordKind;

    /// The heading above several of them.
    const TITLE: &'static str;

    /// Every name that messages and metrics have for one of them.
    const NAMES: &'static [&'static str];

    /// Its index among the facts of its kind at its log.
    fn item_mut(&mut self) -> &mut u32;

    /// Puts the facts of a transaction that ends, those from `first` on, into chain order: decoders took turns over the same logs.
    ///
    /// Unless a kind does it otherwise, what rejected logs stated is dropped, and the rest is numbered log by log, as it was emitted.
    fn close(facts: &mut Vec<Self>, first: usize, is_rejected: &dyn Fn(&Place) -> bool) {
        if facts.len() == first {
            return;
        }
        let mut closed = facts.split_off(first);
        closed.retain(|fact| !is_rejected(&fact.place()));
        closed.sort_by_key(|fact| fact.place().log_index);
        for of_log in closed.chunk_by_mut(|one, next| one.place().log_index == next.place().log_index) {
            (0..).zip(of_log).for_each(|(item, fact)| *fact.item_mut() = item);
        }
        facts.append(&mut closed);
    }
}

/// An address as reports show it.
pub(super) fn hex(address: Address) -> String {
    format!("{address:#x}")
}

/// A number that may be absent, as reports show it.
pub(super) fn number(number: Option<U256>) -> String {
    number.map_or_else(|| "-".to_owned(), |number| number.to_string())
}

/// A currency as reports show it.
pub(super) fn currency(currency: Address) -> String {
    if currency.is_zero() {
        "native".to_owned()
    } else {
        hex(currency)
    }
}
