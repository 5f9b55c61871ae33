//! The way of one span: archive, decode, apply.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;

use alloy_primitives::Address;
use decoders::block::{BlockRef, ChainId, Log, Proof, Span};
use decoders::fact::{Facts, KINDS};
use rustc_hash::FxHashSet;
use sinks::commit::{self, Applied, Move, Replaced};
use sinks::progress::basis::Basis;
use sinks::progress::coverage::{self, Wanted};
use sinks::progress::intents::{self, Intent};
use sinks::progress::lease::Lease;
use sinks::progress::members::Family;
use sinks::progress::{checkpoint, cohorts};
use sinks::store::Store;
use tokio::sync::Notify;
use tracing::{debug, instrument};

use crate::archive::{Archive, ArchiveError};
use crate::error::Error;
use crate::health::ChainMetrics;
use crate::held::{Held, HeldSpan};
use crate::stored::{Interpreter, Origin};
use rpc::{Filter, Pool};

/// The coverage source that states which ranges the archive holds.
pub const ARCHIVE_SOURCE: &str = "archive";

/// One chain's parts, shared by its follower and its backfill workers.
#[derive(Clone)]
pub struct Pipeline {
    /// The chain.
    pub chain: ChainId,
    /// Where spans are read from.
    pub endpoints: Arc<Pool>,
    /// Where raw events are kept.
    pub archive: Arc<Archive>,
    /// Where facts and projections are kept.
    pub store: Store,
    /// What operators watch.
    pub metrics: ChainMetrics,
    /// Which logs are asked for.
    pub filter: Arc<Filter>,
    /// What coverage is to be complete of.
    pub wanted: Arc<[Wanted]>,
    /// Reads the logs of contracts with stored ABIs.
    pub stored: Arc<Interpreter>,
    /// Rung after every commit, so that the publisher sends at once.
    pub committed: Arc<Notify>,
    /// Logs that one span may hold, and facts after which it is committed before the rest of it is decoded.
    pub span_rows: usize,
    /// What is held between endpoints and tables, over all workers.
    pub held: Arc<Held>,
}

impl Pipeline {
    /// Reads this block, proven as far as `wanted` where the chain allows.
    ///
    /// # Errors
    /// Whatever the endpoints answer.
    pub async fn read_block(&self, block: BlockRef, wanted: Proof) -> Result<HeldSpan, Error> {
        let timer = self.metrics.fetch_seconds.start_timer();
        let mut span = self.endpoints.block_span(block, &self.filter, wanted).await?;
        self.leave_out_early(&mut span);
        self.complete(&mut span).await?;
        timer.stop_and_record();
        Ok(HeldSpan::new(span, &self.held))
    }

    /// Reads the blocks of `range`, proven as far as `wanted` where the chain allows: as far as they could be read, and not more of
    /// them than a span may hold.
    ///
    /// # Errors
    /// Whatever the endpoints answer.
    pub async fn read_range(&self, range: RangeInclusive<u64>, wanted: Proof) -> Result<HeldSpan, Error> {
        let timer = self.metrics.fetch_seconds.start_timer();
        let mut span = self.endpoints.range_span(range, &self.filter, wanted).await?;
        self.leave_out_early(&mut span);
        // Blocks may hold more than those before them, by which the range was chosen.
        span.shorten(self.span_rows);
        self.complete(&mut span).await?;
        timer.stop_and_record();
        Ok(HeldSpan::new(span, &self.held))
    }

    /// The same for a gap: where some registered contracts are covered for all of `range`, it reads the others alone.
    ///
    /// # Errors
    /// Whatever the store answers.
    pub async fn for_gap(&self, range: &RangeInclusive<u64>) -> Result<Pipeline, Error> {
        let mut pipeline = self.clone();
        if self.filter.addresses.is_empty() {
            return Ok(pipeline);
        }
        // What a writer left half written is written again for all of them.
        if intents::is_open(&self.store, self.chain, range).await? {
            return Ok(pipeline);
        }
        // One more contract on a chain with hundreds costs its own logs and receipts alone.
        let missing = coverage::uncovered(&self.store, self.chain, &self.wanted, range).await?;
        let missing: FxHashSet<Address> = missing.iter().filter_map(|source| source.parse().ok()).collect();
        let mut contracts = self.filter.addresses.clone();
        contracts.retain(|contract| missing.contains(contract));
        // No contract would mean all of them; there was a gap when the range was planned.
        if !contracts.is_empty() && contracts.len() < self.filter.addresses.len() {
            pipeline.filter = Arc::new(Filter {
                whole: self.filter.whole.clone(),
                ..filter_of(self.chain, contracts)
            });
        }
        Ok(pipeline)
    }

    /// Lets contracts that are covered alike share their rows of coverage, so that a block costs the same however many there are.
    ///
    /// # Errors
    /// Whatever the store answers.
    pub async fn gather(&self) -> Result<(), Error> {
        let (store, chain) = (&self.store, self.chain);
        if !self.filter.addresses.is_empty() {
            let wanted = self.wanted.iter();
            let wanted = wanted.filter_map(|wanted| Some((wanted.source.parse().ok()?, wanted.from)));
            cohorts::gather(store, chain, Family::Contracts, &wanted.collect::<Vec<_>>()).await?;
        }
        let followed = self.stored.followed().iter();
        let followed: Vec<(Address, u64)> = followed.map(|followed| (followed.address, followed.from)).collect();
        if !followed.is_empty() {
            cohorts::gather(store, chain, Family::Logs, &followed).await?;
            cohorts::gather(store, chain, Family::Abi, &followed).await?;
        }
        Ok(())
    }

    /// Drops what stands below the first block of interest of the followed contract that it was read for.
    fn leave_out_early(&self, span: &mut Span) {
        if self.stored.followed().is_empty() {
            return;
        }
        let mut logs = std::mem::take(&mut span.logs);
        logs.retain(|log| !self.stored.is_early(log) || self.filter.is_by_topic(span, log));
        span.logs = logs;
    }

    /// Reads what decoding `span` wants beside its logs.
    async fn complete(&self, span: &mut Span) -> Result<(), Error> {
        self.metrics.receipts.inc_by(self.endpoints.take_receipts());
        let Completed { transactions, calls } = complete(&self.endpoints, span).await?;
        self.metrics.transactions.inc_by(transactions);
        self.metrics.calls.inc_by(calls);
        Ok(())
    }

    /// Takes one span all the way: raw events first, then facts, projections, coverage and checkpoint in one transaction.
    ///
    /// A span with more facts than should be held at once is several transactions of whole blocks, one after another. Each is a
    /// span of its own, so where a later one fails, those before it stand, and what is left is read again.
    ///
    /// # Errors
    /// Whatever the archive or the store answers.
    #[instrument(name = "apply", skip_all, fields(from = span.range.start(), to = span.range.end()))]
    pub async fn write(&self, span: &Span, step: Move<'_>) -> Result<Applied, Error> {
        // Read before the archive is written: upgrades and readings of this span are refused if a rewind comes in between.
        let branch = match step {
            Move::Backfill { branch } => branch,
            Move::Head { .. } => self.branch().await?,
        };
        // Raw events first, so that a crash leaves an archive that holds more than the tables name and never less.
        let intent = intents::begin(&self.store, self.chain, span.range.clone(), &step).await?;
        let timer = self.metrics.archive_seconds.start_timer();
        let archived = self
            .archive
            .put_asked(span, &|log| self.filter.settles(span, log), &intent)
            .await?;
        timer.stop_and_record();
        self.metrics.archive_writes.inc_by(archived);
        let (mut applied, mut step) = (Applied::default(), step);
        // Decoded piece by piece and each committed before the next, so that no more than one piece of facts is in memory.
        for facts in facts_of(span, &self.filter.addresses, self.span_rows) {
            let _holding = self.held.hold(facts.count());
            applied += self.commit(&facts, step, &intent).await?;
            step = step.after(&facts);
        }
        debug!(logs = span.logs.len(), archived, "written");
        // Behind the commit: facts do not wait for stored ABIs, and what fails here stays a gap of their contracts.
        self.interpret(span, &self.stored.contracts(), Origin::Committed, branch)
            .await?;
        Ok(applied)
    }

    /// Commits the facts of one span.
    async fn commit(&self, facts: &Facts, step: Move<'_>, intent: &Intent) -> Result<Applied, Error> {
        let timer = self.metrics.commit_seconds.start_timer();
        let applied = commit::apply_archived(&self.store, facts, step, Some(intent)).await?;
        timer.stop_and_record();
        debug!(to = facts.range.end(), facts = applied.facts.to_string(), "committed");
        self.committed.notify_one();
        self.count(facts);
        Ok(applied)
    }

    /// The chain's branch, where it will be needed: no contract is followed on most chains.
    async fn branch(&self) -> Result<i64, Error> {
        if self.stored.followed().is_empty() {
            return Ok(0);
        }
        Ok(checkpoint::branch(&self.store, self.chain).await?)
    }

    /// Reads the logs of followed contracts in `span` by their ABIs; see [`Interpreter::read`].
    ///
    /// # Errors
    /// Whatever the archive or the store answers; the span stays a gap of its contracts.
    pub async fn interpret(
        &self,
        span: &Span,
        contracts: &[Address],
        origin: Origin<'_>,
        branch: i64,
    ) -> Result<(), Error> {
        if contracts.is_empty() {
            return Ok(());
        }
        for fault in self.stored.read(span, contracts, origin, branch).await? {
            self.metrics.fault(fault.source, fault.reason);
        }
        Ok(())
    }

    fn count(&self, facts: &Facts) {
        self.metrics.blocks.inc_by(facts.range.end() - facts.range.start() + 1);
        // A kind of which there were none yet is shown as zero.
        let names = KINDS.iter().flat_map(|kind| kind.names);
        let mut events: BTreeMap<&str, u64> = names.map(|name| (*name, 0)).collect();
        // Counted after the commit, or a span that is tried again would be counted twice.
        let named = facts.iter().filter_map(|fact| fact.name());
        named.for_each(|name| *events.entry(name).or_default() += 1);
        for (name, count) in events {
            self.metrics.events(name, count);
        }
        for fault in &facts.faults {
            self.metrics.fault(fault.source, fault.reason);
        }
    }
}

/// What completing a span took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Completed {
    /// Transactions read.
    pub transactions: u64,
    /// Contract calls made.
    pub calls: u64,
}

/// Adds to `span` what decoding it wants beside its logs, as far as `endpoints` have it. Where nothing is wanted, nothing is
/// asked.
///
/// # Errors
/// Whatever the endpoints answer, except that they do not have what is wanted.
pub async fn complete(endpoints: &Pool, span: &mut Span) -> Result<Completed, Error> {
    let mut completed = Completed::default();
    let (mut hashes, mut questions) = (FxHashSet::default(), FxHashSet::default());
    // An answer may raise another question. What is missing after the last round is done without, and the fact is flagged.
    for _ in 0..decoders::ROUNDS {
        let mut wants = decoders::wants(span);
        // What no endpoint had is not asked for again.
        wants.envelopes.retain(|hash| hashes.insert(*hash));
        wants.calls.retain(|call| questions.insert(call.clone()));
        if wants.is_empty() {
            break;
        }
        let read = async { endpoints.envelopes(&wants.envelopes).await };
        let asked = async { endpoints.answers(&wants.calls).await };
        // Side by side: neither needs the other.
        let (envelopes, (answers, calls)) = tokio::try_join!(read, asked)?;
        completed.transactions += envelopes.len() as u64;
        completed.calls += calls as u64;
        span.context.envelopes.extend(envelopes);
        span.context.answers.extend(answers);
    }
    endpoints.learn_context(span);
    Ok(completed)
}

/// Facts after which a replayed span is committed before the rest of it is decoded.
const REPLACED_FACTS: usize = 50_000;

/// What became of the facts of a range.
#[derive(Clone, Copy, Debug)]
pub struct Rewritten {
    /// What was retracted, announced and kept.
    pub replaced: Replaced,
    /// Transactions and answers that decoders want and that are not available.
    pub missing: usize,
}

/// What decodes archived blocks once more: a replay, or another try for logs at fault.
pub struct Rewriter<'a> {
    /// The tables.
    pub store: &'a Store,
    /// Raw events.
    pub archive: &'a Archive,
    /// The chain.
    pub chain: ChainId,
    /// Contracts the chain is read for; empty where it is read for all.
    pub contracts: &'a [Address],
    /// Where what decoders want beside logs, and the archive misses, is read; nowhere, where absent.
    pub endpoints: Option<&'a Pool>,
    /// The chain's lease, by whose holder also blocks that are not final are rewritten.
    pub lease: Option<&'a Lease>,
}

impl Rewriter<'_> {
    /// Decodes what the archive holds of `range`, and replaces what the tables hold of it.
    ///
    /// Block by block, a decoder or contract that the range was not covered for has no logs there and is left out: its gap is
    /// filled by reading the chain. What is read beside the logs is archived; where the chain is read for contracts, that is also
    /// the rest of transactions of which the archive holds their logs alone.
    ///
    /// # Errors
    /// Whatever the archive or the store answers, blocks that are not final where there is no lease, and an archive that cannot be
    /// the one the tables were written from; the range is then as it was.
    pub async fn rewrite(&self, range: RangeInclusive<u64>) -> Result<Rewritten, Error> {
        let (store, chain) = (self.store, self.chain);
        // Before the archive is read: what is replaced at the end is then refused if any of it changed meanwhile.
        let mut basis = Basis::read(store, chain, range.clone(), self.lease).await?;
        self.check(&basis, &range)?;
        let mut span = self.archive.read(chain, range.clone()).await?;
        // An empty archive under stored facts is most likely another one, and a replay from it would retract everything.
        if span.logs.is_empty() && !basis.is_empty() && commit::holds_facts(store, chain, &range).await? {
            return Err(ArchiveError::Foreign { chain, range }.into());
        }
        if let Some(endpoints) = self.endpoints {
            // What was read beside the archive is archived before it is decoded, so that the next replay needs no endpoint.
            let held = span.logs.len();
            if !self.contracts.is_empty() {
                let filter = filter_of(chain, self.contracts.to_vec());
                endpoints.add_siblings(&mut span, &filter).await?;
            }
            if complete(endpoints, &mut span).await? != Completed::default() || span.logs.len() > held {
                self.archive.put(&span, basis.register(store).await?).await?;
            }
        }
        // Counted and reported only: a sale without them is decoded and flagged.
        let missing = decoders::wants(&span);
        let missing = missing.envelopes.len() + missing.calls.len();
        let mut replaced = Replaced::default();
        // Piece by piece, each a transaction of whole blocks: a span may hold more facts than memory should.
        for mut facts in archived_facts(&span, REPLACED_FACTS) {
            facts.contracts = self.contracts.to_vec();
            replaced += commit::replace(store, &facts, &basis).await?;
        }
        Ok(Rewritten { replaced, missing })
    }

    /// Whether the range may be rewritten at all.
    fn check(&self, basis: &Basis, range: &RangeInclusive<u64>) -> Result<(), Error> {
        let (chain, first, last) = (self.chain, range.start(), range.end());
        let is_archived = basis.covers(ARCHIVE_SOURCE) || !self.contracts.is_empty();
        if !basis.is_within_reach() || !is_archived {
            let why = if is_archived { "final" } else { "archived" };
            return Err(Error::Stalled(format!(
                "blocks {first} to {last} of {chain} are not all {why}"
            )));
        }
        if basis.is_written() {
            let advice =
                "it is finished by the writer, or by `indexer run` and `indexer backfill` a minute after it began";
            return Err(Error::Stalled(format!(
                "the archive is being written in blocks {first} to {last} of {chain}: {advice}"
            )));
        }
        Ok(())
    }
}

/// What an archived span holds of the `contracts` it was read for, or of all: in pieces of about `most` facts.
fn facts_of(span: &Span, contracts: &[Address], most: usize) -> impl Iterator<Item = Facts> {
    let known: FxHashSet<Address> = contracts.iter().copied().collect();
    archived_facts(span, most).map(move |mut facts| {
        facts.contracts = contracts.to_vec();
        if !known.is_empty() {
            keep_of(&mut facts, |contract, _| known.contains(contract));
        }
        facts
    })
}

/// All that an archived span holds, in pieces of about `most` facts; with the archive among the sources.
fn archived_facts(span: &Span, most: usize) -> impl Iterator<Item = Facts> {
    decoders::decode_pieces(span, most).map(|mut facts| {
        facts.sources.push(ARCHIVE_SOURCE);
        facts.sources.sort_unstable();
        facts
    })
}

/// Leaves the facts of contracts for which `is_kept` is true at their block. A sale is of its token's contract and of its
/// market's, every other fact of the contract that emitted it.
fn keep_of(facts: &mut Facts, is_kept: impl Fn(&Address, u64) -> bool) {
    facts.retain(|fact| {
        let place = fact.place();
        place
            .contracts
            .iter()
            .any(|contract| is_kept(contract, place.block_number))
    });
    facts
        .faults
        .retain(|fault| is_kept(&fault.contract, fault.block_number));
}

/// The logs of `contracts` that decoders know, with what the markets emitted beside them; those of all contracts where none is
/// named, with what else is in the transactions of sales.
pub fn filter_of(chain: ChainId, contracts: Vec<Address>) -> Filter {
    let draws: fn(ChainId, &Log) -> bool = if contracts.is_empty() {
        decoders::may_be_sale
    } else {
        decoders::is_claimed
    };
    Filter {
        topics: decoders::topics(),
        draws: Some(draws),
        addresses: contracts,
        whole: Vec::new(),
        shared: decoders::shared_topics(chain),
        holds: Some(decoders::may_be_sale),
    }
}

/// What coverage of one registered contract is complete of, from block `from` on.
pub fn wanted(contract: &Address, from: u64) -> Wanted {
    let source = source_of(contract);
    Wanted { source, from }
}

fn source_of(contract: &Address) -> String {
    Family::Contracts.source(contract)
}

/// What coverage of a chain that follows every contract is complete of: each decoder, and the archive.
pub fn everything() -> Vec<Wanted> {
    let sources = decoders::sources().iter().chain(&[ARCHIVE_SOURCE]);
    sources
        .map(|source| Wanted {
            source: (*source).to_owned(),
            from: 0,
        })
        .collect()
}
