//! Two signals: the first asks to finish, the second ends.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::error::{Exit, Failure};

/// SIGINT and SIGTERM, which end no process by themselves any more.
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// Watches for them from now on; to be called before a command begins, so that none falls in between.
    pub(super) fn watch() -> Result<Signals, Failure> {
        let watched = |kind| {
            signal(kind).map_err(|error| Failure::new(Exit::Internal, format!("failed to watch for signals: {error}")))
        };
        Ok(Signals {
            interrupt: watched(SignalKind::interrupt())?,
            terminate: watched(SignalKind::terminate())?,
        })
    }

    /// Cancels `cancel` at the first one and returns at the second.
    pub(super) async fn second(mut self, cancel: CancellationToken) -> Failure {
        for first in [true, false] {
            tokio::select! {
                _ = self.interrupt.recv() => {}
                _ = self.terminate.recv() => {}
            }
            if first {
                warn!("stopping after what is begun, once more to stop at once");
                cancel.cancel();
            }
        }
        Failure::new(
            Exit::Interrupted,
            "stopped at once by a second signal: what was not committed will be done again",
        )
    }
}
