//! Slices of real chains in compact files, and folders of single real blocks.
//!
//! A recording is zstd over JSON lines, so `zstdcat FILE | head -1 | jq` reads it without this program. The first line is
//! the `Cover`; each further line is one block, `{"block": …, "receipts": […]}`, exactly as `eth_getBlockByNumber`
//! (full transactions) and `eth_getBlockReceipts` answered it, unknown fields included.

mod client;
mod error;
mod file;
mod folder;
mod json;
mod recorder;

pub use error::RecordingError;
pub use file::{Recorded, Writer, read, read_from};
pub use folder::open_folder;
pub(crate) use json::relabel;
pub use recorder::{Progress, Recorder, Summary, record};
