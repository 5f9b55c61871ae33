//! What moved, newest first.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use decoders::id::token_id;
use queries::Readers;
use queries::page::Cursor;
use queries::transfers::{self, Transfer};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::ApiError;
use crate::{chains, request};

/// One page of transfers.
#[derive(Debug, Serialize)]
pub(crate) struct Answer {
    transfers: Vec<Transfer>,
    /// `before` of the next page; absent on the last.
    next: Option<Cursor<Uuid>>,
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

/// `GET /v1/transfers`: of a chain or a token.
pub(crate) async fn answer(
    State(readers): State<Readers>,
    query: Result<Query<Parameters>, QueryRejection>,
) -> Result<Json<Answer>, ApiError> {
    let parameters = request::query(query)?;
    let chain = request::needed_chain(parameters.chain.as_deref())?;
    let page = request::page(parameters.before.as_deref(), parameters.limit.as_deref())?;
    let token = match (parameters.contract.as_deref(), parameters.token.as_deref()) {
        (Some(contract), Some(token)) => Some(token_id(chain, &request::contract(contract)?, &request::token(token)?)),
        (None, None) => None,
        _ => {
            return Err(ApiError::BadRequest(
                "contract and token go together: write both or none".to_owned(),
            ));
        }
    };
    let page = transfers::page(readers.pool(), chain, token, &page).await?;
    if page.rows.is_empty() {
        chains::check(&readers, chain).await?;
    }
    Ok(Json(Answer {
        transfers: page.rows,
        next: page.next,
    }))
}
