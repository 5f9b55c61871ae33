//! One process: a task per chain, the publisher, the server, the registry's watch; one token stops them all.

pub mod assembly;
pub mod chain;
mod progress;
mod reconcile;
mod refused;
mod services;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use decoders::block::ChainId;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};
use uuid::Uuid;

use crate::backfill::Progress;
use crate::config::{Config, EndpointUrl};
use crate::error::{Error, Exit, Failure};
use crate::follower::Follower;
use crate::health::Health;
use crate::registry::Watch;
use crate::stores::Stores;
use assembly::Assignment;
use chain::ChainTask;
use refused::Refused;
use rpc::Pool;

/// How often the registry is read even if nothing notified of an edit, so that a chain that could not be started is tried again.
const REVIEW_INTERVAL: Duration = Duration::from_secs(10);

/// What one daemon is to do.
pub struct Daemon<'a> {
    /// The configuration.
    pub config: &'a Config,
    /// Open stores.
    pub stores: &'a Stores,
    /// Where tasks report.
    pub health: Health,
    /// How far gap filling is, over all chains.
    pub progress: Arc<Progress>,
    /// Name of this process in the lease table.
    pub holder: String,
}

/// A name for this process that no other has: the machine, the process number and a random part.
pub fn holder() -> String {
    let host = std::fs::read_to_string("/etc/hostname").unwrap_or_default();
    let host = if host.trim().is_empty() { "indexer" } else { host.trim() };
    format!("{host}-{}-{}", std::process::id(), Uuid::new_v4().simple())
}

/// Everything that runs, under one token.
struct Crew {
    stop: CancellationToken,
    tasks: JoinSet<Ended>,
    running: BTreeMap<ChainId, Running>,
    /// Endpoints given on the command line, which stand in for the registry's however often a chain is started again.
    given: BTreeMap<ChainId, Vec<EndpointUrl>>,
    /// What cannot take effect.
    refused: BTreeMap<ChainId, Refused>,
}

/// A chain that runs, and the handles to change it.
struct Running {
    cancel: CancellationToken,
    endpoints: Arc<Pool>,
    assignment: Assignment,
}

/// What a task of the daemon was.
enum Ended {
    Chain(ChainId, Result<(), Error>),
    Service(Result<(), Failure>),
}

impl Crew {
    fn new(stop: CancellationToken, assignments: &[Assignment]) -> Self {
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
    fn ended(&mut self, ended: Result<Ended, JoinError>, finite: bool) -> Result<(), Failure> {
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
    async fn finish(mut self, deadline: Duration) -> Result<(), Failure> {
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
}

impl Daemon<'_> {
    /// Runs the assigned chains until cancelled, or until every one has reached its last block.
    ///
    /// `selected` names the chains the registry's edits may start; `None` means every enabled one.
    ///
    /// # Errors
    /// A chain that cannot be started at all, or the first task that ended with an error no further attempt would mend.
    pub async fn run(
        &self,
        assignments: Vec<Assignment>,
        selected: Option<&[ChainId]>,
        server: Option<(TcpListener, Router)>,
        cancel: &CancellationToken,
    ) -> Result<(), Failure> {
        let publishing = self.publisher_options()?;
        // Before the registry is acted on: an edit in between is then noticed and not missed.
        let mut watch = Watch::start(&self.stores.database).await?;
        let mut crew = Crew::new(cancel.child_token(), &assignments);
        let finite = !assignments.is_empty() && assignments.iter().all(|assignment| assignment.until.is_some());
        let mut refused = Ok(());
        for assignment in assignments {
            let chain = assignment.entry.chain.chain;
            if let Err(failure) = self.start_chain(assignment, &mut crew).await {
                // Nothing is wrong with a chain that was not waited for to its end.
                if crew.stop.is_cancelled() {
                    break;
                }
                crew.refuses(chain, &failure, &self.health.readiness);
                refused = refused.and(Err(failure));
            }
        }
        // One chain's dead endpoint is no reason to leave the others alone; what did not start is tried again.
        if !crew.stop.is_cancelled() && (finite || crew.running.is_empty()) {
            refused?;
        }
        self.start_services(server, publishing, &mut crew);
        let mut review = tokio::time::interval(REVIEW_INTERVAL);
        let mut outcome = Ok(());
        loop {
            tokio::select! {
                () = crew.stop.cancelled() => break,
                Some(ended) = crew.tasks.join_next() => {
                    outcome = crew.ended(ended, finite);
                    if outcome.is_err() || (finite && crew.running.is_empty()) {
                        break;
                    }
                    review.reset_immediately();
                }
                () = watch.changed() => review.reset_immediately(),
                _ = review.tick() => {
                    let stop = crew.stop.clone();
                    let look = async {
                        if !finite {
                            self.reconcile(selected, &mut crew).await;
                        }
                        self.report(&crew).await;
                    };
                    // A database that is away must not keep the process from stopping.
                    tokio::select! {
                        () = stop.cancelled() => break,
                        // What is waited for may be what was edited.
                        () = watch.changed() => review.reset_immediately(),
                        () = Box::pin(look) => {}
                    }
                }
            }
        }
        let deadline = Duration::from_millis(self.config.pipeline.stop_deadline_ms);
        outcome.and(crew.finish(deadline).await)
    }

    async fn start_chain(&self, assignment: Assignment, crew: &mut Crew) -> Result<(), Failure> {
        let chain = assignment.entry.chain.chain;
        let cancel = crew.stop.child_token();
        let pipeline = assignment
            .pipeline(self.config, self.stores, &self.health.metrics, &cancel)
            .await?;
        let endpoints = Arc::clone(&pipeline.endpoints);
        let (leading, watched) = watch::channel(false);
        let settings = &self.config.pipeline;
        let task = ChainTask {
            follower: Follower {
                pipeline,
                settings: assignment.follower_settings(self.config),
                holder: self.holder.clone(),
                leading,
                health: self
                    .health
                    .readiness
                    .task(format!("chain {chain}"))
                    .reporting_within(Duration::from_millis(settings.lease_ttl_ms)),
            },
            leading: watched,
            gap_proof: assignment
                .entry
                .chain
                .settings
                .backfill_proof
                .unwrap_or(settings.integrity_backfill),
            gap_workers: if settings.fill_gaps {
                settings.backfill_workers as usize
            } else {
                0
            },
            progress: Arc::clone(&self.progress),
            gap_health: self.health.readiness.task(format!("gaps {chain}")),
            head_health: self.health.readiness.task(format!("head {chain}")),
            endpoint_health: self.health.readiness.task(format!("endpoints {chain}")),
        };
        info!(%chain, endpoints = endpoints.health().len(), "following");
        let token = cancel.clone();
        crew.tasks
            .spawn(async move { Ended::Chain(chain, task.run(&token).await) });
        crew.running.insert(
            chain,
            Running {
                cancel,
                endpoints,
                assignment,
            },
        );
        Ok(())
    }
}
