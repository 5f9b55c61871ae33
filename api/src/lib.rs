//! Read-only HTTP queries over the tables: where every chain stands, who owns what, what moved, what was sold, what is listed and offered.
//!
//! This crate writes nothing and knows no endpoint. It needs no more than one connection at a time.

mod catalog;
mod error;
mod orders;
mod request;
mod sales;
pub mod status;
pub mod summary;
mod transfers;

use axum::Router;
use axum::routing::get;
use sqlx::PgPool;

pub use error::ApiError;

/// The routes of the API. Answers are JSON; amounts and token numbers are decimal strings, because they reach 2^256 - 1.
///
/// - `GET /v1/status`
/// - `GET /v1/collections?chain=&limit=`
/// - `GET /v1/tokens/{chain}/{contract}/{token}`
/// - `GET /v1/transfers?chain=&contract=&token=&before=&limit=`
/// - `GET /v1/sales?chain=&contract=&token=&account=&before=&limit=`
/// - `GET /v1/listings?chain=&contract=&token=&account=&state=&before=&limit=`, and `/v1/offers` alike
pub fn router(pool: PgPool) -> Router {
    Router::new()
        .route("/v1/status", get(status::answer))
        .route("/v1/collections", get(catalog::collections))
        .route("/v1/tokens/{chain}/{contract}/{token}", get(catalog::token))
        .route("/v1/transfers", get(transfers::answer))
        .route("/v1/sales", get(sales::answer))
        .route("/v1/listings", get(orders::listings))
        .route("/v1/offers", get(orders::offers))
        .fallback(error::no_route)
        .with_state(pool)
}
