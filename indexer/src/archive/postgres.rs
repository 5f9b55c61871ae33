//! Raw events in PostgreSQL, for installations without MongoDB: a row per block. A merge against the stored range, then one `COPY` of
//! the blocks that changed.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use alloy_primitives::{Address, B256};
use chrono::{DateTime, Utc};
use decoders::block::{Answers, Block, Call, ChainId, Envelopes, Log, Span};
use decoders::id::{Position, RecordKind};
use futures::TryStreamExt;
use rustc_hash::FxHashSet;
use sinks::copy::{BIGINT, BYTEA, Rows, Statements, add, copy, timestamp};
use sinks::error::SinkError;
use sinks::progress::intents::{self, Intent};
use sinks::store::Store;
use sqlx::PgConnection;
use uuid::Uuid;

use super::change::{Asked, Change, Merge};
use super::error::ArchiveError;
use super::postgres_context;
use super::record::{Bounds, Gatherer, Record, block_of, ids, log_id};

/// Times `put` starts over when another writer put the same logs at the same moment.
const ATTEMPTS: usize = 3;
/// SQLSTATE of a unique violation.
const UNIQUE_VIOLATION: &str = "23505";

/// What a log weighs beside its data.
const LOG_BYTES: usize = 200;
/// More than so many bytes of logs are copied, however few blocks hold them.
const FEW_BYTES: usize = 1 << 18;
/// Bytes of a topic.
const WORD: usize = 32;
/// Topics of a log.
const TOPICS: usize = 4;

/// Raw events in the table `indexer_service.raw_blocks`. Takes one connection at a time.
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
            let block = decoders::id::block_number_of(row.id);
            let (block, logs) = row.read().ok_or_else(|| ArchiveError::Corrupt {
                chain,
                block,
                reason: "a row does not hold the logs of a block".to_owned(),
            })?;
            for log in logs {
                if contracts.is_empty() || contracts.contains(&log.address) {
                    gatherer.push(Record { block, log })?;
                }
            }
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

    /// One transaction: see that no later writer has begun, compare, and write the blocks anew that differ.
    async fn replace(&self, span: &Span, ids: &[Uuid], asked: Asked<'_>, intent: &Intent) -> Result<u64, Failed> {
        let mut transaction = self.store.pool.begin().await?;
        // The row of the intent stays locked: a writer that would overtake waits until this range is written or left as it was.
        intents::check(&mut transaction, intent)
            .await
            .map_err(|error| Failed::Archive(error.into()))?;
        let name = span.chain.to_string();
        let stored = stored(&mut transaction, &name, span).await?;
        let change = compare(&stored, span, ids, asked);
        if !change.stale.is_empty() {
            postgres_context::forget(&mut transaction, span, &change.stale).await?;
            sqlx::query("delete from indexer_service.raw_notes where chain_id = $1 and id = any($2)")
                .bind(&name)
                .bind(&change.stale)
                .execute(&mut *transaction)
                .await?;
        }
        let blocks = changed(&stored, span, ids, &change)?;
        let unreadable = stored.iter().filter(|row| row.block.is_none()).map(|row| row.id);
        let replaced: Vec<Uuid> = blocks.keys().copied().chain(unreadable).collect();
        if !replaced.is_empty() {
            write(&mut transaction, &name, &replaced, &blocks).await?;
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

impl From<SinkError> for Failed {
    fn from(error: SinkError) -> Self {
        match error {
            SinkError::Database(error) => Failed::Store(error),
            error => Failed::Archive(error.into()),
        }
    }
}

impl From<ArchiveError> for Failed {
    fn from(error: ArchiveError) -> Self {
        Failed::Archive(error)
    }
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

/// A row that is stored, and what it holds.
struct Stored {
    id: Uuid,
    /// Nothing, where the row cannot be read.
    block: Option<Block>,
    logs: Vec<(Uuid, Log)>,
}

/// The rows of the span's range.
async fn stored(connection: &mut PgConnection, name: &str, span: &Span) -> Result<Vec<Stored>, sqlx::Error> {
    let mut stored = Vec::new();
    let mut rows = scan(connection, name, Bounds::of(&span.range), &[]);
    while let Some(row) = rows.try_next().await? {
        let id = row.id;
        let read = row.read();
        stored.push(match read {
            Some((block, logs)) => Stored {
                id,
                block: Some(block),
                logs: logs.map(|log| (log_id(span.chain, &block, &log), log)).collect(),
            },
            None => Stored {
                id,
                block: None,
                logs: Vec::new(),
            },
        });
    }
    Ok(stored)
}

fn compare(stored: &[Stored], span: &Span, ids: &[Uuid], asked: Asked<'_>) -> Change {
    let mut records: Vec<(Uuid, Option<Record>)> = Vec::new();
    for row in stored {
        match row.block {
            Some(block) => records.extend(row.logs.iter().map(|(id, log)| {
                let log = log.clone();
                (*id, Some(Record { block, log }))
            })),
            None => records.push((row.id, None)),
        }
    }
    // Rows of two branches at one height overlap.
    records.sort_unstable_by_key(|(id, _)| *id);
    let mut merge = Merge::new(span, ids, asked);
    for (id, record) in &records {
        merge.stored(*id, record.as_ref());
    }
    merge.finish()
}

/// A block to be written anew, with its logs in the order of their ids; one without a log goes.
struct Written<'a> {
    block: Block,
    logs: Vec<(Uuid, Cow<'a, Log>)>,
}

/// The blocks that `change` touches, by the ids of their rows, with what stays of them.
fn changed<'a>(
    stored: &'a [Stored],
    span: &'a Span,
    ids: &[Uuid],
    change: &Change,
) -> Result<BTreeMap<Uuid, Written<'a>>, ArchiveError> {
    let mut blocks: BTreeMap<Uuid, Written<'a>> = BTreeMap::new();
    for index in &change.missing {
        let log = &span.logs[*index];
        let block = *block_of(span, log)?;
        let written = blocks.entry(row_id(span.chain, &block)).or_insert_with(|| Written {
            block,
            logs: Vec::new(),
        });
        written.logs.push((ids[*index], Cow::Borrowed(log)));
    }
    let stale: FxHashSet<Uuid> = change.stale.iter().copied().collect();
    for row in stored {
        let goes = |id: &Uuid| stale.contains(id);
        if !blocks.contains_key(&row.id) && !goes(&row.id) && !row.logs.iter().any(|(id, _)| goes(id)) {
            continue;
        }
        // One that cannot be read has no logs that stay.
        let Some(block) = row.block else { continue };
        let written = blocks.entry(row.id).or_insert_with(|| Written {
            block,
            logs: Vec::new(),
        });
        let stay = row.logs.iter().filter(|(id, _)| !goes(id));
        written.logs.extend(stay.map(|(id, log)| (*id, Cow::Borrowed(log))));
        written.logs.sort_unstable_by_key(|(id, _)| *id);
    }
    Ok(blocks)
}

/// The id of a block's row: the position from which those of its logs follow.
fn row_id(chain: ChainId, block: &Block) -> Uuid {
    let position = Position {
        chain,
        block_number: block.number,
        block_hash: block.hash,
        log_index: 0,
        item: 0,
        kind: RecordKind::LOG,
    };
    position.id()
}

fn scan<'a>(
    connection: &'a mut PgConnection,
    name: &'a str,
    bounds: Bounds,
    contracts: &[Address],
) -> impl futures::Stream<Item = Result<Row, sqlx::Error>> + Unpin + 'a {
    sqlx::query_as(
        "select id, block_hash, block_time, log_index, tx_index, tx_hash, address, topics, data
           from indexer_service.raw_blocks
          where chain_id = $1 and id >= $2 and id < $3 and ($4::bytea[] is null or address && $4)
          order by id",
    )
    .bind(name)
    .bind(bounds.low)
    .bind(bounds.high)
    .bind(bytes_of(contracts))
    .fetch(connection)
}

/// The contracts as the table holds them; `None` for all.
fn bytes_of(contracts: &[Address]) -> Option<Vec<Vec<u8>>> {
    (!contracts.is_empty()).then(|| contracts.iter().map(|contract| contract.to_vec()).collect())
}

/// Puts `blocks` in place of the rows `replaced`.
async fn write(
    connection: &mut PgConnection,
    name: &str,
    replaced: &[Uuid],
    blocks: &BTreeMap<Uuid, Written<'_>>,
) -> Result<(), Failed> {
    sqlx::query("delete from indexer_service.raw_blocks where chain_id = $1 and id = any($2)")
        .bind(name)
        .bind(replaced)
        .execute(&mut *connection)
        .await?;
    let blocks: Vec<_> = blocks.iter().filter(|(_, written)| !written.logs.is_empty()).collect();
    let logs = || blocks.iter().flat_map(|(_, written)| &written.logs);
    let bytes: usize = logs().map(|(_, log)| LOG_BYTES + log.data.len()).sum();
    let write = |(id, written): (&Uuid, &Written<'_>), rows: &mut Rows| add_row(name, *id, written, rows);
    if bytes > FEW_BYTES {
        copy(connection, COPY, ADD.count, blocks.into_iter(), write).await?;
    } else {
        add(connection, ADD, blocks.into_iter(), write).await?;
    }
    Ok(())
}

const ADD: Statements = Statements {
    columns: "chain_id, id, block_hash, block_time, log_index, tx_index, tx_hash, address, topics, data",
    count: 10,
    copy: COPY,
    insert: INSERT,
};

const INSERT: &str = "insert into indexer_service.raw_blocks
        (chain_id, id, block_hash, block_time, log_index, tx_index, tx_hash, address, topics, data)
    select chain_id, id, block_hash, block_time, log_index, tx_index, tx_hash, address, topics, data
    from jsonb_populate_recordset(null::indexer_service.raw_blocks, $1::text::jsonb)";

const COPY: &str = "copy indexer_service.raw_blocks
        (chain_id, id, block_hash, block_time, log_index, tx_index, tx_hash, address, topics, data)
    from stdin (format binary)";

fn add_row(name: &str, id: Uuid, written: &Written<'_>, rows: &mut Rows) {
    let logs = || written.logs.iter().map(|(_, log)| log);
    rows.row().text(name).uuid(id).bytes(written.block.hash.as_slice());
    rows.time(timestamp(written.block.time));
    rows.array(BIGINT, logs(), |rows, log| {
        rows.bigint(log.log_index.into());
    });
    rows.array(BIGINT, logs(), |rows, log| {
        rows.bigint(log.tx_index.into());
    });
    rows.array(BYTEA, logs(), |rows, log| {
        rows.bytes(log.tx_hash.as_slice());
    });
    rows.array(BYTEA, logs(), |rows, log| {
        rows.bytes(log.address.as_slice());
    });
    rows.array(BYTEA, logs(), |rows, log| {
        let mut words = [0; TOPICS * WORD];
        for (word, topic) in words.chunks_exact_mut(WORD).zip(&log.topics) {
            word.copy_from_slice(topic.as_slice());
        }
        rows.bytes(&words[..WORD * log.topics.len().min(TOPICS)]);
    });
    rows.array(BYTEA, logs(), |rows, log| {
        rows.bytes(&log.data);
    });
}

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    block_hash: Vec<u8>,
    block_time: DateTime<Utc>,
    log_index: Vec<i64>,
    tx_index: Vec<i64>,
    tx_hash: Vec<Vec<u8>>,
    address: Vec<Vec<u8>>,
    topics: Vec<Vec<u8>>,
    data: Vec<Vec<u8>>,
}

impl Row {
    /// The block and its logs; nothing where the columns do not fit each other.
    fn read(mut self) -> Option<(Block, std::vec::IntoIter<Log>)> {
        let count = self.log_index.len();
        let lengths = [
            self.tx_hash.len(),
            self.address.len(),
            self.topics.len(),
            self.data.len(),
        ];
        if self.tx_index.len() != count || lengths.iter().any(|length| *length != count) {
            return None;
        }
        let block = Block {
            number: decoders::id::block_number_of(self.id),
            hash: B256::try_from(self.block_hash.as_slice()).ok()?,
            time: self.block_time.timestamp().cast_unsigned(),
        };
        let mut data = std::mem::take(&mut self.data);
        let logs = data.iter_mut().enumerate();
        let logs = logs.map(|(n, data)| self.log(n, block.number, std::mem::take(data)));
        Some((block, logs.collect::<Option<Vec<Log>>>()?.into_iter()))
    }

    /// The `n`-th log, which stands in the block `number`, with its data.
    fn log(&self, n: usize, number: u64, data: Vec<u8>) -> Option<Log> {
        let (words, rest) = self.topics[n].as_chunks::<WORD>();
        if !rest.is_empty() || words.len() > TOPICS {
            return None;
        }
        Some(Log {
            block_number: number,
            log_index: u32::try_from(self.log_index[n]).ok()?,
            tx_index: u32::try_from(self.tx_index[n]).ok()?,
            tx_hash: B256::try_from(self.tx_hash[n].as_slice()).ok()?,
            address: Address::try_from(self.address[n].as_slice()).ok()?,
            topics: words.iter().map(|word| B256::from(*word)).collect(),
            data: data.into(),
        })
    }
}
