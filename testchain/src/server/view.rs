//! The ledger as one endpoint sees it: behind, on a branch of its own, or lying.

use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, PoisonError};

use alloy_primitives::{B256, Bytes, keccak256};
use rustc_hash::FxHashMap;

use super::request::BlockId;
use crate::block::{Block, Header, Log};
use crate::faults::{Faults, LogFaults, Matter, Settings};
use crate::ledger::{BlockHead, Ledger};
use crate::recording::relabel;

/// One endpoint's picture of the chain.
#[derive(Debug)]
pub(crate) struct View {
    ledger: Ledger,
    faults: Arc<Faults>,
    branch: Mutex<Branch>,
}

/// The blocks of the endpoint's own branch, made when first asked for.
#[derive(Debug, Default)]
struct Branch {
    from: u64,
    by_original: FxHashMap<B256, Arc<Block>>,
    originals: FxHashMap<B256, B256>,
}

impl View {
    pub(crate) fn new(ledger: Ledger, faults: Arc<Faults>) -> Self {
        Self {
            ledger,
            faults,
            branch: Mutex::default(),
        }
    }

    pub(crate) fn chain_id(&self) -> u64 {
        self.ledger.chain_id()
    }

    pub(crate) fn watch_head(&self) -> tokio::sync::watch::Receiver<BlockHead> {
        self.ledger.watch_head()
    }

    /// The newest block this endpoint knows.
    pub(crate) fn head(&self, settings: &Settings) -> Option<Arc<Block>> {
        let head = self.ledger.head()?;
        if settings.stale_by == 0 {
            return Some(self.on_branch(head, settings));
        }
        self.at_or_below(head.number.checked_sub(settings.stale_by)?)
            .map(|block| self.on_branch(block, settings))
    }

    fn at_or_below(&self, number: u64) -> Option<Arc<Block>> {
        self.ledger
            .by_number(number)
            .or_else(|| self.ledger.range(0, number).pop())
    }

    /// The block behind a tag.
    pub(crate) fn tagged(&self, tag: BlockId, settings: &Settings) -> Option<Arc<Block>> {
        let head = self.head(settings)?;
        let block = match tag {
            BlockId::Safe => self.ledger.safe()?,
            BlockId::Finalized => self.ledger.finalized()?,
            BlockId::Earliest => self.ledger.first()?,
            _ => return Some(head),
        };
        Some(if block.number > head.number {
            head
        } else {
            self.on_branch(block, settings)
        })
    }

    /// The block as it is answered to who asks for blocks: with lies about its header.
    pub(crate) fn find(&self, id: BlockId, settings: &Settings, lies: bool) -> Option<Arc<Block>> {
        let block = match id {
            BlockId::Number(number) => self.by_number(number, settings)?,
            BlockId::Hash(hash) => self.by_hash(&hash, settings)?,
            tag => self.tagged(tag, settings)?,
        };
        if lies {
            self.with_header_faults(block, settings)
        } else {
            Some(block)
        }
    }

    fn by_number(&self, number: u64, settings: &Settings) -> Option<Arc<Block>> {
        let known = self.head(settings)?.number >= number;
        let block = known.then(|| self.ledger.by_number(number)).flatten()?;
        Some(self.on_branch(block, settings))
    }

    /// The block with this hash, unless it is too new or on a branch this endpoint does not follow.
    pub(crate) fn by_hash(&self, hash: &B256, settings: &Settings) -> Option<Arc<Block>> {
        let original = match settings.branch_from {
            Some(_) => self.branch(settings).originals.get(hash).copied().unwrap_or(*hash),
            None => *hash,
        };
        let block = self.on_branch(self.ledger.by_hash(&original)?, settings);
        let known = self.head(settings)?.number >= block.number;
        (known && block.hash == *hash).then_some(block)
    }

    /// The canonical blocks in `range`, ascending.
    pub(crate) fn range(&self, range: RangeInclusive<u64>, settings: &Settings) -> Vec<Arc<Block>> {
        let Some(head) = self.head(settings) else {
            return Vec::new();
        };
        let mut blocks = self.ledger.range(*range.start(), head.number.min(*range.end()));
        if settings.branch_from.is_some() {
            for block in &mut blocks {
                *block = self.on_branch(block.clone(), settings);
            }
        }
        blocks
    }

    /// The block and index of a transaction.
    pub(crate) fn transaction(&self, hash: &B256, settings: &Settings, lies: bool) -> Option<(Arc<Block>, usize)> {
        let (block, index) = self.ledger.transaction(hash)?;
        let block = self.find(BlockId::Number(block.number), settings, lies)?;
        (index < block.transactions.len()).then_some((block, index))
    }

    pub(crate) fn happens_empty(&self, settings: &Settings) -> bool {
        self.faults.happens_now(settings.empty_logs_rate, Matter::EmptyLogs)
    }

    fn with_header_faults(&self, block: Arc<Block>, settings: &Settings) -> Option<Arc<Block>> {
        let hit = |rate, matter| self.faults.happens_at(rate, matter, [block.number, 0]);
        if hit(settings.null_block_rate, Matter::NullBlock) {
            return None;
        }
        let wrong = |hash: B256| keccak256([hash.as_slice(), b"lie"].concat());
        let hash = hit(settings.wrong_hash_rate, Matter::WrongHash).then(|| wrong(block.hash));
        let parent = hit(settings.wrong_parent_rate, Matter::WrongParent).then(|| wrong(block.parent_hash));
        if hash.is_none() && parent.is_none() {
            return Some(block);
        }
        let (hash, parent) = (hash.unwrap_or(block.hash), parent.unwrap_or(block.parent_hash));
        Some(Arc::new(relabel(&block, hash, parent)))
    }

    /// The block as `eth_getLogs` returns it.
    pub(crate) fn with_log_faults(&self, block: Arc<Block>, settings: &Settings, lies: bool) -> Arc<Block> {
        if lies {
            self.with_logs_altered(block, settings.logs)
        } else {
            block
        }
    }

    /// The block as receipts show it.
    pub(crate) fn with_receipt_faults(&self, block: Arc<Block>, settings: &Settings, lies: bool) -> Arc<Block> {
        if lies {
            self.with_logs_altered(block, settings.receipts)
        } else {
            block
        }
    }

    fn with_logs_altered(&self, block: Arc<Block>, faults: LogFaults) -> Arc<Block> {
        if faults.is_none() {
            return block;
        }
        let hit = |rate, matter, log: &Log| {
            let place = [block.number, u64::from(log.log_index)];
            self.faults.happens_at(rate, matter, place)
        };
        let mut altered = Block::clone(&block);
        for receipt in &mut altered.receipts {
            receipt
                .logs
                .retain(|log| !hit(faults.missing_rate, Matter::MissingLog, log));
            for log in &mut receipt.logs {
                if hit(faults.wrong_rate, Matter::WrongLog, log) {
                    spoil(log);
                }
            }
        }
        Arc::new(altered)
    }

    fn branch(&self, settings: &Settings) -> std::sync::MutexGuard<'_, Branch> {
        let from = settings.branch_from.unwrap_or(u64::MAX);
        let mut branch = self.branch.lock().unwrap_or_else(PoisonError::into_inner);
        if branch.from != from {
            *branch = Branch {
                from,
                ..Branch::default()
            };
        }
        branch
    }

    /// The block in place of `block` on the endpoint's own branch.
    fn on_branch(&self, block: Arc<Block>, settings: &Settings) -> Arc<Block> {
        let Some(from) = settings.branch_from.filter(|from| block.number >= *from) else {
            return block;
        };
        let mut branch = self.branch(settings);
        // From the block down to the lowest one not yet remade, then up again: each needs its parent's new hash.
        let mut missing = vec![block.clone()];
        while let Some(parent) = missing
            .last()
            .and_then(|lowest| self.ledger.by_hash(&lowest.parent_hash))
        {
            if parent.number < from || branch.by_original.contains_key(&parent.hash) {
                break;
            }
            missing.push(parent);
        }
        while let Some(original) = missing.pop() {
            if branch.by_original.contains_key(&original.hash) {
                continue;
            }
            let parent = branch
                .by_original
                .get(&original.parent_hash)
                .map_or(original.parent_hash, |parent| parent.hash);
            let remade = Arc::new(remake(&original, parent));
            branch.originals.insert(remade.hash, original.hash);
            branch.by_original.insert(original.hash, remade);
        }
        branch.by_original.get(&block.hash).cloned().unwrap_or(block)
    }
}

/// The same block on another parent. A typed header stays valid: its hash is that of its content.
fn remake(original: &Block, parent: B256) -> Block {
    let Header::Typed(header) = &original.header else {
        let hash = keccak256([original.hash.as_slice(), parent.as_slice(), b"branch"].concat());
        return relabel(original, hash, parent);
    };
    let mut header = header.clone();
    header.parent_hash = parent;
    header.extra_data = Bytes::from_static(b"another branch");
    Block {
        hash: header.hash_slow(),
        parent_hash: parent,
        header: Header::Typed(header),
        ..original.clone()
    }
}

fn spoil(log: &mut Log) {
    if let Some(last) = log.data.len().checked_sub(1) {
        let mut data = log.data.to_vec();
        data[last] ^= 1;
        log.data = data.into();
    } else if let Some(topic) = log.topics.last_mut() {
        topic[31] ^= 1;
    }
}
