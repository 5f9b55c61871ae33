//! Read-only HTTP queries over the tables: where every chain stands, who owns what, what moved, what was sold, what is listed and offered.
//!
//! This crate writes nothing and knows no endpoint. It needs no more than one connection at a time.

mod catalog;
mod chains;
mod error;
mod orders;
mod readers;
mod request;
mod sales;
pub mod status;
pub mod summary;
mod transfers;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::get;

pub use error::ApiError;
pub use readers::{Limits, Readers};

/// The routes of the API. Answers are JSON; amounts and token numbers are decimal strings, because they reach 2^256 - 1.
///
/// - `GET /v1/status`
/// - `GET /v1/collections?chain=&limit=`
/// - `GET /v1/tokens/{chain}/{contract}/{token}`
/// - `GET /v1/transfers?chain=&contract=&token=&before=&limit=`
/// - `GET /v1/sales?chain=&contract=&token=&account=&before=&limit=`
/// - `GET /v1/listings?chain=&contract=&token=&account=&state=&before=&limit=`, and `/v1/offers` alike
///
/// A chain that is neither registered nor indexed is answered with 404 and the names of those that are.
///
/// Above the limits of `readers`, and where the database does not answer, the code is 503 with `Retry-After`; the status is
/// answered all the same, with what was read last.
pub fn router(readers: Readers) -> Router {
    Router::new()
        .route("/v1/collections", get(catalog::collections))
        .route("/v1/tokens/{chain}/{contract}/{token}", get(catalog::token))
        .route("/v1/transfers", get(transfers::answer))
        .route("/v1/sales", get(sales::answer))
        .route("/v1/listings", get(orders::listings))
        .route("/v1/offers", get(orders::offers))
        .route_layer(from_fn_with_state(readers.clone(), readers::admit))
        .route("/v1/status", get(status::answer))
        .fallback(error::no_route)
        .with_state(readers)
}
