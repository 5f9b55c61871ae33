//! Where spans meet: hashes of applied blocks, kept so that a span of another branch is noticed, whichever writer it is from.
//!
//! Blocks that are not final are all kept in `indexer_blocks`. Of the others the edges of spans are, and one in `GRID`. See
//! docs/decisions/0011-who-may-write.md.

use alloy_primitives::B256;
use decoders::block::{BlockRef, ChainId};
use decoders::fact::Facts;
use sqlx::PgConnection;

use crate::error::SinkError;
use crate::progress::lease::Lease;
use crate::progress::moves::Move;
use crate::store::Store;

/// Of the blocks inside of spans, the hash of one in so many is kept.
const GRID: u64 = 128;

/// Hashes of applied blocks of `chain` from `lowest` up to `highest`, ascending.
pub async fn read(store: &Store, chain: ChainId, lowest: u64, highest: u64) -> Result<Vec<BlockRef>, SinkError> {
    let rows: Vec<(i64, String)> = sqlx::query_as(READ)
        .bind(chain.to_string())
        .bind(lowest.cast_signed())
        .bind(highest.cast_signed())
        .fetch_all(&store.pool)
        .await?;
    let block = |(number, hash): (i64, String)| {
        Some(BlockRef {
            number: number.cast_unsigned(),
            hash: hash.parse().ok()?,
        })
    };
    Ok(rows.into_iter().filter_map(block).collect())
}

/// Notes that spans of two branches meet at `block`, for the holder of the lease to decide which is the chain's.
pub(crate) async fn suspect(store: &Store, chain: ChainId, block: u64) -> Result<(), SinkError> {
    sqlx::query(SUSPECT)
        .bind(chain.to_string())
        .bind(block.cast_signed())
        .execute(&store.pool)
        .await?;
    Ok(())
}

/// Ends the warning about `suspect`: `ancestor`, there or below, is the chain's. Nothing happens where the lease is not in force.
pub async fn settle(store: &Store, lease: &Lease, suspect: u64, ancestor: BlockRef) -> Result<(), SinkError> {
    sqlx::query(SETTLE)
        .bind(lease.chain.to_string())
        .bind(suspect.cast_signed())
        .bind(&lease.holder)
        .bind(lease.token)
        .bind(ancestor.number.cast_signed())
        .bind(ancestor.hash.to_string())
        .execute(&store.pool)
        .await?;
    Ok(())
}

/// Keeps `ancestor` as the chain has it: below the first block wanted it is known from the parent of a block that was left.
pub(crate) async fn stand(db: &mut PgConnection, chain: &str, ancestor: BlockRef) -> Result<(), SinkError> {
    sqlx::query(STAND)
        .bind(chain)
        .bind(ancestor.number.cast_signed())
        .bind(ancestor.hash.to_string())
        .execute(db)
        .await?;
    Ok(())
}

/// Fails with [`SinkError::Torn`] where a block of the span, or the one below it, is stored under another hash.
pub(crate) async fn check(db: &mut PgConnection, facts: &Facts) -> Result<(), SinkError> {
    // The block below is compared too: it is there that spans of two branches meet.
    let (numbers, hashes): (Vec<i64>, Vec<String>) = blocks(facts)
        .map(|block| (block.number.cast_signed(), block.hash.to_string()))
        .unzip();
    let torn: Option<i64> = sqlx::query_scalar(CHECK)
        .bind(facts.chain.to_string())
        .bind(numbers)
        .bind(hashes)
        .fetch_one(db)
        .await?;
    match torn {
        None => Ok(()),
        Some(block) => Err(SinkError::Torn {
            chain: facts.chain,
            block: block.cast_unsigned(),
        }),
    }
}

/// Keeps the edges of the span that nothing was joined to, and the blocks of the grid.
pub(crate) async fn keep(db: &mut PgConnection, facts: &Facts, step: &Move<'_>) -> Result<(), SinkError> {
    let below = below(facts);
    let last = facts.blocks.last().map(|block| block.block_ref());
    // A backfill has two edges that nothing was compared with yet. A head that follows its checkpoint has none, one that jumps
    // leaves a hole of which both sides are kept.
    let edges: Vec<BlockRef> = match step {
        Move::Backfill { .. } => below.into_iter().chain(last).collect(),
        Move::Head { from, .. } if *from == below => Vec::new(),
        Move::Head { from, .. } => below.into_iter().chain(*from).collect(),
    };
    let grid = blocks(facts).filter(|block| block.number.is_multiple_of(GRID));
    let (numbers, hashes): (Vec<i64>, Vec<String>) = edges
        .into_iter()
        .chain(grid)
        .map(|block| (block.number.cast_signed(), block.hash.to_string()))
        .unzip();
    if numbers.is_empty() {
        return Ok(());
    }
    sqlx::query(KEEP)
        .bind(facts.chain.to_string())
        .bind(numbers)
        .bind(hashes)
        .execute(db)
        .await?;
    Ok(())
}

/// Forgets the block `first` of `chain` and those above it, and the warning about them.
pub(crate) async fn forget_from(db: &mut PgConnection, chain: &str, first: u64) -> Result<(), SinkError> {
    sqlx::query(FORGET)
        .bind(chain)
        .bind(first.cast_signed())
        .execute(db)
        .await?;
    Ok(())
}

/// The blocks whose hashes the span knows, that below it included.
fn blocks(facts: &Facts) -> impl Iterator<Item = BlockRef> {
    below(facts)
        .into_iter()
        .chain(facts.blocks.iter().map(|block| block.block_ref()))
}

fn below(facts: &Facts) -> Option<BlockRef> {
    let hash: B256 = facts.parent_hash?;
    let number = facts.range.start().checked_sub(1)?;
    Some(BlockRef { number, hash })
}

const READ: &str = "select number, hash::text from indexer_service.indexer_seams
     where chain_id = $1 and number between $2 and $3 order by number";

const SUSPECT: &str = "insert into indexer_service.indexer_checkpoints as c (chain_id, suspect_block) values ($1, $2)
    on conflict (chain_id) do update set suspect_block = least(c.suspect_block, excluded.suspect_block)";

// The seam may hold the hash of the branch that was left, and would raise the same warning with the next span.
const SETTLE: &str = "with held as (
        select from indexer_service.chain_leases where chain_id = $1 and holder = $3 and token = $4
    ), stood as (
        update indexer_service.indexer_seams set hash = $6
         where chain_id = $1 and number = $5 and hash <> $6 and exists (select from held)
    )
    update indexer_service.indexer_checkpoints set suspect_block = null
     where chain_id = $1 and suspect_block = $2 and exists (select from held)";

const STAND: &str =
    "update indexer_service.indexer_seams set hash = $3 where chain_id = $1 and number = $2 and hash <> $3";

const CHECK: &str = "select min(s.number) from unnest($2::int8[], $3::text[]) as s (number, hash)
      join (select number, hash::text from indexer_service.indexer_seams where chain_id = $1 and number = any($2)
            union all
            select number, hash::text from indexer_service.indexer_blocks where chain_id = $1 and number = any($2)
            union all
            select last_block, last_block_hash::text from indexer_service.indexer_checkpoints where chain_id = $1) as k
        on k.number = s.number and k.hash <> s.hash";

const KEEP: &str = "insert into indexer_service.indexer_seams (chain_id, number, hash)
    select $1, s.number, s.hash from unnest($2::int8[], $3::text[]) as s (number, hash)
    on conflict (chain_id, number) do nothing";

// Of a warning below the rewind nothing is decided yet, so it stays.
const FORGET: &str = "with suspicion as (
        update indexer_service.indexer_checkpoints set suspect_block = null where chain_id = $1 and suspect_block >= $2
    )
    delete from indexer_service.indexer_seams where chain_id = $1 and number >= $2";
