//! By which right a span is written: what registers a write and what commits it are given the same.

use decoders::block::{Block, BlockRef};
use decoders::fact::Facts;

use crate::progress::lease::Lease;

/// Who applies a span.
#[derive(Clone, Copy, Debug)]
pub enum Move<'a> {
    /// A backfill worker: final blocks only, in any order, without a lease. The commit may be lost in a crash, whole.
    Backfill {
        /// [`checkpoint::branch`](crate::progress::checkpoint::branch) before the span was read: a rewind since then refuses it.
        branch: i64,
    },
    /// The holder of the chain's lease: blocks above the checkpoint, which moves to the last of them.
    Head {
        /// Where the checkpoint stands; `None` on a chain without one.
        from: Option<BlockRef>,
        /// The right to move it.
        lease: &'a Lease,
    },
}

impl Move<'_> {
    /// The move that follows this one, of the blocks above those of `facts`.
    #[must_use]
    pub fn after(self, facts: &Facts) -> Self {
        match self {
            Move::Backfill { .. } => self,
            Move::Head { lease, .. } => Move::Head {
                from: facts.blocks.last().map(Block::block_ref),
                lease,
            },
        }
    }
}
