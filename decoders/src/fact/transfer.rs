//! Transfers, mints and burns.

use alloy_primitives::{Address, B256, U256};
use serde_json::{Value, json};

use super::kind::{Fact, FactKind, Place, hex};
use super::standard::Standard;
use crate::id::RecordKind;

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

/// One token, or one quantity of one token, transferred at one position.
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
}

impl Transfer {
    /// Mint, burn or transfer, which follows from the parties.
    pub fn kind(&self) -> TransferKind {
        match (self.from.is_zero(), self.to.is_zero()) {
            (true, _) => TransferKind::Mint,
            (false, true) => TransferKind::Burn,
            (false, false) => TransferKind::Transfer,
        }
    }
}

impl Fact for Transfer {
    fn place(&self) -> Place {
        Place {
            source: self.source,
            contracts: [self.contract; 2],
            block_number: self.block_number,
            log_index: self.log_index,
            item: self.item,
            tx_hash: self.tx_hash,
        }
    }

    fn name(&self) -> Option<&'static str> {
        Some(self.kind().as_str())
    }

    fn cells(&self) -> Vec<(&'static str, String)> {
        vec![
            ("log", self.log_index.to_string()),
            ("kind", self.kind().as_str().to_owned()),
            ("contract", hex(self.contract)),
            ("token", self.token.to_string()),
            ("quantity", self.quantity.to_string()),
            ("from", hex(self.from)),
            ("to", hex(self.to)),
        ]
    }

    fn json(&self) -> Value {
        json!({
            "log_index": self.log_index, "item": self.item, "decoder": self.source, "kind": self.kind().as_str(),
            "standard": self.standard.as_str(), "contract": self.contract, "token": self.token.to_string(),
            "quantity": self.quantity.to_string(), "from": self.from, "to": self.to,
        })
    }
}

impl FactKind for Transfer {
    const RECORD: RecordKind = RecordKind::fact(1);

    const TITLE: &'static str = "transfers";

    const NAMES: &'static [&'static str] = &["transfer", "mint", "burn"];

    fn item_mut(&mut self) -> &mut u32 {
        &mut self.item
    }

    /// A log is read whole before its transfers are appended, each with the item it has in the log's batch or range.
    fn close(facts: &mut Vec<Self>, first: usize, _: &dyn Fn(&Place) -> bool) {
        facts[first..].sort_by_key(|transfer| (transfer.log_index, transfer.item));
    }
}
