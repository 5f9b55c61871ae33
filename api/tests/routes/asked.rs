//! The router, asked without a socket.

use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, Response};
use queries::{Limits, Readers};
use serde_json::Value;
use sqlx::PgPool;
use tower::ServiceExt;

/// Limits that no test of answers meets.
pub(crate) const WIDE: Limits = Limits {
    requests: 64,
    running: 4,
    time: Duration::from_secs(60),
};

/// The routes over the tables of one test.
pub(crate) struct Api(Router);

impl Api {
    pub(crate) fn over(pool: &PgPool) -> Self {
        Api::within(WIDE, pool)
    }

    pub(crate) fn within(limits: Limits, pool: &PgPool) -> Self {
        Api(api::router(Readers::new(pool.clone(), limits)))
    }

    pub(crate) async fn ask(&self, path: &str) -> Response<Body> {
        let request = Request::get(path).body(Body::empty()).unwrap();
        self.0.clone().oneshot(request).await.unwrap()
    }

    /// Code and body as they are sent.
    pub(crate) async fn text(&self, path: &str) -> (u16, String) {
        let answer = self.ask(path).await;
        let code = answer.status().as_u16();
        let body = to_bytes(answer.into_body(), usize::MAX).await.unwrap();
        (code, String::from_utf8(body.into()).unwrap())
    }

    pub(crate) async fn get(&self, path: &str) -> (u16, Value) {
        let (code, body) = self.text(path).await;
        (code, serde_json::from_str(&body).unwrap())
    }

    pub(crate) async fn ok(&self, path: &str) -> Value {
        let (code, value) = self.get(path).await;
        assert_eq!(code, 200, "{path}: {value}");
        value
    }
}
