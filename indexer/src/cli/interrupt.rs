//! Two signals: the first asks to finish, the second ends.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::error::{Exit, Failure};

/// Cancels `cancel` at the first SIGINT or SIGTERM and returns at the second.
pub(super) async fn second(cancel: CancellationToken) -> Failure {
    let (mut interrupt, mut terminate) = match (signal(SignalKind::interrupt()), signal(SignalKind::terminate())) {
        (Ok(interrupt), Ok(terminate)) => (interrupt, terminate),
        (Err(error), _) | (_, Err(error)) => {
            return Failure::new(Exit::Internal, format!("failed to watch for signals: {error}"));
        }
    };
    for first in [true, false] {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
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
