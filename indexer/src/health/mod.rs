//! The operator's view of a running process: liveness, readiness with causes, metrics.

mod metrics;
mod patience;
mod places;
mod readiness;
pub mod server;
pub mod watch;

use std::sync::Arc;

use queries::board::Board;
use queries::status::ChainStatus;

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
