//! Blocks out of the JSON a node answers with, kept verbatim where the compact words of [`crate::block`] would lose something.

use std::borrow::Cow;

use alloy_primitives::{Address, B256, Bloom, Bytes, U64, U256};
use serde::de::{Deserialize, DeserializeOwned, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::error::RecordingError;
use crate::block::{Block, Header, Log, Receipt, Transaction};

/// A block and its receipts as recordings and fixtures hold them.
#[derive(serde::Deserialize)]
struct Entry<'a> {
    #[serde(borrow)]
    block: &'a RawValue,
    #[serde(borrow)]
    receipts: Vec<&'a RawValue>,
}

/// Reads a block and its receipts.
pub(crate) fn entry(entry: &str) -> Result<Block, RecordingError> {
    let entry: Entry<'_> = serde_json::from_str(entry)?;
    block(entry.block, &entry.receipts)
}

/// A JSON object with its fields in the order they came in, unread.
#[derive(Debug)]
pub(crate) struct Object<'a>(Vec<(&'a str, &'a RawValue)>);

impl<'de> Deserialize<'de> for Object<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Object<'de>;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = Vec::with_capacity(map.size_hint().unwrap_or(24));
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Object(fields))
            }
        }
        deserializer.deserialize_map(Fields)
    }
}

impl<'a> Object<'a> {
    pub(crate) fn parse(raw: &'a RawValue) -> Result<Self, RecordingError> {
        Ok(serde_json::from_str(raw.get())?)
    }

    /// The field's JSON; `None` when it is absent or null.
    pub(crate) fn raw(&self, name: &str) -> Option<&'a RawValue> {
        self.0
            .iter()
            .find(|(key, _)| *key == name)
            .map(|(_, value)| *value)
            .filter(|value| value.get() != "null")
    }

    /// The field's value; `None` when it is absent or null.
    pub(crate) fn optional<T: DeserializeOwned>(&self, name: &'static str) -> Result<Option<T>, RecordingError> {
        let read = |raw: &RawValue| {
            serde_json::from_str(raw.get()).map_err(|source| RecordingError::Field { field: name, source })
        };
        self.raw(name).map(read).transpose()
    }

    pub(crate) fn required<T: DeserializeOwned>(&self, name: &'static str) -> Result<T, RecordingError> {
        self.optional(name)?.ok_or(RecordingError::Missing { field: name })
    }

    fn number(&self, name: &'static str) -> Result<u64, RecordingError> {
        self.required::<U64>(name).map(|number| number.to())
    }

    /// The object as JSON, with other values for the fields `replace` answers for and without those it answers empty for.
    fn rewritten(&self, replace: impl Fn(&str) -> Option<String>) -> Box<RawValue> {
        let mut json = String::from("{");
        for (key, value) in &self.0 {
            let value = replace(key).map_or_else(|| Cow::Borrowed(value.get()), Cow::Owned);
            if value.is_empty() {
                continue;
            }
            if json.len() > 1 {
                json.push(',');
            }
            json.push('"');
            json.push_str(key);
            json.push_str("\":");
            json.push_str(&value);
        }
        json.push('}');
        RawValue::from_string(json).expect("fields of a valid object make a valid object")
    }

    fn without(&self, name: &str) -> Box<RawValue> {
        self.rewritten(|key| (key == name).then(String::new))
    }
}

/// A block from the answers of `eth_getBlockByNumber` (full) and `eth_getBlockReceipts`. A transaction without a receipt
/// (seen on Cronos) gets an absent one.
pub(crate) fn block(block: &RawValue, receipts: &[&RawValue]) -> Result<Block, RecordingError> {
    let object = Object::parse(block)?;
    let transactions: Vec<&RawValue> = match object.raw("transactions") {
        Some(raw) => serde_json::from_str(raw.get())?,
        None => Vec::new(),
    };
    let mut transactions = transactions
        .into_iter()
        .map(transaction)
        .collect::<Result<Vec<_>, _>>()?;
    let number = object.number("number")?;
    let receipts = beside(number, &transactions, receipts)?;
    for (transaction, receipt) in transactions.iter_mut().zip(&receipts) {
        if transaction.verbatim.is_none() {
            take_parties(transaction, receipt)?;
        }
    }
    Ok(Block {
        number,
        hash: object.required("hash")?,
        parent_hash: object.required("parentHash")?,
        timestamp: object.number("timestamp")?,
        logs_bloom: object.optional::<Bloom>("logsBloom")?.unwrap_or_default(),
        header: Header::Verbatim(object.without("transactions")),
        transactions,
        receipts,
    })
}

/// Puts each receipt beside its transaction.
fn beside(number: u64, transactions: &[Transaction], receipts: &[&RawValue]) -> Result<Vec<Receipt>, RecordingError> {
    let mut left = receipts.iter();
    let mut next = left.next();
    let mut placed: Vec<Receipt> = Vec::with_capacity(transactions.len());
    for transaction in transactions {
        let object = next.map(|raw| Object::parse(raw)).transpose()?;
        let own = match object {
            Some(object) if object.required::<B256>("transactionHash")? == transaction.hash => Some(object),
            _ => None,
        };
        match own {
            Some(object) => {
                placed.push(receipt(&object)?);
                next = left.next();
            }
            None => placed.push(Receipt::absent(
                placed.last().map_or(0, |before| before.cumulative_gas_used),
            )),
        }
    }
    if next.is_some() {
        return Err(RecordingError::StrayReceipt { number });
    }
    Ok(placed)
}

/// A transaction from its object, or from its bare hash where the block was fetched without transactions.
fn transaction(raw: &RawValue) -> Result<Transaction, RecordingError> {
    if raw.get().starts_with('"') {
        return Ok(Transaction {
            hash: serde_json::from_str(raw.get())?,
            from: Address::ZERO,
            to: None,
            value: U256::ZERO,
            input: Bytes::new(),
            nonce: 0,
            verbatim: None,
        });
    }
    let object = Object::parse(raw)?;
    Ok(Transaction {
        hash: object.required("hash")?,
        from: object.optional::<Address>("from")?.unwrap_or_default(),
        to: object.optional("to")?,
        value: object.optional::<U256>("value")?.unwrap_or_default(),
        input: object.optional::<Bytes>("input")?.unwrap_or_default(),
        nonce: object.optional::<U64>("nonce")?.map_or(0, |nonce| nonce.to()),
        verbatim: Some(raw.to_owned()),
    })
}

/// Sender and callee of a transaction known by its hash only; its value and input stay unknown and read as nothing.
fn take_parties(transaction: &mut Transaction, receipt: &Receipt) -> Result<(), RecordingError> {
    let raw = receipt.verbatim.as_ref().filter(|_| !receipt.is_absent());
    if let Some(object) = raw.map(|raw| Object::parse(raw)).transpose()? {
        transaction.from = object.optional("from")?.unwrap_or_default();
        transaction.to = object.optional("to")?;
    }
    Ok(())
}

fn receipt(object: &Object<'_>) -> Result<Receipt, RecordingError> {
    let logs: Vec<&RawValue> = match object.raw("logs") {
        Some(raw) => serde_json::from_str(raw.get())?,
        None => Vec::new(),
    };
    let tx_type = object.optional::<U64>("type")?.map_or(0, |number| number.to::<u64>());
    Ok(Receipt {
        tx_type: u8::try_from(tx_type).unwrap_or(u8::MAX),
        // Before Byzantium (EIP-658) receipts had no status.
        success: object
            .optional::<U64>("status")?
            .is_none_or(|status| status == U64::ONE),
        cumulative_gas_used: object.optional::<U64>("cumulativeGasUsed")?.map_or(0, |gas| gas.to()),
        logs: logs.into_iter().map(log).collect::<Result<_, _>>()?,
        verbatim: Some(object.without("logs")),
    })
}

pub(super) fn log(raw: &RawValue) -> Result<Log, RecordingError> {
    let object = Object::parse(raw)?;
    let log_index = object.number("logIndex")?;
    Ok(Log {
        address: object.required("address")?,
        topics: object.optional("topics")?.unwrap_or_default(),
        data: object.optional("data")?.unwrap_or_default(),
        log_index: u32::try_from(log_index).map_err(|_| RecordingError::LogIndex { log_index })?,
    })
}

/// The same block under another hash and on another parent, in every place where its JSON names them.
pub(crate) fn relabel(block: &Block, hash: B256, parent_hash: B256) -> Block {
    let mut relabelled = Block {
        hash,
        parent_hash,
        ..block.clone()
    };
    match &mut relabelled.header {
        Header::Typed(header) => header.parent_hash = parent_hash,
        Header::Verbatim(raw) => rewrite(raw, hash, parent_hash),
    }
    let transactions = relabelled
        .transactions
        .iter_mut()
        .filter_map(|transaction| transaction.verbatim.as_mut());
    let receipts = relabelled.receipts.iter_mut().filter(|receipt| !receipt.is_absent());
    for raw in transactions.chain(receipts.filter_map(|receipt| receipt.verbatim.as_mut())) {
        let object = Object::parse(raw).expect("verbatim JSON was parsed as an object when it was read");
        *raw = object.rewritten(|key| (key == "blockHash").then(|| format!("\"{hash}\"")));
    }
    relabelled
}

fn rewrite(header: &mut Box<RawValue>, hash: B256, parent_hash: B256) {
    let object = Object::parse(header).expect("verbatim JSON was parsed as an object when it was read");
    *header = object.rewritten(|key| match key {
        "hash" => Some(format!("\"{hash}\"")),
        "parentHash" => Some(format!("\"{parent_hash}\"")),
        _ => None,
    });
}
