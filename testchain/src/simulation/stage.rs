//! Where the traffic of one block is played.

use std::ops::Range;

use alloy_primitives::{Address, Bytes, Log, U256};
use rand::{Rng, RngExt};

use super::dice::Dice;
use super::events::Parties;
use super::roster::{ContractIndex, Owner, Roster};
use super::script::{BidWritten, Call, Draft, Entry, Move, Script};
use super::settings::Settings;
use super::trades::{Ending, Order, Position, Sale};
use super::transfers::{Flaw, Layout, Malformed};
use super::world::World;

/// Selector of `safeTransferFrom(address,address,uint256)`; what the calls really were does not matter here.
static CALLDATA: [u8; 4] = [0x42, 0x84, 0x2e, 0x0e];

/// Where the traffic of one block is played: whatever is emitted here happens in the world and is entered in the books.
pub(super) struct Stage<'a> {
    pub(super) settings: &'a Settings,
    pub(super) roster: &'a Roster,
    pub(super) world: &'a mut World,
    pub(super) dice: Dice,
    height: u64,
    script: Script,
    /// Logs of the transaction that is being made.
    logs: Vec<Log>,
    log_index: u32,
}

impl<'a> Stage<'a> {
    /// The block at `height` before anything is emitted.
    pub(super) fn new(
        settings: &'a Settings,
        roster: &'a Roster,
        world: &'a mut World,
        height: u64,
        dice: Dice,
    ) -> Self {
        Stage {
            settings,
            roster,
            world,
            dice,
            height,
            script: Script::default(),
            logs: Vec::new(),
            log_index: 0,
        }
    }

    /// What the block emits.
    pub(super) fn into_script(self) -> Script {
        self.script
    }
}

impl Stage<'_> {
    /// How many logs the block has so far.
    pub(super) fn logs(&self) -> u32 {
        self.log_index
    }

    /// Ends the transaction, which called the contract that its first log is of; without a log there is none.
    pub(super) fn close(&mut self) {
        let mut logs = std::mem::take(&mut self.logs);
        // They live as long as the chain, which is kept in memory.
        logs.shrink_to_fit();
        if let Some(to) = logs.first().map(|log| log.address) {
            self.close_with(to, logs, true);
        }
    }

    /// A payment, or a call that failed: nothing is logged.
    pub(super) fn close_silent(&mut self, to: Address, success: bool) {
        self.close_with(to, Vec::new(), success);
    }

    fn close_with(&mut self, to: Address, logs: Vec<Log>, success: bool) {
        let sender = self.owner();
        let value = if logs.is_empty() {
            U256::from(self.dice.next_u64())
        } else {
            U256::ZERO
        };
        let input = if value.is_zero() {
            Bytes::from_static(&CALLDATA)
        } else {
            Bytes::new()
        };
        let draft = self.draft(sender, to, logs);
        self.script.transactions.push(Draft {
            value,
            success,
            input,
            ..draft
        });
    }

    /// Ends the transaction of a trade.
    pub(super) fn close_call(&mut self, call: Call) {
        let logs = std::mem::take(&mut self.logs);
        let draft = self.draft(call.from, call.to, logs);
        self.script.transactions.push(Draft {
            value: call.value,
            input: call.input,
            ..draft
        });
    }

    fn draft(&mut self, from: Owner, to: Address, logs: Vec<Log>) -> Draft {
        Draft {
            from: self.roster.address(from),
            to,
            value: U256::ZERO,
            tx_type: if self.dice.random_ratio(1, 5) { 0 } else { 2 },
            success: true,
            input: Bytes::new(),
            salt: self.dice.next_u64(),
            logs,
        }
    }

    /// Whether the transaction holds a log of `contract` already.
    pub(super) fn logged(&self, contract: Address) -> bool {
        self.logs.iter().any(|log| log.address == contract)
    }

    /// Emits a log that moves tokens; the moves are its items in order.
    pub(super) fn emit_moves(&mut self, layout: Layout, log: Log, moves: &[Move]) {
        let (block, log_index) = (self.height, self.log_index);
        let items = (0..).zip(moves);
        self.script.entries.extend(items.map(|(item, part)| Entry {
            block,
            log_index,
            item,
            layout,
            part: *part,
        }));
        self.emit(log);
    }

    /// Emits a log that claims to be an NFT event and is to be refused.
    pub(super) fn misspeak(&mut self, flaw: Flaw, log: Log) {
        let (block, log_index) = (self.height, self.log_index);
        self.script.malformed.push(Malformed {
            block,
            log_index,
            contract: log.address,
            flaw,
        });
        self.emit(log);
    }

    /// Emits a log that states nothing about ownership.
    pub(super) fn emit(&mut self, log: Log) {
        self.logs.push(log);
        self.log_index += 1;
    }

    /// Where the next log will stand.
    pub(super) fn position(&self) -> Position {
        Position {
            block: self.height,
            log_index: self.log_index,
        }
    }

    /// Timestamp of the block.
    pub(super) fn time(&self) -> u64 {
        self.settings.time(self.height)
    }

    /// Enters a sale.
    pub(super) fn sell(&mut self, sale: Sale) {
        self.script.trades.sales.push(sale);
    }

    /// Enters an order.
    pub(super) fn open(&mut self, order: Order) {
        self.script.trades.orders.push(order);
    }

    /// Enters the end of an order.
    pub(super) fn end(&mut self, ending: Ending) {
        self.script.trades.endings.push(ending);
    }

    /// Enters that the live bid on a punk is another.
    pub(super) fn write_bid(&mut self, punk: U256, bid: Option<(Address, U256)>) {
        self.script.bids.push(BidWritten { punk, bid });
    }

    /// A number below `bound`, or zero.
    pub(super) fn below(&mut self, bound: u32) -> u32 {
        self.dice.random_range(0..bound.max(1))
    }

    /// Some contract; the first ones are the most popular.
    pub(super) fn contract(&mut self, among: &Range<ContractIndex>) -> ContractIndex {
        let chance: f64 = self.dice.random();
        let offset = (chance * chance * among.len() as f64) as ContractIndex;
        among.start + offset.min(among.len() as u32 - 1)
    }

    /// Some account.
    pub(super) fn owner(&mut self) -> Owner {
        self.dice.random_range(0..self.roster.owners())
    }

    /// A roll of a thousand.
    pub(super) fn permille(&mut self) -> u32 {
        self.dice.random_range(0..1_000)
    }

    pub(super) fn parties(&self, part: &Move) -> Parties {
        Parties {
            from: self.roster.address(part.from),
            to: self.roster.address(part.to),
        }
    }

    pub(super) fn token(&self, part: &Move) -> U256 {
        self.roster.token(part.contract, part.serial)
    }
}
