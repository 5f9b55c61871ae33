//! Logs the decoders refused: `decode_faults`, and which of them are tried again and when.
//!
//! Whether a log is tried again is decided in the transaction that records its fault, and ends in the one that records that it
//! is none any more: nothing that comes after a commit can be forgotten.

use std::time::Duration;

use alloy_primitives::B256;
use chrono::{DateTime, Utc};
use decoders::block::{ChainId, find_block};
use decoders::fact::{Facts, Fault, reason};
use decoders::id::{Position, RecordKind};
use rustc_hash::FxHashSet;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::error::SinkError;
use crate::store::Store;

/// The source under which faults of stored ABIs are recorded. What these decode is no fact, so another try waits for no final block.
pub(crate) const ABI_SOURCE: &str = "abi";

/// Reasons that another try may mend: once an ABI is registered, or an endpoint answers.
const MENDABLE: [&str; 3] = [reason::ABI_UNKNOWN, reason::CONTRACT_UNKNOWN, reason::UNANSWERED];
/// Attempts before a fault is left to an operator.
pub const ATTEMPTS: i32 = 10;
/// The wait after the first failed attempt; it doubles with every further one.
const FIRST_WAIT: Duration = Duration::from_secs(30);
/// What was taken this long ago and not settled was taken by a process that is gone.
const ABANDONED: Duration = Duration::from_secs(600);

/// A log at fault.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct AtFault {
    /// Its position.
    pub id: Uuid,
    /// One of the reasons.
    pub reason: String,
    /// The decoders that rejected it or warned of it.
    pub sources: Vec<String>,
    /// How often it was tried again.
    pub attempts: i32,
    /// When it is tried again; never on its own where absent.
    pub next_attempt_at: Option<DateTime<Utc>>,
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

/// At most `limit` logs of `chain` behind position `after` that are tried again, or were tried as often as it is worth.
pub async fn waiting(store: &Store, chain: ChainId, after: Uuid, limit: i64) -> Result<Vec<AtFault>, SinkError> {
    let rows = sqlx::query_as(WAITING)
        .bind(chain.to_string())
        .bind(after)
        .bind(limit)
        .fetch_all(&store.pool)
        .await?;
    Ok(rows)
}

/// A fault taken for an attempt.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Taken {
    /// The log's position.
    pub id: Uuid,
    /// The decoder that rejected it or warned of it.
    pub source: String,
}

/// Takes at most `most` faults of `chain` whose time has come, those an operator asked for first. Facts of blocks above
/// `last` are left alone; what stored ABIs decode is no fact.
///
/// What is not settled is taken again later, and no attempt is counted.
pub async fn take(store: &Store, chain: ChainId, last: u64, most: i64) -> Result<Vec<Taken>, SinkError> {
    let rows = sqlx::query_as(TAKE)
        .bind(chain.to_string())
        .bind(i64::try_from(last).unwrap_or(i64::MAX))
        .bind(most)
        .bind(ABANDONED.as_secs_f64())
        .bind(ABI_SOURCE)
        .fetch_all(&store.pool)
        .await?;
    Ok(rows)
}

/// Counts an attempt for those of `taken` that are still at fault, and decides when the next one is.
pub async fn settle(store: &Store, chain: ChainId, taken: &[Taken]) -> Result<(), SinkError> {
    sqlx::query(SETTLE)
        .bind(chain.to_string())
        .bind(taken.iter().map(|fault| fault.id).collect::<Vec<_>>())
        .bind(taken.iter().map(|fault| fault.source.as_str()).collect::<Vec<_>>())
        .bind(ATTEMPTS)
        .bind(FIRST_WAIT.as_secs_f64())
        .execute(&store.pool)
        .await?;
    Ok(())
}

/// Lets these logs be tried now, whatever their reason, and as often as if they were new.
pub async fn urge(store: &Store, chain: ChainId, ids: &[Uuid]) -> Result<(), SinkError> {
    sqlx::query(URGE)
        .bind(chain.to_string())
        .bind(ids)
        .execute(&store.pool)
        .await?;
    Ok(())
}

/// A fault at its position.
struct Placed<'a> {
    id: Uuid,
    block_hash: B256,
    fault: &'a Fault,
}

/// The faults of `facts` that `keep` wants. One decoder may refuse one log for one reason only; a second is not worth a failed
/// span.
fn placed(facts: &Facts, keep: impl Fn(&Fault) -> bool) -> Result<Vec<Placed<'_>>, SinkError> {
    let mut placed = Vec::new();
    let mut known = FxHashSet::default();
    for fault in facts.faults.iter().filter(|fault| keep(fault)) {
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
            // A fault is of the log, not of one of the facts in it.
            item: 0,
            kind: RecordKind::LOG,
        };
        let id = position.id();
        // One row per log and source is the table's key: a second one would fail the whole span.
        if known.insert((id, fault.source)) {
            placed.push(Placed {
                id,
                block_hash: block.hash,
                fault,
            });
        }
    }
    Ok(placed)
}

/// Records the faults of `facts` that `keep` wants, and that those another try may mend are tried again.
pub(crate) async fn apply(
    db: &mut PgConnection,
    facts: &Facts,
    keep: impl Fn(&Fault) -> bool,
) -> Result<u64, SinkError> {
    record(db, facts.chain, &placed(facts, keep)?).await
}

async fn record(db: &mut PgConnection, chain: ChainId, faults: &[Placed<'_>]) -> Result<u64, SinkError> {
    if faults.is_empty() {
        return Ok(0);
    }
    let texts = |text: fn(&Placed<'_>) -> String| faults.iter().map(text).collect::<Vec<String>>();
    let added = sqlx::query(RECORD)
        .bind(chain.to_string())
        .bind(faults.iter().map(|placed| placed.id).collect::<Vec<Uuid>>())
        .bind(faults.iter().map(|placed| placed.fault.source).collect::<Vec<_>>())
        .bind(
            faults
                .iter()
                .map(|placed| placed.fault.block_number.cast_signed())
                .collect::<Vec<i64>>(),
        )
        .bind(texts(|placed| placed.block_hash.to_string()))
        .bind(
            faults
                .iter()
                .map(|placed| placed.fault.log_index.cast_signed())
                .collect::<Vec<i32>>(),
        )
        .bind(texts(|placed| placed.fault.tx_hash.to_string()))
        .bind(texts(|placed| format!("{:#x}", placed.fault.contract)))
        .bind(
            faults
                .iter()
                .map(|placed| placed.fault.topic0.map(|topic| topic.to_string()))
                .collect::<Vec<_>>(),
        )
        .bind(faults.iter().map(|placed| placed.fault.reason).collect::<Vec<_>>())
        .bind(MENDABLE.as_slice())
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

/// Makes the faults in the range and of the sources of `facts` those of `facts` that `keep` wants. One that stays keeps how often
/// it was tried.
pub(crate) async fn replace(
    db: &mut PgConnection,
    facts: &Facts,
    keep: impl Fn(&Fault) -> bool,
) -> Result<(), SinkError> {
    replace_where(db, facts, &facts.sources, None, &placed(facts, keep)?).await
}

/// The same for faults of `source` in logs of `contracts`.
pub(crate) async fn replace_of(
    db: &mut PgConnection,
    facts: &Facts,
    source: &str,
    contracts: &[String],
) -> Result<(), SinkError> {
    replace_where(db, facts, &[source], Some(contracts), &placed(facts, |_| true)?).await
}

async fn replace_where(
    db: &mut PgConnection,
    facts: &Facts,
    sources: &[&str],
    contracts: Option<&[String]>,
    placed: &[Placed<'_>],
) -> Result<(), SinkError> {
    sqlx::query(REMOVE)
        .bind(facts.chain.to_string())
        .bind(Position::floor(*facts.range.start()))
        .bind(Position::floor(facts.range.end() + 1))
        .bind(sources)
        .bind(contracts)
        .bind(placed.iter().map(|placed| placed.id).collect::<Vec<_>>())
        .bind(placed.iter().map(|placed| placed.fault.source).collect::<Vec<_>>())
        .execute(&mut *db)
        .await?;
    record(db, facts.chain, placed).await?;
    Ok(())
}

// A fault that is known keeps its attempts: another try that ended the same way must not begin them anew.
const RECORD: &str = "insert into indexer_service.decode_faults as f
        (chain_id, id, source, block_number, block_hash, log_index, tx_hash, contract, topic0, reason, next_attempt_at)
    select $1, s.*, case when s.reason = any($11::text[]) then now() end
      from unnest($2::uuid[], $3::text[], $4::int8[], $5::text[], $6::int4[], $7::text[], $8::text[], $9::text[], $10::text[])
           as s (id, source, block_number, block_hash, log_index, tx_hash, contract, topic0, reason)
    on conflict (chain_id, id, source) do update
       set reason = excluded.reason,
           next_attempt_at = case when excluded.next_attempt_at is null then null
                                  when f.attempts = 0 then coalesce(f.next_attempt_at, excluded.next_attempt_at)
                                  else f.next_attempt_at end";

const REMOVE_ABOVE: &str = "delete from indexer_service.decode_faults where chain_id = $1 and id >= $2";

const REMOVE: &str = "delete from indexer_service.decode_faults
    where chain_id = $1 and id >= $2 and id < $3 and source = any($4) and ($5::text[] is null or contract = any($5))
      and (id, source) not in (select * from unnest($6::uuid[], $7::text[]))";

const REMAINING: &str = "select id, min(reason) as reason, array_agg(source order by source) as sources,
           max(attempts) as attempts, min(next_attempt_at) as next_attempt_at
    from indexer_service.decode_faults
    where chain_id = $1 and id = any($2) group by id order by id";

const WAITING: &str = "select id, min(reason) as reason, array_agg(source order by source) as sources,
           max(attempts) as attempts, min(next_attempt_at) as next_attempt_at
    from indexer_service.decode_faults
    where chain_id = $1 and id > $2 and (next_attempt_at is not null or attempts > 0) group by id order by id limit $3";

// Two daemons that look at one moment get different faults.
// Taking moves the next attempt ahead, so what a killed process took comes due again. Facts are replaced as far as the caller may;
// what a stored ABI could not read hangs on no fact and may be tried above that.
const TAKE: &str = "update indexer_service.decode_faults f set next_attempt_at = now() + make_interval(secs => $4)
    from (select id, source from indexer_service.decode_faults
           where chain_id = $1 and next_attempt_at <= now() and (block_number <= $2 or source = $5)
           order by next_attempt_at limit $3 for update skip locked) due
    where f.chain_id = $1 and f.id = due.id and f.source = due.source
    returning f.id, f.source";

const SETTLE: &str = "update indexer_service.decode_faults f
    set attempts = f.attempts + 1,
        next_attempt_at = case when f.attempts + 1 < $4 then now() + make_interval(secs => $5 * 2 ^ f.attempts) end
    from unnest($2::uuid[], $3::text[]) as taken (id, source)
    where f.chain_id = $1 and f.id = taken.id and f.source = taken.source and f.next_attempt_at is not null";

// A time long past is due before all others.
const URGE: &str = "update indexer_service.decode_faults set attempts = 0, next_attempt_at = 'epoch'
    where chain_id = $1 and id = any($2)";
