//! What the tables hold, over HTTP: where every chain stands, who owns what, what moved, what was sold, what is listed and offered.
//!
//! This crate checks requests and shapes answers; what is answered is read by `queries`. It knows no SQL, no endpoint and no writer.

mod chains;
mod collections;
mod error;
mod orders;
mod request;
mod sales;
mod status;
mod tokens;
mod transfers;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use axum::routing::get;
use queries::Readers;

pub use error::ApiError;

/// The routes of the API. Answers are JSON; amounts and token numbers are decimal strings, because they reach 2^256 - 1.
///
/// - `GET /v1/status`
/// - `GET /v1/collections?chain=&limit=`
/// - `GET /v1/tokens/{chain}/{contract}/{token}`
/// - `GET /v1/transfers?chain=&contract=&token=&before=&limit=`
/// - `GET /v1/sales?chain=&contract=&token=&account=&before=&limit=`
/// - `GET /v1/listings?chain=&contract=&token=&account=&state=&before=&limit=`, and `/v1/offers` alike
///
/// Above the limits of `readers`, and where the database does not answer, the code is 503 with `Retry-After`; the status is
/// answered all the same, with what was read last.
pub fn router(readers: Readers) -> Router {
    Router::new()
        .route("/v1/collections", get(collections::answer))
        .route("/v1/tokens/{chain}/{contract}/{token}", get(tokens::answer))
        .route("/v1/transfers", get(transfers::answer))
        .route("/v1/sales", get(sales::answer))
        .route("/v1/listings", get(orders::listings))
        .route("/v1/offers", get(orders::offers))
        .route_layer(from_fn_with_state(readers.clone(), admit))
        .route("/v1/status", get(status::answer))
        .fallback(error::no_route)
        .with_state(readers)
}

/// Lets a request through to its handler, or answers that there are too many.
async fn admit(State(readers): State<Readers>, request: Request, next: Next) -> Result<Response, ApiError> {
    Ok(readers.admit(next.run(request)).await?)
}
