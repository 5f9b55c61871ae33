//! The operator's view of a running process: liveness, readiness with causes, metrics.

mod metrics;
mod readiness;
pub mod server;

use std::sync::Arc;
use std::time::Duration;

use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

pub use metrics::{ChainMetrics, EndpointSample, EndpointState, Metrics};
pub use readiness::{Readiness, TaskHealth};

/// What every task reports to.
#[derive(Clone, Debug)]
pub struct Health {
    /// Numbers.
    pub metrics: Arc<Metrics>,
    /// Whether each task does its work, and if not, why.
    pub readiness: Readiness,
}

impl Health {
    /// Nothing counted, no task known.
    pub fn new() -> Self {
        Health {
            metrics: Arc::new(Metrics::new()),
            readiness: Readiness::default(),
        }
    }
}

impl Default for Health {
    fn default() -> Self {
        Health::new()
    }
}

/// How often an otherwise idle process asks whether its database is there.
const DATABASE_PROBE_INTERVAL: Duration = Duration::from_secs(5);

/// Asks the database for a sign of life until cancelled, and reports it as `probe`.
pub async fn watch_database(pool: PgPool, probe: TaskHealth, cancel: CancellationToken) {
    loop {
        match sqlx::query("select 1").execute(&pool).await {
            Ok(_) => probe.ok(),
            Err(error) => probe.failing(format!("PostgreSQL does not answer: {error}")),
        }
        tokio::select! {
            () = cancel.cancelled() => return,
            () = tokio::time::sleep(DATABASE_PROBE_INTERVAL) => {}
        }
    }
}
