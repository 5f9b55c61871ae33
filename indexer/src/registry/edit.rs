//! Edits, each one transaction. An edit reads the row, lets the caller change it, and writes it back whole.

use alloy_primitives::Address;
use decoders::block::ChainId;
use sinks::store::Store;
use sqlx::error::ErrorKind;
use sqlx::types::Json;
use sqlx::{PgConnection, PgExecutor};

use super::abi::Abi;
use super::entry::{Chain, Contract, Endpoint};
use super::error::RegistryError;
use super::row;

/// Adds a chain; its `id` is given by the database.
pub async fn add_chain(store: &Store, chain: &Chain) -> Result<(), RegistryError> {
    let mut transaction = store.pool.begin().await?;
    let is_new = insert_chain(&mut transaction, chain).await?;
    transaction.commit().await?;
    if is_new {
        return Ok(());
    }
    let text = format!(
        "chain {} is in the registry already: change it with `indexer registry chains set`",
        chain.chain
    );
    Err(RegistryError::Refused(text))
}

/// Changes one chain. Its number stays.
pub async fn edit_chain(
    store: &Store,
    chain: ChainId,
    change: impl FnOnce(&mut Chain),
) -> Result<Chain, RegistryError> {
    let mut transaction = store.pool.begin().await?;
    let mut edited = row::chain(&mut transaction, chain).await?;
    let before = edited.scope;
    change(&mut edited);
    if edited.scope != before {
        check_scope(&mut transaction, &edited).await?;
    }
    // Keys the daemon does not know belong to other services and stay; a key without a value goes.
    sqlx::query(
        "update chain_registry_service.chains
         set name = $2, native_symbol = $3, decimals = $4, explorer_url = $5, enabled = $6, start_block = $7, scope = $8,
             features_json = jsonb_strip_nulls(features_json || $9)
         where id = $1",
    )
    .bind(edited.id)
    .bind(&edited.name)
    .bind(&edited.native_symbol)
    .bind(edited.decimals)
    .bind(&edited.explorer_url)
    .bind(edited.enabled)
    .bind(height(edited.start_block)?)
    .bind(word(edited.scope))
    .bind(Json(&edited.settings))
    .execute(&mut *transaction)
    .await
    .map_err(refused)?;
    transaction.commit().await?;
    Ok(edited)
}

/// Removes a chain with its endpoints and contracts. Facts of the chain stay.
pub async fn remove_chain(store: &Store, chain: ChainId) -> Result<(), RegistryError> {
    let mut transaction = store.pool.begin().await?;
    row::chain(&mut transaction, chain).await?;
    let removed = sqlx::query("delete from chain_registry_service.chains where caip2 = $1");
    removed.bind(chain.to_string()).execute(&mut *transaction).await?;
    Ok(transaction.commit().await?)
}

/// Adds an endpoint and returns its id.
pub async fn add_endpoint(store: &Store, endpoint: &Endpoint) -> Result<i32, RegistryError> {
    check_auth(endpoint)?;
    let mut transaction = store.pool.begin().await?;
    row::chain(&mut transaction, endpoint.chain).await?;
    let id = insert_endpoint(&mut *transaction, endpoint).await?;
    transaction.commit().await?;
    id.ok_or_else(|| {
        let (url, chain) = (&endpoint.url, endpoint.chain);
        RegistryError::Refused(format!(
            "{chain} has the endpoint {url} already: change it with `indexer registry endpoints set`"
        ))
    })
}

/// Changes one endpoint. Its chain stays.
pub async fn edit_endpoint(
    store: &Store,
    id: i32,
    change: impl FnOnce(&mut Endpoint),
) -> Result<Endpoint, RegistryError> {
    let mut transaction = store.pool.begin().await?;
    let found = row::endpoints(&mut *transaction, None)
        .await?
        .into_iter()
        .find(|endpoint| endpoint.id == id);
    let mut edited = found.ok_or_else(|| RegistryError::unknown_endpoint(id))?;
    change(&mut edited);
    check_auth(&edited)?;
    sqlx::query(
        "update chain_registry_service.chain_endpoints
         set url = $2, priority = $3, weight = $4, rate_limit = $5, auth_type = $6, active = $7
         where id = $1",
    )
    .bind(id)
    .bind(edited.url.expose())
    .bind(edited.priority)
    .bind(edited.weight)
    .bind(edited.rate_limit)
    .bind(word(edited.auth_type))
    .bind(edited.active)
    .execute(&mut *transaction)
    .await
    .map_err(|error| {
        let text = || format!("{} has the endpoint {} already", edited.chain, edited.url);
        RegistryError::refused_if(error, &ErrorKind::UniqueViolation, text)
    })?;
    transaction.commit().await?;
    Ok(edited)
}

/// Removes an endpoint and returns what it was.
pub async fn remove_endpoint(store: &Store, id: i32) -> Result<(), RegistryError> {
    let removed = sqlx::query("delete from chain_registry_service.chain_endpoints where id = $1");
    let removed = removed.bind(id).execute(&store.pool).await?;
    if removed.rows_affected() == 0 {
        Err(RegistryError::unknown_endpoint(id))
    } else {
        Ok(())
    }
}

/// Adds a contract, and with it `abi`, which its row then names.
pub async fn add_contract(store: &Store, contract: &Contract, abi: Option<&Abi>) -> Result<(), RegistryError> {
    let mut transaction = store.pool.begin().await?;
    row::chain(&mut transaction, contract.chain).await?;
    let mut contract = contract.clone();
    if let Some(abi) = abi {
        insert_abi(
            &mut transaction,
            abi,
            contract.name.as_deref(),
            contract.standard.as_deref(),
        )
        .await?;
        contract.abi_sha256 = Some(abi.sha256.clone());
    }
    let added = insert_contract(&mut *transaction, &contract).await?;
    transaction.commit().await?;
    if added {
        return Ok(());
    }
    let (chain, address) = (contract.chain, contract.address);
    let advice = "change it with `indexer registry contracts set`";
    Err(RegistryError::Refused(format!(
        "contract {address:#x} of {chain} is in the registry already: {advice}"
    )))
}

/// Changes one contract, and with it its ABI where one is given. Its chain and address stay.
pub async fn edit_contract(
    store: &Store,
    (chain, address): (ChainId, Address),
    abi: Option<&Abi>,
    change: impl FnOnce(&mut Contract),
) -> Result<Contract, RegistryError> {
    let mut transaction = store.pool.begin().await?;
    let found = row::contracts(&mut *transaction, Some(chain))
        .await?
        .into_iter()
        .find(|contract| contract.address == address);
    let mut edited = found.ok_or_else(|| RegistryError::unknown_contract(chain, &address))?;
    change(&mut edited);
    if let Some(abi) = abi {
        insert_abi(
            &mut transaction,
            abi,
            edited.name.as_deref(),
            edited.standard.as_deref(),
        )
        .await?;
        edited.abi_sha256 = Some(abi.sha256.clone());
    }
    sqlx::query(
        "update chain_registry_service.chain_contracts k
         set name = $3, standard = $4, start_block = $5, abi_sha256 = $6, impl_address = $7
         from chain_registry_service.chains c
         where c.id = k.chain_id and c.caip2 = $1 and k.address = $2",
    )
    .bind(chain.to_string())
    .bind(format!("{address:#x}"))
    .bind(&edited.name)
    .bind(&edited.standard)
    .bind(height(edited.start_block)?)
    .bind(&edited.abi_sha256)
    .bind(edited.impl_address.map(|address| format!("{address:#x}")))
    .execute(&mut *transaction)
    .await
    .map_err(|error| missing_abi(error, edited.abi_sha256.as_deref()))?;
    transaction.commit().await?;
    Ok(edited)
}

/// Removes a contract. Its ABI and its facts stay.
pub async fn remove_contract(store: &Store, chain: ChainId, address: Address) -> Result<(), RegistryError> {
    let removed = sqlx::query(
        "delete from chain_registry_service.chain_contracts k
         using chain_registry_service.chains c
         where c.id = k.chain_id and c.caip2 = $1 and k.address = $2",
    );
    let removed = removed
        .bind(chain.to_string())
        .bind(format!("{address:#x}"))
        .execute(&store.pool)
        .await?;
    if removed.rows_affected() == 0 {
        Err(RegistryError::unknown_contract(chain, &address))
    } else {
        Ok(())
    }
}

/// Adds an ABI; one that is there already stays as it is.
pub async fn add_abi(
    store: &Store,
    abi: &Abi,
    name: Option<&str>,
    standard: Option<&str>,
) -> Result<(), RegistryError> {
    let mut connection = store.pool.acquire().await?;
    insert_abi(&mut connection, abi, name, standard).await
}

/// Removes an ABI that no contract uses.
pub async fn remove_abi(store: &Store, sha256: &str) -> Result<(), RegistryError> {
    let removed = sqlx::query("delete from chain_registry_service.abi_blobs where sha256 = $1").bind(sha256);
    let removed = removed.execute(&store.pool).await.map_err(|error| {
        let text = || format!("ABI {sha256} is used by a contract: give that one another first");
        RegistryError::refused_if(error, &ErrorKind::ForeignKeyViolation, text)
    })?;
    if removed.rows_affected() == 0 {
        Err(RegistryError::unknown_abi(sha256))
    } else {
        Ok(())
    }
}

// An insert that meets a conflict uses up an id, and every start seeds: hence the look before it.

/// Refuses a scope other than the one in which blocks of the chain were indexed, also before the chain was removed: coverage is kept
/// per decoder in one scope and per contract in the other, so facts would be written twice.
async fn check_scope(connection: &mut PgConnection, chain: &Chain) -> Result<(), RegistryError> {
    let covered = row::covered_scope(connection, chain.chain).await?;
    if covered.is_none_or(|covered| covered == chain.scope) {
        return Ok(());
    }
    Err(RegistryError::Refused(format!(
        "{} has indexed blocks, so its scope stays: add the chain to another database for another scope",
        chain.chain
    )))
}

/// Whether the chain was missing and is there now.
pub(super) async fn insert_chain(connection: &mut PgConnection, chain: &Chain) -> Result<bool, RegistryError> {
    let inserted = sqlx::query(
        "insert into chain_registry_service.chains
             (caip2, chain_numeric, name, native_symbol, decimals, explorer_url, enabled, start_block, scope, features_json)
         select $1::text, $2, $3, $4, $5, $6, $7, $8, $9, jsonb_strip_nulls($10)
         where not exists (select from chain_registry_service.chains where caip2 = $1)
         on conflict do nothing",
    )
    .bind(chain.chain.to_string())
    .bind(height(chain.chain.0)?)
    .bind(&chain.name)
    .bind(&chain.native_symbol)
    .bind(chain.decimals)
    .bind(&chain.explorer_url)
    .bind(chain.enabled)
    .bind(height(chain.start_block)?)
    .bind(word(chain.scope))
    .bind(Json(&chain.settings))
    .execute(&mut *connection)
    .await
    .map_err(refused)?;
    let is_new = inserted.rows_affected() == 1;
    if is_new {
        check_scope(connection, chain).await?;
    }
    Ok(is_new)
}

/// The id, where the endpoint was missing and is there now.
pub(super) async fn insert_endpoint(
    executor: impl PgExecutor<'_>,
    endpoint: &Endpoint,
) -> Result<Option<i32>, RegistryError> {
    let inserted = sqlx::query_scalar(
        "insert into chain_registry_service.chain_endpoints (chain_id, url, priority, weight, rate_limit, auth_type, active)
         select c.id, $2, $3, $4, $5, $6, $7 from chain_registry_service.chains c
         where c.caip2 = $1
           and not exists (select from chain_registry_service.chain_endpoints e where e.chain_id = c.id and e.url = $2)
         on conflict (chain_id, url) do nothing
         returning id",
    )
    .bind(endpoint.chain.to_string())
    .bind(endpoint.url.expose())
    .bind(endpoint.priority)
    .bind(endpoint.weight)
    .bind(endpoint.rate_limit)
    .bind(word(endpoint.auth_type))
    .bind(endpoint.active);
    inserted.fetch_optional(executor).await.map_err(refused)
}

/// Whether the contract was missing and is there now.
pub(super) async fn insert_contract(executor: impl PgExecutor<'_>, contract: &Contract) -> Result<bool, RegistryError> {
    let inserted = sqlx::query(
        "insert into chain_registry_service.chain_contracts
             (chain_id, address, name, standard, start_block, abi_sha256, impl_address)
         select c.id, $2::text, $3, $4, $5, $6, $7 from chain_registry_service.chains c
         where c.caip2 = $1
           and not exists (select from chain_registry_service.chain_contracts k where k.chain_id = c.id and k.address = $2)
         on conflict (chain_id, address) do nothing",
    )
    .bind(contract.chain.to_string())
    .bind(format!("{:#x}", contract.address))
    .bind(&contract.name)
    .bind(&contract.standard)
    .bind(height(contract.start_block)?)
    .bind(&contract.abi_sha256)
    .bind(contract.impl_address.map(|address| format!("{address:#x}")))
    .execute(executor)
    .await
    .map_err(|error| missing_abi(error, contract.abi_sha256.as_deref()))?;
    Ok(inserted.rows_affected() == 1)
}

pub(super) async fn insert_abi(
    connection: &mut PgConnection,
    abi: &Abi,
    name: Option<&str>,
    standard: Option<&str>,
) -> Result<(), RegistryError> {
    sqlx::query(
        "insert into chain_registry_service.abi_blobs (sha256, size_bytes, source, contract_name, standard, abi_json)
         values ($1, octet_length($2), 'file', $3, $4, $2::jsonb)
         on conflict (sha256) do nothing",
    )
    .bind(&abi.sha256)
    .bind(&abi.json)
    .bind(name)
    .bind(standard)
    .execute(connection)
    .await
    .map_err(refused)?;
    Ok(())
}

fn check_auth(endpoint: &Endpoint) -> Result<(), RegistryError> {
    let checked = endpoint.url.check_auth(endpoint.auth_type);
    checked.map_err(|error| RegistryError::Refused(error.to_string()))
}

/// Heights and chain numbers fit 63 bits (EIP-2294); what does not is refused before the database would.
fn height(number: u64) -> Result<i64, RegistryError> {
    i64::try_from(number)
        .map_err(|_| RegistryError::Refused(format!("{number} is too large, allowed are numbers below 2^63")))
}

fn refused(error: sqlx::Error) -> RegistryError {
    RegistryError::refused_if(error, &ErrorKind::UniqueViolation, || {
        "the row is in the registry already".to_owned()
    })
}

fn missing_abi(error: sqlx::Error, sha256: Option<&str>) -> RegistryError {
    let sha256 = sha256.unwrap_or_default();
    let text = || format!("ABI {sha256} is not in the registry: add it with `indexer registry abis add`");
    RegistryError::refused_if(error, &ErrorKind::ForeignKeyViolation, text)
}

/// The word a unit variant is stored as.
fn word(value: impl serde::Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        other => unreachable!("a unit variant is written as a string, not {other:?}"),
    }
}
