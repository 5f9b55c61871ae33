//! Read-only HTTP queries over the tables.

use axum::Router;
use sqlx::PgPool;

/// The routes of the API under `/v1`.
pub fn router(_pool: PgPool) -> Router {
    Router::new()
}
