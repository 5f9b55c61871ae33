//! The generator's own record of everything its chain emitted about ownership, one entry per transfer item.
//!
//! Entries are kept by index into the roster, forty-odd bytes of substance each, and read back as plain words.

use std::ops::RangeInclusive;
use std::sync::Arc;

use alloy_primitives::U256;

use super::holdings::Holdings;
use super::roster::Roster;
use super::script::{Entry, Script};
use super::settings::Settings;
use super::trades::{Ending, Order, Sale, Trades};
use super::transfers::{Malformed, Transfer};

/// What a chain emitted up to its head, in chain order.
#[derive(Clone, Debug)]
pub struct Books {
    settings: Arc<Settings>,
    roster: Arc<Roster>,
    entries: Vec<Entry>,
    malformed: Vec<Malformed>,
    trades: Trades,
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
