//! Where every chain stands.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::{PgPool, Row};

use crate::error::ApiError;

/// Gaps shown per source; their number of blocks counts all of them.
const SHOWN_GAPS: i64 = 50;

/// Every chain of the registry.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Status {
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
    /// Lowest block wanted.
    pub start_block: i64,
    /// Block the follower stands on; absent before it began.
    pub checkpoint: Option<CheckpointBlock>,
    /// Highest block an endpoint last told of.
    pub head: Option<i64>,
    /// Block that is safe.
    pub safe: Option<i64>,
    /// Highest block that cannot be undone.
    pub finalized: Option<i64>,
    /// Head minus checkpoint.
    pub lag_blocks: Option<i64>,
    /// When the endpoints last told.
    pub observed_at: Option<DateTime<Utc>>,
    /// Whether a daemon holds the chain, and until when.
    pub held_until: Option<DateTime<Utc>>,
    /// Messages not published yet.
    pub outbox: i64,
    /// Messages dropped unpublished, because there was no broker for as long as they are kept.
    pub outbox_expired: i64,
    /// What was applied, by source.
    pub coverage: BTreeMap<String, SourceCoverage>,
}

/// A checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CheckpointBlock {
    /// Height.
    pub number: i64,
    /// Hash.
    pub hash: String,
    /// When it moved last.
    pub updated_at: DateTime<Utc>,
}

/// What was applied of one source, between the chain's first wanted block and its checkpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SourceCoverage {
    /// Blocks applied.
    pub covered_blocks: i64,
    /// Blocks missing.
    pub missing_blocks: i64,
    /// The lowest gaps.
    pub gaps: Vec<Gap>,
}

/// Blocks that were not applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Gap {
    /// Lowest block.
    pub from: i64,
    /// Highest block.
    pub to: i64,
}

/// `GET /v1/status`.
pub(crate) async fn answer(State(pool): State<PgPool>) -> Result<Json<Status>, ApiError> {
    Ok(Json(read(&pool).await?))
}

/// Reads where every chain of the registry stands, as of one moment.
pub async fn read(pool: &PgPool) -> Result<Status, ApiError> {
    let mut transaction = pool.begin().await?;
    sqlx::query("set transaction isolation level repeatable read, read only")
        .execute(&mut *transaction)
        .await?;
    let rows = sqlx::query(CHAINS).fetch_all(&mut *transaction).await?;
    let mut chains = rows.iter().map(chain_of).collect::<Result<Vec<_>, sqlx::Error>>()?;
    for row in sqlx::query(COVERAGE).fetch_all(&mut *transaction).await? {
        let name: String = row.try_get("chain_id")?;
        let Some(chain) = chains.iter_mut().find(|chain| chain.chain == name) else {
            continue;
        };
        let source = SourceCoverage {
            covered_blocks: row.try_get("covered_blocks")?,
            missing_blocks: row.try_get("missing_blocks")?,
            gaps: Vec::new(),
        };
        chain.coverage.insert(row.try_get("source")?, source);
    }
    for row in sqlx::query(GAPS).bind(SHOWN_GAPS).fetch_all(&mut *transaction).await? {
        let (name, source): (String, String) = (row.try_get("chain_id")?, row.try_get("source")?);
        let chain = chains.iter_mut().find(|chain| chain.chain == name);
        if let Some(coverage) = chain.and_then(|chain| chain.coverage.get_mut(&source)) {
            coverage.gaps.push(Gap {
                from: row.try_get("gap_from")?,
                to: row.try_get("gap_to")?,
            });
        }
    }
    transaction.commit().await?;
    Ok(Status { chains })
}

fn chain_of(row: &sqlx::postgres::PgRow) -> Result<ChainStatus, sqlx::Error> {
    let (number, hash): (Option<i64>, Option<String>) = (row.try_get("last_block")?, row.try_get("last_block_hash")?);
    let updated_at: Option<DateTime<Utc>> = row.try_get("updated_at")?;
    let checkpoint = match (number, hash, updated_at) {
        (Some(number), Some(hash), Some(updated_at)) => Some(CheckpointBlock {
            number,
            hash,
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

const CHAINS: &str = "
    select c.caip2, c.name, c.enabled, c.start_block, p.last_block, p.last_block_hash, p.updated_at,
           p.head_block, p.safe_block, p.finalized_block, p.observed_at,
           case when l.holder is not null and l.expires_at > now() then l.expires_at end as held_until,
           coalesce(greatest(o.written - o.removed, 0), 0) as outbox, coalesce(o.expired, 0) as outbox_expired
    from chain_registry_service.chains c
    left join indexer_service.indexer_checkpoints p on p.chain_id = c.caip2
    left join indexer_service.chain_leases l on l.chain_id = c.caip2
    left join indexer_service.outbox_totals o on o.chain_id = c.caip2
    order by c.chain_numeric";

// Wanted is what lies between the first block asked for and the checkpoint; before there is one, the finalized block.
const COVERAGE: &str = "
    with covered as (
        select chain_id, source, range_agg(covered) as covered
        from indexer_service.source_coverage group by chain_id, source
    )
    select v.chain_id, v.source,
           (select coalesce(sum(upper(r) - lower(r)), 0)::bigint from unnest(v.covered) r) as covered_blocks,
           (select coalesce(sum(upper(r) - lower(r)), 0)::bigint from unnest(
               int8multirange(int8range(c.start_block, greatest(c.start_block, coalesce(p.last_block, p.finalized_block, -1) + 1)))
               - v.covered) r) as missing_blocks
    from covered v
    join chain_registry_service.chains c on c.caip2 = v.chain_id
    left join indexer_service.indexer_checkpoints p on p.chain_id = v.chain_id";

const GAPS: &str = "
    with covered as (
        select chain_id, source, range_agg(covered) as covered
        from indexer_service.source_coverage group by chain_id, source
    )
    select v.chain_id, v.source, g.gap_from, g.gap_to
    from covered v
    join chain_registry_service.chains c on c.caip2 = v.chain_id
    left join indexer_service.indexer_checkpoints p on p.chain_id = v.chain_id
    cross join lateral (
        select lower(r) as gap_from, upper(r) - 1 as gap_to
        from unnest(
            int8multirange(int8range(c.start_block, greatest(c.start_block, coalesce(p.last_block, p.finalized_block, -1) + 1)))
            - v.covered) r
        order by 1
        limit $1
    ) g
    order by v.chain_id, v.source, g.gap_from";
