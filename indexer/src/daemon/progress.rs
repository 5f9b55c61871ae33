//! Whether a chain's head gets on: decided by where tables stand and what the endpoints have, not by what a task reports of its
//! steps, so that two daemons that take a chain from each other, or one that repeats a step without end, are not ready.

use std::time::{Duration, Instant};

use decoders::block::BlockRef;
use sinks::progress::checkpoint::{self, Checkpoint};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::chain::ChainTask;

/// Leases that may pass without progress while the chain goes on.
const LEASES: u32 = 3;
/// Looks in the time of one lease.
const LOOKS: u32 = 10;
/// Longest time between two of them.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// What was seen of a chain.
struct Progress {
    block: Option<BlockRef>,
    /// When the checkpoint moved last, or had nowhere to go.
    moved: Instant,
    /// Bytes that endpoints have answered.
    answered: u64,
    /// When the endpoints were last asked for the head by this watch.
    asked: Instant,
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
        };
        while !cancel.is_cancelled() && !followed.is_cancelled() {
            self.look_at_head(&mut progress, lease).await;
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
        if !*self.leading.borrow() && progress.asked.elapsed() > lease {
            // A leader that hangs stores no head.
            progress.asked = Instant::now();
            timeout(lease, pipeline.endpoints.heads()).await.ok();
        }
        let block = stored.as_ref().map(|stored| stored.block);
        let head = self.head(stored.as_ref());
        let stands = progress.block == block;
        progress.block = block;
        if !stands || head <= block.map(|block| block.number) {
            progress.moved = Instant::now();
        }
        let silent = progress.moved.elapsed();
        let (Some(head), true) = (head, silent > lease * LEASES) else {
            return self.head_health.ok();
        };
        let at = block.map_or_else(|| "its beginning".to_owned(), |block| format!("block {}", block.number));
        let cause = self.follower.health.cause().unwrap_or_else(|| {
            if *self.leading.borrow() {
                "each step is begun and none is finished".to_owned()
            } else {
                "another daemon holds the chain and does not get on".to_owned()
            }
        });
        let seconds = silent.as_secs();
        self.head_health.failing(format!(
            "{} stands at {at} for {seconds} s while its endpoints have block {head}: {cause}",
            pipeline.chain
        ));
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
        let answered = endpoints.iter().map(|endpoint| endpoint.bytes).sum();
        if answered != progress.answered {
            progress.answered = answered;
            self.follower.health.endpoints_answer();
        }
        let silent = endpoints.iter().filter_map(|endpoint| {
            let seconds = endpoint.silent.filter(|silent| *silent > lease / 2)?.as_secs();
            Some(format!("{} has not answered for {seconds} s", endpoint.url))
        });
        let silent: Vec<String> = silent.collect();
        // One that is silent beside others which answer holds up nothing.
        if silent.is_empty() || (self.follower.health.cause().is_none() && self.head_health.cause().is_none()) {
            self.endpoint_health.ok();
        } else {
            self.endpoint_health.failing(silent.join("; "));
        }
    }
}
