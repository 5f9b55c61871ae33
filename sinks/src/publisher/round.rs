//! One chain's turn: while the broker works on a batch, the one before it is settled and the next one read.

use std::time::{Duration, Instant};

use decoders::block::ChainId;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::backpressure::{Backpressure, Outcome, outcome};
use super::broker::{Broker, Verdict};
use super::error::PublisherError;
use super::options::Options;
use super::pending::NONE_SEEN;
use super::status::{State, Status};
use super::{claims, pending};
use crate::message::Message;
use crate::store::Store;

/// How long a chain with a long backlog may go on before another has its turn. The next turn starts at the front of what is
/// pending, and so finds rows of transactions that committed late.
const ROUND: Duration = Duration::from_secs(1);
/// How long a batch under way may take to be confirmed once the process was asked to stop.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(3);
/// How often a batch under way looks whether the broker blocks it.
const BLOCKED_CHECK: Duration = Duration::from_secs(2);
/// How long a broker that does not block may take to confirm a batch before the connection is given up.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(120);

/// How a turn ended.
pub(super) enum Ended {
    /// Rows published; zero when nothing was pending or nothing may be sent now.
    Published(usize),
    /// Asked to stop before the broker confirmed.
    Stopped,
}

/// What a turn works with.
pub(super) struct Round<'a> {
    pub(super) store: &'a Store,
    pub(super) options: &'a Options,
    pub(super) status: &'a watch::Sender<Status>,
    pub(super) broker: &'a Broker,
    pub(super) cancel: &'a CancellationToken,
    pub(super) chain: ChainId,
}

/// Rows read together, sent together and settled together.
struct Batch {
    seqs: Vec<i64>,
    /// Of each row; none where the fact was undone.
    messages: Vec<Option<Message>>,
    /// Whether there may be more rows behind it.
    full: bool,
    /// Why the row behind it cannot be sent.
    broken: Option<String>,
}

/// A batch the broker has spoken on, not written down yet.
struct Settlement {
    seqs: Vec<i64>,
    outcome: Outcome,
}

impl Round<'_> {
    /// Publishes what the chain has pending until nothing is left, the turn is over, or something is in the way.
    pub(super) async fn take(&self, pressure: &mut Backpressure) -> Result<Ended, PublisherError> {
        if pressure.waits() || !self.claim().await? {
            return Ok(Ended::Published(0));
        }
        let started = Instant::now();
        let mut published = 0;
        let mut unsettled = None;
        let mut next = self.read(0, pressure.window(self.options.batch)).await?;
        while let Some(batch) = next.take() {
            // A row that this program cannot read holds its chain up: skipping it would break the order that consumers rely on.
            if let Some(reason) = batch.broken.filter(|_| batch.seqs.is_empty()) {
                pressure.published(0, true);
                self.status.send_modify(|status| status.block(self.chain, reason));
                break;
            }
            // Bounded in time, so that a chain with a long backlog leaves others their turn.
            let more = batch.full && started.elapsed() < ROUND && !self.cancel.is_cancelled();
            let last = batch.seqs.last().copied().filter(|_| more);
            let messages: Vec<&Message> = batch.messages.iter().flatten().collect();
            // While the broker confirms this batch, the one before is written down and the next is read: one is ever under way
            // unrecorded.
            let bookkeeping = self.settle_and_prefetch(unsettled.take(), last, pressure.window(self.options.batch));
            let (verdicts, ahead) = tokio::join!(self.deliver(&messages), bookkeeping);
            let (verdicts, ahead) = (verdicts?, ahead?);
            // What was sent without an answer stays pending and is sent again: at least once, under the same id.
            let Some(verdicts) = verdicts else {
                return Ok(Ended::Stopped);
            };
            let outcome = outcome(&batch.messages, &verdicts, self.options.unroutable);
            pressure.published(outcome.rows, outcome.held.is_some());
            published += outcome.rows;
            // Behind a message that was not taken nothing may be sent, or it would come out of order.
            next = ahead.filter(|_| outcome.held.is_none() && outcome.refused.is_none());
            unsettled = Some(Settlement {
                seqs: batch.seqs,
                outcome,
            });
        }
        match self.settle(unsettled).await? {
            Some(key) => Err(PublisherError::Refused(key)),
            None => Ok(Ended::Published(published)),
        }
    }

    /// Makes sure that no other publisher is at work on the chain; false when one is.
    async fn claim(&self) -> Result<bool, PublisherError> {
        let claims = &self.broker.claims;
        claims.renew(self.store, self.options).await?;
        if claims.hold(self.chain) {
            return Ok(true);
        }
        let Some(lock) = claims::claim(self.store, self.chain, self.options).await? else {
            // What holds the chain up is now the other publisher's to report.
            self.status.send_if_modified(|status| status.leave(self.chain));
            return Ok(false);
        };
        let locked = self.broker.lock(self.chain, &lock).await?;
        if locked {
            claims.add(self.chain);
        }
        self.status
            .send_if_modified(|status| status.wait_for_lock(self.chain, !locked));
        Ok(locked)
    }

    /// Settles the batch before, then reads the next one, above `last`. One connection, one statement after the other.
    async fn settle_and_prefetch(
        &self,
        before: Option<Settlement>,
        last: Option<i64>,
        limit: usize,
    ) -> Result<Option<Batch>, PublisherError> {
        self.settle(before).await?;
        match last {
            Some(last) => self.read(last, limit).await,
            None => Ok(None),
        }
    }

    async fn read(&self, after: i64, limit: usize) -> Result<Option<Batch>, PublisherError> {
        let rows = pending::rows(self.store, self.chain, after, NONE_SEEN, limit).await?;
        let full = rows.len() == limit;
        let mut batch = Batch {
            seqs: Vec::with_capacity(rows.len()),
            messages: Vec::with_capacity(rows.len()),
            full,
            broken: None,
        };
        for row in rows {
            match row.message {
                Ok(message) => {
                    batch.seqs.push(row.seq);
                    batch.messages.push(message);
                }
                // What comes before it is sent; what comes behind it must wait.
                Err(reason) => {
                    (batch.full, batch.broken) = (false, Some(reason));
                    break;
                }
            }
        }
        Ok(Some(batch).filter(|batch| !batch.seqs.is_empty() || batch.broken.is_some()))
    }

    /// Writes a batch down as paid, and gives back the routing key of a message that was refused in it.
    async fn settle(&self, settlement: Option<Settlement>) -> Result<Option<String>, PublisherError> {
        let Some(Settlement { seqs, outcome }) = settlement else {
            return Ok(None);
        };
        if outcome.rows > 0 {
            let published = &seqs[..outcome.rows];
            pending::settle(self.store, self.chain, self.options, published, outcome.receipt).await?;
        }
        self.status.send_modify(|status| status.record(self.chain, &outcome));
        Ok(outcome.refused)
    }

    /// Sends `messages` and waits for the broker's word on each, renewing the claims and watching for a blocked broker meanwhile.
    ///
    /// `None` when asked to stop and the broker did not answer in time: the rows stay pending.
    async fn deliver(&self, messages: &[&Message]) -> Result<Option<Vec<Verdict>>, PublisherError> {
        let mut sending = std::pin::pin!(self.broker.send(messages));
        let mut stopping = std::pin::pin!(async {
            self.cancel.cancelled().await;
            tokio::time::sleep(SHUTDOWN_GRACE).await;
        });
        let started = Instant::now();
        let mut keeping = std::pin::pin!(self.keep_claims());
        loop {
            tokio::select! {
                verdicts = &mut sending => {
                    self.show(State::Working);
                    return verdicts.map(Some);
                }
                () = &mut stopping => return Ok(None),
                lost = &mut keeping => return Err(lost),
                () = tokio::time::sleep(BLOCKED_CHECK) => {}
            }
            // A blocked broker confirms once it has room, so it may take any time. Silence without that is a dead connection.
            if self.broker.blocked() {
                self.show(State::Blocked);
            } else if started.elapsed() > CONFIRM_TIMEOUT {
                return Err(PublisherError::Silent {
                    seconds: CONFIRM_TIMEOUT.as_secs(),
                });
            }
        }
    }

    /// Renews the claims for as long as it is polled; ends when one is lost.
    async fn keep_claims(&self) -> PublisherError {
        loop {
            tokio::time::sleep(claims::RENEWAL).await;
            if let Err(lost) = self.broker.claims.renew(self.store, self.options).await {
                return lost;
            }
        }
    }

    fn show(&self, state: State) {
        self.status.send_if_modified(|status| {
            let changed = status.state != state;
            status.state = state;
            changed
        });
    }
}
