//! The HTTP server: `/healthz`, `/readyz`, `/metrics`, and the API beside them.

use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::get;
use chrono::Utc;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, info, warn};

use super::Health;
use super::patience::Patient;
use super::places::{Place, Places};
use crate::error::{Exit, Failure};

/// How long requests under way may take once the process was asked to stop.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(3);
/// Pause after a connection that could not be accepted: most often files are used up.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// What clients may take of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections open at once. A further client takes the place of the one that has waited longest for a request, or for its
    /// client to take in an answer.
    pub connections: usize,
    /// How long a client may take to send the head of a request, also the first one after it connected and the next one after an
    /// answer.
    pub head: Duration,
    /// How long a client may take to take in a piece of an answer.
    pub answer: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            connections: 512,
            head: Duration::from_secs(5),
            answer: Duration::from_secs(30),
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
    if cancel.is_cancelled() {
        return;
    }
    info!(%address, "listening");
    let (places, clients) = (Places::new(limits.connections), TaskTracker::new());
    let accept = async {
        loop {
            match listener.accept().await {
                Ok((client, _)) => {
                    let place = places.take().await;
                    clients.spawn(converse(client, place, router.clone(), limits, cancel.clone()));
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
    if tokio::time::timeout(SHUTDOWN_GRACE, clients.wait()).await.is_err() {
        debug!("clients that did not finish are left");
    }
}

/// Answers the requests of one client until it leaves, falls silent, loses its place to another, or the server stops.
async fn converse(client: TcpStream, place: Place, router: Router, limits: Limits, cancel: CancellationToken) {
    let place = &place;
    let service = TowerToHyperService::new(router);
    let answering = service_fn(|request| {
        place.begin();
        let answer = service.call(request);
        async move {
            let answer = answer.await;
            place.answered();
            answer
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .serve_connection(TokioIo::new(Patient::new(client, limits.answer)), answering);
    let mut connection = pin!(connection);
    let talk = async {
        tokio::select! {
            ended = &mut connection => ended,
            () = cancel.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        }
    };
    let ended = tokio::select! {
        ended = talk => ended,
        () = place.closed() => {
            debug!("a client that sent no request made room for another");
            return;
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
