//! What is known of one endpoint's behaviour: circuit breaker, trust, latency, and the marks it leaves for the operator.

use std::time::Duration;

use rustc_hash::FxHashSet;
use tokio::time::Instant;

use super::pace::{LogRange, Pace};
use crate::report::EndpointState;
use crate::wire::rejection::Rejection;

/// Failures in a row that open the circuit.
const FAILURES: u32 = 5;
/// How long no width is looked for after none was answered.
const IN_VAIN: Duration = Duration::from_secs(30);
/// First time that nothing waits for an endpoint that can do without it, after an answer did not come in time.
const SILENT: Duration = Duration::from_secs(2);
/// First and longest time a circuit stays open.
const OPEN: Duration = Duration::from_millis(500);
const OPEN_LONGEST: Duration = Duration::from_secs(60);
/// First and longest pause after a rate limit that names no time.
const PAUSE: Duration = Duration::from_millis(500);
const PAUSE_LONGEST: Duration = Duration::from_secs(30);
/// First time an endpoint that denies service is left alone.
const DENIED: Duration = Duration::from_secs(2);
/// Time a liar is left alone while there are others. Nothing it answers is trusted unchecked anyway, so that alone it will do.
const SHUNNED: Duration = Duration::from_secs(15);
/// First and longest time an endpoint that keeps failing to give receipts is not asked for them.
const SPARED: Duration = Duration::from_secs(60);
const SPARED_LONGEST: Duration = Duration::from_secs(1800);
/// Time after which an endpoint of another chain is looked at again.
const QUARANTINE: Duration = Duration::from_secs(60);
/// Time after which an endpoint in use is asked again which chain it serves: another server may stand behind its URL by now.
const CHAIN_KNOWN: Duration = Duration::from_secs(15);
/// Trust below which a liar is shunned.
const DISTRUST: f64 = 0.2;
/// Least time between two probes of an endpoint that fails them without falling silent.
const PROBED: Duration = Duration::from_millis(500);
/// Answers the median latency is taken over.
const LATENCIES: usize = 32;

/// What `eth_chainId` returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChainCheck {
    /// Not asked yet, or not since the circuit opened.
    Unchecked,
    Right {
        at: Instant,
    },
    Wrong {
        found: u64,
        at: Instant,
    },
}

/// Values an endpoint takes at each position of a filter.
#[derive(Clone, Debug)]
pub(crate) struct FilterPace {
    pub(crate) addresses: Pace,
    pub(crate) topics: Pace,
    /// When filters were last refused down to the narrowest.
    in_vain: Option<Instant>,
}

impl FilterPace {
    /// No filter was answered, however narrow.
    pub(crate) fn was_in_vain(&mut self, now: Instant) {
        self.in_vain = Some(now);
    }

    /// Whether looking for a width that is answered would be in vain again: for a while, because an outage looks the same.
    pub(crate) fn is_in_vain(&self, now: Instant) -> bool {
        self.in_vain.is_some_and(|since| now < since + IN_VAIN)
    }

    /// A question was answered whose widest filter had so many contracts and topics.
    pub(crate) fn answered(&mut self, (addresses, topics): (usize, usize)) {
        if addresses + topics > 0 {
            self.in_vain = None;
            self.addresses.answered(u64::try_from(addresses).unwrap_or(u64::MAX));
            self.topics.answered(u64::try_from(topics).unwrap_or(u64::MAX));
        }
    }

    /// A filter of `failed` width was refused, the narrowest of so many, and one of `answered` width was answered.
    pub(crate) fn settle(&mut self, failed: (usize, usize), answered: (usize, usize), is_stated: bool, times: u32) {
        self.in_vain = None;
        let pairs = [
            (&mut self.addresses, failed.0, answered.0),
            (&mut self.topics, failed.1, answered.1),
        ];
        for (pace, failed, answered) in pairs.into_iter().filter(|(_, failed, answered)| answered < failed) {
            let (failed, answered) = (failed as u64, answered as u64);
            if is_stated {
                pace.refused(failed, answered);
            } else {
                pace.suspect(failed, answered, times);
            }
        }
    }
}

impl Default for FilterPace {
    fn default() -> Self {
        FilterPace {
            addresses: Pace::new(u64::MAX, u64::MAX),
            topics: Pace::new(u64::MAX, u64::MAX),
            in_vain: None,
        }
    }
}

/// Whether an endpoint honours filters by position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Positions {
    Unknown,
    /// It is being asked.
    Asked(u32),
    /// It failed so often at the question.
    Failed(u32),
    Honoured,
    Ignored,
}

impl Positions {
    /// Failures after which it is held not to.
    const FAILURES: u32 = 3;

    /// Marks that it is being asked, unless it is already or the answer is known.
    pub(crate) fn begin(&mut self) -> bool {
        let failed = match *self {
            Positions::Unknown => 0,
            Positions::Failed(failed) => failed,
            Positions::Asked(_) | Positions::Honoured | Positions::Ignored => return false,
        };
        *self = Positions::Asked(failed);
        true
    }

    /// What it is after one more failure.
    pub(crate) fn failed(self) -> Self {
        let failed = if let Positions::Asked(failed) = self {
            failed + 1
        } else {
            1
        };
        if failed < Self::FAILURES {
            Positions::Failed(failed)
        } else {
            Positions::Ignored
        }
    }
}

/// When an endpoint can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Available {
    Now,
    From(Instant),
    Never,
}

pub(crate) struct Health {
    pub(crate) chain: ChainCheck,
    /// It has yet to show that it answers: it is new, or its circuit has opened. Nothing waits for it while another endpoint answers.
    pub(crate) unproven: bool,
    /// A probe is under way, and when the last one began.
    pub(crate) probing: bool,
    probed: Option<Instant>,
    /// It gave a usable answer at least once.
    pub(crate) answered: bool,
    /// When it was first asked after its last usable answer.
    unanswered: Option<Instant>,
    failed_in_row: u32,
    /// Nothing waits for it until then that can do without it.
    spared_until: Option<Instant>,
    openings: u32,
    open_until: Option<Instant>,
    /// It lied: it is asked last until then.
    shunned_until: Option<Instant>,
    /// It served the right chain at least once.
    pub(crate) was_right: bool,
    /// A request is trying whether an open circuit can close.
    pub(crate) trial: bool,
    pauses: u32,
    paused_until: Option<Instant>,
    /// When the first request was sent that nothing came back after.
    asked: Option<Instant>,
    latencies: Vec<Duration>,
    next_latency: usize,
    /// Smoothed share of failures.
    errors: f64,
    /// One for an endpoint never caught lying.
    trust: f64,
    pub(crate) lies: u64,
    pub(crate) requests: u64,
    pub(crate) failures: u64,
    pub(crate) bytes: u64,
    reason: Option<String>,
    pub(crate) head: Option<u64>,
    head_at: Option<Instant>,
    /// Blocks behind the chain's head at the last look, when that is too many.
    behind: Option<u64>,
    pub(crate) log_range: LogRange,
    /// Calls it takes in one batch.
    pub(crate) batch: Pace,
    /// Values it takes at each position of a filter.
    pub(crate) filter: FilterPace,
    /// Whether it honours filters by position.
    pub(crate) positions: Positions,
    /// It does not know `eth_getBlockReceipts`.
    pub(crate) no_receipts: bool,
    /// Questions for receipts that failed in a row, and how long it is spared them after too many.
    receipts_failed: u32,
    receipts_spared: u32,
    receipts_from: Option<Instant>,
    /// Methods that it answers for a block named by its height and not by its hash.
    pub(crate) by_number: FxHashSet<&'static str>,
    /// Credit of the weighted round robin.
    pub(crate) credit: f64,
}

impl Health {
    pub(crate) fn new(log_range: u64, batch: usize) -> Self {
        let batch = u64::try_from(batch).unwrap_or(u64::MAX);
        Health {
            chain: ChainCheck::Unchecked,
            unproven: true,
            probing: false,
            probed: None,
            answered: false,
            unanswered: None,
            failed_in_row: 0,
            spared_until: None,
            openings: 0,
            open_until: None,
            shunned_until: None,
            was_right: false,
            trial: false,
            pauses: 0,
            paused_until: None,
            asked: None,
            latencies: Vec::new(),
            next_latency: 0,
            errors: 0.0,
            trust: 1.0,
            lies: 0,
            requests: 0,
            failures: 0,
            bytes: 0,
            reason: None,
            head: None,
            head_at: None,
            behind: None,
            log_range: LogRange::new(log_range),
            batch: Pace::new(batch, batch),
            filter: FilterPace::default(),
            positions: Positions::Unknown,
            no_receipts: false,
            receipts_failed: 0,
            receipts_spared: 0,
            receipts_from: None,
            by_number: FxHashSet::default(),
            credit: 0.0,
        }
    }

    pub(crate) fn available(&self, now: Instant) -> Available {
        if let ChainCheck::Wrong { at, .. } = self.chain {
            return if now >= at + QUARANTINE {
                Available::Now
            } else {
                Available::Never
            };
        }
        let half_open = self.open_until.is_some() && self.trial;
        let open = self
            .open_until
            .map(|until| if half_open { until.max(now + OPEN) } else { until });
        match open.into_iter().chain(self.paused_until).max() {
            Some(until) if until > now => Available::From(until),
            _ => Available::Now,
        }
    }

    /// Whether it was lately seen to serve the right chain.
    pub(crate) fn is_right_chain(&self, now: Instant) -> bool {
        matches!(self.chain, ChainCheck::Right { at } if now < at + CHAIN_KNOWN)
    }

    /// Whether it answers as far as is known: others need not be waited for.
    pub(crate) fn is_proven(&self) -> bool {
        !self.unproven && !matches!(self.chain, ChainCheck::Wrong { .. })
    }

    /// Begins a probe, unless one is under way or it is too soon.
    pub(crate) fn begin_probe(&mut self, now: Instant) -> bool {
        let is_due = self.unproven
            && !self.probing
            && !self.failing(now)
            && self.available(now) == Available::Now
            && self.probed.is_none_or(|probed| now >= probed + PROBED);
        if is_due {
            (self.probing, self.probed) = (true, Some(now));
        }
        is_due
    }

    /// Whether it is to be asked only where no other is left.
    pub(crate) fn is_shunned(&self, now: Instant) -> bool {
        self.shunned_until.is_some_and(|until| until > now)
    }

    /// Whether asking it for receipts is of no use, now or ever.
    pub(crate) fn spares_receipts(&self, now: Instant) -> bool {
        self.no_receipts || self.receipts_from.is_some_and(|from| from > now)
    }

    /// Receipts came.
    pub(crate) fn had_receipts(&mut self) {
        (self.receipts_failed, self.receipts_spared, self.receipts_from) = (0, 0, None);
    }

    /// Receipts were asked for and did not come, for whatever reason. An endpoint that keeps failing to give them is not asked for
    /// a while: headers and logs have to do.
    pub(crate) fn had_no_receipts(&mut self, rejection: &Rejection, now: Instant) {
        self.receipts_failed += match rejection {
            Rejection::Failed | Rejection::Malformed | Rejection::Denied | Rejection::Unavailable | Rejection::Lie => 1,
            // Waiting for nothing is what costs most.
            Rejection::Timeout => FAILURES.div_ceil(2),
            _ => 0,
        };
        if self.receipts_failed >= FAILURES {
            self.receipts_from = Some(now + doubled(SPARED, self.receipts_spared).min(SPARED_LONGEST));
            self.receipts_spared += 1;
            self.receipts_failed = 0;
        }
    }

    /// A question was refused that the endpoint need not answer: no reason to leave it alone.
    pub(crate) fn declined(&mut self, detail: &str) {
        self.healthy();
        self.failures += 1;
        self.reason = Some(detail.to_owned());
    }

    /// Whether it only waits for a rate limit to pass.
    pub(crate) fn pausing(&self, now: Instant) -> bool {
        self.open_until.is_none() && self.paused_until.is_some_and(|until| until > now)
    }

    /// A request goes out. `true` when it is the trial of an open circuit.
    pub(crate) fn begin(&mut self) -> bool {
        self.trial |= self.open_until.is_some();
        self.trial
    }

    /// A request was sent at `now`.
    pub(crate) fn asked(&mut self, now: Instant) {
        self.requests += 1;
        self.asked.get_or_insert(now);
        self.unanswered.get_or_insert(now);
    }

    /// It has given a sign of life, if only to refuse.
    pub(crate) fn responded(&mut self) {
        self.asked = None;
    }

    /// How long requests have gone without any sign of life.
    pub(crate) fn silent(&self, now: Instant) -> Option<Duration> {
        self.asked.map(|asked| now.saturating_duration_since(asked))
    }

    /// A part of an answer came that can be read.
    pub(crate) fn readable(&mut self) {
        self.unanswered = None;
    }

    /// How long it has been asked without a usable answer.
    pub(crate) fn unanswered(&self, now: Instant) -> Option<Duration> {
        self.unanswered.map(|since| now.saturating_duration_since(since))
    }

    /// Whether its last request failed.
    pub(crate) fn failed_last(&self) -> bool {
        self.failed_in_row > 0 || self.open_until.is_some()
    }

    /// Bytes came back after `latency`.
    pub(crate) fn received(&mut self, latency: Duration, bytes: usize) {
        self.responded();
        self.bytes += u64::try_from(bytes).unwrap_or(u64::MAX);
        self.took(latency);
    }

    fn took(&mut self, latency: Duration) {
        if self.latencies.len() < LATENCIES {
            self.latencies.push(latency);
        } else {
            self.latencies[self.next_latency] = latency;
        }
        self.next_latency = (self.next_latency + 1) % LATENCIES;
    }

    /// An answer passed every check.
    pub(crate) fn succeeded(&mut self) {
        self.healthy();
        self.pauses = 0;
        self.trust = (self.trust + 0.02).min(1.0);
        if self.errors < 0.05 && self.trust > 0.95 && self.behind.is_none() {
            self.reason = None;
        }
    }

    /// It answers, whatever the answer.
    pub(crate) fn healthy(&mut self) {
        (self.unproven, self.answered, self.unanswered) = (false, true, None);
        self.failed_in_row = 0;
        self.spared_until = None;
        self.openings = 0;
        self.open_until = None;
        self.shunned_until = None;
        self.paused_until = None;
        self.errors *= 0.9;
    }

    /// An answer was refused, or did not pass. `detail` is clean.
    pub(crate) fn refused(&mut self, rejection: &Rejection, detail: &str, now: Instant) {
        match rejection {
            // These are answers: the server works, and what it refuses was the question.
            Rejection::TooMuch(_)
            | Rejection::BatchTooLarge
            | Rejection::FilterTooLarge(_)
            | Rejection::Reverted
            | Rejection::Absent
            | Rejection::Elsewhere
            | Rejection::Unprovable => self.healthy(),
            Rejection::Unsupported | Rejection::Pruned => {
                self.healthy();
                self.reason = Some(detail.to_owned());
            }
            Rejection::RateLimited(wait) => {
                let wait = wait.unwrap_or_else(|| doubled(PAUSE, self.pauses)).min(PAUSE_LONGEST);
                self.pauses += 1;
                self.paused_until = Some(now + wait);
                self.blame(detail);
            }
            Rejection::Denied => {
                self.blame(detail);
                self.open_longer(now, DENIED);
            }
            Rejection::Lie => {
                self.lies += 1;
                // What looks like a lie may be the truth of another chain.
                self.chain = ChainCheck::Unchecked;
                self.trust *= 0.5;
                self.failures += 1;
                self.reason = Some(format!("lied: {detail}"));
                if self.trust < DISTRUST {
                    // Partly restored: after its time apart it is asked again, and soon shunned again if it still lies.
                    self.trust = DISTRUST * 2.0;
                    self.shunned_until = Some(now + SHUNNED);
                }
            }
            Rejection::Timeout | Rejection::Unavailable | Rejection::Malformed | Rejection::Failed => {
                self.blame(detail);
                self.failed_again(*rejection == Rejection::Timeout, now);
            }
            // Its chain is kept apart from its health: checked again before it is next asked.
            Rejection::WrongChain => self.reason = Some(detail.to_owned()),
        }
    }

    fn failed_again(&mut self, silent: bool, now: Instant) {
        self.failed_in_row += 1;
        if silent {
            self.spared_until = Some(now + doubled(SILENT, self.failed_in_row - 1).min(OPEN_LONGEST));
        }
        if self.failed_in_row >= FAILURES || self.open_until.is_some() {
            self.open_longer(now, OPEN);
        }
    }

    /// Another endpoint answered while this one was silent for `waited`, and its answer is no longer waited for.
    pub(crate) fn overtaken(&mut self, waited: Duration, now: Instant) {
        // It is not to look fast because of that.
        self.took(waited);
        self.reason = Some(format!("no answer within {:.1} s", waited.as_secs_f64()));
        self.failed_again(true, now);
    }

    /// Whether it has just fallen silent, or its circuit is open: nothing waits for it that has another way.
    pub(crate) fn failing(&self, now: Instant) -> bool {
        self.open_until.max(self.spared_until).is_some_and(|until| until > now)
    }

    /// A request failed whose question goes on at once.
    pub(crate) fn stumbled(&mut self, detail: &str) {
        self.blame(detail);
    }

    fn blame(&mut self, detail: &str) {
        self.failures += 1;
        self.errors = self.errors * 0.9 + 0.1;
        self.reason = Some(detail.to_owned());
    }

    /// Each opening in a row lasts twice as long as the one before.
    fn open_longer(&mut self, now: Instant, first: Duration) {
        self.open(now, doubled(first, self.openings).min(OPEN_LONGEST));
        self.openings += 1;
    }

    /// Another server may stand behind the URL afterwards, so the chain is checked again.
    fn open(&mut self, now: Instant, wait: Duration) {
        self.open_until = Some(now + wait);
        self.chain = ChainCheck::Unchecked;
        self.unproven = true;
    }

    /// The endpoint reported that its head is `head`; the chain's is at least `best`.
    pub(crate) fn saw_head(&mut self, head: u64, best: u64, tolerance: u64) {
        self.head = Some(head);
        self.head_at = Some(Instant::now());
        let behind = best.saturating_sub(head);
        self.behind = (behind > tolerance).then_some(behind);
        if let Some(behind) = self.behind {
            self.reason = Some(format!("its head {head} is {behind} blocks behind"));
        }
    }

    /// Whether it has shown a head after `since`.
    pub(crate) fn head_since(&self, since: Instant) -> bool {
        self.head_at.is_some_and(|at| at > since)
    }

    pub(crate) fn suspect(&mut self, reason: &str) {
        self.trust *= 0.8;
        self.reason = Some(reason.to_owned());
    }

    pub(crate) fn median_latency(&self) -> Option<Duration> {
        let mut sorted = self.latencies.clone();
        sorted.sort_unstable();
        sorted.get(sorted.len() / 2).copied()
    }

    /// Multiplies the configured weight.
    pub(crate) fn score(&self) -> f64 {
        self.trust * self.trust * (1.0 - self.errors).max(0.05)
    }

    pub(crate) fn error_rate(&self) -> f64 {
        self.errors
    }

    pub(crate) fn state(&self, now: Instant) -> EndpointState {
        match self.available(now) {
            _ if matches!(self.chain, ChainCheck::Wrong { .. }) => EndpointState::Quarantined,
            _ if self.open_until.is_some() || self.is_shunned(now) => EndpointState::Open,
            Available::From(_) | Available::Never => EndpointState::Degraded,
            Available::Now if self.errors > 0.2 || self.trust < 0.9 || self.behind.is_some() => EndpointState::Degraded,
            Available::Now => EndpointState::Ok,
        }
    }

    pub(crate) fn reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }
}

fn doubled(first: Duration, times: u32) -> Duration {
    first.saturating_mul(1 << times.min(10))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn health() -> Health {
        let mut health = Health::new(10_000, 100);
        health.chain = ChainCheck::Right { at: Instant::now() };
        health
    }

    #[test]
    fn a_filter_refused_at_every_width_is_narrowed_again_after_a_while() {
        let (mut filter, now) = (FilterPace::default(), Instant::now());
        filter.was_in_vain(now);
        assert!(filter.is_in_vain(now + IN_VAIN / 2) && !filter.is_in_vain(now + IN_VAIN));
        filter.was_in_vain(now);
        filter.answered((1, 1));
        assert!(!filter.is_in_vain(now));
    }

    #[test]
    fn repeated_failures_open_the_circuit_for_longer_and_longer() {
        let (mut health, now) = (health(), Instant::now());
        for _ in 0..4 {
            health.refused(&Rejection::Timeout, "timed out", now);
        }
        assert_eq!(health.available(now), Available::Now);
        health.refused(&Rejection::Timeout, "timed out", now);
        assert_eq!(health.available(now), Available::From(now + OPEN));
        assert_eq!(
            (health.state(now), health.chain),
            (EndpointState::Open, ChainCheck::Unchecked)
        );
        // Half open: one trial at a time, and its failure opens for twice as long.
        let later = now + OPEN;
        assert_eq!(health.available(later), Available::Now);
        assert!(health.begin());
        assert_ne!(health.available(later), Available::Now);
        health.trial = false;
        health.refused(&Rejection::Timeout, "timed out", later);
        assert_eq!(health.available(later), Available::From(later + OPEN * 2));
        health.succeeded();
        assert_eq!(health.available(later), Available::Now);
    }

    #[test]
    fn one_that_falls_silent_is_spared_for_a_while_and_one_answer_ends_it() {
        let (mut health, now) = (health(), Instant::now());
        health.refused(&Rejection::Failed, "internal error", now);
        assert!(!health.failing(now));
        health.overtaken(Duration::from_secs(1), now);
        assert!(health.failing(now) && health.failing(now + SILENT));
        assert!(!health.failing(now + SILENT * 2));
        assert_eq!(health.available(now), Available::Now);
        health.succeeded();
        assert!(!health.failing(now));
    }

    #[test]
    fn rate_limits_pause_and_do_not_open() {
        let (mut health, now) = (health(), Instant::now());
        for _ in 0..10 {
            health.refused(&Rejection::RateLimited(Some(Duration::from_secs(3))), "429", now);
        }
        assert_eq!(health.available(now), Available::From(now + Duration::from_secs(3)));
        assert_eq!(health.state(now), EndpointState::Degraded);
    }

    #[test]
    fn liars_lose_trust_and_the_reason_stays() {
        let (mut health, now) = (health(), Instant::now());
        health.refused(&Rejection::Lie, "logs outside the bloom", now);
        assert!(health.score() < 0.5);
        health.succeeded();
        assert_eq!(health.reason(), Some("lied: logs outside the bloom"));
        health.refused(&Rejection::Lie, "again", now);
        health.refused(&Rejection::Lie, "and again", now);
        assert_eq!(health.state(now), EndpointState::Open);
        for _ in 0..200 {
            health.succeeded();
        }
        assert_eq!((health.reason(), health.state(now)), (None, EndpointState::Ok));
    }

    #[test]
    fn another_chain_is_quarantined_and_looked_at_again() {
        let (mut health, now) = (health(), Instant::now());
        health.chain = ChainCheck::Wrong { found: 5, at: now };
        assert_eq!(
            (health.available(now), health.state(now)),
            (Available::Never, EndpointState::Quarantined)
        );
        assert_eq!(health.available(now + QUARANTINE), Available::Now);
    }
}
