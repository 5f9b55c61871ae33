//! The reading side of the outbox: what is pending, joined with the facts it publishes, and the receipt once it is published.

use decoders::block::ChainId;
use rustc_hash::FxHashMap;
use serde_json::Value;
use uuid::Uuid;

use super::error::PublisherError;
use super::options::Options;
use crate::facts;
use crate::message::Message;
use crate::store::Store;

/// No rows: what a publisher reads was not read before.
pub(super) const NONE_SEEN: &str = "{}";

/// One outbox row; no message when its fact was undone before the row was paid, a reason when its body cannot be sent.
#[derive(Clone, Debug)]
pub(super) struct PendingRow {
    pub(super) seq: i64,
    pub(super) message: Result<Option<Message>, String>,
}

/// Chains with unpaid rows. Skips from chain to chain along the index instead of reading every row.
pub(super) async fn chains(store: &Store) -> Result<Vec<ChainId>, PublisherError> {
    let names: Vec<String> = sqlx::query_scalar(
        "with recursive pending as (
             (select chain_id from indexer_service.outbox order by chain_id limit 1)
             union all
             select (select next.chain_id from indexer_service.outbox next
                      where next.chain_id > pending.chain_id order by next.chain_id limit 1)
               from pending where pending.chain_id is not null
         )
         select chain_id::text from pending where chain_id is not null",
    )
    .fetch_all(&store.pool)
    .await?;
    Ok(names.iter().filter_map(|name| name.parse().ok()).collect())
}

/// Up to `limit` unpaid rows of `chain` with a number above `after` that is not among `seen`, in order. `seen` is a multirange as
/// PostgreSQL writes it.
pub(super) async fn rows(
    store: &Store,
    chain: ChainId,
    after: i64,
    seen: &str,
    limit: usize,
) -> Result<Vec<PendingRow>, PublisherError> {
    let rows: Vec<Row> = sqlx::query_as(ROWS)
        .bind(chain.to_string())
        .bind(after)
        .bind(seen)
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .fetch_all(&store.pool)
        .await?;
    // A retraction carries what it states, because its fact is gone; the others are looked up, one statement for each kind.
    let announcing = rows.iter().filter(|row| row.body.is_none());
    let announced: Vec<(&str, Uuid)> = announcing.map(|row| (row.kind.as_str(), row.fact_id)).collect();
    let messages = facts::messages(&store.pool, chain, &announced).await?;
    Ok(rows.into_iter().map(|row| row.pending(chain, &messages)).collect())
}

/// Which transactions are under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, sqlx::FromRow)]
pub(super) struct Snapshot {
    /// Every transaction below has ended.
    pub(super) oldest: i64,
    /// No transaction at or above has begun.
    pub(super) next: i64,
}

/// Which transactions are under way now.
pub(super) async fn snapshot(store: &Store) -> Result<Snapshot, PublisherError> {
    Ok(sqlx::query_as(SNAPSHOT).fetch_one(&store.pool).await?)
}

/// What one batch came to.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Receipt {
    pub(super) published: i64,
    pub(super) unroutable: i64,
    pub(super) skipped: i64,
}

/// Deletes the paid rows `seqs` and moves the cursor, in one statement, unless another publisher holds the chain's claim now.
pub(super) async fn settle(
    store: &Store,
    chain: ChainId,
    options: &Options,
    seqs: &[i64],
    receipt: Receipt,
) -> Result<(), PublisherError> {
    let settled: i64 = sqlx::query_scalar(SETTLE)
        .bind(chain.to_string())
        .bind(&options.exchange)
        .bind(&options.holder)
        .bind(seqs)
        .bind(seqs.last().copied().unwrap_or_default())
        .bind(receipt.published)
        .bind(receipt.unroutable)
        .bind(receipt.skipped)
        .fetch_one(&store.pool)
        .await?;
    if settled == 1 {
        Ok(())
    } else {
        Err(PublisherError::ClaimLost { chain })
    }
}

/// An outbox row.
#[derive(sqlx::FromRow)]
struct Row {
    seq: i64,
    kind: String,
    fact_id: Uuid,
    body: Option<Value>,
}

impl Row {
    fn pending(self, chain: ChainId, messages: &FxHashMap<Uuid, Message>) -> PendingRow {
        let Row {
            seq,
            kind,
            fact_id,
            body,
        } = self;
        let message = match body {
            Some(stated) => facts::retraction(stated, chain, fact_id)
                .map(Some)
                .map_err(|reason| format!("outbox row {seq} of {chain} has a body that cannot be sent: {reason}")),
            None if !facts::is_known(&kind) => Err(format!(
                "outbox row {seq} of {chain} announces a fact of a kind that this program does not know: {kind:?}"
            )),
            // Two rows may refer to one fact: what was undone and came again.
            None => Ok(messages.get(&fact_id).cloned()),
        };
        PendingRow { seq, message }
    }
}

// The claim is locked first, so that none is taken between the look at it and the commit.
const SETTLE: &str = "with mine as (
        update indexer_service.publisher_cursors
           set last_seq = greatest(last_seq, $5), published = published + $6, unroutable = unroutable + $7,
               skipped = skipped + $8, updated_at = now()
         where chain_id = $1 and exchange = $2 and holder = $3
        returning chain_id
    ), paid as (
        delete from indexer_service.outbox where seq = any($4) and chain_id = (select chain_id from mine)
    )
    select count(*) from mine";

const ROWS: &str = "select seq, kind, fact_id, body from indexer_service.outbox
    where chain_id = $1 and seq > $2 and not $3::text::int8multirange @> seq order by seq limit $4";

const SNAPSHOT: &str = "select pg_snapshot_xmin(s)::text::bigint as oldest, pg_snapshot_xmax(s)::text::bigint as next
    from pg_current_snapshot() s";
