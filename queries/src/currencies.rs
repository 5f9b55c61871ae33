//! What prices are stated in.

use decoders::block::ChainId;
use serde::Serialize;
use sqlx::{FromRow, PgPool};

use crate::error::QueryError;

/// A currency of one chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, FromRow)]
pub struct Currency {
    /// CAIP-2 name of the chain.
    pub chain_id: String,
    /// The ERC-20 contract; zero for the chain's own currency.
    pub address: String,
    /// Such as `WETH`; absent where unknown.
    pub symbol: Option<String>,
    /// Digits after the point of one whole unit; absent where unknown.
    pub decimals: Option<i32>,
    /// Whether one of it is worth one of the chain's own.
    pub pegged: bool,
    /// `operator`, `contract`, or `unused` while its contract was not asked.
    pub source: String,
}

/// The currencies of `chain`, or of every chain, by chain and address.
pub async fn list(pool: &PgPool, chain: Option<ChainId>) -> Result<Vec<Currency>, QueryError> {
    let chain = chain.map(|chain| chain.to_string());
    Ok(sqlx::query_as(LIST).bind(chain).fetch_all(pool).await?)
}

const LIST: &str = "select chain_id, address, symbol, decimals, pegged, source from catalog_service.currencies
    where $1::text is null or chain_id = $1 order by chain_id, address";
