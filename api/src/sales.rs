//! What was sold, newest first.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use queries::Readers;
use queries::page::Cursor;
use queries::sales::{self, Sale};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::ApiError;
use crate::{chains, request};

/// One page of sales.
#[derive(Debug, Serialize)]
pub(crate) struct Answer {
    sales: Vec<Sale>,
    /// `before` of the next page; absent on the last.
    next: Option<Cursor<Uuid>>,
}

/// Parameters of `GET /v1/sales`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Parameters {
    chain: Option<String>,
    contract: Option<String>,
    token: Option<String>,
    account: Option<String>,
    before: Option<String>,
    limit: Option<String>,
}

/// `GET /v1/sales`: of a chain, a collection, a token or an account.
pub(crate) async fn answer(
    State(readers): State<Readers>,
    query: Result<Query<Parameters>, QueryRejection>,
) -> Result<Json<Answer>, ApiError> {
    let parameters = request::query(query)?;
    let chain = request::needed_chain(parameters.chain.as_deref())?;
    let page = request::page(parameters.before.as_deref(), parameters.limit.as_deref())?;
    let subject = request::subject(
        parameters.contract.as_deref(),
        parameters.token.as_deref(),
        parameters.account.as_deref(),
    )?;
    let page = sales::page(readers.pool(), chain, subject, &page).await?;
    if page.rows.is_empty() {
        chains::check(&readers, chain).await?;
    }
    Ok(Json(Answer {
        sales: page.rows,
        next: page.next,
    }))
}
