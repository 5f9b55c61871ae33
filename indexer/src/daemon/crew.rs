//! What runs in a daemon: a task per chain and the services beside them, under one token.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use decoders::block::ChainId;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use super::assembly::Assignment;
use super::refused::Refused;
use crate::config::EndpointUrl;
use crate::error::{Error, Exit, Failure};
use crate::health::Readiness;
use rpc::Pool;

/// Everything that runs, under one token.
pub(super) struct Crew {
    pub(super) stop: CancellationToken,
    pub(super) tasks: JoinSet<Ended>,
    pub(super) running: BTreeMap<ChainId, Running>,
    /// Endpoints given on the command line, which stand in for the registry's however often a chain is started again.
    pub(super) given: BTreeMap<ChainId, Vec<EndpointUrl>>,
    /// What cannot take effect.
    pub(super) refused: BTreeMap<ChainId, Refused>,
}

/// A chain that runs, and the handles to change it.
pub(super) struct Running {
    pub(super) cancel: CancellationToken,
    pub(super) endpoints: Arc<Pool>,
    pub(super) assignment: Assignment,
}

/// What a task of the daemon was.
pub(super) enum Ended {
    Chain(ChainId, Result<(), Error>),
    Service(Result<(), Failure>),
}

impl Crew {
    pub(super) fn new(stop: CancellationToken, assignments: &[Assignment]) -> Self {
        let given = assignments
            .iter()
            .map(|assignment| (assignment.entry.chain.chain, assignment.endpoints.clone()));
        Crew {
            stop,
            tasks: JoinSet::new(),
            running: BTreeMap::new(),
            given: given.collect(),
            refused: BTreeMap::new(),
        }
    }

    /// Notes the end of a task; an error is the end of the daemon.
    ///
    /// Unless the run is `finite`, a chain that fails beside others is only reported: the next review starts it again.
    pub(super) fn ended(&mut self, ended: Result<Ended, JoinError>, finite: bool) -> Result<(), Failure> {
        match ended.map_err(|error| Failure::new(Exit::Internal, format!("a task ended unexpectedly: {error}")))? {
            Ended::Chain(chain, result) => {
                self.running.remove(&chain);
                match result {
                    Ok(()) | Err(Error::Cancelled) => Ok(()),
                    Err(error) if !finite && !self.running.is_empty() => {
                        error!(%chain, %error, "following ended, starting again soon");
                        Ok(())
                    }
                    Err(error) => Err(Failure::new(error.exit(), format!("{chain}: {error}"))),
                }
            }
            Ended::Service(result) => result,
        }
    }

    /// Stops every task and waits until it has ended what it began, but not longer than `deadline`: what is left behind then is
    /// what a kill would leave, which is nothing that counts.
    pub(super) async fn finish(mut self, deadline: Duration) -> Result<(), Failure> {
        self.stop.cancel();
        let all = async {
            let mut outcome = Ok(());
            while let Some(ended) = self.tasks.join_next().await {
                outcome = outcome.and(self.ended(ended, true));
            }
            outcome
        };
        tokio::time::timeout(deadline, all).await.unwrap_or_else(|_| {
            let seconds = deadline.as_secs();
            warn!(
                seconds,
                "tasks did not end in time, leaving them: what was not committed will be done again"
            );
            Ok(())
        })
    }

    /// Everything that the registry states of the chain is in effect.
    pub(super) fn took_effect(&mut self, chain: ChainId) {
        self.refused.remove(&chain);
    }

    /// Notes why something cannot take effect; it is tried again later.
    pub(super) fn refuses(&mut self, chain: ChainId, failure: &Failure, readiness: &Readiness) {
        let (before, runs) = (self.refused.remove(&chain), self.running.contains_key(&chain));
        let health = (!runs).then_some(readiness);
        self.refused
            .insert(chain, Refused::noted(before, chain, failure, health));
    }
}
