//! What messages of every kind share: routing keys, headers, and parts of their JSON bodies. Documented in docs/MESSAGES.md.

use chrono::{DateTime, SecondsFormat, Utc};
use decoders::block::ChainId;
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use super::sale::SaleFact;
use super::transfer::TransferFact;

/// Version of the body's layout; it grows only when a field changes its meaning or goes away.
pub const SCHEMA_VERSION: u8 = 1;

/// The kind of a message that cancels another.
pub const RETRACTION: &str = "retraction";

/// One message as it goes over the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Message id: the fact's id, or the id that retracts it. A repeat has the same id.
    pub id: Uuid,
    /// CAIP-2 name of the chain.
    pub chain: String,
    /// `transfer`, `mint`, `burn`, `sale`, …, or `retraction`.
    pub kind: String,
    /// The contract the fact is about, lower-case `0x` text.
    pub contract: String,
    /// `<namespace>.<reference>.<kind>.<contract>`.
    pub routing_key: String,
    /// The JSON body.
    pub body: Vec<u8>,
}

/// The block a fact stands in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct BlockBody {
    pub(super) number: i64,
    pub(super) hash: String,
    /// RFC 3339, whole seconds, UTC.
    pub(super) time: String,
}

/// A message with its routing key.
pub(super) fn message(id: Uuid, chain: String, kind: String, contract: String, body: Vec<u8>) -> Message {
    Message {
        id,
        routing_key: routing_key(&chain, &kind, &contract),
        chain,
        kind,
        contract,
        body,
    }
}

/// The message with the id `id` that takes back what a rewind wrote into the outbox about a fact it undid.
pub(super) fn retraction(told: Value, chain: ChainId, id: Uuid) -> Result<Message, serde_json::Error> {
    if told["kind"] == crate::sales::KIND {
        return serde_json::from_value::<SaleFact>(told)?.retraction(chain, id);
    }
    serde_json::from_value::<TransferFact>(told)?.retraction(chain, id)
}

/// The fact a retraction takes back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Retracts {
    pub(super) id: Uuid,
    pub(super) kind: String,
}

/// `time` as bodies carry it: RFC 3339, whole seconds, UTC.
pub(super) fn rfc3339(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// `eip155:1`, `transfer`, `0xbc4c…` → `eip155.1.transfer.0xbc4c…`.
fn routing_key(chain: &str, kind: &str, contract: &str) -> String {
    let mut key = chain.replacen(':', ".", 1);
    for part in [kind, contract] {
        key.push('.');
        key.push_str(part);
    }
    key
}

/// The JSON examples of the documentation, in order.
#[cfg(test)]
pub(super) fn documented() -> Vec<Value> {
    let text = include_str!("../../../docs/MESSAGES.md");
    let blocks = text
        .split("```json")
        .skip(1)
        .filter_map(|rest| rest.split("```").next());
    blocks
        .map(|block| serde_json::from_str(block).expect("the documentation shows JSON"))
        .collect()
}
