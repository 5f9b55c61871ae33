//! One chain's task: its follower at the head, and its gaps filled below at low priority.

use std::ops::RangeInclusive;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use decoders::block::Proof;
use sinks::error::SinkError;
use sinks::progress::checkpoint;
use sinks::progress::lease::Lease;
use sinks::projections::wash;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{info, instrument, warn};
use uuid::Uuid;

use crate::backfill::{self, Progress, contracts};
use crate::error::Error;
use crate::faults::RetryContext;
use crate::follower::Follower;
use crate::health::TaskHealth;
use crate::{currencies, retry};
use decoders::failure::Class;

/// How long the tasks beside the follower rest at least between two looks, so that a fast head costs them no statements of its pace.
const SHORTEST_REST: Duration = Duration::from_millis(500);
/// How long they rest at most while the follower does not move: what other processes changed, and what comes due by the clock, is
/// found then.
const LONGEST_REST: Duration = Duration::from_secs(20);

/// How long currencies are left alone that no endpoint could ask what they are.
const CURRENCY_PAUSE: Duration = Duration::from_secs(60);

/// How often a page of the processing queue is compared with the faults it shows.
const QUEUE_PAUSE: Duration = Duration::from_secs(5);

/// Signals, for the tasks beside the follower, that there may be something to do.
#[derive(Clone, Debug)]
pub struct Signs {
    /// The chain's lease while this daemon holds it; gaps are filled by the leader alone.
    pub leading: watch::Receiver<Option<Lease>>,
    /// Changes with every step of the follower, and when blocks have become final.
    pub moved: watch::Receiver<()>,
}

/// A chain as the daemon runs it.
pub struct ChainTask {
    /// The head.
    pub follower: Follower,
    /// What the follower does.
    pub signs: Signs,
    /// What has to be proven of final blocks.
    pub gap_proof: Proof,
    /// Spans under way at once while filling gaps; zero leaves gaps to `indexer backfill`.
    pub gap_workers: usize,
    /// How far gap filling is.
    pub progress: Arc<Progress>,
    /// Where `/readyz` hears of gap filling.
    pub gap_health: TaskHealth,
    /// Where `/readyz` hears whether the head gets on while the chain does.
    pub head_health: TaskHealth,
    /// Where `/readyz` hears of endpoints that the head waits for.
    pub endpoint_health: TaskHealth,
}

impl ChainTask {
    /// Runs until cancelled, or until everything up to the follower's last block is covered.
    ///
    /// # Errors
    /// Only what no further attempt would mend.
    pub async fn run(&self, cancel: &CancellationToken) -> Result<(), Error> {
        let pipeline = &self.follower.pipeline;
        // A bulk load that was cut short left the chain without the indexes that reorgs and readers need.
        retry::persist(cancel, "building indexes", || async {
            pipeline.store.build_indexes(pipeline.chain).await?;
            pipeline.gather().await
        })
        .await?;
        // The follower alone knows when a finite run is over; the others go on until nothing is missing below its last block.
        let followed = CancellationToken::new();
        let follow = async {
            let outcome = self.follower.follow(cancel).await;
            followed.cancel();
            outcome
        };
        let filled = CancellationToken::new();
        let fill = async {
            let outcome = self.fill_gaps(cancel, &followed).await;
            filled.cancel();
            unless_cancelled(outcome)
        };
        let read = async { unless_cancelled(self.read_contracts(cancel, &filled).await) };
        let recompute = async { unless_cancelled(self.recompute_flags(cancel, &followed).await) };
        let watch = async {
            self.watch_head(cancel, &followed).await;
            Ok(())
        };
        let store_metadata = async { unless_cancelled(self.learn_currencies(cancel, &filled).await) };
        let tasks = tokio::try_join!(
            // Boxed, so that the future of a chain does not hold the six in place.
            Box::pin(follow),
            Box::pin(fill),
            Box::pin(read),
            Box::pin(recompute),
            Box::pin(store_metadata),
            Box::pin(watch)
        );
        tasks.map(|((), (), (), (), (), ())| ())
    }

    /// Asks the contracts of currencies that no source describes, until there are none and the gaps are filled.
    async fn learn_currencies(&self, cancel: &CancellationToken, filled: &CancellationToken) -> Result<(), Error> {
        let (mut signs, mut due) = (self.signs.clone(), Instant::now());
        let mut edits = self.follower.pipeline.endpoints.edits();
        loop {
            let ended = filled.is_cancelled();
            let leads = signs.look().is_some();
            // Other endpoints may know what those before did not.
            if edits.has_changed().unwrap_or(false) {
                edits.mark_unchanged();
                due = Instant::now();
            }
            if ended || (leads && due <= Instant::now()) {
                let all = currencies::store_metadata(&self.follower.pipeline).await?;
                due = Instant::now() + if all { Duration::ZERO } else { CURRENCY_PAUSE };
            }
            if ended {
                return Ok(());
            }
            idle(cancel, filled, &mut signs).await?;
        }
    }

    /// Recomputes, as the leader, the sales that a release with other rules classified: which of them look made up.
    async fn recompute_flags(&self, cancel: &CancellationToken, followed: &CancellationToken) -> Result<(), Error> {
        let pipeline = &self.follower.pipeline;
        let mut signs = self.signs.clone();
        while signs.look().is_none() && !followed.is_cancelled() {
            idle(cancel, followed, &mut signs).await?;
        }
        let mut recomputed = 0;
        while !cancel.is_cancelled() {
            let next = retry::persist(cancel, "recomputing flags of sales by other rules", || async {
                Ok(wash::recompute(&pipeline.store, pipeline.chain).await?)
            });
            let Some(sales) = next.await? else { break };
            recomputed += sales;
        }
        if recomputed > 0 {
            info!(sales = recomputed, chain = %pipeline.chain, "recomputed flags of sales by the rules of this release");
        }
        Ok(())
    }

    /// Fills the gaps of contracts with stored ABIs, and tries again what waits for it, until there are none and the others are
    /// filled.
    #[instrument(name = "contracts", skip_all, fields(chain = %self.follower.pipeline.chain))]
    async fn read_contracts(&self, cancel: &CancellationToken, filled: &CancellationToken) -> Result<(), Error> {
        let pipeline = &self.follower.pipeline;
        if self.gap_workers == 0 {
            return Ok(());
        }
        let faults = RetryContext::of(pipeline);
        let mut signs = self.signs.clone();
        let (mut led, mut compared, mut due) = (false, Uuid::nil(), Instant::now());
        loop {
            let ended = filled.is_cancelled();
            let lease = signs.look();
            let leads = lease.is_some();
            // What another leader did meanwhile is not known here.
            if leads && !led {
                faults.refill_queue().await;
            }
            led = leads;
            // The leader alone, as with gaps: two daemons would ask endpoints for the same blocks.
            if ended || leads {
                if self.fill_contracts(cancel).await? > 0 {
                    // What was read may have reported upgrades.
                    continue;
                }
                let drain = || faults.drain(lease.as_ref());
                match retry::persist_with(&pipeline.endpoints, cancel, "trying faults again", drain).await {
                    // What was taken comes due again, for the leader of that time.
                    Err(Error::Sink(SinkError::LeaseLost { .. })) => {}
                    outcome => drop(outcome?),
                }
                if due <= Instant::now() {
                    compared = faults.compare_queue(compared).await;
                    due = Instant::now() + QUEUE_PAUSE;
                }
            }
            if ended {
                return Ok(());
            }
            idle(cancel, filled, &mut signs).await?;
        }
    }

    /// Fills what contracts miss now, and returns the number of blocks.
    async fn fill_contracts(&self, cancel: &CancellationToken) -> Result<u64, Error> {
        let pipeline = &self.follower.pipeline;
        let what = "looking for gaps of contracts";
        let Some(range) = retry::persist(cancel, what, || self.final_range()).await? else {
            return Ok(0);
        };
        let applied = retry::persist(cancel, what, || self.applied()).await?;
        contracts::fill(pipeline, range, applied, self.gap_proof, self.gap_workers, cancel).await
    }

    /// Fills gaps until there are none and the follower has ended.
    #[instrument(name = "gaps", skip_all, fields(chain = %self.follower.pipeline.chain))]
    async fn fill_gaps(&self, cancel: &CancellationToken, followed: &CancellationToken) -> Result<(), Error> {
        self.gap_health.ok();
        if self.gap_workers == 0 {
            return Ok(());
        }
        let pipeline = &self.follower.pipeline;
        let mut signs = self.signs.clone();
        loop {
            let ended = followed.is_cancelled();
            let leads = signs.look().is_some();
            // One daemon at a time, or two would read the same gaps; a run that has ended fills them without the lease, final as
            // they are.
            if ended || leads {
                let gap = retry::persist(cancel, "looking for gaps", || self.gap()).await?;
                if let Some(gap) = gap {
                    info!(from = gap.start(), to = gap.end(), "filling gaps");
                    // One gap after the other, looked for anew each time: registrations and rewinds change what is missing
                    // meanwhile.
                    let fill = backfill::fill(pipeline, gap, self.gap_proof, self.gap_workers, &self.progress, cancel);
                    match self.watched(fill).await {
                        // The follower, which holds the lease, finds out on which branch the chain is.
                        Err(error) if error.class() == Class::Reorg => {
                            warn!(%error, "a gap does not fit the blocks beside it");
                            idle(cancel, followed, &mut signs).await?;
                        }
                        outcome => outcome?,
                    }
                    continue;
                }
            }
            if ended {
                return Ok(());
            }
            idle(cancel, followed, &mut signs).await?;
        }
    }

    /// Reports to `/readyz` when a fill does not get on.
    async fn watched(&self, fill: impl Future<Output = Result<(), Error>>) -> Result<(), Error> {
        let mut fill = pin!(fill);
        let (mut done, mut moved) = (self.progress.blocks().0, Instant::now());
        loop {
            tokio::select! {
                outcome = &mut fill => {
                    self.gap_health.ok();
                    return outcome;
                }
                () = tokio::time::sleep(SHORTEST_REST) => {}
            }
            let now = self.progress.blocks().0;
            if now != done {
                (done, moved) = (now, Instant::now());
                self.gap_health.ok();
            } else if moved.elapsed() > self.follower.settings.stall_after {
                let seconds = moved.elapsed().as_secs();
                self.gap_health.failing(format!(
                    "gaps of {} have not been filled further for {seconds} s",
                    self.follower.pipeline.chain
                ));
            }
        }
    }

    /// The blocks that are wanted, final and not above the checkpoint.
    async fn final_range(&self) -> Result<Option<RangeInclusive<u64>>, Error> {
        let pipeline = &self.follower.pipeline;
        let Some(stored) = checkpoint::read(&pipeline.store, pipeline.chain).await? else {
            return Ok(None);
        };
        let settings = &self.follower.settings;
        let last = stored
            .finalized
            .unwrap_or(0)
            .min(stored.block.number)
            .min(settings.until.unwrap_or(u64::MAX));
        Ok((settings.start_block <= last).then_some(settings.start_block..=last))
    }

    /// The last block applied.
    async fn applied(&self) -> Result<u64, Error> {
        let pipeline = &self.follower.pipeline;
        let stored = checkpoint::read(&pipeline.store, pipeline.chain).await?;
        Ok(stored.map_or(0, |stored| stored.block.number))
    }

    /// The range from the lowest to the highest of these blocks that is missing.
    async fn gap(&self) -> Result<Option<RangeInclusive<u64>>, Error> {
        let pipeline = &self.follower.pipeline;
        let Some(range) = self.final_range().await? else {
            return Ok(None);
        };
        pipeline.gather().await?;
        let missing = backfill::missing(pipeline, &range).await?;
        Ok(missing
            .first()
            .zip(missing.last())
            .map(|(first, last)| *first.start()..=*last.end()))
    }
}

/// What a task beside the follower came to; to be cancelled is a good end.
fn unless_cancelled(outcome: Result<(), Error>) -> Result<(), Error> {
    match outcome {
        Err(Error::Cancelled) => Ok(()),
        other => other,
    }
}

/// Returns when there may be something to do, or what lies before has `ended`.
async fn idle(cancel: &CancellationToken, ended: &CancellationToken, signs: &mut Signs) -> Result<(), Error> {
    tokio::select! {
        () = cancel.cancelled() => Err(Error::Cancelled),
        () = ended.cancelled() => Ok(()),
        () = signs.changed() => Ok(()),
    }
}

impl Signs {
    /// The lease, if the chain is held now. What came before is no news any more.
    fn look(&mut self) -> Option<Lease> {
        self.moved.mark_unchanged();
        self.leading.borrow_and_update().clone()
    }

    /// Returns when there may be something to do: at once when the chain was taken over or lost since the last look, soon when the
    /// follower moved, else after a while.
    async fn changed(&mut self) {
        let Signs { leading, moved } = self;
        let moved = async {
            tokio::time::sleep(SHORTEST_REST).await;
            tokio::select! {
                // The senders live as long as the follower, which outlives this call.
                _ = moved.changed() => {}
                () = tokio::time::sleep(LONGEST_REST) => {}
            }
        };
        tokio::select! {
            _ = leading.changed() => {}
            () = moved => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Longer than a rest between two looks, and far shorter than one without news.
    const WHILE: Duration = Duration::from_secs(2);

    #[tokio::test]
    async fn a_change_is_noticed_of_once_and_then_there_is_a_rest() {
        let (leads, leading) = watch::channel(None);
        let (moves, moved) = watch::channel(());
        let mut signs = Signs { leading, moved };
        let lease = Lease {
            chain: decoders::block::ChainId(1),
            holder: "here".to_owned(),
            token: 1,
        };
        let is_noticed = async |signs: &mut Signs| tokio::time::timeout(WHILE, signs.changed()).await.is_ok();
        leads.send_replace(Some(lease));
        moves.send_replace(());
        assert!(signs.look().is_some());
        assert!(!is_noticed(&mut signs).await, "nothing changed since it was looked at");
        leads.send_replace(None);
        assert!(is_noticed(&mut signs).await, "the chain was lost");
        assert!(!is_noticed(&mut signs).await, "that was announced already");
        moves.send_replace(());
        assert!(is_noticed(&mut signs).await, "the follower moved");
    }
}
