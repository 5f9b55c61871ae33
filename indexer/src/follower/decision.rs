//! What a follower does next, as a pure function of what it knows.

use std::ops::RangeInclusive;

use decoders::block::BlockRef;

/// Blocks a follower takes one by one or in one span before it leaves them to gap filling and jumps to the finalized block.
pub const JUMP_DISTANCE: u64 = 128;
/// Blocks one catch-up span holds at most.
pub const CATCH_UP_BLOCKS: u64 = 32;

/// The next step of one chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// The checkpoint is the head.
    Wait,
    /// Stand at the finalized block; what lies below is filled in as a gap.
    Begin(BlockRef),
    /// Take these blocks, which follow the checkpoint.
    Advance(RangeInclusive<u64>),
    /// The head is at or below the checkpoint with another hash: see whether the endpoints lag or the chain has moved.
    Compare(BlockRef),
}

/// Decides from where the chain was left, where its head is and what is final.
pub fn decide(checkpoint: Option<BlockRef>, latest: BlockRef, finalized: BlockRef) -> Step {
    let Some(checkpoint) = checkpoint else {
        return Step::Begin(finalized);
    };
    if latest == checkpoint {
        return Step::Wait;
    }
    if latest.number <= checkpoint.number {
        return Step::Compare(latest);
    }
    if finalized.number > checkpoint.number + JUMP_DISTANCE {
        return Step::Begin(finalized);
    }
    let last = latest.number.min(checkpoint.number + CATCH_UP_BLOCKS);
    Step::Advance(checkpoint.number + 1..=last)
}

#[cfg(test)]
mod tests {
    use alloy_primitives::B256;

    use super::*;

    fn block(number: u64, branch: u8) -> BlockRef {
        BlockRef {
            number,
            hash: B256::repeat_byte(branch),
        }
    }

    #[test]
    fn a_new_chain_begins_at_the_finalized_block() {
        assert_eq!(decide(None, block(100, 1), block(36, 2)), Step::Begin(block(36, 2)));
    }

    #[test]
    fn a_checkpoint_at_the_head_waits() {
        assert_eq!(decide(Some(block(100, 1)), block(100, 1), block(36, 2)), Step::Wait);
    }

    #[test]
    fn a_new_head_is_taken_as_one_block() {
        assert_eq!(
            decide(Some(block(100, 1)), block(101, 2), block(36, 3)),
            Step::Advance(101..=101)
        );
    }

    #[test]
    fn a_short_lag_is_caught_up_in_bounded_spans() {
        assert_eq!(
            decide(Some(block(100, 1)), block(190, 2), block(126, 3)),
            Step::Advance(101..=132)
        );
    }

    #[test]
    fn a_long_lag_jumps_to_the_finalized_block() {
        assert_eq!(
            decide(Some(block(100, 1)), block(1000, 2), block(936, 3)),
            Step::Begin(block(936, 3))
        );
    }

    #[test]
    fn a_head_at_or_below_the_checkpoint_is_compared() {
        assert_eq!(
            decide(Some(block(100, 1)), block(100, 2), block(36, 3)),
            Step::Compare(block(100, 2))
        );
        assert_eq!(
            decide(Some(block(100, 1)), block(98, 2), block(36, 3)),
            Step::Compare(block(98, 2))
        );
    }
}
