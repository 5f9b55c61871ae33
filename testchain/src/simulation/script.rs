//! What one block emits and what the books are to hold of it, before either is made.

use alloy_primitives::{Address, Bytes, Log, U256, keccak256};

use super::roster::{ContractIndex, Owner, Serial};
use super::trades::Trades;
use super::transfers::{Layout, Malformed};

/// What one block emits.
#[derive(Debug, Default)]
pub(super) struct Script {
    pub(super) transactions: Vec<Draft>,
    pub(super) entries: Vec<Entry>,
    pub(super) malformed: Vec<Malformed>,
    pub(super) trades: Trades,
    /// What was written to the storage of bids on punks, in order.
    pub(super) bids: Vec<BidWritten>,
}

/// A transaction before it is hashed.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) from: Address,
    pub(super) to: Address,
    pub(super) value: U256,
    /// EIP-2718 type, 0 or 2.
    pub(super) tx_type: u8,
    pub(super) success: bool,
    pub(super) input: Bytes,
    /// Keeps the hashes of equal transactions apart.
    pub(super) salt: u64,
    pub(super) logs: Vec<Log>,
}

/// One token, or one quantity of one, changing owners.
#[derive(Clone, Copy, Debug)]
pub(super) struct Move {
    pub(super) contract: ContractIndex,
    pub(super) serial: Serial,
    pub(super) from: Owner,
    pub(super) to: Owner,
    pub(super) quantity: u128,
}

/// The live bid on a punk changed: somebody's, or none any more.
#[derive(Clone, Copy, Debug)]
pub(super) struct BidWritten {
    pub(super) punk: U256,
    pub(super) bid: Option<(Address, U256)>,
}

/// One item before its indexes are turned into words.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) block: u64,
    pub(super) log_index: u32,
    pub(super) item: u32,
    pub(super) layout: Layout,
    pub(super) part: Move,
}

/// The transaction around a trade.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) from: Owner,
    pub(super) to: Address,
    pub(super) value: U256,
    pub(super) input: Bytes,
}

/// Calldata of a call of `signature` with plain words.
pub(super) fn calldata(signature: &str, words: &[U256]) -> Bytes {
    let mut data = keccak256(signature)[..4].to_vec();
    words
        .iter()
        .for_each(|word| data.extend_from_slice(&word.to_be_bytes::<32>()));
    data.into()
}
