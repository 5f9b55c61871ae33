//! Random lives of a chain: it grows, and now and then a branch replaces its top.

use rand::RngExt;
use rand_chacha::rand_core::SeedableRng;

use super::chain::Simulation;
use super::dice::Dice;
use crate::block::Block;
use crate::ledger::Ledger;

/// One step in the life of a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The chain grows.
    Advance {
        /// Blocks to append.
        blocks: u64,
    },
    /// A branch replaces the top of the chain.
    Reorg {
        /// Blocks to drop; at least the first block always stays.
        depth: u64,
        /// Blocks of the new branch, fewer, as many or more.
        blocks: u64,
        /// The branch's number; give each its own.
        branch: u64,
    },
}

/// A schedule of `steps` steps that starts with growth and drops at most `deepest` blocks at a time.
pub fn schedule(seed: u64, steps: u64, deepest: u64) -> Vec<Step> {
    let mut dice = Dice::seed_from_u64(seed);
    (0..steps).map(|number| step(&mut dice, number, deepest)).collect()
}

fn step(dice: &mut Dice, number: u64, deepest: u64) -> Step {
    let deepest = deepest.max(1);
    if number == 0 || dice.random_bool(0.6) {
        return Step::Advance {
            blocks: dice.random_range(1..=deepest * 2),
        };
    }
    // Most reorgs are shallow, and the deep ones are where mistakes hide.
    let depth = if dice.random_bool(0.7) {
        dice.random_range(1..=deepest.min(3))
    } else {
        dice.random_range(1..=deepest)
    };
    let blocks = if dice.random_bool(0.8) {
        depth + dice.random_range(0..=2)
    } else {
        dice.random_range(1..=depth)
    };
    Step::Reorg {
        depth,
        blocks,
        branch: number,
    }
}

impl Simulation {
    /// Takes one step, here and on the ledger that serves this chain.
    pub fn play(&mut self, step: Step, ledger: &Ledger) {
        match step {
            Step::Advance { blocks } => ledger.extend(self.blocks(blocks)),
            Step::Reorg { depth, blocks, branch } => {
                let (ancestor, blocks) = self.reorganize(depth, blocks, branch);
                ledger.reorg(ancestor, blocks);
            }
        }
    }

    /// Goes over to a new branch; gives its ancestor and its blocks. Before the second block it only grows.
    fn reorganize(&mut self, depth: u64, blocks: u64, branch: u64) -> (u64, Vec<Block>) {
        let start = self.settings().start_block;
        let ancestor = self
            .height()
            .map_or(start, |height| height.saturating_sub(depth).max(start));
        if let Some(fork) = self.fork(ancestor, branch) {
            *self = fork;
        }
        (ancestor, self.blocks(blocks))
    }
}
