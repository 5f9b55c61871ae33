//! Collections, those with the most events first.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use queries::Readers;
use queries::collections::{self, Collection};
use serde::{Deserialize, Serialize};

use crate::error::ApiError;
use crate::{chains, request};

/// The collections asked for.
#[derive(Debug, Serialize)]
pub(crate) struct Answer {
    collections: Vec<Collection>,
}

/// Parameters of `GET /v1/collections`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Parameters {
    chain: Option<String>,
    limit: Option<String>,
}

/// `GET /v1/collections`: of a chain or of all.
pub(crate) async fn answer(
    State(readers): State<Readers>,
    query: Result<Query<Parameters>, QueryRejection>,
) -> Result<Json<Answer>, ApiError> {
    let parameters = request::query(query)?;
    let chain = parameters.chain.as_deref().map(request::chain).transpose()?;
    let limit = request::limit(parameters.limit.as_deref())?;
    let collections = collections::busiest(readers.pool(), chain, limit).await?;
    if let (Some(chain), true) = (chain, collections.is_empty()) {
        chains::check(&readers, chain).await?;
    }
    Ok(Json(Answer { collections }))
}
