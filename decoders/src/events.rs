//! What decoders append to: the facts of one run of logs, kept in chain order.

use std::collections::BTreeSet;

use alloy_primitives::{Address, U256};
use rustc_hash::FxHashMap;

use crate::block::{Answer, Call, Log};
use crate::budget::{MAX_EXTRA_FACTS_PER_BLOCK, MAX_EXTRA_FACTS_PER_TRANSACTION, MAX_QUESTIONS_PER_BLOCK};
use crate::fact::{Closing, Fault, Order, Sale, Standard, Transfer, TransferKind, reason};
use crate::log_reader::{Refusal, WORD_BYTES, Word};
use crate::trade::deal::{Deal, leave_out_own_shares};
use crate::trade::orders::Said;
use crate::trade::people;
use crate::trade::trail::Trail;
use crate::transaction::Transaction;

/// Whether `answer` may be one: a contract that decoders list themselves has code that returns `N` words or refuses. Less comes from an
/// endpoint without the state; of any other contract it means that it is not what it was asked for.
fn is_answer<const N: usize>(transaction: &Transaction<'_>, call: &Call, answer: &Answer) -> bool {
    match answer {
        Answer::Returned(bytes) => {
            bytes.len() >= N * WORD_BYTES || !transaction.roster.lists(transaction.chain, call.to)
        }
        Answer::Reverted => true,
    }
}

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
    /// Refuses a movement from the zero address to the zero address.
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

/// Facts of one run of logs, each list in chain order.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// Transfers.
    pub transfers: Vec<Transfer>,
    /// Sales.
    pub sales: Vec<Sale>,
    /// Listings and offers.
    pub orders: Vec<Order>,
    /// Ends of orders.
    pub closings: Vec<Closing>,
    /// Faults.
    pub faults: Vec<Fault>,
}

impl Told {
    /// How many facts and faults there are: what a span is split by.
    pub fn count(&self) -> usize {
        self.transfers.len() + self.sales.len() + self.orders.len() + self.closings.len() + self.faults.len()
    }
}

/// The facts decoded so far. Decoders append; [`crate::pass`] decides whose turn it is and keeps the order.
#[derive(Debug, Default)]
pub struct Events {
    told: Told,
    /// The decoder whose turn it is, and where its faults stand by log.
    source: &'static str,
    faulted: FxHashMap<u32, usize>,
    /// Where the current transaction's facts start.
    first_transfer: usize,
    first_sale: usize,
    first_order: usize,
    first_closing: usize,
    first_fault: usize,
    /// Block of the current transaction, and how many facts beyond one per log both have made.
    block_number: u64,
    block_extra: usize,
    transaction_extra: usize,
    /// Questions the current block has put, and those of all blocks that nothing available answers.
    asked: BTreeSet<Call>,
    unanswered: Vec<Call>,
    /// How many unanswered questions and facts of trade there were when the log before was closed.
    closed_questions: usize,
    closed_facts: usize,
}

impl Events {
    /// What a contract answers to `call`: its first `N` words, `None` where it refuses or returns less. A question that nothing
    /// available answers is noted for [`crate::wants`]; claims whose decoding asks are marked [`crate::decoder::Claim::asking`].
    ///
    /// # Errors
    /// Refuses the log that depends on an answer not available.
    pub(crate) fn ask<'a, const N: usize>(
        &mut self,
        transaction: &Transaction<'a>,
        call: Call,
    ) -> Result<Option<&'a [Word; N]>, Refusal> {
        if !self.asked.contains(&call) {
            if !self.may_ask() {
                return Err(Refusal(reason::CONTRACT_UNKNOWN));
            }
            self.asked.insert(call.clone());
        }
        let answer = transaction.answers.get(&call);
        let answer = answer.filter(|answer| is_answer::<N>(transaction, &call, answer));
        match answer {
            Some(Answer::Returned(bytes)) => Ok(bytes.as_chunks().0.first_chunk()),
            Some(Answer::Reverted) => Ok(None),
            None => {
                self.unanswered.push(call);
                Err(Refusal(reason::CONTRACT_UNKNOWN))
            }
        }
    }

    /// Whether the block has questions left. Where it has none, somebody may have asked so much only to avoid being asked.
    pub(crate) fn may_ask(&self) -> bool {
        self.asked.len() < MAX_QUESTIONS_PER_BLOCK
    }

    /// What `to` answers to a function without arguments, as [`ask`](Events::ask) has it.
    pub(crate) fn view<'a>(
        &mut self,
        transaction: &Transaction<'a>,
        to: Address,
        selector: [u8; 4],
    ) -> Result<Option<&'a Word>, Refusal> {
        let answer = self.ask::<1>(transaction, Call::of(to, selector, &[]))?;
        Ok(answer.map(|[word]| word))
    }

    /// Appends the movement of one token by `log`.
    pub fn transfer(&mut self, log: &Log, standard: Standard, parties: &Parties, item: Item) {
        self.told.transfers.push(Transfer {
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

    /// Appends what `log` sold, one sale per line of the deal. A deal for nothing is no sale, and one beyond the budget refuses
    /// the log with all its deals. The deals of one log follow each other.
    pub(crate) fn deal(&mut self, log: &Log, mut deal: Deal) {
        if deal.is_free() || self.is_refused(log) {
            return;
        }
        deal.check_fees();
        let told = self.told.sales[self.first_sale..].last();
        let first = told
            .filter(|sale| sale.log_index == log.log_index)
            .map_or(0, |sale| sale.item + 1);
        // The first sale of a log is its own fact; each other one comes with its part of every fee.
        let others = deal.lines.len().saturating_sub(usize::from(first == 0));
        match self.take_extra(others.saturating_mul(1 + deal.fees.len())) {
            Ok(()) => self.told.sales.extend(deal.into_sales(self.source, log, first)),
            Err(Refusal(refusal)) => {
                let of_log = |sale: &mut Sale| (sale.log_index, sale.source) == (log.log_index, self.source);
                while self.told.sales.pop_if(of_log).is_some() {}
                self.fault(log, refusal);
            }
        }
    }

    /// Appends all that `log` states about trade and closes it. What belongs to a log that is refused, now or later, is dropped
    /// when the transaction ends.
    pub(crate) fn say<S: Into<Said>>(&mut self, log: &Log, told: Result<(S, Option<&'static str>), Refusal>) {
        let verdict = told.and_then(|(said, doubt)| {
            let mut said = said.into();
            self.take_extra((said.orders.len() + said.closings.len()).saturating_sub(1))?;
            said.deals.into_iter().for_each(|deal| self.deal(log, deal));
            said.orders.iter_mut().for_each(|order| order.source = self.source);
            said.closings
                .iter_mut()
                .for_each(|closing| closing.source = self.source);
            self.told.orders.append(&mut said.orders);
            self.told.closings.append(&mut said.closings);
            Ok(doubt)
        });
        self.settle(log, verdict);
    }

    /// What moved in `transaction` so far: tokens as the decoders before this one emitted them, and payments.
    pub(crate) fn trail(&self, transaction: &Transaction<'_>) -> Trail {
        Trail::of(transaction.logs, &self.told.transfers[self.first_transfer..])
    }

    /// Closes `log` with what its decoder found: accepted, accepted with a warning, or refused. What was emitted although a question
    /// stayed unanswered bears the warning that asks again: an answer that comes later may add a price, a fee or a party.
    pub fn settle(&mut self, log: &Log, verdict: Result<Option<&'static str>, Refusal>) {
        let is_unanswered = self.unanswered.len() > self.closed_questions && self.trade_facts() > self.closed_facts;
        self.open_log();
        match verdict.map(|warning| is_unanswered.then_some(reason::UNANSWERED).or(warning)) {
            Ok(None) => {}
            Ok(Some(doubt)) => self.fault(log, doubt),
            Err(Refusal(refusal)) => self.fault(log, refusal),
        }
    }

    /// Starts the next log.
    fn open_log(&mut self) {
        self.closed_questions = self.unanswered.len();
        self.closed_facts = self.trade_facts();
    }

    fn trade_facts(&self) -> usize {
        self.told.sales.len() + self.told.orders.len() + self.told.closings.len()
    }

    /// Takes the facts that a log makes beyond its first out of what its transaction and its block may still make.
    ///
    /// # Errors
    /// Refuses when less than that is left.
    pub(crate) fn take_extra(&mut self, facts: usize) -> Result<(), Refusal> {
        let left = MAX_EXTRA_FACTS_PER_TRANSACTION - self.transaction_extra;
        if facts > left.min(MAX_EXTRA_FACTS_PER_BLOCK - self.block_extra) {
            return Err(Refusal(reason::OVER_BUDGET));
        }
        self.transaction_extra += facts;
        self.block_extra += facts;
        Ok(())
    }

    /// Whether the decoder whose turn it is has refused the log.
    fn is_refused(&self, log: &Log) -> bool {
        let fault = self.faulted.get(&log.log_index).map(|told| &self.told.faults[*told]);
        fault.is_some_and(|fault| !reason::is_doubt(fault.reason))
    }

    /// One fault per log and source: a refusal replaces the warning before it.
    fn fault(&mut self, log: &Log, reason: &'static str) {
        if let Some(told) = self.faulted.get(&log.log_index) {
            let fault = &mut self.told.faults[*told];
            if reason::is_doubt(fault.reason) && !reason::is_doubt(reason) {
                fault.reason = reason;
            }
            return;
        }
        self.faulted.insert(log.log_index, self.told.faults.len());
        self.told.faults.push(Fault {
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
            self.block_extra = 0;
            self.asked.clear();
        }
        self.transaction_extra = 0;
        self.first_transfer = self.told.transfers.len();
        self.first_sale = self.told.sales.len();
        self.first_order = self.told.orders.len();
        self.first_closing = self.told.closings.len();
        self.first_fault = self.told.faults.len();
    }

    /// Gives the turn to the decoder named `source`.
    pub(crate) fn turn(&mut self, source: &'static str) {
        self.source = source;
        self.faulted.clear();
        self.open_log();
    }

    /// Ends the transaction: the people behind its sales are found, and because decoders took turns over the same logs,
    /// what they appended is put in chain order.
    pub(crate) fn close_transaction(&mut self, transaction: &Transaction<'_>) {
        let trail = (self.first_sale < self.told.sales.len()).then(|| self.trail(transaction));
        self.told.transfers[self.first_transfer..].sort_by_key(|transfer| (transfer.log_index, transfer.item));
        self.told.faults[self.first_fault..].sort_by_key(|fault| (fault.log_index, fault.source));
        self.close_orders();
        let sales = &mut self.told.sales[self.first_sale..];
        sales.sort_by_key(|sale| (sale.log_index, sale.item));
        let Some(trail) = trail else { return };
        people::resolve(transaction, &trail, sales);
        // Where all of it came back, nothing was paid.
        let mut sales = self.told.sales.split_off(self.first_sale);
        sales.retain_mut(leave_out_own_shares);
        self.told.sales.append(&mut sales);
    }

    /// Drops what refused logs stated of orders, and numbers what the others stated, log by log, as it was emitted.
    fn close_orders(&mut self) {
        if self.first_order == self.told.orders.len() && self.first_closing == self.told.closings.len() {
            return;
        }
        let faults = &self.told.faults[self.first_fault..];
        let refused = |log_index: u32, source: &str| {
            let at = faults.partition_point(|fault| (fault.log_index, fault.source) < (log_index, source));
            let fault = faults
                .get(at)
                .filter(|fault| (fault.log_index, fault.source) == (log_index, source));
            fault.is_some_and(|fault| !reason::is_doubt(fault.reason))
        };
        let mut orders = self.told.orders.split_off(self.first_order);
        orders.retain(|order| !refused(order.log_index, order.source));
        orders.sort_by_key(|order| order.log_index);
        for logs in orders.chunk_by_mut(|one, next| one.log_index == next.log_index) {
            (0..).zip(logs).for_each(|(item, order)| order.item = item);
        }
        let mut closings = self.told.closings.split_off(self.first_closing);
        closings.retain(|closing| !refused(closing.log_index, closing.source));
        closings.sort_by_key(|closing| closing.log_index);
        for logs in closings.chunk_by_mut(|one, next| one.log_index == next.log_index) {
            (0..).zip(logs).for_each(|(item, closing)| closing.item = item);
        }
        self.told.orders.extend(orders);
        self.told.closings.extend(closings);
    }

    /// Drops the facts, not what was asked: for those who want the questions alone.
    pub(crate) fn drop_facts(&mut self) {
        self.told = Told::default();
    }

    /// The questions that nothing available answered, sorted and each once.
    pub(crate) fn into_unanswered(mut self) -> Vec<Call> {
        self.unanswered.sort_unstable();
        self.unanswered.dedup();
        self.unanswered
    }

    /// The facts so far.
    pub fn told(&self) -> &Told {
        &self.told
    }

    /// The facts.
    pub fn into_told(self) -> Told {
        self.told
    }
}
