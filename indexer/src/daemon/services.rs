//! What runs beside the chains: the server, the publisher, and the reports of both.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use futures::FutureExt;
use sinks::maintenance::{self, Action, Kept};
use sinks::outbox;
use sinks::progress::sessions;
use sinks::publisher::{self, Publisher};
use sinks::store::Store;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use super::Daemon;
use super::crew::{Crew, Ended};
use crate::error::{Exit, Failure};
use crate::health::{self, EndpointSample, Health, TaskHealth};
use rpc::EndpointHealth;

/// Leases after which a session that holds others up, and waits for its own process, is ended.
const STUCK_LEASES: u32 = 3;

/// Time between two rounds of maintenance.
const MAINTENANCE_REST: Duration = Duration::from_secs(3_600);
/// How often a daemon looks whether it is time for the next.
const MAINTENANCE_LOOK: Duration = Duration::from_secs(600);

impl Daemon<'_> {
    /// How to publish; none without a broker.
    ///
    /// # Errors
    /// A broker's address that cannot be used whatever becomes of the broker.
    pub(super) fn publisher_options(&self) -> Result<Option<publisher::Options>, Failure> {
        let Some(url) = &self.config.broker.url else {
            return Ok(None);
        };
        let mut options = publisher::Options::new(url.expose(), self.holder.clone());
        options.exchange.clone_from(&self.config.broker.exchange);
        options.unroutable = self.config.broker.unroutable;
        options
            .check()
            .map_err(|error| Failure::new(Exit::Broker, error.to_string()))?;
        Ok(Some(options))
    }

    /// Starts the server and the publisher.
    pub(super) fn start_services(
        &self,
        server: Option<(TcpListener, Router)>,
        options: Option<publisher::Options>,
        crew: &mut Crew,
    ) {
        let stop = &crew.stop;
        if let Some((listener, router)) = server {
            crew.tasks
                .spawn(health::server::serve(listener, router, stop.clone()).map(|()| Ended::Service(Ok(()))));
        }
        if self.config.maintenance.enabled {
            let (store, kept) = (self.stores.database.store.clone(), self.config.maintenance.kept());
            let (holder, health, stop) = (self.holder.clone(), self.health.clone(), stop.clone());
            crew.tasks.spawn(async move {
                look_after(&store, &kept, &holder, &health, &stop).await;
                Ended::Service(Ok(()))
            });
        }
        let Some(options) = options else { return };
        let store = self.stores.database.store.clone();
        let (publisher, status) = Publisher::new(store, options, Arc::clone(&self.stores.committed));
        let health = self.health.clone();
        crew.tasks.spawn(publish(publisher, status, health, stop.clone()));
    }

    /// Carries into the metrics how endpoints stand; where it is due, ends sessions that are stuck and drops messages that were kept
    /// long enough.
    pub(super) async fn report(&self, crew: &Crew, is_due: bool) {
        let samples = crew.running.iter().map(|(chain, task)| {
            let endpoints = task.endpoints.health();
            (*chain, endpoints.iter().map(sample).collect())
        });
        self.health.metrics.endpoints(&samples.collect());
        if is_due {
            self.expire_messages().await;
        }
        self.end_stuck_sessions().await;
    }
}

impl Daemon<'_> {
    /// Lets no process that was stopped in a transaction hold up the others. The embedded database has no other session.
    async fn end_stuck_sessions(&self) {
        let database = &self.stores.database;
        if database.is_embedded() {
            return;
        }
        let patience = Duration::from_millis(self.config.pipeline.lease_ttl_ms) * STUCK_LEASES;
        match sessions::end_stuck(&database.store, patience).await {
            Ok(0) => {}
            Ok(sessions) => warn!(
                sessions,
                "ended database sessions that held locks and waited for a process that does not go on"
            ),
            Err(error) => debug!(%error, "failed to look for sessions that hold up others"),
        }
    }

    /// Without a broker, drops the messages that were kept long enough.
    async fn expire_messages(&self) {
        let broker = &self.config.broker;
        if broker.url.is_some() || broker.retention_hours == 0 {
            return;
        }
        let keep = Duration::from_secs(3_600 * u64::from(broker.retention_hours));
        match outbox::expire(&self.stores.database.store, keep).await {
            Ok(0) => {}
            Ok(messages) => info!(
                messages,
                hours = broker.retention_hours,
                "dropped messages that no broker took"
            ),
            Err(error) => warn!(%error, "failed to drop messages that no broker took"),
        }
    }
}

/// Looks after the database at once and then again and again, as often as it is this daemon's turn, until stopped. What fails is tried
/// again with the next turn: nothing waits for it.
async fn look_after(store: &Store, kept: &Kept, holder: &str, health: &Health, stop: &CancellationToken) {
    while !stop.is_cancelled() {
        let began = Instant::now();
        let done = async {
            match maintenance::take(store, holder, MAINTENANCE_REST).await? {
                Some(turn) => maintenance::run(store, kept, &turn, stop).await.map(Some),
                None => Ok(None),
            }
        };
        match done.await {
            Ok(Some(actions)) => {
                health.metrics.maintained(&actions, began.elapsed());
                for Action { table, action, rows } in actions {
                    info!(table, action, rows, "maintenance");
                }
            }
            Ok(None) => {}
            Err(error) => warn!(%error, "maintenance failed, trying again later"),
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(MAINTENANCE_LOOK) => {}
        }
    }
}

fn sample(endpoint: &EndpointHealth) -> EndpointSample {
    EndpointSample {
        id: endpoint.id,
        state: match endpoint.state {
            rpc::EndpointState::Ok => health::EndpointState::Ok,
            rpc::EndpointState::Degraded => health::EndpointState::Degraded,
            rpc::EndpointState::Open => health::EndpointState::Open,
            rpc::EndpointState::Quarantined => health::EndpointState::Quarantined,
        },
        head: endpoint.head,
        latency_seconds: endpoint.latency_p50.map(|latency| latency.as_secs_f64()),
        requests: endpoint.requests,
        failures: endpoint.failures,
        lies: endpoint.lies,
    }
}

/// Publishes until stopped. An error that no further attempt would mend ends the publisher alone: chains are indexed without it, and
/// `/readyz` reports why messages wait.
async fn publish(
    publisher: Publisher,
    status: watch::Receiver<publisher::Status>,
    health: Health,
    stop: CancellationToken,
) -> Ended {
    let task = health.readiness.task("publisher");
    let published = publisher.run(stop.clone());
    let (outcome, ()) = tokio::join!(published, report_publisher(status, &health, &task));
    if let Err(error) = outcome {
        error!(%error, "publishing ended, messages stay in the outbox until the next start");
        task.failing(format!("publishing ended: {error}"));
        stop.cancelled().await;
    }
    Ended::Service(Ok(()))
}

/// Carries the publisher's status into metrics and `/readyz`, for as long as the publisher runs.
async fn report_publisher(mut status: watch::Receiver<publisher::Status>, health: &Health, task: &TaskHealth) {
    let mut last = publisher::Status::default();
    loop {
        let now = status.borrow_and_update().clone();
        health.metrics.confirmed(now.published - last.published);
        health
            .metrics
            .publish_failed(now.unroutable + now.failures - last.unroutable - last.failures);
        match now.trouble() {
            Some(cause) => task.failing(cause),
            None => task.ok(),
        }
        last = now;
        if status.changed().await.is_err() {
            return;
        }
    }
}
