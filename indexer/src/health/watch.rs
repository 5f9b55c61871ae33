//! Whether the stores answer, as `/readyz` reports it.

use std::time::Duration;

use queries::board::Board;
use queries::status::Status;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::readiness::TaskHealth;
use crate::archive::Archive;
use crate::database::Diagnosis;

/// How often a store is asked for a sign of life, and how often while it gives none.
const PROBE_INTERVAL: Duration = Duration::from_secs(5);
const REPEATED_PROBE_INTERVAL: Duration = Duration::from_secs(1);
/// How long the archive may take to give one.
const ARCHIVE_PATIENCE: Duration = Duration::from_secs(5);

/// Keeps `board` up to date until cancelled, and reports as `probe` whether the database answers; where not, why.
pub async fn database(board: &Board, diagnosis: &Diagnosis, probe: TaskHealth, cancel: &CancellationToken) {
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
pub async fn archive(archive: &Archive, probe: TaskHealth, cancel: &CancellationToken) {
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
