//! How far down the stored branch is still the chain's.

use std::ops::RangeInclusive;

use decoders::block::BlockRef;
use sinks::commit;
use sinks::progress::lease::Lease;
use sinks::progress::{checkpoint, seams};
use tracing::warn;

use crate::error::Error;
use crate::pipeline::Pipeline;
use rpc::Votes;

/// Blocks of the archive looked through at a time, once the kept block hashes are used up.
const ARCHIVE_WINDOW: u64 = 2048;

/// The highest stored block at or below `highest` that the endpoints still serve under the same hash.
///
/// First among the kept hashes of blocks that were not final; below them among the blocks the archive holds and the seams of
/// spans; and when not one stored block is on the served chain, the served block below `lowest`. So no reorg is too deep.
///
/// # Errors
/// Whatever the endpoints, the store or the archive answer.
pub async fn find(pipeline: &Pipeline, lowest: u64, highest: u64) -> Result<BlockRef, Error> {
    let (store, chain) = (&pipeline.store, pipeline.chain);
    let kept = checkpoint::kept(store, chain).await?;
    let mut kept: Vec<BlockRef> = kept.iter().map(|block| block.block_ref()).collect();
    kept.retain(|block| block.number <= highest);
    kept.sort_unstable();
    if let Some(ancestor) = highest_shared(pipeline, &kept, false).await? {
        return Ok(ancestor);
    }
    let mut above = kept.first().map_or(highest.saturating_add(1), |block| block.number);
    // Seams before the archive: they are few and in the database, and bound how far down the archive has to be read.
    let seams = seams::read(store, chain, lowest, above.saturating_sub(1)).await?;
    let seam = highest_shared(pipeline, &seams, true).await?;
    let floor = seam.map_or(lowest, |seam| seam.number + 1);
    // From the top down, in windows: the archive holds every block with logs, so it finds a higher ancestor than the seam alone.
    while let Some(window) = window_below(above, floor) {
        above = *window.start();
        let archived = pipeline.archive.read_logs(chain, window).await?;
        let blocks: Vec<BlockRef> = archived.blocks.iter().map(|block| block.block_ref()).collect();
        if let Some(ancestor) = highest_shared(pipeline, &blocks, true).await? {
            return Ok(ancestor);
        }
    }
    if let Some(seam) = seam {
        return Ok(seam);
    }
    // Nothing stored is on the chain: everything goes, and the checkpoint stands below the first block wanted.
    let below = lowest.saturating_sub(1);
    let header = pipeline.endpoints.header_at(below).await?;
    header
        .map(|header| header.block.block_ref())
        .ok_or_else(|| Error::Stalled(format!("no endpoint serves block {below}")))
}

/// Decides about the block `suspect`, at which spans of two branches met: goes down to the branch that the endpoints agree on, or finds
/// that what is stored is theirs.
///
/// # Errors
/// Whatever the endpoints, the store or the archive answer; a lease that was lost.
pub async fn mend(pipeline: &Pipeline, suspect: u64, lowest: u64, lease: &Lease) -> Result<(), Error> {
    let (store, chain) = (&pipeline.store, pipeline.chain);
    let from = checkpoint::read(store, chain).await?.map(|stored| stored.block);
    let ancestor = find(pipeline, lowest, suspect).await?;
    if ancestor.number >= suspect {
        warn!(
            block = suspect,
            "the stored blocks are the chain's; a span that did not fit them was of another branch"
        );
        return Ok(seams::settle(store, lease, suspect, ancestor).await?);
    }
    let undone = match from {
        Some(from) if ancestor.number < from.number => commit::rewind(store, chain, from, ancestor, lease).await?,
        from => commit::disown(store, from, ancestor.number + 1, lease).await?,
    };
    seams::settle(store, lease, suspect, ancestor).await?;
    pipeline.metrics.reorgs.inc();
    warn!(block = suspect, %ancestor, facts = undone.to_string(), "blocks of two branches were stored; rewound");
    Ok(())
}

/// Whether the chain has left the stored branch at or below `height`, by the newest block that the archive holds there.
///
/// Separates a chain that became shorter than what is kept of it from endpoints that merely lag. An archive without a block to
/// compare shows nothing.
///
/// # Errors
/// Whatever the endpoints or the archive answer.
pub async fn left_below(pipeline: &Pipeline, height: u64, lowest: u64) -> Result<bool, Error> {
    let Some(window) = window_below(height + 1, lowest) else {
        return Ok(false);
    };
    let archived = pipeline.archive.read_logs(pipeline.chain, window).await?;
    match archived.blocks.last() {
        Some(block) => Ok(!is_canonical(pipeline, block.block_ref(), true).await?),
        None => Ok(false),
    }
}

fn window_below(above: u64, lowest: u64) -> Option<RangeInclusive<u64>> {
    (above > lowest).then(|| above.saturating_sub(ARCHIVE_WINDOW).max(lowest)..=above - 1)
}

/// The highest of `blocks`, which ascend, that the chain still has. A branch that left the chain never comes back to it, so
/// halving finds the fork in few requests.
async fn highest_shared(pipeline: &Pipeline, blocks: &[BlockRef], is_final: bool) -> Result<Option<BlockRef>, Error> {
    let (mut shared, mut left) = (0, blocks.len());
    while shared < left {
        let middle = shared + (left - shared) / 2;
        if is_canonical(pipeline, blocks[middle], is_final).await? {
            shared = middle + 1
        } else {
            left = middle
        }
    }
    Ok(shared.checked_sub(1).map(|index| blocks[index]))
}

/// Whether the endpoints have `block` at its height. One that names another is enough to suspect a block that is not final,
/// because to stand too low costs a few blocks read again, and to stand too high leaves a branch behind that is none; of a final
/// block the majority decides, so that one endpoint cannot have a whole history read again.
pub async fn is_canonical(pipeline: &Pipeline, block: BlockRef, is_final: bool) -> Result<bool, Error> {
    let Votes { same, other } = pipeline.endpoints.votes(block).await;
    if same + other > 0 {
        return Ok(if is_final { same > other } else { same > 0 && other == 0 });
    }
    let served = pipeline.endpoints.header_at(block.number).await?;
    Ok(served.is_some_and(|header| header.block.hash == block.hash))
}

#[cfg(test)]
mod tests {
    use super::window_below;

    #[test]
    fn windows_step_down_to_the_lowest_block_and_end() {
        assert_eq!(window_below(5000, 1000), Some(2952..=4999));
        assert_eq!(window_below(2952, 1000), Some(1000..=2951));
        assert_eq!(window_below(1000, 1000), None);
    }
}
