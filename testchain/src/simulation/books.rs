//! The generator's own record of everything its chain emitted about ownership, one entry per transfer item.
//!
//! Entries are kept by index into the roster, forty-odd bytes of substance each, and read back as plain words.

use std::ops::RangeInclusive;
use std::sync::Arc;

use alloy_primitives::{Address, U256};

use super::holdings::Holdings;
use super::roster::Roster;
use super::settings::Settings;
use super::trades::{Ending, Order, Sale, Trades};
use super::traffic::{Move, Script};

/// What a chain emitted up to its head, in chain order.
#[derive(Clone, Debug)]
pub struct Books {
    settings: Arc<Settings>,
    roster: Arc<Roster>,
    entries: Vec<Entry>,
    malformed: Vec<Malformed>,
    trades: Trades,
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

/// One token, or one quantity of one token, changing owners.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// Height of the block.
    pub block: u64,
    /// Index of the log within its block.
    pub log_index: u32,
    /// Index within the batch or range; zero otherwise.
    pub item: u32,
    /// Token contract.
    pub contract: Address,
    /// Token number within the contract.
    pub token: U256,
    /// Previous owner; zero for a mint.
    pub from: Address,
    /// New owner; zero for a burn.
    pub to: Address,
    /// Units moved: one unless ERC-1155, where it may be zero.
    pub quantity: U256,
    /// How the log stated it.
    pub layout: Layout,
}

/// Token standard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Standard {
    /// ERC-721 and its forerunners.
    Erc721,
    /// ERC-1155.
    Erc1155,
    /// CryptoPunks.
    CryptoPunks,
}

/// The form of the log that moved a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Layout {
    /// `Transfer` with three indexed arguments.
    Erc721,
    /// `Transfer` with none, as CryptoKitties has it.
    Erc721Unindexed,
    /// `Transfer` with the token as data, as ERC-20 has it.
    Erc721Erc20Like,
    /// `ConsecutiveTransfer`.
    Erc2309,
    /// `TransferSingle`.
    Erc1155Single,
    /// `TransferBatch`.
    Erc1155Batch,
    /// `Assign` of CryptoPunks.
    PunkAssign,
    /// `PunkTransfer`.
    PunkTransfer,
    /// `PunkBought`.
    PunkBought,
}

/// A log that claims to be an NFT event and is to be refused with a recorded fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// Height of the block.
    pub block: u64,
    /// Index of the log within its block.
    pub log_index: u32,
    /// Emitting contract.
    pub contract: Address,
    /// What is wrong with it.
    pub flaw: Flaw,
}

/// What is wrong with a malformed log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Flaw {
    /// The data ends before the arguments do.
    DataTooShort,
    /// A batch with more tokens than quantities.
    LengthsDiffer,
    /// An array that starts behind the end of the data.
    OffsetOutside,
    /// From no one to no one.
    ZeroToZero,
    /// An ERC-2309 range that ends before it starts.
    RangeReversed,
    /// An ERC-2309 range no contract could have minted.
    RangeAbsurd,
}

impl Layout {
    /// The standard whose tokens this log moves.
    pub fn standard(self) -> Standard {
        match self {
            Layout::Erc721 | Layout::Erc721Unindexed | Layout::Erc721Erc20Like | Layout::Erc2309 => Standard::Erc721,
            Layout::Erc1155Single | Layout::Erc1155Batch => Standard::Erc1155,
            Layout::PunkAssign | Layout::PunkTransfer | Layout::PunkBought => Standard::CryptoPunks,
        }
    }
}

impl Transfer {
    /// Whether it comes from no one.
    pub fn is_mint(&self) -> bool {
        self.from == Address::ZERO
    }

    /// Whether it goes to no one.
    pub fn is_burn(&self) -> bool {
        self.to == Address::ZERO
    }
}

impl Books {
    pub(super) fn new(settings: Arc<Settings>, roster: Arc<Roster>) -> Self {
        Books {
            settings,
            roster,
            entries: Vec::new(),
            malformed: Vec::new(),
            trades: Trades::default(),
        }
    }

    /// Enters what a block holds; the transactions that emit it are left in the script.
    pub(super) fn enter(&mut self, script: &mut Script) {
        self.entries.append(&mut script.entries);
        self.malformed.append(&mut script.malformed);
        self.trades.extend(std::mem::take(&mut script.trades));
    }

    /// The books as they were when `height` was the head.
    pub(super) fn upto(&self, height: u64) -> Self {
        let malformed = self
            .malformed
            .iter()
            .take_while(|log| log.block <= height)
            .copied()
            .collect();
        Books {
            settings: self.settings.clone(),
            roster: self.roster.clone(),
            entries: self.between(0..=height).to_vec(),
            malformed,
            trades: self.trades.upto(height),
        }
    }

    /// Every transfer item, in chain order.
    pub fn transfers(&self) -> impl ExactSizeIterator<Item = Transfer> + '_ {
        self.entries.iter().map(|entry| self.transfer(entry))
    }

    /// The transfer items of the blocks in `range`, in chain order.
    pub fn transfers_in(&self, range: RangeInclusive<u64>) -> impl ExactSizeIterator<Item = Transfer> + '_ {
        self.between(range).iter().map(|entry| self.transfer(entry))
    }

    /// Logs to be refused, in chain order.
    pub fn malformed(&self) -> &[Malformed] {
        &self.malformed
    }

    /// Every sale, in chain order.
    pub fn sales(&self) -> &[Sale] {
        &self.trades.sales
    }

    /// Every listing and offer that the chain shows, in chain order.
    pub fn orders(&self) -> &[Order] {
        &self.trades.orders
    }

    /// The ends of those, in chain order.
    pub fn endings(&self) -> &[Ending] {
        &self.trades.endings
    }

    /// Timestamp of the block at `height`, seconds since the Unix epoch.
    pub fn time(&self, height: u64) -> u64 {
        self.settings.time(height)
    }

    /// Who holds what after the block at `height`, folded from the items up to it.
    pub fn at(&self, height: u64) -> Holdings {
        self.transfers_in(0..=height).collect()
    }

    fn between(&self, range: RangeInclusive<u64>) -> &[Entry] {
        let start = self.entries.partition_point(|entry| entry.block < *range.start());
        let end = self.entries.partition_point(|entry| entry.block <= *range.end());
        &self.entries[start..end.max(start)]
    }

    pub(super) fn transfer(&self, entry: &Entry) -> Transfer {
        let &Entry {
            block,
            log_index,
            item,
            layout,
            part,
        } = entry;
        Transfer {
            block,
            log_index,
            item,
            contract: self.roster.contract(part.contract),
            token: self.roster.token(part.contract, part.serial),
            from: self.roster.address(part.from),
            to: self.roster.address(part.to),
            quantity: U256::from(part.quantity),
            layout,
        }
    }
}
