//! One endpoint: its way of being reached, its limits, and one exchange with it.

pub(crate) mod exchange;
mod gate;
pub(crate) mod health;
mod pace;

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use decoders::block::ChainId;
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use tokio::time::{Instant, timeout};
use url::Url;

use self::gate::Gate;
use self::health::{ChainCheck, Health};
use crate::error::EndpointError;
use crate::question::{Ask, off_thread};
use crate::redact::{Redactor, redacted};
use crate::report::EndpointHealth;
use crate::settings::{EndpointSettings, PoolOptions};
use crate::transport::socket::{Announcements, Socket};
use crate::transport::unsent::Unsent;
use crate::transport::{Received, Transport};
use crate::wire::call::{Call, request};
use crate::wire::rejection::{Rejection, classify, of_status};
use crate::wire::{Body, Quantity, Reply, RpcError, Unread, alone, batch, refusal_in, replies};

/// Answers longer than this are no errors.
const LONGEST_ERROR: usize = 64 << 10;

/// Why an endpoint gave no usable answer; `detail` is clean of secrets.
#[derive(Clone, Debug)]
pub(crate) struct Refused {
    pub(crate) rejection: Rejection,
    pub(crate) detail: String,
}

/// Calls as they are sent, and which methods among them name blocks how, where both are possible.
pub(crate) struct Forms {
    pub(crate) calls: Vec<Call>,
    by_number: Vec<&'static str>,
    by_hash: Vec<&'static str>,
}

impl Forms {
    fn of(calls: &[Call], is_by_number: impl Fn(&str) -> bool) -> Self {
        let mut forms = Forms {
            calls: Vec::with_capacity(calls.len()),
            by_number: Vec::new(),
            by_hash: Vec::new(),
        };
        for call in calls {
            match call.by_number() {
                Some(numbered) if is_by_number(call.method) => {
                    forms.by_number.push(call.method);
                    forms.calls.push(numbered.clone());
                }
                numbered => {
                    forms.by_hash.extend(numbered.map(|_| call.method));
                    forms.calls.push(call.clone());
                }
            }
        }
        forms
    }

    /// `calls` in the form that this is not. What the endpoint is known to answer may have changed since this was asked.
    pub(crate) fn other(&self, calls: &[Call]) -> Self {
        Forms::of(calls, |method| !self.by_number.contains(&method))
    }

    /// Whether a block is named by its height, so that another block in the answer may be the chain's doing.
    pub(crate) fn names_heights(&self) -> bool {
        !self.by_number.is_empty()
    }

    pub(crate) fn are_two(&self) -> bool {
        !(self.by_number.is_empty() && self.by_hash.is_empty())
    }
}

impl Refused {
    pub(crate) fn by_size(self, by_size: bool) -> Failed {
        Failed { refused: self, by_size }
    }
}

/// A request that brought no answer.
pub(crate) struct Failed {
    pub(crate) refused: Refused,
    /// A smaller one might bring some.
    pub(crate) by_size: bool,
}

/// The operator's settings, which may change while requests are under way.
struct Tuning {
    priority: i32,
    weight: f64,
    rate: Option<NonZeroU32>,
    limiter: Option<Arc<DefaultDirectRateLimiter>>,
}

impl Tuning {
    fn of(settings: &EndpointSettings) -> Self {
        let rate = settings.rate_limit.and_then(NonZeroU32::new);
        let limiter = rate.map(|rate| Arc::new(RateLimiter::direct(Quota::per_second(rate).allow_burst(burst(rate)))));
        Tuning {
            priority: settings.priority,
            weight: f64::from(settings.weight.max(1)),
            rate,
            limiter,
        }
    }
}

/// Half a second's worth: a full burst on top of a second's refill would be twice the limit within one second.
fn burst(rate: NonZeroU32) -> NonZeroU32 {
    NonZeroU32::new(rate.get() / 2).unwrap_or(NonZeroU32::MIN)
}

pub(crate) struct Endpoint {
    pub(crate) id: i32,
    pub(crate) url: Url,
    /// Scheme and host.
    pub(crate) name: String,
    redactor: Redactor,
    transport: Transport,
    /// The longest answer in bytes.
    cap: usize,
    pub(crate) gate: Gate,
    tuning: Mutex<Tuning>,
    health: Mutex<Health>,
    next_id: AtomicU64,
}

impl Endpoint {
    pub(crate) fn new(
        settings: &EndpointSettings,
        options: &PoolOptions,
        client: &reqwest::Client,
        announcements: Arc<Announcements>,
    ) -> Result<Self, EndpointError> {
        Ok(Endpoint {
            id: settings.id,
            url: settings.url.clone(),
            name: redacted(&settings.url),
            redactor: Redactor::new(&settings.url),
            transport: Transport::new(client, &settings.url, options.response_bytes, announcements)?,
            cap: options.response_bytes,
            gate: Gate::new(options.concurrency),
            tuning: Mutex::new(Tuning::of(settings)),
            health: Mutex::new(Health::new(options.log_range, options.batch)),
            // Zero is the id of subscriptions.
            next_id: AtomicU64::new(1),
        })
    }

    /// Takes over changed settings, keeping what is known of the endpoint.
    pub(crate) fn tune(&self, settings: &EndpointSettings) {
        let mut tuning = self.tuning();
        let unchanged = tuning.rate == settings.rate_limit.and_then(NonZeroU32::new);
        let limiter = tuning.limiter.clone();
        *tuning = Tuning::of(settings);
        if unchanged {
            tuning.limiter = limiter;
        }
    }

    pub(crate) fn priority(&self) -> i32 {
        self.tuning().priority
    }

    /// Weight times score, less where many requests are already waiting.
    pub(crate) fn pull(&self) -> f64 {
        let weight = self.tuning().weight;
        let load = self.gate.in_flight() as f64 / self.gate.limit() as f64;
        weight * self.health().score() / (1.0 + load)
    }

    fn tuning(&self) -> MutexGuard<'_, Tuning> {
        self.tuning.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn health(&self) -> MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn socket(&self) -> Option<&Socket> {
        match &self.transport {
            Transport::Socket(socket) => Some(socket),
            Transport::Http { .. } => None,
        }
    }

    /// A refusal with a text fit for logs.
    pub(crate) fn refused(&self, rejection: Rejection, detail: &str) -> Refused {
        Refused {
            rejection,
            detail: self.redactor.clean(detail),
        }
    }

    /// What an error that answered `method` means.
    pub(crate) fn refused_by(&self, method: &str, error: &RpcError, status: u16) -> Refused {
        let detail = format!("{} (code {})", error.message, error.code);
        self.refused(classify(method, error, status), &detail)
    }

    /// What an unreadable answer to `method` means.
    pub(crate) fn unread(&self, method: &str, unread: Unread) -> Refused {
        match unread {
            Unread::Refused(error) => self.refused_by(method, &error, 200),
            Unread::Malformed(text) => self.refused(Rejection::Malformed, &format!("unreadable answer: {text}")),
            Unread::Absent => self.refused(Rejection::Absent, "does not have it"),
            Unread::Lie(text) => self.refused(Rejection::Lie, &text),
            Unread::Unprovable(text) => self.refused(Rejection::Unprovable, &text),
            Unread::Elsewhere(text) => self.refused(Rejection::Elsewhere, &text),
        }
    }

    /// Asks which chain it serves, unless that is known.
    pub(crate) async fn check_chain(&self, chain: ChainId, patience: Duration) -> Result<(), Refused> {
        if self.health().is_right_chain(Instant::now()) {
            return Ok(());
        }
        let ask = Ask::of(vec![Call::chain_id()], "its chain id".to_owned(), patience);
        let bodies = self.request(&[(0, Call::chain_id())], &ask).await;
        let bodies: Vec<Body> = bodies.map_err(|failed| failed.refused)?.into_iter().flatten().collect();
        let found = replies(&bodies).and_then(|replies| replies.first().ok_or(Unread::Absent)?.read::<Quantity>());
        let found = found.map_err(|unread| self.unread("eth_chainId", unread))?.0;
        self.serves(ChainId(found), chain)
    }

    /// Remembers which chain the endpoint states it serves. Fails when that is not `chain`.
    pub(crate) fn serves(&self, found: ChainId, chain: ChainId) -> Result<(), Refused> {
        let at = Instant::now();
        if found == chain {
            let mut health = self.health();
            (health.chain, health.was_right) = (ChainCheck::Right { at }, true);
            return Ok(());
        }
        {
            let mut health = self.health();
            (health.chain, health.unproven) = (ChainCheck::Wrong { found: found.0, at }, true);
        }
        Err(self.refused(Rejection::WrongChain, &format!("serves {found}, not {chain}")))
    }

    /// `calls` in the form the endpoint answers as far as is known.
    pub(crate) fn forms(&self, calls: &[Call]) -> Forms {
        let health = self.health();
        Forms::of(calls, |method| health.by_number.contains(method))
    }

    /// Remembers that the endpoint answers these forms.
    pub(crate) fn keep_forms(&self, forms: &Forms) {
        let mut health = self.health();
        health.by_number.extend(&forms.by_number);
        health.by_number.retain(|method| !forms.by_hash.contains(method));
    }

    /// Calls per batch: what the endpoint takes and its rate limit allows at once.
    pub(crate) fn batch(&self) -> usize {
        let allowed = self.tuning().rate.map_or(usize::MAX, |rate| {
            usize::try_from(burst(rate).get()).unwrap_or(usize::MAX)
        });
        self.health().batch.count().min(allowed).max(1)
    }

    fn longest(&self, calls: &[(usize, Call)]) -> usize {
        let sum = |sum: usize, (_, call): &(usize, Call)| sum.saturating_add(call.longest());
        calls.iter().fold(0, sum).min(self.cap)
    }

    /// Sends `calls` in one request. Those that a batch does not answer are missing from its answers.
    pub(crate) async fn request(&self, calls: &[(usize, Call)], ask: &Ask) -> Result<Vec<Option<Body>>, Failed> {
        let count = calls.len();
        let limiter = self.tuning().limiter.clone();
        if let (Some(limiter), Some(cells)) = (limiter, u32::try_from(count).ok().and_then(NonZeroU32::new)) {
            // Batches are cut to the burst before; if the limit fell meanwhile, the server will report so itself.
            limiter.until_n_ready(cells).await.ok();
        }
        // An id per call and never used twice, so that a late answer is not taken for that of another request.
        let id = self
            .next_id
            .fetch_add(u64::try_from(count).unwrap_or(1), Ordering::Relaxed);
        let sent = Instant::now();
        self.health().asked(sent);
        let text = request(calls.iter().map(|(_, call)| call), id);
        // The time counts from here: the wait for the rate limit follows the operator's setting and is no fault of the endpoint.
        let received = match timeout(ask.patience, self.transport.send(text, id, count, self.longest(calls))).await {
            Err(_) => {
                let detail = format!("no answer within {:.1} s", ask.patience.as_secs_f64());
                return Err(self.refused(Rejection::Timeout, &detail).by_size(true));
            }
            Ok(Err(Unsent::TooLarge)) => {
                self.health().responded();
                // Nothing true is that long where the caller did not ask for much.
                let is_absurd = count == 1 && calls.iter().all(|(_, call)| call.longest() < usize::MAX);
                let rejection = if is_absurd {
                    Rejection::Malformed
                } else {
                    Rejection::TooMuch(None)
                };
                return Err(self.refused(rejection, "answer too long").by_size(!is_absurd));
            }
            Ok(Err(Unsent::Network(text))) => {
                self.health().responded();
                return Err(self.refused(Rejection::Unavailable, &text).by_size(false));
            }
            Ok(Ok(received)) => received,
        };
        self.health().received(sent.elapsed(), received.bytes.len());
        let method = calls.last().map_or("", |(_, call)| call.method);
        if !(200..300).contains(&received.status) {
            return self.with_status(method, received, count);
        }
        let bytes = received.bytes;
        if count > 1 {
            // Large answers are parsed beside the runtime, whose tasks renew leases meanwhile.
            let bodies = off_thread(bytes.len(), move || batch(&bytes, id, count)).await;
            return bodies.map_err(|unread| self.unread(method, unread).by_size(true));
        }
        // What is long is no error; where nothing else is lost with it, its reader finds out whether it is whole.
        if bytes.len() > LONGEST_ERROR && ask.calls.len() == 1 {
            return Ok(vec![Some(Body::Alone(bytes))]);
        }
        let opened = off_thread(bytes.len(), move || {
            let error = match alone(&bytes)? {
                Reply::Error(error) => Some(error),
                Reply::Value(_) | Reply::Null => None,
            };
            Ok((Body::Alone(bytes), error))
        });
        match opened.await {
            Ok((_, Some(error))) if !classify(method, &error, 200).is_final() => {
                Err(self.refused_by(method, &error, 200).by_size(true))
            }
            Ok((body, _)) => Ok(vec![Some(body)]),
            Err(unread) => Err(self.unread(method, unread).by_size(true)),
        }
    }

    /// An answer under a status that means failure.
    fn with_status(&self, method: &str, received: Received, count: usize) -> Result<Vec<Option<Body>>, Failed> {
        let Received {
            status,
            retry_after,
            bytes,
        } = received;
        let error = refusal_in(&bytes);
        let rejection = match error.as_ref().map(|error| classify(method, error, status)) {
            // Some servers put what the contract returned under a status of their own.
            Some(Rejection::Reverted) if count == 1 => return Ok(vec![Some(Body::Alone(bytes))]),
            None => of_status(status, retry_after),
            Some(Rejection::RateLimited(None)) => Rejection::RateLimited(retry_after),
            Some(rejection) => rejection,
        };
        // A gateway whose server is away states nothing about the request.
        let is_gateway = error.is_none() && matches!(status, 502..=504 | 520..=530);
        let text = error.map_or_else(|| String::from_utf8_lossy(&bytes).into_owned(), |error| error.message);
        let refused = self.refused(rejection, &format!("http {status}: {text}"));
        Err(refused.by_size(!is_gateway))
    }

    /// Counts a success.
    pub(crate) fn succeeded(&self) {
        self.health().succeeded();
        self.gate.widen();
    }

    /// Counts a refusal, and slows down where it asks so.
    pub(crate) fn failed(&self, refused: &Refused) {
        self.health()
            .refused(&refused.rejection, &refused.detail, Instant::now());
        if matches!(refused.rejection, Rejection::RateLimited(_) | Rejection::Timeout) {
            self.gate.narrow();
        }
    }

    pub(crate) fn report(&self) -> EndpointHealth {
        let in_flight = self.gate.in_flight();
        let health = self.health();
        EndpointHealth {
            id: self.id,
            url: self.name.clone(),
            state: health.state(Instant::now()),
            reason: health.reason().map(str::to_owned),
            latency_p50: health.median_latency(),
            error_rate: health.error_rate(),
            head: health.head,
            in_flight,
            silent: health.silent(Instant::now()),
            unanswered: health.unanswered(Instant::now()),
            answered: health.answered,
            failing: health.failed_last(),
            requests: health.requests,
            failures: health.failures,
            lies: health.lies,
            bytes: health.bytes,
            log_range: health.log_range.blocks(),
        }
    }
}
