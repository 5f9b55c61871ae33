//! The file of a recording: written and read block by block.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::error::{RecordingError, VERSION};
use super::json;
use crate::block::Block;
use crate::encode;
use crate::ledger::{Finality, Ledger};

/// Name of the format in a recording's first line.
const FORMAT: &str = "testchain-recording";
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
        recorded.blocks.push(json::entry(&line)?);
    }
}
