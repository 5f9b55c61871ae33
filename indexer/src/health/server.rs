//! The HTTP server: `/healthz`, `/readyz`, `/metrics`, and the API beside them.

use std::future::IntoFuture;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::get;
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::Health;
use crate::error::{Exit, Failure};

/// How long requests under way may take once the process was asked to stop.
const FAREWELL: Duration = Duration::from_secs(3);

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
pub async fn serve(listener: TcpListener, router: Router, cancel: CancellationToken) -> Result<(), Failure> {
    let address = listener
        .local_addr()
        .map_or_else(|_| "?".to_owned(), |address| address.to_string());
    info!(%address, "listening");
    let served = axum::serve(listener, router).with_graceful_shutdown(cancel.clone().cancelled_owned());
    let late = async {
        cancel.cancelled().await;
        tokio::time::sleep(FAREWELL).await;
    };
    tokio::select! {
        served = served.into_future() => {
            served.map_err(|error| Failure::new(Exit::Internal, format!("failed to serve on {address}: {error}")))
        }
        () = late => Ok(()),
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
    match health.metrics.render() {
        Ok(text) => ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response(),
        Err(error) => (
            StatusCode::INTERNAL_SERVER_ERROR,
            format!("failed to gather metrics: {error}\n"),
        )
            .into_response(),
    }
}
