//! One stored raw event: its id, what may hold it, and how records become a span again.

use std::ops::RangeInclusive;

use decoders::block::{Block, ChainId, Context, Log, Proof, Span};
use decoders::id::{MAX_BLOCK, Position, RecordKind};
use sinks::progress::intents::Fence;
use uuid::Uuid;

use super::error::ArchiveError;

/// Whether `fences` let a record of `block` through that was written under the intent `number`.
pub(super) fn passes(fences: &[Fence], block: u64, number: i64) -> bool {
    fences
        .iter()
        .all(|fence| number >= fence.number || !fence.range.contains(&block))
}

/// One stored raw event with the block it stands in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) block: Block,
    pub(super) log: Log,
}

/// Ids of every log in `range`, as the half-open interval of position ids that holds them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) low: Uuid,
    pub(super) high: Uuid,
}

impl Bounds {
    pub(super) fn of(range: &RangeInclusive<u64>) -> Self {
        let low = Position::floor(*range.start());
        let high = if *range.end() >= MAX_BLOCK {
            Uuid::max()
        } else {
            Position::floor(range.end() + 1)
        };
        Bounds { low, high }
    }
}

/// The id of each log of `span`, ascending; fails when the logs are out of order, repeated, or in no block of the span.
pub(super) fn ids(span: &Span) -> Result<Vec<Uuid>, ArchiveError> {
    let mut ids: Vec<Uuid> = Vec::with_capacity(span.logs.len());
    for log in &span.logs {
        let block = block_of(span, log)?;
        if log.block_number > MAX_BLOCK {
            return Err(ArchiveError::Span(format!(
                "has a log beyond what ids can hold in block {}",
                log.block_number
            )));
        }
        let id = log_id(span.chain, block, log);
        if ids.last().is_some_and(|last| *last >= id) {
            return Err(ArchiveError::Span(format!(
                "has logs out of order in block {}",
                log.block_number
            )));
        }
        ids.push(id);
    }
    Ok(ids)
}

/// The id of a log: its position.
pub fn log_id(chain: ChainId, block: &Block, log: &Log) -> Uuid {
    let position = Position {
        chain,
        block_number: log.block_number,
        block_hash: block.hash,
        log_index: log.log_index,
        item: 0,
        kind: RecordKind::LOG,
    };
    position.id()
}

/// The block that holds `log`.
pub(super) fn block_of<'a>(span: &'a Span, log: &Log) -> Result<&'a Block, ArchiveError> {
    let number = log.block_number;
    span.block(number)
        .filter(|_| span.range.contains(&number))
        .ok_or_else(|| ArchiveError::Span(format!("has a log of block {number}, which it does not hold")))
}

/// Gathers stored records, in id order, into a span.
pub(super) struct Gatherer {
    pub(super) span: Span,
}

impl Gatherer {
    pub(super) fn new(chain: ChainId, range: RangeInclusive<u64>) -> Self {
        let (blocks, logs) = (Vec::new(), Vec::new());
        Gatherer {
            span: Span {
                chain,
                range,
                parent_hash: None,
                blocks,
                logs,
                proof: Proof::Chained,
                context: Context::default(),
            },
        }
    }

    pub(super) fn push(&mut self, record: Record) -> Result<(), ArchiveError> {
        match self.span.blocks.last() {
            Some(last) if *last == record.block => {}
            Some(last) if last.number >= record.block.number => {
                let reason = format!("blocks {} and {} are both held", last.hash, record.block.hash);
                return Err(ArchiveError::Corrupt {
                    chain: self.span.chain,
                    block: record.block.number,
                    reason,
                });
            }
            _ => self.span.blocks.push(record.block),
        }
        self.span.logs.push(record.log);
        Ok(())
    }
}
