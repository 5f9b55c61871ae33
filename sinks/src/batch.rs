//! The facts of one span with the keys of every table they touch.

use alloy_primitives::{Address, B256, U256};
use decoders::block::{Block, ChainId, find_block};
use decoders::fact::{Closing, Facts, Order, Reach, Sale, Transfer};
use decoders::id::{MAX_BLOCK, MAX_ITEM, MAX_LOG_INDEX, NAMESPACE, collection_id, token_id};
use rustc_hash::{FxHashMap, FxHashSet};
use uuid::Uuid;

use crate::error::SinkError;

/// A fact, its id, and the keys of what it is about.
#[derive(Clone, Copy)]
pub(crate) struct Row<'a, F, K> {
    pub(crate) fact: &'a F,
    pub(crate) block: &'a Block,
    pub(crate) id: Uuid,
    pub(crate) key: K,
}

/// A transfer and what it moves.
pub(crate) type Moved<'a> = Row<'a, Transfer, TokenKey>;
/// A sale and what it sells, where that is known.
pub(crate) type Sold<'a> = Row<'a, Sale, Option<TokenKey>>;
/// An order, what it is for, and where closings find it.
pub(crate) type Opened<'a> = Row<'a, Order, OrderKey>;
/// The end of orders, and the slot of the one it reaches; none where it reaches those of a maker.
pub(crate) type Closed<'a> = Row<'a, Closing, Option<Uuid>>;

/// The ids of a token and of its collection.
#[derive(Clone, Copy)]
pub(crate) struct TokenKey {
    pub(crate) token: Uuid,
    pub(crate) collection: Uuid,
}

/// The ids of what an order is for, and of its slot.
#[derive(Clone, Copy)]
pub(crate) struct OrderKey {
    pub(crate) collection: Uuid,
    /// None where any token of the collection, or any of several, will do.
    pub(crate) token: Option<Uuid>,
    /// Shared by all orders of one key at one market, of which the latest stands.
    pub(crate) slot: Uuid,
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
    pub(crate) orders: Vec<Opened<'a>>,
    pub(crate) closings: Vec<Closed<'a>>,
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
            transfers: rows(facts, &facts.transfers, &keep, |fact| {
                keys.token(fact.contract, fact.token)
            })?,
            sales: rows(facts, &facts.sales, &keep, |fact| {
                fact.token.map(|token| keys.token(fact.contract, token))
            })?,
            orders: rows(facts, &facts.orders, &keep, |fact| OrderKey {
                collection: keys.collection(fact.contract),
                token: fact.token.map(|token| keys.token(fact.contract, token).token),
                slot: slot(facts.chain, &fact.market, &fact.key),
            })?,
            closings: rows(facts, &facts.closings, &keep, |fact| match fact.reach {
                Reach::Key(key) => Some(slot(facts.chain, &fact.market, &key)),
                Reach::Maker { .. } => None,
            })?,
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
fn rows<'a, F: Placed, K>(
    facts: &'a Facts,
    told: &'a [F],
    keep: impl Fn(&Place) -> bool,
    mut key: impl FnMut(&F) -> K,
) -> Result<Vec<Row<'a, F, K>>, SinkError> {
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
            key: key(fact),
        });
    }
    rows.sort_by_key(|row| row.id);
    if rows.windows(2).any(|pair| pair[0].id == pair[1].id) {
        return Err(refuse("two facts stand at one position"));
    }
    Ok(rows)
}

/// Where a fact stands, and who told it of which contracts.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    pub(crate) source: &'static str,
    /// The contract that emitted the log, and the token's: a sale is of both.
    pub(crate) contracts: [Address; 2],
    pub(crate) block_number: u64,
    pub(crate) log_index: u32,
    pub(crate) item: u32,
}

/// What every fact tells of itself, whatever it says.
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
struct Keys {
    chain: ChainId,
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

    fn collection(&mut self, contract: Address) -> Uuid {
        let chain = self.chain;
        *self
            .collections
            .entry(contract)
            .or_insert_with(|| collection_id(chain, &contract))
    }

    fn token(&mut self, contract: Address, number: U256) -> TokenKey {
        let (chain, collection) = (self.chain, self.collection(contract));
        let token = *self
            .tokens
            .entry((contract, number))
            .or_insert_with(|| token_id(chain, &contract, &number));
        TokenKey { token, collection }
    }
}

/// Id of the place that the orders with one key take at one market.
fn slot(chain: ChainId, market: &Address, key: &B256) -> Uuid {
    Uuid::new_v5(&NAMESPACE, format!("{chain}:{market:#x}:{key:#x}").as_bytes())
}

/// A stored fact: its id, and what it says as far as a decoder decides it.
#[derive(sqlx::FromRow)]
pub(crate) struct Stored<T> {
    pub(crate) id: Uuid,
    #[sqlx(flatten)]
    pub(crate) told: T,
}

/// What replacing the stored facts of one kind by others comes to.
pub(crate) struct Difference {
    /// Stored facts that the others do not hold, or tell differently.
    pub(crate) gone: Vec<Uuid>,
    /// How many stay.
    pub(crate) kept: u64,
}

/// Compares `stored` with what `tell` makes of `rows`, and leaves in `rows` what is to be written.
pub(crate) fn difference<F, K, T: PartialEq>(
    stored: &[Stored<T>],
    rows: &mut Vec<Row<'_, F, K>>,
    tell: impl Fn(&Row<'_, F, K>) -> T,
) -> Difference {
    let held: FxHashMap<Uuid, &T> = stored.iter().map(|fact| (fact.id, &fact.told)).collect();
    let mut stayed: FxHashSet<Uuid> = FxHashSet::default();
    rows.retain(|row| {
        let stays = held.get(&row.id).is_some_and(|told| **told == tell(row));
        if stays {
            stayed.insert(row.id);
        }
        !stays
    });
    Difference {
        gone: stored
            .iter()
            .map(|fact| fact.id)
            .filter(|id| !stayed.contains(id))
            .collect(),
        kept: stayed.len() as u64,
    }
}
