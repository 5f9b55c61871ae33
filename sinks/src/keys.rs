//! Ids of what facts are about.

use alloy_primitives::{Address, B256, U256};
use decoders::block::ChainId;
use decoders::id::{NAMESPACE, collection_id, token_id};
use rustc_hash::FxHashMap;
use uuid::Uuid;

/// The ids of a token and of its collection.
#[derive(Clone, Copy)]
pub(crate) struct TokenKey {
    pub(crate) token: Uuid,
    pub(crate) collection: Uuid,
}

/// Ids of natural keys already hashed: a span names the same collections and tokens over and over.
pub(crate) struct Keys {
    pub(crate) chain: ChainId,
    collections: FxHashMap<Address, Uuid>,
    tokens: FxHashMap<(Address, U256), Uuid>,
}

impl Keys {
    pub(crate) fn of(chain: ChainId) -> Self {
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
