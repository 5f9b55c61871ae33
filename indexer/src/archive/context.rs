//! What is kept of a span's context: its transactions where their logs stand, and contracts' answers by question.
//!
//! A transaction has the id of its first log in the span, so it sorts in chain order, goes when that log goes, and costs
//! nothing to find stale. An answer about a height is replaced with what stands at that height; one that holds at every height
//! stays.

use std::ops::RangeInclusive;

use alloy_primitives::{B256, keccak256};
use decoders::block::{Answer, Call, Envelope, Span};
use uuid::Uuid;

/// One transaction to keep.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kept<'a> {
    pub(super) id: Uuid,
    pub(super) block_number: u64,
    pub(super) tx_hash: B256,
    pub(super) envelope: &'a Envelope,
}

/// The transactions of the span's context, in chain order; `ids` are those of its logs.
pub(super) fn transactions<'a>(span: &'a Span, ids: &[Uuid]) -> Vec<Kept<'a>> {
    if span.context.envelopes.is_empty() {
        return Vec::new();
    }
    let mut kept = Vec::new();
    let mut last = None;
    for (log, id) in span.logs.iter().zip(ids) {
        let transaction = Some((log.block_number, log.tx_hash));
        if last == transaction {
            continue;
        }
        last = transaction;
        if let Some(envelope) = span.context.envelopes.get(&log.tx_hash) {
            kept.push(Kept {
                id: *id,
                block_number: log.block_number,
                tx_hash: log.tx_hash,
                envelope,
            });
        }
    }
    kept
}

/// The answers of the span's context, in the order of their keys.
pub(super) fn answers(span: &Span) -> Vec<(&Call, &Answer)> {
    let mut answers: Vec<_> = span.context.answers.iter().collect();
    answers.sort_unstable_by_key(|(call, _)| *call);
    answers
}

/// What stands for a call's contract and calldata.
pub(super) fn question(call: &Call) -> B256 {
    keccak256([call.to.as_slice(), &call.input].concat())
}

/// The heights of the span whose answers may be about an abandoned branch, given its stale logs. A question may be about the state
/// before its block; of the state below the span nothing is known to have changed, and who asked for it does not ask again.
pub(super) fn unproven_heights(span: &Span, stale: &[Uuid]) -> Option<RangeInclusive<u64>> {
    let lowest = stale.iter().map(|id| decoders::id::block_number_of(*id)).min()?;
    let from = lowest.saturating_sub(1).max(*span.range.start());
    Some(from..=*span.range.end())
}

/// Cuts transactions into runs of at most `most` and about `bytes` bytes.
pub(super) fn runs<'a, 'b>(kept: &'a [Kept<'b>], most: usize, bytes: usize) -> Vec<&'a [Kept<'b>]> {
    /// What a transaction weighs beside its calldata.
    const OVERHEAD: usize = 500;
    let mut runs = Vec::new();
    let (mut start, mut weight) = (0, 0);
    for (at, transaction) in kept.iter().enumerate() {
        let own = OVERHEAD + 2 * transaction.envelope.input.len();
        if at > start && (at - start == most || weight + own > bytes) {
            runs.push(&kept[start..at]);
            (start, weight) = (at, 0);
        }
        weight += own;
    }
    if start < kept.len() {
        runs.push(&kept[start..]);
    }
    runs
}
