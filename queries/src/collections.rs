//! Collections, those with the most events first.

use chrono::{DateTime, Utc};
use decoders::block::ChainId;
use serde::Serialize;
use sqlx::postgres::PgRow;
use sqlx::{FromRow, PgExecutor, PgPool, Row};

use crate::error::QueryError;

/// One collection with its counts, exact as of the moment they were read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Collection {
    /// CAIP-2 name of the chain.
    pub chain: String,
    /// Token contract.
    pub contract: String,
    /// Display name from the registry; absent where none was given.
    pub name: Option<String>,
    /// Token standard: `erc721`, `erc1155`, …
    pub standard: String,
    /// Tokens that are not burned.
    pub items: i64,
    /// Distinct owners.
    pub owners: i64,
    /// Mints of its tokens.
    pub mints: i64,
    /// Transfers that are neither mints nor burns.
    pub transfers: i64,
    /// Burns of its tokens.
    pub burns: i64,
    /// Sales of its tokens.
    pub sales: i64,
    /// What was paid in the chain's own currency and those worth the same, in whole units, decimal.
    pub volume: String,
    /// The cheapest listing, in whole units, decimal; absent where there is none.
    pub floor: Option<String>,
    /// The newest sale that is no part of a bundle.
    pub last_sale: Option<LastSale>,
}

/// The newest sale of something that was sold alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LastSale {
    /// Units sold, decimal.
    pub quantity: String,
    /// What they cost together, in whole units of the currency, decimal; absent where price or decimals are not known.
    pub price: Option<String>,
    /// The currency's symbol, where it is known.
    pub currency_symbol: Option<String>,
    /// Time of the block.
    pub at: DateTime<Utc>,
}

/// The collections with the most events, on one chain or on all, at most `limit`.
pub async fn busiest(pool: &PgPool, chain: Option<ChainId>, limit: i64) -> Result<Vec<Collection>, QueryError> {
    let chain = chain.map(|chain| chain.to_string());
    Ok(busiest_of(pool, chain.as_deref(), limit).await?)
}

pub(crate) async fn busiest_of(
    executor: impl PgExecutor<'_>,
    chain: Option<&str>,
    limit: i64,
) -> Result<Vec<Collection>, sqlx::Error> {
    sqlx::query_as(BUSIEST)
        .bind(chain)
        .bind(limit)
        .fetch_all(executor)
        .await
}

// Items and owners are counted, so the page is chosen first.
// Materialized, or the planner may count for all collections before it applies the limit.
const BUSIEST: &str = "with page as materialized (
        select c.id, c.chain_id, c.contract_address, coalesce(k.name, c.name) as name, c.collection_type,
               n.transfers, n.mints, n.burns
        from catalog_service.collection_counters n
        join catalog_service.collections c on c.chain_id = n.chain_id and c.contract_address = n.contract
        left join chain_registry_service.chains h on h.caip2 = c.chain_id
        left join chain_registry_service.chain_contracts k on k.chain_id = h.id and k.address = c.contract_address
        where $1::text is null or n.chain_id = $1
        order by n.transfers + n.mints + n.burns desc, n.chain_id, n.contract
        limit $2
    )
    select p.*, s.items_count, s.owners_count, s.sales_count, s.volume_native::text as volume,
           s.floor_price_native::text as floor, l.quantity::text as last_sale_quantity,
           l.price_native::text as last_sale_price, l.currency_symbol as last_sale_currency_symbol,
           l.occurred_at as last_sale_at
    from page p
    join catalog_service.collection_stats s on s.collection_id = p.id
    left join catalog_service.collection_last_sales l on l.collection_id = p.id
    order by p.transfers + p.mints + p.burns desc, p.chain_id, p.contract_address";

impl FromRow<'_, PgRow> for Collection {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        Ok(Collection {
            chain: row.try_get("chain_id")?,
            contract: row.try_get("contract_address")?,
            name: row.try_get("name")?,
            standard: row.try_get("collection_type")?,
            items: row.try_get("items_count")?,
            owners: row.try_get("owners_count")?,
            mints: row.try_get("mints")?,
            transfers: row.try_get("transfers")?,
            burns: row.try_get("burns")?,
            sales: row.try_get("sales_count")?,
            volume: row.try_get("volume")?,
            floor: row.try_get("floor")?,
            last_sale: last_sale_of(row)?,
        })
    }
}

/// The last sale in `row`, which has its columns under names that begin with `last_sale_`.
pub(crate) fn last_sale_of(row: &PgRow) -> Result<Option<LastSale>, sqlx::Error> {
    let Some(at) = row.try_get("last_sale_at")? else {
        return Ok(None);
    };
    Ok(Some(LastSale {
        quantity: row.try_get("last_sale_quantity")?,
        price: row.try_get("last_sale_price")?,
        currency_symbol: row.try_get("last_sale_currency_symbol")?,
        at,
    }))
}
