//! What follows from facts: each file shows its `apply` beside its `revert`.
//!
//! A projection is a file here and a line in `PROJECTIONS`.

pub mod wash;

mod balances;
mod collections;
mod counters;
mod settlement;
pub(crate) mod tokens;
mod volumes;

use decoders::fact::PerKind;
use sqlx::PgConnection;

use crate::error::SinkError;
use crate::facts::Batch;
use crate::progress::coverage;
use crate::projection::Projection;

/// THE list of projections, in the order in which all writers lock their tables: the most contended last, and then what needs the
/// chain alone.
pub(crate) const PROJECTIONS: [Projection; 7] = [
    collections::PROJECTION,
    tokens::PROJECTION,
    balances::PROJECTION,
    volumes::PROJECTION,
    counters::PROJECTION,
    wash::PROJECTION,
    settlement::PROJECTION,
];

/// Adds what follows from the facts of `batch` alone.
pub(crate) async fn apply(db: &mut PgConnection, batch: &Batch<'_>) -> Result<(), SinkError> {
    forwards(db, batch, false).await
}

/// Adds what follows from facts of other spans as much as from those of `batch`. It waits for the other writers of the chain, so it
/// comes last, and only where there is something to compute.
pub(crate) async fn apply_alone(db: &mut PgConnection, batch: &Batch<'_>) -> Result<(), SinkError> {
    let counts = batch.counts();
    if PROJECTIONS
        .iter()
        .any(|one| one.alone && applies(one, batch) && (one.reads)(&counts))
    {
        coverage::alone(db, &batch.chain_name).await?;
    }
    forwards(db, batch, true).await
}

fn applies(projection: &Projection, batch: &Batch<'_>) -> bool {
    !(batch.is_bulk && projection.deferred)
}

async fn forwards(db: &mut PgConnection, batch: &Batch<'_>, alone: bool) -> Result<(), SinkError> {
    let counts = batch.counts();
    let due = PROJECTIONS
        .iter()
        .filter(|one| one.alone == alone && applies(one, batch));
    for projection in due {
        if (projection.reads)(&counts) {
            (projection.apply)(db, batch).await?;
        }
    }
    Ok(())
}

/// Reverts [`apply`] and [`apply_alone`] for facts of `chain` that were moved to the temporary tables of their kinds, `undone` of each.
pub(crate) async fn revert(db: &mut PgConnection, chain: &str, undone: &PerKind<u64>) -> Result<(), SinkError> {
    for projection in PROJECTIONS.iter().rev() {
        if (projection.reads)(undone) {
            (projection.revert)(db, chain).await?;
        }
    }
    Ok(())
}

/// Whether two writers may add the same row of `table`, named without its schema, at one moment.
pub(crate) fn is_added_by_two(table: &str) -> bool {
    let shared = PROJECTIONS.iter().filter(|one| one.added_by_two);
    shared
        .flat_map(|one| one.digests)
        .any(|(name, _)| name.split_once('.').is_some_and(|(_, name)| name == table))
}
