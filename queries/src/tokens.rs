//! Tokens and who owns them.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::postgres::PgRow;
use sqlx::{FromRow, PgExecutor, PgPool, Row};
use uuid::Uuid;

use crate::collections::{LastSale, last_sale_of};
use crate::error::QueryError;

/// Owners shown of one token.
const SHOWN_OWNERS: i64 = 100;

/// One token and who owns it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Token {
    /// CAIP-2 name of the chain.
    pub chain: String,
    /// Token contract.
    pub contract: String,
    /// Token number, decimal.
    pub token: String,
    /// Token standard: `erc721`, `erc1155`, …
    pub standard: String,
    /// Display name, once its metadata was read.
    pub name: Option<String>,
    /// URL of its image, once its metadata was read.
    pub image_url: Option<String>,
    /// Whether it is gone.
    pub burned: bool,
    /// Time of the block it was minted in, where the mint was seen.
    pub minted_at: Option<DateTime<Utc>>,
    /// How often it was sold.
    pub sales: i64,
    /// What was paid in the chain's own currency and those worth the same, in whole units, decimal.
    pub volume: String,
    /// The newest sale that is no part of a bundle.
    pub last_sale: Option<LastSale>,
    /// Owners, the largest first, at most a hundred; negative where the history is not covered yet.
    pub owners: Vec<Holding>,
}

/// How much of a token somebody owns.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, FromRow)]
pub struct Holding {
    /// Who.
    pub owner: String,
    /// Units, decimal.
    pub quantity: String,
}

/// The token with the id `token` (`decoders::id::token_id`); `None` where nothing is known of it.
pub async fn find(pool: &PgPool, token: Uuid) -> Result<Option<Token>, QueryError> {
    let mut transaction = pool.begin().await?;
    let found = sqlx::query_as(FIND)
        .bind(token)
        .fetch_optional(&mut *transaction)
        .await?;
    let Some(found) = found else { return Ok(None) };
    let owners = owners(&mut *transaction, token, SHOWN_OWNERS).await?;
    transaction.commit().await?;
    Ok(Some(Token { owners, ..found }))
}

/// Who owns the token with the id `token`, the largest first, at most `limit`.
pub(crate) async fn owners(
    executor: impl PgExecutor<'_>,
    token: Uuid,
    limit: i64,
) -> Result<Vec<Holding>, sqlx::Error> {
    sqlx::query_as(OWNERS).bind(token).bind(limit).fetch_all(executor).await
}

const FIND: &str = "select t.chain_id, t.contract_address, t.token_number, t.token_standard, t.name, t.image_url, t.burned, t.minted_at,
           s.sales_count, s.volume_native::text as volume, s.last_sale_quantity::text as last_sale_quantity,
           s.last_sale_price_native::text as last_sale_price, s.last_sale_currency_symbol, s.last_sale_at
    from catalog_service.tokens t
    join catalog_service.token_stats s on s.token_id = t.id
    where t.id = $1";

// A token with one owner names it in its row; one in parts has a balance for each.
// Balances of zero are dead rows that equal none.
const OWNERS: &str = "select h.owner, h.quantity::text as quantity from catalog_service.token_balances h
    where h.token = $1
    order by h.quantity desc, h.owner
    limit $2";

/// Without owners, which stand in rows of their own.
impl FromRow<'_, PgRow> for Token {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
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
            owners: Vec::new(),
        })
    }
}
