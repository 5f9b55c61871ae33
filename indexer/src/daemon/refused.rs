//! What of the registry cannot take effect: shown by `/readyz` where a chain stands still because of it, and logged now and then.

use std::time::{Duration, Instant};

use decoders::block::ChainId;
use tracing::warn;

use crate::error::Failure;
use crate::health::{Readiness, TaskHealth};

/// How long the log does without a cause that it has named.
pub(super) const REPEATED: Duration = Duration::from_secs(60);

/// What the registry states of one chain and cannot take effect.
pub(super) struct Refused {
    cause: String,
    logged: Instant,
    /// The chain's line in `/readyz`; none where it runs as it was before.
    health: Option<TaskHealth>,
}

impl Refused {
    /// What cannot take effect because of `failure`, and could not `before`. A chain that does not run because of it has a line in
    /// `readiness`.
    pub(super) fn noted(
        before: Option<Refused>,
        chain: ChainId,
        failure: &Failure,
        readiness: Option<&Readiness>,
    ) -> Refused {
        let cause = failure.to_string();
        let logged = before
            .as_ref()
            .filter(|before| before.cause == cause && before.logged.elapsed() < REPEATED)
            .map(|before| before.logged);
        let health = readiness.map(|readiness| {
            let health = before.and_then(|before| before.health);
            let health = health.unwrap_or_else(|| readiness.task(format!("start {chain}")));
            health.failing(&cause);
            health
        });
        let logged = logged.unwrap_or_else(|| {
            warn!(%chain, %failure, "what the registry states cannot take effect yet; trying again");
            Instant::now()
        });
        Refused { cause, logged, health }
    }
}
