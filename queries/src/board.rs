//! Where every chain stands, kept for those who ask often and for when the database does not answer.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use chrono::Utc;
use sqlx::PgPool;
use tokio::time::timeout;

use crate::error::QueryError;
use crate::status::{self, Status};

/// How long the database may take before what was read last is answered instead.
const PATIENCE: Duration = Duration::from_secs(2);
/// Answers of this age are given again, so that a crowd of askers costs what one does.
const FRESH: Duration = Duration::from_millis(500);

/// Where every chain stands, as last read: what is answered while the database does not.
#[derive(Debug)]
pub struct Board {
    pool: PgPool,
    last: Mutex<Option<Status>>,
    /// Held by the one who reads.
    reading: tokio::sync::Mutex<()>,
}

impl Board {
    pub(crate) fn new(pool: PgPool) -> Board {
        Board {
            pool,
            last: Mutex::default(),
            reading: tokio::sync::Mutex::default(),
        }
    }

    /// Where every chain stands: now, or when the database last answered. It is answered soon in either case.
    ///
    /// # Errors
    /// The database does not answer and never did.
    pub async fn status(&self) -> Result<Status, QueryError> {
        let read = async {
            let _reading = self.reading.lock().await;
            // The task that held it before may have read what this call came for.
            if let Some(last) = self.last().filter(|last| age(last) < FRESH) {
                return Ok(last);
            }
            let status = status::read(&self.pool, &BTreeMap::new()).await?;
            *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(status.clone());
            Ok(status)
        };
        // The wait for another reader counts as well, so that an answer comes soon while the database does not.
        let (error, stale) = match timeout(PATIENCE, read).await {
            Ok(Ok(status)) => return Ok(status),
            Ok(Err(error)) => (error, "the database cannot be read"),
            Err(_) => (QueryError::Busy, "the database did not answer in time"),
        };
        let stale = Some(stale);
        self.last().map(|last| Status { stale, ..last }).ok_or(error)
    }

    /// What was read last, however long ago.
    fn last(&self) -> Option<Status> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn age(status: &Status) -> Duration {
    (Utc::now() - status.as_of).to_std().unwrap_or_default()
}
