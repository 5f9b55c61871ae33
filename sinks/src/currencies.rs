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

/// Makes the table say of the currencies of `chain` what `currencies` say. Others stay as they are.
pub async fn seed(store: &Store, chain: ChainId, currencies: &[Currency]) -> Result<(), SinkError> {
    sqlx::query(SEED)
        .bind(chain.to_string())
        .bind(
            currencies
                .iter()
                .map(|one| address_text(&one.address))
                .collect::<Vec<_>>(),
        )
        .bind(currencies.iter().map(|one| one.symbol.as_str()).collect::<Vec<_>>())
        .bind(
            currencies
                .iter()
                .map(|one| one.decimals.map(i32::from))
                .collect::<Vec<_>>(),
        )
        .bind(currencies.iter().map(|one| one.pegged).collect::<Vec<_>>())
        .execute(&store.pool)
        .await?;
    Ok(())
}

const SEED: &str = "insert into catalog_service.currencies as c (chain_id, address, symbol, decimals, pegged)
    select $1, s.address, s.symbol, s.decimals, s.pegged
    from unnest($2::text[], $3::text[], $4::int4[], $5::bool[]) as s (address, symbol, decimals, pegged)
    on conflict (chain_id, address) do update set
        symbol = excluded.symbol, decimals = excluded.decimals, pegged = excluded.pegged
    where (c.symbol, c.decimals, c.pegged) is distinct from (excluded.symbol, excluded.decimals, excluded.pegged)";
