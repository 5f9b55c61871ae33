//! Collections and tokens.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::postgres::PgRow;
use sqlx::{PgExecutor, PgPool, Row};

use crate::error::ApiError;
use crate::{chains, request};

/// Owners shown of one token.
const SHOWN_OWNERS: i64 = 100;

/// One collection with its counts, exact as of the moment they were read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Collection {
    /// CAIP-2 name of the chain.
    pub chain: String,
    /// Token contract.
    pub contract: String,
    /// Display name from the registry; absent where none was given.
    pub name: Option<String>,
    /// Standard.
    pub standard: String,
    /// Tokens that are not burned.
    pub items: i64,
    /// Distinct owners.
    pub owners: i64,
    /// Facts of each kind.
    pub mints: i64,
    /// Facts of each kind.
    pub transfers: i64,
    /// Facts of each kind.
    pub burns: i64,
    /// Facts of each kind.
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
    /// Units, decimal.
    pub quantity: String,
    /// What they cost together, in whole units of the currency, decimal; absent where price or decimals are not known.
    pub price: Option<String>,
    /// The currency's symbol, where it is known.
    pub currency_symbol: Option<String>,
    /// Time of the block.
    pub at: DateTime<Utc>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Collections {
    collections: Vec<Collection>,
}

/// Parameters of `GET /v1/collections`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CollectionsParameters {
    chain: Option<String>,
    limit: Option<String>,
}

/// `GET /v1/collections`: those with the most events first.
pub(crate) async fn collections(
    State(pool): State<PgPool>,
    query: Result<Query<CollectionsParameters>, QueryRejection>,
) -> Result<Json<Collections>, ApiError> {
    let parameters = request::query(query)?;
    let chain = parameters.chain.as_deref().map(request::chain).transpose()?;
    let limit = request::limit(parameters.limit.as_deref())?;
    let collections = busiest(&pool, chain.map(|chain| chain.to_string()).as_deref(), limit).await?;
    if let (Some(chain), true) = (chain, collections.is_empty()) {
        chains::check(&pool, chain).await?;
    }
    Ok(Json(Collections { collections }))
}

/// The collections with the most events, on one chain or on all.
pub(crate) async fn busiest(
    executor: impl PgExecutor<'_>,
    chain: Option<&str>,
    limit: i64,
) -> Result<Vec<Collection>, sqlx::Error> {
    // Items and owners are counted, so the page is chosen first.
    let rows = sqlx::query(
        "with page as materialized (
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
         order by p.transfers + p.mints + p.burns desc, p.chain_id, p.contract_address",
    );
    let rows = rows.bind(chain).bind(limit).fetch_all(executor).await?;
    rows.iter().map(collection_of).collect()
}

fn collection_of(row: &PgRow) -> Result<Collection, sqlx::Error> {
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

fn last_sale_of(row: &PgRow) -> Result<Option<LastSale>, sqlx::Error> {
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

/// One token and who owns it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Token {
    /// CAIP-2 name of the chain.
    chain: String,
    /// Token contract.
    contract: String,
    /// Token number, decimal.
    token: String,
    /// Standard.
    standard: String,
    /// Display name, once its metadata was read.
    name: Option<String>,
    /// Image, once its metadata was read.
    image_url: Option<String>,
    /// Whether it is gone.
    burned: bool,
    /// When it was minted, where the mint was seen.
    minted_at: Option<DateTime<Utc>>,
    /// How often it was sold.
    sales: i64,
    /// What was paid in the chain's own currency and those worth the same, in whole units, decimal.
    volume: String,
    /// The newest sale that is no part of a bundle.
    last_sale: Option<LastSale>,
    /// Owners, the largest first, at most a hundred; negative where the history is not covered yet.
    owners: Vec<Holding>,
}

/// How much of a token somebody owns.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Holding {
    /// Who.
    pub owner: String,
    /// Units, decimal.
    pub quantity: String,
}

/// `GET /v1/tokens/{chain}/{contract}/{token}`.
pub(crate) async fn token(
    State(pool): State<PgPool>,
    Path((chain, contract, token)): Path<(String, String, String)>,
) -> Result<Json<Token>, ApiError> {
    let (chain, contract, number) = (
        request::chain(&chain)?,
        request::contract(&contract)?,
        request::token(&token)?,
    );
    let id = decoders::id::token_id(chain, &contract, &number);
    let mut transaction = pool.begin().await?;
    let found = sqlx::query(
        "select t.chain_id, t.contract_address, t.token_number, t.token_standard, t.name, t.image_url, t.burned, t.minted_at,
                s.sales_count, s.volume_native::text as volume, s.last_sale_quantity::text as last_sale_quantity,
                s.last_sale_price_native::text as last_sale_price, s.last_sale_currency_symbol, s.last_sale_at
         from catalog_service.tokens t
         join catalog_service.token_stats s on s.token_id = t.id
         where t.id = $1",
    );
    let found = found.bind(id).fetch_optional(&mut *transaction).await?;
    let Some(row) = found else {
        chains::check(&mut *transaction, chain).await?;
        return Err(ApiError::NotFound(format!(
            "token {number} of {contract:#x} on {chain}"
        )));
    };
    let owners = owners(&mut *transaction, id, SHOWN_OWNERS).await?;
    transaction.commit().await?;
    Ok(Json(token_of(&row, owners)?))
}

/// Who owns the token with the id `token`.
pub(crate) async fn owners(
    executor: impl PgExecutor<'_>,
    token: uuid::Uuid,
    limit: i64,
) -> Result<Vec<Holding>, sqlx::Error> {
    let rows = sqlx::query(
        "select owner, quantity::text as quantity from (
             select owner_address as owner, 1::numeric as quantity
             from catalog_service.tokens where id = $1 and owner_address is not null
             union all
             select owner, quantity from catalog_service.erc1155_balances where token = $1 and quantity <> 0
         ) holdings
         order by holdings.quantity desc, owner
         limit $2",
    );
    let rows = rows.bind(token).bind(limit).fetch_all(executor).await?;
    rows.iter()
        .map(|row| {
            Ok(Holding {
                owner: row.try_get("owner")?,
                quantity: row.try_get("quantity")?,
            })
        })
        .collect()
}

fn token_of(row: &PgRow, owners: Vec<Holding>) -> Result<Token, sqlx::Error> {
    Ok(Token {
        chain: row.try_get("chain_id")?,
        contract: row.try_get("contract_address")?,
        token: row.try_get("token_number")?,
        standard: row.try_get("token_standard")?,
        name: row.try_get("name")?,
        image_url: row.try_get("image_url")?,
        burned: row.try_get("burned")?,
        minted_at: row.try_get("minted_at")?,
        sales: row.try_get("sales_count")?,
        volume: row.try_get("volume")?,
        last_sale: last_sale_of(row)?,
        owners,
    })
}
