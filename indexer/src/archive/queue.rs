//! What waits for another try: the collection `processing_queue` of the archive's MongoDB, or a PostgreSQL table of the same shape.
//!
//! An entry is one archived log. Adding it twice changes nothing; a log that is at fault again waits again.

use std::time::Duration;

use chrono::{DateTime, Utc};
use decoders::block::{Block, ChainId, find_block};
use decoders::fact::{Fault, reason};
use decoders::id::{Position, RecordKind, block_number_of};
use futures::TryStreamExt;
use mongodb::bson::{Bson, DateTime as BsonDateTime, Document, doc};
use mongodb::options::IndexOptions;
use mongodb::{Collection, IndexModel};
use sinks::error::SinkError;
use sinks::store::Store;
use uuid::Uuid;

use super::mongo::{in_time, update_each};
use super::{Archive, ArchiveError, document};

/// The collection's name.
const COLLECTION: &str = "processing_queue";
/// Entries added with one command.
const BATCH: usize = 500;
/// Attempts before an entry is left to an operator.
pub const ATTEMPTS: i32 = 10;
/// The wait after the first failed attempt; it doubles with every further one.
const FIRST_WAIT: Duration = Duration::from_secs(30);
/// An entry taken this long ago was taken by a process that is gone.
const ABANDONED: Duration = Duration::from_secs(600);
/// Priority of what an operator asks for.
const URGENT: i32 = 10;

/// A log that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// The chain.
    pub chain: ChainId,
    /// The log's id.
    pub event_id: Uuid,
    /// Why.
    pub reason: String,
}

impl Waiting {
    /// The entry of a log at fault; `None` where another try would end the same way.
    pub fn of(chain: ChainId, event_id: Uuid, reason: &str) -> Option<Self> {
        let mends = [reason::ABI_UNKNOWN, reason::CONTRACT_UNKNOWN, reason::UNANSWERED];
        mends.contains(&reason).then(|| Waiting {
            chain,
            event_id,
            reason: reason.to_owned(),
        })
    }

    /// The entries of faults that stand in `blocks`.
    pub fn all(chain: ChainId, blocks: &[Block], faults: &[Fault]) -> Vec<Self> {
        let entry = |fault: &Fault| {
            let position = Position {
                chain,
                block_number: fault.block_number,
                block_hash: find_block(blocks, fault.block_number)?.hash,
                log_index: fault.log_index,
                item: 0,
                kind: RecordKind::Log,
            };
            Waiting::of(chain, position.id(), fault.reason)
        };
        faults.iter().filter_map(entry).collect()
    }
}

/// An entry taken for an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// The log's id.
    pub event_id: Uuid,
    /// Attempts so far.
    pub retry_count: i32,
}

/// What became of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The log is no longer at fault.
    Done,
    /// It is; for this reason.
    Again(String),
}

/// The queue, wherever it is kept.
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
    /// Adds what is not waiting yet.
    pub async fn add(&self, waiting: &[Waiting]) -> Result<(), ArchiveError> {
        self.put(waiting, false).await
    }

    /// Adds it, or lets it be tried now, and as often as if it were new.
    pub async fn urge(&self, waiting: &[Waiting]) -> Result<(), ArchiveError> {
        self.put(waiting, true).await
    }

    async fn put(&self, waiting: &[Waiting], urgent: bool) -> Result<(), ArchiveError> {
        if waiting.is_empty() {
            return Ok(());
        }
        match self {
            Queue::Mongo(entries) => {
                for batch in waiting.chunks(BATCH) {
                    let updates = batch.iter().flat_map(|one| updates(one, urgent)).collect();
                    update_each(entries, updates).await?;
                }
                Ok(())
            }
            Queue::Postgres(store) => {
                let statement = if urgent { URGE } else { ADD };
                sqlx::query(statement)
                    .bind(waiting.iter().map(|one| one.chain.to_string()).collect::<Vec<_>>())
                    .bind(waiting.iter().map(|one| one.event_id).collect::<Vec<_>>())
                    .bind(
                        waiting
                            .iter()
                            .map(|one| block_number_of(one.event_id).cast_signed())
                            .collect::<Vec<i64>>(),
                    )
                    .bind(waiting.iter().map(|one| one.reason.as_str()).collect::<Vec<_>>())
                    .bind(URGENT)
                    .execute(&store.pool)
                    .await
                    .map_err(SinkError::from)?;
                Ok(())
            }
        }
    }

    /// Takes at most `most` entries of `chain` whose time has come, the urgent ones first.
    pub async fn take(&self, chain: ChainId, most: i64) -> Result<Vec<Taken>, ArchiveError> {
        match self {
            Queue::Mongo(entries) => take_documents(entries, chain, most).await,
            Queue::Postgres(store) => {
                let rows: Vec<(Uuid, i32)> = sqlx::query_as(TAKE)
                    .bind(chain.to_string())
                    .bind(most)
                    .bind(Utc::now() - ABANDONED)
                    .fetch_all(&store.pool)
                    .await
                    .map_err(SinkError::from)?;
                let taken = |(event_id, retry_count)| Taken { event_id, retry_count };
                Ok(rows.into_iter().map(taken).collect())
            }
        }
    }

    /// Notes what became of an attempt.
    pub async fn settle(&self, chain: ChainId, taken: &Taken, outcome: &Outcome) -> Result<(), ArchiveError> {
        let retry_count = taken.retry_count + 1;
        let (status, error) = match outcome {
            Outcome::Done => ("done", None),
            Outcome::Again(error) if retry_count >= ATTEMPTS => ("failed", Some(error.as_str())),
            Outcome::Again(error) => ("pending", Some(error.as_str())),
        };
        let doublings = u32::try_from(taken.retry_count).unwrap_or(0).min(16);
        let next = Utc::now() + FIRST_WAIT * 2_u32.pow(doublings);
        match self {
            Queue::Mongo(entries) => {
                let set = doc! {
                    "status": status, "retry_count": retry_count, "last_error": error, "next_attempt_at": moment(next),
                    "updated_at": BsonDateTime::now(),
                };
                let entry = doc! { "_id": document::key_value(chain, taken.event_id) };
                in_time(entries.update_one(entry, doc! { "$set": set })).await?;
            }
            Queue::Postgres(store) => {
                sqlx::query(SETTLE)
                    .bind(chain.to_string())
                    .bind(taken.event_id)
                    .bind(status)
                    .bind(retry_count)
                    .bind(error)
                    .bind(next)
                    .execute(&store.pool)
                    .await
                    .map_err(SinkError::from)?;
            }
        }
        Ok(())
    }

    /// Number of entries of `chain` under each status.
    pub async fn counts(&self, chain: ChainId) -> Result<Vec<(String, i64)>, ArchiveError> {
        match self {
            Queue::Mongo(entries) => {
                let group = doc! { "_id": "$status", "count": { "$sum": 1_i64 } };
                let pipeline = [
                    doc! { "$match": { "chain_id": chain.to_string() } },
                    doc! { "$group": group },
                    doc! { "$sort": { "_id": 1 } },
                ];
                let rows: Vec<Document> = in_time(entries.aggregate(pipeline)).await?.try_collect().await?;
                let count = |row: Document| Some((row.get_str("_id").ok()?.to_owned(), row.get_i64("count").ok()?));
                Ok(rows.into_iter().filter_map(count).collect())
            }
            Queue::Postgres(store) => {
                let rows = sqlx::query_as(COUNTS)
                    .bind(chain.to_string())
                    .fetch_all(&store.pool)
                    .await;
                Ok(rows.map_err(SinkError::from)?)
            }
        }
    }
}

/// The updates that add one entry.
fn updates(one: &Waiting, urgent: bool) -> Vec<Document> {
    let key = doc! { "_id": document::key_value(one.chain, one.event_id) };
    let now = BsonDateTime::now();
    let fixed = doc! {
        "event_id": one.event_id.to_string(), "chain_id": one.chain.to_string(),
        "block_number": block_number_of(one.event_id).cast_signed(), "created_at": now,
    };
    let fresh = doc! {
        "reason": &one.reason, "priority": if urgent { URGENT } else { 0 }, "retry_count": 0, "status": "pending",
        "next_attempt_at": now, "last_error": Bson::Null, "updated_at": now,
    };
    if urgent {
        return vec![doc! { "q": key, "u": { "$setOnInsert": fixed, "$set": fresh }, "upsert": true }];
    }
    let mut all = fixed;
    all.extend(fresh.clone());
    // What was mended and is at fault again waits as if it were new.
    let mut mended = key.clone();
    mended.insert("status", "done");
    vec![
        doc! { "q": mended, "u": { "$set": fresh } },
        doc! { "q": key, "u": { "$setOnInsert": all }, "upsert": true },
    ]
}

async fn take_documents(entries: &Collection<Document>, chain: ChainId, most: i64) -> Result<Vec<Taken>, ArchiveError> {
    let due = IndexModel::builder()
        .keys(doc! { "status": 1, "chain_id": 1, "next_attempt_at": 1 })
        .options(IndexOptions::builder().name("due".to_owned()).build())
        .build();
    in_time(entries.create_index(due)).await?;
    let name = chain.to_string();
    let filter = doc! { "$or": [
        { "status": "pending", "chain_id": &name, "next_attempt_at": { "$lte": BsonDateTime::now() } },
        { "status": "processing", "chain_id": &name, "updated_at": { "$lt": moment(Utc::now() - ABANDONED) } },
    ] };
    let found = entries
        .find(filter.clone())
        .sort(doc! { "priority": -1, "next_attempt_at": 1 })
        .limit(most);
    let found: Vec<Document> = in_time(found).await?.try_collect().await?;
    let mut taken = Vec::with_capacity(found.len());
    for entry in found {
        let (Some(key), Ok(event_id)) = (entry.get("_id"), entry.get_str("event_id")) else {
            continue;
        };
        let (Ok(event_id), Ok(retry_count)) = (event_id.parse(), entry.get_i32("retry_count")) else {
            continue;
        };
        // Whoever changes the entry first has it.
        let mut unchanged = filter.clone();
        unchanged.insert("_id", key.clone());
        let set = doc! { "$set": { "status": "processing", "updated_at": BsonDateTime::now() } };
        if in_time(entries.update_one(unchanged, set)).await?.modified_count == 1 {
            taken.push(Taken { event_id, retry_count });
        }
    }
    Ok(taken)
}

fn moment(time: DateTime<Utc>) -> BsonDateTime {
    BsonDateTime::from_millis(time.timestamp_millis())
}

const ADD: &str = "insert into indexer_service.processing_queue as q (chain_id, event_id, block_number, reason)
    select s.chain, s.id, s.block, s.reason
      from unnest($1::text[], $2::uuid[], $3::int8[], $4::text[]) as s (chain, id, block, reason)
     where $5::int4 is not null
    on conflict (chain_id, event_id) do update
       set reason = excluded.reason, retry_count = 0, status = 'pending', next_attempt_at = now(), last_error = null, updated_at = now()
     where q.status = 'done'";

const URGE: &str = "insert into indexer_service.processing_queue as q (chain_id, event_id, block_number, reason, priority)
    select s.chain, s.id, s.block, s.reason, $5
      from unnest($1::text[], $2::uuid[], $3::int8[], $4::text[]) as s (chain, id, block, reason)
    on conflict (chain_id, event_id) do update
       set reason = excluded.reason, priority = excluded.priority, retry_count = 0, status = 'pending', next_attempt_at = now(),
           last_error = null, updated_at = now()";

const TAKE: &str = "update indexer_service.processing_queue q set status = 'processing', updated_at = now()
    from (select chain_id, event_id from indexer_service.processing_queue
           where chain_id = $1 and ((status = 'pending' and next_attempt_at <= now()) or (status = 'processing' and updated_at < $3))
           order by priority desc, next_attempt_at limit $2 for update skip locked) as due
    where q.chain_id = due.chain_id and q.event_id = due.event_id
    returning q.event_id, q.retry_count";

const SETTLE: &str = "update indexer_service.processing_queue
    set status = $3, retry_count = $4, last_error = $5, next_attempt_at = $6, updated_at = now()
    where chain_id = $1 and event_id = $2";

const COUNTS: &str =
    "select status, count(*) from indexer_service.processing_queue where chain_id = $1 group by status order by status";
