//! The chain registry: which chains are followed, where they are read, which contracts have a name.
//!
//! `config.toml` seeds the tables of `chain_registry_service` with what is missing; after that the tables are the truth. The
//! command line edits them and [`Watch`] notifies a running daemon.

mod abi;
mod edit;
mod entry;
mod error;
mod row;
mod seed;
mod watch;

use decoders::block::ChainId;
use sinks::store::Store;

pub use abi::Abi;
pub use edit::{
    add_abi, add_chain, add_contract, add_endpoint, edit_chain, edit_contract, edit_endpoint, remove_abi, remove_chain,
    remove_contract, remove_endpoint,
};
pub use entry::{AbiBlob, Chain, ChainEntry, ChainSettings, Contract, Endpoint, Followed, GasPolicy};
pub use error::RegistryError;
pub use seed::{Seeded, names_chain, names_contract, names_endpoint, seed};
pub use watch::Watch;

/// Every chain, by number.
pub async fn chains(store: &Store) -> Result<Vec<Chain>, RegistryError> {
    row::chains(&store.pool, None).await
}

/// One chain.
///
/// # Errors
/// It is not in the registry, with those that are.
pub async fn chain(store: &Store, chain: ChainId) -> Result<Chain, RegistryError> {
    let mut connection = store.pool.acquire().await?;
    row::chain(&mut connection, chain).await
}

/// Everything about one chain.
pub async fn load_chain(store: &Store, chain: ChainId) -> Result<ChainEntry, RegistryError> {
    // One transaction on one connection: the parts belong together, and the embedded database has no second one.
    let mut transaction = store.pool.begin().await?;
    let found = row::chain(&mut transaction, chain).await?;
    let endpoints = row::endpoints(&mut *transaction, Some(chain)).await?;
    let contracts = row::contracts(&mut *transaction, Some(chain)).await?;
    let gas_policy = row::gas_policy(&mut *transaction, chain).await?;
    let beacons = row::beacons(&mut *transaction, chain).await?;
    transaction.commit().await?;
    Ok(ChainEntry {
        chain: found,
        endpoints,
        contracts,
        gas_policy,
        beacons,
    })
}

/// The endpoints of `chain`, or of every chain.
pub async fn endpoints(store: &Store, chain: Option<ChainId>) -> Result<Vec<Endpoint>, RegistryError> {
    row::endpoints(&store.pool, chain).await
}

/// The contracts of `chain`, or of every chain.
pub async fn contracts(store: &Store, chain: Option<ChainId>) -> Result<Vec<Contract>, RegistryError> {
    row::contracts(&store.pool, chain).await
}

/// Every ABI, without its JSON.
pub async fn abis(store: &Store) -> Result<Vec<AbiBlob>, RegistryError> {
    row::abis(&store.pool).await
}

/// The JSON of the ABI under `sha256`.
pub async fn abi_json(store: &Store, sha256: &str) -> Result<serde_json::Value, RegistryError> {
    row::abi_json(&store.pool, sha256)
        .await?
        .ok_or_else(|| RegistryError::unknown_abi(sha256))
}
