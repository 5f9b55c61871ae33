//! One process: a task per chain, the publisher, the server, the registry's watch; one token stops them all.

pub mod assembly;
pub mod chain;
mod crew;
mod progress;
mod reconcile;
mod refused;
mod services;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use decoders::block::ChainId;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::info;
use uuid::Uuid;

use crate::backfill::Progress;
use crate::config::Config;
use crate::error::Failure;
use crate::follower::Follower;
use crate::health::Health;
use crate::registry::Watch;
use crate::stores::Stores;
use assembly::Assignment;
use chain::{ChainTask, Signs};
use crew::{Crew, Ended, Running};

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
        let (leading, is_leading) = watch::channel(None);
        let (moves, moved) = watch::channel(());
        let settings = &self.config.pipeline;
        let task = ChainTask {
            follower: Follower {
                pipeline,
                settings: assignment.follower_settings(self.config),
                holder: self.holder.clone(),
                leading,
                moves,
                health: self
                    .health
                    .readiness
                    .task(format!("chain {chain}"))
                    .reporting_within(Duration::from_millis(settings.lease_ttl_ms)),
            },
            signs: Signs {
                leading: is_leading,
                moved,
            },
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
