//! HTTP: takes a request in, lets the faults have their way with it, sends the answer.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::counters::add;
use super::methods::{Service, Turn};
use super::socket;
use crate::faults::Failure;

/// Every request of a server, whatever its path.
pub(crate) async fn receive(
    State(service): State<Arc<Service>>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
    method: Method,
    body: Bytes,
) -> Response {
    if let Ok(upgrade) = upgrade {
        if service.faults.settings().refuse_sockets {
            return (StatusCode::SERVICE_UNAVAILABLE, "no websockets here").into_response();
        }
        return upgrade
            .on_upgrade(move |socket| socket::talk(service, socket))
            .into_response();
    }
    if method != Method::POST {
        return (
            StatusCode::METHOD_NOT_ALLOWED,
            "json-rpc is spoken by POST or WebSocket",
        )
            .into_response();
    }
    answer(&service, &body).await
}

async fn answer(service: &Service, body: &Bytes) -> Response {
    add(&service.counters.requests, 1);
    // Counted before limits and faults: tests measure what a client sent, whatever comes back.
    add(&service.counters.bytes_in, body.len());
    let settings = service.faults.settings();
    if settings.limits.body_bytes.is_some_and(|limit| body.len() > limit) {
        return (StatusCode::PAYLOAD_TOO_LARGE, "request entity too large").into_response();
    }
    match service.turn(body).await {
        Turn::Answer(answer) => {
            add(&service.counters.bytes_out, answer.len());
            ([(header::CONTENT_TYPE, "application/json")], answer).into_response()
        }
        Turn::Refused(status, body) => {
            add(&service.counters.bytes_out, body.len());
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
        }
        Turn::Failed(Failure::TooManyRequests) => {
            let mut response = (StatusCode::TOO_MANY_REQUESTS, "too many requests").into_response();
            if let Some(seconds) = settings.retry_after_s {
                response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
            }
            response
        }
        Turn::Failed(Failure::Status(code)) => {
            let status = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            (status, "upstream unavailable").into_response()
        }
        Turn::Failed(_) => (StatusCode::GATEWAY_TIMEOUT, "stopped").into_response(),
    }
}
