//! What decoders append to: the facts of one run of logs, kept in chain order.

use alloy_primitives::{Address, U256};

use crate::abi::Refusal;
use crate::block::Log;
use crate::fact::{Fault, Standard, Transfer, TransferKind, reason};

/// How many tokens ERC-2309 ranges may mint or move within one block; the ranges after that are faults.
///
/// A range costs its sender one cheap log and us one row per token, so what a block may ask for needs a bound of its own.
/// It is counted per block, not per span, so that the same block always says the same.
pub const MAX_RANGE_ITEMS_PER_BLOCK: u64 = 1_000_000;

/// Previous and new owner of what a log moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parties {
    from: Address,
    to: Address,
    kind: TransferKind,
}

impl Parties {
    /// The two ends of a movement.
    ///
    /// # Errors
    /// Refuses a movement from nobody to nobody.
    pub fn between(from: Address, to: Address) -> Result<Self, Refusal> {
        let kind = match (from.is_zero(), to.is_zero()) {
            (true, true) => return Err(Refusal(reason::ZERO_TO_ZERO)),
            (true, false) => TransferKind::Mint,
            (false, true) => TransferKind::Burn,
            (false, false) => TransferKind::Transfer,
        };
        Ok(Parties { from, to, kind })
    }

    /// Whether the movement creates.
    pub fn is_mint(&self) -> bool {
        self.kind == TransferKind::Mint
    }
}

/// One token's part in a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Item {
    /// Index within the log's batch or range; zero otherwise.
    pub index: u32,
    /// Token number within the contract.
    pub token: U256,
    /// Units moved.
    pub quantity: U256,
}

impl Item {
    /// The only token of a log, moved whole.
    pub fn sole(token: U256) -> Self {
        Item {
            index: 0,
            token,
            quantity: U256::ONE,
        }
    }
}

/// The facts decoded so far. Decoders append; [`crate::registry`] says whose turn it is and keeps the order.
#[derive(Debug, Default)]
pub struct Events {
    transfers: Vec<Transfer>,
    faults: Vec<Fault>,
    /// The decoder whose turn it is.
    source: &'static str,
    /// Where the current transaction's transfers and faults start.
    first_transfer: usize,
    first_fault: usize,
    /// Block of the current transaction and the range items it has asked for.
    block_number: u64,
    range_items: u64,
}

impl Events {
    /// Appends the movement of one token by `log`.
    pub fn transfer(&mut self, log: &Log, standard: Standard, parties: &Parties, item: Item) {
        self.transfers.push(Transfer {
            source: self.source,
            block_number: log.block_number,
            log_index: log.log_index,
            item: item.index,
            tx_hash: log.tx_hash,
            contract: log.address,
            token: item.token,
            from: parties.from,
            to: parties.to,
            quantity: item.quantity,
            standard,
            kind: parties.kind,
        });
    }

    /// Closes `log` with what its decoder found: believed, believed with a doubt, or refused.
    pub fn settle(&mut self, log: &Log, verdict: Result<Option<&'static str>, Refusal>) {
        match verdict {
            Ok(None) => {}
            Ok(Some(doubt)) => self.fault(log, doubt),
            Err(Refusal(refusal)) => self.fault(log, refusal),
        }
    }

    /// Takes `count` tokens out of what ranges may still ask for in this block.
    ///
    /// # Errors
    /// Refuses when less than that is left.
    pub fn take_range_items(&mut self, count: u32) -> Result<(), Refusal> {
        let taken = self.range_items + u64::from(count);
        if taken > MAX_RANGE_ITEMS_PER_BLOCK {
            return Err(Refusal(reason::RANGES_TOO_LONG));
        }
        self.range_items = taken;
        Ok(())
    }

    fn fault(&mut self, log: &Log, reason: &'static str) {
        self.faults.push(Fault {
            source: self.source,
            block_number: log.block_number,
            log_index: log.log_index,
            tx_hash: log.tx_hash,
            contract: log.address,
            topic0: log.topic0().copied(),
            reason,
        });
    }

    /// Starts a transaction of block `block_number`.
    pub(crate) fn open_transaction(&mut self, block_number: u64) {
        if self.block_number != block_number {
            self.block_number = block_number;
            self.range_items = 0;
        }
        self.first_transfer = self.transfers.len();
        self.first_fault = self.faults.len();
    }

    /// Gives the turn to the decoder named `source`.
    pub(crate) fn turn(&mut self, source: &'static str) {
        self.source = source;
    }

    /// Ends the transaction: decoders took turns over the same logs, so what they appended is put in chain order.
    pub(crate) fn close_transaction(&mut self) {
        self.transfers[self.first_transfer..].sort_by_key(|transfer| (transfer.log_index, transfer.item));
        self.faults[self.first_fault..].sort_by_key(|fault| (fault.log_index, fault.source));
    }

    /// The transfers and faults, in chain order.
    pub fn into_parts(self) -> (Vec<Transfer>, Vec<Fault>) {
        (self.transfers, self.faults)
    }
}
