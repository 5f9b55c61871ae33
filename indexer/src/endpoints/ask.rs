//! One question to the pool: who is asked, when it is asked again, and when to give up.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use tokio::time::{Instant, sleep, sleep_until};
use tracing::debug;

use super::call::Call;
use super::endpoint::{Endpoint, Forms, Refused};
use super::pool::Inner;
use super::refusal::{Hint, Refusal};
use super::wire::{Body, Unread};

/// Answers longer than this are read on a blocking thread.
const LONG: usize = 256 << 10;
/// First and longest wait between two rounds.
const WAIT: Duration = Duration::from_millis(100);
const WAIT_LONGEST: Duration = Duration::from_secs(5);
/// Longest wait for a paused endpoint to come back within one question.
const PATIENCE: Duration = Duration::from_secs(15);
/// A request is slow after this many times its endpoint's median, but not sooner than this.
pub(super) const SLOW_FACTOR: u32 = 4;
const SLOW_SOONEST: Duration = Duration::from_millis(250);

/// What is asked.
#[derive(Clone, Debug)]
pub(super) struct Ask {
    pub(super) calls: Vec<Call>,
    /// In words, for messages.
    pub(super) what: String,
    pub(super) patience: Duration,
    /// The highest block the answer needs, when its height is known.
    pub(super) block: Option<u64>,
    /// Blocks of an `eth_getLogs` range.
    pub(super) span: Option<u64>,
    /// Needs `eth_getBlockReceipts`.
    pub(super) receipts: bool,
    /// Reading the answer takes long, however short it is.
    pub(super) heavy: bool,
    /// Endpoints to leave out while there are others.
    pub(super) shun: Vec<i32>,
}

/// An answer that passed, and who gave it.
pub(super) struct Served<T> {
    pub(super) value: T,
    pub(super) by: Arc<Endpoint>,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// Ask for fewer blocks.
    TooMuch(Option<Hint>),
    /// No endpoint has it.
    Absent,
    /// No endpoint knows the method.
    Unsupported,
    /// Endpoints answer, but not this question; how.
    Refused(String),
    /// Every answer failed a check.
    Unproven {
        /// Which check, per endpoint.
        reason: String,
        /// Endpoints whose answers were not only without proof but false.
        liars: Vec<i32>,
    },
    /// No endpoint answers; why.
    Unreachable(String),
    /// Every endpoint serves another chain; which.
    WrongChain(String),
    NoEndpoints,
    Cancelled,
}

/// Counts of a pool; see [`super::PoolCounters`].
#[derive(Default)]
pub(super) struct Counts {
    pub(super) hedges: AtomicU64,
    pub(super) retries: AtomicU64,
    pub(super) splits: AtomicU64,
    pub(super) lies: AtomicU64,
    pub(super) suspects: AtomicU64,
    pub(super) repaired: AtomicU64,
    pub(super) unprovable: AtomicU64,
    pub(super) opaque: AtomicU64,
    /// Receipts of single transactions read and not told of yet.
    pub(super) receipts: AtomicU64,
    requests: AtomicU64,
}

pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// What the endpoints said in one round.
#[derive(Default)]
struct Tally {
    causes: Vec<String>,
    unproven: Vec<String>,
    liars: Vec<i32>,
    absent: bool,
    unsupported: bool,
    pruned: bool,
    /// Somebody might answer another time.
    transient: bool,
    /// The question is for receipts, which an endpoint may deny while it serves everything else.
    receipts: bool,
    /// Endpoints that answered with an error of no known meaning, or with something unreadable.
    rejected: usize,
    asked: usize,
}

impl Tally {
    /// `Some` when there is no use in asking anybody else.
    fn note(&mut self, by: &Endpoint, refused: Refused) -> Option<Trouble> {
        let Refused { refusal, detail } = refused;
        self.asked += 1;
        let cause = format!("{}: {detail}", by.name);
        match refusal {
            Refusal::TooMuch(hint) => return Some(Trouble::TooMuch(hint)),
            Refusal::Absent => self.absent = true,
            Refusal::Unsupported => self.unsupported = true,
            Refusal::Unprovable => self.unproven.push(cause.clone()),
            Refusal::Lie => {
                self.unproven.push(cause.clone());
                self.liars.push(by.id);
            }
            Refusal::Pruned => self.pruned = true,
            Refusal::WrongChain => {}
            refusal => {
                self.transient = true;
                let is_denied = self.receipts && refusal == Refusal::Denied;
                self.rejected += usize::from(is_denied || matches!(refusal, Refusal::Failed | Refusal::Malformed));
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

    /// What the definite answers say.
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

impl Inner {
    /// Asks until an endpoint's answer passes `read`, every endpoint has given a definite answer, or the rounds are over.
    pub(super) async fn ask<T, R>(&self, ask: &Ask, read: R) -> Result<Served<T>, Trouble>
    where
        T: Send + 'static,
        R: Fn(&[Body]) -> Result<T, Unread> + Clone + Send + Sync + 'static,
    {
        tokio::select! {
            biased;
            () = self.cancel.cancelled() => Err(Trouble::Cancelled),
            answer = Box::pin(self.rounds(ask, read)) => answer,
        }
    }

    async fn rounds<T, R>(&self, ask: &Ask, read: R) -> Result<Served<T>, Trouble>
    where
        T: Send + 'static,
        R: Fn(&[Body]) -> Result<T, Unread> + Clone + Send + Sync + 'static,
    {
        let waits = ExponentialBuilder::new()
            .with_min_delay(WAIT)
            .with_max_delay(WAIT_LONGEST)
            .with_jitter();
        let mut waits = waits.with_max_times(self.options.rounds.saturating_sub(1)).build();
        let (mut causes, mut rejections) = (Vec::new(), 0);
        loop {
            let mut tried = Vec::new();
            let mut tally = Tally {
                receipts: ask.receipts,
                ..Tally::default()
            };
            while let Some(endpoint) = self.pick(ask, &tried) {
                match self.race(endpoint, ask, &read, &mut tried, &mut tally).await {
                    (by, Ok(value)) => return Ok(Served { value, by }),
                    (by, Err(refused)) => {
                        debug!(endpoint = %by.name, ask = %ask.what, refusal = ?refused.refusal, detail = %refused.detail, "endpoint gave no usable answer");
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
            let partly = tally.partly();
            // What fails twice over will hardly pass the third time, and there are other ways: parts of the range, logs for receipts.
            rejections += usize::from(tally.rejected > 0 && tally.rejected == tally.asked);
            if (ask.span.is_some() || ask.receipts) && rejections > 1 {
                return Err(Trouble::Refused(tally.causes.join("; ")));
            }
            if !tally.causes.is_empty() {
                causes = tally.causes;
            }
            let Some(wait) = waits.next() else {
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

    /// One request, and a second one elsewhere when it is slow. The first good answer wins.
    async fn race<T, R>(
        &self,
        first: Arc<Endpoint>,
        ask: &Ask,
        read: &R,
        tried: &mut Vec<i32>,
        tally: &mut Tally,
    ) -> (Arc<Endpoint>, Result<T, Refused>)
    where
        T: Send + 'static,
        R: Fn(&[Body]) -> Result<T, Unread> + Clone + Send + Sync + 'static,
    {
        tried.push(first.id);
        count(&self.counts.requests);
        let slow = slow_after(&first, ask.patience);
        let suspect = Arc::clone(&first);
        let run = async |endpoint: Arc<Endpoint>| {
            let answer = self.attempt_once(&endpoint, ask, read).await;
            (endpoint, answer)
        };
        let mut one = Box::pin(run(first));
        if !self.options.hedge {
            return one.await;
        }
        tokio::select! {
            biased;
            answer = &mut one => return answer,
            () = sleep(slow) => {}
        }
        let Some(second) = self.hedge(ask, tried) else {
            return one.await;
        };
        tried.push(second.id);
        // The slow request may never be waited for; its endpoint is not to look fast because of that.
        suspect.vitals().received(slow, 0);
        let mut two = Box::pin(run(second));
        let ((by, answer), rest) = tokio::select! {
            answer = &mut one => (answer, &mut two),
            answer = &mut two => (answer, &mut one),
        };
        match answer {
            Err(refused) if !matches!(refused.refusal, Refusal::TooMuch(_)) => {
                tally.note(&by, refused);
                rest.await
            }
            answer => (by, answer),
        }
    }

    /// Another endpoint for a slow request, unless slow requests are so common that asking twice would make it worse.
    fn hedge(&self, ask: &Ask, tried: &[i32]) -> Option<Arc<Endpoint>> {
        let (hedges, requests) = (&self.counts.hedges, &self.counts.requests);
        if hedges.load(Ordering::Relaxed) > 5 + requests.load(Ordering::Relaxed) / 10 {
            return None;
        }
        let second = self
            .pick(ask, tried)
            .filter(|endpoint| !ask.shun.contains(&endpoint.id) && !endpoint.vitals().is_shunned(Instant::now()))?;
        count(hedges);
        Some(second)
    }

    /// One request to one endpoint, with its answer read and checked, and the endpoint's record kept.
    pub(super) async fn attempt_once<T, R>(&self, endpoint: &Arc<Endpoint>, ask: &Ask, read: &R) -> Result<T, Refused>
    where
        T: Send + 'static,
        R: Fn(&[Body]) -> Result<T, Unread> + Clone + Send + Sync + 'static,
    {
        let _permit = endpoint.gate.enter().await;
        let _trial = Trial::of(endpoint);
        let answer = self.exchange(endpoint, ask, read).await;
        match &answer {
            Ok(_) => endpoint.succeeded(),
            Err(refused) => {
                if matches!(refused.refusal, Refusal::Lie) {
                    count(&self.counts.lies);
                    tracing::warn!(chain = %self.chain, endpoint = %endpoint.name, detail = %refused.detail, "an endpoint's answer failed a check");
                }
                let is_declined = matches!(refused.refusal, Refusal::Failed | Refusal::Malformed | Refusal::Denied);
                if ask.receipts && is_declined {
                    endpoint.vitals().declined(&refused.detail);
                } else {
                    endpoint.failed(refused);
                }
            }
        }
        answer
    }

    async fn exchange<T, R>(&self, endpoint: &Arc<Endpoint>, ask: &Ask, read: &R) -> Result<T, Refused>
    where
        T: Send + 'static,
        R: Fn(&[Body]) -> Result<T, Unread> + Clone + Send + Sync + 'static,
    {
        endpoint.check_chain(self.chain, self.options.request_timeout).await?;
        loop {
            let answer = self.in_either_form(endpoint, ask, read).await;
            let Err(mut refused) = answer else { return answer };
            if self.smaller_batch(endpoint, ask, &refused.refusal) {
                continue;
            }
            if refused.refusal == Refusal::Elsewhere {
                refused.refusal = Refusal::Lie;
            }
            // A range that takes too long is a range that is too long.
            if refused.refusal == Refusal::Timeout && ask.span.is_some_and(|blocks| blocks > 1) {
                refused.refusal = Refusal::TooMuch(None);
            }
            match (refused.refusal, ask.span) {
                (Refusal::TooMuch(hint), Some(blocks)) => {
                    let next = endpoint.vitals().log_range.refused(blocks, hint);
                    refused.refusal = Refusal::TooMuch(Some(Hint::Try(next)));
                }
                (Refusal::Unsupported, _) if ask.receipts => endpoint.vitals().no_receipts = true,
                (refusal, _) if ask.receipts => endpoint.vitals().had_no_receipts(&refusal, Instant::now()),
                _ => {}
            }
            return Err(refused);
        }
    }

    /// Asks for blocks in the form the endpoint answers: by hash or by height. Where one is refused the other is tried, and what
    /// worked is what it is asked from then on.
    async fn in_either_form<T, R>(&self, endpoint: &Arc<Endpoint>, ask: &Ask, read: &R) -> Result<T, Refused>
    where
        T: Send + 'static,
        R: Fn(&[Body]) -> Result<T, Unread> + Clone + Send + Sync + 'static,
    {
        let forms = endpoint.forms(&ask.calls, false);
        let refused = match self.in_form(endpoint, ask, &forms, read).await {
            Err(refused) if forms.are_two() && may_be_the_form(&refused.refusal) => refused,
            answer => return answer,
        };
        let forms = endpoint.forms(&ask.calls, true);
        debug!(endpoint = %endpoint.name, ask = %ask.what, detail = %refused.detail, "asking in another form");
        let answer = self.in_form(endpoint, ask, &forms, read).await;
        match answer {
            Ok(value) => {
                endpoint.keep_forms(&forms);
                Ok(value)
            }
            Err(other) if matches!(other.refusal, Refusal::TooMuch(_) | Refusal::Lie) => Err(other),
            Err(_) => Err(refused),
        }
    }

    async fn in_form<T, R>(&self, endpoint: &Arc<Endpoint>, ask: &Ask, forms: &Forms, read: &R) -> Result<T, Refused>
    where
        T: Send + 'static,
        R: Fn(&[Body]) -> Result<T, Unread> + Clone + Send + Sync + 'static,
    {
        let bodies = endpoint.exchange(&forms.calls, ask.patience).await?;
        let method = ask.calls.last().map_or("", |call| call.method);
        let answer = off_thread(bodies, read.clone(), ask.heavy).await;
        answer.map_err(|unread| {
            let mut refused = endpoint.unread(method, unread);
            if refused.refusal == Refusal::Elsewhere && forms.names_heights() {
                refused.refusal = Refusal::Absent;
            }
            refused
        })
    }

    /// Halves the batches of an endpoint that finds them too large. `false` when that is no help.
    fn smaller_batch(&self, endpoint: &Endpoint, ask: &Ask, refusal: &Refusal) -> bool {
        let mut vitals = endpoint.vitals();
        let sent = ask.calls.len().min(vitals.batch);
        if !matches!(refusal, Refusal::BatchTooLarge | Refusal::TooMuch(_)) || sent <= 1 {
            return false;
        }
        vitals.batch = sent / 2;
        true
    }
}

/// Whether the same question in another form may have an answer.
fn may_be_the_form(refusal: &Refusal) -> bool {
    matches!(
        refusal,
        Refusal::Failed
            | Refusal::Unsupported
            | Refusal::Malformed
            | Refusal::Denied
            | Refusal::Absent
            | Refusal::Elsewhere
    )
}

fn slow_after(endpoint: &Endpoint, patience: Duration) -> Duration {
    let latest = patience / 2;
    let median = endpoint.vitals().median_latency();
    median.map_or(latest, |median| (median * SLOW_FACTOR).max(SLOW_SOONEST).min(latest))
}
/// Marks a request to an endpoint whose circuit is open as the one that tries it.
struct Trial<'a>(Option<&'a Endpoint>);

impl<'a> Trial<'a> {
    fn of(endpoint: &'a Endpoint) -> Self {
        Trial(endpoint.vitals().begin().then_some(endpoint))
    }
}

impl Drop for Trial<'_> {
    fn drop(&mut self) {
        if let Some(endpoint) = self.0 {
            endpoint.vitals().trial = false;
        }
    }
}

async fn off_thread<T, R>(bodies: Vec<Body>, read: R, heavy: bool) -> Result<T, Unread>
where
    T: Send + 'static,
    R: Fn(&[Body]) -> Result<T, Unread> + Send + 'static,
{
    if !heavy && bodies.iter().map(|body| body.bytes.len()).sum::<usize>() <= LONG {
        return read(&bodies);
    }
    let reading = tokio::task::spawn_blocking(move || read(&bodies));
    reading
        .await
        .unwrap_or_else(|error| Err(Unread::Malformed(error.to_string())))
}
