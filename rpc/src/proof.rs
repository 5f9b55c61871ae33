//! One block's logs: what is checked of them, and how warnings are settled.

use std::sync::Arc;

use alloy_primitives::{B256, Bloom, keccak256};
use decoders::block::{BlockRef, ChainId, Log, Proof};
use decoders::id::MAX_LOG_INDEX;
use tracing::{info, warn};

use super::ask::Served;
use super::bloom::{Checker, FilterBits};
use super::checked_header::CheckedHeader;
use super::endpoint::Endpoint;
use super::inner::Inner;
use super::question::{Ask, Trouble};
use super::report::count;
use super::settings::Filter;
use super::wire::call::Call;
use super::wire::header::SealedHeader;
use super::wire::log::{FilterSet, Logs};
use super::wire::receipt::{Proven, Receipts};
use super::wire::{Body, Reply, Unread, replies};

/// Transactions of a block whose receipts are asked for one by one, at most.
const SINGLE_RECEIPTS: usize = 2_000;

/// A filter in every form the checks need.
pub(super) struct Want {
    pub(super) filter: Filter,
    pub(super) set: FilterSet,
    chain: ChainId,
    bits: FilterBits,
    state_sync: bool,
}

impl Want {
    pub(super) fn new(chain: ChainId, filter: &Filter, state_sync: bool) -> Arc<Self> {
        let (set, bits) = (FilterSet::of(chain, filter), FilterBits::of(filter));
        Arc::new(Want {
            filter: filter.clone(),
            set,
            chain,
            bits,
            state_sync,
        })
    }

    /// Whether some of a transaction's logs draw the others after them.
    pub(super) fn drawn(&self, logs: &[Log]) -> bool {
        let draws = |draws: fn(ChainId, &Log) -> bool| {
            let mut logs = logs.iter();
            logs.any(|log| self.set.matches_both(log) && draws(self.chain, log))
        };
        self.filter.draws.is_some_and(draws)
    }

    /// What is wanted of all the logs of a transaction.
    pub(super) fn wanted(&self, mut logs: Vec<Log>) -> Vec<Log> {
        let is_drawn = self.drawn(&logs);
        let is_holding = logs.iter().any(|log| self.set.holds(log));
        logs.retain(|log| self.set.wants(log, is_drawn, is_holding));
        logs
    }

    /// Whether the block may hold a matching log; `false` is as certain as the header.
    pub(super) fn may_match(&self, header: &SealedHeader) -> bool {
        self.state_sync || self.bits.may_match(&header.bloom)
    }

    /// The transaction of the block, if the chain is of that kind, whose logs no header commits to.
    pub(super) fn uncommitted(&self, block: &BlockRef) -> Option<B256> {
        // Bor names it by this key (core/types/bor_receipt.go).
        let name = || {
            [
                b"matic-bor-receipt-".as_slice(),
                &block.number.to_be_bytes(),
                block.hash.as_slice(),
            ]
            .concat()
        };
        self.state_sync.then(|| keccak256(name()))
    }
}

/// What one look at a block's logs shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Finding {
    /// As far as the bloom shows; proven at this level.
    Fine(Proof),
    /// There are none, and nothing shows whether its endpoint has any of the block: the bloom has a topic that others share.
    Unseen,
    /// The logs may be wrong or too few; why.
    Inconclusive(&'static str),
    /// The logs contradict the header.
    Wrong(&'static str),
}

/// The wanted logs of one block, asked for alone and unsplit.
pub(super) struct BlockLogs {
    pub(super) logs: Vec<Log>,
    /// The answer has a log of the block, wanted or not.
    is_named: bool,
}

impl BlockLogs {
    pub(super) fn given(&self) -> Given<'_> {
        Given {
            logs: &self.logs,
            is_named: self.is_named,
            is_unsplit: true,
        }
    }
}

/// What an answer holds of a block.
#[derive(Clone, Copy)]
pub(super) struct Given<'a> {
    pub(super) logs: &'a [Log],
    /// The answer has a log of the block, wanted or not.
    pub(super) is_named: bool,
    /// It holds every log of shared topics, or would if there were any.
    pub(super) is_unsplit: bool,
}

/// Compares the logs given for a block with its header.
pub(super) fn inspect(checked: &CheckedHeader, given: Given<'_>, want: &Want, checker: &mut Checker) -> Finding {
    // The bloom of a header that is not proven shows nothing about the logs.
    let CheckedHeader { header, proven: true } = checked else {
        return Finding::Fine(Proof::Chained);
    };
    let uncommitted = want.uncommitted(&header.reference());
    let mut level = Proof::Bloom;
    let logs = given.logs;
    for log in logs {
        // Logs that the chain's header does not commit to can be checked for their link alone.
        if Some(log.tx_hash) == uncommitted {
            level = Proof::Chained;
            continue;
        }
        if header.contradicts(log.tx_index, log.tx_hash).is_some() {
            return Finding::Wrong("a log names a transaction the block does not have there");
        }
        if !checker.holds(&header.bloom, log) {
            return Finding::Wrong("a log is not in the header's bloom");
        }
    }
    let is_promised = || {
        let is_sole = want.bits.may_match_sole(&header.bloom);
        want.bits
            .may_match(&header.bloom)
            .then_some(is_sole || given.is_unsplit)
    };
    if !given.is_named
        && let Some(is_inconclusive) = is_promised()
    {
        // Where only what matches was asked for, that the bloom has a topic which others share promises nothing.
        if is_inconclusive {
            Finding::Inconclusive("its bloom promises logs, but none came")
        } else {
            Finding::Unseen
        }
    } else if logs.last().is_some_and(|log| log.log_index > MAX_LOG_INDEX) {
        Finding::Inconclusive("a log of it stands at an index no id can hold")
    } else {
        Finding::Fine(level)
    }
}

/// What was wrong about an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Corrected {
    No,
    /// It numbers logs or transactions in another way, as some servers do throughout.
    Places,
    Content,
}

/// Logs of one block, as far as they could be proven.
#[derive(Clone, Debug)]
pub(super) struct Settled {
    pub(super) logs: Vec<Log>,
    pub(super) proof: Proof,
    /// How the answer that was suspected turned out.
    pub(super) corrected: Corrected,
    /// What transactions draw after them is among the logs.
    pub(super) whole: bool,
}

impl Settled {
    pub(super) fn new(logs: Vec<Log>, proof: Proof) -> Self {
        Settled {
            logs,
            proof,
            corrected: Corrected::No,
            whole: false,
        }
    }

    /// Logs that were asked for as such, unsplit.
    pub(super) fn unsplit(logs: Vec<Log>, proof: Proof, want: &Want) -> Self {
        Settled {
            whole: want.set.is_split(),
            ..Settled::new(logs, proof)
        }
    }

    /// Whether others are these logs, as far as both were asked for.
    fn corrects(&self, others: &[Log], want: &Want) -> Corrected {
        let asked = |log: &&Log| want.set.matches(log);
        let (own, others) = (|| self.logs.iter().filter(asked), || others.iter().filter(asked));
        let content = |log: &Log| (log.tx_hash, log.address, log.topics.clone(), log.data.clone());
        if own().eq(others()) {
            return Corrected::No;
        }
        let (mut these, mut those): (Vec<_>, Vec<_>) = (own().map(content).collect(), others().map(content).collect());
        these.sort_unstable();
        those.sort_unstable();
        if these == those {
            Corrected::Places
        } else {
            Corrected::Content
        }
    }
}

/// Reads `eth_getBlockReceipts` for a header and proves as much as can be: the root, or else that the logs of all
/// receipts together give exactly the header's bloom.
pub(super) fn read_receipts(json: &str, checked: &CheckedHeader, want: &Want) -> Result<Settled, Unread> {
    prove_receipts(Receipts::read(json, &checked.header)?, checked, want)
}

fn prove_receipts(mut receipts: Receipts, checked: &CheckedHeader, want: &Want) -> Result<Settled, Unread> {
    let header = &checked.header;
    // Some nodes list them among the receipts, though the root was computed without.
    let mut extra = receipts.split_off(want.uncommitted(&header.reference()));
    let proof = match receipts.prove(header) {
        _ if !checked.proven => Proof::Chained,
        Proven::Root => Proof::Receipts,
        Proven::Other => {
            receipts.check_block(header)?;
            return Err(Unread::Lie(format!(
                "the receipts root of block {} does not recompute",
                header.block.number
            )));
        }
        // The weaker proof counts where the chain's receipts follow rules that are not known here.
        Proven::Unknown(reason) if bloom_of(receipts.logs()) == *header.bloom => {
            info!(block = %header.reference(), reason, "receipts root cannot be recomputed, the bloom can");
            Proof::Bloom
        }
        Proven::Unknown(reason) => {
            receipts.check_block(header)?;
            return Err(Unread::Unprovable(format!(
                "receipts of block {} prove nothing: {reason}",
                header.block.number
            )));
        }
    };
    if proof == Proof::Receipts {
        receipts.settle_places(&mut extra, header)?;
    } else {
        receipts.check_block(header)?;
        if !receipts.are_in_order() {
            receipts.settle_places(&mut extra, header)?;
        }
    }
    let mut logs: Vec<Log> = receipts.into_logs().flat_map(|logs| want.wanted(logs)).collect();
    let extra = want.wanted(extra);
    let proof = if extra.is_empty() { proof } else { Proof::Chained };
    logs.extend(extra);
    Ok(Settled {
        whole: true,
        ..Settled::new(logs, proof)
    })
}

fn lied(by: &Endpoint, reason: &str) -> Trouble {
    Trouble::Unproven {
        reason: format!("{}: {reason}", by.name),
        liars: vec![by.id],
    }
}

fn bloom_of<'a>(logs: impl Iterator<Item = &'a Log>) -> Bloom {
    let mut bloom = Bloom::ZERO;
    for log in logs {
        bloom.accrue_raw_log(log.address, &log.topics);
    }
    bloom
}

impl Inner {
    /// The block's logs with the strongest proof available: receipts first, then a second opinion.
    ///
    /// `first` is the answer that is suspected, and who gave it.
    pub(super) async fn settle(
        &self,
        checked: &CheckedHeader,
        want: &Arc<Want>,
        first: Option<(&[Log], &Arc<Endpoint>)>,
    ) -> Result<Settled, Trouble> {
        let mut shun: Vec<i32> = first.iter().map(|(_, by)| by.id).collect();
        let mut liars = Vec::new();
        if checked.proven {
            match self.by_receipts(checked, want, shun.clone()).await {
                Ok(settled) => return Ok(self.corrected(settled, checked, want, first)),
                Err(trouble @ (Trouble::Cancelled | Trouble::NoEndpoints | Trouble::WrongChain(_))) => {
                    return Err(trouble);
                }
                // Receipts that prove nothing or cannot be had leave the second opinion, but not that of who made them up.
                Err(Trouble::Unproven { liars: caught, .. }) => liars = caught,
                Err(_) => {}
            }
        }
        shun.extend(&liars);
        let opinion = async {
            let (found, by) = self.second_opinion(checked, want, shun).await?;
            self.trusted(&by, &liars)?;
            Ok::<_, Trouble>((found, by))
        };
        let (found, by) = match opinion.await {
            Ok(opinion) => opinion,
            Err(trouble @ (Trouble::Cancelled | Trouble::NoEndpoints | Trouble::WrongChain(_))) => return Err(trouble),
            Err(trouble) => {
                let settled = self.by_single_receipts(checked, want).await.map_err(|_| trouble)?;
                return Ok(self.corrected(settled, checked, want, first));
            }
        };
        // A second opinion is checked like the first: two endpoints may be wrong in different ways.
        let mut proof = match inspect(checked, found.given(), want, &mut Checker::default()) {
            Finding::Fine(proof) => proof,
            Finding::Unseen | Finding::Inconclusive(_) => Proof::Bloom,
            Finding::Wrong(reason) => return Err(lied(&by, reason)),
        };
        // A bloom has false positives, so an empty answer is right now and then; with one endpoint there is no way to know which.
        let alone = first.is_none_or(|(_, first)| first.id == by.id);
        if !found.is_named && alone && proof == Proof::Bloom && want.may_match(&checked.header) {
            warn!(chain = %self.chain, endpoint = %by.name, block = %checked.header.reference(), "no second witness that a block has no matching logs");
            proof = Proof::Chained;
        }
        let settled = Settled::unsplit(found.logs, proof, want);
        let corrected = first.map_or(Corrected::No, |(logs, _)| settled.corrects(logs, want));
        Ok(Settled { corrected, ..settled })
    }

    /// Notes what `settled` shows of the answer that was suspected.
    fn corrected(
        &self,
        settled: Settled,
        checked: &CheckedHeader,
        want: &Want,
        first: Option<(&[Log], &Arc<Endpoint>)>,
    ) -> Settled {
        self.note_level(&settled, checked);
        let corrected = first.map_or(Corrected::No, |(logs, _)| settled.corrects(logs, want));
        Settled { corrected, ..settled }
    }

    /// Refuses what `by` answers of a block that it was just caught lying about.
    pub(super) fn trusted(&self, by: &Endpoint, liars: &[i32]) -> Result<(), Trouble> {
        if liars.contains(&by.id) {
            return Err(lied(by, "its receipts are not the block's"));
        }
        Ok(())
    }

    fn note_level(&self, settled: &Settled, checked: &CheckedHeader) {
        if checked.proven && settled.proof < Proof::Receipts {
            count(&self.counts.unprovable);
        }
    }

    /// The logs of several blocks by their receipts, asked for in one batch; `None` where those of a block were not had.
    pub(super) async fn all_by_receipts(
        &self,
        blocks: &[CheckedHeader],
        want: &Arc<Want>,
    ) -> Result<Vec<Option<Settled>>, Trouble> {
        let calls = blocks
            .iter()
            .map(|checked| Call::receipts_of(checked.header.reference()));
        let ask = Ask {
            block: blocks.iter().map(|checked| checked.header.block.number).max(),
            receipts: true,
            each: true,
            in_part: true,
            patience: self.options.logs_timeout,
            ..self.question(calls.collect(), format!("the receipts of {} blocks", blocks.len()))
        };
        let (asked, want) = (blocks.to_vec(), Arc::clone(want));
        let read = move |bodies: &[Body]| {
            let replies = replies(bodies)?;
            let read = |(checked, reply): (&CheckedHeader, &Reply<'_>)| read_receipts(reply.json()?, checked, &want);
            let mut settled = Vec::with_capacity(asked.len());
            let mut cause = Unread::Absent;
            for one in asked.iter().zip(&replies).map(read) {
                match one {
                    Ok(one) => settled.push(Some(one)),
                    // What is missing is asked for block by block later; what is false condemns the whole answer.
                    Err(unread @ (Unread::Refused(_) | Unread::Absent | Unread::Malformed(_))) => {
                        cause = unread;
                        settled.push(None);
                    }
                    Err(unread) => return Err(unread),
                }
            }
            if settled.iter().any(Option::is_some) {
                Ok(settled)
            } else {
                Err(cause)
            }
        };
        let Served { value: settled, by } = self.ask(&ask, read).await?;
        by.health().had_receipts();
        for (settled, checked) in settled.iter().zip(blocks) {
            if let Some(settled) = settled {
                self.note_level(settled, checked);
            }
        }
        Ok(settled)
    }

    async fn by_receipts(&self, checked: &CheckedHeader, want: &Arc<Want>, shun: Vec<i32>) -> Result<Settled, Trouble> {
        let block = checked.header.reference();
        let (checked, want) = (checked.clone(), Arc::clone(want));
        let ask = Ask {
            block: Some(block.number),
            receipts: true,
            patience: self.options.logs_timeout,
            shun,
            ..self.question(
                vec![Call::receipts_of(block)],
                format!("the receipts of block {}", block.number),
            )
        };
        let read = move |bodies: &[Body]| {
            let replies = replies(bodies)?;
            read_receipts(replies.first().ok_or(Unread::Absent)?.json()?, &checked, &want)
        };
        let Served { value, by } = self.ask(&ask, read).await?;
        by.health().had_receipts();
        Ok(value)
    }

    /// A block that is neither to be had whole nor by its logs: the receipts of its transactions, one by one.
    async fn by_single_receipts(&self, checked: &CheckedHeader, want: &Arc<Want>) -> Result<Settled, Trouble> {
        let transactions = checked.header.transactions.clone().ok_or(Trouble::Unsupported)?;
        let number = checked.header.block.number;
        if transactions.is_empty() || transactions.len() > SINGLE_RECEIPTS {
            return Err(Trouble::Unsupported);
        }
        let calls = transactions.iter().map(|hash| Call::receipt(*hash)).collect();
        let ask = Ask {
            block: Some(number),
            heavy: true,
            patience: self.options.logs_timeout,
            ..self.question(calls, format!("the receipts of block {number}, one by one"))
        };
        let (checked, want) = (checked.clone(), Arc::clone(want));
        let read = move |bodies: &[Body]| {
            prove_receipts(Receipts::of_each(&replies(bodies)?, &checked.header)?, &checked, &want)
        };
        Ok(self.ask(&ask, read).await?.value)
    }

    /// The logs of a block asked for by themselves. That there are none although the bloom promises some is accepted only when
    /// the block has none in either form of the question.
    async fn second_opinion(
        &self,
        checked: &CheckedHeader,
        want: &Arc<Want>,
        shun: Vec<i32>,
    ) -> Result<(BlockLogs, Arc<Endpoint>), Trouble> {
        match self.opinion(checked, want, shun.clone(), false).await {
            Err(Trouble::Absent) => self.opinion(checked, want, shun, true).await,
            opinion => opinion,
        }
    }

    async fn opinion(
        &self,
        checked: &CheckedHeader,
        want: &Arc<Want>,
        shun: Vec<i32>,
        may_be_empty: bool,
    ) -> Result<(BlockLogs, Arc<Endpoint>), Trouble> {
        let block = checked.header.reference();
        let (checked, want) = (checked.clone(), Arc::clone(want));
        let ask = Ask {
            block: Some(block.number),
            patience: self.options.logs_timeout,
            shun,
            ..self.question(
                Call::logs_of(block, &want.filter),
                format!("the logs of block {}", block.number),
            )
        };
        let read = move |bodies: &[Body]| {
            let logs = Logs::read(bodies, &want.set)?;
            let found = logs_of_block(logs, &checked.header)?;
            match inspect(&checked, found.given(), &want, &mut Checker::default()) {
                Finding::Wrong(reason) => Err(Unread::Lie(format!("{reason} (block {})", block.number))),
                // Taken as absent, so that the next endpoint is asked and this one not blamed.
                Finding::Inconclusive(_) if !found.is_named && !may_be_empty => Err(Unread::Absent),
                Finding::Fine(_) | Finding::Unseen | Finding::Inconclusive(_) => Ok(found),
            }
        };
        let served = self.ask(&ask, read).await?;
        Ok((served.value, served.by))
    }
}

/// The logs of an answer to a question by block hash.
pub(super) fn logs_of_block(mut logs: Logs, header: &SealedHeader) -> Result<BlockLogs, Unread> {
    let block = header.reference();
    logs.check(&(block.number..=block.number))?;
    if logs.blocks.iter().any(|named| *named != block) {
        return Err(Unread::Elsewhere(format!(
            "logs of block {} name another block",
            block.number
        )));
    }
    if let Some(reason) = logs.wrong.get(&block.number) {
        return Err(Unread::Lie(format!("block {}: {reason}", block.number)));
    }
    place_behind(&mut logs.logs, header);
    Ok(BlockLogs {
        is_named: !logs.blocks.is_empty(),
        logs: logs.logs,
    })
}

/// Puts the logs of no transaction behind those of the last one.
pub(super) fn place_behind(logs: &mut [Log], header: &SealedHeader) {
    let Some(transactions) = &header.transactions else {
        return;
    };
    for log in logs
        .iter_mut()
        .filter(|log| log.tx_hash == header.block.hash && log.tx_index == u32::MAX)
    {
        log.tx_index = u32::try_from(transactions.len()).unwrap_or(u32::MAX);
    }
}
