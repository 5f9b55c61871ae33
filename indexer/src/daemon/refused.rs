//! What of the registry cannot take effect: shown by `/readyz` where a chain stands still because of it, and logged now and then.

use std::time::{Duration, Instant};

use decoders::block::ChainId;
use tracing::warn;

use super::Crew;
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

impl Crew {
    /// Everything that the registry states of the chain is in effect.
    pub(super) fn took_effect(&mut self, chain: ChainId) {
        self.refused.remove(&chain);
    }

    /// Notes why something cannot take effect; it is tried again later.
    pub(super) fn refuses(&mut self, chain: ChainId, failure: &Failure, readiness: &Readiness) {
        let cause = failure.to_string();
        let before = self.refused.remove(&chain);
        let logged = before
            .as_ref()
            .filter(|before| before.cause == cause && before.logged.elapsed() < REPEATED)
            .map(|before| before.logged);
        let health = (!self.running.contains_key(&chain)).then(|| {
            let health = before.and_then(|before| before.health);
            let health = health.unwrap_or_else(|| readiness.task(format!("start {chain}")));
            health.failing(&cause);
            health
        });
        let logged = logged.unwrap_or_else(|| {
            warn!(%chain, %failure, "what the registry states cannot take effect yet; trying again");
            Instant::now()
        });
        self.refused.insert(chain, Refused { cause, logged, health });
    }
}
