//! Endpoints that have yet to show that they answer, because they are new or have failed for long: they are asked for their head
//! beside the work, and no question waits for them while another endpoint answers.

use std::sync::Arc;

use tokio::time::Instant;
use tracing::debug;

use super::endpoint::Endpoint;
use super::inner::Inner;

/// Marks an endpoint as being probed.
struct Probe(Arc<Endpoint>);

impl Drop for Probe {
    fn drop(&mut self) {
        self.0.health().probing = false;
    }
}

impl Inner {
    /// The endpoints that questions may be put to: those that answer as far as is known, or every one where none does. Others are
    /// probed meanwhile.
    pub(super) fn askable(&self) -> Vec<Arc<Endpoint>> {
        let endpoints = self.endpoints();
        let (proven, others): (Vec<_>, Vec<_>) = endpoints
            .iter()
            .cloned()
            .partition(|endpoint| endpoint.health().is_proven());
        if proven.is_empty() {
            return others;
        }
        others.into_iter().for_each(|endpoint| self.probe(endpoint));
        proven
    }

    /// Asks the endpoint for its head in a task of its own, unless that is under way or was in vain a moment ago.
    fn probe(&self, endpoint: Arc<Endpoint>) {
        let Some(inner) = self.me.upgrade() else { return };
        if !endpoint.health().begin_probe(Instant::now()) {
            return;
        }
        let probe = Probe(endpoint);
        tokio::spawn(async move {
            let cancelled = inner.cancel.cancelled();
            tokio::select! {
                seen = Box::pin(inner.probe_head(&probe.0)) => {
                    if let Err(refused) = seen {
                        debug!(endpoint = %probe.0.name, detail = %refused.detail, "a probe was in vain");
                    }
                }
                () = cancelled => {}
            }
        });
    }
}
