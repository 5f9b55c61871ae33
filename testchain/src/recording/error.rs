//! Why a recording cannot be made or read.

use std::io;
use std::path::PathBuf;

/// Version of the format written here; no other is read.
pub(super) const VERSION: u32 = 1;

/// Why a recording cannot be made or read.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    /// The file cannot be read or written.
    #[error("failed to use {path}")]
    File {
        /// File or folder.
        path: PathBuf,
        /// What the system reports.
        source: io::Error,
    },
    /// The stream ends early or is no zstd.
    #[error("failed to read or write the compressed stream")]
    Stream(#[from] io::Error),
    /// The file is not a recording of this version.
    #[error("not a testchain recording of version {VERSION}")]
    Format,
    /// Something is not the JSON it should be.
    #[error("invalid JSON")]
    Json(#[from] serde_json::Error),
    /// A field has another shape than Ethereum's JSON-RPC gives it.
    #[error("field {field} is malformed")]
    Field {
        /// Name of the field.
        field: &'static str,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// A field that every node gives is not there.
    #[error("field {field} is missing")]
    Missing {
        /// Name of the field.
        field: &'static str,
    },
    /// A log's place is beyond anything a block can hold.
    #[error("log index {log_index} is out of range")]
    LogIndex {
        /// The index as given.
        log_index: u64,
    },
    /// A receipt belongs to none of the block's transactions, or comes out of order.
    #[error("block {number} has a receipt that belongs to none of its transactions")]
    StrayReceipt {
        /// Height of the block.
        number: u64,
    },
    /// A block cannot be read.
    #[error("block {number}")]
    Block {
        /// Height of the block.
        number: u64,
        /// What is wrong with it.
        source: Box<RecordingError>,
    },
    /// The endpoint does not have the block.
    #[error("the endpoint does not have block {number}")]
    NoBlock {
        /// Height of the block.
        number: u64,
    },
    /// The chain was reorganised while it was recorded.
    #[error(
        "block {number} does not follow the block recorded before it; the chain was reorganised, record final blocks"
    )]
    Reorganised {
        /// Height of the block.
        number: u64,
    },
    /// The receipts' logs are neither what the header's bloom shows nor what `eth_getLogs` returns.
    #[error("the receipts of block {number} do not have the logs its header and eth_getLogs speak of")]
    Logs {
        /// Height of the block.
        number: u64,
    },
    /// The endpoint cannot be reached or refuses, after retries.
    #[error("endpoint failed: {0}")]
    Endpoint(String),
    /// The blocks asked for make no range.
    #[error("block range {from} to {to} is empty")]
    Range {
        /// First height.
        from: u64,
        /// Last height.
        to: u64,
    },
}
