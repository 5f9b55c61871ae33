//! A recorded chain made live again: its blocks appear one after another.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::ledger::{Finality, Ledger};
use crate::recording::Recorded;

/// Splits a recording: a ledger that holds the blocks up to height `start` (at least the first), and a playback that
/// reveals the others.
pub fn playback(recorded: Recorded, start: u64, finality: Finality) -> (Ledger, Playback) {
    let Recorded { chain_id, mut blocks } = recorded;
    let shown = blocks
        .partition_point(|block| block.number <= start)
        .clamp(blocks.len().min(1), blocks.len());
    let hidden = blocks.split_off(shown);
    let ledger = Ledger::new(chain_id, blocks, finality);
    let playback = Playback {
        ledger: ledger.clone(),
        hidden: hidden.into_iter(),
    };
    (ledger, playback)
}

/// The blocks of a recording still to come.
#[derive(Debug)]
pub struct Playback {
    ledger: Ledger,
    hidden: std::vec::IntoIter<crate::block::Block>,
}

impl Playback {
    /// Reveals the next block and returns its height; `None` when the recording has ended.
    pub fn step(&mut self) -> Option<u64> {
        let block = self.hidden.next()?;
        let number = block.number;
        self.ledger.extend(vec![block]);
        Some(number)
    }

    /// Blocks still to come.
    pub fn remaining(&self) -> usize {
        self.hidden.len()
    }

    /// Reveals one block every `interval` until the recording has ended or `cancel` is called.
    pub async fn run(mut self, interval: Duration, cancel: CancellationToken) {
        while self.remaining() > 0 {
            tokio::select! {
                () = cancel.cancelled() => return,
                () = tokio::time::sleep(interval) => self.step(),
            };
        }
    }
}
