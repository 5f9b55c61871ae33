//! A served block: compact where the simulator made it, verbatim where it was recorded from a node.

use alloy_primitives::{Address, B256, Bloom, Bytes, U256};
use serde_json::value::RawValue;

/// One block with everything an endpoint can be asked about it.
#[derive(Clone, Debug)]
pub struct Block {
    /// Height.
    pub number: u64,
    /// Header hash.
    pub hash: B256,
    /// Hash of the block below.
    pub parent_hash: B256,
    /// Header timestamp, seconds since the Unix epoch.
    pub timestamp: u64,
    /// Bloom of every log of the block.
    pub logs_bloom: Bloom,
    /// The header.
    pub header: Header,
    /// Transactions in block order.
    pub transactions: Vec<Transaction>,
    /// Receipts in block order, one per transaction.
    pub receipts: Vec<Receipt>,
}

/// A header, typed when simulated and verbatim when recorded (odd chains have fields of their own).
#[derive(Clone, Debug)]
pub enum Header {
    /// Typed; its RLP hash is the block hash.
    Typed(Box<alloy_consensus::Header>),
    /// The JSON-RPC block object without `transactions`.
    Verbatim(Box<RawValue>),
}

impl Header {
    /// Whether the header was made here, so that its hash and bloom are known to follow from its content.
    pub fn is_typed(&self) -> bool {
        matches!(self, Self::Typed(_))
    }
}

/// A transaction.
#[derive(Clone, Debug)]
pub struct Transaction {
    /// Transaction hash.
    pub hash: B256,
    /// Sender.
    pub from: Address,
    /// Callee; `None` creates a contract.
    pub to: Option<Address>,
    /// Wei sent along.
    pub value: U256,
    /// Calldata.
    pub input: Bytes,
    /// What the sender counts it by, or whatever keeps its hash apart from others.
    pub nonce: u64,
    /// The JSON-RPC transaction object as recorded; composed from the fields above when absent.
    pub verbatim: Option<Box<RawValue>>,
}

/// A transaction's outcome.
#[derive(Clone, Debug)]
pub struct Receipt {
    /// EIP-2718 type of the transaction.
    pub tx_type: u8,
    /// Whether the transaction succeeded.
    pub success: bool,
    /// Gas used in the block up to and including this transaction.
    pub cumulative_gas_used: u64,
    /// Logs in order.
    pub logs: Vec<Log>,
    /// The JSON-RPC receipt object as recorded, without its logs; composed from the fields above when absent.
    pub verbatim: Option<Box<RawValue>>,
}

impl Receipt {
    /// A transaction whose receipt the recorded node did not have (seen on Cronos); keeps receipts beside their transactions.
    pub fn absent(cumulative_gas_used: u64) -> Self {
        Self {
            tx_type: 0,
            success: false,
            cumulative_gas_used,
            logs: Vec::new(),
            verbatim: Some(RawValue::NULL.to_owned()),
        }
    }

    /// Whether the recorded node had no receipt for this transaction.
    pub fn is_absent(&self) -> bool {
        self.verbatim
            .as_ref()
            .is_some_and(|raw| raw.get() == RawValue::NULL.get())
    }
}

/// A log; its place in the block follows from where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// Emitting contract.
    pub address: Address,
    /// Zero to four topics.
    pub topics: Vec<B256>,
    /// Unindexed arguments, ABI-encoded.
    pub data: Bytes,
    /// Index within the block. Simulated blocks number from zero without gaps; recorded ones keep what the node reported.
    pub log_index: u32,
}
