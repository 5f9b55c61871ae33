//! What a client is told when there is no answer.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;
use tracing::error;

/// Why a request has no answer.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The request is wrong; the text says how it should be.
    #[error("{0}")]
    BadRequest(String),
    /// Nothing is known of what was asked for.
    #[error("{0} is not known")]
    NotFound(String),
    /// The database failed.
    #[error("failed to read the database: {0}")]
    Database(#[from] sqlx::Error),
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (code, text) = match &self {
            ApiError::BadRequest(text) => (StatusCode::BAD_REQUEST, text.clone()),
            ApiError::NotFound(_) => (StatusCode::NOT_FOUND, self.to_string()),
            ApiError::Database(cause) => {
                // The cause is the operator's business, not the client's.
                error!(error = %cause, "failed to answer a request");
                (
                    StatusCode::SERVICE_UNAVAILABLE,
                    "the database does not answer, try again later".to_owned(),
                )
            }
        };
        (code, Json(json!({ "error": text }))).into_response()
    }
}

/// The answer to a path that is not served.
pub(crate) async fn no_route() -> Response {
    ApiError::NotFound("this path".to_owned()).into_response()
}
