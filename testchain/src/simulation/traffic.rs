//! Draws what a block emits: transactions, each with several logs, and what the books are to hold of them.

use std::ops::Range;

use alloy_primitives::{Address, Bytes, Log, U256};
use rand::{Rng, RngExt};

use super::Dice;
use super::books::{Entry, Flaw, Layout, Malformed};
use super::events::Parties;
use super::roster::{ContractIndex, Owner, Roster, Serial};
use super::settings::Settings;
use super::trades::{Ending, Order, Position, Sale, Trades};
use super::world::World;
use super::{market, multi_owner, noise, single_owner};

/// Most actions in one transaction.
const ACTIONS: u32 = 6;

/// Selector of `safeTransferFrom(address,address,uint256)`; what the calls really were does not matter here.
static CALLDATA: [u8; 4] = [0x42, 0x84, 0x2e, 0x0e];

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

/// One thing that can happen.
type Act = fn(&mut Stage<'_>);

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

/// The traffic of the block at `height`, after which the world is as the block leaves it.
pub(super) fn draw(settings: &Settings, roster: &Roster, world: &mut World, height: u64, dice: Dice) -> Script {
    let script = Script::default();
    let mut stage = Stage {
        settings,
        roster,
        world,
        dice,
        height,
        script,
        logs: Vec::new(),
        log_index: 0,
    };
    let target = if height == 0 { 0 } else { stage.target() };
    let is_empty = height == 0 || target == 0 && settings.logs_per_block > 0;
    stage.play(target, if is_empty { 0 } else { settings.trades_per_block });
    stage.script
}

impl Stage<'_> {
    /// How many logs the block gets.
    fn target(&mut self) -> u32 {
        let empty = self.settings.empty_percent.min(99);
        if self.dice.random_range(0..100) < empty {
            return 0;
        }
        let mean = self.settings.logs_per_block * 100 / (100 - empty);
        self.dice.random_range(mean / 2..=2 * mean - mean / 2)
    }

    /// Fills the block with `target` logs of traffic, and trades among them, `mean` on average.
    fn play(&mut self, mut target: u32, mean: u32) {
        let mut trades = if mean == 0 {
            0
        } else {
            self.dice.random_range(0..=2 * mean)
        };
        while self.log_index < target || trades > 0 {
            if trades > 0 && (self.log_index >= target || self.dice.random_bool(0.5)) {
                trades -= 1;
                let before = self.log_index;
                market::trade(self);
                target += self.log_index - before;
            } else {
                self.transaction(target);
            }
        }
    }

    fn transaction(&mut self, target: u32) {
        if self.dice.random_ratio(1, 16) {
            self.silent_transaction();
        }
        for _ in 0..self.dice.random_range(1..=ACTIONS) {
            if self.log_index < target {
                self.act();
            }
        }
        let mut logs = std::mem::take(&mut self.logs);
        // They live as long as the chain, which is kept in memory.
        logs.shrink_to_fit();
        let Some(to) = logs.first().map(|log| log.address) else {
            return;
        };
        self.close(to, logs, true);
    }

    /// A payment, or a call that failed: nothing is logged.
    fn silent_transaction(&mut self) {
        let payee = self.owner();
        let success = self.dice.random_ratio(2, 3);
        self.close(self.roster.address(payee), Vec::new(), success);
    }

    fn close(&mut self, to: Address, logs: Vec<Log>, success: bool) {
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
    pub(super) fn close_call(&mut self, call: market::Call) {
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

    /// Lets one thing happen, by the weights of the mix.
    fn act(&mut self) {
        let mix = &self.settings.mix;
        let acts: [(u32, Act); 9] = [
            (mix.erc721, single_owner::erc721),
            (mix.erc721_legacy, single_owner::legacy),
            (mix.cryptopunks, single_owner::punk),
            (mix.erc2309, single_owner::range),
            (mix.erc1155_single, multi_owner::single),
            (mix.erc1155_batch, multi_owner::batch),
            (mix.erc20, noise::erc20),
            (mix.approval, noise::approval),
            (mix.hostile, noise::hostile),
        ];
        let total: u32 = acts.iter().map(|(weight, _)| weight).sum();
        let mut roll = self.dice.random_range(0..total.max(1));
        for (weight, act) in acts {
            match roll.checked_sub(weight) {
                Some(rest) => roll = rest,
                None => return act(self),
            }
        }
        single_owner::erc721(self);
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
