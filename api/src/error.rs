//! What a client receives when there is no answer.

use axum::Json;
use axum::http::StatusCode;
use axum::http::header::RETRY_AFTER;
use axum::response::{IntoResponse, Response};
use decoders::block::ChainId;
use queries::QueryError;
use serde_json::json;
use tracing::error;

/// Why a request has no answer.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The request is wrong; the text states how it should be.
    #[error("{0}")]
    BadRequest(String),
    /// Nothing is known of what was asked for.
    #[error("{0} is not known")]
    NotFound(String),
    /// There is no such chain.
    #[error("chain {chain} is not known: {known}, GET /v1/status shows them")]
    UnknownChain {
        /// What was asked for.
        chain: ChainId,
        /// Which there are, in words.
        known: String,
    },
    /// The tables cannot be read, or not now.
    #[error(transparent)]
    Query(#[from] QueryError),
}

/// Seconds after which another try is worth while: once some requests are done, or once a database may be back.
const BUSY_PAUSE: u32 = 1;
const AWAY_PAUSE: u32 = 5;

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        match &self {
            ApiError::BadRequest(text) => answer(StatusCode::BAD_REQUEST, text),
            ApiError::NotFound(_) | ApiError::UnknownChain { .. } => answer(StatusCode::NOT_FOUND, &self.to_string()),
            ApiError::Query(QueryError::Busy) => unavailable(BUSY_PAUSE, &self.to_string()),
            ApiError::Query(QueryError::Database(cause)) => {
                // The cause is the operator's business, not the client's.
                error!(error = %cause, "failed to answer a request");
                unavailable(AWAY_PAUSE, "the database does not answer, try again later")
            }
        }
    }
}

fn unavailable(pause_seconds: u32, text: &str) -> Response {
    let mut response = answer(StatusCode::SERVICE_UNAVAILABLE, text);
    response.headers_mut().insert(RETRY_AFTER, pause_seconds.into());
    response
}

fn answer(code: StatusCode, text: &str) -> Response {
    (code, Json(json!({ "error": text }))).into_response()
}

/// The answer to a path that is not served.
pub(crate) async fn no_route() -> Response {
    ApiError::NotFound("this path".to_owned()).into_response()
}
