//! How requests reach the tables: a limited number at a time, each for a limited time, so that no load on the API holds up what
//! writes them.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{FromRef, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use sqlx::PgPool;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::error::ApiError;
use crate::status::Board;

/// How much of a database requests may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Requests admitted at once, those that wait included; further ones are answered with 503.
    pub requests: usize,
    /// Requests that use the database at once.
    pub running: usize,
    /// How long a request may take, its wait included.
    pub time: Duration,
}

/// The database as requests see it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Readers {
    pool: PgPool,
    admitted: Arc<Semaphore>,
    running: Arc<Semaphore>,
    time: Duration,
    board: Arc<Board>,
}

impl Readers {
    /// Requests that read through `pool`, within `limits`.
    pub fn new(pool: PgPool, limits: Limits) -> Readers {
        Readers {
            board: Arc::new(Board::new(pool.clone())),
            pool,
            admitted: Arc::new(Semaphore::new(limits.requests)),
            running: Arc::new(Semaphore::new(limits.running)),
            time: limits.time,
        }
    }

    /// Where every chain stands, as last read.
    pub fn board(&self) -> &Arc<Board> {
        &self.board
    }
}

impl FromRef<Readers> for PgPool {
    fn from_ref(readers: &Readers) -> PgPool {
        readers.pool.clone()
    }
}

impl FromRef<Readers> for Arc<Board> {
    fn from_ref(readers: &Readers) -> Arc<Board> {
        Arc::clone(&readers.board)
    }
}

/// Lets a request through to its handler, or answers that there are too many.
pub(crate) async fn admit(State(readers): State<Readers>, request: Request, next: Next) -> Response {
    let Ok(_admitted) = readers.admitted.try_acquire() else {
        return ApiError::Busy.into_response();
    };
    let answered = async {
        // The semaphore is never closed.
        let _running = readers.running.acquire().await;
        next.run(request).await
    };
    // A query that is left behind here ends by the statement timeout of its connection.
    let answer = timeout(readers.time, answered).await;
    answer.unwrap_or_else(|_| ApiError::Busy.into_response())
}
