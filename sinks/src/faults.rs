//! Logs the decoders refused: `decode_faults`.

use alloy_primitives::Address;
use chrono::{DateTime, Utc};
use decoders::block::{ChainId, find_block};
use decoders::fact::{Facts, Fault};
use decoders::id::{Position, RecordKind};
use serde::Serialize;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::error::SinkError;
use crate::store::Store;

/// One row of `decode_faults`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, sqlx::FromRow)]
pub struct Recorded {
    /// The chain, as CAIP-2 text.
    pub chain_id: String,
    /// Position of the log.
    pub id: Uuid,
    /// Decoder that refused or doubted it, `abi` for stored ABIs.
    pub source: String,
    /// Height of the block.
    pub block_number: i64,
    /// Index of the log within its block.
    pub log_index: i32,
    /// Transaction that emitted the log.
    pub tx_hash: String,
    /// Emitting contract.
    pub contract: String,
    /// Event signature hash, absent for anonymous events.
    pub topic0: Option<String>,
    /// One of [`decoders::fact::reason`].
    pub reason: String,
    /// When it was recorded.
    pub recorded_at: DateTime<Utc>,
}

/// Which faults are meant; what is absent does not matter.
#[derive(Clone, Debug, Default)]
pub struct Query {
    /// Of this chain.
    pub chain: Option<ChainId>,
    /// Of this contract.
    pub contract: Option<Address>,
    /// For this reason.
    pub reason: Option<String>,
    /// Recorded at this time or later.
    pub since: Option<DateTime<Utc>>,
}

/// Where a page of faults ended: the next one begins behind it.
pub type Cursor = (String, Uuid, String);

impl Recorded {
    /// The place behind this row.
    pub fn cursor(&self) -> Cursor {
        (self.chain_id.clone(), self.id, self.source.clone())
    }
}

/// At most `limit` faults by chain and position, the first of them behind `after`.
pub async fn list(
    store: &Store,
    query: &Query,
    after: Option<&Cursor>,
    limit: i64,
) -> Result<Vec<Recorded>, SinkError> {
    let rows = sqlx::query_as(LIST)
        .bind(query.chain.map(|chain| chain.to_string()))
        .bind(query.contract.map(|contract| format!("{contract:#x}")))
        .bind(&query.reason)
        .bind(query.since)
        .bind(after.map(|(chain, ..)| chain))
        .bind(after.map(|(_, id, _)| *id))
        .bind(after.map(|(.., source)| source))
        .bind(limit)
        .fetch_all(&store.pool)
        .await?;
    Ok(rows)
}

/// A log at fault.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct AtFault {
    /// Its position.
    pub id: Uuid,
    /// One of the reasons.
    pub reason: String,
    /// The decoders that refused or doubted it.
    pub sources: Vec<String>,
}

/// Which of these logs of `chain` are at fault, by position.
pub async fn remaining(store: &Store, chain: ChainId, ids: &[Uuid]) -> Result<Vec<AtFault>, SinkError> {
    let rows = sqlx::query_as(REMAINING)
        .bind(chain.to_string())
        .bind(ids)
        .fetch_all(&store.pool)
        .await?;
    Ok(rows)
}

/// Records the faults of `facts` that `keep` wants.
pub(crate) async fn apply(
    db: &mut PgConnection,
    facts: &Facts,
    keep: impl Fn(&Fault) -> bool,
) -> Result<u64, SinkError> {
    let faults: Vec<&Fault> = facts.faults.iter().filter(|fault| keep(fault)).collect();
    if faults.is_empty() {
        return Ok(0);
    }
    let mut places: Vec<(Uuid, String)> = Vec::with_capacity(faults.len());
    for fault in &faults {
        let Some(block) = find_block(&facts.blocks, fault.block_number) else {
            let reason = "a fault names a block the span does not hold";
            return Err(SinkError::Inconsistent {
                chain: facts.chain,
                range: facts.range.clone(),
                reason,
            });
        };
        let position = Position {
            chain: facts.chain,
            block_number: block.number,
            block_hash: block.hash,
            log_index: fault.log_index,
            item: 0,
            kind: RecordKind::Log,
        };
        places.push((position.id(), block.hash.to_string()));
    }
    let added = sqlx::query(ADD)
        .bind(facts.chain.to_string())
        .bind(places.iter().map(|(id, _)| *id).collect::<Vec<Uuid>>())
        .bind(faults.iter().map(|fault| fault.source).collect::<Vec<_>>())
        .bind(
            faults
                .iter()
                .map(|fault| fault.block_number.cast_signed())
                .collect::<Vec<i64>>(),
        )
        .bind(places.iter().map(|(_, hash)| hash.as_str()).collect::<Vec<_>>())
        .bind(
            faults
                .iter()
                .map(|fault| fault.log_index.cast_signed())
                .collect::<Vec<i32>>(),
        )
        .bind(faults.iter().map(|fault| fault.tx_hash.to_string()).collect::<Vec<_>>())
        .bind(
            faults
                .iter()
                .map(|fault| format!("{:#x}", fault.contract))
                .collect::<Vec<_>>(),
        )
        .bind(
            faults
                .iter()
                .map(|fault| fault.topic0.map(|topic| topic.to_string()))
                .collect::<Vec<_>>(),
        )
        .bind(faults.iter().map(|fault| fault.reason).collect::<Vec<_>>())
        .execute(db)
        .await?;
    Ok(added.rows_affected())
}

/// Removes the faults of `chain` at the block `first` and above.
pub(crate) async fn revert_from(db: &mut PgConnection, chain: &str, first: u64) -> Result<(), SinkError> {
    sqlx::query(REMOVE_ABOVE)
        .bind(chain)
        .bind(Position::floor(first))
        .execute(db)
        .await?;
    Ok(())
}

/// Removes the faults in the range and of the sources of `facts`.
pub(crate) async fn revert(db: &mut PgConnection, facts: &Facts) -> Result<(), SinkError> {
    sqlx::query(REMOVE)
        .bind(facts.chain.to_string())
        .bind(Position::floor(*facts.range.start()))
        .bind(Position::floor(facts.range.end() + 1))
        .bind(&facts.sources)
        .execute(db)
        .await?;
    Ok(())
}

// One decoder may refuse one log for one reason only; a second is not worth a failed span.
const ADD: &str = "insert into indexer_service.decode_faults
        (chain_id, id, source, block_number, block_hash, log_index, tx_hash, contract, topic0, reason)
    select $1, s.* from unnest($2::uuid[], $3::text[], $4::int8[], $5::text[], $6::int4[], $7::text[], $8::text[], $9::text[],
                               $10::text[]) as s
    on conflict do nothing";

const REMOVE_ABOVE: &str = "delete from indexer_service.decode_faults where chain_id = $1 and id >= $2";

const REMOVE: &str = "delete from indexer_service.decode_faults
    where chain_id = $1 and id >= $2 and id < $3 and source = any($4)";

const LIST: &str = "select chain_id::text, id, source, block_number, log_index, tx_hash::text, contract::text, topic0::text, reason,
           recorded_at
    from indexer_service.decode_faults
    where ($1::text is null or chain_id = $1) and ($2::text is null or contract = $2) and ($3::text is null or reason = $3)
      and ($4::timestamptz is null or recorded_at >= $4)
      and ($5::text is null or (chain_id::text, id, source) > ($5, $6, $7))
    order by chain_id, id, source limit $8";

const REMAINING: &str =
    "select id, min(reason) as reason, array_agg(source order by source) as sources from indexer_service.decode_faults
    where chain_id = $1 and id = any($2) group by id order by id";
