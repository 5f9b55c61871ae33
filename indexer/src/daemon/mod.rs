//! One process: a task per chain, the publisher, the server, the registry's watch; one token stops them all.

pub mod assembly;
pub mod chain;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use decoders::block::ChainId;
use futures::FutureExt;
use sinks::publisher::{self, Publisher};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use uuid::Uuid;

use crate::backfill::Progress;
use crate::config::Config;
use crate::endpoints::{self, EndpointHealth, Pool};
use crate::error::{Error, Exit, Failure};
use crate::follower::Follower;
use crate::health::{self, EndpointSample, Health};
use crate::registry::{self, Watch};
use crate::stores::Stores;
use assembly::Assignment;
use chain::ChainTask;

/// How often the registry is read even if nothing told of an edit, so that a chain that could not be started is tried again.
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
    let host = host.trim();
    format!(
        "{}-{}-{}",
        if host.is_empty() { "indexer" } else { host },
        std::process::id(),
        Uuid::new_v4().simple()
    )
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
        let stop = cancel.child_token();
        let mut watch = Watch::start(&self.stores.database).await?;
        let mut tasks = JoinSet::new();
        let mut running = BTreeMap::new();
        for assignment in assignments {
            self.start_chain(assignment, &stop, &mut tasks, &mut running).await?;
        }
        self.start_services(server, &stop, &mut tasks);
        let mut review = tokio::time::interval(REVIEW_INTERVAL);
        let mut outcome = Ok(());
        let finite = running.values().all(|chain| chain.assignment.until.is_some()) && !running.is_empty();
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                Some(ended) = tasks.join_next() => {
                    outcome = outcome.and(self.ended(ended, &mut running));
                    if outcome.is_err() || (finite && running.is_empty()) {
                        break;
                    }
                    review.reset_immediately();
                }
                () = watch.changed() => review.reset_immediately(),
                _ = review.tick() => {
                    self.report_endpoints(&running);
                    if !finite {
                        self.follow_registry(selected, &stop, &mut tasks, &mut running).await;
                    }
                }
            }
        }
        stop.cancel();
        let deadline = Duration::from_millis(self.config.pipeline.stop_deadline_ms);
        outcome.and(self.finish(tasks, &mut running, deadline).await)
    }

    /// Waits for every task to end what it has begun.
    async fn finish(
        &self,
        mut tasks: JoinSet<Ended>,
        running: &mut BTreeMap<ChainId, Running>,
        deadline: Duration,
    ) -> Result<(), Failure> {
        let mut outcome = Ok(());
        let all = async {
            while let Some(ended) = tasks.join_next().await {
                outcome = std::mem::replace(&mut outcome, Ok(())).and(self.ended(ended, running));
            }
        };
        if tokio::time::timeout(deadline, all).await.is_err() {
            let seconds = deadline.as_secs();
            return Err(Failure::new(
                Exit::Interrupted,
                format!("tasks did not end within {seconds} s: what was not committed will be done again"),
            ));
        }
        outcome
    }

    fn ended(
        &self,
        ended: Result<Ended, tokio::task::JoinError>,
        running: &mut BTreeMap<ChainId, Running>,
    ) -> Result<(), Failure> {
        match ended.map_err(|error| Failure::new(Exit::Internal, format!("a task ended unexpectedly: {error}")))? {
            Ended::Chain(chain, result) => {
                running.remove(&chain);
                match result {
                    Ok(()) | Err(Error::Cancelled) => Ok(()),
                    Err(error) => Err(Failure::new(error.exit(), format!("{chain}: {error}"))),
                }
            }
            Ended::Service(result) => result,
        }
    }

    async fn start_chain(
        &self,
        assignment: Assignment,
        stop: &CancellationToken,
        tasks: &mut JoinSet<Ended>,
        running: &mut BTreeMap<ChainId, Running>,
    ) -> Result<(), Failure> {
        let chain = assignment.entry.chain.chain;
        let cancel = stop.child_token();
        let pipeline = assignment.pipeline(self.stores, &self.health.metrics, &cancel).await?;
        let endpoints = Arc::clone(&pipeline.endpoints);
        let (leading, watched) = watch::channel(false);
        let settings = &self.config.pipeline;
        let task = ChainTask {
            follower: Follower {
                pipeline,
                settings: assignment.follower_settings(self.config),
                holder: self.holder.clone(),
                leading,
                health: self.health.readiness.task(format!("chain {chain}")),
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
        };
        info!(%chain, endpoints = endpoints.health().len(), "following");
        let token = cancel.clone();
        tasks.spawn(async move { Ended::Chain(chain, task.run(&token).await) });
        running.insert(
            chain,
            Running {
                cancel,
                endpoints,
                assignment,
            },
        );
        Ok(())
    }

    fn start_services(
        &self,
        server: Option<(TcpListener, Router)>,
        stop: &CancellationToken,
        tasks: &mut JoinSet<Ended>,
    ) {
        if let Some((listener, router)) = server {
            tasks.spawn(health::server::serve(listener, router, stop.clone()).map(Ended::Service));
        }
        let Some(url) = &self.config.broker.url else { return };
        let mut options = publisher::Options::new(url.expose(), self.holder.clone());
        options.exchange.clone_from(&self.config.broker.exchange);
        options.unroutable = self.config.broker.unroutable;
        let (publisher, status) = Publisher::new(
            self.stores.database.store.clone(),
            options,
            Arc::clone(&self.stores.committed),
        );
        let paid = publisher
            .run(stop.clone())
            .map(|result| Ended::Service(result.map_err(|error| Failure::new(Exit::Broker, error.to_string()))));
        tasks.spawn(paid);
        tasks.spawn(report_publisher(status, self.health.clone(), stop.clone()));
    }

    /// Makes the running chains what the registry now says.
    async fn follow_registry(
        &self,
        selected: Option<&[ChainId]>,
        stop: &CancellationToken,
        tasks: &mut JoinSet<Ended>,
        running: &mut BTreeMap<ChainId, Running>,
    ) {
        let store = &self.stores.database.store;
        let chains = match registry::chains(store).await {
            Ok(chains) => chains,
            Err(error) => return warn!(%error, "failed to read the registry, keeping to what it said before"),
        };
        let wanted = |chain: ChainId| selected.is_none_or(|selected| selected.contains(&chain));
        for chain in chains.iter().filter(|chain| wanted(chain.chain)) {
            let change = match registry::load_chain(store, chain.chain).await {
                Ok(entry) => self.change(entry, stop, tasks, running).await,
                Err(error) => Err(error.into()),
            };
            if let Err(failure) = change {
                warn!(chain = %chain.chain, %failure, "an edit of the registry cannot take effect");
            }
        }
        let known: Vec<ChainId> = chains.iter().map(|chain| chain.chain).collect();
        for (chain, task) in running.iter().filter(|(chain, _)| !known.contains(chain)) {
            info!(%chain, "no longer in the registry, stopping");
            task.cancel.cancel();
        }
    }

    async fn change(
        &self,
        entry: registry::ChainEntry,
        stop: &CancellationToken,
        tasks: &mut JoinSet<Ended>,
        running: &mut BTreeMap<ChainId, Running>,
    ) -> Result<(), Failure> {
        let chain = entry.chain.chain;
        let Some(task) = running.get_mut(&chain) else {
            if !entry.chain.enabled {
                return Ok(());
            }
            let assignment = Assignment {
                entry,
                endpoints: Vec::new(),
                until: None,
            };
            return self.start_chain(assignment, stop, tasks, running).await;
        };
        if !entry.chain.enabled {
            info!(%chain, "disabled in the registry, stopping");
            task.cancel.cancel();
            return Ok(());
        }
        if entry.endpoints != task.assignment.entry.endpoints && task.assignment.endpoints.is_empty() {
            let edited = Assignment {
                entry: entry.clone(),
                ..task.assignment.clone()
            };
            task.endpoints.replace_endpoints(edited.endpoint_settings()?);
            task.assignment.entry.endpoints.clone_from(&entry.endpoints);
            info!(%chain, endpoints = entry.endpoints.len(), "endpoints replaced");
        }
        if entry.chain != task.assignment.entry.chain || edited_scope(&entry, &task.assignment.entry) {
            info!(%chain, "settings edited, starting the chain again");
            // The next review finds the chain stopped and starts it as the registry now says.
            task.cancel.cancel();
        }
        Ok(())
    }

    /// Carries what the pools know of their endpoints into the metrics.
    fn report_endpoints(&self, running: &BTreeMap<ChainId, Running>) {
        for (chain, task) in running {
            for endpoint in task.endpoints.health() {
                self.health.metrics.endpoint(*chain, &sample(&endpoint));
            }
        }
    }
}

fn sample(endpoint: &EndpointHealth) -> EndpointSample {
    EndpointSample {
        id: endpoint.id,
        state: match endpoint.state {
            endpoints::EndpointState::Ok => health::EndpointState::Ok,
            endpoints::EndpointState::Degraded => health::EndpointState::Degraded,
            endpoints::EndpointState::Open => health::EndpointState::Open,
            endpoints::EndpointState::Quarantined => health::EndpointState::Quarantined,
        },
        head: endpoint.head,
        latency_seconds: endpoint.latency_p50.map(|latency| latency.as_secs_f64()),
        requests: endpoint.requests,
        failures: endpoint.failures,
        lies: endpoint.lies,
    }
}

/// Whether the registered contracts matter to the chain's filter and were edited.
fn edited_scope(now: &registry::ChainEntry, before: &registry::ChainEntry) -> bool {
    now.chain.scope == crate::config::Scope::Contracts && now.contracts != before.contracts
}

/// Carries the publisher's status into metrics and `/readyz`.
async fn report_publisher(
    mut status: watch::Receiver<publisher::Status>,
    health: Health,
    stop: CancellationToken,
) -> Ended {
    let task = health.readiness.task("publisher");
    let mut told = publisher::Status::default();
    loop {
        let now = status.borrow_and_update().clone();
        health.metrics.confirmed(now.published - told.published);
        health
            .metrics
            .publish_failed(now.unroutable + now.failures - told.unroutable - told.failures);
        match now.trouble() {
            Some(cause) => task.failing(cause),
            None => task.ok(),
        }
        told = now;
        tokio::select! {
            () = stop.cancelled() => return Ended::Service(Ok(())),
            changed = status.changed() => if changed.is_err() { return Ended::Service(Ok(())) },
        }
    }
}
