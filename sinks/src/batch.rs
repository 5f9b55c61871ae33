//! The transfers of one span with the keys of every table they touch.

use alloy_primitives::{Address, U256};
use decoders::block::{Block, ChainId, find_block};
use decoders::fact::{Facts, Transfer};
use decoders::id::{MAX_BLOCK, MAX_ITEM, MAX_LOG_INDEX, collection_id, token_id};
use rustc_hash::FxHashMap;
use uuid::Uuid;

use crate::error::SinkError;

/// A transfer and its keys.
#[derive(Clone, Copy)]
pub(crate) struct Row<'a> {
    pub(crate) fact: &'a Transfer,
    pub(crate) block: &'a Block,
    pub(crate) id: Uuid,
    pub(crate) token: Uuid,
    pub(crate) collection: Uuid,
}

impl Row<'_> {
    /// Whether anything moved. A transfer of zero units is a fact and makes neither token nor owner nor collection.
    pub(crate) fn moves(&self) -> bool {
        !self.fact.quantity.is_zero()
    }
}

/// Rows in ascending order of their ids.
pub(crate) struct Batch<'a> {
    pub(crate) chain: ChainId,
    /// The chain as CAIP-2 text, as every table writes it.
    pub(crate) chain_name: String,
    pub(crate) rows: Vec<Row<'a>>,
}

impl<'a> Batch<'a> {
    /// The transfers of `facts` that `keep` wants.
    ///
    /// Fails on a fact outside the span or its sources, on a position that an id cannot hold, and on two facts at one position.
    pub(crate) fn of(facts: &'a Facts, keep: impl Fn(&Transfer) -> bool) -> Result<Self, SinkError> {
        let refuse = |reason| SinkError::Inconsistent {
            chain: facts.chain,
            range: facts.range.clone(),
            reason,
        };
        let mut keys = Keys::default();
        let mut rows = Vec::with_capacity(facts.transfers.len());
        for fact in facts.transfers.iter().filter(|fact| keep(fact)) {
            let Some(block) = find_block(&facts.blocks, fact.block_number) else {
                return Err(refuse("a transfer names a block the span does not hold"));
            };
            if !facts.range.contains(&fact.block_number) || !facts.sources.contains(&fact.source) {
                return Err(refuse("a transfer lies outside the range or the sources of its span"));
            }
            if fact.block_number > MAX_BLOCK || fact.log_index > MAX_LOG_INDEX || fact.item > MAX_ITEM {
                return Err(refuse("a transfer's position exceeds what an id can hold"));
            }
            let (collection, token) = keys.of(facts.chain, fact);
            rows.push(Row {
                fact,
                block,
                id: fact.id(facts.chain, block.hash),
                token,
                collection,
            });
        }
        rows.sort_by_key(|row| row.id);
        if rows.windows(2).any(|pair| pair[0].id == pair[1].id) {
            return Err(refuse("two transfers stand at one position"));
        }
        Ok(Batch {
            chain: facts.chain,
            chain_name: facts.chain.to_string(),
            rows,
        })
    }

    /// Whether there is nothing to write.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

/// Ids of natural keys already hashed: a span names the same collections and tokens over and over.
#[derive(Default)]
struct Keys {
    collections: FxHashMap<Address, Uuid>,
    tokens: FxHashMap<(Address, U256), Uuid>,
}

impl Keys {
    fn of(&mut self, chain: ChainId, fact: &Transfer) -> (Uuid, Uuid) {
        let collection = *self
            .collections
            .entry(fact.contract)
            .or_insert_with(|| collection_id(chain, &fact.contract));
        let token = *self
            .tokens
            .entry((fact.contract, fact.token))
            .or_insert_with(|| token_id(chain, &fact.contract, &fact.token));
        (collection, token)
    }
}
