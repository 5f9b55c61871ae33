//! Raw events in MongoDB: unordered bulk inserts, two in flight, keyed in chain order.

use std::ops::RangeInclusive;

use alloy_primitives::Address;
use decoders::block::{Answers, Call, ChainId, Envelopes, Span};
use mongodb::bson::{RawDocumentBuf, doc};
use mongodb::error::{Error, ErrorKind};
use mongodb::options::{Acknowledgment, ClientOptions, ConnectionString, WriteConcern};
use mongodb::{Client, Collection, Cursor};
use sinks::error::SinkError;
use sinks::progress::intents::{self, Intent};
use sinks::store::Store;
use uuid::Uuid;

use super::change::{Asked, Change, Merge, batches};
use super::document;
use super::error::ArchiveError;
use super::mongo_context::MongoContext;
use super::mongo_error::{SELECTION_TIMEOUT, duplicates, reason};
use super::mongo_operation::{BATCH_BYTES, BATCH_LOGS, in_time};
use super::parts::Parts;
use super::record::{Bounds, Gatherer, block_of, ids, passes};

/// The collection's name.
const COLLECTION: &str = "raw_events";
/// Documents asked for at a time.
const BATCH_READ: u32 = 10_000;
/// Times a range is marked again because an earlier writer still deleted from it.
const FENCE_ROUNDS: usize = 3;

/// Raw events in MongoDB.
#[derive(Clone, Debug)]
pub struct MongoArchive {
    pub(super) events: Collection<RawDocumentBuf>,
    context: MongoContext,
    parts: Parts,
    /// Where the fences are.
    store: Store,
}

impl MongoArchive {
    /// Connects and waits for an answer.
    ///
    /// Writes are acknowledged by a majority and journaled unless the address asks for something else (`w`, `journal`):
    /// what `put` reported must survive the loss of a server.
    pub async fn connect(url: &str, database: &str, store: &Store) -> Result<Self, ArchiveError> {
        let mut options = ClientOptions::parse(url).await.map_err(|error| unread(url, &error))?;
        options.app_name.get_or_insert_with(|| "nft-indexer".into());
        // Values in the address stand above these: an operator may know the network better.
        options.server_selection_timeout.get_or_insert(SELECTION_TIMEOUT);
        options.connect_timeout.get_or_insert(SELECTION_TIMEOUT);
        options.write_concern.get_or_insert_with(durable);
        let hosts = options
            .hosts
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(",");
        let client = Client::with_options(options).map_err(|error| unread(url, &error))?;
        let database = client.database(database);
        let archive = MongoArchive {
            events: database.collection(COLLECTION),
            context: MongoContext::new(&database),
            parts: Parts::new(&database),
            store: store.clone(),
        };
        // The driver connects when first used; a wrong address should end the start and not the first block.
        archive.ping().await.map_err(|error| ArchiveError::Unreachable {
            hosts,
            reason: match &error {
                ArchiveError::Mongo(error) => reason(error),
                error => error.to_string(),
            },
        })?;
        Ok(archive)
    }

    pub(super) async fn ping(&self) -> Result<(), ArchiveError> {
        // Reading from the collection proves the login and its rights; a bare `ping` needs neither.
        in_time(self.events.find_one(doc! { "_id": 0 })).await?;
        Ok(())
    }

    pub(super) async fn put(&self, span: &Span, asked: Asked<'_>, intent: &Intent) -> Result<u64, ArchiveError> {
        let ids = ids(span)?;
        let mut written = self.replace(span, &ids, asked, intent).await?;
        if intent.contested {
            written += self.fence_off(span, &ids, asked, intent).await?;
        }
        Ok(written)
    }

    async fn replace(&self, span: &Span, ids: &[Uuid], asked: Asked<'_>, intent: &Intent) -> Result<u64, ArchiveError> {
        let change = self.compare(span, ids, asked).await?;
        // What hangs on logs goes before them and comes after them, so that a crash leaves none without its log.
        if !change.stale.is_empty() {
            self.context.forget(span, &change.stale, intent.number).await?;
            self.delete(span.chain, &change.stale, intent.number).await?;
        }
        let written = self.insert(span, ids, &change.missing, intent.number).await?;
        self.context.keep(span, ids, intent.number).await?;
        Ok(written)
    }

    /// Marks every record of the range as this writer's, so that an earlier one which is still under way can no longer delete it, and
    /// puts again what that one deleted meanwhile.
    async fn fence_off(
        &self,
        span: &Span,
        ids: &[Uuid],
        asked: Asked<'_>,
        intent: &Intent,
    ) -> Result<u64, ArchiveError> {
        let mut written = 0;
        // Every record that is marked is safe from the earlier writer, so the rounds end unless a later one is at work too.
        for _ in 0..FENCE_ROUNDS {
            let change = self.compare(span, ids, asked).await?;
            self.mark(span.chain, &change.held, intent.number).await?;
            self.context.mark(span.chain, &change.held, intent.number).await?;
            // Marking is not one step: the earlier writer may have deleted between the look and the mark, so it is looked at once
            // more.
            let again = self.compare(span, ids, asked).await?;
            if again.missing.is_empty() && again.held.len() == change.held.len() {
                return Ok(written);
            }
            written += self.replace(span, ids, asked, intent).await?;
        }
        Err(ArchiveError::Postgres(SinkError::Raced {
            chain: intent.chain,
            range: intent.range.clone(),
        }))
    }

    async fn mark(&self, chain: ChainId, held: &[Uuid], writer: i64) -> Result<(), ArchiveError> {
        for run in held.chunks(BATCH_LOGS) {
            let keys: Vec<_> = run.iter().map(|id| document::key_value(chain, *id)).collect();
            // Records of later writers stay theirs.
            let earlier = doc! { "_id": { "$in": keys }, "writer": document::not_later(writer) };
            in_time(self.events.update_many(earlier, doc! { "$set": { "writer": writer } })).await?;
        }
        Ok(())
    }

    pub(super) async fn read(
        &self,
        chain: ChainId,
        range: RangeInclusive<u64>,
        contracts: &[Address],
    ) -> Result<Span, ArchiveError> {
        let fences = intents::fences(&self.store, chain, &range).await?;
        let mut cursor = self.scan(chain, &range, contracts).await?;
        let mut gatherer = Gatherer::new(chain, range);
        while in_time(cursor.advance()).await? {
            let stored = cursor.current();
            let block = document::id_of(stored).map_or(0, decoders::id::block_number_of);
            // Records of writers that were overtaken may stand here until their blocks are written again; they are not read.
            if !passes(&fences, block, document::writer_of(stored)) {
                continue;
            }
            let whole = self.parts.join(stored).await?;
            let stored = whole.as_deref().unwrap_or(stored);
            let Some(record) = document::decode(stored) else {
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

    pub(super) async fn envelopes(
        &self,
        chain: ChainId,
        range: &RangeInclusive<u64>,
    ) -> Result<Envelopes, ArchiveError> {
        let fences = intents::fences(&self.store, chain, range).await?;
        self.context.envelopes(chain, range, &fences).await
    }

    pub(super) async fn answers(&self, chain: ChainId, calls: &[Call]) -> Result<Answers, ArchiveError> {
        let heights = calls.iter().filter_map(|call| call.at);
        let range = heights.clone().min().unwrap_or(0)..=heights.max().unwrap_or(0);
        // Fences are of blocks: one look covers all heights that are asked about.
        let fences = intents::fences(&self.store, chain, &range).await?;
        self.context.answers(chain, calls, &fences).await
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
            let whole = self.parts.join(cursor.current()).await?;
            let stored = whole.as_deref().unwrap_or_else(|| cursor.current());
            if let Some(id) = document::id_of(stored) {
                merge.stored(id, document::decode(stored).as_ref());
            }
        }
        Ok(merge.finish())
    }

    async fn delete(&self, chain: ChainId, stale: &[Uuid], writer: i64) -> Result<(), ArchiveError> {
        for run in stale.chunks(BATCH_LOGS) {
            let keys: Vec<_> = run.iter().map(|id| document::key_value(chain, *id)).collect();
            let earlier = doc! { "_id": { "$in": keys }, "writer": document::not_later(writer) };
            in_time(self.events.delete_many(earlier)).await?;
        }
        Ok(())
    }

    /// Inserts with two batches under way at once; more bring nothing (measured).
    async fn insert(&self, span: &Span, ids: &[Uuid], missing: &[usize], writer: i64) -> Result<u64, ArchiveError> {
        let batches = batches(span, missing, BATCH_LOGS, BATCH_BYTES);
        let even = self.insert_batches(span, ids, batches.iter().step_by(2), writer);
        let odd = self.insert_batches(span, ids, batches.iter().skip(1).step_by(2), writer);
        let (even, odd) = tokio::try_join!(even, odd)?;
        Ok(even + odd)
    }

    async fn insert_batches<'a>(
        &self,
        span: &Span,
        ids: &[Uuid],
        batches: impl Iterator<Item = &'a &'a [usize]>,
        writer: i64,
    ) -> Result<u64, ArchiveError> {
        let mut written = 0;
        for run in batches {
            written += self.insert_batch(span, ids, run, writer).await?;
        }
        Ok(written)
    }

    async fn insert_batch(&self, span: &Span, ids: &[Uuid], run: &[usize], writer: i64) -> Result<u64, ArchiveError> {
        let mut documents = Vec::with_capacity(run.len());
        for index in run {
            let log = &span.logs[*index];
            let document = document::encode(span.chain, ids[*index], block_of(span, log)?, log, writer);
            documents.push(self.parts.cut(document).await?);
        }
        let known = match in_time(self.events.insert_many(documents).ordered(false)).await {
            Ok(_) => 0,
            Err(ArchiveError::Mongo(error)) => duplicates(&error).ok_or(error)?,
            Err(error) => return Err(error),
        };
        Ok((run.len() - known) as u64)
    }
}

/// Acknowledged by a majority (of one, on a single server) and in the journal.
fn durable() -> WriteConcern {
    let mut concern = WriteConcern::from(Acknowledgment::Majority);
    concern.journal = Some(true);
    concern
}

/// Whether `url` is one of a MongoDB that the driver can read, wherever it leads.
pub fn reads(url: &str) -> bool {
    ConnectionString::parse(url).is_ok()
}

/// Why `url` came to no client: it is none the driver can use, or the names it leads to could not be looked up.
fn unread(url: &str, error: &Error) -> ArchiveError {
    let reason = without_secret(url, error);
    match *error.kind {
        ErrorKind::InvalidArgument { .. } => ArchiveError::Address(reason),
        _ => ArchiveError::Unreachable {
            hosts: "the hosts of archive.url".into(),
            reason,
        },
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
