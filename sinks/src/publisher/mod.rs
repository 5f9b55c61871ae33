//! The publisher: publishes the outbox to RabbitMQ, in order per chain, at least once. Only this module knows RabbitMQ.
//!
//! A batch is read (one statement), published with every message in flight at once, and settled (one statement) when the
//! broker confirmed all of it. No connection to PostgreSQL is held while the broker is waited for. Killed before a batch is
//! settled, the next start publishes it again under the same ids. The broker may be away for hours: rows wait, indexing goes on.

mod backpressure;
mod broker;
mod claims;
mod error;
mod names;
mod options;
mod pending;
pub mod queue;
mod round;
mod status;
pub mod tail;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use decoders::block::ChainId;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use self::backpressure::Backpressure;
use self::broker::Broker;
pub use self::error::PublisherError;
pub use self::options::{Options, Unroutable};
use self::round::{Ended, Round};
pub use self::status::{State, Status};
pub use crate::message::{Message, RETRACTION, SCHEMA_VERSION, kinds};
use crate::store::Store;
use decoders::failure::Class;

/// How long giving up the claims may take at the end.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(3);
/// Shortest and longest pause before the broker is tried again.
const RETRY_PAUSES: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(30));

/// Whether `url` is an address of a broker that can be read, wherever it leads.
pub fn reads(url: &str) -> bool {
    names::address(url).is_ok()
}

/// Connects to the broker, declares the exchange and hangs up: for `check-config` and a start that fails early.
pub async fn check(options: &Options) -> Result<(), PublisherError> {
    Broker::connect(options).await?.close().await;
    Ok(())
}

/// The task that publishes the outbox.
#[derive(Debug)]
pub struct Publisher {
    store: Store,
    options: Options,
    wake: Arc<Notify>,
    status: watch::Sender<Status>,
    pressures: BTreeMap<ChainId, Backpressure>,
}

impl Publisher {
    /// A publisher over `store`. Ring `wake` after each commit to have its messages sent at once.
    pub fn new(store: Store, options: Options, wake: Arc<Notify>) -> (Self, watch::Receiver<Status>) {
        let (status, watched) = watch::channel(Status::default());
        (
            Publisher {
                store,
                options,
                wake,
                status,
                pressures: BTreeMap::new(),
            },
            watched,
        )
    }

    /// Publishes until `cancel`; then finishes or abandons the batch under way and returns. Fails only on fatal errors.
    pub async fn run(mut self, cancel: CancellationToken) -> Result<(), PublisherError> {
        let mut pauses = pauses();
        loop {
            let published = self.status.borrow().published;
            let Err(error) = self.session(&cancel).await else { break };
            if error.class() == Class::Fatal {
                return Err(error);
            }
            // A session that published something had a working broker: its end is a first failure again.
            if self.status.borrow().published > published {
                pauses = self::pauses();
            }
            let pause = pauses.next().unwrap_or(RETRY_PAUSES.1);
            let reason = error.to_string();
            tracing::warn!(%error, pause_ms = pause.as_millis(), "publishing interrupted");
            self.status.send_modify(|status| {
                status.state = State::Disconnected { reason };
                status.failures += 1;
            });
            if cancel.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
                break;
            }
        }
        let released = tokio::time::timeout(RELEASE_TIMEOUT, claims::release(&self.store, &self.options.holder)).await;
        if !matches!(released, Ok(Ok(()))) {
            tracing::debug!("claims were not given up; they end by themselves");
        }
        Ok(())
    }

    /// One connection's life: `Ok` when asked to stop.
    async fn session(&mut self, cancel: &CancellationToken) -> Result<(), PublisherError> {
        let Some(broker) = cancel
            .run_until_cancelled(Broker::connect(&self.options))
            .await
            .transpose()?
        else {
            return Ok(());
        };
        tracing::info!(exchange = self.options.exchange, "publisher connected");
        self.status.send_modify(|status| status.state = State::Working);
        self.pressures.values_mut().for_each(Backpressure::restart);
        let ended = self.work(&broker, cancel).await;
        // Whatever ended it: the locks of this connection go with it, and another one waits for them.
        broker.close().await;
        ended
    }

    async fn work(&mut self, broker: &Broker, cancel: &CancellationToken) -> Result<(), PublisherError> {
        while !cancel.is_cancelled() {
            match self.round(broker, cancel).await? {
                Ended::Published(0) => self.rest(broker, cancel).await?,
                Ended::Published(_) => {}
                Ended::Stopped => return Ok(()),
            }
        }
        Ok(())
    }

    /// One turn of each chain that has something pending.
    async fn round(&mut self, broker: &Broker, cancel: &CancellationToken) -> Result<Ended, PublisherError> {
        let Publisher {
            store,
            options,
            status,
            pressures,
            ..
        } = self;
        // Before anything is sent: a claim that another publisher took ends this connection and with it all locks it holds.
        broker.claims.renew(store, options).await?;
        let chains = pending::chains(store).await?;
        status.send_if_modified(|status| status.forget_but(&chains));
        let mut published = 0;
        for chain in chains {
            let round = Round {
                store,
                options,
                status,
                broker,
                cancel,
                chain,
            };
            match round.take(pressures.entry(chain).or_default()).await? {
                Ended::Published(rows) => published += rows,
                Ended::Stopped => return Ok(Ended::Stopped),
            }
            if cancel.is_cancelled() {
                break;
            }
        }
        Ok(Ended::Published(published))
    }

    /// Waits for a ring or the next look, and notices a broker that went away meanwhile.
    async fn rest(&self, broker: &Broker, cancel: &CancellationToken) -> Result<(), PublisherError> {
        tokio::select! {
            () = cancel.cancelled() => {}
            () = self.wake.notified() => {}
            () = tokio::time::sleep(self.options.poll_interval) => {}
        }
        if broker.connected() {
            Ok(())
        } else {
            Err(PublisherError::Lost)
        }
    }
}

/// Pauses between attempts to reach the broker: doubling, with jitter, without end.
fn pauses() -> impl Iterator<Item = Duration> {
    let (shortest, longest) = RETRY_PAUSES;
    let pauses = ExponentialBuilder::new()
        .with_min_delay(shortest)
        .with_max_delay(longest)
        .with_jitter();
    pauses.without_max_times().build()
}
