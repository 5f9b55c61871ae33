//! Contracts decoded by stored ABIs: their archived logs read by the ABI in force at each log, and the gaps of that filled.
//!
//! Reading is one operation wherever the logs come from: a new head, a gap, or the archive once more after another ABI came into
//! force. It writes beside the archived logs and never changes them. See docs/decisions/0009-stored-abis.md.

mod fill;
mod reader;
mod retry;
mod timeline;

use alloy_primitives::Address;
use sinks::progress::intents::Intent;

pub use fill::fill;
pub use reader::Interpreter;
pub use retry::{Bench, Retried, compare_queue, drain, refill_queue, retry};

/// Where the logs of a reading come from.
#[derive(Clone, Copy, Debug)]
pub enum Origin<'a> {
    /// The archive, as it is.
    Archive,
    /// They were put into the archive under this intent, which the reading takes out.
    Put(&'a Intent),
    /// They were put into the archive, and committed with what the decoders made of them.
    Committed,
}

/// A contract whose every log is archived and read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Followed {
    /// The contract.
    pub address: Address,
    /// The lowest block of interest.
    pub from: u64,
}
