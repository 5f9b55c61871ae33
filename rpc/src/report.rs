//! What an operator sees of a pool.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How an endpoint stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndpointState {
    /// Answers.
    Ok,
    /// Answers, but fails often, is rate limited, lags behind or has lied; see the reason.
    Degraded,
    /// Failed repeatedly and is left alone for a while.
    Open,
    /// Serves another chain; looked at again every minute.
    Quarantined,
}

impl EndpointState {
    /// The name used in `indexer status` and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            EndpointState::Ok => "ok",
            EndpointState::Degraded => "degraded",
            EndpointState::Open => "open",
            EndpointState::Quarantined => "quarantined",
        }
    }
}

/// One endpoint at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct EndpointHealth {
    /// The row's number in `chain_endpoints`.
    pub id: i32,
    /// Scheme and host only.
    pub url: String,
    /// How it stands.
    pub state: EndpointState,
    /// The last thing it was blamed for, while that still matters.
    pub reason: Option<String>,
    /// Median time of its recent answers.
    pub latency_p50: Option<Duration>,
    /// Share of recent requests that failed, from 0 to 1.
    pub error_rate: f64,
    /// Highest block it reported having.
    pub head: Option<u64>,
    /// Requests under way.
    pub in_flight: usize,
    /// How long requests have been under way without any answer; absent while it answers or is not asked.
    pub silent: Option<Duration>,
    /// How long it has been asked without a usable answer, whatever came instead; absent while it gives them or is not asked.
    pub unanswered: Option<Duration>,
    /// Whether it has given a usable answer at all.
    pub answered: bool,
    /// Whether its last request failed.
    pub failing: bool,
    /// Requests sent, retries and hedges included; a batch is one.
    pub requests: u64,
    /// Requests that failed.
    pub failures: u64,
    /// Answers that failed a check.
    pub lies: u64,
    /// Bytes received, after decompression.
    pub bytes: u64,
    /// Blocks it is asked for in one `eth_getLogs`.
    pub log_range: u64,
}

/// Counts of a pool since it was connected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolCounters {
    /// Slow requests asked a second time elsewhere.
    pub hedges: u64,
    /// Requests repeated after every endpoint failed.
    pub retries: u64,
    /// `eth_getLogs` ranges split because an endpoint refused them.
    pub splits: u64,
    /// Answers that failed a check.
    pub lies: u64,
    /// Blocks whose logs looked wrong and were asked for again.
    pub suspects: u64,
    /// Suspect blocks whose logs were indeed wrong.
    pub repaired: u64,
    /// Blocks whose receipts root could not be recomputed and that were taken at a lower level.
    pub unprovable: u64,
    /// Blocks taken at `chained` because their header does not recompute.
    pub opaque: u64,
    /// New heads announced over a WebSocket.
    pub announced: u64,
}

/// Counts of a pool; see [`PoolCounters`].
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
    /// Receipts of single transactions read and not reported yet.
    pub(super) receipts: AtomicU64,
    pub(super) requests: AtomicU64,
}

impl Counts {
    /// What was counted so far, with the heads announced meanwhile.
    pub(super) fn counters(&self, announced: u64) -> PoolCounters {
        PoolCounters {
            hedges: self.hedges.load(Ordering::Relaxed),
            retries: self.retries.load(Ordering::Relaxed),
            splits: self.splits.load(Ordering::Relaxed),
            lies: self.lies.load(Ordering::Relaxed),
            suspects: self.suspects.load(Ordering::Relaxed),
            repaired: self.repaired.load(Ordering::Relaxed),
            unprovable: self.unprovable.load(Ordering::Relaxed),
            opaque: self.opaque.load(Ordering::Relaxed),
            announced,
        }
    }
}

pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
