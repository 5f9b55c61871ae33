//! The facts of one span with the keys of every table they touch.

use alloy_primitives::{Address, B256, U256};
use decoders::block::{Block, ChainId, find_block};
use decoders::fact::{Closing, Facts, Order, Sale, Transfer};
use decoders::id::{MAX_BLOCK, MAX_ITEM, MAX_LOG_INDEX, NAMESPACE, collection_id, token_id};
use rustc_hash::FxHashMap;
use uuid::Uuid;

use crate::error::SinkError;
use crate::kind::Kind;

/// A fact, its id, and the keys of what it is about.
pub(crate) struct Row<'a, F: Kind> {
    pub(crate) fact: &'a F,
    pub(crate) block: &'a Block,
    pub(crate) id: Uuid,
    pub(crate) key: F::Key,
}

/// A transfer and what it moves.
pub(crate) type Moved<'a> = Row<'a, Transfer>;
/// A sale and what it sells.
pub(crate) type Sold<'a> = Row<'a, Sale>;

/// The ids of a token and of its collection.
#[derive(Clone, Copy)]
pub(crate) struct TokenKey {
    pub(crate) token: Uuid,
    pub(crate) collection: Uuid,
}

impl Moved<'_> {
    /// Whether anything moved. A transfer of zero units is a fact and makes neither token nor owner nor collection.
    pub(crate) fn moves(&self) -> bool {
        !self.fact.quantity.is_zero()
    }
}

/// The facts of each kind, in ascending order of their ids.
pub(crate) struct Batch<'a> {
    pub(crate) chain: ChainId,
    /// The chain as CAIP-2 text, as every table writes it.
    pub(crate) chain_name: String,
    pub(crate) transfers: Vec<Moved<'a>>,
    pub(crate) sales: Vec<Sold<'a>>,
    pub(crate) orders: Vec<Row<'a, Order>>,
    pub(crate) closings: Vec<Row<'a, Closing>>,
}

impl<'a> Batch<'a> {
    /// The facts of `facts` that `keep` wants.
    ///
    /// Fails on a fact outside the span or its sources, on a position that an id cannot hold, and on two facts of one kind at
    /// one position.
    pub(crate) fn of(facts: &'a Facts, keep: impl Fn(&Place) -> bool) -> Result<Self, SinkError> {
        let mut keys = Keys::of(facts.chain);
        Ok(Batch {
            chain: facts.chain,
            chain_name: facts.chain.to_string(),
            transfers: rows(facts, &facts.transfers, &mut keys, &keep)?,
            sales: rows(facts, &facts.sales, &mut keys, &keep)?,
            orders: rows(facts, &facts.orders, &mut keys, &keep)?,
            closings: rows(facts, &facts.closings, &mut keys, &keep)?,
        })
    }

    /// How many facts there are of all kinds.
    pub(crate) fn len(&self) -> usize {
        self.transfers.len() + self.sales.len() + self.orders.len() + self.closings.len()
    }

    /// Whether there is nothing to write.
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The rows of one kind.
fn rows<'a, F: Kind>(
    facts: &'a Facts,
    told: &'a [F],
    keys: &mut Keys,
    keep: impl Fn(&Place) -> bool,
) -> Result<Vec<Row<'a, F>>, SinkError> {
    let refuse = |reason| SinkError::Inconsistent {
        chain: facts.chain,
        range: facts.range.clone(),
        reason,
    };
    let mut rows = Vec::with_capacity(told.len());
    for (fact, place) in told
        .iter()
        .map(|fact| (fact, fact.place()))
        .filter(|(_, place)| keep(place))
    {
        let Some(block) = find_block(&facts.blocks, place.block_number) else {
            return Err(refuse("a fact names a block the span does not hold"));
        };
        if !facts.range.contains(&place.block_number) || !facts.sources.contains(&place.source) {
            return Err(refuse("a fact lies outside the range or the sources of its span"));
        }
        if place.block_number > MAX_BLOCK || place.log_index > MAX_LOG_INDEX || place.item > MAX_ITEM {
            return Err(refuse("a fact's position exceeds what an id can hold"));
        }
        rows.push(Row {
            fact,
            block,
            id: fact.id_in(facts.chain, block),
            key: fact.key(block, keys),
        });
    }
    rows.sort_by_key(|row| row.id);
    if rows.windows(2).any(|pair| pair[0].id == pair[1].id) {
        return Err(refuse("two facts stand at one position"));
    }
    Ok(rows)
}

/// Where a fact stands, and which source decoded it for which contracts.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    pub(crate) source: &'static str,
    /// The contract that emitted the log, and the token's: a sale is of both.
    pub(crate) contracts: [Address; 2],
    pub(crate) block_number: u64,
    pub(crate) log_index: u32,
    pub(crate) item: u32,
    pub(crate) tx_hash: B256,
}

/// What every fact states of its place, whatever its kind.
pub(crate) trait Placed {
    fn place(&self) -> Place;

    fn id_in(&self, chain: ChainId, block: &Block) -> Uuid;
}

macro_rules! placed {
    ($($fact:ty, $emitter:ident, $about:ident;)*) => {$(
        impl Placed for $fact {
            fn place(&self) -> Place {
                Place {
                    source: self.source,
                    contracts: [self.$emitter, self.$about],
                    block_number: self.block_number,
                    log_index: self.log_index,
                    item: self.item,
                    tx_hash: self.tx_hash,
                }
            }

            fn id_in(&self, chain: ChainId, block: &Block) -> Uuid {
                self.id(chain, block.hash)
            }
        }
    )*};
}

placed! {
    Transfer, contract, contract;
    Sale, market, contract;
    Order, market, market;
    Closing, market, market;
}

/// Ids of natural keys already hashed: a span names the same collections and tokens over and over.
pub(crate) struct Keys {
    pub(crate) chain: ChainId,
    collections: FxHashMap<Address, Uuid>,
    tokens: FxHashMap<(Address, U256), Uuid>,
}

impl Keys {
    fn of(chain: ChainId) -> Self {
        Keys {
            chain,
            collections: FxHashMap::default(),
            tokens: FxHashMap::default(),
        }
    }

    pub(crate) fn collection(&mut self, contract: Address) -> Uuid {
        let chain = self.chain;
        *self
            .collections
            .entry(contract)
            .or_insert_with(|| collection_id(chain, &contract))
    }

    pub(crate) fn token(&mut self, contract: Address, number: U256) -> TokenKey {
        let (chain, collection) = (self.chain, self.collection(contract));
        let token = *self
            .tokens
            .entry((contract, number))
            .or_insert_with(|| token_id(chain, &contract, &number));
        TokenKey { token, collection }
    }

    /// Id of the place that the orders with one key take at one market.
    pub(crate) fn slot(&self, market: &Address, key: &B256) -> Uuid {
        let chain = self.chain;
        Uuid::new_v5(&NAMESPACE, format!("{chain}:{market:#x}:{key:#x}").as_bytes())
    }
}
