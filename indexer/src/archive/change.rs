//! What `put` must write and delete, found by walking stored records and a span side by side.

use std::ops::Range;

use decoders::block::{Log, Span};
use uuid::Uuid;

use super::record::Record;

/// The difference between what is stored of a range and what its span holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Change {
    /// Stored records to delete: of abandoned branches, or with other content than the span's.
    pub(super) stale: Vec<Uuid>,
    /// Indexes into the span's logs to write.
    pub(super) missing: Vec<usize>,
    /// Stored records that are the span's.
    pub(super) held: Vec<Uuid>,
}

/// Which logs a span was asked for: of those it holds every one of its range.
pub type Asked<'a> = &'a (dyn Fn(&Log) -> bool + Sync);

/// A merge of stored records, fed in id order, with the logs of a span, whose ids ascend.
pub(super) struct Merge<'a> {
    span: &'a Span,
    ids: &'a [Uuid],
    asked: Asked<'a>,
    next: usize,
    change: Change,
}

impl<'a> Merge<'a> {
    pub(super) fn new(span: &'a Span, ids: &'a [Uuid], asked: Asked<'a>) -> Self {
        Merge {
            span,
            ids,
            asked,
            next: 0,
            change: Change::default(),
        }
    }

    /// Takes the next stored record; `None` when it cannot be read, which makes it stale.
    pub(super) fn stored(&mut self, id: Uuid, record: Option<&Record>) {
        let before = self.ids[self.next..].partition_point(|wanted| *wanted < id);
        self.missing(self.next..self.next + before);
        if self.ids.get(self.next) != Some(&id) {
            if record.is_some_and(|record| self.beside(record)) {
                self.change.held.push(id);
            } else {
                self.change.stale.push(id);
            }
            return;
        }
        if record.is_some_and(|record| self.same(record)) {
            self.change.held.push(id);
        } else {
            self.change.stale.push(id);
            self.change.missing.push(self.next);
        }
        self.next += 1;
    }

    /// The change, once every stored record was taken.
    pub(super) fn finish(mut self) -> Change {
        self.missing(self.next..self.ids.len());
        self.change
    }

    fn missing(&mut self, indexes: Range<usize>) {
        self.next = indexes.end;
        self.change.missing.extend(indexes);
    }

    /// Whether the record is of the span's branch and the span holds nothing of it, because its log was not asked for.
    fn beside(&self, record: &Record) -> bool {
        !(self.asked)(&record.log) && self.span.block(record.block.number) == Some(&record.block)
    }

    fn same(&self, record: &Record) -> bool {
        let log = &self.span.logs[self.next];
        record.log == *log && self.span.block(log.block_number) == Some(&record.block)
    }
}

/// Cuts `missing` into runs of at most `most` logs and about `bytes` bytes, so that no batch outgrows a server's limits.
pub(super) fn batches<'a>(span: &Span, missing: &'a [usize], most: usize, bytes: usize) -> Vec<&'a [usize]> {
    /// What a log weighs beside its data: hashes, address, topics, names.
    const OVERHEAD: usize = 700;
    let mut runs = Vec::new();
    let (mut start, mut weight) = (0, 0);
    for (at, index) in missing.iter().enumerate() {
        let log_weight = OVERHEAD + 2 * span.logs[*index].data.len();
        if at > start && (at - start == most || weight + log_weight > bytes) {
            runs.push(&missing[start..at]);
            (start, weight) = (at, 0);
        }
        weight += log_weight;
    }
    if start < missing.len() {
        runs.push(&missing[start..]);
    }
    runs
}
