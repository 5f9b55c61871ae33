//! Who is asked next, and whether asking can help at all.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::endpoint::Endpoint;
use super::endpoint::health::{Available, ChainCheck};
use super::inner::Inner;
use super::question::{Ask, Trouble};

/// A request is slow after this many times its endpoint's median.
pub(super) const SLOW_FACTOR: u32 = 4;
/// Medians below this are as good as each other.
const SWIFT: Duration = Duration::from_millis(25);

impl Inner {
    /// The next endpoint for a question: it can be asked now, is likely to have the answer, and its turn has come.
    pub(super) fn pick(&self, ask: &Ask, tried: &[i32]) -> Option<Arc<Endpoint>> {
        let now = Instant::now();
        let spares = self.can_spare(ask);
        let mut best: Vec<Arc<Endpoint>> = Vec::new();
        let mut best_rank = None;
        for endpoint in self.askable().iter().filter(|endpoint| !tried.contains(&endpoint.id)) {
            let health = endpoint.health();
            // Where logs would do as well, receipts are not waited for from an endpoint that has just failed.
            let useless = ask.receipts && (health.spares_receipts(now) || spares && health.failing(now));
            if health.available(now) != Available::Now || useless {
                continue;
            }
            let failing = health.failing(now);
            let shunned = ask.shun.contains(&endpoint.id) || health.is_shunned(now);
            // Last known heads may be old, so one that seems to be behind is asked last and not left out.
            let stale = ask.block.zip(health.head).is_some_and(|(block, head)| block > head);
            let narrow = ask.span.is_some_and(|blocks| blocks > health.log_range.blocks());
            drop(health);
            // What makes an answer unlikely to be usable stands before what the operator prefers.
            let rank = (shunned, failing, stale, endpoint.priority(), narrow);
            if best_rank.is_none_or(|best| rank < best) {
                best_rank = Some(rank);
                best.clear();
            }
            if best_rank == Some(rank) {
                best.push(Arc::clone(endpoint));
            }
        }
        turn(best)
    }

    /// No endpoint can ever answer as things stand.
    pub(super) fn hopeless(&self, ask: &Ask) -> Option<Trouble> {
        let endpoints = self.endpoints();
        if endpoints.is_empty() {
            return Some(Trouble::NoEndpoints);
        }
        let wrong: Vec<String> = endpoints.iter().filter_map(wrong_chain).collect();
        if wrong.len() == endpoints.len() {
            return Some(Trouble::WrongChain(wrong.join("; ")));
        }
        let (spares, now) = (self.can_spare(ask), Instant::now());
        let useless = |endpoint: &Arc<Endpoint>| {
            let health = endpoint.health();
            let useless = health.spares_receipts(now) || spares && health.failing(now);
            drop(health);
            useless || wrong_chain(endpoint).is_some()
        };
        (ask.receipts && endpoints.iter().all(useless)).then_some(Trouble::Unsupported)
    }

    /// Whether the question needs no answer of an endpoint that fails: where one that answers has no receipts, its logs will do.
    pub(super) fn can_spare(&self, ask: &Ask) -> bool {
        let now = Instant::now();
        let answers = |endpoint: &Arc<Endpoint>| {
            let health = endpoint.health();
            health.spares_receipts(now) && !health.failing(now) && health.available(now) == Available::Now
        };
        ask.receipts && self.endpoints().iter().any(answers)
    }

    /// Whether an endpoint that was not asked will be back in a moment.
    pub(super) fn pausing(&self, tried: &[i32]) -> bool {
        let now = Instant::now();
        self.endpoints()
            .iter()
            .any(|endpoint| !tried.contains(&endpoint.id) && endpoint.health().pausing(now))
    }

    /// When the next endpoint becomes available.
    pub(super) fn earliest(&self) -> Option<Instant> {
        let now = Instant::now();
        let when = |endpoint: &Arc<Endpoint>| match endpoint.health().available(now) {
            Available::Now => Some(now),
            Available::From(instant) => Some(instant),
            Available::Never => None,
        };
        self.askable().iter().filter_map(when).min()
    }

    /// What the endpoints answered, or why they were not even asked.
    pub(super) fn excuses(&self, causes: &[String]) -> String {
        if !causes.is_empty() {
            return causes.join("; ");
        }
        let excuse = |endpoint: &Arc<Endpoint>| {
            format!(
                "{}: {}",
                endpoint.name,
                endpoint.health().reason().unwrap_or("is left alone for a while")
            )
        };
        self.endpoints().iter().map(excuse).collect::<Vec<_>>().join("; ")
    }
}

pub(super) fn wrong_chain(endpoint: &Arc<Endpoint>) -> Option<String> {
    match endpoint.health().chain {
        ChainCheck::Wrong { found, .. } => Some(format!("{} serves eip155:{found}", endpoint.name)),
        ChainCheck::Unchecked | ChainCheck::Right { .. } => None,
    }
}

/// Smooth weighted round robin: each gains its pull, the richest is taken and is charged for all.
fn turn(endpoints: Vec<Arc<Endpoint>>) -> Option<Arc<Endpoint>> {
    if endpoints.len() < 2 {
        return endpoints.into_iter().next();
    }
    let fastest = endpoints
        .iter()
        .filter_map(|endpoint| endpoint.health().median_latency())
        .min()
        .unwrap_or_default();
    let mut total = 0.0;
    let mut richest: Option<(f64, Arc<Endpoint>)> = None;
    for endpoint in endpoints {
        // Weights are the operator's; among equals the swifter endpoint gets more, but each gets some, or its speed would stay
        // unknown.
        let pull = endpoint.pull() * swiftness(endpoint.health().median_latency(), fastest);
        total += pull;
        let credit = {
            let mut health = endpoint.health();
            health.credit += pull;
            health.credit
        };
        if richest.as_ref().is_none_or(|(most, _)| credit > *most) {
            richest = Some((credit, endpoint));
        }
    }
    let (_, taken) = richest?;
    taken.health().credit -= total;
    Some(taken)
}

/// Less than one for an endpoint much slower than the fastest of its class.
fn swiftness(median: Option<Duration>, fastest: Duration) -> f64 {
    let allowed = fastest.max(SWIFT) * SLOW_FACTOR;
    median.map_or(1.0, |median| {
        (allowed.as_secs_f64() / median.as_secs_f64().max(1e-3)).min(1.0)
    })
}
