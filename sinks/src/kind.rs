//! What every kind of fact does alike: written by COPY, compared with what is stored, moved into a temporary table when taken back.
//!
//! A kind of fact is a file with its [`Kind`] and its SQL: `transfers.rs`, `sales.rs`, `orders.rs`, `closings.rs`.

use std::ops::RangeInclusive;

use decoders::block::Block;
use decoders::id::Position;
use rustc_hash::FxHashMap;
use sqlx::{PgConnection, Row as _};
use uuid::Uuid;

use crate::batch::{Keys, Placed, Row};
use crate::copy::{Rows, copy, fields, timestamp};
use crate::error::SinkError;

/// A kind of fact, and the table that holds it.
pub(crate) trait Kind: Placed + Send + Sync + Sized + 'static {
    /// The ids of what a fact is about.
    type Key: Send + Sync;

    /// The table's SQL.
    const TABLE: Table;

    /// The ids of what this fact is about.
    fn key(&self, block: &Block, keys: &mut Keys) -> Self::Key;

    /// What it is announced as; none where it is not.
    fn announced(&self) -> Option<&'static str>;

    /// Appends the columns that facts of this kind have beside their place.
    fn write(row: &Row<'_, Self>, rows: &mut Rows);
}

/// The statements of one kind.
pub(crate) struct Table {
    /// How many columns `copy` has.
    pub(crate) columns: i16,
    /// Takes the place of a fact, then what [`Kind::write`] appends.
    pub(crate) copy: &'static str,
    /// Reads the blocks from $2 up to below $3: the first columns of `copy`, as many as a decoder decides.
    pub(crate) stored: &'static str,
    /// Makes the temporary table of what is taken back. It is kept by the connection and emptied by every commit, so that no
    /// catalog rows are made per rewind; a migration beside this process has it made anew.
    pub(crate) make_undone: &'static str,
    /// Moves what stands at $2 and above there.
    pub(crate) take_above: &'static str,
    /// Moves what has one of the ids $2 there.
    pub(crate) take: &'static str,
    /// Updates the planner's statistics of it.
    pub(crate) analyze: &'static str,
    /// Passes what it stated to the outbox.
    pub(crate) retract: &'static str,
}

/// Writes facts; none cost no statement.
pub(crate) async fn apply<F: Kind>(db: &mut PgConnection, chain: &str, facts: &[Row<'_, F>]) -> Result<(), SinkError> {
    if facts.is_empty() {
        return Ok(());
    }
    let Table {
        copy: statement,
        columns,
        ..
    } = F::TABLE;
    copy(db, statement, columns, facts.iter(), |fact, rows| {
        write(fact, chain, rows)
    })
    .await
}

fn write<F: Kind>(fact: &Row<'_, F>, chain: &str, rows: &mut Rows) {
    let (place, block) = (fact.fact.place(), fact.block);
    rows.row()
        .text(chain)
        .uuid(fact.id)
        .hex(place.tx_hash.as_slice())
        .bigint(place.block_number.cast_signed())
        .hex(block.hash.as_slice())
        .time(timestamp(block.time))
        .integer(place.log_index.cast_signed())
        .integer(place.item.cast_signed());
    F::write(fact, rows);
}

/// Takes back the facts of `chain` at the block `first` and above; returns how many.
pub(crate) async fn revert_from<F: Kind>(db: &mut PgConnection, chain: &str, first: u64) -> Result<u64, SinkError> {
    sqlx::query(F::TABLE.make_undone).execute(&mut *db).await?;
    let taken = sqlx::query(F::TABLE.take_above)
        .bind(chain)
        .bind(Position::floor(first))
        .execute(&mut *db)
        .await?;
    retract::<F>(db, taken.rows_affected()).await
}

/// Takes back the facts of `chain` with these ids; returns how many.
async fn revert<F: Kind>(db: &mut PgConnection, chain: &str, ids: &[Uuid]) -> Result<u64, SinkError> {
    // Even for none: what follows from several kinds reads the table of each.
    sqlx::query(F::TABLE.make_undone).execute(&mut *db).await?;
    if ids.is_empty() {
        return Ok(0);
    }
    let taken = sqlx::query(F::TABLE.take)
        .bind(chain)
        .bind(ids)
        .execute(&mut *db)
        .await?;
    retract::<F>(db, taken.rows_affected()).await
}

/// Has the facts that were taken back retracted.
async fn retract<F: Kind>(db: &mut PgConnection, taken: u64) -> Result<u64, SinkError> {
    if taken > 0 {
        sqlx::query(F::TABLE.analyze).execute(&mut *db).await?;
        sqlx::query(F::TABLE.retract).execute(db).await?;
    }
    Ok(taken)
}

/// What replacing stored facts by others came to.
pub(crate) struct Replaced {
    /// Those that were taken back: the others do not hold them, or state them differently.
    pub(crate) gone: u64,
    /// Those that stayed.
    pub(crate) kept: u64,
}

/// Takes back the facts of the blocks `range` that are not among `facts`, in which stays what is to be written. Two facts are the
/// same when their rows are, byte for byte.
pub(crate) async fn replace<F: Kind>(
    db: &mut PgConnection,
    chain: &str,
    range: &RangeInclusive<u64>,
    facts: &mut Vec<Row<'_, F>>,
) -> Result<Replaced, SinkError> {
    let stored = sqlx::query(F::TABLE.stored)
        .bind(chain)
        .bind(Position::floor(*range.start()))
        .bind(Position::floor(range.end() + 1))
        .fetch_all(&mut *db)
        .await?;
    let mut others: FxHashMap<Uuid, Vec<u8>> = FxHashMap::default();
    for row in &stored {
        others.insert(row.try_get("id")?, fields(row)?);
    }
    facts.retain(|fact| {
        let mut told = Rows::new(F::TABLE.columns);
        write(fact, chain, &mut told);
        let stays = others
            .get(&fact.id)
            .is_some_and(|stored| told.fields().starts_with(stored));
        if stays {
            others.remove(&fact.id);
        }
        !stays
    });
    let gone: Vec<Uuid> = others.into_keys().collect();
    Ok(Replaced {
        gone: revert::<F>(db, chain, &gone).await?,
        kept: (stored.len() - gone.len()) as u64,
    })
}
