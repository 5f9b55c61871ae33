//! Where the follower stands on a chain, what its endpoints last called its heads, and the blocks that can still be undone.

use alloy_primitives::B256;
use chrono::{DateTime, Utc};
use decoders::block::{Block, BlockRef, ChainId};
use sqlx::{PgConnection, PgExecutor};

use crate::copy::timestamp;
use crate::error::SinkError;
use crate::progress::lease::{self, Lease};
use crate::store::Store;

/// Where the follower stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Last block applied.
    pub block: BlockRef,
    /// When it was applied.
    pub updated_at: DateTime<Utc>,
    /// Height last observed as latest.
    pub head: Option<u64>,
    /// Height last observed as safe.
    pub safe: Option<u64>,
    /// Height last observed as finalized.
    pub finalized: Option<u64>,
    /// When the heads were observed.
    pub observed_at: Option<DateTime<Utc>>,
}

/// Where a chain stands, and what is in doubt about it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stand {
    /// The checkpoint; none before the first block was applied.
    pub checkpoint: Option<Checkpoint>,
    /// The lowest block at which spans of two branches met, until the holder of the lease has decided.
    pub suspect: Option<u64>,
}

/// Where `chain` stands, in one statement.
pub async fn stand(store: &Store, chain: ChainId) -> Result<Stand, SinkError> {
    let row: Option<Row> = sqlx::query_as(READ)
        .bind(chain.to_string())
        .fetch_optional(&store.pool)
        .await?;
    let suspect = row.as_ref().and_then(|row| height(row.suspect_block));
    Ok(Stand {
        checkpoint: row.and_then(Row::checkpoint),
        suspect,
    })
}

/// What the endpoints call the heads of a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Observation {
    /// Height of the latest block.
    pub head: u64,
    /// Height of the safe block.
    pub safe: Option<u64>,
    /// Height of the finalized block.
    pub finalized: Option<u64>,
    /// Of the latest block, in wei. It is kept in the chain's gas policy, where there is one, and not read back.
    pub base_fee: Option<u64>,
}

/// The checkpoint of `chain`; `None` before the first block was applied.
pub async fn read(store: &Store, chain: ChainId) -> Result<Option<Checkpoint>, SinkError> {
    Ok(stand(store, chain).await?.checkpoint)
}

/// What was last observed of `chain`, with or without a checkpoint.
pub async fn observed(store: &Store, chain: ChainId) -> Result<Option<Observation>, SinkError> {
    let row: Option<Row> = sqlx::query_as(READ)
        .bind(chain.to_string())
        .fetch_optional(&store.pool)
        .await?;
    Ok(row.and_then(|row| {
        Some(Observation {
            head: height(row.head_block)?,
            safe: height(row.safe_block),
            finalized: height(row.finalized_block),
            base_fee: None,
        })
    }))
}

/// Stores what was observed, and forgets the blocks below the finalized one: nothing undoes them any more. The checkpoint's own
/// block is kept, because its time shows how far behind the chain is.
///
/// # Errors
/// [`SinkError::LeaseLost`] where `lease` is no longer in force: every writer below the finalized block trusts what is stored here.
pub async fn observe(store: &Store, lease: &Lease, observation: &Observation) -> Result<(), SinkError> {
    let observed = sqlx::query(OBSERVE)
        .bind(lease.chain.to_string())
        .bind(&lease.holder)
        .bind(lease.token)
        .bind(observation.head.cast_signed())
        .bind(observation.safe.map(u64::cast_signed))
        .bind(observation.finalized.map(u64::cast_signed))
        .bind(observation.base_fee.and_then(|fee| i64::try_from(fee).ok()))
        .execute(&store.pool)
        .await?;
    if observed.rows_affected() == 1 {
        return Ok(());
    }
    Err(SinkError::LeaseLost { chain: lease.chain })
}

/// The applied blocks of `chain` that can still be undone, newest first.
pub async fn kept(store: &Store, chain: ChainId) -> Result<Vec<Block>, SinkError> {
    let rows: Vec<(i64, String, DateTime<Utc>)> = sqlx::query_as(KEPT)
        .bind(chain.to_string())
        .fetch_all(&store.pool)
        .await?;
    let block = |(number, hash, time): (i64, String, DateTime<Utc>)| {
        Some(Block {
            number: number.cast_unsigned(),
            hash: hash.parse().ok()?,
            time: time.timestamp().cast_unsigned(),
        })
    };
    Ok(rows.into_iter().filter_map(block).collect())
}

/// Keeps `blocks` for a later rewind.
pub(crate) async fn keep(db: &mut PgConnection, chain: &str, blocks: &[Block]) -> Result<(), SinkError> {
    sqlx::query(KEEP)
        .bind(chain)
        .bind(
            blocks
                .iter()
                .map(|block| block.number.cast_signed())
                .collect::<Vec<i64>>(),
        )
        .bind(blocks.iter().map(|block| block.hash.to_string()).collect::<Vec<_>>())
        .bind(blocks.iter().map(|block| timestamp(block.time)).collect::<Vec<_>>())
        .execute(db)
        .await?;
    Ok(())
}

/// How many times `chain` was rewound: what was read before the last time may be of the branch left behind.
pub async fn branch(store: &Store, chain: ChainId) -> Result<i64, SinkError> {
    branch_of(&store.pool, &chain.to_string()).await
}

pub(crate) async fn branch_of(db: impl PgExecutor<'_>, chain: &str) -> Result<i64, SinkError> {
    Ok(sqlx::query_scalar(BRANCH).bind(chain).fetch_one(db).await?)
}

/// On which branch a chain is, and up to where it can no longer leave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    /// See [`branch`].
    pub(crate) branch: i64,
    /// The highest block that is final. All of a chain whose head was never followed: what was backfilled was final by then.
    pub(crate) last_final: u64,
    /// The checkpoint; `None` on a chain whose head was never followed.
    pub(crate) last_block: Option<u64>,
}

/// The highest final block of `chain`: only up to there may be written without the lease.
pub async fn last_final(store: &Store, chain: ChainId) -> Result<u64, SinkError> {
    let mut db = store.pool.acquire().await?;
    Ok(standing(&mut db, chain).await?.last_final)
}

pub(crate) async fn standing(db: &mut PgConnection, chain: ChainId) -> Result<Standing, SinkError> {
    let row: Option<(i64, Option<i64>, Option<i64>)> = sqlx::query_as(STANDING)
        .bind(chain.to_string())
        .fetch_optional(db)
        .await?;
    let (branch, last_block, finalized) = row.unwrap_or_default();
    // A checkpoint without a finalized height means that nothing is known to be final; no checkpoint means that the chain was
    // only ever backfilled.
    let last_final = last_block.map_or(u64::MAX, |_| height(finalized).unwrap_or(0));
    Ok(Standing {
        branch,
        last_final,
        last_block: height(last_block),
    })
}

/// Notes a rewind.
pub(crate) async fn branch_off(db: &mut PgConnection, chain: &str) -> Result<(), SinkError> {
    sqlx::query(BRANCH_OFF).bind(chain).execute(db).await?;
    Ok(())
}

/// Forgets the block `first` of `chain` and those above it.
pub(crate) async fn forget_from(db: &mut PgConnection, chain: &str, first: u64) -> Result<(), SinkError> {
    sqlx::query(FORGET)
        .bind(chain)
        .bind(first.cast_signed())
        .execute(db)
        .await?;
    Ok(())
}

/// Moves the checkpoint from `from` to `to`: compare-and-set on number and hash, under the lease.
///
/// No row moved means another writer: the lease was lost, or the checkpoint is elsewhere.
pub(crate) async fn advance(
    db: &mut PgConnection,
    from: Option<BlockRef>,
    to: BlockRef,
    lease: &Lease,
) -> Result<(), SinkError> {
    let statement = if from.is_some() { ADVANCE } else { BEGIN };
    let mut query = sqlx::query(statement)
        .bind(lease.chain.to_string())
        .bind(&lease.holder)
        .bind(lease.token)
        .bind(to.number.cast_signed())
        .bind(to.hash.to_string());
    if let Some(from) = from {
        query = query.bind(from.number.cast_signed()).bind(from.hash.to_string());
    }
    if query.execute(&mut *db).await?.rows_affected() == 1 {
        return Ok(());
    }
    lease::check(db, lease).await?;
    Err(SinkError::CheckpointMoved {
        chain: lease.chain,
        expected: from,
    })
}

/// Fails unless the checkpoint is at `from` and `lease` in force, and keeps both as they are to the commit.
pub(crate) async fn stay(db: &mut PgConnection, from: Option<BlockRef>, lease: &Lease) -> Result<(), SinkError> {
    let held: bool = sqlx::query_scalar(STAY)
        .bind(lease.chain.to_string())
        .bind(&lease.holder)
        .bind(lease.token)
        .bind(from.map(|from| from.number.cast_signed()))
        .bind(from.map(|from| from.hash.to_string()))
        .fetch_one(&mut *db)
        .await?;
    if held {
        return Ok(());
    }
    lease::check(db, lease).await?;
    Err(SinkError::CheckpointMoved {
        chain: lease.chain,
        expected: from,
    })
}

const READ: &str =
    "select last_block, last_block_hash, updated_at, head_block, safe_block, finalized_block, observed_at, suspect_block
    from indexer_service.indexer_checkpoints where chain_id = $1";

const OBSERVE: &str = "with held as (
        select chain_id from indexer_service.chain_leases where chain_id = $1 and holder = $2 and token = $3 for share
    ), pruned as (
        delete from indexer_service.indexer_blocks b where chain_id = $1 and number < $6 and exists (select from held)
          and number < coalesce((select last_block from indexer_service.indexer_checkpoints where chain_id = $1), $6)
    ), priced as (
        update chain_registry_service.chain_gas_policy p set last_observed_base_fee_gwei = trim_scale($7::numeric / 1000000000)
        from chain_registry_service.chains c
        where c.caip2 = $1 and p.chain_id = c.id and $7::bigint is not null and exists (select from held)
    )
    insert into indexer_service.indexer_checkpoints (chain_id, head_block, safe_block, finalized_block, observed_at)
    select chain_id, $4, $5, $6, now() from held
    on conflict (chain_id) do update set head_block = excluded.head_block, safe_block = excluded.safe_block,
        finalized_block = excluded.finalized_block, observed_at = excluded.observed_at";

const KEPT: &str = "select number, hash, block_time from indexer_service.indexer_blocks
    where chain_id = $1 order by number desc";

const KEEP: &str = "insert into indexer_service.indexer_blocks (chain_id, number, hash, block_time)
    select $1, s.number, s.hash, s.block_time
    from unnest($2::int8[], $3::text[], $4::timestamptz[]) as s (number, hash, block_time)
    on conflict (chain_id, number) do update set hash = excluded.hash, block_time = excluded.block_time";

const BRANCH: &str = "select coalesce((select branch from indexer_service.indexer_checkpoints where chain_id = $1), 0)";

const STANDING: &str =
    "select branch, last_block, finalized_block from indexer_service.indexer_checkpoints where chain_id = $1";

const BRANCH_OFF: &str = "update indexer_service.indexer_checkpoints set branch = branch + 1 where chain_id = $1";

const FORGET: &str = "delete from indexer_service.indexer_blocks where chain_id = $1 and number >= $2";

// The lease row stays locked to the commit: no other process takes the chain over in between.
const ADVANCE: &str = "with held as (
        select from indexer_service.chain_leases where chain_id = $1 and holder = $2 and token = $3 for share
    )
    update indexer_service.indexer_checkpoints set last_block = $4, last_block_hash = $5, updated_at = now()
    where chain_id = $1 and last_block = $6 and last_block_hash = $7 and exists (select from held)";

// Both rows stay locked to the commit, shared, so that others may still read and compare. `is not distinct from` also holds for a
// chain without a checkpoint, where null meets null.
const STAY: &str = "with held as (
        select from indexer_service.chain_leases where chain_id = $1 and holder = $2 and token = $3 for share
    ), standing as (
        select last_block, last_block_hash from indexer_service.indexer_checkpoints where chain_id = $1 for share
    )
    select exists (select from held)
       and (select last_block from standing) is not distinct from $4
       and (select last_block_hash from standing) is not distinct from $5";

// A row may be there without a checkpoint: what was observed and what is suspect stand in it as well.
const BEGIN: &str = "with held as (
        select chain_id from indexer_service.chain_leases where chain_id = $1 and holder = $2 and token = $3 for share
    )
    insert into indexer_service.indexer_checkpoints as c (chain_id, last_block, last_block_hash)
    select chain_id, $4, $5 from held
    on conflict (chain_id) do update set last_block = excluded.last_block, last_block_hash = excluded.last_block_hash,
        updated_at = now()
    where c.last_block is null";

/// A row of `indexer_checkpoints`.
#[derive(sqlx::FromRow)]
struct Row {
    last_block: Option<i64>,
    last_block_hash: Option<String>,
    updated_at: DateTime<Utc>,
    head_block: Option<i64>,
    safe_block: Option<i64>,
    finalized_block: Option<i64>,
    observed_at: Option<DateTime<Utc>>,
    suspect_block: Option<i64>,
}

impl Row {
    fn checkpoint(self) -> Option<Checkpoint> {
        let hash: B256 = self.last_block_hash?.parse().ok()?;
        Some(Checkpoint {
            block: BlockRef {
                number: height(self.last_block)?,
                hash,
            },
            updated_at: self.updated_at,
            head: height(self.head_block),
            safe: height(self.safe_block),
            finalized: height(self.finalized_block),
            observed_at: self.observed_at,
        })
    }
}

fn height(stored: Option<i64>) -> Option<u64> {
    stored.map(i64::cast_unsigned)
}
