//! What runs beside the chains: the server, the publisher, and the reports of both.

use std::sync::Arc;

use axum::Router;
use futures::FutureExt;
use sinks::outbox;
use sinks::publisher::{self, Publisher};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::{Crew, Daemon, Ended};
use crate::endpoints::{self, EndpointHealth};
use crate::error::{Exit, Failure};
use crate::health::{self, EndpointSample, Health};

impl Daemon<'_> {
    pub(super) fn start_services(&self, server: Option<(TcpListener, Router)>, crew: &mut Crew) {
        let stop = &crew.stop;
        if let Some((listener, router)) = server {
            crew.tasks
                .spawn(health::server::serve(listener, router, stop.clone()).map(Ended::Service));
        }
        let Some(url) = &self.config.broker.url else { return };
        let mut options = publisher::Options::new(url.expose(), self.holder.clone());
        options.exchange.clone_from(&self.config.broker.exchange);
        options.unroutable = self.config.broker.unroutable;
        let store = self.stores.database.store.clone();
        let (publisher, status) = Publisher::new(store, options, Arc::clone(&self.stores.committed));
        let paid = publisher.run(stop.clone());
        let broken = |error: publisher::PublisherError| Failure::new(Exit::Broker, error.to_string());
        crew.tasks
            .spawn(paid.map(move |result| Ended::Service(result.map_err(broken))));
        crew.tasks
            .spawn(report_publisher(status, self.health.clone(), stop.clone()));
    }

    /// Carries into the metrics what nobody tells by itself: endpoints, and messages owed.
    pub(super) async fn report(&self, crew: &Crew) {
        for (chain, task) in &crew.running {
            for endpoint in task.endpoints.health() {
                self.health.metrics.endpoint(*chain, &sample(&endpoint));
            }
        }
        match outbox::depth(&self.stores.database.store).await {
            Ok(messages) => self.health.metrics.outbox_depth(messages),
            Err(error) => warn!(%error, "failed to look at the outbox"),
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
