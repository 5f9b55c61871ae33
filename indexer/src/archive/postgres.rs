//! Raw events in PostgreSQL, for installations without MongoDB: a merge against the stored range, then one `COPY`.

use std::fmt::Write;
use std::ops::RangeInclusive;

use alloy_primitives::{Address, hex};
use chrono::{DateTime, Datelike, Utc};
use decoders::block::{Answers, Block, Call, ChainId, Envelopes, LATEST_TIME, Log, Span};
use futures::TryStreamExt;
use sinks::error::SinkError;
use sinks::progress::intents::{self, Intent};
use sinks::store::Store;
use sqlx::PgConnection;
use uuid::Uuid;

use super::change::{Asked, Change, Merge, batches};
use super::error::ArchiveError;
use super::postgres_context;
use super::record::{Bounds, Gatherer, Record, block_of, ids};

/// Bytes sent to the server at a time while copying.
const CHUNK_BYTES: usize = 1 << 20;
/// Times `put` starts over when another writer put the same logs at the same moment.
const ATTEMPTS: usize = 3;
/// SQLSTATE of a unique violation.
const UNIQUE_VIOLATION: &str = "23505";

/// Raw events in the table `indexer_service.raw_events`. Takes one connection at a time.
#[derive(Clone, Debug)]
pub struct PostgresArchive {
    pub(super) store: Store,
}

impl PostgresArchive {
    /// The archive in the database of `store`.
    pub fn new(store: Store) -> Self {
        PostgresArchive { store }
    }

    pub(super) async fn ping(&self) -> Result<(), ArchiveError> {
        sqlx::query("select 1")
            .execute(&self.store.pool)
            .await
            .map_err(SinkError::from)?;
        Ok(())
    }

    pub(super) async fn put(&self, span: &Span, asked: Asked<'_>, intent: &Intent) -> Result<u64, ArchiveError> {
        let ids = ids(span)?;
        for _ in 1..ATTEMPTS {
            match self.replace(span, &ids, asked, intent).await {
                Err(Failed::Store(error)) if is_unique_violation(&error) => {}
                other => return other.map_err(ArchiveError::from),
            }
        }
        self.replace(span, &ids, asked, intent)
            .await
            .map_err(ArchiveError::from)
    }

    pub(super) async fn read(
        &self,
        chain: ChainId,
        range: RangeInclusive<u64>,
        contracts: &[Address],
    ) -> Result<Span, ArchiveError> {
        let mut connection = self.store.pool.acquire().await.map_err(SinkError::from)?;
        let bounds = Bounds::of(&range);
        let mut gatherer = Gatherer::new(chain, range);
        let name = chain.to_string();
        let mut rows = scan(&mut connection, &name, bounds, contracts);
        while let Some(row) = rows.try_next().await.map_err(SinkError::from)? {
            let (id, reason) = (row.id, "a row is not a raw event".to_owned());
            let corrupt = || ArchiveError::Corrupt {
                chain,
                block: decoders::id::block_number_of(id),
                reason,
            };
            gatherer.push(row.record().ok_or_else(corrupt)?)?;
        }
        Ok(gatherer.span)
    }

    pub(super) async fn envelopes(
        &self,
        chain: ChainId,
        range: &RangeInclusive<u64>,
    ) -> Result<Envelopes, ArchiveError> {
        let mut connection = self.store.pool.acquire().await.map_err(SinkError::from)?;
        postgres_context::envelopes(&mut connection, chain, range).await
    }

    pub(super) async fn answers(&self, chain: ChainId, calls: &[Call]) -> Result<Answers, ArchiveError> {
        let mut connection = self.store.pool.acquire().await.map_err(SinkError::from)?;
        Ok(postgres_context::answers(&mut connection, chain, calls)
            .await
            .map_err(SinkError::from)?)
    }

    /// One transaction: see that no later writer has begun, compare, delete what is stale, copy what is missing.
    async fn replace(&self, span: &Span, ids: &[Uuid], asked: Asked<'_>, intent: &Intent) -> Result<u64, Failed> {
        let mut transaction = self.store.pool.begin().await?;
        // The row of the intent stays locked: a writer that would overtake waits until this range is written or left as it was.
        intents::check(&mut transaction, intent)
            .await
            .map_err(|error| Failed::Archive(error.into()))?;
        let name = span.chain.to_string();
        let change = compare(&mut transaction, &name, span, ids, asked).await?;
        if !change.stale.is_empty() {
            postgres_context::forget(&mut transaction, span, &change.stale).await?;
            sqlx::query("delete from indexer_service.raw_events where chain_id = $1 and id = any($2)")
                .bind(&name)
                .bind(&change.stale)
                .execute(&mut *transaction)
                .await?;
        }
        if !change.missing.is_empty() {
            copy(&mut transaction, &name, span, ids, &change.missing).await?;
        }
        postgres_context::keep(&mut transaction, span, ids).await?;
        transaction.commit().await?;
        Ok(change.missing.len() as u64)
    }
}

/// A failure inside [`PostgresArchive::replace`], kept apart so that a collision of writers can be distinguished.
enum Failed {
    Store(sqlx::Error),
    Archive(ArchiveError),
}

impl From<sqlx::Error> for Failed {
    fn from(error: sqlx::Error) -> Self {
        Failed::Store(error)
    }
}

impl From<Failed> for ArchiveError {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::Store(error) => ArchiveError::Postgres(error.into()),
            Failed::Archive(error) => error,
        }
    }
}

fn is_unique_violation(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .and_then(|error| error.code())
        .is_some_and(|code| code == UNIQUE_VIOLATION)
}

async fn compare(
    connection: &mut PgConnection,
    name: &str,
    span: &Span,
    ids: &[Uuid],
    asked: Asked<'_>,
) -> Result<Change, sqlx::Error> {
    let mut merge = Merge::new(span, ids, asked);
    let mut rows = scan(connection, name, Bounds::of(&span.range), &[]);
    while let Some(row) = rows.try_next().await? {
        merge.stored(row.id, row.record().as_ref());
    }
    Ok(merge.finish())
}

fn scan<'a>(
    connection: &'a mut PgConnection,
    name: &'a str,
    bounds: Bounds,
    contracts: &[Address],
) -> impl futures::Stream<Item = Result<Row, sqlx::Error>> + Unpin + 'a {
    sqlx::query_as(
        "select id, block_number, block_hash::text, block_time, tx_hash::text, tx_index, log_index, address::text, topics, data
           from indexer_service.raw_events
          where chain_id = $1 and id >= $2 and id < $3 and ($4::text[] is null or address = any($4))
          order by id",
    )
    .bind(name)
    .bind(bounds.low)
    .bind(bounds.high)
    .bind(names(contracts))
    .fetch(connection)
}

/// The contracts as the table names them; `None` for all.
fn names(contracts: &[Address]) -> Option<Vec<String>> {
    let name = |contract: &Address| format!("{contract:#x}");
    (!contracts.is_empty()).then(|| contracts.iter().map(name).collect())
}

async fn copy(
    connection: &mut PgConnection,
    name: &str,
    span: &Span,
    ids: &[Uuid],
    missing: &[usize],
) -> Result<(), Failed> {
    let mut copy = connection
        .copy_in_raw(
            "copy indexer_service.raw_events
                 (chain_id, id, block_number, block_hash, block_time, tx_hash, tx_index, log_index, address, topics, data)
             from stdin",
        )
        .await?;
    // In parts, so that memory is bounded by a part and not by a span.
    for run in batches(span, missing, usize::MAX, CHUNK_BYTES) {
        let mut text = String::with_capacity(CHUNK_BYTES + CHUNK_BYTES / 4);
        for index in run {
            let log = &span.logs[*index];
            match block_of(span, log) {
                Ok(block) => line(&mut text, name, ids[*index], block, log),
                Err(error) => {
                    copy.abort("the span does not hold the block of a log").await?;
                    return Err(Failed::Archive(error));
                }
            }
        }
        copy.send(text.into_bytes()).await?;
    }
    copy.finish().await?;
    Ok(())
}

/// One line of `COPY`'s text format. Nothing in it needs escaping but the backslash that marks hexadecimal bytes.
fn line(text: &mut String, name: &str, id: Uuid, block: &Block, log: &Log) {
    let time = i64::try_from(block.time.min(LATEST_TIME))
        .ok()
        .and_then(|time| DateTime::<Utc>::from_timestamp(time, 0))
        .unwrap_or_default();
    let mut hash = hex::Buffer::<32, true>::new();
    write!(
        text,
        "{name}\t{id}\t{}\t{}\t{:04}-{}",
        block.number,
        hash.format(&block.hash),
        // chrono writes a sign before years of five digits, which PostgreSQL does not read.
        time.year(),
        time.format("%m-%dT%TZ")
    )
    .expect(INFALLIBLE);
    write!(
        text,
        "\t{}\t{}\t{}",
        hash.format(&log.tx_hash),
        log.tx_index,
        log.log_index
    )
    .expect(INFALLIBLE);
    write!(text, "\t{}\t{{", hex::Buffer::<20, true>::new().format(&log.address)).expect(INFALLIBLE);
    for (index, topic) in log.topics.iter().enumerate() {
        if index > 0 {
            text.push(',');
        }
        text.push_str(hash.format(topic));
    }
    text.push_str("}\t\\\\x");
    text.push_str(&hex::encode(&log.data));
    text.push('\n');
}

/// Why writing into a `String` is expected to succeed.
const INFALLIBLE: &str = "writing to a string cannot fail";

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    block_number: i64,
    block_hash: String,
    block_time: DateTime<Utc>,
    tx_hash: String,
    tx_index: i32,
    log_index: i32,
    address: String,
    topics: Vec<String>,
    data: Vec<u8>,
}

impl Row {
    fn record(self) -> Option<Record> {
        let number = self.block_number.cast_unsigned();
        let time = self.block_time.timestamp().cast_unsigned();
        let log = Log {
            block_number: number,
            log_index: self.log_index.cast_unsigned(),
            tx_index: self.tx_index.cast_unsigned(),
            tx_hash: self.tx_hash.parse().ok()?,
            address: self.address.parse().ok()?,
            topics: self
                .topics
                .iter()
                .map(|topic| topic.parse().ok())
                .collect::<Option<_>>()?,
            data: self.data.into(),
        };
        Some(Record {
            block: Block {
                number,
                hash: self.block_hash.parse().ok()?,
                time,
            },
            log,
        })
    }
}
