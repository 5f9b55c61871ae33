//! What moved, newest first.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::postgres::PgRow;
use sqlx::{PgExecutor, PgPool, Row};
use uuid::Uuid;

use crate::error::ApiError;
use crate::{chains, request};

/// One token, or one quantity of one token, that changed owners.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Transfer {
    /// The fact's id, which is also its place in chain order and its message id.
    pub id: Uuid,
    /// CAIP-2 name of the chain.
    pub chain: String,
    /// `mint`, `burn` or `transfer`.
    pub kind: String,
    /// Token contract.
    pub contract: String,
    /// Token number, decimal.
    pub token: String,
    /// Token standard.
    pub standard: String,
    /// Previous owner; the zero address for a mint.
    pub from: String,
    /// New owner; the zero address for a burn.
    pub to: String,
    /// Units, decimal.
    pub quantity: String,
    /// Height.
    pub block_number: i64,
    /// Time of the block.
    pub block_time: DateTime<Utc>,
    /// Transaction.
    pub tx_hash: String,
    /// Index of the log within its block.
    pub log_index: i32,
}

/// One page of transfers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Page {
    transfers: Vec<Transfer>,
    /// `before` of the next page; absent on the last.
    next: Option<Uuid>,
}

/// Parameters of `GET /v1/transfers`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Parameters {
    chain: Option<String>,
    contract: Option<String>,
    token: Option<String>,
    before: Option<String>,
    limit: Option<String>,
}

/// `GET /v1/transfers`.
pub(crate) async fn answer(
    State(pool): State<PgPool>,
    query: Result<Query<Parameters>, QueryRejection>,
) -> Result<Json<Page>, ApiError> {
    let parameters = request::query(query)?;
    let chain = request::needed_chain(parameters.chain.as_deref())?;
    let limit = request::limit(parameters.limit.as_deref())?;
    let before = request::before(parameters.before.as_deref())?;
    let transfers = match (parameters.contract.as_deref(), parameters.token.as_deref()) {
        (Some(contract), Some(token)) => {
            let token = decoders::id::token_id(chain, &request::contract(contract)?, &request::token(token)?);
            of_token(&pool, &chain.to_string(), token, before, limit).await?
        }
        (None, None) => newest(&pool, &chain.to_string(), before, limit).await?,
        _ => {
            return Err(ApiError::BadRequest(
                "contract and token go together: write both or none".to_owned(),
            ));
        }
    };
    if transfers.is_empty() {
        chains::check(&pool, chain).await?;
    }
    let full = i64::try_from(transfers.len()).is_ok_and(|count| count == limit);
    let next = transfers.last().filter(|_| full).map(|last| last.id);
    Ok(Json(Page { transfers, next }))
}

/// The newest transfers of a chain below the position `before`.
pub(crate) async fn newest(
    executor: impl PgExecutor<'_>,
    chain: &str,
    before: Uuid,
    limit: i64,
) -> Result<Vec<Transfer>, sqlx::Error> {
    let rows = sqlx::query(
        "select id, chain_id, kind, contract, token_id, standard, from_addr, to_addr, quantity::text as quantity,
                block_number, block_time, tx_hash, log_index
         from catalog_service.ownership_transfers
         where chain_id = $1 and id < $2
         order by id desc
         limit $3",
    );
    let rows = rows.bind(chain).bind(before).bind(limit).fetch_all(executor).await?;
    rows.iter().map(transfer_of).collect()
}

async fn of_token(
    executor: impl PgExecutor<'_>,
    chain: &str,
    token: Uuid,
    before: Uuid,
    limit: i64,
) -> Result<Vec<Transfer>, sqlx::Error> {
    let rows = sqlx::query(
        "select id, chain_id, kind, contract, token_id, standard, from_addr, to_addr, quantity::text as quantity,
                block_number, block_time, tx_hash, log_index
         from catalog_service.ownership_transfers
         where chain_id = $1 and token = $2 and id < $3
         order by id desc
         limit $4",
    );
    let rows = rows
        .bind(chain)
        .bind(token)
        .bind(before)
        .bind(limit)
        .fetch_all(executor)
        .await?;
    rows.iter().map(transfer_of).collect()
}

fn transfer_of(row: &PgRow) -> Result<Transfer, sqlx::Error> {
    Ok(Transfer {
        id: row.try_get("id")?,
        chain: row.try_get("chain_id")?,
        kind: row.try_get("kind")?,
        contract: row.try_get("contract")?,
        token: row.try_get("token_id")?,
        standard: row.try_get("standard")?,
        from: row.try_get("from_addr")?,
        to: row.try_get("to_addr")?,
        quantity: row.try_get("quantity")?,
        block_number: row.try_get("block_number")?,
        block_time: row.try_get("block_time")?,
        tx_hash: row.try_get("tx_hash")?,
        log_index: row.try_get("log_index")?,
    })
}
