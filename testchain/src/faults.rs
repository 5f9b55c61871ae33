//! What an endpoint does wrong, by choice and reproducibly: every decision is a function of the seed and of what is
//! decided upon, so a test that failed once fails again.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::limits::Limits;
use crate::quirks::Quirk;

/// How an endpoint behaves now. Rates are probabilities from 0 to 1; the default is a faultless endpoint without limits.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Added to every answer.
    pub latency: Duration,
    /// At most this much more, drawn evenly.
    pub jitter: Duration,
    /// Requests answered with a JSON-RPC internal error.
    pub error_rate: f64,
    /// Calls answered with a JSON-RPC internal error, each on its own, also inside a batch.
    pub call_error_rate: f64,
    /// Every so-and-so-many-th request fails in this way, counted from the first one.
    pub fail_every: Option<(u64, Failure)>,
    /// Requests never answered.
    pub timeout_rate: f64,
    /// Requests answered with HTTP 429.
    pub too_many_requests_rate: f64,
    /// Requests answered with JSON-RPC error -32005.
    pub rate_limit_rate: f64,
    /// Requests answered with HTTP 503.
    pub server_error_rate: f64,
    /// Requests answered with JSON cut off in the middle.
    pub malformed_rate: f64,
    /// Seconds named in the `Retry-After` header of HTTP 429.
    pub retry_after_s: Option<u64>,
    /// Calls per second beyond which requests are answered with HTTP 429; a batch counts as its calls.
    pub calls_per_second: Option<u32>,
    /// What is refused because it asks for too much.
    pub limits: Limits,
    /// Lies in `eth_getLogs`.
    pub logs: LogFaults,
    /// Lies in `eth_getBlockReceipts` and `eth_getTransactionReceipt`.
    pub receipts: LogFaults,
    /// `eth_getLogs` answers that come back empty.
    pub empty_logs_rate: f64,
    /// Whether logs come without `blockTimestamp`, as on older nodes.
    pub omit_log_timestamps: bool,
    /// Whether `null` at the end of a filter's topics is cut off, so that logs with fewer topics match.
    pub cut_positions: bool,
    /// Blocks by which everything answered lags behind the ledger.
    pub stale_by: u64,
    /// From this height on the endpoint stands on a branch of its own: the same transactions in valid blocks with other hashes.
    pub branch_from: Option<u64>,
    /// Blocks answered under a hash that is not theirs.
    pub wrong_hash_rate: f64,
    /// Blocks answered with a parent that is not theirs.
    pub wrong_parent_rate: f64,
    /// Blocks answered with `null` although they exist.
    pub null_block_rate: f64,
    /// Answers in which lies about blocks, logs and receipts appear at all: 1 lies the same way each time it is asked,
    /// less answers truthfully now and then.
    pub lie_rate: f64,
    /// Chain id claimed instead of the ledger's.
    pub chain_id: Option<u64>,
    /// Methods answered with "method not found".
    pub missing_methods: Vec<String>,
    /// Habits, applied to an answer one after the other.
    pub quirks: Vec<Quirk>,
    /// Methods answered with an internal error, always.
    pub failing_methods: Vec<String>,
    /// Whether the answers of a batch come in another order than its calls.
    pub shuffle_batches: bool,
    /// Messages after which a WebSocket connection is dropped without a closing frame.
    pub socket_drop_rate: f64,
    /// Whether subscriptions stay open but push nothing.
    pub mute_subscriptions: bool,
    /// Whether WebSocket connections are refused.
    pub refuse_sockets: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            latency: Duration::ZERO,
            jitter: Duration::ZERO,
            error_rate: 0.0,
            call_error_rate: 0.0,
            fail_every: None,
            timeout_rate: 0.0,
            too_many_requests_rate: 0.0,
            rate_limit_rate: 0.0,
            server_error_rate: 0.0,
            malformed_rate: 0.0,
            retry_after_s: Some(1),
            calls_per_second: None,
            limits: Limits::default(),
            logs: LogFaults::default(),
            receipts: LogFaults::default(),
            empty_logs_rate: 0.0,
            omit_log_timestamps: false,
            cut_positions: false,
            stale_by: 0,
            branch_from: None,
            wrong_hash_rate: 0.0,
            wrong_parent_rate: 0.0,
            null_block_rate: 0.0,
            lie_rate: 1.0,
            chain_id: None,
            missing_methods: Vec::new(),
            quirks: Vec::new(),
            failing_methods: Vec::new(),
            shuffle_batches: false,
            socket_drop_rate: 0.0,
            mute_subscriptions: false,
            refuse_sockets: false,
        }
    }
}

/// Lies about logs; which logs are hit depends on the seed and their place only.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LogFaults {
    /// Logs left out.
    pub missing_rate: f64,
    /// Logs whose data is altered (the last topic where there is no data).
    pub wrong_rate: f64,
}

impl LogFaults {
    /// Whether no log is touched.
    pub fn is_none(self) -> bool {
        self.missing_rate <= 0.0 && self.wrong_rate <= 0.0
    }
}

/// One way in which a whole request fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Never answered; ends when the client gives up or the server stops.
    Timeout,
    /// HTTP 429 with `Retry-After`.
    TooManyRequests,
    /// JSON-RPC error -32005.
    RateLimited,
    /// JSON-RPC error -32603.
    Internal,
    /// This HTTP status with a text body; on a WebSocket the connection is dropped.
    Status(u16),
    /// The true answer, cut off in the middle.
    Malformed,
}

/// What a decision is about; keeps decisions of different kinds independent of each other.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Matter {
    Request = 1,
    Call,
    Jitter,
    Lie,
    EmptyLogs,
    MissingLog,
    WrongLog,
    WrongHash,
    WrongParent,
    NullBlock,
    SocketDrop,
}

/// The faults of one endpoint, changeable while it serves.
#[derive(Debug)]
pub struct Faults {
    seed: u64,
    settings: RwLock<Arc<Settings>>,
    scripted: Mutex<VecDeque<Failure>>,
    allowance: Mutex<Allowance>,
    decisions: AtomicU64,
    requests: AtomicU64,
    sockets: watch::Sender<u64>,
}

#[derive(Debug)]
struct Allowance {
    calls: f64,
    at: Instant,
}

impl Faults {
    /// A faultless endpoint whose later faults follow `seed`.
    pub fn new(seed: u64) -> Arc<Self> {
        Self::with(seed, Settings::default())
    }

    /// An endpoint that starts with `settings`.
    pub fn with(seed: u64, settings: Settings) -> Arc<Self> {
        Arc::new(Self {
            seed,
            settings: RwLock::new(Arc::new(settings)),
            scripted: Mutex::default(),
            allowance: Mutex::new(Allowance {
                calls: f64::INFINITY,
                at: Instant::now(),
            }),
            decisions: AtomicU64::new(0),
            requests: AtomicU64::new(0),
            sockets: watch::Sender::new(0),
        })
    }

    /// The behaviour now.
    pub fn settings(&self) -> Arc<Settings> {
        self.settings.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Replaces the behaviour from the next request on.
    pub fn set(&self, settings: Settings) {
        *self.settings.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(settings);
    }

    /// Changes part of the behaviour from the next request on.
    pub fn change(&self, edit: impl FnOnce(&mut Settings)) {
        let mut settings = self.settings.write().unwrap_or_else(PoisonError::into_inner);
        edit(Arc::make_mut(&mut settings));
    }

    /// Back to a faultless endpoint; scripted failures are forgotten too.
    pub fn clear(&self) {
        self.scripted().clear();
        self.set(Settings::default());
    }

    /// Makes the next `times` requests fail in this way, before any rate is looked at; repeated calls queue up.
    pub fn fail_next(&self, failure: Failure, times: usize) {
        self.scripted().extend(std::iter::repeat_n(failure, times));
    }

    /// Drops every open WebSocket connection now, without a closing frame.
    pub fn drop_sockets(&self) {
        self.sockets.send_modify(|drops| *drops += 1);
    }

    pub(crate) fn socket_drops(&self) -> watch::Receiver<u64> {
        self.sockets.subscribe()
    }

    /// Whether, and how, a request with this many calls fails.
    pub(crate) fn failure(&self, settings: &Settings, calls: usize) -> Option<Failure> {
        if let Some(failure) = self.scripted().pop_front() {
            return Some(failure);
        }
        if !self.allowed(settings, calls) {
            return Some(Failure::TooManyRequests);
        }
        let request = self.requests.fetch_add(1, Ordering::Relaxed) + 1;
        let due = settings
            .fail_every
            .filter(|(every, _)| *every > 0 && request.is_multiple_of(*every));
        if let Some((_, failure)) = due {
            return Some(failure);
        }
        let rates = [
            (settings.timeout_rate, Failure::Timeout),
            (settings.too_many_requests_rate, Failure::TooManyRequests),
            (settings.rate_limit_rate, Failure::RateLimited),
            (settings.error_rate, Failure::Internal),
            (settings.server_error_rate, Failure::Status(503)),
            (settings.malformed_rate, Failure::Malformed),
        ];
        let mut left = self.draw_next(Matter::Request);
        for (rate, failure) in rates {
            left -= rate;
            if left < 0.0 {
                return Some(failure);
            }
        }
        None
    }

    /// Whether one call of an answered request fails on its own.
    pub(crate) fn call_fails(&self, settings: &Settings, method: &str) -> bool {
        settings.failing_methods.iter().any(|failing| failing == method)
            || self.happens_now(settings.call_error_rate, Matter::Call)
    }

    /// How long this answer takes.
    pub(crate) fn delay(&self, settings: &Settings) -> Duration {
        if settings.jitter.is_zero() {
            return settings.latency;
        }
        settings.latency + settings.jitter.mul_f64(self.draw_next(Matter::Jitter))
    }

    /// Whether an answer may contain lies.
    pub(crate) fn lies_now(&self, settings: &Settings) -> bool {
        self.happens_now(settings.lie_rate, Matter::Lie)
    }

    /// A decision that may fall differently each time.
    pub(crate) fn happens_now(&self, rate: f64, matter: Matter) -> bool {
        rate >= 1.0 || rate > 0.0 && self.draw_next(matter) < rate
    }

    /// A decision that falls the same way each time for the same place.
    pub(crate) fn happens_at(&self, rate: f64, matter: Matter, place: [u64; 2]) -> bool {
        rate >= 1.0 || rate > 0.0 && fraction(self.mix(matter, place)) < rate
    }

    fn draw_next(&self, matter: Matter) -> f64 {
        let count = self.decisions.fetch_add(1, Ordering::Relaxed);
        fraction(self.mix(matter, [count, 0]))
    }

    fn mix(&self, matter: Matter, place: [u64; 2]) -> u64 {
        place
            .into_iter()
            .fold(scramble(self.seed ^ scramble(matter as u64)), |state, part| {
                scramble(state ^ part)
            })
    }

    fn allowed(&self, settings: &Settings, calls: usize) -> bool {
        let Some(limit) = settings.calls_per_second else {
            return true;
        };
        let mut allowance = self.allowance.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let earned = now.duration_since(allowance.at).as_secs_f64() * f64::from(limit);
        allowance.calls = (allowance.calls + earned).min(f64::from(limit));
        allowance.at = now;
        let wanted = calls as f64;
        if allowance.calls < wanted {
            return false;
        }
        allowance.calls -= wanted;
        true
    }

    fn scripted(&self) -> MutexGuard<'_, VecDeque<Failure>> {
        self.scripted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The finaliser of SplitMix64: spreads any change of the input over the whole output.
fn scramble(state: u64) -> u64 {
    let state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    state ^ (state >> 31)
}

fn fraction(bits: u64) -> f64 {
    (bits >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_met_and_the_same_seed_decides_alike() {
        let decide = |seed| {
            let faults = Faults::new(seed);
            (0..10_000)
                .map(|place| faults.happens_at(0.25, Matter::MissingLog, [place, 3]))
                .collect::<Vec<_>>()
        };
        let hits = decide(1).into_iter().filter(|hit| *hit).count();
        assert!((2_300..2_700).contains(&hits), "{hits} of 10,000");
        assert_eq!(decide(1), decide(1));
        assert_ne!(decide(1), decide(2));
    }

    #[test]
    fn scripted_failures_come_first_and_in_order() {
        let faults = Faults::new(0);
        faults.fail_next(Failure::Status(502), 1);
        faults.fail_next(Failure::Malformed, 2);
        let settings = faults.settings();
        let seen: Vec<_> = (0..4).map(|_| faults.failure(&settings, 1)).collect();
        assert_eq!(
            seen,
            [
                Some(Failure::Status(502)),
                Some(Failure::Malformed),
                Some(Failure::Malformed),
                None
            ]
        );
    }

    #[test]
    fn calls_per_second_are_capped() {
        let faults = Faults::with(
            0,
            Settings {
                calls_per_second: Some(1),
                ..Settings::default()
            },
        );
        let settings = faults.settings();
        assert_eq!(faults.failure(&settings, 2), Some(Failure::TooManyRequests));
    }
}
