//! The archive: raw events as received, so that a span can be decoded again years later without an endpoint.
//!
//! It holds per range exactly the logs last put for that range ("range replace"), so logs of an abandoned branch never
//! come back in a replay. `put` may be repeated, cut short by a crash and run by two writers at once; it ends the same.

mod change;
mod context;
mod document;
mod error;
mod mongo;
mod mongo_context;
mod mongo_error;
mod mongo_operation;
mod note;
mod parts;
mod postgres;
mod postgres_context;
pub mod queue;
mod record;

use std::ops::RangeInclusive;

use alloy_primitives::Address;
use decoders::block::{Answers, Call, ChainId, Span};
use sinks::progress::intents::Intent;
use sinks::store::Store;

pub use change::Asked;
pub use error::ArchiveError;
pub use mongo::{MongoArchive, reads};
pub use note::Note;
pub use postgres::PostgresArchive;
pub use record::log_id;

/// Where raw events are kept.
#[derive(Clone, Debug)]
pub enum Archive {
    /// MongoDB, the collection `raw_events`.
    Mongo(MongoArchive),
    /// The PostgreSQL table `indexer_service.raw_blocks`, when no MongoDB is configured.
    Postgres(PostgresArchive),
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
        for _ in 0..decoders::ROUNDS {
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
