//! Transactions and contracts' answers in MongoDB, beside the raw events they belong to.

use std::ops::RangeInclusive;

use alloy_primitives::{B256, hex};
use decoders::block::{Answer, Answers, Call, ChainId, Envelope, Envelopes, Span};
use mongodb::bson::raw::cstr;
use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{Binary, RawBinaryRef, RawBsonRef, RawDocument, RawDocumentBuf, doc};
use mongodb::{Collection, Database};
use rustc_hash::FxHashMap;
use sinks::progress::intents::Fence;
use uuid::Uuid;

use super::context::{self, Kept};
use super::document;
use super::error::ArchiveError;
use super::mongo_error::duplicates;
use super::mongo_operation::{BATCH_BYTES, BATCH_LOGS, in_time};
use super::parts::Parts;
use super::record::{Bounds, passes};

/// Name of the collection of transactions; `_id` is that of the transaction's first log.
const TRANSACTIONS: &str = "raw_transactions";
/// Name of the collection of answers; `_id` is chain number, height (all ones for every height) and the question's hash.
const ANSWERS: &str = "raw_answers";

/// Both collections.
#[derive(Clone, Debug)]
pub(super) struct MongoContext {
    transactions: Collection<RawDocumentBuf>,
    answers: Collection<RawDocumentBuf>,
    parts: Parts,
}

impl MongoContext {
    pub(super) fn new(database: &Database) -> Self {
        MongoContext {
            transactions: database.collection(TRANSACTIONS),
            answers: database.collection(ANSWERS),
            parts: Parts::new(database),
        }
    }

    /// Writes what is not there yet; without a context it asks nothing.
    pub(super) async fn keep(&self, span: &Span, ids: &[Uuid], writer: i64) -> Result<(), ArchiveError> {
        let (chain, name) = (span.chain, span.chain.to_string());
        let kept = context::transactions(span, ids);
        for run in context::runs(&kept, BATCH_LOGS, BATCH_BYTES) {
            let documents = run.iter().map(|kept| transaction(&name, chain, kept, writer)).collect();
            self.insert(&self.transactions, documents).await?;
        }
        for run in context::answers(span).chunks(BATCH_LOGS) {
            let replaced: Vec<Binary> = run
                .iter()
                .filter(|(call, _)| call.at.is_some())
                .map(|(call, _)| key_value(answer_key(chain, call).to_vec()))
                .collect();
            if !replaced.is_empty() {
                let earlier = doc! { "_id": { "$in": replaced }, "writer": document::not_later(writer) };
                in_time(self.answers.delete_many(earlier)).await?;
            }
            let documents = run
                .iter()
                .map(|(call, answer)| answer_document(&name, chain, call, answer, writer))
                .collect();
            self.insert(&self.answers, documents).await?;
        }
        Ok(())
    }

    async fn insert(
        &self,
        collection: &Collection<RawDocumentBuf>,
        documents: Vec<RawDocumentBuf>,
    ) -> Result<(), ArchiveError> {
        let mut cut = Vec::with_capacity(documents.len());
        for document in documents {
            cut.push(self.parts.cut(document).await?);
        }
        match in_time(collection.insert_many(cut).ordered(false)).await {
            Ok(_) => Ok(()),
            // What is there already is the same.
            Err(ArchiveError::Mongo(error)) => duplicates(&error).map(drop).ok_or_else(|| error.into()),
            Err(error) => Err(error),
        }
    }

    /// Deletes what hangs on `stale` logs of the span's range.
    pub(super) async fn forget(&self, span: &Span, stale: &[Uuid], writer: i64) -> Result<(), ArchiveError> {
        for run in stale.chunks(BATCH_LOGS) {
            let keys: Vec<Binary> = run.iter().map(|id| document::key_value(span.chain, *id)).collect();
            let earlier = doc! { "_id": { "$in": keys }, "writer": document::not_later(writer) };
            in_time(self.transactions.delete_many(earlier)).await?;
        }
        if let Some(heights) = context::unproven_heights(span, stale) {
            let low = key_value(key_at(span.chain, *heights.start(), B256::ZERO).to_vec());
            let high = key_value(key_at(span.chain, heights.end().saturating_add(1), B256::ZERO).to_vec());
            let earlier = doc! { "_id": { "$gte": low, "$lt": high }, "writer": document::not_later(writer) };
            in_time(self.answers.delete_many(earlier)).await?;
        }
        Ok(())
    }

    /// Marks the transactions that hang on `held` logs as those of `writer`; its answers it has written anew.
    pub(super) async fn mark(&self, chain: ChainId, held: &[Uuid], writer: i64) -> Result<(), ArchiveError> {
        for run in held.chunks(BATCH_LOGS) {
            let keys: Vec<Binary> = run.iter().map(|id| document::key_value(chain, *id)).collect();
            let earlier = doc! { "_id": { "$in": keys }, "writer": document::not_later(writer) };
            in_time(
                self.transactions
                    .update_many(earlier, doc! { "$set": { "writer": writer } }),
            )
            .await?;
        }
        Ok(())
    }

    pub(super) async fn envelopes(
        &self,
        chain: ChainId,
        range: &RangeInclusive<u64>,
        fences: &[Fence],
    ) -> Result<Envelopes, ArchiveError> {
        let mut envelopes = Envelopes::default();
        let mut cursor = in_time(self.transactions.find(document::within(chain, Bounds::of(range)))).await?;
        while in_time(cursor.advance()).await? {
            let stored = cursor.current();
            let block = document::id_of(stored).map_or(0, decoders::id::block_number_of);
            if !passes(fences, block, document::writer_of(stored)) {
                continue;
            }
            let whole = self.parts.join(stored).await?;
            let stored = whole.as_deref().unwrap_or(stored);
            let Some((hash, envelope)) = read_transaction(stored) else {
                return Err(ArchiveError::Corrupt {
                    chain,
                    block,
                    reason: "a document is not a transaction".into(),
                });
            };
            envelopes.insert(hash, envelope);
        }
        Ok(envelopes)
    }

    pub(super) async fn answers(
        &self,
        chain: ChainId,
        calls: &[Call],
        fences: &[Fence],
    ) -> Result<Answers, ArchiveError> {
        let mut answers = Answers::default();
        // In parts, because the list of keys is one document and MongoDB bounds its size.
        for run in calls.chunks(BATCH_LOGS) {
            let by_key: FxHashMap<_, &Call> = run.iter().map(|call| (answer_key(chain, call), call)).collect();
            let keys: Vec<Binary> = by_key.keys().map(|key| key_value(key.to_vec())).collect();
            let mut cursor = in_time(self.answers.find(doc! { "_id": { "$in": keys } })).await?;
            while in_time(cursor.advance()).await? {
                let whole = self.parts.join(cursor.current()).await?;
                let stored = whole.as_deref().unwrap_or_else(|| cursor.current());
                let key = stored.get_binary("_id").ok().and_then(|id| id.bytes.try_into().ok());
                let call = key.and_then(|key: [u8; ANSWER_KEY]| by_key.get(&key));
                let passed = |call: &&&Call| {
                    let writer = document::writer_of(stored);
                    // An answer that is of no block never changes, so no branch and no writer can make it wrong.
                    call.at.is_none_or(|height| passes(fences, height, writer))
                };
                if let Some((call, answer)) = call.filter(passed).zip(read_answer(stored)) {
                    answers.insert((*call).clone(), answer);
                }
            }
        }
        Ok(answers)
    }
}

/// Length of the `_id` of an answer in bytes.
const ANSWER_KEY: usize = 48;

fn answer_key(chain: ChainId, call: &Call) -> [u8; ANSWER_KEY] {
    key_at(chain, call.at.unwrap_or(u64::MAX), context::question(call))
}

/// Keys of one length sort by their bytes; MongoDB sorts by length first.
fn key_at(chain: ChainId, height: u64, question: B256) -> [u8; ANSWER_KEY] {
    let mut key = [0; ANSWER_KEY];
    key[..8].copy_from_slice(&chain.0.to_be_bytes());
    key[8..16].copy_from_slice(&height.to_be_bytes());
    key[16..].copy_from_slice(question.as_slice());
    key
}

fn key_value(bytes: Vec<u8>) -> Binary {
    Binary {
        subtype: BinarySubtype::Generic,
        bytes,
    }
}

fn transaction(chain_name: &str, chain: ChainId, kept: &Kept<'_>, writer: i64) -> RawDocumentBuf {
    let Envelope { from, to, value, input } = kept.envelope;
    let mut account = hex::Buffer::<20, true>::new();
    let mut document = RawDocumentBuf::new();
    append_key(&mut document, &document::key(chain, kept.id));
    document.append(cstr!("chain_id"), chain_name);
    document.append(cstr!("block_number"), kept.block_number.cast_signed());
    document.append(cstr!("tx_hash"), &*hex::Buffer::<32, true>::new().format(&kept.tx_hash));
    document.append(cstr!("from"), &*account.format(from));
    match to {
        Some(to) => document.append(cstr!("to"), &*account.format(to)),
        None => document.append(cstr!("to"), RawBsonRef::Null),
    }
    document.append(cstr!("value"), value.to_string().as_str());
    document.append(cstr!("input"), hex::encode_prefixed(input).as_str());
    document.append(cstr!("writer"), writer);
    document
}

fn read_transaction(document: &RawDocument) -> Option<(B256, Envelope)> {
    let text = |name| document.get_str(name).ok();
    let to = match document.get("to").ok()?? {
        RawBsonRef::Null => None,
        RawBsonRef::String(to) => Some(to.parse().ok()?),
        _ => return None,
    };
    let envelope = Envelope {
        from: text("from")?.parse().ok()?,
        to,
        value: text("value")?.parse().ok()?,
        input: hex::decode(text("input")?).ok()?.into(),
    };
    Some((text("tx_hash")?.parse().ok()?, envelope))
}

fn answer_document(chain_name: &str, chain: ChainId, call: &Call, answer: &Answer, writer: i64) -> RawDocumentBuf {
    let mut document = RawDocumentBuf::new();
    append_key(&mut document, &answer_key(chain, call));
    document.append(cstr!("chain_id"), chain_name);
    match call.at {
        Some(height) => document.append(cstr!("height"), height.cast_signed()),
        None => document.append(cstr!("height"), RawBsonRef::Null),
    }
    document.append(cstr!("to"), &*hex::Buffer::<20, true>::new().format(&call.to));
    document.append(cstr!("input"), hex::encode_prefixed(&call.input).as_str());
    match answer {
        Answer::Returned(bytes) => document.append(cstr!("returned"), hex::encode_prefixed(bytes).as_str()),
        Answer::Reverted => document.append(cstr!("returned"), RawBsonRef::Null),
    }
    document.append(cstr!("writer"), writer);
    document
}

fn read_answer(document: &RawDocument) -> Option<Answer> {
    match document.get("returned").ok()?? {
        RawBsonRef::Null => Some(Answer::Reverted),
        RawBsonRef::String(text) => Some(Answer::Returned(hex::decode(text).ok()?.into())),
        _ => None,
    }
}

fn append_key(document: &mut RawDocumentBuf, key: &[u8]) {
    document.append(
        cstr!("_id"),
        RawBinaryRef {
            subtype: BinarySubtype::Generic,
            bytes: key,
        },
    );
}
