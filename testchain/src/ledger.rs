//! What a node knows: one canonical chain, and the branches it left behind.

use std::sync::{Arc, RwLock, RwLockReadGuard};

use alloy_primitives::B256;
use rustc_hash::FxHashMap;
use tokio::sync::watch;

use crate::block::Block;

/// How far below the head a block counts as safe, and as final.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finality {
    /// Heights between the head and the `safe` block.
    pub safe_depth: u64,
    /// Heights between the head and the `finalized` block.
    pub finalized_depth: u64,
}

impl Default for Finality {
    /// Ethereum's usual distances: one epoch and two.
    fn default() -> Self {
        Finality {
            safe_depth: 32,
            finalized_depth: 64,
        }
    }
}

/// Height and hash of the canonical head; zeros while the ledger is empty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BlockHead {
    /// Height.
    pub number: u64,
    /// Header hash.
    pub hash: B256,
}

/// A canonical chain with branches. Cheap to clone and safe to share between server tasks: clones see the same chain.
///
/// Blocks need neither start at zero nor follow each other without gaps; a folder of single real blocks is a ledger too.
#[derive(Clone, Debug)]
pub struct Ledger {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    chain_id: u64,
    finality: Finality,
    branches: RwLock<Branches>,
    head: watch::Sender<BlockHead>,
}

#[derive(Debug, Default)]
struct Branches {
    /// Ascending by number.
    canonical: Vec<Arc<Block>>,
    by_hash: FxHashMap<B256, Arc<Block>>,
    /// Canonical transactions: height of the block and index within it.
    transactions: FxHashMap<B256, (u64, usize)>,
}

impl Ledger {
    /// A ledger of `blocks`, in any order; of two blocks at one height the later in the list is canonical.
    pub fn new(chain_id: u64, mut blocks: Vec<Block>, finality: Finality) -> Self {
        blocks.sort_by_key(|block| block.number);
        let shared = Shared {
            chain_id,
            finality,
            branches: RwLock::default(),
            head: watch::Sender::default(),
        };
        let ledger = Ledger {
            shared: Arc::new(shared),
        };
        ledger.extend(blocks);
        ledger
    }

    /// EIP-155 number of the chain.
    pub fn chain_id(&self) -> u64 {
        self.shared.chain_id
    }

    /// The highest canonical block.
    pub fn head(&self) -> Option<Arc<Block>> {
        self.branches().canonical.last().cloned()
    }

    /// The highest canonical block at or below the safe depth.
    pub fn safe(&self) -> Option<Arc<Block>> {
        self.branches().below_head(self.shared.finality.safe_depth)
    }

    /// The highest canonical block at or below the finalized depth.
    pub fn finalized(&self) -> Option<Arc<Block>> {
        self.branches().below_head(self.shared.finality.finalized_depth)
    }

    /// The lowest canonical block.
    pub fn first(&self) -> Option<Arc<Block>> {
        self.branches().canonical.first().cloned()
    }

    /// The canonical block at height `number`.
    pub fn by_number(&self, number: u64) -> Option<Arc<Block>> {
        self.branches().at(number).cloned()
    }

    /// The block with this hash, on any branch ever seen.
    pub fn by_hash(&self, hash: &B256) -> Option<Arc<Block>> {
        self.branches().by_hash.get(hash).cloned()
    }

    /// Whether the block with this hash is canonical now.
    pub fn is_canonical(&self, hash: &B256) -> bool {
        let branches = self.branches();
        let block = branches.by_hash.get(hash);
        block
            .and_then(|block| branches.at(block.number))
            .is_some_and(|canonical| canonical.hash == *hash)
    }

    /// The canonical blocks at heights `from` to `to`, both included, ascending.
    pub fn range(&self, from: u64, to: u64) -> Vec<Arc<Block>> {
        let branches = self.branches();
        let canonical = &branches.canonical;
        let start = canonical.partition_point(|block| block.number < from);
        canonical[start..]
            .iter()
            .take_while(|block| block.number <= to)
            .cloned()
            .collect()
    }

    /// The canonical block that holds this transaction, and the transaction's index in it.
    pub fn transaction(&self, hash: &B256) -> Option<(Arc<Block>, usize)> {
        let branches = self.branches();
        let &(number, index) = branches.transactions.get(hash)?;
        branches.at(number).map(|block| (block.clone(), index))
    }

    /// Appends to the canonical head. A block at or below the head replaces what stands from its height upwards.
    pub fn extend(&self, blocks: Vec<Block>) {
        self.change(|branches| branches.append(blocks));
    }

    /// Drops the canonical blocks above `ancestor`, which stay known by hash, and appends `blocks` in one step.
    pub fn reorg(&self, ancestor: u64, blocks: Vec<Block>) {
        self.change(|branches| {
            branches.truncate(ancestor);
            branches.append(blocks);
        });
    }

    /// Follows the head. A receiver sees the newest head only, not every one on the way.
    pub fn watch_head(&self) -> watch::Receiver<BlockHead> {
        self.shared.head.subscribe()
    }

    fn branches(&self) -> RwLockReadGuard<'_, Branches> {
        self.shared
            .branches
            .read()
            .expect("no writer panics while it holds the lock")
    }

    /// Announces the new head while the lock is held, so that heads are announced in the order they were made.
    fn change(&self, edit: impl FnOnce(&mut Branches)) {
        let mut branches = self
            .shared
            .branches
            .write()
            .expect("no writer panics while it holds the lock");
        edit(&mut branches);
        let head = branches.canonical.last();
        let head = head
            .map(|block| BlockHead {
                number: block.number,
                hash: block.hash,
            })
            .unwrap_or_default();
        self.shared
            .head
            .send_if_modified(|known| std::mem::replace(known, head) != head);
    }
}

impl Branches {
    fn at(&self, number: u64) -> Option<&Arc<Block>> {
        let offset = usize::try_from(number.checked_sub(self.canonical.first()?.number)?).ok()?;
        match self.canonical.get(offset) {
            Some(block) if block.number == number => Some(block),
            _ => self
                .canonical
                .binary_search_by_key(&number, |block| block.number)
                .ok()
                .map(|i| &self.canonical[i]),
        }
    }

    fn below_head(&self, depth: u64) -> Option<Arc<Block>> {
        let highest = self.canonical.last()?.number.checked_sub(depth)?;
        let above = self.canonical.partition_point(|block| block.number <= highest);
        self.canonical[..above].last().cloned()
    }

    fn truncate(&mut self, ancestor: u64) {
        let kept = self.canonical.partition_point(|block| block.number <= ancestor);
        for dropped in self.canonical.drain(kept..) {
            for transaction in &dropped.transactions {
                self.transactions.remove(&transaction.hash);
            }
        }
    }

    fn append(&mut self, blocks: Vec<Block>) {
        for block in blocks {
            if self.canonical.last().is_some_and(|head| head.number >= block.number) {
                match block.number.checked_sub(1) {
                    Some(below) => self.truncate(below),
                    None => self.clear(),
                }
            }
            self.push(block);
        }
    }

    fn clear(&mut self) {
        self.canonical.clear();
        self.transactions.clear();
    }

    fn push(&mut self, block: Block) {
        let block = Arc::new(block);
        let placed = block
            .transactions
            .iter()
            .enumerate()
            .map(|(index, transaction)| (transaction.hash, (block.number, index)));
        self.transactions.extend(placed);
        self.by_hash.insert(block.hash, block.clone());
        self.canonical.push(block);
    }
}
