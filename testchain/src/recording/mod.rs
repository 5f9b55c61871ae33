//! Slices of real chains in compact files, and folders of single real blocks.
//!
//! A recording is zstd over JSON lines, so `zstdcat FILE | head -1 | jq` reads it without this program. The first line is
//! the `Cover`; each further line is one block, `{"block": …, "receipts": […]}`, exactly as `eth_getBlockByNumber`
//! (full transactions) and `eth_getBlockReceipts` answered it, unknown fields included.

mod client;
mod folder;
mod json;
mod recorder;

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

pub use folder::open_folder;
pub(crate) use json::relabel;
pub use recorder::{Progress, Recorder, Summary, record};

use crate::block::Block;
use crate::ledger::{Finality, Ledger};
use crate::server::encode;

/// Name of the format in a recording's first line.
const FORMAT: &str = "testchain-recording";
/// Version of the format written here; no other is read.
const VERSION: u32 = 1;
/// Repeats in blocks lie far apart (blooms, calldata); a window of 32 MiB sees most of them, and a reader needs as much memory.
const WINDOW_LOG: u32 = 25;
const LEVEL: i32 = 19;

/// The first line of a recording.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Cover<'a> {
    format: &'a str,
    version: u32,
    chain_id: u64,
}

/// A recording read back.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// EIP-155 number of the chain.
    pub chain_id: u64,
    /// Blocks as recorded, ascending.
    pub blocks: Vec<Block>,
}

impl Recorded {
    /// The recording as a chain that stands still, all of it final.
    pub fn into_ledger(self) -> Ledger {
        self.into_ledger_with(Finality {
            safe_depth: 0,
            finalized_depth: 0,
        })
    }

    /// The recording as a chain that stands still, with the given distances to its safe and finalized blocks.
    pub fn into_ledger_with(self, finality: Finality) -> Ledger {
        Ledger::new(self.chain_id, self.blocks, finality)
    }
}

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

/// Writes a recording, block by block.
pub struct Writer<W: Write> {
    chain_id: u64,
    stream: zstd::Encoder<'static, W>,
    line: Vec<u8>,
}

impl<W: Write> std::fmt::Debug for Writer<W> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Writer")
            .field("chain_id", &self.chain_id)
            .finish_non_exhaustive()
    }
}

impl<W: Write> Writer<W> {
    /// Begins a recording of a chain.
    ///
    /// # Errors
    /// When the sink fails.
    pub fn new(sink: W, chain_id: u64) -> Result<Self, RecordingError> {
        let mut stream = zstd::Encoder::new(sink, LEVEL)?;
        stream.window_log(WINDOW_LOG)?;
        stream.long_distance_matching(true)?;
        let cover = Cover {
            format: FORMAT,
            version: VERSION,
            chain_id,
        };
        let mut line = serde_json::to_vec(&cover)?;
        line.push(b'\n');
        stream.write_all(&line)?;
        Ok(Self { chain_id, stream, line })
    }

    /// Adds a block, simulated or real; blocks come in ascending order.
    ///
    /// # Errors
    /// When the sink fails.
    pub fn write(&mut self, block: &Block) -> Result<(), RecordingError> {
        self.line.clear();
        self.line.extend_from_slice(b"{\"block\":");
        encode::block(&mut self.line, self.chain_id, block, true);
        self.line.extend_from_slice(b",\"receipts\":");
        encode::receipts(&mut self.line, block, false);
        self.line.extend_from_slice(b"}\n");
        Ok(self.stream.write_all(&self.line)?)
    }

    /// Ends the recording; without this it cannot be read.
    ///
    /// # Errors
    /// When the sink fails.
    pub fn finish(self) -> Result<W, RecordingError> {
        let mut sink = self.stream.finish()?;
        sink.flush()?;
        Ok(sink)
    }
}

/// Reads a recording.
///
/// # Errors
/// When the file is not there, is no recording of this version, or is damaged.
pub fn read(path: &Path) -> Result<Recorded, RecordingError> {
    let file = File::open(path).map_err(|source| RecordingError::File {
        path: path.to_owned(),
        source,
    })?;
    read_from(file)
}

/// Reads a recording from anywhere, for example from bytes compiled into a program.
///
/// # Errors
/// When the bytes are no recording of this version or are damaged.
pub fn read_from(source: impl io::Read) -> Result<Recorded, RecordingError> {
    let mut stream = zstd::Decoder::new(source)?;
    stream.window_log_max(WINDOW_LOG)?;
    let mut lines = BufReader::with_capacity(1 << 20, stream);
    let mut line = String::new();
    lines.read_line(&mut line).map_err(|_| RecordingError::Format)?;
    let cover: Cover<'_> = serde_json::from_str(&line).map_err(|_| RecordingError::Format)?;
    if cover.format != FORMAT || cover.version != VERSION {
        return Err(RecordingError::Format);
    }
    let mut recorded = Recorded {
        chain_id: cover.chain_id,
        blocks: Vec::new(),
    };
    loop {
        line.clear();
        if lines.read_line(&mut line)? == 0 {
            return Ok(recorded);
        }
        recorded.blocks.push(parse_block(&line)?);
    }
}

/// A block and its receipts as recordings and fixtures hold them.
#[derive(Deserialize)]
struct Entry<'a> {
    #[serde(borrow)]
    block: &'a RawValue,
    #[serde(borrow)]
    receipts: Vec<&'a RawValue>,
}

fn parse_block(entry: &str) -> Result<Block, RecordingError> {
    let entry: Entry<'_> = serde_json::from_str(entry)?;
    json::block(entry.block, &entry.receipts)
}
