//! Raw events as MongoDB documents.
//!
//! `_id` is 24 bytes, chain number then position id, so it sorts in chain order and a range scan needs no other index.
//! Hashes and addresses are lower-case `0x` text as everywhere outside the process.

use alloy_primitives::{Address, B256, Bytes, hex};
use decoders::block::{Block, ChainId, Log};
use mongodb::bson::raw::cstr;
use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{Binary, DateTime, RawArrayBuf, RawBinaryRef, RawBsonRef, RawDocument, RawDocumentBuf};
use uuid::Uuid;

use super::record::{Bounds, Record};

/// Length of `_id` in bytes.
const ID_LENGTH: usize = 24;

/// `_id` of the record `id` of `chain`.
pub(super) fn key(chain: ChainId, id: Uuid) -> [u8; ID_LENGTH] {
    let mut key = [0; ID_LENGTH];
    key[..8].copy_from_slice(&chain.0.to_be_bytes());
    key[8..].copy_from_slice(id.as_bytes());
    key
}

/// `_id` as an owned BSON value, for filters.
pub(super) fn key_value(chain: ChainId, id: Uuid) -> Binary {
    Binary {
        subtype: BinarySubtype::Generic,
        bytes: key(chain, id).to_vec(),
    }
}

/// The filter that selects every record of `chain` within `bounds`.
pub(super) fn within(chain: ChainId, bounds: Bounds) -> mongodb::bson::Document {
    mongodb::bson::doc! { "_id": { "$gte": key_value(chain, bounds.low), "$lt": key_value(chain, bounds.high) } }
}

/// The document of one raw event; `event_type` and `event_data` wait for a decoder that knows the contract.
pub(super) fn encode(chain: ChainId, id: Uuid, block: &Block, log: &Log, writer: i64) -> RawDocumentBuf {
    let mut hash = hex::Buffer::<32, true>::new();
    let mut document = RawDocumentBuf::new();
    let key = key(chain, id);
    document.append(
        cstr!("_id"),
        RawBinaryRef {
            subtype: BinarySubtype::Generic,
            bytes: &key,
        },
    );
    document.append(cstr!("chain_id"), chain.to_string().as_str());
    document.append(cstr!("block_number"), block.number.cast_signed());
    document.append(cstr!("block_hash"), &*hash.format(&block.hash));
    document.append(
        cstr!("block_time"),
        DateTime::from_millis(block.time.saturating_mul(1000).cast_signed()),
    );
    document.append(cstr!("tx_hash"), &*hash.format(&log.tx_hash));
    document.append(cstr!("tx_index"), log.tx_index.cast_signed());
    document.append(cstr!("log_index"), log.log_index.cast_signed());
    document.append(cstr!("address"), &*hex::Buffer::<20, true>::new().format(&log.address));
    let mut topics = RawArrayBuf::new();
    for topic in &log.topics {
        topics.push(&*hash.format(topic));
    }
    document.append(cstr!("topics"), topics);
    document.append(cstr!("data"), hex::encode_prefixed(&log.data).as_str());
    document.append(cstr!("event_type"), RawBsonRef::Null);
    document.append(cstr!("event_data"), RawBsonRef::Null);
    document.append(cstr!("writer"), writer);
    document
}

/// The number of the intent under which a document was written; zero for those from before there were any.
pub(super) fn writer_of(document: &RawDocument) -> i64 {
    document.get_i64("writer").unwrap_or(0)
}

/// What selects documents that no later writer than `writer` has written.
pub(super) fn not_later(writer: i64) -> mongodb::bson::Document {
    mongodb::bson::doc! { "$not": { "$gt": writer } }
}

/// The position id in a document's `_id`; `None` when it is not one of ours.
pub(super) fn id_of(document: &RawDocument) -> Option<Uuid> {
    let binary = document.get_binary("_id").ok()?;
    (binary.bytes.len() == ID_LENGTH).then(|| Uuid::from_slice(&binary.bytes[8..]).ok())?
}

/// Reads a document back; `None` when a field is missing or is not what [`encode`] writes.
pub(super) fn decode(document: &RawDocument) -> Option<Record> {
    let mut block = Block {
        number: 0,
        hash: B256::ZERO,
        time: 0,
    };
    let mut log = Log {
        block_number: 0,
        log_index: 0,
        tx_index: 0,
        tx_hash: B256::ZERO,
        address: Address::ZERO,
        topics: Default::default(),
        data: Bytes::new(),
    };
    // One walk over the fields: looking each one up by its name would walk a document nine times.
    let mut seen = 0;
    for element in document {
        let (name, value) = element.ok()?;
        seen += 1;
        match (name.as_str(), value) {
            ("block_number", RawBsonRef::Int64(number)) => block.number = number.cast_unsigned(),
            ("block_hash", RawBsonRef::String(text)) => block.hash = text.parse().ok()?,
            ("block_time", RawBsonRef::DateTime(time)) => block.time = (time.timestamp_millis() / 1000).cast_unsigned(),
            ("tx_hash", RawBsonRef::String(text)) => log.tx_hash = text.parse().ok()?,
            ("tx_index", RawBsonRef::Int32(index)) => log.tx_index = index.cast_unsigned(),
            ("log_index", RawBsonRef::Int32(index)) => log.log_index = index.cast_unsigned(),
            ("address", RawBsonRef::String(text)) => log.address = text.parse().ok()?,
            ("topics", RawBsonRef::Array(topics)) => {
                for topic in topics {
                    log.topics.push(topic.ok()?.as_str()?.parse().ok()?);
                }
            }
            ("data", RawBsonRef::String(text)) => log.data = hex::decode(text).ok()?.into(),
            _ => seen -= 1,
        }
    }
    log.block_number = block.number;
    // Fields of later releases are passed over, missing ones are not: a record is read whole or the archive is called corrupt.
    (seen == 9).then_some(Record { block, log })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_reads_back_as_it_was_written() {
        let block = Block {
            number: 20_000_000,
            hash: B256::repeat_byte(0xab),
            time: 1_700_000_000,
        };
        let log = Log {
            block_number: block.number,
            log_index: 7,
            tx_index: 3,
            tx_hash: B256::repeat_byte(0xcd),
            address: Address::repeat_byte(0x11),
            topics: [B256::repeat_byte(1), B256::repeat_byte(2)].into_iter().collect(),
            data: Bytes::from_static(&[1, 2, 3]),
        };
        let id = Uuid::from_u128(42);
        let document = encode(ChainId(1), id, &block, &log, 7);
        assert_eq!(id_of(&document), Some(id));
        assert_eq!(decode(&document), Some(Record { block, log }));
        assert_eq!(writer_of(&document), 7);
        assert_eq!(document.get_str("address").unwrap(), format!("0x{}", "11".repeat(20)));
        assert_eq!(document.get("event_type").unwrap(), Some(RawBsonRef::Null));
    }

    #[test]
    fn a_foreign_document_is_not_a_record() {
        let mut document = RawDocumentBuf::new();
        document.append(cstr!("_id"), "mine");
        assert_eq!(id_of(&document), None);
        assert_eq!(decode(&document), None);
    }
}
