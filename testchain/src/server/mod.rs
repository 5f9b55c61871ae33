//! A JSON-RPC endpoint over a [`Ledger`]: HTTP and WebSocket on one port, any path, with [`Faults`] by choice.
//!
//! Several servers over one ledger, each with faults of its own, are endpoints that disagree.

mod counters;
mod logs;
mod methods;
mod request;
mod socket;
pub mod state;
mod transport;
mod view;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::serve::ListenerExt;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub use counters::{Counters, Counts};

use crate::faults::Faults;
use crate::ledger::Ledger;
use methods::Service;
use state::{State, Stateless};

/// How long open connections may go on after a stop.
const STOP_GRACE: Duration = Duration::from_secs(2);

/// A running endpoint; dropping it stops it.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    counters: Arc<Counters>,
    cancel: CancellationToken,
    task: Option<JoinHandle<io::Result<()>>>,
}

impl Server {
    /// URL for JSON-RPC over HTTP; any path below it is served too.
    pub fn http_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// URL for JSON-RPC and subscriptions over WebSocket.
    pub fn ws_url(&self) -> String {
        format!("ws://{}", self.address)
    }

    /// Address listened on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What was asked and sent so far.
    pub fn counts(&self) -> Counts {
        self.counters.read()
    }

    /// Closes the port and every connection. Requests left unanswered by a fault end too.
    pub async fn stop(mut self) {
        self.cancel.cancel();
        if let Some(mut task) = self.task.take()
            && tokio::time::timeout(STOP_GRACE, &mut task).await.is_err()
        {
            task.abort();
        }
    }

    /// Returns when the server ends on its own, which only a failing socket makes it do.
    ///
    /// # Errors
    /// The socket's failure.
    pub async fn ended(&mut self) -> io::Result<()> {
        match self.task.as_mut() {
            Some(task) => task.await.map_err(io::Error::other)?,
            None => Ok(()),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

/// Serves `ledger` on `listen` (port 0 picks a free one) without contract state: every `eth_call` reverts.
///
/// # Errors
/// When the port cannot be opened.
pub async fn serve(ledger: Ledger, faults: Arc<Faults>, listen: SocketAddr) -> io::Result<Server> {
    serve_with_state(ledger, faults, listen, Arc::new(Stateless)).await
}

/// Serves `ledger` on `listen`; `eth_call` and `eth_getCode` are answered by `state`.
///
/// # Errors
/// When the port cannot be opened.
pub async fn serve_with_state(
    ledger: Ledger,
    faults: Arc<Faults>,
    listen: SocketAddr,
    state: Arc<dyn State>,
) -> io::Result<Server> {
    let listener = TcpListener::bind(listen).await?;
    let address = listener.local_addr()?;
    let counters = Arc::new(Counters::default());
    let cancel = CancellationToken::new();
    let service = Arc::new(Service::new(ledger, faults, state, counters.clone(), cancel.clone()));
    let app = Router::new()
        .fallback(transport::receive)
        .layer(DefaultBodyLimit::disable())
        .with_state(service);
    let listener = listener.tap_io(|stream| {
        // Answers are written whole; waiting to fill a segment would only add latency.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "failed to set TCP_NODELAY");
        }
    });
    let stopped = cancel.clone().cancelled_owned();
    let task = tokio::spawn(async move { axum::serve(listener, app).with_graceful_shutdown(stopped).await });
    Ok(Server {
        address,
        counters,
        cancel,
        task: Some(task),
    })
}
