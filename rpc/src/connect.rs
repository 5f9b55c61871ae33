//! The first look at the endpoints of a chain: which of them serve it.

use std::sync::Arc;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::time::{Instant, sleep, sleep_until};
use tracing::warn;

use super::choice::wrong_chain;
use super::endpoint::Endpoint;
use super::endpoint::health::ChainCheck;
use super::error::EndpointError;
use super::inner::Inner;

/// Looks at unreachable endpoints before [`super::Pool::connect`] gives up.
const CONNECT_TRIES: usize = 3;
/// How long the other endpoints may take to state their chain once one has.
const CONNECT_GRACE: Duration = Duration::from_secs(2);

impl Inner {
    /// Asks every endpoint for its chain, until one that serves it answers or there is no use in waiting.
    pub(super) async fn check_chains(&self) -> Result<(), EndpointError> {
        let chain = self.chain;
        let endpoints = self.endpoints();
        if endpoints.is_empty() {
            return Err(EndpointError::NoEndpoints { chain });
        }
        let mut waits = ExponentialBuilder::new()
            .with_jitter()
            .with_min_delay(Duration::from_millis(200))
            .with_max_times(CONNECT_TRIES - 1)
            .build();
        loop {
            let failed = self.check_all(&endpoints).await;
            if endpoints
                .iter()
                .any(|endpoint| matches!(endpoint.health().chain, ChainCheck::Right { .. }))
            {
                for (endpoint, reason) in failed {
                    warn!(%chain, %endpoint, %reason, "endpoint cannot be used at present");
                }
                return Ok(());
            }
            let wrong: Vec<String> = endpoints.iter().filter_map(wrong_chain).collect();
            if wrong.len() == endpoints.len() {
                return Err(EndpointError::WrongChain {
                    chain,
                    found: wrong.join("; "),
                });
            }
            let Some(wait) = waits.next() else {
                return Err(EndpointError::Unreachable {
                    chain,
                    wanted: "its chain id".to_owned(),
                    causes: named(&failed),
                });
            };
            sleep(wait).await;
        }
    }

    /// Asks every endpoint which chain it serves, and returns the names of those that cannot be used, and why. Once one can, the
    /// others have a moment: they are probed later. While none answers, a warning is logged soon.
    async fn check_all(&self, endpoints: &[Arc<Endpoint>]) -> Vec<(String, String)> {
        let (began, chain) = (Instant::now(), self.chain);
        let (mut failed, mut is_logged) = (Vec::new(), false);
        let mut until: Option<Instant> = None;
        let mut checks: FuturesUnordered<_> = endpoints.iter().map(|endpoint| self.check(endpoint)).collect();
        loop {
            let limit = until.unwrap_or(began + self.options.request_timeout / 3);
            tokio::select! {
                biased;
                checked = checks.next() => match checked {
                    None => return failed,
                    Some(Ok(())) => {
                        until.get_or_insert_with(|| Instant::now() + CONNECT_GRACE);
                    }
                    Some(Err(cause)) => failed.push(cause),
                },
                () = sleep_until(limit), if until.is_some() || !is_logged => {
                    if until.is_some() {
                        return failed;
                    }
                    is_logged = true;
                    let silent = endpoints.iter().filter(|endpoint| !failed.iter().any(|(name, _)| *name == endpoint.name));
                    let silent = silent.map(|endpoint| (endpoint.name.clone(), "has not answered yet".to_owned()));
                    let causes = named(&silent.chain(failed.iter().cloned()).collect::<Vec<_>>());
                    warn!(%chain, endpoints = %causes, "no endpoint answers; correct one, or add another, with `indexer registry endpoints`");
                }
            }
        }
    }

    async fn check(&self, endpoint: &Endpoint) -> Result<(), (String, String)> {
        let checked = endpoint.check_chain(self.chain, self.options.request_timeout).await;
        match checked {
            Ok(()) => {
                endpoint.health().healthy();
                Ok(())
            }
            Err(refused) => {
                endpoint.failed(&refused);
                Err((endpoint.name.clone(), refused.detail))
            }
        }
    }
}

/// Endpoints with what each is blamed for.
fn named(causes: &[(String, String)]) -> String {
    let causes = causes.iter().map(|(name, cause)| format!("{name}: {cause}"));
    causes.collect::<Vec<_>>().join("; ")
}
