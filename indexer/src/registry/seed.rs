//! Seeding: what `config.toml` names and the tables miss is added; what the tables hold is never changed.

use alloy_primitives::Address;
use decoders::block::ChainId;
use sinks::currencies::{self, Currency};
use sinks::store::Store;

use super::abi::Abi;
use super::edit;
use super::entry::{Chain, ChainSettings, Contract, Endpoint};
use super::error::RegistryError;
use crate::config::{ChainConfig, Config, ContractConfig, CurrencyConfig, EndpointConfig, EndpointUrl};

/// What a seeding added.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seeded {
    /// Chains added.
    pub chains: u32,
    /// Endpoints added.
    pub endpoints: u32,
    /// Contracts added.
    pub contracts: u32,
}

/// Adds every chain, endpoint and contract of `config` that the registry misses, in one transaction, and then the currencies.
pub async fn seed(store: &Store, config: &Config) -> Result<Seeded, RegistryError> {
    let mut seeded = Seeded::default();
    let mut transaction = store.pool.begin().await?;
    for chain in &config.chains {
        if edit::insert_chain(&mut transaction, &chain_of(chain)).await? {
            seeded.chains += 1;
            seed_gas_policy(&mut transaction, chain).await?;
        }
        for endpoint in &chain.endpoints {
            let added = edit::insert_endpoint(&mut *transaction, &endpoint_of(chain.caip2, endpoint)).await?;
            seeded.endpoints += u32::from(added.is_some());
        }
        for contract in &chain.contracts {
            let mut row = contract_of(chain.caip2, contract);
            if let Some(path) = &contract.abi {
                let abi = Abi::read(&config.resolve(path))?;
                edit::insert_abi(&mut transaction, &abi, Some(&contract.name), Some(&contract.standard)).await?;
                row.abi_sha256 = Some(abi.sha256);
            }
            seeded.contracts += u32::from(edit::insert_contract(&mut *transaction, &row).await?);
        }
    }
    transaction.commit().await?;
    for chain in &config.chains {
        let listed: Vec<Currency> = chain.currencies.iter().map(currency_of).collect();
        currencies::seed(store, chain.caip2, &listed).await?;
    }
    Ok(seeded)
}

fn currency_of(config: &CurrencyConfig) -> Currency {
    Currency {
        address: config.address,
        symbol: config.symbol.clone(),
        decimals: Some(config.decimals),
        pegged: config.pegged,
    }
}

async fn seed_gas_policy(connection: &mut sqlx::PgConnection, chain: &ChainConfig) -> Result<(), RegistryError> {
    let Some(policy) = &chain.gas_policy else { return Ok(()) };
    sqlx::query(
        "insert into chain_registry_service.chain_gas_policy (chain_id, max_fee_gwei, priority_fee_gwei, multiplier)
         select id, $2, $3, $4 from chain_registry_service.chains where caip2 = $1
         on conflict (chain_id) do nothing",
    )
    .bind(chain.caip2.to_string())
    .bind(policy.max_fee_gwei)
    .bind(policy.priority_fee_gwei)
    .bind(policy.multiplier)
    .execute(connection)
    .await?;
    Ok(())
}

/// Whether `config` would add this chain again.
pub fn names_chain(config: &Config, chain: ChainId) -> bool {
    config.chains.iter().any(|named| named.caip2 == chain)
}

/// Whether `config` would add this endpoint again.
pub fn names_endpoint(config: &Config, chain: ChainId, url: &EndpointUrl) -> bool {
    let mut named = config
        .chains
        .iter()
        .filter(|named| named.caip2 == chain)
        .flat_map(|named| &named.endpoints);
    named.any(|endpoint| endpoint.url == *url)
}

/// Whether `config` would add this contract again.
pub fn names_contract(config: &Config, chain: ChainId, address: Address) -> bool {
    let mut named = config
        .chains
        .iter()
        .filter(|named| named.caip2 == chain)
        .flat_map(|named| &named.contracts);
    named.any(|contract| contract.address == address)
}

fn chain_of(chain: &ChainConfig) -> Chain {
    Chain {
        id: 0,
        chain: chain.caip2,
        name: chain.name.clone(),
        native_symbol: chain.native_symbol.clone(),
        decimals: i32::from(chain.decimals),
        explorer_url: chain.explorer_url.as_ref().map(ToString::to_string),
        enabled: chain.enabled,
        start_block: chain.start_block,
        scope: chain.scope,
        settings: ChainSettings {
            header_hash: chain.header_hash,
            head_proof: chain.integrity_head,
            backfill_proof: chain.integrity_backfill,
            finality_depth: chain.finality_depth,
            poll_interval_ms: chain.poll_interval_ms,
        },
    }
}

fn endpoint_of(chain: ChainId, endpoint: &EndpointConfig) -> Endpoint {
    Endpoint {
        id: 0,
        chain,
        url: endpoint.url.clone(),
        priority: i32::from(endpoint.priority),
        weight: i32::from(endpoint.weight),
        // The parser keeps it below a million.
        rate_limit: endpoint.rate_limit.and_then(|limit| i32::try_from(limit).ok()),
        auth_type: endpoint.auth_type,
        active: true,
    }
}

fn contract_of(chain: ChainId, contract: &ContractConfig) -> Contract {
    Contract {
        chain,
        address: contract.address,
        name: Some(contract.name.clone()),
        standard: Some(contract.standard.clone()),
        start_block: contract.start_block,
        abi_sha256: None,
        impl_address: None,
    }
}
