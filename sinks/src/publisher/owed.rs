//! The reading side of the outbox: what is owed, joined with the facts it tells of, and the receipt once it is paid.

use decoders::block::ChainId;
use rustc_hash::FxHashMap;
use serde_json::Value;
use uuid::Uuid;

use super::PublisherError;
use super::cancel::Cancel;
use super::message::{Fact, Message, Told, retraction};
use super::order::Order;
use super::sale::Sale;
use super::transfer::Transfer;
use crate::store::Store;

/// One outbox row; no message when its fact was undone before the row was paid.
#[derive(Clone, Debug)]
pub(super) struct Owed {
    pub(super) seq: i64,
    pub(super) message: Option<Message>,
}

/// Chains with unpaid rows. Skips from chain to chain along the index instead of reading every row.
pub(super) async fn chains(store: &Store) -> Result<Vec<ChainId>, PublisherError> {
    let names: Vec<String> = sqlx::query_scalar(
        "with recursive owed as (
             (select chain_id from indexer_service.outbox order by chain_id limit 1)
             union all
             select (select next.chain_id from indexer_service.outbox next
                      where next.chain_id > owed.chain_id order by next.chain_id limit 1)
               from owed where owed.chain_id is not null
         )
         select chain_id::text from owed where chain_id is not null",
    )
    .fetch_all(&store.pool)
    .await?;
    Ok(names.iter().filter_map(|name| name.parse().ok()).collect())
}

/// Up to `limit` unpaid rows of `chain` with a number above `after` that is not among `but`, in order.
pub(super) async fn rows(
    store: &Store,
    chain: ChainId,
    after: i64,
    but: &[i64],
    limit: usize,
) -> Result<Vec<Owed>, PublisherError> {
    let rows: Vec<Row> = sqlx::query_as(
        "select seq, kind, fact_id, body from indexer_service.outbox
          where chain_id = $1 and seq > $2 and seq <> all($3)
          order by seq
          limit $4",
    )
    .bind(chain.to_string())
    .bind(after)
    .bind(but)
    .bind(i64::try_from(limit).unwrap_or(i64::MAX))
    .fetch_all(&store.pool)
    .await?;
    let messages = announced(store, chain, &rows).await?;
    rows.into_iter().map(|row| row.owed(chain, &messages)).collect()
}

/// The messages of the facts that `rows` announce, as far as they stand: one statement per kind among them.
async fn announced(store: &Store, chain: ChainId, rows: &[Row]) -> Result<FxHashMap<Uuid, Message>, PublisherError> {
    let mut messages = FxHashMap::default();
    read::<Transfer>(store, chain, rows, &mut messages).await?;
    read::<Sale>(store, chain, rows, &mut messages).await?;
    read::<Order>(store, chain, rows, &mut messages).await?;
    read::<Cancel>(store, chain, rows, &mut messages).await?;
    Ok(messages)
}

async fn read<T: Told>(
    store: &Store,
    chain: ChainId,
    rows: &[Row],
    messages: &mut FxHashMap<Uuid, Message>,
) -> Result<(), PublisherError> {
    let announced = rows
        .iter()
        .filter(|row| row.body.is_none() && T::KINDS.contains(&row.kind.as_str()));
    let ids: Vec<Uuid> = announced.map(|row| row.fact_id).collect();
    if ids.is_empty() {
        return Ok(());
    }
    let facts: Vec<Fact<T>> = sqlx::query_as(T::READ)
        .bind(chain.to_string())
        .bind(ids)
        .fetch_all(&store.pool)
        .await?;
    messages.extend(facts.into_iter().map(|fact| (fact.fact_id, fact.message(chain))));
    Ok(())
}

/// What one batch came to.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Receipt {
    pub(super) published: i64,
    pub(super) unroutable: i64,
    pub(super) skipped: i64,
}

/// Deletes the paid rows `seqs` and moves the cursor, in one statement.
pub(super) async fn settle(
    store: &Store,
    chain: ChainId,
    exchange: &str,
    seqs: &[i64],
    receipt: Receipt,
) -> Result<(), PublisherError> {
    sqlx::query(
        "with paid as (delete from indexer_service.outbox where chain_id = $1 and seq = any($3))
         insert into indexer_service.publisher_cursors as c (chain_id, exchange, last_seq, published, unroutable, skipped)
         values ($1, $2, $4, $5, $6, $7)
         on conflict (chain_id, exchange) do update
            set last_seq = greatest(c.last_seq, excluded.last_seq),
                published = c.published + excluded.published,
                unroutable = c.unroutable + excluded.unroutable,
                skipped = c.skipped + excluded.skipped,
                updated_at = now()",
    )
    .bind(chain.to_string())
    .bind(exchange)
    .bind(seqs)
    .bind(seqs.last().copied().unwrap_or_default())
    .bind(receipt.published)
    .bind(receipt.unroutable)
    .bind(receipt.skipped)
    .execute(&store.pool)
    .await?;
    Ok(())
}

/// Claims the chain's outbox for `holder` for the next `seconds`; false while another publisher holds it.
///
/// Two publishers on one chain would send its messages twice and out of order.
pub(super) async fn claim(
    store: &Store,
    chain: ChainId,
    exchange: &str,
    holder: &str,
    seconds: f64,
) -> Result<bool, PublisherError> {
    let claimed = sqlx::query(
        "insert into indexer_service.publisher_cursors as c (chain_id, exchange, last_seq, holder, held_until)
         values ($1, $2, 0, $3, now() + make_interval(secs => $4))
         on conflict (chain_id, exchange) do update
            set holder = excluded.holder, held_until = excluded.held_until
          where c.holder is null or c.holder = excluded.holder or c.held_until < now()",
    )
    .bind(chain.to_string())
    .bind(exchange)
    .bind(holder)
    .bind(seconds)
    .execute(&store.pool)
    .await?;
    Ok(claimed.rows_affected() == 1)
}

/// Gives up every claim of `holder`, so that another publisher need not wait for them to end.
pub(super) async fn release(store: &Store, holder: &str) -> Result<(), PublisherError> {
    sqlx::query("update indexer_service.publisher_cursors set holder = null, held_until = null where holder = $1")
        .bind(holder)
        .execute(&store.pool)
        .await?;
    Ok(())
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
    fn owed(self, chain: ChainId, messages: &FxHashMap<Uuid, Message>) -> Result<Owed, PublisherError> {
        let Row { seq, fact_id, body, .. } = self;
        let message = match body {
            Some(told) => {
                Some(retraction(told, chain, fact_id).map_err(|reason| PublisherError::Body { seq, reason })?)
            }
            // Two rows may tell of one fact: what was undone and came again.
            None => messages.get(&fact_id).cloned(),
        };
        Ok(Owed { seq, message })
    }
}
