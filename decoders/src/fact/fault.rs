//! Logs refused, and why.

use alloy_primitives::{Address, B256};

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
    /// One of [`reason`]: some refuse the log, others are warnings about a log that was accepted.
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
    /// Refused: a range whose last id is below its first.
    pub const RANGE_BACKWARDS: &str = "range_backwards";
    /// Refused: a range of more ids than a whole transaction may create.
    pub const RANGE_TOO_LONG: &str = "range_too_long";
    /// Refused: a range, batch or bundle beyond what all of one transaction, or all of one block, may make.
    pub const OVER_BUDGET: &str = "over_budget";
    /// Refused: a punk was transferred, and no log of the transaction names the receiver.
    pub const PUNK_BUYER_UNKNOWN: &str = "punk_buyer_unknown";
    /// Refused: what the emitting contract is would have to be asked of it, and the answer was not available. Decoding again with
    /// the answer mends it.
    pub const CONTRACT_UNKNOWN: &str = "contract_unknown";
    /// Refused: a block number or log index beyond what an id can hold.
    pub const POSITION_OUT_OF_RANGE: &str = "position_out_of_range";
    /// Refused: amounts whose sum or product no chain could hold.
    pub const AMOUNT_OVERFLOW: &str = "amount_overflow";
    /// Refused: an enumeration with a value its contract does not know.
    pub const UNKNOWN_VARIANT: &str = "unknown_variant";
    /// Refused: a followed contract emitted an event that its ABI does not have.
    pub const EVENT_UNKNOWN: &str = "event_unknown";
    /// Refused: a followed contract runs the code of another one, whose ABI is not in the registry.
    pub const ABI_UNKNOWN: &str = "abi_unknown";
    /// Refused: more data than the archive can hold in decoded form, or offsets that make more of it than it is.
    pub const TOO_LARGE: &str = "too_large";
    /// Warning: the log is decoded as far as logs allow; what its contract answers when asked was not available. Decoding again
    /// with the answer shows more.
    pub const UNANSWERED: &str = "unanswered";
    /// Warning: an address word with something in its high twelve bytes.
    pub const DIRTY_ADDRESS: &str = "dirty_address";
    /// Warning: a word with something in the bits that its type does not have.
    pub const DIRTY_VALUE: &str = "dirty_value";
    /// Warning: more data than the event needs.
    pub const TRAILING_DATA: &str = "trailing_data";

    /// Whether a log with this fault was accepted all the same.
    pub fn is_warning(reason: &str) -> bool {
        matches!(reason, UNANSWERED | DIRTY_ADDRESS | DIRTY_VALUE | TRAILING_DATA)
    }
}
