//! What decoders append to: the facts of one run of logs, kept in chain order.

use std::collections::BTreeSet;

use alloy_primitives::{Address, U256};
use rustc_hash::FxHashMap;

use crate::block::{Answer, Call, Log};
use crate::budget::{MAX_EXTRA_FACTS_PER_BLOCK, MAX_EXTRA_FACTS_PER_TRANSACTION, MAX_QUESTIONS_PER_BLOCK};
use crate::fact::{Closing, DecodedFacts, Fault, Listed, Order, PerKind, Place, Sale, Standard, Transfer, reason};
use crate::log_reader::{DecodeError, WORD_BYTES, Word};
use crate::trade::attribution;
use crate::trade::orders::LogOutcome;
use crate::trade::transfer_index::TransferIndex;
use crate::trade::{Trade, leave_out_own_shares};
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

/// Whether the log at `place` was rejected by the decoder that read a fact there. `faults` are those of its transaction, sorted.
fn is_rejected(faults: &[Fault], place: &Place) -> bool {
    let key = (place.log_index, place.source);
    let at = faults.partition_point(|fault| (fault.log_index, fault.source) < key);
    let fault = faults.get(at).filter(|fault| (fault.log_index, fault.source) == key);
    fault.is_some_and(|fault| !reason::is_warning(fault.reason))
}

/// Previous and new owner of what a log moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parties {
    from: Address,
    to: Address,
}

impl Parties {
    /// The two ends of a movement.
    ///
    /// # Errors
    /// Refuses a movement from the zero address to the zero address.
    pub fn between(from: Address, to: Address) -> Result<Self, DecodeError> {
        if from.is_zero() && to.is_zero() {
            return Err(DecodeError(reason::ZERO_TO_ZERO));
        }
        Ok(Parties { from, to })
    }

    /// Whether the movement creates.
    pub fn is_mint(&self) -> bool {
        self.from.is_zero()
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

/// The facts decoded so far. Decoders append; [`crate::pass`] decides whose turn it is and keeps the order.
#[derive(Debug, Default)]
pub struct Events {
    facts: DecodedFacts,
    /// The decoder whose turn it is, and where its faults stand by log.
    source: &'static str,
    faulted: FxHashMap<u32, usize>,
    /// Where the current transaction's facts start.
    first: PerKind<usize>,
    first_fault: usize,
    /// Block of the current transaction, and how many facts beyond one per log both have made.
    block_number: u64,
    block_extra: usize,
    transaction_extra: usize,
    /// Questions the current block has put, and those of all blocks that nothing available answers.
    asked: BTreeSet<Call>,
    unanswered: Vec<Call>,
    /// How many unanswered questions and facts there were when the log before was closed.
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
    ) -> Result<Option<&'a [Word; N]>, DecodeError> {
        // A question put again costs nothing: one contract may have many logs in a block.
        if !self.asked.contains(&call) {
            if !self.may_ask() {
                return Err(DecodeError(reason::CONTRACT_UNKNOWN));
            }
            self.asked.insert(call.clone());
        }
        let answer = transaction.answers.get(&call);
        let answer = answer.filter(|answer| is_answer::<N>(transaction, &call, answer));
        match answer {
            Some(Answer::Returned(bytes)) => Ok(bytes.as_chunks().0.first_chunk()),
            Some(Answer::Reverted) => Ok(None),
            None => {
                // Noted even where decoding goes on without it, so that the answer is fetched or the fact is flagged and tried
                // again.
                self.unanswered.push(call);
                Err(DecodeError(reason::CONTRACT_UNKNOWN))
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
    ) -> Result<Option<&'a Word>, DecodeError> {
        let answer = self.ask::<1>(transaction, Call::of(to, selector, &[]))?;
        Ok(answer.map(|[word]| word))
    }

    /// Appends a fact of any kind.
    pub(crate) fn append<F: Listed>(&mut self, fact: F) {
        F::list_mut(&mut self.facts).push(fact);
    }

    /// Appends the movement of one token by `log`.
    pub fn transfer(&mut self, log: &Log, standard: Standard, parties: &Parties, item: Item) {
        self.append(Transfer {
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
        });
    }

    /// Appends what `log` sold, one sale per line of the trade. A trade for nothing is no sale, and one beyond the budget refuses
    /// the log with all its trades. The trades of one log follow each other.
    pub(crate) fn trade(&mut self, log: &Log, mut trade: Trade) {
        if trade.is_free() || self.is_refused(log) {
            return;
        }
        trade.check_fees();
        let last = self.facts.sales[self.first.sales..].last();
        let first = last
            .filter(|sale| sale.log_index == log.log_index)
            .map_or(0, |sale| sale.item + 1);
        // The first sale of a log is its own fact; each other one comes with its part of every fee.
        let others = trade.lines.len().saturating_sub(usize::from(first == 0));
        match self.take_extra(others.saturating_mul(1 + trade.fees.len())) {
            Ok(()) => self.facts.sales.extend(trade.into_sales(self.source, log, first)),
            Err(DecodeError(error)) => {
                let of_log = |sale: &mut Sale| (sale.log_index, sale.source) == (log.log_index, self.source);
                // A log is accepted whole or not at all.
                while self.facts.sales.pop_if(of_log).is_some() {}
                self.fault(log, error);
            }
        }
    }

    /// Appends all that `log` states about trade and closes it. What belongs to a log that is refused, now or later, is dropped
    /// when the transaction ends.
    pub(crate) fn emit<S: Into<LogOutcome>>(
        &mut self,
        log: &Log,
        outcome: Result<(S, Option<&'static str>), DecodeError>,
    ) {
        let verdict = outcome.and_then(|(outcome, warning)| {
            let outcome = outcome.into();
            // The budget is taken before anything is appended, so that a log beyond it leaves nothing behind.
            self.take_extra((outcome.orders.len() + outcome.closings.len()).saturating_sub(1))?;
            outcome.trades.into_iter().for_each(|trade| self.trade(log, trade));
            let source = self.source;
            outcome
                .orders
                .into_iter()
                .for_each(|order| self.append(Order { source, ..order }));
            outcome
                .closings
                .into_iter()
                .for_each(|closing| self.append(Closing { source, ..closing }));
            Ok(warning)
        });
        self.settle(log, verdict);
    }

    /// What moved in `transaction` so far: tokens as the decoders before this one emitted them, and payments.
    pub(crate) fn transfer_index(&self, transaction: &Transaction<'_>) -> TransferIndex {
        TransferIndex::of(
            transaction.roster,
            transaction.logs,
            &self.facts.transfers[self.first.transfers..],
        )
    }

    /// Closes `log` with what its decoder found: accepted, accepted with a warning, or refused. What was emitted although a question
    /// stayed unanswered bears the warning that asks again: an answer that comes later may add a price, a fee or a party.
    pub fn settle(&mut self, log: &Log, verdict: Result<Option<&'static str>, DecodeError>) {
        let is_unanswered = self.unanswered.len() > self.closed_questions && self.facts.count() > self.closed_facts;
        self.open_log();
        match verdict.map(|warning| is_unanswered.then_some(reason::UNANSWERED).or(warning)) {
            Ok(None) => {}
            Ok(Some(warning)) => self.fault(log, warning),
            Err(DecodeError(error)) => self.fault(log, error),
        }
    }

    /// Starts the next log.
    fn open_log(&mut self) {
        self.closed_questions = self.unanswered.len();
        self.closed_facts = self.facts.count();
    }

    /// Takes the facts that a log makes beyond its first out of what its transaction and its block may still make.
    ///
    /// # Errors
    /// Refuses when less than that is left.
    pub(crate) fn take_extra(&mut self, facts: usize) -> Result<(), DecodeError> {
        let left = MAX_EXTRA_FACTS_PER_TRANSACTION - self.transaction_extra;
        if facts > left.min(MAX_EXTRA_FACTS_PER_BLOCK - self.block_extra) {
            return Err(DecodeError(reason::OVER_BUDGET));
        }
        self.transaction_extra += facts;
        self.block_extra += facts;
        Ok(())
    }

    /// Whether the decoder whose turn it is has refused the log.
    fn is_refused(&self, log: &Log) -> bool {
        let fault = self.faulted.get(&log.log_index).map(|place| &self.facts.faults[*place]);
        fault.is_some_and(|fault| !reason::is_warning(fault.reason))
    }

    /// One fault per log and source: an error replaces the warning before it.
    fn fault(&mut self, log: &Log, reason: &'static str) {
        if let Some(place) = self.faulted.get(&log.log_index) {
            let fault = &mut self.facts.faults[*place];
            // The first error stays: it is the one that stopped the log.
            if reason::is_warning(fault.reason) && !reason::is_warning(reason) {
                fault.reason = reason;
            }
            return;
        }
        self.faulted.insert(log.log_index, self.facts.faults.len());
        self.facts.faults.push(Fault {
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
            // Questions are bounded per block, so each block begins with none.
            self.asked.clear();
        }
        self.transaction_extra = 0;
        self.first = self.facts.counts();
        self.first_fault = self.facts.faults.len();
    }

    /// Gives the turn to the decoder named `source`.
    pub(crate) fn turn(&mut self, source: &'static str) {
        self.source = source;
        self.faulted.clear();
        self.open_log();
    }

    /// Ends the transaction: the parties behind its sales are found, and because decoders took turns over the same logs,
    /// what they appended is put in chain order.
    pub(crate) fn close_transaction(&mut self, transaction: &Transaction<'_>) {
        // Before anything is sorted: what moved is read in the order in which decoders emitted it.
        let transfers = (self.first.sales < self.facts.sales.len()).then(|| self.transfer_index(transaction));
        let mut faults = self.facts.faults.split_off(self.first_fault);
        faults.sort_by_key(|fault| (fault.log_index, fault.source));
        self.facts.close(&self.first, &|place| is_rejected(&faults, place));
        self.facts.faults.append(&mut faults);
        let Some(transfers) = transfers else { return };
        let mut sales = self.facts.sales.split_off(self.first.sales);
        // After all decoders had their turn: who stands behind a sale shows in transfers that another decoder emitted.
        attribution::resolve(transaction, &transfers, &mut sales);
        // Where all of it came back, nothing was paid.
        sales.retain_mut(leave_out_own_shares);
        self.facts.sales.append(&mut sales);
    }

    /// Drops the facts, not what was asked: for those who want the questions alone.
    pub(crate) fn drop_facts(&mut self) {
        self.facts = DecodedFacts::default();
    }

    /// The questions that nothing available answered, sorted and each once.
    pub(crate) fn into_unanswered(mut self) -> Vec<Call> {
        self.unanswered.sort_unstable();
        self.unanswered.dedup();
        self.unanswered
    }

    /// The facts so far.
    pub fn facts(&self) -> &DecodedFacts {
        &self.facts
    }

    /// The facts.
    pub fn into_facts(self) -> DecodedFacts {
        self.facts
    }
}
