//! Another try for logs at fault: their blocks decoded once more from the archive, by today's decoders and ABIs.

use std::ops::RangeInclusive;
use std::sync::Arc;

use alloy_primitives::Address;
use decoders::block::ChainId;
use decoders::id::block_number_of;
use sinks::abis::SOURCE;
use sinks::facts::faults;
use sinks::progress::checkpoint;
use sinks::progress::coverage::{self, Wanted};
use sinks::progress::lease::Lease;
use sinks::store::Store;
use tracing::warn;
use uuid::Uuid;

use crate::archive::Archive;
use crate::error::Error;
use crate::pipeline::{ARCHIVE_SOURCE, Pipeline, Rewriter};
use crate::stored::{Interpreter, Origin};
use decoders::failure::Class;
use rpc::Pool;

/// Faults taken at a time.
const BATCH: i64 = 500;
/// Blocks between two faults that are still decoded in one go.
const NEAR: u64 = 8;

/// What a retry needs of a chain.
#[derive(Clone, Debug)]
pub struct RetryContext {
    /// The chain.
    pub chain: ChainId,
    /// The tables.
    pub store: Store,
    /// Raw events.
    pub archive: Arc<Archive>,
    /// Contracts the chain is read for; empty where it is read for all.
    pub contracts: Vec<Address>,
    /// Where what decoders want beside logs, and the archive misses, is read; nowhere, where absent.
    pub endpoints: Option<Arc<Pool>>,
    /// The reader of followed contracts.
    pub stored: Arc<Interpreter>,
}

/// What a retry did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retried {
    /// Logs that are no longer at fault.
    pub mended: u64,
    /// Logs that still are.
    pub remaining: u64,
}

impl RetryContext {
    /// That of the chain which `pipeline` carries.
    pub fn of(pipeline: &Pipeline) -> Self {
        RetryContext {
            chain: pipeline.chain,
            store: pipeline.store.clone(),
            archive: Arc::clone(&pipeline.archive),
            contracts: pipeline.filter.addresses.clone(),
            endpoints: Some(Arc::clone(&pipeline.endpoints)),
            stored: Arc::clone(&pipeline.stored),
        }
    }

    /// Tries once more what is due, and decides when what remains is tried next; nothing at all where nothing was due. With the
    /// chain's `lease` blocks are tried up to its checkpoint, without it final ones alone.
    ///
    /// # Errors
    /// Whatever the archive or the store answers; what was taken is taken again later.
    pub async fn drain(&self, lease: Option<&Lease>) -> Result<Retried, Error> {
        let last = self.last(lease).await?;
        let taken = faults::take(&self.store, self.chain, last, BATCH).await?;
        if taken.is_empty() {
            return Ok(Retried::default());
        }
        let mut ids: Vec<Uuid> = taken.iter().map(|taken| taken.id).collect();
        ids.sort_unstable();
        ids.dedup();
        let Tried { left_out, error } = self.try_each(&ids, lease).await?;
        let mut tried = taken;
        // No attempt counts where the archive or the store failed: the fault would use up its attempts in an outage.
        tried.retain(|taken| !left_out.iter().any(|range| range.contains(&block_number_of(taken.id))));
        faults::settle(&self.store, self.chain, &tried).await?;
        let left = faults::remaining(&self.store, self.chain, &ids).await?;
        if let Err(error) = self.archive.queue(&self.store).update(self.chain, &ids, &left).await {
            warn!(%error, chain = %self.chain, "failed to show what became of faults in the processing queue");
        }
        if let Some(error) = error {
            return Err(error);
        }
        let remaining = left.len() as u64;
        Ok(Retried {
            mended: ids.len() as u64 - remaining,
            remaining,
        })
    }

    /// Shows in the processing queue what waits for another try.
    pub async fn refill_queue(&self) {
        if let Err(error) = self.archive.queue(&self.store).refill(&self.store, self.chain).await {
            warn!(%error, chain = %self.chain, "failed to show in the processing queue what waits");
        }
    }

    /// Takes out of the processing queue what does not wait any more, a page of entries behind `after`; returns where the next begins.
    pub async fn compare_queue(&self, after: Uuid) -> Uuid {
        let compared = self
            .archive
            .queue(&self.store)
            .compare(&self.store, self.chain, after)
            .await;
        compared.unwrap_or_else(|error| {
            warn!(%error, chain = %self.chain, "failed to compare the processing queue with the faults");
            after
        })
    }

    /// Decodes the blocks of these logs once more, as far as the archive covers them; facts only of final
    /// blocks.
    ///
    /// # Errors
    /// Whatever the archive or the store answers.
    pub async fn retry(&self, ids: &[Uuid]) -> Result<(), Error> {
        self.try_each(ids, None).await?.error.map_or(Ok(()), Err)
    }

    /// The last block that may be rewritten.
    async fn last(&self, lease: Option<&Lease>) -> Result<u64, Error> {
        if lease.is_some()
            && let Some(stored) = checkpoint::read(&self.store, self.chain).await?
        {
            return Ok(stored.block.number);
        }
        Ok(checkpoint::last_final(&self.store, self.chain).await?)
    }

    async fn try_each(&self, ids: &[Uuid], lease: Option<&Lease>) -> Result<Tried, Error> {
        let mut tried = Tried::default();
        // Faults that were mended meanwhile, or left with a rewind, need no attempt.
        let at_fault = faults::remaining(&self.store, self.chain, ids).await?;
        let blocks = |of_abi: bool| {
            let faults = at_fault
                .iter()
                .filter(|fault| fault.sources.iter().any(|source| (source == SOURCE) == of_abi));
            runs(faults.map(|fault| block_number_of(fault.id)).collect())
        };
        let branch = checkpoint::branch(&self.store, self.chain).await?;
        let contracts = self.stored.contracts();
        for range in blocks(true) {
            let read = async {
                let span = self.archive.read_of(self.chain, range.clone(), &contracts).await?;
                self.stored
                    .read(&span, &contracts, Origin::Archive, branch)
                    .await
                    .map(drop)
            };
            let outcome = read.await;
            tried.note(range, outcome)?;
        }
        let archived = [Wanted {
            source: ARCHIVE_SOURCE.to_owned(),
            from: 0,
        }];
        let rewriter = Rewriter {
            store: &self.store,
            archive: &self.archive,
            chain: self.chain,
            contracts: &self.contracts,
            endpoints: self.endpoints.as_deref(),
            lease,
        };
        let last = self.last(lease).await?;
        for range in blocks(false).into_iter().filter(|range| *range.end() <= last) {
            let gaps = coverage::missing(&self.store, self.chain, &archived, range.clone()).await?;
            if gaps.is_empty() || !self.contracts.is_empty() {
                let outcome = rewriter.rewrite(range.clone()).await.map(drop);
                tried.note(range, outcome)?;
            }
        }
        Ok(tried)
    }
}

/// What came of ranges of which each was tried for itself.
#[derive(Default)]
struct Tried {
    /// Those that could not be tried now.
    left_out: Vec<RangeInclusive<u64>>,
    /// Why the first of them could not.
    error: Option<Error>,
}

impl Tried {
    /// Goes on where only this range may have failed: one block that no endpoint can prove is not to keep the others waiting.
    fn note(&mut self, range: RangeInclusive<u64>, outcome: Result<(), Error>) -> Result<(), Error> {
        match outcome {
            Err(error) if error.class() == Class::Transient => {
                self.left_out.push(range);
                self.error.get_or_insert(error);
                Ok(())
            }
            outcome => outcome,
        }
    }
}

/// Blocks near each other as ranges.
fn runs(mut blocks: Vec<u64>) -> Vec<RangeInclusive<u64>> {
    blocks.sort_unstable();
    blocks.dedup();
    let mut runs: Vec<RangeInclusive<u64>> = Vec::new();
    for block in blocks {
        match runs.last_mut() {
            Some(last) if block - last.end() <= NEAR => *last = *last.start()..=block,
            _ => runs.push(block..=block),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_near_each_other_are_decoded_together() {
        assert_eq!(runs(vec![30, 1, 2, 2, 10, 19]), [1..=10, 19..=19, 30..=30]);
    }

    #[test]
    fn a_range_that_cannot_be_tried_now_keeps_no_other_waiting() {
        let mut tried = Tried::default();
        tried
            .note(1..=2, Err(Error::Stalled("its header is unproven".to_owned())))
            .unwrap();
        tried.note(5..=5, Ok(())).unwrap();
        tried.note(9..=9, Err(Error::Stalled("the same".to_owned()))).unwrap();
        assert_eq!(tried.left_out, [1..=2, 9..=9]);
        assert!(tried.error.is_some_and(|error| error.to_string().contains("unproven")));
        let stop = Tried::default().note(5..=5, Err(Error::Broken("for good".to_owned())));
        assert_eq!(stop.unwrap_err().class(), Class::Fatal);
    }
}
