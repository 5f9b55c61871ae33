//! The operator's view of a running process: liveness, readiness with causes, metrics.

mod metrics;
mod patience;
mod places;
mod readiness;
pub mod server;

use std::sync::Arc;
use std::time::Duration;

use queries::board::Board;
use queries::status::{ChainStatus, Status};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::archive::Archive;
use crate::database::Diagnosis;

pub use metrics::{ChainMetrics, EndpointSample, EndpointState, Metrics};
pub use readiness::{Readiness, TaskHealth, WaitsFor};

/// What every task reports to.
#[derive(Clone, Debug)]
pub struct Health {
    /// Numbers.
    pub metrics: Arc<Metrics>,
    /// Whether each task does its work, and if not, why.
    pub readiness: Readiness,
    /// Where every chain stands by the tables.
    board: Option<Arc<Board>>,
}

impl Health {
    /// Nothing counted, no task known.
    pub fn new() -> Self {
        Health {
            metrics: Arc::new(Metrics::new()),
            readiness: Readiness::default(),
            board: None,
        }
    }

    /// The same, with metrics that state where every chain stands by `board`.
    #[must_use]
    pub fn reading(self, board: &Arc<Board>) -> Self {
        Health {
            board: Some(Arc::clone(board)),
            ..self
        }
    }

    /// Where every chain stands by the tables. While the database does not answer it is what its last answer, and nothing before.
    pub async fn chains(&self) -> Vec<ChainStatus> {
        let Some(board) = &self.board else { return Vec::new() };
        // `/readyz` names the cause.
        board.status().await.map(|status| status.chains).unwrap_or_default()
    }
}

impl Default for Health {
    fn default() -> Self {
        Health::new()
    }
}

/// How often a store is asked for a sign of life, and how often while it gives none.
const PROBE_INTERVAL: Duration = Duration::from_secs(5);
const REPEATED_PROBE_INTERVAL: Duration = Duration::from_secs(1);
/// How long the archive may take to give one.
const ARCHIVE_PATIENCE: Duration = Duration::from_secs(5);

/// Keeps `board` up to date until cancelled, and reports as `probe` whether the database answers; where not, why.
pub async fn watch_database(board: &Board, diagnosis: &Diagnosis, probe: TaskHealth, cancel: &CancellationToken) {
    loop {
        let pause = match board.status().await {
            Ok(Status { stale: None, .. }) => {
                probe.ok();
                PROBE_INTERVAL
            }
            Ok(_) | Err(_) => {
                probe.failing(diagnosis.cause().await);
                REPEATED_PROBE_INTERVAL
            }
        };
        tokio::select! {
            () = cancel.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Reports as `probe` whether the archive answers, until cancelled.
pub async fn watch_archive(archive: &Archive, probe: TaskHealth, cancel: &CancellationToken) {
    loop {
        let cause = match timeout(ARCHIVE_PATIENCE, archive.probe()).await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => {
                let seconds = ARCHIVE_PATIENCE.as_secs();
                Some(format!("{} did not answer within {seconds} s", archive.name()))
            }
        };
        let pause = match cause {
            Some(cause) => {
                probe.failing(cause);
                REPEATED_PROBE_INTERVAL
            }
            None => {
                probe.ok();
                PROBE_INTERVAL
            }
        };
        tokio::select! {
            () = cancel.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}
