//! One question to the pool: who is asked, when it is asked again, and when to give up.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tracing::debug;

use super::choice::SLOW_FACTOR;
use super::endpoint::exchange::Progress;
use super::endpoint::{Endpoint, Refused};
use super::inner::Inner;
use super::question::{Ask, Reader, Trouble};
use super::report::count;
use super::wire::rejection::Rejection;

/// First and longest wait between two rounds.
const WAIT: Duration = Duration::from_millis(20);
/// How much longer each wait is than the one before: the first ones get over a hiccup, the last ones over an outage.
const WAIT_FACTOR: f32 = 3.0;
const WAIT_LONGEST: Duration = Duration::from_secs(5);
/// Rounds of a question that has another way.
const SPARED_ROUNDS: usize = 2;
/// Longest wait for a paused endpoint to come back within one question.
const PATIENCE: Duration = Duration::from_secs(15);
/// No request is slow sooner than this.
const SLOW_SOONEST: Duration = Duration::from_millis(250);

/// An answer that passed, and who gave it.
pub(super) struct Served<T> {
    pub(super) value: T,
    pub(super) by: Arc<Endpoint>,
}

/// What the endpoints answered in one round.
#[derive(Default)]
struct Tally {
    causes: Vec<String>,
    unproven: Vec<String>,
    liars: Vec<i32>,
    absent: bool,
    unsupported: bool,
    pruned: bool,
    /// An endpoint might answer another time.
    transient: bool,
    /// The question is for receipts, which an endpoint may deny while it serves everything else.
    receipts: bool,
    /// Endpoints that answered with an error of no known meaning, or with something unreadable.
    rejected: usize,
    asked: usize,
}

impl Tally {
    /// `Some` when there is no use in asking any other.
    fn note(&mut self, by: &Endpoint, refused: Refused) -> Option<Trouble> {
        let Refused { rejection, detail } = refused;
        self.asked += 1;
        let cause = format!("{}: {detail}", by.name);
        match rejection {
            Rejection::TooMuch(hint) => return Some(Trouble::TooMuch(hint)),
            Rejection::Absent => self.absent = true,
            Rejection::Unsupported => self.unsupported = true,
            Rejection::Unprovable => self.unproven.push(cause.clone()),
            Rejection::Lie => {
                self.unproven.push(cause.clone());
                self.liars.push(by.id);
            }
            Rejection::Pruned => self.pruned = true,
            Rejection::WrongChain => {}
            rejection => {
                self.transient = true;
                let is_denied = self.receipts && rejection == Rejection::Denied;
                self.rejected +=
                    usize::from(is_denied || matches!(rejection, Rejection::Failed | Rejection::Malformed));
            }
        }
        self.causes.push(cause);
        None
    }

    /// The answer, when every endpoint has given a definite one.
    fn settled(&self) -> Option<Trouble> {
        if self.transient || self.asked == 0 {
            return None;
        }
        self.partly()
            .or_else(|| self.pruned.then(|| Trouble::Unreachable(self.causes.join("; "))))
    }

    /// What the definite answers state.
    fn partly(&self) -> Option<Trouble> {
        if !self.unproven.is_empty() {
            let (reason, liars) = (self.unproven.join("; "), self.liars.clone());
            Some(Trouble::Unproven { reason, liars })
        } else if self.absent {
            Some(Trouble::Absent)
        } else if self.unsupported {
            Some(Trouble::Unsupported)
        } else {
            None
        }
    }
}

/// What each endpoint has answered of one question, until one has answered it all.
#[derive(Default)]
struct Kept(Mutex<BTreeMap<i32, Progress>>);

impl Kept {
    fn take(&self, id: i32) -> Option<Progress> {
        self.lock().remove(&id)
    }

    fn put(&self, id: i32, progress: Progress) {
        if progress.is_worth_keeping() {
            self.lock().insert(id, progress);
        }
    }

    /// Calls answered so far.
    fn answers(&self) -> usize {
        self.lock().values().map(Progress::answers).sum()
    }

    /// The endpoint that has answered most, and what.
    fn most(&self) -> Option<(i32, Progress)> {
        let mut kept = self.lock();
        let (id, _) = kept.iter().max_by_key(|(_, progress)| progress.answers())?;
        let id = *id;
        kept.remove_entry(&id)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<i32, Progress>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Asks until an endpoint's answer passes `read`, every endpoint has given a definite answer, or the rounds are over.
    pub(super) async fn ask<T: Send + 'static, R: Reader<T>>(&self, ask: &Ask, read: R) -> Result<Served<T>, Trouble> {
        let mut edits = self.edited.subscribe();
        loop {
            tokio::select! {
                biased;
                () = self.cancel.cancelled() => return Err(Trouble::Cancelled),
                answer = Box::pin(self.rounds(ask, read.clone())) => return answer,
                // Who is waited for may be gone, and who answers may have come. The sender lives as long as the pool.
                _ = edits.changed() => {}
            }
        }
    }

    async fn rounds<T: Send + 'static, R: Reader<T>>(&self, ask: &Ask, read: R) -> Result<Served<T>, Trouble> {
        let waits = ExponentialBuilder::new()
            .with_min_delay(WAIT)
            .with_max_delay(WAIT_LONGEST)
            .with_factor(WAIT_FACTOR)
            .with_jitter()
            .with_max_times(self.options.rounds.saturating_sub(1));
        let mut pauses = waits.build();
        let (mut causes, mut rejections) = (Vec::new(), 0);
        let kept = Kept::default();
        let (mut most, mut rounds) = (0, 0);
        loop {
            rounds += 1;
            let mut tried = Vec::new();
            let mut tally = Tally {
                receipts: ask.receipts,
                ..Tally::default()
            };
            while let Some(endpoint) = self.pick(ask, &tried) {
                match self.race(endpoint, (ask, &kept), &read, &mut tried, &mut tally).await {
                    (by, Ok(value)) => return Ok(Served { value, by }),
                    (by, Err(refused)) => {
                        debug!(endpoint = %by.name, ask = %ask.what, rejection = ?refused.rejection, detail = %refused.detail, "endpoint gave no usable answer");
                        if let Some(trouble) = tally.note(&by, refused) {
                            return Err(trouble);
                        }
                    }
                }
            }
            // Who only pauses for a rate limit is waited for.
            tally.transient |= self.pausing(&tried);
            if let Some(trouble) = tally.settled().or_else(|| self.hopeless(ask)) {
                return Err(trouble);
            }
            if rounds >= SPARED_ROUNDS && self.can_spare(ask) {
                return Err(Trouble::Unsupported);
            }
            let partly = tally.partly();
            // What fails twice over will hardly pass the third time, and there are other ways: parts of the range, logs for receipts.
            rejections += usize::from(tally.rejected > 0 && tally.rejected == tally.asked);
            if (ask.span.is_some() || ask.receipts) && rejections > 1 {
                return Err(Trouble::Refused(tally.causes.join("; ")));
            }
            if !tally.causes.is_empty() {
                causes = tally.causes;
            }
            // A round that brought a part of the answer was no failure.
            if kept.answers() > most {
                most = kept.answers();
                pauses = waits.build();
            }
            let Some(wait) = pauses.next() else {
                if let Some(served) = self.in_part(ask, &kept, &read).await {
                    return Ok(served);
                }
                return Err(partly.unwrap_or_else(|| Trouble::Unreachable(self.excuses(&causes))));
            };
            count(&self.counts.retries);
            let back = self
                .earliest()
                .unwrap_or_else(Instant::now)
                .min(Instant::now() + PATIENCE);
            tokio::join!(sleep(wait), sleep_until(back));
        }
    }

    /// What one endpoint has answered of a question that none answers as a whole.
    async fn in_part<T: Send + 'static, R: Reader<T>>(&self, ask: &Ask, kept: &Kept, read: &R) -> Option<Served<T>> {
        let (id, progress) = kept.most().filter(|_| ask.in_part)?;
        let by = Arc::clone(self.endpoints().iter().find(|endpoint| endpoint.id == id)?);
        let value = self.read(&by, ask, read, progress.into_bodies()).await.ok()?;
        Some(Served { value, by })
    }

    /// One request, and a second one elsewhere when it is slow. The first good answer wins.
    async fn race<T: Send + 'static, R: Reader<T>>(
        &self,
        first: Arc<Endpoint>,
        (ask, kept): (&Ask, &Kept),
        read: &R,
        tried: &mut Vec<i32>,
        tally: &mut Tally,
    ) -> (Arc<Endpoint>, Result<T, Refused>) {
        tried.push(first.id);
        count(&self.counts.requests);
        let slow = slow_after(&first, ask.patience);
        // The second request may overtake the first; it is the first that is then held to be slow.
        let suspect = Arc::clone(&first);
        let run = async |endpoint: Arc<Endpoint>| {
            let mut progress = kept.take(endpoint.id).unwrap_or_else(|| Progress::new(&ask.calls));
            let answer = self.attempt(&endpoint, ask, read, &mut progress).await;
            // What was answered before the failure is kept, so that the next attempt at this endpoint asks for the rest alone.
            if answer.is_err() {
                kept.put(endpoint.id, progress);
            }
            (endpoint, answer)
        };
        let mut one = Box::pin(run(first));
        if !self.options.hedge {
            return one.await;
        }
        // The first comes first when both are ready: a second request costs the operator's quota.
        tokio::select! {
            biased;
            answer = &mut one => return answer,
            () = sleep(slow) => {}
        }
        let Some(second) = self.hedge(ask, tried) else {
            return self.no_longer(suspect, ask, slow, one).await;
        };
        tried.push(second.id);
        let mut two = Box::pin(run(second));
        let ((by, answer), rest) = tokio::select! {
            answer = &mut one => (answer, &mut two),
            answer = &mut two => (answer, &mut one),
        };
        match answer {
            // A range that is too long is too long elsewhere as well: the caller splits it at once instead of waiting for the
            // other.
            Err(refused) if !matches!(refused.rejection, Rejection::TooMuch(_)) => {
                tally.note(&by, refused);
                rest.await
            }
            answer => {
                if by.id != suspect.id {
                    suspect.health().overtaken(slow, Instant::now());
                }
                (by, answer)
            }
        }
    }

    /// Waits on for an endpoint that is slow, but not much longer where the question has another way.
    async fn no_longer<T>(
        &self,
        slow_one: Arc<Endpoint>,
        ask: &Ask,
        slow: Duration,
        answer: impl Future<Output = (Arc<Endpoint>, Result<T, Refused>)>,
    ) -> (Arc<Endpoint>, Result<T, Refused>) {
        if !self.can_spare(ask) {
            return answer.await;
        }
        let wait = slow * SLOW_FACTOR;
        match timeout(wait, answer).await {
            Ok(answer) => answer,
            Err(_) => {
                slow_one.health().overtaken(slow + wait, Instant::now());
                let detail = format!("no answer within {:.1} s", (slow + wait).as_secs_f64());
                let refused = slow_one.refused(Rejection::Timeout, &detail);
                (slow_one, Err(refused))
            }
        }
    }

    /// Another endpoint for a slow request, unless slow requests are so common that asking twice would make it worse.
    fn hedge(&self, ask: &Ask, tried: &[i32]) -> Option<Arc<Endpoint>> {
        let (hedges, requests) = (&self.counts.hedges, &self.counts.requests);
        if hedges.load(Ordering::Relaxed) > 5 + requests.load(Ordering::Relaxed) / 10 {
            return None;
        }
        // One that does not have the block yet answers as if it were empty.
        let is_behind = |endpoint: &Endpoint| {
            ask.block
                .zip(endpoint.health().head)
                .is_some_and(|(block, head)| block > head)
        };
        let second = self.pick(ask, tried).filter(|endpoint| {
            !ask.shun.contains(&endpoint.id) && !is_behind(endpoint) && !endpoint.health().is_shunned(Instant::now())
        })?;
        count(hedges);
        Some(second)
    }
}

fn slow_after(endpoint: &Endpoint, patience: Duration) -> Duration {
    let latest = patience / 2;
    let median = endpoint.health().median_latency();
    median.map_or(latest, |median| (median * SLOW_FACTOR).max(SLOW_SOONEST).min(latest))
}
