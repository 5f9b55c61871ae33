//! The way in: apply a span, rewind a chain, replace a span. Each is one transaction of a constant number of statements.

use std::ops::{AddAssign, RangeInclusive};

use decoders::block::{BlockRef, ChainId};
use decoders::fact::{Facts, PerKind};
use decoders::id::MAX_BLOCK;
use sqlx::PgConnection;

use crate::error::SinkError;
use crate::facts::{self, Batch, faults};
use crate::progress::basis::Basis;
use crate::progress::coverage::{self, Known, Sources};
use crate::progress::intents::{self, Intent};
use crate::progress::lease::Lease;
use crate::progress::{checkpoint, seams};
use crate::store::Store;
use crate::{abis, currencies, outbox, projections};

pub use crate::progress::moves::Move;

/// What [`apply`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Facts written.
    pub facts: PerKind<u64>,
    /// Faults recorded.
    pub faults: u64,
    /// Facts that were covered already.
    pub skipped: u64,
}

impl AddAssign for Applied {
    fn add_assign(&mut self, more: Applied) {
        self.facts += more.facts;
        self.faults += more.faults;
        self.skipped += more.skipped;
    }
}

/// What [`replace`] did, facts of every kind together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Replaced {
    /// Those that are gone or changed, and were retracted.
    pub retracted: u64,
    /// Those that are new or changed, and were announced.
    pub announced: u64,
    /// Those that stayed.
    pub kept: u64,
}

impl AddAssign for Replaced {
    fn add_assign(&mut self, more: Replaced) {
        self.retracted += more.retracted;
        self.announced += more.announced;
        self.kept += more.kept;
    }
}

/// Applies the facts of a span: whole or not at all, and once, however often it is called.
///
/// Facts of blocks that their source is covered for are dropped, except at the head: what is covered above the checkpoint may be of
/// another branch, and [`disown`] takes it back. Fails with class `Transient` when another writer commits part of the range at the
/// same moment, `Reorg` when the checkpoint is not where `step` starts or blocks above it are covered, and `Fatal` when the lease is
/// lost.
///
/// Where the span and what is stored beside it are of two branches, it fails with [`SinkError::Torn`] and notes the warning for
/// the holder of the lease.
pub async fn apply(store: &Store, facts: &Facts, step: Move<'_>) -> Result<Applied, SinkError> {
    apply_archived(store, facts, step, None).await
}

/// Like [`apply`], of a span whose raw events were put into the archive under `intent`, which the commit takes out; refused where a
/// later writer has overtaken it.
pub async fn apply_archived(
    store: &Store,
    facts: &Facts,
    step: Move<'_>,
    intent: Option<&Intent>,
) -> Result<Applied, SinkError> {
    let mut seen = None;
    let applied = commit(store, facts, step, intent, &mut seen).await;
    match (&applied, seen) {
        (Err(SinkError::Torn { chain, block }), _) => seams::suspect(store, *chain, *block).await?,
        (Err(error), Some(seen)) if is_of_a_fact(error) => explain(store, facts, step, &seen).await?,
        _ => {}
    }
    applied
}

/// Whether a fact was in the way of a commit, not what facts are about: of that, two writers may add the same row at one moment.
fn is_of_a_fact(error: &SinkError) -> bool {
    error
        .violated()
        .is_some_and(|table| !projections::is_added_by_two(table))
}

/// Fails where what was in the way of a commit is not another writer's coverage: it stays, so another attempt would end the same.
async fn explain(store: &Store, facts: &Facts, step: Move<'_>, seen: &Known) -> Result<(), SinkError> {
    let mut tx = store.pool.begin_with(BEGIN_SNAPSHOT).await?;
    // A rewind in between took back what was in the way, and the coverage with it.
    if let Move::Backfill { branch } = step
        && checkpoint::branch_of(&mut *tx, &facts.chain.to_string()).await? != branch
    {
        return Ok(());
    }
    let sources = Sources::of(facts);
    let decide = |source: &str| sources.decide(source);
    let known = Known::read(&mut tx, store, facts.chain, &decide, &facts.range).await?;
    if !known.same(seen) {
        return Ok(());
    }
    Err(SinkError::Inconsistent {
        chain: facts.chain,
        range: facts.range.clone(),
        reason: "facts of them are stored that no source in this scope is covered for",
    })
}

async fn commit(
    store: &Store,
    facts: &Facts,
    step: Move<'_>,
    intent: Option<&Intent>,
    seen: &mut Option<Known>,
) -> Result<Applied, SinkError> {
    check(facts, &step)?;
    // These commit by themselves: the store remembers what has a row, which a rollback of this transaction would make untrue.
    store.ensure_chain(facts.chain).await?;
    store.ensure_marketplaces(facts).await?;
    currencies::ensure(store, facts).await?;
    let begin = match step {
        Move::Backfill { .. } => BEGIN_BACKFILL,
        Move::Head { .. } => BEGIN,
    };
    let mut tx = store.pool.begin_with(begin).await?;
    let chain = facts.chain.to_string();
    coverage::share(&mut tx, &chain).await?;
    // A rewind takes the lock alone, so the branch that is compared here stays in force to the commit.
    if let Move::Backfill { branch } = step
        && checkpoint::branch_of(&mut *tx, &chain).await? != branch
    {
        return Err(SinkError::Raced {
            chain: facts.chain,
            range: facts.range.clone(),
        });
    }

    let sources = Sources::of(facts);
    let decide = |source: &str| sources.decide(source);
    // Without a lock yet, so that others can write meanwhile; `cover` reads it again under one and refuses what changed.
    let known = Known::read(&mut tx, store, facts.chain, &decide, &facts.range).await?;
    let known = &*seen.insert(known);
    if matches!(step, Move::Head { .. }) && !known.is_empty() {
        return Err(SinkError::CoveredAhead {
            chain: facts.chain,
            range: facts.range.clone(),
        });
    }
    let uncovered = sources.uncovered(known);
    let batch = Batch::of(facts, store.is_loaded_in_bulk(facts.chain), |place| {
        uncovered(place.source, &place.contracts, place.block_number)
    })?;
    write(&mut tx, &batch).await?;
    let refused = faults::apply(&mut tx, facts, |fault| {
        uncovered(fault.source, &[fault.contract], fault.block_number)
    })
    .await?;
    // From here on one writer of the chain at a time, which is why most of the work is done before.
    projections::apply_alone(&mut tx, &batch).await?;
    cover(&mut tx, store, &sources, known).await?;
    outbox::count(&mut tx, &batch).await?;
    // A writer that is late is refused for that, before its branch is compared with anything.
    if let Some(intent) = intent {
        intents::finish(&mut tx, intent, &facts.range).await?;
    }
    advance(&mut tx, facts, &chain, step).await?;
    seams::check(&mut tx, facts).await?;
    seams::keep(&mut tx, facts, &step).await?;
    tx.commit().await?;

    Ok(Applied {
        facts: batch.counts(),
        faults: refused,
        skipped: facts.counts().total() - batch.counts().total(),
    })
}

/// Moves the checkpoint to the last block of `facts`, at the head.
async fn advance(db: &mut PgConnection, facts: &Facts, chain: &str, step: Move<'_>) -> Result<(), SinkError> {
    let Move::Head { from, lease } = step else {
        return Ok(());
    };
    let last = facts
        .blocks
        .last()
        .expect("a head move was checked to hold all its blocks");
    checkpoint::keep(&mut *db, chain, &facts.blocks).await?;
    checkpoint::advance(db, from, last.block_ref(), lease).await
}

/// Undoes every block of `chain` above `ancestor`, at any depth, and moves the checkpoint from `from` to it.
///
/// Afterwards the tables are as if the blocks had never been applied; one retraction per fact is pending for the broker.
pub async fn rewind(
    store: &Store,
    chain: ChainId,
    from: BlockRef,
    ancestor: BlockRef,
    lease: &Lease,
) -> Result<PerKind<u64>, SinkError> {
    if ancestor.number >= from.number || lease.chain != chain {
        let reason = "a rewind goes down, under the lease of its chain";
        return Err(SinkError::Inconsistent {
            chain,
            range: ancestor.number..=from.number,
            reason,
        });
    }
    // A rewind looks facts up by the indexes that a first backfill goes without.
    store.build_indexes(chain).await?;
    let mut tx = store.pool.begin_with(BEGIN).await?;
    let name = chain.to_string();
    coverage::exclude(&mut tx, &name).await?;

    // Before anything is undone: a writer that lost the lease or the checkpoint is refused without the work.
    checkpoint::advance(&mut tx, Some(from), ancestor, lease).await?;
    let undone = revert_from(&mut tx, &name, ancestor.number + 1).await?;
    seams::stand(&mut tx, &name, ancestor).await?;
    outbox::count_undone(&mut tx, &name, None).await?;
    tx.commit().await?;
    Ok(undone)
}

/// Undoes what other writers applied of `chain` at `first` and above, where the checkpoint at `from` has not come yet.
///
/// A backfill takes the blocks that are final by its own endpoints; only the holder of the lease decides on which branch the chain
/// goes on.
pub async fn disown(
    store: &Store,
    from: Option<BlockRef>,
    first: u64,
    lease: &Lease,
) -> Result<PerKind<u64>, SinkError> {
    let chain = lease.chain;
    if from.is_some_and(|from| from.number >= first) {
        return Err(SinkError::Inconsistent {
            chain,
            range: first..=first,
            reason: "what is disowned lies above the checkpoint",
        });
    }
    store.build_indexes(chain).await?;
    let mut tx = store.pool.begin_with(BEGIN).await?;
    let name = chain.to_string();
    coverage::exclude(&mut tx, &name).await?;
    checkpoint::stay(&mut tx, from, lease).await?;
    let undone = revert_from(&mut tx, &name, first).await?;
    outbox::count_undone(&mut tx, &name, None).await?;
    tx.commit().await?;
    Ok(undone)
}

/// Takes back everything of `chain` at the block `first` and above: the counterpart of [`apply`]. Readers from before it are
/// refused from now on.
async fn revert_from(db: &mut PgConnection, chain: &str, first: u64) -> Result<PerKind<u64>, SinkError> {
    checkpoint::branch_off(db, chain).await?;
    // Deleting facts writes what they stated to `undone`, from which the retractions are made.
    outbox::prepare(db).await?;
    let undone = facts::revert_from(db, chain, first).await?;
    // After the facts are gone: projections become what the remaining facts yield.
    undo(db, chain, &undone).await?;
    faults::revert_from(db, chain, first).await?;
    abis::revert_from(db, chain, first).await?;
    // Coverage goes with the facts, so that what comes instead is a gap and no block is skipped as applied.
    coverage::revert_from(db, chain, first).await?;
    seams::forget_from(db, chain, first).await?;
    checkpoint::forget_from(db, chain, first).await?;
    Ok(undone)
}

/// Makes the tables hold of a span what `facts` hold, whatever they held before: replay with other decoders.
///
/// `facts` must hold what every decoder sees in the span. Facts that come out the same are left alone; those that are gone are
/// retracted, new ones announced, changed ones both. What a source was not applied for stays its gap, block by block. Fails with
/// class `Transient` unless what was in force when `basis` was read still is, or where a block is not final.
pub async fn replace(store: &Store, facts: &Facts, basis: &Basis) -> Result<Replaced, SinkError> {
    check_range(facts)?;
    store.build_indexes(facts.chain).await?;
    store.ensure_marketplaces(facts).await?;
    currencies::ensure(store, facts).await?;
    let mut tx = store.pool.begin_with(BEGIN).await?;
    let chain = facts.chain.to_string();
    // Alone, because what is taken back is computed from the facts that remain.
    coverage::exclude(&mut tx, &chain).await?;
    basis.check(&mut tx, store, facts).await?;

    outbox::prepare(&mut tx).await?;
    // What a source was not applied for stays its gap: a fact written there would be written again when the gap is filled.
    let mut batch = Batch::of(facts, false, |place| {
        basis.holds(facts, place.source, &place.contracts, place.block_number)
    })?;
    let replaced = facts::replace(&mut tx, &facts.range, &mut batch).await?;
    let undone = replaced.map(|kind| kind.gone);
    // Old before new: a changed fact keeps its id, and its retraction must stand in the outbox before its announcement.
    undo(&mut tx, &chain, &undone).await?;
    write(&mut tx, &batch).await?;
    projections::apply_alone(&mut tx, &batch).await?;
    faults::replace(&mut tx, facts, |fault| {
        basis.holds(facts, fault.source, &[fault.contract], fault.block_number)
    })
    .await?;
    if let Some(intent) = basis.intent() {
        intents::finish(&mut tx, intent, &facts.range).await?;
    }
    outbox::count_undone(&mut tx, &chain, Some(&batch)).await?;
    tx.commit().await?;
    Ok(Replaced {
        retracted: undone.total(),
        announced: batch.counts().total(),
        kept: replaced.map(|kind| kind.kept).total(),
    })
}

/// Whether the tables hold any fact of `range`.
pub async fn holds_facts(store: &Store, chain: ChainId, range: &RangeInclusive<u64>) -> Result<bool, SinkError> {
    facts::holds(&store.pool, chain, range).await
}

/// Every table a fact touches, in the order in which all writers lock them: facts, messages, and what follows from them. A kind of
/// which there are no facts costs no statement.
async fn write(db: &mut PgConnection, batch: &Batch<'_>) -> Result<(), SinkError> {
    if batch.counts().total() == 0 {
        return Ok(());
    }
    facts::apply(db, batch).await?;
    outbox::apply(db, batch).await?;
    projections::apply(db, batch).await
}

/// Reverts [`write`] and [`projections::apply_alone`]: queues a retraction for each of the facts that were moved to the temporary
/// tables of their kinds, newest first, and takes back what they added elsewhere.
async fn undo(db: &mut PgConnection, chain: &str, undone: &PerKind<u64>) -> Result<(), SinkError> {
    if undone.total() == 0 {
        return Ok(());
    }
    outbox::revert(db, chain).await?;
    projections::revert(db, chain, undone).await
}

/// Covers the span for its sources; refuses when what was `seen` of it before the facts were written has grown.
async fn cover(db: &mut PgConnection, store: &Store, sources: &Sources<'_>, seen: &Known) -> Result<(), SinkError> {
    let facts = sources.facts();
    let decide = |source: &str| sources.decide(source);
    let known = Known::lock(db, store, facts.chain, &decide, &facts.range).await?;
    // Facts were chosen by what was seen first. Had another writer covered some of them since, they would be counted twice.
    if !seen.same(&known) {
        return Err(SinkError::Raced {
            chain: facts.chain,
            range: facts.range.clone(),
        });
    }
    let covered = sources.covered(&known);
    coverage::cover(db, facts.chain, facts.proof, &facts.range, &covered, &known).await
}

fn check_range(facts: &Facts) -> Result<(), SinkError> {
    // An id has no room for a higher block, see docs/decisions/0003-ids.md.
    if facts.range.is_empty() || *facts.range.end() > MAX_BLOCK {
        return Err(inconsistent(facts, "the range is empty or too high"));
    }
    Ok(())
}

fn inconsistent(facts: &Facts, reason: &'static str) -> SinkError {
    SinkError::Inconsistent {
        chain: facts.chain,
        range: facts.range.clone(),
        reason,
    }
}

/// Whether the span can be applied by `step` at all.
fn check(facts: &Facts, step: &Move<'_>) -> Result<(), SinkError> {
    check_range(facts)?;
    let Move::Head { from, lease } = step else {
        return Ok(());
    };
    let refuse = |reason| Err(inconsistent(facts, reason));
    let range: &RangeInclusive<u64> = &facts.range;
    if lease.chain != facts.chain {
        return refuse("the lease is another chain's");
    }
    // Every one is kept for a later rewind, which looks for the common ancestor among them.
    if facts.blocks.len() as u64 != range.end() - range.start() + 1
        || facts.blocks.last().is_none_or(|last| last.number != *range.end())
    {
        return refuse("a head move needs every block of its range");
    }
    // What a jump leaves out stays a gap of coverage.
    if from.is_some_and(|from| from.number >= *range.start()) {
        return refuse("a head move starts above the checkpoint");
    }
    Ok(())
}

// Every statement is short; compiling one, which the planner is tempted to do for those with many lookups, takes seconds.
const BEGIN: &str = "begin; set local jit = off";

// Branch and coverage of one moment.
const BEGIN_SNAPSHOT: &str = "begin isolation level repeatable read";

// A crash of the server takes facts and coverage of the last moments together, which leaves a gap like any other.
const BEGIN_BACKFILL: &str = "begin; set local jit = off; set local synchronous_commit = off";
