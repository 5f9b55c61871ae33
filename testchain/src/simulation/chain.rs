//! The chain itself: blocks made one after the other, and branches.

use std::sync::Arc;

use alloy_primitives::{Address, B256, Bytes, Log, U256, keccak256};
use rand_chacha::rand_core::SeedableRng;

use super::answers::Answers;
use super::books::Books;
use super::dice::Dice;
use super::roster::Roster;
use super::script::{Draft, Script};
use super::settings::Settings;
use super::world::World;
use super::{seal, traffic};
use crate::block::Block;

/// Who sends the transactions that tests plant.
const PLANTER: Address = Address::repeat_byte(0xba);
/// Blocks have fewer of them than this many bits count.
const PLANTED_BITS: u32 = 20;

/// A deterministic chain that grows block by block, with the books of everything it emitted.
#[derive(Clone, Debug)]
pub struct Simulation {
    settings: Arc<Settings>,
    roster: Arc<Roster>,
    world: World,
    /// Which branch's dice make the traffic from which height on; ascending, the first from the start.
    dice: Vec<Branch>,
    /// Number the headers of this branch carry, so that equal traffic still makes another block.
    branch: u64,
    /// Hashes of the chain's blocks from the first on.
    hashes: Vec<B256>,
    books: Books,
    answers: Arc<Answers>,
}

#[derive(Clone, Copy, Debug)]
struct Branch {
    from: u64,
    number: u64,
}

impl Simulation {
    /// A chain without blocks yet; the first call of [`Simulation::next_block`] makes the block at `start_block`.
    pub fn new(settings: Settings) -> Self {
        let roster = Arc::new(Roster::new(&settings));
        let settings = Arc::new(settings);
        Simulation {
            world: World::new(&roster),
            dice: vec![Branch {
                from: settings.start_block,
                number: 0,
            }],
            branch: 0,
            hashes: Vec::new(),
            books: Books::new(settings.clone(), roster.clone()),
            answers: Arc::default(),
            settings,
            roster,
        }
    }

    /// The settings the chain was made with.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Height of the newest block, absent before the first.
    pub fn height(&self) -> Option<u64> {
        self.next_height().checked_sub(1).filter(|_| !self.hashes.is_empty())
    }

    /// Hash of this branch's block at `height`.
    pub fn hash(&self, height: u64) -> Option<B256> {
        let offset = usize::try_from(height.checked_sub(self.settings.start_block)?).ok()?;
        self.hashes.get(offset).copied()
    }

    /// What the chain emitted so far, kept while it was emitted.
    pub fn books(&self) -> &Books {
        &self.books
    }

    /// What contracts answer, on this branch and on those left behind; nothing on a chain without markets.
    pub fn answers(&self) -> Arc<Answers> {
        self.answers.clone()
    }

    /// Makes the block on top of the newest one.
    pub fn next_block(&mut self) -> Block {
        self.next_block_with(&[])
    }

    /// Makes the block on top of the newest one, with a further transaction at its end for each of these lists of logs. The books
    /// know nothing of what they emit.
    pub fn next_block_with(&mut self, planted: &[Vec<Log>]) -> Block {
        let height = self.next_height();
        let mut script = self.play_out(height);
        self.books.enter(&mut script);
        let numbered = (height << PLANTED_BITS..).zip(planted);
        script.transactions.extend(numbered.map(|(salt, logs)| Draft {
            from: PLANTER,
            to: PLANTER,
            value: U256::ZERO,
            tx_type: 2,
            success: true,
            input: Bytes::new(),
            salt,
            logs: logs.clone(),
        }));
        let parent_hash = self.hashes.last().copied().unwrap_or_else(|| self.root());
        let place = seal::Place {
            height,
            parent_hash,
            branch: self.branch,
        };
        let transactions = std::mem::take(&mut script.transactions);
        let block = seal::block(&self.settings, place, transactions);
        self.hashes.push(block.hash);
        if self.settings.trades_per_block > 0 {
            let transfers = self.books.transfers_in(height..=height).collect();
            self.answers.record(&block, transfers, script.bids);
        }
        block
    }

    /// Makes `count` blocks on top of the newest one.
    pub fn blocks(&mut self, count: u64) -> Vec<Block> {
        (0..count).map(|_| self.next_block()).collect()
    }

    /// The same chain up to `ancestor`, to be continued otherwise; `None` unless `ancestor` is a block of this chain.
    ///
    /// The continuation is valid from the ancestor's state. Up to two of its first blocks may hold the very
    /// transactions of the branch left behind, as blocks after a real reorg do.
    pub fn fork(&self, ancestor: u64, branch: u64) -> Option<Self> {
        self.hash(ancestor)?;
        let kept = ancestor - self.settings.start_block + 1;
        let mut fork = Simulation {
            settings: self.settings.clone(),
            roster: self.roster.clone(),
            world: World::new(&self.roster),
            dice: self.dice.clone(),
            branch,
            hashes: self.hashes[..kept as usize].to_vec(),
            books: self.books.upto(ancestor),
            answers: self.answers.clone(),
        };
        for height in self.settings.start_block..=ancestor {
            fork.play_out(height);
        }
        let from = ancestor + 1 + branch % 3;
        fork.dice.retain(|older| older.from < from);
        fork.dice.push(Branch { from, number: branch });
        Some(fork)
    }

    fn next_height(&self) -> u64 {
        self.settings.start_block + self.hashes.len() as u64
    }

    /// Draws the traffic of the block at `height` and lets it happen in the world.
    fn play_out(&mut self, height: u64) -> Script {
        let dice = self.dice_of(height);
        traffic::draw(&self.settings, &self.roster, &mut self.world, height, dice)
    }

    fn dice_of(&self, height: u64) -> Dice {
        let branch = self.dice.iter().rev().find(|branch| branch.from <= height);
        let branch = branch.expect("the first branch starts with the chain").number;
        Dice::from_seed(self.derive([branch, height]).0)
    }

    /// Stands for the block below the first.
    fn root(&self) -> B256 {
        if self.settings.start_block == 0 {
            B256::ZERO
        } else {
            self.derive([u64::MAX, self.settings.start_block])
        }
    }

    fn derive(&self, [branch, height]: [u64; 2]) -> B256 {
        let words = [self.settings.seed, self.settings.chain_id, branch, height];
        keccak256(words.map(u64::to_be_bytes).concat())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::super::transfers::Layout;
    use super::*;

    fn near(actual: usize, expected: usize, what: &str) {
        let off = actual.abs_diff(expected) * 1_000 / expected;
        assert!(off <= 20, "{what}: {actual} is {off} ‰ off {expected}");
    }

    /// The whole workload of the performance figures. Blocks are not sealed: only what they emit is counted.
    #[test]
    fn the_benchmark_has_the_stated_counts() {
        let mut simulation = Simulation::new(Settings::benchmark(1));
        let (mut logs, mut items, mut tokens) = (0, 0, BTreeSet::new());
        let mut counts = BTreeMap::<Layout, usize>::new();
        for height in 0..20_000 {
            let script = simulation.play_out(height);
            logs += script.transactions.iter().map(|draft| draft.logs.len()).sum::<usize>();
            items += script.entries.len();
            for entry in &script.entries {
                *counts.entry(entry.layout).or_default() += usize::from(entry.item == 0);
            }
            let moved = script.entries.iter().filter(|entry| entry.part.quantity > 0);
            tokens.extend(moved.map(|entry| (entry.part.contract, entry.part.serial)));
            assert!(script.malformed.is_empty());
        }
        near(logs, 1_000_000, "logs");
        near(counts[&Layout::Erc721], 355_000, "erc-721 transfers");
        near(counts[&Layout::Erc1155Single], 152_000, "erc-1155 singles");
        near(counts[&Layout::Erc1155Batch], 58_000, "erc-1155 batches");
        near(items, 678_000, "items");
        near(tokens.len(), 186_000, "tokens");
    }
}
