//! What prices are told in: `currencies`. Data, like the registry; the chain's own currency follows the table of chains.

use alloy_primitives::Address;
use decoders::block::ChainId;

use crate::error::SinkError;
use crate::store::Store;
use crate::tokens::address_text;

/// A currency of one chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Currency {
    /// The ERC-20 contract.
    pub address: Address,
    /// Such as `WETH`.
    pub symbol: String,
    /// Digits after the point of one whole unit, at most 77; absent where nobody told.
    pub decimals: Option<u8>,
    /// Whether one of it is worth one of the chain's own: its amounts then add to volumes and floors.
    pub pegged: bool,
}

/// A currency as the table holds it.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow, serde::Serialize)]
pub struct Listed {
    /// The chain, as CAIP-2 text.
    pub chain_id: String,
    /// The ERC-20 contract; zero for the chain's own currency.
    pub address: String,
    /// Such as `WETH`.
    pub symbol: String,
    /// Digits after the point of one whole unit; absent where nobody told.
    pub decimals: Option<i32>,
    /// Whether one of it is worth one of the chain's own.
    pub pegged: bool,
}

/// Adds those of `currencies` that the table lacks; what it holds stays as it is.
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

/// Makes the table say of one currency what `currency` says.
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

/// The currencies of `chain`, or of every chain, by chain and address.
pub async fn list(store: &Store, chain: Option<ChainId>) -> Result<Vec<Listed>, SinkError> {
    let chain = chain.map(|chain| chain.to_string());
    Ok(sqlx::query_as(LIST).bind(chain).fetch_all(&store.pool).await?)
}

const SEED: &str = "insert into catalog_service.currencies (chain_id, address, symbol, decimals, pegged)
    select $1, s.address, s.symbol, s.decimals, s.pegged
    from unnest($2::text[], $3::text[], $4::int4[], $5::bool[]) as s (address, symbol, decimals, pegged)
    on conflict (chain_id, address) do nothing";

const SET: &str = "insert into catalog_service.currencies (chain_id, address, symbol, decimals, pegged)
    values ($1, $2, $3, $4, $5)
    on conflict (chain_id, address) do update set
        symbol = excluded.symbol, decimals = excluded.decimals, pegged = excluded.pegged";

const LIST: &str = "select chain_id, address, symbol, decimals, pegged from catalog_service.currencies
    where $1::text is null or chain_id = $1 order by chain_id, address";
