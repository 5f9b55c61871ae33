//! Raw events in MongoDB: unordered bulk inserts, two in flight, keyed in chain order.

use std::ops::RangeInclusive;
use std::time::Duration;

use alloy_primitives::Address;
use decoders::block::{ChainId, Span};
use mongodb::bson::{RawDocumentBuf, doc};
use mongodb::error::{Error, ErrorKind};
use mongodb::options::{Acknowledgment, ClientOptions, WriteConcern};
use mongodb::{Client, Collection, Cursor};
use sinks::error::Class;
use uuid::Uuid;

use super::change::{Asked, Change, Merge, batches};
use super::mongo_context::MongoContext;
use super::{ArchiveError, Bounds, Gatherer, block_of, document, ids};

/// The collection's name.
const COLLECTION: &str = "raw_events";
/// Logs in one insert or delete: large enough that round trips do not count.
pub(super) const BATCH_LOGS: usize = 5_000;
/// Bytes in one insert, well below the 48 MB a message may have.
pub(super) const BATCH_BYTES: usize = 8 << 20;
/// How long to look for a usable server before an operation fails.
const SELECTION_TIMEOUT: Duration = Duration::from_secs(5);
/// How long one operation may take.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// Documents asked for at a time.
const BATCH_READ: u32 = 10_000;
/// Code of MongoDB's duplicate key error.
const DUPLICATE_KEY: i32 = 11_000;

/// Raw events in MongoDB.
#[derive(Clone, Debug)]
pub struct MongoArchive {
    pub(super) events: Collection<RawDocumentBuf>,
    pub(super) context: MongoContext,
}

impl MongoArchive {
    /// Connects and waits for an answer.
    ///
    /// Writes are acknowledged by a majority and journaled unless the address asks for something else (`w`, `journal`):
    /// what `put` reported must survive the loss of a server.
    pub async fn connect(url: &str, database: &str) -> Result<Self, ArchiveError> {
        let mut options = ClientOptions::parse(url)
            .await
            .map_err(|error| ArchiveError::Address(without_secret(url, &error)))?;
        options.app_name.get_or_insert_with(|| "nft-indexer".into());
        options.server_selection_timeout.get_or_insert(SELECTION_TIMEOUT);
        options.connect_timeout.get_or_insert(SELECTION_TIMEOUT);
        options.write_concern.get_or_insert_with(durable);
        let hosts = options
            .hosts
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(",");
        let client = Client::with_options(options)?;
        let database = client.database(database);
        let archive = MongoArchive {
            events: database.collection(COLLECTION),
            context: MongoContext::new(&database),
        };
        archive.ping().await.map_err(|error| ArchiveError::Unreachable {
            hosts,
            reason: reason(&error),
        })?;
        Ok(archive)
    }

    pub(super) async fn ping(&self) -> Result<(), ArchiveError> {
        // Reading from the collection proves the login and its rights; a bare `ping` needs neither.
        in_time(self.events.find_one(doc! { "_id": 0 })).await?;
        Ok(())
    }

    pub(super) async fn put(&self, span: &Span, asked: Asked<'_>) -> Result<u64, ArchiveError> {
        let ids = ids(span)?;
        let change = self.compare(span, &ids, asked).await?;
        // What hangs on logs goes before them and comes after them, so that a crash leaves none without its log.
        if !change.stale.is_empty() {
            self.context.forget(span, &change.stale).await?;
            self.delete(span.chain, &change.stale).await?;
        }
        let written = self.insert(span, &ids, &change.missing).await?;
        self.context.keep(span, &ids).await?;
        Ok(written)
    }

    pub(super) async fn read(
        &self,
        chain: ChainId,
        range: RangeInclusive<u64>,
        contracts: &[Address],
    ) -> Result<Span, ArchiveError> {
        let mut cursor = self.scan(chain, &range, contracts).await?;
        let mut gatherer = Gatherer::new(chain, range);
        while in_time(cursor.advance()).await? {
            let stored = cursor.current();
            let Some(record) = document::decode(stored) else {
                let block = document::id_of(stored).map_or(0, decoders::id::block_number_of);
                return Err(ArchiveError::Corrupt {
                    chain,
                    block,
                    reason: "a document is not a raw event".into(),
                });
            };
            gatherer.push(record)?;
        }
        Ok(gatherer.span)
    }

    async fn scan(
        &self,
        chain: ChainId,
        range: &RangeInclusive<u64>,
        contracts: &[Address],
    ) -> Result<Cursor<RawDocumentBuf>, ArchiveError> {
        let mut filter = document::within(chain, Bounds::of(range));
        if !contracts.is_empty() {
            let names: Vec<String> = contracts.iter().map(|contract| format!("{contract:#x}")).collect();
            filter.insert("address", doc! { "$in": names });
        }
        in_time(self.events.find(filter).sort(doc! { "_id": 1 }).batch_size(BATCH_READ)).await
    }

    /// What differs between the stored range and the span. A range never put costs one empty answer.
    async fn compare(&self, span: &Span, ids: &[Uuid], asked: Asked<'_>) -> Result<Change, ArchiveError> {
        let mut cursor = self.scan(span.chain, &span.range, &[]).await?;
        let mut merge = Merge::new(span, ids, asked);
        while in_time(cursor.advance()).await? {
            let stored = cursor.current();
            if let Some(id) = document::id_of(stored) {
                merge.stored(id, document::decode(stored).as_ref());
            }
        }
        Ok(merge.finish())
    }

    async fn delete(&self, chain: ChainId, stale: &[Uuid]) -> Result<(), ArchiveError> {
        for run in stale.chunks(BATCH_LOGS) {
            let keys: Vec<_> = run.iter().map(|id| document::key_value(chain, *id)).collect();
            in_time(self.events.delete_many(doc! { "_id": { "$in": keys } })).await?;
        }
        Ok(())
    }

    /// Inserts with two batches under way at once; more bring nothing (measured).
    async fn insert(&self, span: &Span, ids: &[Uuid], missing: &[usize]) -> Result<u64, ArchiveError> {
        let batches = batches(span, missing, BATCH_LOGS, BATCH_BYTES);
        let even = self.insert_batches(span, ids, batches.iter().step_by(2));
        let odd = self.insert_batches(span, ids, batches.iter().skip(1).step_by(2));
        let (even, odd) = tokio::try_join!(even, odd)?;
        Ok(even + odd)
    }

    async fn insert_batches<'a>(
        &self,
        span: &Span,
        ids: &[Uuid],
        batches: impl Iterator<Item = &'a &'a [usize]>,
    ) -> Result<u64, ArchiveError> {
        let chain_name = span.chain.to_string();
        let mut written = 0;
        for run in batches {
            written += self.insert_batch(span, &chain_name, ids, run).await?;
        }
        Ok(written)
    }

    async fn insert_batch(
        &self,
        span: &Span,
        chain_name: &str,
        ids: &[Uuid],
        run: &[usize],
    ) -> Result<u64, ArchiveError> {
        let mut documents = Vec::with_capacity(run.len());
        for index in run {
            let log = &span.logs[*index];
            documents.push(document::encode(
                chain_name,
                span.chain,
                ids[*index],
                block_of(span, log)?,
                log,
            ));
        }
        let known = match in_time(self.events.insert_many(documents).ordered(false)).await {
            Ok(_) => 0,
            Err(ArchiveError::Mongo(error)) => duplicates(&error).ok_or(error)?,
            Err(error) => return Err(error),
        };
        Ok((run.len() - known) as u64)
    }
}

/// The driver's answer, unless the server keeps silent: the driver itself waits without end on a connection that went dead.
pub(super) async fn in_time<T>(operation: impl IntoFuture<Output = Result<T, Error>>) -> Result<T, ArchiveError> {
    let answer = tokio::time::timeout(ANSWER_TIMEOUT, operation.into_future()).await;
    Ok(answer.map_err(|_| ArchiveError::Silent {
        seconds: ANSWER_TIMEOUT.as_secs(),
    })??)
}

/// Acknowledged by a majority (of one, on a single server) and in the journal.
fn durable() -> WriteConcern {
    let mut concern = WriteConcern::from(Acknowledgment::Majority);
    concern.journal = Some(true);
    concern
}

/// How many documents were there already, when that is all `error` says: another writer put the same log.
pub(super) fn duplicates(error: &Error) -> Option<usize> {
    let ErrorKind::InsertMany(failure) = error.kind.as_ref() else {
        return None;
    };
    let errors = failure
        .write_errors
        .as_ref()
        .filter(|_| failure.write_concern_error.is_none())?;
    errors
        .iter()
        .all(|error| error.code == DUPLICATE_KEY)
        .then_some(errors.len())
}

/// What a caller should do about a driver error.
pub(super) fn class(error: &Error) -> Class {
    match error.kind.as_ref() {
        ErrorKind::Io(_)
        | ErrorKind::ServerSelection { .. }
        | ErrorKind::ConnectionPoolCleared { .. }
        | ErrorKind::DnsResolve { .. } => Class::Transient,
        // A write that a majority did not confirm in time may still stand; putting it again is harmless.
        ErrorKind::InsertMany(failure) if failure.write_concern_error.is_some() => Class::Transient,
        _ if [
            "RetryableWriteError",
            "RetryableError",
            "NetworkError",
            "TransientTransactionError",
        ]
        .iter()
        .any(|label| error.contains_label(label)) =>
        {
            Class::Transient
        }
        ErrorKind::Command(failure) if RETRYABLE_CODES.contains(&failure.code) => Class::Transient,
        _ => Class::Fatal,
    }
}

/// Command errors that pass by themselves: a stepping-down or recovering server, an interrupted or overloaded one.
const RETRYABLE_CODES: [i32; 15] = [6, 7, 43, 50, 64, 89, 91, 134, 189, 237, 262, 9001, 10107, 11600, 13435];

/// What the driver said, in one line.
fn reason(error: &ArchiveError) -> String {
    match error {
        ArchiveError::Mongo(error) => match error.kind.as_ref() {
            ErrorKind::ServerSelection { .. } => format!("no answer within {} s", SELECTION_TIMEOUT.as_secs()),
            ErrorKind::Authentication { .. } => "the login was refused".into(),
            kind => kind.to_string().replace('\n', " "),
        },
        other => other.to_string(),
    }
}

/// The driver's complaint about an address, unless the address holds a password it might repeat.
fn without_secret(url: &str, error: &Error) -> String {
    if url.contains('@') {
        "the driver cannot read it (not shown: it holds a login)".into()
    } else {
        error.kind.to_string()
    }
}
