//! Final blocks in any order: plan what coverage misses, cut it into spans, let workers write them.

pub mod contracts;

use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use decoders::block::Proof;
use decoders::fact::PerKind;
use sinks::commit::Move;
use sinks::progress::{checkpoint, coverage, intents};
use sinks::projections::wash;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::instrument;

use crate::error::Error;
use crate::pipeline::Pipeline;
use crate::retry;

/// Blocks one backfill span holds at most, however empty they are.
const LONGEST_SPAN: u64 = 2_000;

/// How far a backfill is: read by progress bars and metrics while workers add to it.
#[derive(Debug, Default)]
pub struct Progress {
    /// Blocks that were missing when the backfill was planned.
    pub blocks_planned: AtomicU64,
    /// Blocks committed since.
    pub blocks_done: AtomicU64,
    /// Logs read since.
    pub logs: AtomicU64,
    /// Facts committed since.
    facts: PerKind<AtomicU64>,
}

impl Progress {
    /// Blocks committed and blocks planned.
    pub fn blocks(&self) -> (u64, u64) {
        (
            self.blocks_done.load(Ordering::Relaxed),
            self.blocks_planned.load(Ordering::Relaxed),
        )
    }

    /// Facts committed.
    pub fn facts(&self) -> PerKind<u64> {
        self.facts.each_ref().map(|count| count.load(Ordering::Relaxed))
    }
}

/// What is still to be read, handed out from the lowest block up.
#[derive(Debug)]
struct Plan(Mutex<VecDeque<RangeInclusive<u64>>>);

impl Plan {
    fn of(missing: Vec<RangeInclusive<u64>>) -> Self {
        Plan(Mutex::new(missing.into()))
    }

    /// The next range, at most `longest` blocks; `None` when everything is handed out.
    fn take(&self, longest: u64) -> Option<RangeInclusive<u64>> {
        let mut ranges = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let range = ranges.pop_front()?;
        let last = range.end().min(&(range.start() + longest.max(1) - 1)).to_owned();
        if last < *range.end() {
            ranges.push_front(last + 1..=*range.end());
        }
        Some(*range.start()..=last)
    }

    /// Takes back what could not be read of a range that was handed out.
    fn give_back(&self, rest: RangeInclusive<u64>) {
        let mut ranges = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        ranges.push_front(rest);
    }
}

/// Number of blocks in `ranges`.
fn count(ranges: &[RangeInclusive<u64>]) -> u64 {
    ranges.iter().map(|range| range.end() - range.start() + 1).sum()
}

/// The parts of `wanted` to read: what coverage misses, and what a writer left half written in the archive.
///
/// # Errors
/// Whatever the store answers.
pub async fn missing(pipeline: &Pipeline, wanted: &RangeInclusive<u64>) -> Result<Vec<RangeInclusive<u64>>, Error> {
    let (store, chain) = (&pipeline.store, pipeline.chain);
    let missing = coverage::missing(store, chain, &pipeline.wanted, wanted.clone()).await?;
    Ok(intents::with_abandoned(store, chain, wanted, &missing).await?)
}

/// Writes every block of `wanted` that coverage misses, with `workers` spans under way at once.
///
/// Every span commits with its coverage, so a backfill that was killed goes on where it was, and one that is repeated does
/// nothing. `wanted` has to be final.
///
/// # Errors
/// The first error that no further attempt would mend; spans under way at that moment are finished or dropped whole.
#[instrument(name = "backfill", skip_all, fields(chain = %pipeline.chain))]
pub async fn fill(
    pipeline: &Pipeline,
    wanted: RangeInclusive<u64>,
    proof: Proof,
    workers: usize,
    progress: &Arc<Progress>,
    cancel: &CancellationToken,
) -> Result<(), Error> {
    let missing = retry::persist(cancel, "planning a backfill", || async {
        // Contracts that share a row of coverage do so before the plan is made, or their gaps would be counted one by one.
        pipeline.gather().await?;
        missing(pipeline, &wanted).await
    })
    .await?;
    progress.blocks_planned.fetch_add(count(&missing), Ordering::Relaxed);
    let plan = Arc::new(Plan::of(missing));
    // A child, so that one worker's error stops the others and not what runs beside the backfill.
    let stop = cancel.child_token();
    let mut tasks = JoinSet::new();
    for _ in 0..workers.max(1) {
        let worker = Worker {
            pipeline: pipeline.clone(),
            plan: Arc::clone(&plan),
            progress: Arc::clone(progress),
            proof,
        };
        let stop = stop.clone();
        tasks.spawn(async move { worker.work(&stop).await });
    }
    let mut outcome = Ok(());
    while let Some(ended) = tasks.join_next().await {
        let result = ended.unwrap_or_else(|error| Err(Error::Broken(error.to_string())));
        if let Err(error) = result {
            stop.cancel();
            // The first error is the cause; those after it are workers that were asked to stop.
            outcome = outcome.and(Err(error));
        }
    }
    outcome
}

/// Like [`fill`], but a chain without facts is loaded in bulk: indexes that only readers and rewinds need are built at the end, and
/// sales classified.
///
/// After a load that was cut short the next one does both, or the daemon when it starts.
///
/// # Errors
/// As for [`fill`].
pub async fn load(
    pipeline: &Pipeline,
    wanted: RangeInclusive<u64>,
    proof: Proof,
    workers: usize,
    progress: &Arc<Progress>,
    cancel: &CancellationToken,
) -> Result<(), Error> {
    let (store, chain) = (&pipeline.store, pipeline.chain);
    retry::persist(cancel, "preparing a bulk load", || async {
        Ok(store.defer_indexes(chain).await?)
    })
    .await?;
    fill(pipeline, wanted, proof, workers, progress, cancel).await?;
    retry::persist(cancel, "building indexes", || async {
        Ok(store.build_indexes(chain).await?)
    })
    .await?;
    // All of a chain that was loaded in bulk, none of another.
    while !cancel.is_cancelled() {
        let next = retry::persist(cancel, "classifying sales", || async {
            Ok(wash::recompute(store, chain).await?)
        });
        if next.await?.is_none() {
            return Ok(());
        }
    }
    Err(Error::Cancelled)
}

struct Worker {
    pipeline: Pipeline,
    plan: Arc<Plan>,
    progress: Arc<Progress>,
    proof: Proof,
}

impl Worker {
    async fn work(&self, cancel: &CancellationToken) -> Result<(), Error> {
        loop {
            if cancel.is_cancelled() {
                return Err(Error::Cancelled);
            }
            let longest = self.pipeline.endpoints.suggested_range().min(LONGEST_SPAN);
            let Some(range) = self.plan.take(longest) else {
                return Ok(());
            };
            let endpoints = &self.pipeline.endpoints;
            let rest = retry::persist_with(endpoints, cancel, "a backfill span", || self.write(range.clone())).await?;
            // Cut anew, by what the blocks are known to hold by now.
            rest.into_iter().for_each(|rest| self.plan.give_back(rest));
        }
    }

    /// Writes the blocks of the range as far as they could be read, and gives the rest.
    async fn write(&self, range: RangeInclusive<u64>) -> Result<Option<RangeInclusive<u64>>, Error> {
        let end = *range.end();
        let branch = checkpoint::branch(&self.pipeline.store, self.pipeline.chain).await?;
        let pipeline = self.pipeline.for_gap(&range).await?;
        let span = pipeline.read_range(range, self.proof).await?;
        let applied = pipeline.write(&span, Move::Backfill { branch }).await?;
        self.progress
            .blocks_done
            .fetch_add(span.range.end() - span.range.start() + 1, Ordering::Relaxed);
        self.progress.logs.fetch_add(span.logs.len() as u64, Ordering::Relaxed);
        for ((_, count), (_, written)) in self.progress.facts.iter().zip(applied.facts.iter()) {
            count.fetch_add(*written, Ordering::Relaxed);
        }
        let last = *span.range.end();
        Ok((last < end).then(|| last + 1..=end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_hands_out_every_block_once_in_bounded_spans() {
        let plan = Plan::of(vec![0..=9, 20..=20, 30..=34]);
        let mut taken = Vec::new();
        while let Some(range) = plan.take(4) {
            taken.push(range);
        }
        assert_eq!(taken, [0..=3, 4..=7, 8..=9, 20..=20, 30..=33, 34..=34]);
        assert_eq!(count(&taken), 16);
        plan.give_back(6..=7);
        assert_eq!((plan.take(4), plan.take(4)), (Some(6..=7), None));
    }
}
