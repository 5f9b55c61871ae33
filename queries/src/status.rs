//! Where every chain stands.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::postgres::PgRow;
use sqlx::{FromRow, PgPool, Row};

use crate::coverage::{self, SourceCoverage};
use crate::error::QueryError;
use crate::snapshot;

/// Every chain of the registry.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Status {
    /// When it was read.
    pub as_of: DateTime<Utc>,
    /// Why it is not of this moment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stale: Option<&'static str>,
    /// By chain number.
    pub chains: Vec<ChainStatus>,
}

/// Where one chain stands.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ChainStatus {
    /// CAIP-2 name.
    pub chain: String,
    /// Display name.
    pub name: String,
    /// Whether daemons follow it.
    pub enabled: bool,
    /// Height of the lowest block wanted.
    pub start_block: i64,
    /// Block the follower stands on; absent before it began.
    pub checkpoint: Option<CheckpointBlock>,
    /// Height of the highest block an endpoint last reported.
    pub head: Option<i64>,
    /// Height of the block that is safe (Ethereum's tag `safe`).
    pub safe: Option<i64>,
    /// Height of the highest block that cannot be undone.
    pub finalized: Option<i64>,
    /// Head minus checkpoint, in blocks.
    pub lag_blocks: Option<i64>,
    /// When the endpoints last reported.
    pub observed_at: Option<DateTime<Utc>>,
    /// Until when a daemon holds the chain's lease; absent where none does.
    pub held_until: Option<DateTime<Utc>>,
    /// Messages not published yet: the chain's backlog.
    pub outbox: i64,
    /// Messages dropped unpublished, because there was no broker for as long as they are kept.
    pub outbox_expired: i64,
    /// What was applied, by source.
    pub coverage: BTreeMap<String, SourceCoverage>,
}

/// A checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CheckpointBlock {
    /// Height of the block.
    pub number: i64,
    /// Hash of the block.
    pub hash: String,
    /// Time of the block; absent where it is not kept any more.
    pub time: Option<DateTime<Utc>>,
    /// When it moved last.
    pub updated_at: DateTime<Utc>,
}

/// Reads where every chain of the registry stands, as of one moment.
///
/// `finalized` adds what is known of finalized blocks beside the tables, by the chain's name.
pub async fn read(pool: &PgPool, finalized: &BTreeMap<String, i64>) -> Result<Status, QueryError> {
    let as_of = Utc::now();
    let mut snapshot = snapshot::begin(pool).await?;
    let mut chains: Vec<ChainStatus> = sqlx::query_as(CHAINS).fetch_all(&mut *snapshot).await?;
    for covered in coverage::read(&mut *snapshot, finalized).await? {
        if let Some(chain) = chains.iter_mut().find(|chain| chain.chain == covered.chain) {
            chain.coverage.insert(covered.source, covered.coverage);
        }
    }
    snapshot.commit().await?;
    let stale = None;
    Ok(Status { as_of, stale, chains })
}

// Outer joins throughout: a chain is shown from its registration on, before anything was read of it.
const CHAINS: &str = "
    select c.caip2, c.name, c.enabled, c.start_block, p.last_block, p.last_block_hash, p.updated_at,
           b.block_time, p.head_block, p.safe_block, p.finalized_block, p.observed_at,
           case when l.holder is not null and l.expires_at > now() then l.expires_at end as held_until,
           coalesce(greatest(o.written - o.removed, 0), 0) as outbox, coalesce(o.expired, 0) as outbox_expired
    from chain_registry_service.chains c
    left join indexer_service.indexer_checkpoints p on p.chain_id = c.caip2
    left join indexer_service.indexer_blocks b on b.chain_id = c.caip2 and b.number = p.last_block
    left join indexer_service.chain_leases l on l.chain_id = c.caip2
    left join indexer_service.outbox_totals o on o.chain_id = c.caip2
    order by c.chain_numeric";

/// Without coverage, which stands in rows of its own.
impl FromRow<'_, PgRow> for ChainStatus {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let (number, hash): (Option<i64>, Option<String>) =
            (row.try_get("last_block")?, row.try_get("last_block_hash")?);
        let updated_at: Option<DateTime<Utc>> = row.try_get("updated_at")?;
        let checkpoint = match (number, hash, updated_at) {
            (Some(number), Some(hash), Some(updated_at)) => Some(CheckpointBlock {
                number,
                hash,
                time: row.try_get("block_time")?,
                updated_at,
            }),
            _ => None,
        };
        let head: Option<i64> = row.try_get("head_block")?;
        Ok(ChainStatus {
            chain: row.try_get("caip2")?,
            name: row.try_get("name")?,
            enabled: row.try_get("enabled")?,
            start_block: row.try_get("start_block")?,
            lag_blocks: head.zip(number).map(|(head, number)| (head - number).max(0)),
            checkpoint,
            head,
            safe: row.try_get("safe_block")?,
            finalized: row.try_get("finalized_block")?,
            observed_at: row.try_get("observed_at")?,
            held_until: row.try_get("held_until")?,
            outbox: row.try_get("outbox")?,
            outbox_expired: row.try_get("outbox_expired")?,
            coverage: BTreeMap::new(),
        })
    }
}
