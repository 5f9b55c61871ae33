//! The archive: raw events as received, so that a span can be decoded again years later without an endpoint.
//!
//! It holds per range exactly the logs last put for that range ("range replace"), so logs of an abandoned branch never
//! come back in a replay. `put` may be repeated, cut short by a crash and run by two writers at once; it ends the same.

mod change;
mod context;
mod document;
mod mongo;
mod mongo_context;
mod note;
mod parts;
mod postgres;
mod postgres_context;
pub mod queue;

use std::ops::RangeInclusive;

use alloy_primitives::Address;
use decoders::block::{Answers, Block, Call, ChainId, Context, Log, Proof, Span};
use decoders::failure::Class;
use decoders::id::{MAX_BLOCK, Position, RecordKind};
use sinks::error::SinkError;
use sinks::progress::intents::{Fence, Intent};
use sinks::store::Store;
use uuid::Uuid;

use crate::pipeline::ROUNDS;

pub use change::Asked;
pub use mongo::{MongoArchive, reads};
pub use note::Note;
pub use postgres::PostgresArchive;

/// Where raw events are kept.
#[derive(Clone, Debug)]
pub enum Archive {
    /// MongoDB, the collection `raw_events`.
    Mongo(MongoArchive),
    /// The PostgreSQL table `indexer_service.raw_events`, when no MongoDB is configured.
    Postgres(PostgresArchive),
}

/// Why the archive could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The address is not one of a MongoDB.
    #[error("archive.url is not a MongoDB address such as mongodb://host:27017: {0}")]
    Address(String),
    /// MongoDB did not answer when it was first asked.
    #[error(
        "mongodb at {hosts} cannot be used: {reason}; start it or correct archive.url (leave it empty to keep raw events in PostgreSQL)"
    )]
    Unreachable {
        /// Host names and ports, without user or password.
        hosts: String,
        /// What the driver reported.
        reason: String,
    },
    /// MongoDB took an operation and did not answer.
    #[error("mongodb did not answer within {seconds} s")]
    Silent {
        /// How long it was waited for.
        seconds: u64,
    },
    /// A MongoDB operation failed.
    #[error("raw events in mongodb: {}", mongo::reason(.0))]
    Mongo(#[from] mongodb::error::Error),
    /// MongoDB carried an operation out and did not confirm it as asked: it may still stand.
    #[error("mongodb did not confirm what it wrote: {0}")]
    Unconfirmed(String),
    /// A PostgreSQL operation failed.
    #[error("raw events in postgresql: {0}")]
    Postgres(#[from] SinkError),
    /// MongoDB cannot write for now.
    #[error("mongodb cannot write now: {0}")]
    Busy(String),
    /// MongoDB took a command and did not carry it out.
    #[error("mongodb refused to write: {0}")]
    Refused(String),
    /// A span that breaks its own rules was given: a fault of the caller.
    #[error("the span given to the archive {0}")]
    Span(String),
    /// The archive holds nothing of a range that the tables have facts of.
    #[error(
        "the archive holds nothing of blocks {} to {} of {chain}, but the tables do: see that archive.url and archive.database name the archive they were written from",
        range.start(), range.end()
    )]
    Foreign {
        /// The chain.
        chain: ChainId,
        /// The range.
        range: RangeInclusive<u64>,
    },
    /// Stored raw events cannot be what `put` wrote.
    #[error("raw events of {chain} at block {block}: {reason}; fetch the range again with `indexer backfill`")]
    Corrupt {
        /// The chain.
        chain: ChainId,
        /// Height of the first suspect block.
        block: u64,
        /// What is wrong.
        reason: String,
    },
}

impl ArchiveError {
    /// What a caller should do about it.
    pub fn class(&self) -> Class {
        match self {
            ArchiveError::Unreachable { .. }
            | ArchiveError::Silent { .. }
            | ArchiveError::Busy(_)
            | ArchiveError::Unconfirmed(_) => Class::Transient,
            ArchiveError::Mongo(error) => mongo::class(error),
            ArchiveError::Postgres(error) => error.class(),
            ArchiveError::Address(_)
            | ArchiveError::Refused(_)
            | ArchiveError::Span(_)
            | ArchiveError::Foreign { .. }
            | ArchiveError::Corrupt { .. } => Class::Fatal,
        }
    }
}

impl Archive {
    /// Opens the archive at `url`, or the PostgreSQL table of `store` when `url` is empty.
    ///
    /// `database` is MongoDB's database name. Fails when MongoDB does not answer within five seconds.
    pub async fn open(url: &str, database: &str, store: &Store) -> Result<Archive, ArchiveError> {
        if url.is_empty() {
            return Ok(Archive::Postgres(PostgresArchive::new(store.clone())));
        }
        MongoArchive::connect(url, database, store).await.map(Archive::Mongo)
    }

    /// Asks MongoDB for a sign of life; a table of PostgreSQL is as well as its database.
    pub async fn probe(&self) -> Result<(), ArchiveError> {
        match self {
            Archive::Mongo(archive) => archive.ping().await,
            Archive::Postgres(_) => Ok(()),
        }
    }

    /// `mongodb` or `postgresql`, for logs and the status page.
    pub fn name(&self) -> &'static str {
        match self {
            Archive::Mongo(_) => "mongodb",
            Archive::Postgres(_) => "postgresql",
        }
    }

    /// Makes the archive hold exactly the logs of `span` in its range, and its context with them, durably, and returns how many
    /// logs were written.
    ///
    /// Zero means that every log was there already. A transaction is held while the log it was first wanted for is.
    ///
    /// `intent` is the right to write the range. Once a later one has overtaken it, what is put has no effect on what is read: it is
    /// refused, or its records are passed over.
    pub async fn put(&self, span: &Span, intent: &Intent) -> Result<u64, ArchiveError> {
        self.put_asked(span, &|_| true, intent).await
    }

    /// Like [`Archive::put`], of a span that was asked for only some logs: others of the same blocks are left alone.
    pub async fn put_asked(&self, span: &Span, asked: Asked<'_>, intent: &Intent) -> Result<u64, ArchiveError> {
        match self {
            Archive::Mongo(archive) => archive.put(span, asked, intent).await,
            Archive::Postgres(archive) => archive.put(span, asked, intent).await,
        }
    }

    /// Everything held of `range`, as one span with its context: blocks with logs only, no parent hash, the weakest proof.
    ///
    /// What was proven of the range when it was put is kept as coverage, not here.
    pub async fn read(&self, chain: ChainId, range: RangeInclusive<u64>) -> Result<Span, ArchiveError> {
        let mut span = self.read_logs(chain, range).await?;
        if span.logs.is_empty() {
            return Ok(span);
        }
        span.context.envelopes = match self {
            Archive::Mongo(archive) => archive.envelopes(chain, &span.range).await?,
            Archive::Postgres(archive) => archive.envelopes(chain, &span.range).await?,
        };
        // Which answers belong to the span only its decoders know.
        for _ in 0..ROUNDS {
            let mut calls = decoders::wants(&span).calls;
            calls.retain(|call| !span.context.answers.contains_key(call));
            let answers = self.answers(chain, &calls).await?;
            if answers.is_empty() {
                break;
            }
            span.context.answers.extend(answers);
        }
        Ok(span)
    }

    /// Like [`read`](Archive::read), without the context: for those who look at blocks.
    pub async fn read_logs(&self, chain: ChainId, range: RangeInclusive<u64>) -> Result<Span, ArchiveError> {
        self.read_of(chain, range, &[]).await
    }

    /// Like [`Archive::read_logs`], but only logs of `contracts`; of all where none is named.
    pub async fn read_of(
        &self,
        chain: ChainId,
        range: RangeInclusive<u64>,
        contracts: &[Address],
    ) -> Result<Span, ArchiveError> {
        match self {
            Archive::Mongo(archive) => archive.read(chain, range, contracts).await,
            Archive::Postgres(archive) => archive.read(chain, range, contracts).await,
        }
    }

    /// Writes beside archived logs their fields by the ABIs in force at `edition`; topics and data stay as they are. Repeating it
    /// changes nothing, and neither does who is late: what was read by a later edition stays.
    pub async fn annotate(&self, chain: ChainId, edition: i64, notes: &[Note]) -> Result<(), ArchiveError> {
        match self {
            Archive::Mongo(archive) => archive.annotate(chain, edition, notes).await,
            Archive::Postgres(archive) => archive.annotate(chain, edition, notes).await,
        }
    }

    /// The answers held to `calls`.
    pub async fn answers(&self, chain: ChainId, calls: &[Call]) -> Result<Answers, ArchiveError> {
        if calls.is_empty() {
            return Ok(Answers::default());
        }
        match self {
            Archive::Mongo(archive) => archive.answers(chain, calls).await,
            Archive::Postgres(archive) => archive.answers(chain, calls).await,
        }
    }

    /// Asks the server for a sign of life, for `/readyz`.
    pub async fn ping(&self) -> Result<(), ArchiveError> {
        match self {
            Archive::Mongo(archive) => archive.ping().await,
            Archive::Postgres(archive) => archive.ping().await,
        }
    }
}

/// Whether `fences` let a record of `block` through that was written under the intent `number`.
fn passes(fences: &[Fence], block: u64, number: i64) -> bool {
    fences
        .iter()
        .all(|fence| number >= fence.number || !fence.range.contains(&block))
}

/// One stored raw event with the block it stands in.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Record {
    block: Block,
    log: Log,
}

/// Ids of every log in `range`, as the half-open interval of position ids that holds them.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    low: Uuid,
    high: Uuid,
}

impl Bounds {
    fn of(range: &RangeInclusive<u64>) -> Self {
        let low = Position::floor(*range.start());
        let high = if *range.end() >= MAX_BLOCK {
            Uuid::max()
        } else {
            Position::floor(range.end() + 1)
        };
        Bounds { low, high }
    }
}

/// The id of each log of `span`, ascending; fails when the logs are out of order, repeated, or in no block of the span.
fn ids(span: &Span) -> Result<Vec<Uuid>, ArchiveError> {
    let mut ids: Vec<Uuid> = Vec::with_capacity(span.logs.len());
    for log in &span.logs {
        let block = block_of(span, log)?;
        if log.block_number > MAX_BLOCK {
            return Err(ArchiveError::Span(format!(
                "has a log beyond what ids can hold in block {}",
                log.block_number
            )));
        }
        let id = log_id(span.chain, block, log);
        if ids.last().is_some_and(|last| *last >= id) {
            return Err(ArchiveError::Span(format!(
                "has logs out of order in block {}",
                log.block_number
            )));
        }
        ids.push(id);
    }
    Ok(ids)
}

/// The id of a log: its position.
pub fn log_id(chain: ChainId, block: &Block, log: &Log) -> Uuid {
    let position = Position {
        chain,
        block_number: log.block_number,
        block_hash: block.hash,
        log_index: log.log_index,
        item: 0,
        kind: RecordKind::LOG,
    };
    position.id()
}

/// The block that holds `log`.
fn block_of<'a>(span: &'a Span, log: &Log) -> Result<&'a Block, ArchiveError> {
    let number = log.block_number;
    span.block(number)
        .filter(|_| span.range.contains(&number))
        .ok_or_else(|| ArchiveError::Span(format!("has a log of block {number}, which it does not hold")))
}

/// Gathers stored records, in id order, into a span.
struct Gatherer {
    span: Span,
}

impl Gatherer {
    fn new(chain: ChainId, range: RangeInclusive<u64>) -> Self {
        let (blocks, logs) = (Vec::new(), Vec::new());
        Gatherer {
            span: Span {
                chain,
                range,
                parent_hash: None,
                blocks,
                logs,
                proof: Proof::Chained,
                context: Context::default(),
            },
        }
    }

    fn push(&mut self, record: Record) -> Result<(), ArchiveError> {
        match self.span.blocks.last() {
            Some(last) if *last == record.block => {}
            Some(last) if last.number >= record.block.number => {
                let reason = format!("blocks {} and {} are both held", last.hash, record.block.hash);
                return Err(ArchiveError::Corrupt {
                    chain: self.span.chain,
                    block: record.block.number,
                    reason,
                });
            }
            _ => self.span.blocks.push(record.block),
        }
        self.span.logs.push(record.log);
        Ok(())
    }
}
