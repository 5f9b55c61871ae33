//! Rows of the registry as values.

use std::str::FromStr;

use alloy_primitives::Address;
use decoders::block::ChainId;
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{PgConnection, PgExecutor, Row};

use super::entry::{AbiBlob, Chain, ChainSettings, Contract, Endpoint, GasPolicy};
use super::error::RegistryError;
use crate::config::{AuthType, EndpointUrl, Scope};

pub(super) async fn chains(executor: impl PgExecutor<'_>, chain: Option<ChainId>) -> Result<Vec<Chain>, RegistryError> {
    let rows = sqlx::query(
        "select id, caip2, name, native_symbol, decimals, explorer_url, enabled, start_block, scope, features_json
         from chain_registry_service.chains
         where $1::text is null or caip2 = $1
         order by chain_numeric",
    )
    .bind(chain.map(|chain| chain.to_string()))
    .fetch_all(executor)
    .await?;
    rows.iter().map(chain_of).collect()
}

/// One chain; the error for one that is not there names those that are.
pub(super) async fn chain(connection: &mut PgConnection, chain: ChainId) -> Result<Chain, RegistryError> {
    match chains(&mut *connection, Some(chain)).await?.pop() {
        Some(found) => Ok(found),
        None => Err(RegistryError::unknown_chain(chain, &chains(connection, None).await?)),
    }
}

/// The chain in `row`, which has the columns of [`chains`].
pub(super) fn chain_of(row: &PgRow) -> Result<Chain, RegistryError> {
    let caip2: String = row.try_get("caip2")?;
    let scope: String = row.try_get("scope")?;
    let Json(settings) = row.try_get::<Json<serde_json::Value>, _>("features_json")?;
    Ok(Chain {
        id: row.try_get("id")?,
        chain: parsed(&caip2, &caip2)?,
        name: row.try_get("name")?,
        native_symbol: row.try_get("native_symbol")?,
        decimals: row.try_get("decimals")?,
        explorer_url: row.try_get("explorer_url")?,
        enabled: row.try_get("enabled")?,
        start_block: unsigned(row.try_get("start_block")?),
        scope: if scope == "contracts" {
            Scope::Contracts
        } else {
            Scope::All
        },
        settings: serde_json::from_value::<ChainSettings>(settings).map_err(|error| malformed(&caip2, error))?,
    })
}

pub(super) async fn endpoints(
    executor: impl PgExecutor<'_>,
    chain: Option<ChainId>,
) -> Result<Vec<Endpoint>, RegistryError> {
    let rows = sqlx::query(
        "select e.id, c.caip2, e.url, e.priority, e.weight, e.rate_limit, e.auth_type, e.active
         from chain_registry_service.chain_endpoints e
         join chain_registry_service.chains c on c.id = e.chain_id
         where $1::text is null or c.caip2 = $1
         order by c.chain_numeric, e.priority, e.id",
    )
    .bind(chain.map(|chain| chain.to_string()))
    .fetch_all(executor)
    .await?;
    rows.iter().map(endpoint_of).collect()
}

/// The endpoint in `row`, which has the columns of [`endpoints`].
pub(super) fn endpoint_of(row: &PgRow) -> Result<Endpoint, RegistryError> {
    let id: i32 = row.try_get("id")?;
    let what = format!("endpoint {id}");
    let auth_type: Option<String> = row.try_get("auth_type")?;
    Ok(Endpoint {
        id,
        chain: parsed(row.try_get("caip2")?, &what)?,
        url: EndpointUrl::kept(row.try_get("url")?).map_err(|error| malformed(&what, error))?,
        priority: row.try_get("priority")?,
        weight: row.try_get("weight")?,
        rate_limit: row.try_get("rate_limit")?,
        // The column is free text that other services may fill with words of their own.
        auth_type: match auth_type.as_deref() {
            Some("url") => AuthType::Url,
            Some("basic") => AuthType::Basic,
            _ => AuthType::None,
        },
        active: row.try_get("active")?,
    })
}

/// The scope in which blocks of `chain` were indexed; `None` where none was. The archive is covered for itself in one scope only.
pub(super) async fn covered_scope(
    executor: impl PgExecutor<'_>,
    chain: ChainId,
) -> Result<Option<Scope>, RegistryError> {
    let row: (bool, bool) = sqlx::query_as(
        "select coalesce(bool_or(source = 'archive'), false), coalesce(bool_or(source not like '%:%'), false)
         from indexer_service.indexer_coverage where chain_id = $1 and not isempty(covered)",
    )
    .bind(chain.to_string())
    .fetch_one(executor)
    .await?;
    Ok(match row {
        (true, _) => Some(Scope::All),
        (false, true) => Some(Scope::Contracts),
        (false, false) => None,
    })
}

pub(super) async fn contracts(
    executor: impl PgExecutor<'_>,
    chain: Option<ChainId>,
) -> Result<Vec<Contract>, RegistryError> {
    let rows = sqlx::query(
        "select c.caip2, k.address, k.name, k.standard, k.start_block, k.abi_sha256, k.impl_address
         from chain_registry_service.chain_contracts k
         join chain_registry_service.chains c on c.id = k.chain_id
         where $1::text is null or c.caip2 = $1
         order by c.chain_numeric, k.address",
    )
    .bind(chain.map(|chain| chain.to_string()))
    .fetch_all(executor)
    .await?;
    rows.iter().map(contract_of).collect()
}

/// The contract in `row`, which has the columns of [`contracts`].
pub(super) fn contract_of(row: &PgRow) -> Result<Contract, RegistryError> {
    let address: &str = row.try_get("address")?;
    let what = format!("contract {address}");
    let impl_address: Option<&str> = row.try_get("impl_address")?;
    Ok(Contract {
        chain: parsed(row.try_get("caip2")?, &what)?,
        address: parsed(address, &what)?,
        name: row.try_get("name")?,
        standard: row.try_get("standard")?,
        start_block: unsigned(row.try_get("start_block")?),
        abi_sha256: row.try_get("abi_sha256")?,
        impl_address: impl_address.map(|address| parsed(address, &what)).transpose()?,
    })
}

/// Beacons that registered contracts of `chain` ask.
pub(super) async fn beacons(executor: impl PgExecutor<'_>, chain: ChainId) -> Result<Vec<Address>, RegistryError> {
    let rows: Vec<String> = sqlx::query_scalar(
        "select distinct a.target::text
         from chain_registry_service.chain_contract_abis a
         join chain_registry_service.chains c on c.caip2 = a.chain_id
         join chain_registry_service.chain_contracts k on k.chain_id = c.id and k.address = a.contract
         where a.chain_id = $1 and a.kind = 'beacon'
         order by 1",
    )
    .bind(chain.to_string())
    .fetch_all(executor)
    .await?;
    rows.iter().map(|address| parsed(address, "a beacon")).collect()
}

pub(super) async fn gas_policy(
    executor: impl PgExecutor<'_>,
    chain: ChainId,
) -> Result<Option<GasPolicy>, RegistryError> {
    let row = sqlx::query(
        "select g.max_fee_gwei::float8, g.priority_fee_gwei::float8, g.multiplier::float8, g.last_observed_base_fee_gwei::float8
         from chain_registry_service.chain_gas_policy g
         join chain_registry_service.chains c on c.id = g.chain_id
         where c.caip2 = $1",
    )
    .bind(chain.to_string())
    .fetch_optional(executor)
    .await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(GasPolicy {
        max_fee_gwei: row.try_get("max_fee_gwei")?,
        priority_fee_gwei: row.try_get("priority_fee_gwei")?,
        multiplier: row.try_get("multiplier")?,
        last_observed_base_fee_gwei: row.try_get("last_observed_base_fee_gwei")?,
    }))
}

pub(super) async fn abis(executor: impl PgExecutor<'_>) -> Result<Vec<AbiBlob>, RegistryError> {
    let rows = sqlx::query(
        "select b.sha256, b.size_bytes, b.contract_name, b.standard, count(k.id) as contracts
         from chain_registry_service.abi_blobs b
         left join chain_registry_service.chain_contracts k on k.abi_sha256 = b.sha256
         group by b.sha256
         order by b.contract_name nulls last, b.sha256",
    )
    .fetch_all(executor)
    .await?;
    let blob = |row: &PgRow| {
        Ok(AbiBlob {
            sha256: row.try_get("sha256")?,
            size_bytes: row.try_get("size_bytes")?,
            contract_name: row.try_get("contract_name")?,
            standard: row.try_get("standard")?,
            contracts: row.try_get("contracts")?,
        })
    };
    rows.iter().map(blob).collect()
}

pub(super) async fn abi_json(
    executor: impl PgExecutor<'_>,
    sha256: &str,
) -> Result<Option<serde_json::Value>, RegistryError> {
    let found = sqlx::query_scalar("select abi_json from chain_registry_service.abi_blobs where sha256 = $1");
    Ok(found.bind(sha256).fetch_optional(executor).await?.flatten())
}

fn parsed<T: FromStr<Err: std::fmt::Display>>(text: &str, what: &str) -> Result<T, RegistryError> {
    text.parse().map_err(|error| malformed(what, error))
}

fn malformed(what: &str, cause: impl std::fmt::Display) -> RegistryError {
    RegistryError::Malformed {
        what: what.to_owned(),
        cause: cause.to_string(),
    }
}

/// The schema keeps heights at zero or above.
fn unsigned(height: i64) -> u64 {
    u64::try_from(height).unwrap_or(0)
}
