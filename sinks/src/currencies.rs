//! What prices are stated in: `currencies`. Data, like the registry; the chain's own currency follows the table of chains.
//!
//! A currency that the operator did not name gets a row with the first fact that names it, and waits there for what its contract
//! reports of itself. The operator's word stands above the contract's.

use std::collections::BTreeSet;

use alloy_primitives::Address;
use decoders::block::ChainId;
use decoders::currency::Metadata;
use decoders::fact::Facts;

use crate::error::SinkError;
use crate::projections::tokens::address_text;
use crate::store::Store;

/// A currency of one chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Currency {
    /// The ERC-20 contract.
    pub address: Address,
    /// Such as `WETH`.
    pub symbol: String,
    /// Digits after the point of one whole unit, at most 77; absent where unknown.
    pub decimals: Option<u8>,
    /// Whether one of it is worth one of the chain's own: its amounts then add to volumes and floors.
    pub pegged: bool,
}

/// Adds those of `currencies` that no operator named before.
pub async fn seed(store: &Store, chain: ChainId, currencies: &[Currency]) -> Result<(), SinkError> {
    if currencies.is_empty() {
        return Ok(());
    }
    let addresses: Vec<String> = currencies.iter().map(|one| address_text(&one.address)).collect();
    let decimals: Vec<Option<i32>> = currencies.iter().map(|one| one.decimals.map(i32::from)).collect();
    sqlx::query(SEED)
        .bind(chain.to_string())
        .bind(addresses)
        .bind(currencies.iter().map(|one| one.symbol.as_str()).collect::<Vec<_>>())
        .bind(decimals)
        .bind(currencies.iter().map(|one| one.pegged).collect::<Vec<_>>())
        .execute(&store.pool)
        .await?;
    Ok(())
}

/// Makes the row of one currency equal `currency`.
pub async fn set(store: &Store, chain: ChainId, currency: &Currency) -> Result<(), SinkError> {
    sqlx::query(SET)
        .bind(chain.to_string())
        .bind(address_text(&currency.address))
        .bind(&currency.symbol)
        .bind(currency.decimals.map(i32::from))
        .bind(currency.pegged)
        .execute(&store.pool)
        .await?;
    Ok(())
}

/// Makes a row for every currency that `facts` name. Called by every commit, before it begins; asks the database once per currency
/// and process.
pub(crate) async fn ensure(store: &Store, facts: &Facts) -> Result<(), SinkError> {
    let named = facts.iter().filter_map(|fact| fact.currency());
    let named: BTreeSet<Address> = named.filter(|currency| !currency.is_zero()).collect();
    let new = store.new_currencies(facts.chain, named);
    if new.is_empty() {
        return Ok(());
    }
    sqlx::query(ENSURE)
        .bind(facts.chain.to_string())
        .bind(new.iter().map(address_text).collect::<Vec<_>>())
        .execute(&store.pool)
        .await?;
    store.know_currencies(facts.chain, new);
    Ok(())
}

/// The first `limit` currencies of `chain` above `after` that have no source and whose contract was not asked, by address.
pub async fn unknown(
    store: &Store,
    chain: ChainId,
    after: Option<Address>,
    limit: u32,
) -> Result<Vec<Address>, SinkError> {
    let addresses: Vec<String> = sqlx::query_scalar(UNKNOWN)
        .bind(chain.to_string())
        .bind(after.as_ref().map(address_text))
        .bind(i64::from(limit))
        .fetch_all(&store.pool)
        .await?;
    Ok(addresses.iter().filter_map(|address| address.parse().ok()).collect())
}

/// Writes down what contracts reported of themselves, where there was no source before; returns how many there were.
pub async fn store_metadata(store: &Store, chain: ChainId, answers: &[(Address, Metadata)]) -> Result<u64, SinkError> {
    let metadata = || answers.iter().map(|(_, metadata)| metadata);
    let learned = sqlx::query(LEARN)
        .bind(chain.to_string())
        .bind(
            answers
                .iter()
                .map(|(address, _)| address_text(address))
                .collect::<Vec<_>>(),
        )
        .bind(metadata().map(|one| one.symbol.as_deref()).collect::<Vec<_>>())
        .bind(metadata().map(|one| one.decimals.map(i32::from)).collect::<Vec<_>>())
        .execute(&store.pool)
        .await?;
    Ok(learned.rows_affected())
}

// The configuration is seeded at every start; what an operator set by command stands above it.
const SEED: &str = "insert into catalog_service.currencies as c (chain_id, address, symbol, decimals, pegged)
    select $1, s.address, s.symbol, s.decimals, s.pegged
    from unnest($2::text[], $3::text[], $4::int4[], $5::bool[]) as s (address, symbol, decimals, pegged)
    on conflict (chain_id, address) do update set
        symbol = excluded.symbol, decimals = excluded.decimals, pegged = excluded.pegged, source = excluded.source
    where c.source <> 'operator'";

const SET: &str = "insert into catalog_service.currencies (chain_id, address, symbol, decimals, pegged)
    values ($1, $2, $3, $4, $5)
    on conflict (chain_id, address) do update set
        symbol = excluded.symbol, decimals = excluded.decimals, pegged = excluded.pegged, source = excluded.source";

const ENSURE: &str = "insert into catalog_service.currencies (chain_id, address, source)
    select $1, s.address, 'unknown' from unnest($2::text[]) as s (address) order by s.address
    on conflict (chain_id, address) do nothing";

const UNKNOWN: &str = "select address::text from catalog_service.currencies
    where chain_id = $1 and source = 'unknown' and address > coalesce($2, '') order by address limit $3";

const LEARN: &str =
    "update catalog_service.currencies c set symbol = s.symbol, decimals = s.decimals, source = 'contract'
    from unnest($2::text[], $3::text[], $4::int4[]) as s (address, symbol, decimals)
    where c.chain_id = $1 and c.address = s.address and c.source = 'unknown'";
