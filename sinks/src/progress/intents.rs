//! Who writes the archive, where, and since when: written down before a write begins, and taken out by the commit that follows it.
//!
//! The archive may be another server, whose writes no transaction here holds together. A writer therefore registers an intent,
//! under the lease or the branch it read under. Its number grows and is written with every record: a later intent on the same
//! blocks overtakes an earlier one, whose commit is then refused, whose deletes spare the later one's records, and whose own
//! records are not read. See docs/decisions/0011-who-may-write.md.

use std::ops::RangeInclusive;

use decoders::block::ChainId;
use decoders::id::MAX_BLOCK;
use sqlx::{PgConnection, Postgres, Transaction};

use crate::error::SinkError;
use crate::progress::checkpoint;
use crate::progress::moves::Move;
use crate::progress::ranges::union;
use crate::store::Store;

/// The right to write one range of the archive, until a later one overtakes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intent {
    /// The chain.
    pub chain: ChainId,
    /// The blocks.
    pub range: RangeInclusive<u64>,
    /// Grows with every intent.
    pub number: i64,
    /// Whether an earlier one on some of the blocks was never finished: its writer may be cut off, stopped, or late.
    pub contested: bool,
}

impl Intent {
    /// Of a writer that has only some logs of the range: it cannot make good what an earlier one left half written, so that stays to
    /// be written again.
    pub fn for_some_logs(self) -> Self {
        Intent {
            contested: false,
            ..self
        }
    }
}

/// Records of these blocks with a lower number are of writers that were overtaken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fence {
    /// The blocks.
    pub range: RangeInclusive<u64>,
    /// The lowest number to read.
    pub number: i64,
}

/// Registers a write of `range` by the process that will commit it with `step`.
///
/// Fails with [`SinkError::LeaseLost`] or class `Reorg` where the head is another's by now, and with class `Transient` where a
/// backfill read another branch, or blocks that are not final.
pub async fn begin(
    store: &Store,
    chain: ChainId,
    range: RangeInclusive<u64>,
    step: &Move<'_>,
) -> Result<Intent, SinkError> {
    let mut tx = ordered(store, chain).await?;
    // A late writer is refused here already: its intent would overtake that of the writer that is in force.
    match step {
        Move::Head { from, lease } => checkpoint::stay(&mut tx, *from, lease).await?,
        Move::Backfill { branch } => {
            let standing = checkpoint::standing(&mut tx, chain).await?;
            if standing.branch != *branch || standing.last_final < *range.end() {
                return Err(SinkError::Raced { chain, range });
            }
        }
    }
    register(tx, chain, range).await
}

/// A transaction that registers a write: one at a time, so that each sees those with lower numbers.
pub(crate) async fn ordered(store: &Store, chain: ChainId) -> Result<Transaction<'static, Postgres>, SinkError> {
    let mut tx = store.pool.begin().await?;
    sqlx::query(ORDER).bind(chain.to_string()).execute(&mut *tx).await?;
    Ok(tx)
}

/// Registers a write of `range` by whoever has shown the right to it in `tx`, which is [`ordered`], and commits.
pub(crate) async fn register(
    mut tx: Transaction<'static, Postgres>,
    chain: ChainId,
    range: RangeInclusive<u64>,
) -> Result<Intent, SinkError> {
    let (number, contested): (i64, bool) = sqlx::query_as(BEGIN)
        .bind(chain.to_string())
        .bind(range.start().cast_signed())
        .bind(range.end().cast_signed())
        .fetch_one(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(Intent {
        chain,
        range,
        number,
        contested,
    })
}

/// Fails unless `intent` is still in force, and keeps it so until the transaction ends.
pub async fn check(db: &mut PgConnection, intent: &Intent) -> Result<(), SinkError> {
    let held: bool = sqlx::query_scalar(CHECK).bind(intent.number).fetch_one(db).await?;
    if held { Ok(()) } else { Err(overtaken(intent)) }
}

/// Takes `range` out of `intent`: what it was registered for is written there, and this transaction records so.
pub(crate) async fn finish(
    db: &mut PgConnection,
    intent: &Intent,
    range: &RangeInclusive<u64>,
) -> Result<(), SinkError> {
    let (low, high) = (range.start().cast_signed(), range.end().cast_signed());
    if intent.contested {
        // Before any row is locked, as in `begin`.
        sqlx::query(ORDER)
            .bind(intent.chain.to_string())
            .execute(&mut *db)
            .await?;
    }
    let taken = sqlx::query(FINISH)
        .bind(intent.number)
        .bind(low)
        .bind(high)
        .execute(&mut *db)
        .await?;
    if taken.rows_affected() != 1 {
        return Err(overtaken(intent));
    }
    sqlx::query(END).bind(intent.number).execute(&mut *db).await?;
    if !intent.contested {
        return Ok(());
    }
    // Records of the writer that was overtaken may still arrive: the fence hides them, and its intent loses the blocks that are
    // whole now.
    for statement in [FENCE, OVERTAKE, CLEAR] {
        sqlx::query(statement)
            .bind(intent.chain.to_string())
            .bind(low)
            .bind(high)
            .bind(intent.number)
            .execute(&mut *db)
            .await?;
    }
    Ok(())
}

/// The fences on `range`; none, where no writer was ever overtaken.
pub async fn fences(store: &Store, chain: ChainId, range: &RangeInclusive<u64>) -> Result<Vec<Fence>, SinkError> {
    let rows: Vec<(i64, i64, i64)> = sqlx::query_as(FENCES)
        .bind(chain.to_string())
        .bind(range.start().cast_signed())
        .bind(range.end().min(&MAX_BLOCK).cast_signed())
        .fetch_all(&store.pool)
        .await?;
    let fence = |(low, high, number): (i64, i64, i64)| Fence {
        range: low.cast_unsigned()..=high.cast_unsigned(),
        number,
    };
    Ok(rows.into_iter().map(fence).collect())
}

/// `missing` and the blocks of `range` whose write was begun at least a minute ago and not finished, in ascending order: what the
/// archive holds of those may be half of it.
pub async fn with_abandoned(
    store: &Store,
    chain: ChainId,
    range: &RangeInclusive<u64>,
    missing: &[RangeInclusive<u64>],
) -> Result<Vec<RangeInclusive<u64>>, SinkError> {
    // Coverage may record these blocks from before: their records were half replaced since, so they are read once more.
    let rows: Vec<(i64, i64)> = sqlx::query_as(ABANDONED)
        .bind(chain.to_string())
        .bind(range.start().cast_signed())
        .bind(range.end().cast_signed())
        .fetch_all(&store.pool)
        .await?;
    let blocks = |(low, high): (i64, i64)| low.cast_unsigned()..=high.cast_unsigned();
    let abandoned: Vec<RangeInclusive<u64>> = rows.into_iter().map(blocks).collect();
    Ok(union(missing, &abandoned))
}

/// Whether a write of some block of `range` is under way or was cut short.
pub async fn is_open(store: &Store, chain: ChainId, range: &RangeInclusive<u64>) -> Result<bool, SinkError> {
    let mut db = store.pool.acquire().await?;
    is_written(&mut db, chain, range, None).await
}

/// Whether a write of some block of `range` other than `own` is under way or was cut short.
pub(crate) async fn is_written(
    db: &mut PgConnection,
    chain: ChainId,
    range: &RangeInclusive<u64>,
    own: Option<&Intent>,
) -> Result<bool, SinkError> {
    let written = sqlx::query_scalar(IS_WRITTEN)
        .bind(chain.to_string())
        .bind(range.start().cast_signed())
        .bind(range.end().cast_signed())
        .bind(own.map(|own| own.number));
    Ok(written.fetch_one(db).await?)
}

fn overtaken(intent: &Intent) -> SinkError {
    SinkError::Raced {
        chain: intent.chain,
        range: intent.range.clone(),
    }
}

const ORDER: &str = "select pg_advisory_xact_lock(hashtextextended($1, 2))";

// `earlier` sees the table as it was before the insert, so an intent does not overtake itself.
const BEGIN: &str = "with earlier as (
        update indexer_service.archive_intents set overtaken = true
         where chain_id = $1 and blocks && int8multirange(int8range($2, $3, '[]')) returning number
    )
    insert into indexer_service.archive_intents (chain_id, blocks)
    values ($1, int8multirange(int8range($2, $3, '[]')))
    returning number, exists (select from earlier)";

// The row stays locked: who would overtake waits until what is written under it stands.
const CHECK: &str = "with held as (
        select from indexer_service.archive_intents where number = $1 and not overtaken for share
    )
    select exists (select from held)";

const FINISH: &str =
    "update indexer_service.archive_intents set blocks = blocks - int8multirange(int8range($2, $3, '[]'))
    where number = $1 and not overtaken";

const END: &str = "delete from indexer_service.archive_intents where number = $1 and isempty(blocks)";

const FENCE: &str = "insert into indexer_service.archive_fences (chain_id, number, blocks)
    values ($1, $4, int8range($2, $3, '[]'))";

const OVERTAKE: &str =
    "update indexer_service.archive_intents set blocks = blocks - int8multirange(int8range($2, $3, '[]'))
    where chain_id = $1 and number < $4 and blocks && int8multirange(int8range($2, $3, '[]'))";

// The last condition is always true: it lets the three statements of `finish` take the same parameters.
const CLEAR: &str = "delete from indexer_service.archive_intents
    where chain_id = $1 and number < $4 and isempty(blocks) and $2::int8 <= $3::int8";

const FENCES: &str = "select lower(blocks), upper(blocks) - 1, number from indexer_service.archive_fences
    where chain_id = $1 and blocks && int8range($2, $3, '[]')";

// Younger ones are taken for writes under way, which their commit will take out.
const ABANDONED: &str = "select lower(r), upper(r) - 1
    from (select range_agg(blocks * int8multirange(int8range($2, $3, '[]'))) as blocks
            from indexer_service.archive_intents
           where chain_id = $1 and begun_at < clock_timestamp() - interval '1 minute') as abandoned, unnest(blocks) r
    order by 1";

// `is distinct from`, so that without an intent of one's own every one counts.
const IS_WRITTEN: &str = "select exists (select from indexer_service.archive_intents
    where chain_id = $1 and blocks && int8multirange(int8range($2, $3, '[]')) and number is distinct from $4)";
