//! One token and who owns it.

use axum::Json;
use axum::extract::{Path, State};
use decoders::id::token_id;
use queries::Readers;
use queries::tokens::{self, Token};

use crate::error::ApiError;
use crate::{chains, request};

/// `GET /v1/tokens/{chain}/{contract}/{token}`.
pub(crate) async fn answer(
    State(readers): State<Readers>,
    Path((chain, contract, token)): Path<(String, String, String)>,
) -> Result<Json<Token>, ApiError> {
    let chain = request::chain(&chain)?;
    let contract = request::contract(&contract)?;
    let number = request::token(&token)?;
    let found = tokens::find(readers.pool(), token_id(chain, &contract, &number)).await?;
    let Some(found) = found else {
        chains::check(&readers, chain).await?;
        return Err(ApiError::NotFound(format!(
            "token {number} of {contract:#x} on {chain}"
        )));
    };
    Ok(Json(found))
}
