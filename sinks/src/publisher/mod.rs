//! The publisher: pays the outbox to RabbitMQ, in order per chain, at least once. Only this module knows RabbitMQ.
//!
//! A batch is read (one statement), published with every message in flight at once, and settled (one statement) when the
//! broker confirmed all of it. No connection to PostgreSQL is held while the broker is waited for. Killed between the two, the
//! next start publishes the batch again under the same ids. The broker may be away for hours: rows wait, indexing goes on.

mod broker;
mod error;
mod lane;
mod message;
mod owed;
mod status;
pub mod tail;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use backon::{BackoffBuilder, ExponentialBuilder};
use decoders::block::ChainId;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use self::broker::{Broker, Verdict};
pub use self::error::PublisherError;
use self::lane::Lane;
pub use self::message::{Message, RETRACTION, SCHEMA_VERSION};
pub use self::status::{State, Status};
use crate::error::Class;
use crate::store::Store;

/// How long a publisher's claim on a chain lasts without being renewed, in seconds.
const CLAIM_SECONDS: f64 = 10.0;
/// How long a batch under way may take to be confirmed once the process was asked to stop.
const FAREWELL: Duration = Duration::from_secs(3);
/// How often a batch under way looks whether the broker blocks it.
const BLOCKED_CHECK: Duration = Duration::from_secs(2);
/// How long a broker that does not block may take to confirm a batch before the connection is given up.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(120);
/// Shortest and longest pause before the broker is tried again.
const RETRY_PAUSES: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(30));

/// What to do with a message that no queue asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Unroutable {
    /// Keep it and all that follow on its chain owed, say so in `/readyz`, and try again until a queue is bound.
    #[default]
    Hold,
    /// Count it and go on: consumers bind what they want, the rest is nobody's.
    Drop,
}

/// How to reach the broker and how to publish.
#[derive(Clone, Debug)]
pub struct Options {
    /// `amqp://user:password@host:port/vhost`; `amqps` for TLS.
    pub url: String,
    /// Name of the topic exchange; design and documentation call it `indexer.events`.
    pub exchange: String,
    /// What to do with a message that no queue asks for.
    pub unroutable: Unroutable,
    /// Most messages in flight: read, published and confirmed together.
    pub batch: usize,
    /// How often the outbox is looked at when nobody rings.
    pub poll_interval: Duration,
    /// Name of this process among publishers of the same database.
    pub holder: String,
}

impl Options {
    /// The usual settings for `url`.
    pub fn new(url: impl Into<String>, holder: impl Into<String>) -> Self {
        Options {
            url: url.into(),
            exchange: "indexer.events".into(),
            unroutable: Unroutable::Hold,
            batch: 4_096,
            poll_interval: Duration::from_secs(1),
            holder: holder.into(),
        }
    }
}

/// Connects to the broker, declares the exchange and hangs up: for `check-config` and a start that fails early.
pub async fn check(options: &Options) -> Result<(), PublisherError> {
    Broker::connect(options).await?.close().await;
    Ok(())
}

/// The task that pays the outbox.
#[derive(Debug)]
pub struct Publisher {
    store: Store,
    options: Options,
    wake: Arc<Notify>,
    status: watch::Sender<Status>,
    lanes: BTreeMap<ChainId, Lane>,
}

/// How a batch ended.
enum Batch {
    /// Rows paid; zero when nothing was owed or nothing may be sent now.
    Paid(usize),
    /// Asked to stop before the broker confirmed.
    Stopped,
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
                lanes: BTreeMap::new(),
            },
            watched,
        )
    }

    /// Pays until `cancel`; then finishes or abandons the batch under way and returns. Fails only on fatal errors.
    pub async fn run(mut self, cancel: CancellationToken) -> Result<(), PublisherError> {
        let mut pauses = pauses();
        loop {
            let paid = self.status.borrow().published;
            let Err(error) = self.session(&cancel).await else { break };
            if error.class() == Class::Fatal {
                return Err(error);
            }
            if self.status.borrow().published > paid {
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
        if let Err(error) = owed::release(&self.store, &self.options.holder).await {
            tracing::debug!(%error, "claims were not given up; they end by themselves");
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
        self.lanes.values_mut().for_each(Lane::restart);
        while !cancel.is_cancelled() {
            match self.round(&broker, cancel).await? {
                Batch::Paid(0) => self.rest(&broker, cancel).await?,
                Batch::Paid(_) => {}
                Batch::Stopped => return Ok(()),
            }
        }
        broker.close().await;
        Ok(())
    }

    /// One batch of each chain that owes something.
    async fn round(&mut self, broker: &Broker, cancel: &CancellationToken) -> Result<Batch, PublisherError> {
        let mut paid = 0;
        for chain in owed::chains(&self.store).await? {
            match self.batch(broker, chain, cancel).await? {
                Batch::Paid(rows) => paid += rows,
                Batch::Stopped => return Ok(Batch::Stopped),
            }
            if cancel.is_cancelled() {
                break;
            }
        }
        Ok(Batch::Paid(paid))
    }

    /// Reads, publishes and settles one batch of `chain`.
    async fn batch(
        &mut self,
        broker: &Broker,
        chain: ChainId,
        cancel: &CancellationToken,
    ) -> Result<Batch, PublisherError> {
        let Options {
            exchange,
            unroutable,
            batch,
            holder,
            ..
        } = &self.options;
        let lane = self.lanes.entry(chain).or_default();
        if lane.waits() {
            return Ok(Batch::Paid(0));
        }
        if lane.claim_is_old(CLAIM_SECONDS) {
            if !owed::claim(&self.store, chain, exchange, holder, CLAIM_SECONDS).await? {
                return Ok(Batch::Paid(0));
            }
            lane.claimed();
        }
        let limit = lane.window(*batch);
        let rows = owed::rows(&self.store, chain, lane.after(), &[], limit).await?;
        lane.read(rows.last().map(|row| row.seq).filter(|_| rows.len() == limit));
        let (seqs, messages): (Vec<_>, Vec<_>) = rows.into_iter().map(|row| (row.seq, row.message)).unzip();
        let sent: Vec<&Message> = messages.iter().flatten().collect();
        let Some(verdicts) = deliver(&self.status, broker, &sent, cancel).await? else {
            return Ok(Batch::Stopped);
        };
        let outcome = lane::outcome(&messages, &verdicts, *unroutable);
        if outcome.rows > 0 {
            owed::settle(&self.store, chain, exchange, &seqs[..outcome.rows], outcome.receipt).await?;
        }
        lane.paid(outcome.rows, outcome.held.is_some());
        self.status.send_modify(|status| status.record(chain, &outcome));
        match outcome.refused {
            Some(key) => Err(PublisherError::Refused(key)),
            None => Ok(Batch::Paid(outcome.rows)),
        }
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

/// Sends `messages` and waits for the broker's word on each, watching for a blocked broker meanwhile.
///
/// `None` when asked to stop and the broker did not answer in time: the rows stay owed.
async fn deliver(
    status: &watch::Sender<Status>,
    broker: &Broker,
    messages: &[&Message],
    cancel: &CancellationToken,
) -> Result<Option<Vec<Verdict>>, PublisherError> {
    let mut sending = std::pin::pin!(broker.send(messages));
    let mut stopping = std::pin::pin!(async {
        cancel.cancelled().await;
        tokio::time::sleep(FAREWELL).await;
    });
    let started = Instant::now();
    loop {
        tokio::select! {
            verdicts = &mut sending => {
                status.send_if_modified(|status| std::mem::replace(&mut status.state, State::Working) != State::Working);
                return verdicts.map(Some);
            }
            () = &mut stopping => return Ok(None),
            () = tokio::time::sleep(BLOCKED_CHECK) => {}
        }
        if broker.blocked() {
            status.send_if_modified(|status| std::mem::replace(&mut status.state, State::Blocked) != State::Blocked);
        } else if started.elapsed() > CONFIRM_TIMEOUT {
            return Err(PublisherError::Silent {
                seconds: CONFIRM_TIMEOUT.as_secs(),
            });
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
