//! What a client receives when there is no answer.

use axum::Json;
use axum::http::StatusCode;
use axum::http::header::RETRY_AFTER;
use axum::response::{IntoResponse, Response};
use decoders::block::ChainId;
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
    /// More is asked than may be asked at once, or of a size that takes too long.
    #[error("too much is asked at once, try again later")]
    Busy,
    /// The database failed.
    #[error("failed to read the database: {0}")]
    Database(#[source] sqlx::Error),
}

/// PostgreSQL ended a statement that took longer than it may.
const STATEMENT_TIMEOUT: &str = "57014";
/// Seconds after which another try is worth while: once some requests are done, or once a database may be back.
const BUSY_PAUSE: u32 = 1;
const AWAY_PAUSE: u32 = 5;

impl From<sqlx::Error> for ApiError {
    fn from(error: sqlx::Error) -> Self {
        let code = error.as_database_error().and_then(|error| error.code());
        if code.as_deref() == Some(STATEMENT_TIMEOUT) {
            return ApiError::Busy;
        }
        ApiError::Database(error)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let text = match &self {
            ApiError::BadRequest(text) => return answer(StatusCode::BAD_REQUEST, text),
            ApiError::NotFound(_) | ApiError::UnknownChain { .. } => {
                return answer(StatusCode::NOT_FOUND, &self.to_string());
            }
            ApiError::Busy => return unavailable(BUSY_PAUSE, &self.to_string()),
            ApiError::Database(cause) => {
                // The cause is the operator's business, not the client's.
                error!(error = %cause, "failed to answer a request");
                "the database does not answer, try again later"
            }
        };
        unavailable(AWAY_PAUSE, text)
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
