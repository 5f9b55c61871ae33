//! Whether a chain's head gets on: decided by where tables stand and what the endpoints have, not by what a task reports of its
//! steps, so that two daemons that take a chain from each other, or one that repeats a step without end, are not ready.

use std::time::{Duration, Instant};

use decoders::block::BlockRef;
use sinks::progress::checkpoint::{self, Checkpoint};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::chain::ChainTask;
use super::refused::REPEATED;
use rpc::EndpointHealth;

/// Leases that may pass without progress while the chain goes on.
const LEASES: u32 = 3;
/// Looks at the endpoints in the time of one lease.
const LOOKS: u32 = 10;
/// Longest time between two of them.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// Looks at the tables in the time of one lease: each is a statement.
const LOOKS_AT_TABLES: u32 = 3;
/// Longest time that endpoints may go without a usable answer before they count as not answering.
const UNANSWERED: Duration = Duration::from_secs(5);

/// What was seen of a chain.
struct Progress {
    block: Option<BlockRef>,
    /// When the checkpoint moved last, or had nowhere to go.
    moved: Instant,
    /// Bytes that endpoints have answered.
    answered: u64,
    /// When the endpoints were last asked for the head by this watch.
    asked: Instant,
    /// When the log last named the endpoints that do not answer, and whether they still do not.
    logged: Option<Instant>,
    is_unanswered: bool,
}

impl ChainTask {
    /// Reports whether the head gets on, until the follower has ended.
    pub(super) async fn watch_head(&self, cancel: &CancellationToken, followed: &CancellationToken) {
        let lease = self.follower.settings.lease_ttl;
        let pause = (lease / LOOKS).min(LONGEST_PAUSE);
        let mut progress = Progress {
            block: None,
            moved: Instant::now(),
            answered: 0,
            asked: Instant::now(),
            logged: None,
            is_unanswered: false,
        };
        let mut looked: Option<Instant> = None;
        while !cancel.is_cancelled() && !followed.is_cancelled() {
            if looked.is_none_or(|looked| looked.elapsed() >= lease / LOOKS_AT_TABLES) {
                looked = Some(Instant::now());
                self.look_at_head(&mut progress, lease).await;
            }
            self.look_at_endpoints(&mut progress, lease);
            tokio::select! {
                () = cancel.cancelled() => {}
                () = followed.cancelled() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
        self.head_health.rests();
        self.endpoint_health.rests();
    }

    async fn look_at_head(&self, progress: &mut Progress, lease: Duration) {
        let pipeline = &self.follower.pipeline;
        let stored = timeout(lease, checkpoint::read(&pipeline.store, pipeline.chain)).await;
        // Of a database that does not answer its own task reports.
        let Ok(Ok(stored)) = stored else { return };
        if self.signs.leading.borrow().is_none() && progress.asked.elapsed() > lease {
            // A leader that hangs stores no head.
            progress.asked = Instant::now();
            timeout(lease, pipeline.endpoints.heads()).await.ok();
        }
        let block = stored.as_ref().map(|stored| stored.block);
        let head = self.head(stored.as_ref());
        // A rewind is a move as well: only a chain that neither advances nor goes back stands still.
        let stands = progress.block == block;
        progress.block = block;
        if !stands || head <= block.map(|block| block.number) {
            progress.moved = Instant::now();
        }
        let silent = progress.moved.elapsed();
        // Several leases long, so that a takeover by another daemon is not reported as a failure.
        let (Some(head), true) = (head, silent > lease * LEASES) else {
            return self.head_health.ok();
        };
        let at = block.map_or_else(|| "its beginning".to_owned(), |block| format!("block {}", block.number));
        let seconds = silent.as_secs();
        let stands = format!("{} stands at {at} for {seconds} s", pipeline.chain);
        self.head_health
            .failing(match unanswered(&pipeline.endpoints.health(), lease) {
                Some(unanswered) => format!("{stands}, and block {head} is there, as far as is known: {unanswered}"),
                None => format!("{stands} while its endpoints have block {head}: {}", self.cause()),
            });
    }

    /// Why the head stands while endpoints answer, as far as is known.
    fn cause(&self) -> String {
        let health = &self.follower.health;
        health.cause().unwrap_or_else(|| match health.step() {
            _ if self.signs.leading.borrow().is_none() => {
                "another daemon holds the chain and does not get on".to_owned()
            }
            Some(step) => format!("steps are begun and none moves the checkpoint, last {step}"),
            None => "its first step has not begun".to_owned(),
        })
    }

    /// The highest block that is to be reached, as far as is known.
    fn head(&self, stored: Option<&Checkpoint>) -> Option<u64> {
        let seen = self.follower.pipeline.endpoints.health().into_iter();
        let head = seen.filter_map(|endpoint| endpoint.head);
        let head = head.chain(stored.and_then(|stored| stored.head)).max();
        head.map(|head| head.min(self.follower.settings.until.unwrap_or(u64::MAX)))
    }

    fn look_at_endpoints(&self, progress: &mut Progress, lease: Duration) {
        let endpoints = self.follower.pipeline.endpoints.health();
        let unanswered = unanswered(&endpoints, lease);
        self.log_unanswered(progress, unanswered.as_deref());
        let answered = endpoints.iter().map(|endpoint| endpoint.bytes).sum();
        if answered != progress.answered {
            progress.answered = answered;
            // What is of no use is a sign of life of the server and of no step.
            if unanswered.is_none() {
                self.follower.health.endpoints_answer();
            }
        }
        let never = endpoints.iter().all(|endpoint| !endpoint.answered);
        // Whether something is held up is the follower's and the head's to report; here only the cause is added.
        let waits = self.follower.health.cause().is_some() || self.head_health.cause().is_some();
        let silent: Vec<String> = endpoints
            .iter()
            .filter_map(|endpoint| silent(endpoint, lease))
            .collect();
        let is_leading = self.signs.leading.borrow().is_some();
        match unanswered {
            // That an endpoint answers no more is a cause once something waits for it; that none ever did is one at once.
            Some(unanswered) if waits || (never && is_leading) => self.endpoint_health.failing(unanswered),
            // One that is silent beside others which answer holds up nothing.
            _ if silent.is_empty() || !waits => self.endpoint_health.ok(),
            _ => self.endpoint_health.failing(silent.join("; ")),
        }
    }

    /// Names in the log endpoints of which none answers: once, and again after a while.
    fn log_unanswered(&self, progress: &mut Progress, unanswered: Option<&str>) {
        let chain = self.follower.pipeline.chain;
        match unanswered {
            Some(cause) if progress.logged.is_none_or(|logged| logged.elapsed() >= REPEATED) => {
                progress.logged = Some(Instant::now());
                warn!(
                    %chain,
                    "{cause}; correct an endpoint or add another with `indexer registry endpoints`: it takes effect at once"
                );
            }
            None if progress.is_unanswered => info!(%chain, "an endpoint answers again"),
            _ => {}
        }
        progress.is_unanswered = unanswered.is_some();
    }
}

/// What each endpoint fails with, where none of them has given a usable answer for some time.
fn unanswered(endpoints: &[EndpointHealth], lease: Duration) -> Option<String> {
    let is_unanswered =
        |endpoint: &EndpointHealth| endpoint.unanswered.is_some_and(|time| time > UNANSWERED.min(lease));
    if endpoints.is_empty() || !endpoints.iter().all(is_unanswered) {
        return None;
    }
    let causes = endpoints.iter().map(|endpoint| {
        let seconds = endpoint.unanswered.unwrap_or_default().as_secs();
        silent(endpoint, lease).unwrap_or_else(|| match &endpoint.reason {
            Some(reason) => format!("{} has given no usable answer for {seconds} s: {reason}", endpoint.url),
            None => format!("{} has not answered for {seconds} s", endpoint.url),
        })
    });
    Some(format!(
        "no endpoint answers: {}",
        causes.collect::<Vec<_>>().join("; ")
    ))
}

/// That an endpoint gives no sign of life.
fn silent(endpoint: &EndpointHealth, lease: Duration) -> Option<String> {
    let seconds = endpoint.silent.filter(|silent| *silent > lease / 2)?.as_secs();
    Some(format!("{} has not answered for {seconds} s", endpoint.url))
}
