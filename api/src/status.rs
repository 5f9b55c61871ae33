//! Where every chain stands.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::{PgPool, Row};
use tokio::time::timeout;

use crate::error::ApiError;

/// Gaps shown per source; their number of blocks counts all of them.
const SHOWN_GAPS: i32 = 50;
/// How long the database may take before what was read last is answered instead.
const PATIENCE: Duration = Duration::from_secs(2);
/// Answers of this age are given again, so that a crowd of askers costs what one does.
const FRESH: Duration = Duration::from_millis(500);

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
    /// Lowest block wanted.
    pub start_block: i64,
    /// Block the follower stands on; absent before it began.
    pub checkpoint: Option<CheckpointBlock>,
    /// Highest block an endpoint last reported.
    pub head: Option<i64>,
    /// Block that is safe.
    pub safe: Option<i64>,
    /// Highest block that cannot be undone.
    pub finalized: Option<i64>,
    /// Head minus checkpoint.
    pub lag_blocks: Option<i64>,
    /// When the endpoints last reported.
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
    /// Time of the block; absent where it is not kept any more.
    pub time: Option<DateTime<Utc>>,
    /// When it moved last.
    pub updated_at: DateTime<Utc>,
}

/// What was applied of one source, between the first block wanted of it and the checkpoint or the finalized block, whichever is
/// higher.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SourceCoverage {
    /// Blocks applied.
    pub covered_blocks: i64,
    /// Blocks missing; absent while neither checkpoint nor finalized block is known.
    pub missing_blocks: Option<i64>,
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
pub(crate) async fn answer(State(board): State<Arc<Board>>) -> Result<Json<Status>, ApiError> {
    board.status().await.map(Json)
}

/// Where every chain stands, as last read: what is answered while the database does not.
#[derive(Debug)]
pub struct Board {
    pool: PgPool,
    last: Mutex<Option<Status>>,
    /// Held by the one who reads.
    reading: tokio::sync::Mutex<()>,
}

impl Board {
    pub(crate) fn new(pool: PgPool) -> Board {
        Board {
            pool,
            last: Mutex::default(),
            reading: tokio::sync::Mutex::default(),
        }
    }

    /// Where every chain stands: now, or when the database last answered. It is answered soon in either case.
    ///
    /// # Errors
    /// The database does not answer and never did.
    pub async fn status(&self) -> Result<Status, ApiError> {
        let read = async {
            let _reading = self.reading.lock().await;
            // The task that held it before may have read what this call came for.
            if let Some(last) = self.last().filter(|last| age(last) < FRESH) {
                return Ok(last);
            }
            let status = read(&self.pool, &BTreeMap::new()).await?;
            *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(status.clone());
            Ok(status)
        };
        let (error, stale) = match timeout(PATIENCE, read).await {
            Ok(Ok(status)) => return Ok(status),
            Ok(Err(error)) => (error, "the database cannot be read"),
            Err(_) => (ApiError::Busy, "the database did not answer in time"),
        };
        let stale = Some(stale);
        self.last().map(|last| Status { stale, ..last }).ok_or(error)
    }

    /// What was read last, however long ago.
    pub fn last(&self) -> Option<Status> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn age(status: &Status) -> Duration {
    (Utc::now() - status.as_of).to_std().unwrap_or_default()
}

/// Reads where every chain of the registry stands, as of one moment.
///
/// `finalized` adds what is known of finalized blocks beside the tables, by the chain's name.
///
/// # Errors
/// The database does not answer.
pub async fn read(pool: &PgPool, finalized: &BTreeMap<String, i64>) -> Result<Status, ApiError> {
    let as_of = Utc::now();
    let (named, heights): (Vec<&str>, Vec<i64>) =
        finalized.iter().map(|(name, height)| (name.as_str(), *height)).unzip();
    let mut transaction = pool.begin().await?;
    sqlx::query("set transaction isolation level repeatable read, read only")
        .execute(&mut *transaction)
        .await?;
    let rows = sqlx::query(CHAINS).fetch_all(&mut *transaction).await?;
    let mut chains = rows.iter().map(chain_of).collect::<Result<Vec<_>, sqlx::Error>>()?;
    let coverage = sqlx::query(COVERAGE)
        .bind(decoders::sources())
        .bind(&named)
        .bind(&heights);
    for row in coverage.bind(SHOWN_GAPS).fetch_all(&mut *transaction).await? {
        let name: String = row.try_get("chain_id")?;
        if let Some(chain) = chains.iter_mut().find(|chain| chain.chain == name) {
            chain.coverage.insert(row.try_get("source")?, coverage_of(&row)?);
        }
    }
    transaction.commit().await?;
    let stale = None;
    Ok(Status { as_of, stale, chains })
}

fn coverage_of(row: &sqlx::postgres::PgRow) -> Result<SourceCoverage, sqlx::Error> {
    let from: Option<Vec<i64>> = row.try_get("gaps_from")?;
    let to: Option<Vec<i64>> = row.try_get("gaps_to")?;
    let gaps = from.unwrap_or_default().into_iter().zip(to.unwrap_or_default());
    Ok(SourceCoverage {
        covered_blocks: row.try_get("covered_blocks")?,
        missing_blocks: row.try_get("missing_blocks")?,
        gaps: gaps.map(|(from, to)| Gap { from, to }).collect(),
    })
}

fn chain_of(row: &sqlx::postgres::PgRow) -> Result<ChainStatus, sqlx::Error> {
    let (number, hash): (Option<i64>, Option<String>) = (row.try_get("last_block")?, row.try_get("last_block_hash")?);
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

// Of a chain read whole every decoder and the archive are wanted, else each registered contract from its start block on; what was
// covered beside that is shown too. Up to where is known once there is a checkpoint or a finalized block.
const COVERAGE: &str = "
    with wanted as (
        select c.caip2::text as chain_id, s.source
        from chain_registry_service.chains c cross join unnest($1::text[] || '{archive}'::text[]) as s (source)
        where c.scope = 'all'
        union
        select c.caip2, k.address
        from chain_registry_service.chains c join chain_registry_service.chain_contracts k on k.chain_id = c.id
        where c.scope = 'contracts'
    ), covered as (
        select chain_id::text as chain_id, source, range_agg(covered) as covered
        from indexer_service.source_coverage group by chain_id, source
    ), known as (
        select chain_id, source, coalesce(v.covered, '{}'::int8multirange) as covered
        from wanted w full join covered v using (chain_id, source)
    ), starts as (
        select c.caip2::text as chain_id, p.prefix || k.address as source, k.start_block
        from chain_registry_service.chains c
        join chain_registry_service.chain_contracts k on k.chain_id = c.id
        cross join (values (''), ('logs:'), ('abi:')) as p (prefix)
    ), sources as (
        select w.chain_id, w.source, w.covered, greatest(c.start_block, k.start_block) as first_block,
               greatest(p.last_block, p.finalized_block, f.finalized) as last_block
        from known w
        join chain_registry_service.chains c on c.caip2 = w.chain_id
        left join starts k on k.chain_id = w.chain_id and k.source = w.source
        left join indexer_service.indexer_checkpoints p on p.chain_id = w.chain_id
        left join unnest($2::text[], $3::int8[]) as f (chain_id, finalized) on f.chain_id = w.chain_id
    )
    select s.chain_id, s.source, missing.blocks as missing_blocks, missing.gaps_from, missing.gaps_to,
           (select coalesce(sum(upper(r) - lower(r)), 0)::bigint from unnest(s.covered) r) as covered_blocks
    from sources s
    left join lateral (
        select coalesce(sum(upper(r) - lower(r)), 0)::bigint as blocks,
               coalesce((array_agg(lower(r) order by r))[:$4], '{}') as gaps_from,
               coalesce((array_agg(upper(r) - 1 order by r))[:$4], '{}') as gaps_to
        from unnest(int8multirange(int8range(s.first_block, greatest(s.first_block, s.last_block + 1))) - s.covered) r
    ) missing on s.last_block is not null
    where s.last_block is not null or not isempty(s.covered)";
