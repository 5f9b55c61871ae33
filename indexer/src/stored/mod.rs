//! Contracts decoded by stored ABIs: their archived logs read by the ABI in force at each log.
//!
//! Reading is one operation wherever the logs come from: a new head, a gap, or the archive once more after another ABI came into
//! force. It writes beside the archived logs and never changes them. See docs/decisions/0009-stored-abis.md.

mod reader;
mod timeline;

pub use reader::{Interpreter, Origin};
