//! The HTTP server: `/healthz`, `/readyz`, `/metrics`, and the API beside them.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::get;
use chrono::Utc;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, info, warn};

use super::Health;
use super::patience::Patient;
use crate::error::{Exit, Failure};

/// How long requests under way may take once the process was asked to stop.
const FAREWELL: Duration = Duration::from_secs(3);
/// Pause after a connection that could not be accepted: most often files are used up.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// What clients may take of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections open at once; further clients wait to be accepted.
    pub connections: usize,
    /// How long a client may take to send the head of a request, also the first one after it connected, and how long to take in
    /// a piece of the answer.
    pub silence: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            connections: 512,
            silence: Duration::from_secs(30),
        }
    }
}

/// Takes the address, so that a taken one ends the process before anything else began.
pub async fn bind(address: SocketAddr) -> Result<TcpListener, Failure> {
    TcpListener::bind(address).await.map_err(|error| {
        let message =
            format!("failed to listen on {address}: {error}: choose another api.listen (port 0 takes a free one)");
        Failure::new(Exit::Address, message)
    })
}

/// The routes every process has, and those of `api` where it serves them.
pub fn router(health: &Health, api: Option<Router>) -> Router {
    let own = Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(health.clone());
    own.merge(api.unwrap_or_default())
}

/// Serves until cancelled; requests under way are answered first, but a client that does not finish is not waited for long.
pub async fn serve(listener: TcpListener, router: Router, cancel: CancellationToken) {
    serve_within(Limits::default(), listener, router, cancel).await;
}

/// The same with limits of one's own.
pub async fn serve_within(limits: Limits, listener: TcpListener, router: Router, cancel: CancellationToken) {
    let address = listener
        .local_addr()
        .map_or_else(|_| "?".to_owned(), |address| address.to_string());
    info!(%address, "listening");
    let (room, clients) = (Arc::new(Semaphore::new(limits.connections)), TaskTracker::new());
    let accept = async {
        loop {
            // The semaphore is never closed.
            let Ok(place) = Arc::clone(&room).acquire_owned().await else {
                return;
            };
            match listener.accept().await {
                Ok((client, _)) => {
                    let served = converse(client, router.clone(), limits.silence, cancel.clone());
                    clients.spawn(async move {
                        served.await;
                        drop(place);
                    });
                }
                Err(error) => {
                    warn!(%error, "failed to accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    };
    tokio::select! {
        () = cancel.cancelled() => {}
        () = accept => {}
    }
    drop(listener);
    clients.close();
    if tokio::time::timeout(FAREWELL, clients.wait()).await.is_err() {
        debug!("clients that did not finish are left");
    }
}

/// Answers the requests of one client until it leaves, falls silent, or the server stops.
async fn converse(client: TcpStream, router: Router, silence: Duration, cancel: CancellationToken) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(silence)
        .serve_connection(
            TokioIo::new(Patient::new(client, silence)),
            TowerToHyperService::new(router),
        );
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = &mut connection => ended,
        () = cancel.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        debug!(%error, "a client was left");
    }
}

async fn readyz(State(health): State<Health>) -> Response {
    let causes = health.readiness.causes();
    let (code, ready) = if causes.is_empty() {
        (StatusCode::OK, true)
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, false)
    };
    (code, Json(json!({ "ready": ready, "causes": causes }))).into_response()
}

async fn metrics(State(health): State<Health>) -> Response {
    let chains = health.chains().await;
    match health.metrics.render(&chains, Utc::now()) {
        Ok(text) => ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response(),
        Err(error) => (
            StatusCode::INTERNAL_SERVER_ERROR,
            format!("failed to gather metrics: {error}\n"),
        )
            .into_response(),
    }
}
