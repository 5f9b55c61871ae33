//! What a block holds lately, so that the next spans hold no more than they should.

use std::sync::{Mutex, MutexGuard, PoisonError};

use decoders::block::{Context, Span};

/// Calldata that weighs as much as a log.
const LOG_BYTES: usize = 500;

/// What a block holds, smoothed over the last spans.
#[derive(Default)]
pub(super) struct Density(Mutex<PerBlock>);

#[derive(Default)]
struct PerBlock {
    logs: Option<f64>,
    /// What was read beside the logs, as so many logs of usual length.
    context: f64,
}

impl Density {
    /// Logs per block, with what is read beside them.
    pub(super) fn held(&self) -> Option<f64> {
        let known = self.lock();
        known.logs.map(|logs| logs + known.context)
    }

    /// Remembers how many logs the blocks of a span had.
    pub(super) fn learn_logs(&self, blocks: usize, logs: usize) {
        if blocks == 0 {
            return;
        }
        let seen = per_block(blocks, logs);
        let mut known = self.lock();
        known.logs = Some(known.logs.map_or(seen, |before| smoothed(before, seen)));
    }

    /// Remembers what a span holds beside its logs.
    pub(super) fn learn_context(&self, span: &Span) {
        let Context { envelopes, answers, .. } = &span.context;
        let calldata: usize = envelopes.values().map(|envelope| envelope.input.len()).sum();
        let logs = envelopes.len() + answers.len() + calldata / LOG_BYTES;
        let mut known = self.lock();
        known.context = smoothed(known.context, per_block(span.blocks.len(), logs));
    }

    fn lock(&self) -> MutexGuard<'_, PerBlock> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^53")]
fn per_block(blocks: usize, logs: usize) -> f64 {
    logs as f64 / blocks.max(1) as f64
}

fn smoothed(known: f64, seen: f64) -> f64 {
    known * 0.7 + seen * 0.3
}
