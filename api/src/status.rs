//! Where every chain stands.

use axum::Json;
use axum::extract::State;
use queries::Readers;
use queries::status::Status;

use crate::error::ApiError;

/// `GET /v1/status`.
pub(crate) async fn answer(State(readers): State<Readers>) -> Result<Json<Status>, ApiError> {
    Ok(Json(readers.board().status().await?))
}
