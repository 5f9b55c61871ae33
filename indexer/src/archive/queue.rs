//! What waits for another try, shown beside the raw events: the collection `processing_queue` of the archive's MongoDB, or a
//! PostgreSQL table of the same shape.
//!
//! It is a cache of `decode_faults`, which decides what is tried and when (`sinks/src/facts/faults.rs`): made anew when a daemon begins
//! to lead a chain, brought up to date with every attempt, and compared page by page meanwhile, because faults are mended by other
//! ways too. Nothing is lost with it, and nothing waits for it.

use decoders::block::ChainId;
use decoders::id::block_number_of;
use futures::TryStreamExt;
use mongodb::Collection;
use mongodb::bson::{Bson, DateTime as BsonDateTime, Document, doc};
use sinks::error::SinkError;
use sinks::facts::faults::{self, ATTEMPTS, AtFault};
use sinks::store::Store;
use uuid::Uuid;

use super::error::ArchiveError;
use super::mongo_operation::{in_time, update_each};
use super::{Archive, document};

/// The collection's name.
const COLLECTION: &str = "processing_queue";
/// Entries read, written or removed with one command.
const BATCH: usize = 500;

/// The cache, wherever it is kept.
#[derive(Clone, Debug)]
pub enum Queue {
    /// In MongoDB.
    Mongo(Collection<Document>),
    /// In PostgreSQL.
    Postgres(Store),
}

impl Archive {
    /// The queue beside the archive.
    pub fn queue(&self, store: &Store) -> Queue {
        match self {
            Archive::Mongo(archive) => {
                let database = archive.events.client().database(&archive.events.namespace().db);
                Queue::Mongo(database.collection(COLLECTION))
            }
            Archive::Postgres(_) => Queue::Postgres(store.clone()),
        }
    }
}

impl Queue {
    /// Shows what waits on `chain`, and nothing else.
    ///
    /// # Errors
    /// Whatever MongoDB or PostgreSQL answers; the cache is then incomplete.
    pub async fn refill(&self, store: &Store, chain: ChainId) -> Result<(), ArchiveError> {
        self.clear(chain).await?;
        let mut after = Uuid::nil();
        loop {
            let page = faults::waiting(store, chain, after, BATCH as i64).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = last.id;
            self.show(chain, &page).await?;
        }
    }

    /// Brings the entries of the logs `ids` up to date: `waiting` holds those of them that are still at fault.
    ///
    /// # Errors
    /// Whatever MongoDB or PostgreSQL answers; the cache then shows what was.
    pub async fn update(&self, chain: ChainId, ids: &[Uuid], waiting: &[AtFault]) -> Result<(), ArchiveError> {
        self.show(chain, waiting).await?;
        let still = |id: &Uuid| waiting.binary_search_by_key(id, |fault| fault.id).is_ok();
        let gone: Vec<Uuid> = ids.iter().copied().filter(|id| !still(id)).collect();
        for batch in gone.chunks(BATCH) {
            match self {
                Queue::Mongo(entries) => {
                    let keys: Vec<_> = batch.iter().map(|id| document::key_value(chain, *id)).collect();
                    in_time(entries.delete_many(doc! { "_id": { "$in": keys } })).await?;
                }
                Queue::Postgres(store) => {
                    let removed = sqlx::query(REMOVE).bind(chain.to_string()).bind(batch);
                    removed.execute(&store.pool).await.map_err(SinkError::from)?;
                }
            }
        }
        Ok(())
    }

    /// Compares the entries behind `after` with the faults, a page of them, and returns where the next page begins.
    ///
    /// # Errors
    /// Whatever MongoDB or PostgreSQL answers.
    pub async fn compare(&self, store: &Store, chain: ChainId, after: Uuid) -> Result<Uuid, ArchiveError> {
        let ids = self.page(chain, after).await?;
        let Some(last) = ids.last() else {
            return Ok(Uuid::nil());
        };
        let mut waiting = faults::remaining(store, chain, &ids).await?;
        waiting.retain(|fault| fault.next_attempt_at.is_some() || fault.attempts > 0);
        self.update(chain, &ids, &waiting).await?;
        Ok(if ids.len() == BATCH { *last } else { Uuid::nil() })
    }

    async fn page(&self, chain: ChainId, after: Uuid) -> Result<Vec<Uuid>, ArchiveError> {
        match self {
            Queue::Mongo(entries) => {
                let behind =
                    doc! { "$gt": document::key_value(chain, after), "$lte": document::key_value(chain, Uuid::max()) };
                let found = entries
                    .find(doc! { "_id": behind })
                    .projection(doc! { "event_id": 1 })
                    .sort(doc! { "_id": 1 })
                    .limit(BATCH as i64);
                let found: Vec<Document> = in_time(in_time(found).await?.try_collect()).await?;
                let id = |entry: &Document| entry.get_str("event_id").ok()?.parse().ok();
                Ok(found.iter().filter_map(id).collect())
            }
            Queue::Postgres(store) => {
                let page = sqlx::query_scalar(ENTRIES)
                    .bind(chain.to_string())
                    .bind(after)
                    .bind(BATCH as i64);
                Ok(page.fetch_all(&store.pool).await.map_err(SinkError::from)?)
            }
        }
    }

    async fn clear(&self, chain: ChainId) -> Result<(), ArchiveError> {
        match self {
            Queue::Mongo(entries) => {
                in_time(entries.delete_many(doc! { "chain_id": chain.to_string() })).await?;
            }
            Queue::Postgres(store) => {
                let cleared = sqlx::query(CLEAR).bind(chain.to_string());
                cleared.execute(&store.pool).await.map_err(SinkError::from)?;
            }
        }
        Ok(())
    }

    async fn show(&self, chain: ChainId, waiting: &[AtFault]) -> Result<(), ArchiveError> {
        for batch in waiting.chunks(BATCH) {
            match self {
                Queue::Mongo(entries) => {
                    update_each(entries, batch.iter().map(|fault| update(chain, fault)).collect()).await?;
                }
                Queue::Postgres(store) => {
                    let blocks = batch.iter().map(|fault| block_number_of(fault.id).cast_signed());
                    let shown = sqlx::query(SHOW)
                        .bind(chain.to_string())
                        .bind(batch.iter().map(|fault| fault.id).collect::<Vec<_>>())
                        .bind(blocks.collect::<Vec<i64>>())
                        .bind(batch.iter().map(|fault| fault.reason.as_str()).collect::<Vec<_>>())
                        .bind(batch.iter().map(|fault| fault.attempts).collect::<Vec<_>>())
                        .bind(batch.iter().map(status).collect::<Vec<_>>())
                        .bind(batch.iter().map(|fault| fault.next_attempt_at).collect::<Vec<_>>());
                    shown.execute(&store.pool).await.map_err(SinkError::from)?;
                }
            }
        }
        Ok(())
    }
}

/// `pending` while it is tried again, `failed` once that is left to an operator.
fn status(fault: &AtFault) -> &'static str {
    if fault.next_attempt_at.is_none() && fault.attempts >= ATTEMPTS {
        "failed"
    } else {
        "pending"
    }
}

/// The update that shows one entry.
fn update(chain: ChainId, fault: &AtFault) -> Document {
    let now = BsonDateTime::now();
    let next = fault.next_attempt_at;
    let next = next.map_or(Bson::Null, |time| {
        Bson::DateTime(BsonDateTime::from_millis(time.timestamp_millis()))
    });
    let set = doc! {
        "event_id": fault.id.to_string(), "chain_id": chain.to_string(),
        "block_number": block_number_of(fault.id).cast_signed(), "reason": &fault.reason, "priority": 0_i32,
        "retry_count": fault.attempts, "status": status(fault), "next_attempt_at": next,
        "last_error": if fault.attempts > 0 { Bson::from(&fault.reason) } else { Bson::Null }, "updated_at": now,
    };
    let key = doc! { "_id": document::key_value(chain, fault.id) };
    doc! { "q": key, "u": { "$setOnInsert": { "created_at": now }, "$set": set }, "upsert": true }
}

const ENTRIES: &str = "select event_id from indexer_service.processing_queue where chain_id = $1 and event_id > $2 order by event_id limit $3";

const CLEAR: &str = "delete from indexer_service.processing_queue where chain_id = $1";

const REMOVE: &str = "delete from indexer_service.processing_queue where chain_id = $1 and event_id = any($2)";

// Made to equal what the faults state, which decide: this table only shows them, whatever is written into it.
const SHOW: &str = "insert into indexer_service.processing_queue
        (chain_id, event_id, block_number, reason, retry_count, status, next_attempt_at, last_error)
    select $1, s.id, s.block, s.reason, s.attempts, s.status, coalesce(s.next, now()), case when s.attempts > 0 then s.reason end
      from unnest($2::uuid[], $3::int8[], $4::text[], $5::int4[], $6::text[], $7::timestamptz[])
           as s (id, block, reason, attempts, status, next)
    on conflict (chain_id, event_id) do update
       set reason = excluded.reason, retry_count = excluded.retry_count, status = excluded.status,
           next_attempt_at = excluded.next_attempt_at, last_error = excluded.last_error, updated_at = now()";
