//! The reading side of the outbox: what is owed, joined with the facts it tells of, and the receipt once it is paid.

use chrono::{DateTime, Utc};
use decoders::block::ChainId;
use sqlx::types::Json;
use uuid::Uuid;

use super::PublisherError;
use super::message::{BlockBody, Message, SCHEMA_VERSION, TransferBody, Undone, rfc3339};
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
        "select o.seq, o.kind, o.fact_id, o.body,
                t.block_number, t.block_hash::text, t.block_time, t.tx_hash::text, t.log_index, t.item,
                t.contract::text, t.token_id, t.from_addr::text, t.to_addr::text, t.quantity::text, t.standard
           from indexer_service.outbox o
           left join catalog_service.ownership_transfers t on t.chain_id = $1 and t.id = o.fact_id
          where o.chain_id = $1 and o.seq > $2 and o.seq <> all($3)
          order by o.seq
          limit $4",
    )
    .bind(chain.to_string())
    .bind(after)
    .bind(but)
    .bind(i64::try_from(limit).unwrap_or(i64::MAX))
    .fetch_all(&store.pool)
    .await?;
    rows.into_iter().map(|row| row.owed(chain)).collect()
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

/// An outbox row joined with its fact.
#[derive(sqlx::FromRow)]
struct Row {
    seq: i64,
    kind: String,
    fact_id: Uuid,
    body: Option<Json<Undone>>,
    block_number: Option<i64>,
    block_hash: Option<String>,
    block_time: Option<DateTime<Utc>>,
    tx_hash: Option<String>,
    log_index: Option<i32>,
    item: Option<i32>,
    contract: Option<String>,
    token_id: Option<String>,
    from_addr: Option<String>,
    to_addr: Option<String>,
    quantity: Option<String>,
    standard: Option<String>,
}

impl Row {
    fn owed(mut self, chain: ChainId) -> Result<Owed, PublisherError> {
        let seq = self.seq;
        let message = match self.body.take() {
            Some(Json(told)) => Some(told.message(chain, self.fact_id)),
            None => self.transfer(chain).map(TransferBody::message),
        };
        let message = message
            .transpose()
            .map_err(|reason| PublisherError::Body { seq, reason })?;
        Ok(Owed { seq, message })
    }

    /// The fact's body; `None` when the fact is gone.
    fn transfer(self, chain: ChainId) -> Option<TransferBody> {
        let time = rfc3339(self.block_time?);
        Some(TransferBody {
            schema_version: SCHEMA_VERSION,
            id: self.fact_id,
            chain: chain.to_string(),
            kind: self.kind,
            block: BlockBody {
                number: self.block_number?,
                hash: self.block_hash?,
                time,
            },
            tx_hash: self.tx_hash?,
            log_index: self.log_index?,
            item: self.item?,
            contract: self.contract?,
            token_id: self.token_id?,
            from: self.from_addr?,
            to: self.to_addr?,
            quantity: self.quantity?,
            standard: self.standard?,
        })
    }
}
