//! Event words: what a chain can say, one record per position.

use std::ops::RangeInclusive;

use alloy_primitives::{Address, B256, U256};
use uuid::Uuid;

use crate::block::{Block, ChainId, Proof, Span};
use crate::id::{Position, RecordKind};

/// Token standard as told by the event layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Standard {
    /// ERC-721 and the single-owner contracts before it that share its meaning.
    Erc721,
    /// ERC-1155.
    Erc1155,
    /// CryptoPunks.
    CryptoPunks,
}

impl Standard {
    /// The name kept in `tokens.token_standard`.
    pub fn as_str(self) -> &'static str {
        match self {
            Standard::Erc721 => "erc721",
            Standard::Erc1155 => "erc1155",
            Standard::CryptoPunks => "cryptopunks",
        }
    }

    /// Whether a token has one owner; otherwise owners hold quantities.
    pub fn single_owner(self) -> bool {
        !matches!(self, Standard::Erc1155)
    }
}

/// Whether a transfer creates, destroys or moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TransferKind {
    /// From the zero address.
    Mint,
    /// To the zero address.
    Burn,
    /// Between two addresses.
    Transfer,
}

impl TransferKind {
    /// The name used in tables, messages and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            TransferKind::Mint => "mint",
            TransferKind::Burn => "burn",
            TransferKind::Transfer => "transfer",
        }
    }
}

/// One token, or one quantity of one token, changing hands at one position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// Decoder that saw it: the coverage source, such as `erc721`.
    pub source: &'static str,
    /// Height of the block.
    pub block_number: u64,
    /// Index of the log within its block.
    pub log_index: u32,
    /// Index within the batch or range; zero otherwise.
    pub item: u32,
    /// Transaction that emitted the log.
    pub tx_hash: B256,
    /// Token contract.
    pub contract: Address,
    /// Token number within the contract.
    pub token: U256,
    /// Previous owner; zero for a mint.
    pub from: Address,
    /// New owner; zero for a burn.
    pub to: Address,
    /// Units moved: one for single-owner standards, possibly zero for ERC-1155.
    pub quantity: U256,
    /// Token standard.
    pub standard: Standard,
    /// Mint, burn or transfer.
    pub kind: TransferKind,
}

impl Transfer {
    /// The fact's id, given the block it stands in.
    pub fn id(&self, chain: ChainId, block_hash: B256) -> Uuid {
        let (block_number, log_index, item) = (self.block_number, self.log_index, self.item);
        Position {
            chain,
            block_number,
            block_hash,
            log_index,
            item,
            kind: RecordKind::Transfer,
        }
        .id()
    }
}

/// A log that claims to be something it is not: malformed, hostile or absurd. Recorded, never fatal; at most one per log
/// and source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Decoder that found it.
    pub source: &'static str,
    /// Height of the block.
    pub block_number: u64,
    /// Index of the log within its block.
    pub log_index: u32,
    /// Transaction that emitted the log.
    pub tx_hash: B256,
    /// Emitting contract.
    pub contract: Address,
    /// Event signature hash, absent for anonymous events.
    pub topic0: Option<B256>,
    /// One of [`reason`]: some refuse the log, others are doubts about a log that was believed.
    pub reason: &'static str,
}

/// The fixed set of fault reasons, as tables, metrics and docs/PROTOCOLS.md name them.
pub mod reason {
    /// Refused: the data ends before what the event must hold, or points outside itself.
    pub const DATA_TOO_SHORT: &str = "data_too_short";
    /// Refused: the data is not whole 32-byte words.
    pub const DATA_NOT_WORDS: &str = "data_not_words";
    /// Refused: the event has another number of topics than its standard gives it.
    pub const TOPIC_COUNT: &str = "topic_count";
    /// Refused: from the zero address to the zero address.
    pub const ZERO_TO_ZERO: &str = "zero_to_zero";
    /// Refused: a batch with more ids than quantities, or fewer.
    pub const BATCH_LENGTH_MISMATCH: &str = "batch_length_mismatch";
    /// Refused: more items in one batch than a position can number.
    pub const BATCH_TOO_LONG: &str = "batch_too_long";
    /// Refused: a range whose last id is below its first.
    pub const RANGE_BACKWARDS: &str = "range_backwards";
    /// Refused: a range of more ids than one log may create.
    pub const RANGE_TOO_LONG: &str = "range_too_long";
    /// Refused: a range beyond what all ranges of one block may create.
    pub const RANGES_TOO_LONG: &str = "ranges_too_long";
    /// Refused: a punk changed hands, and no log of the transaction says into whose.
    pub const PUNK_BUYER_UNKNOWN: &str = "punk_buyer_unknown";
    /// Refused: a block number or log index beyond what an id can hold.
    pub const POSITION_OUT_OF_RANGE: &str = "position_out_of_range";
    /// Doubt: an address word with something in its high twelve bytes.
    pub const DIRTY_ADDRESS: &str = "dirty_address";
    /// Doubt: more data than the event needs.
    pub const TRAILING_DATA: &str = "trailing_data";

    /// Whether a log with this fault was believed all the same.
    pub fn is_doubt(reason: &str) -> bool {
        matches!(reason, DIRTY_ADDRESS | TRAILING_DATA)
    }
}

/// Everything one span said: the only thing sinks are given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The chain.
    pub chain: ChainId,
    /// Lowest and highest height of the span.
    pub range: RangeInclusive<u64>,
    /// The span's blocks in ascending order; every block a fact names is among them.
    pub blocks: Vec<Block>,
    /// What was proven of the span.
    pub proof: Proof,
    /// Decoders whose logs were looked at, and `archive` where the raw events are kept; sorted.
    pub sources: Vec<&'static str>,
    /// Contracts the span was read for; empty when it was read for all. Coverage is then kept per contract.
    pub contracts: Vec<Address>,
    /// Transfers in chain order.
    pub transfers: Vec<Transfer>,
    /// Logs refused, in chain order.
    pub faults: Vec<Fault>,
}

impl Facts {
    /// No facts yet, over the blocks of `span`.
    pub fn of(span: &Span) -> Self {
        Facts {
            chain: span.chain,
            range: span.range.clone(),
            blocks: span.blocks.clone(),
            proof: span.proof,
            sources: Vec::new(),
            contracts: Vec::new(),
            transfers: Vec::new(),
            faults: Vec::new(),
        }
    }
}
