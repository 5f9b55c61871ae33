//! What moved, newest first.

use chrono::{DateTime, Utc};
use decoders::block::ChainId;
use serde::Serialize;
use sqlx::{FromRow, PgPool};
use uuid::Uuid;

use crate::error::QueryError;
use crate::page::{Keyed, Page, PageRequest};

/// One token, or one quantity of one token, that changed owners.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, FromRow)]
pub struct Transfer {
    /// The fact's id, which is also its place in chain order and its message id.
    pub id: Uuid,
    /// CAIP-2 name of the chain.
    #[sqlx(rename = "chain_id")]
    pub chain: String,
    /// `mint`, `burn` or `transfer`.
    pub kind: String,
    /// Token contract.
    pub contract: String,
    /// Token number, decimal.
    #[sqlx(rename = "token_id")]
    pub token: String,
    /// Token standard: `erc721`, `erc1155`, …
    pub standard: String,
    /// Previous owner; the zero address for a mint.
    #[sqlx(rename = "from_addr")]
    pub from: String,
    /// New owner; the zero address for a burn.
    #[sqlx(rename = "to_addr")]
    pub to: String,
    /// Units moved, decimal.
    pub quantity: String,
    /// Height of the block.
    pub block_number: i64,
    /// Time of the block.
    pub block_time: DateTime<Utc>,
    /// Transaction that emitted the log.
    pub tx_hash: String,
    /// Index of the log within its block.
    pub log_index: i32,
}

impl Keyed for Transfer {
    type Key = Uuid;

    fn key(&self) -> Uuid {
        self.id
    }
}

/// Transfers of `chain`, newest first: of the token with the id `token`, or of all.
pub async fn page(
    pool: &PgPool,
    chain: ChainId,
    token: Option<Uuid>,
    page: &PageRequest,
) -> Result<Page<Transfer>, QueryError> {
    let rows = match token {
        None => sqlx::query_as(OF_CHAIN).bind(chain.to_string()),
        Some(token) => sqlx::query_as(OF_TOKEN).bind(chain.to_string()).bind(token),
    };
    let rows = rows.bind(page.below()).bind(page.limit).fetch_all(pool).await?;
    Ok(Page::of(rows, page.limit))
}

const OF_CHAIN: &str = "select id, chain_id, kind, contract, token_id, standard, from_addr, to_addr,
           quantity::text as quantity, block_number, block_time, tx_hash, log_index
    from catalog_service.ownership_transfers
    where chain_id = $1 and id < $2
    order by id desc
    limit $3";

const OF_TOKEN: &str = "select id, chain_id, kind, contract, token_id, standard, from_addr, to_addr,
           quantity::text as quantity, block_number, block_time, tx_hash, log_index
    from catalog_service.ownership_transfers
    where chain_id = $1 and token = $2 and id < $3
    order by id desc
    limit $4";
