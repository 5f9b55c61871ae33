//! How requests reach the tables: a limited number at a time, each for a limited time, so that no load of readers holds up what
//! writes them.

use std::sync::Arc;
use std::time::Duration;

use sqlx::PgPool;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::board::Board;
use crate::error::QueryError;

/// How much of a database requests may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Requests admitted at once, those that wait included; further ones are answered with [`QueryError::Busy`].
    pub requests: usize,
    /// Requests that use the database at once.
    pub running: usize,
    /// How long a request may take, its wait included.
    pub time: Duration,
}

/// The database as requests see it, whatever protocol they come in by. Cheap to clone; clones share the limits.
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

    /// What requests read through.
    pub fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// Where every chain stands, as last read.
    pub fn board(&self) -> &Arc<Board> {
        &self.board
    }

    /// Carries `request` out within the limits.
    ///
    /// # Errors
    /// [`QueryError::Busy`] where there are too many requests already, and where this one took too long.
    pub async fn admit<T>(&self, request: impl Future<Output = T>) -> Result<T, QueryError> {
        // Refused at once where too many wait already: who would be answered after the time is over need not wait for it.
        let Ok(_admitted) = self.admitted.try_acquire() else {
            return Err(QueryError::Busy);
        };
        let answered = async {
            // The semaphore is never closed.
            let _running = self.running.acquire().await;
            request.await
        };
        // A query that is left behind here ends by the statement timeout of its connection.
        timeout(self.time, answered).await.map_err(|_| QueryError::Busy)
    }
}
