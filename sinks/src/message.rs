//! What messages of every kind share: routing keys, and the JSON around what a fact states. Documented in docs/MESSAGES.md.

use chrono::{DateTime, SecondsFormat, Utc};
use decoders::block::ChainId;
use decoders::fact::KINDS;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sqlx::FromRow;
use sqlx::postgres::PgRow;
use uuid::Uuid;

/// Version of the body's layout; it grows only when a field changes its meaning or goes away.
pub const SCHEMA_VERSION: u8 = 1;

/// The kind of a message that cancels another.
pub const RETRACTION: &str = "retraction";

/// Every kind a message can have.
pub fn kinds() -> impl Iterator<Item = &'static str> {
    KINDS.iter().flat_map(|kind| kind.names).copied().chain([RETRACTION])
}

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

/// What a kind of fact states beside its place: the columns of its table, which a rewind wrote down by the same names.
pub(crate) trait Stated: DeserializeOwned + for<'r> FromRow<'r, PgRow> + Send + Unpin {
    /// The same as consumers read it.
    type Body: Serialize;

    /// The contract it is about.
    fn contract(&self) -> &str;

    /// The body of its message.
    fn body(self) -> Self::Body;
}

/// A fact as its table holds it, and as a rewind wrote it down when it undid it.
#[derive(Clone, Debug, Deserialize, FromRow)]
pub(crate) struct MessageFact<T> {
    pub(crate) fact_id: Uuid,
    kind: String,
    tx_hash: String,
    block_number: i64,
    block_hash: String,
    block_time: DateTime<Utc>,
    log_index: i32,
    #[serde(default)]
    item: i32,
    #[serde(flatten)]
    #[sqlx(flatten)]
    stated: T,
}

/// The body of a message.
#[derive(Serialize)]
struct Body<'a, B> {
    schema_version: u8,
    id: Uuid,
    chain: &'a str,
    kind: &'a str,
    block: BlockBody,
    tx_hash: String,
    log_index: i32,
    item: i32,
    #[serde(flatten)]
    stated: B,
    /// In a retraction, which repeats every field of the fact, so that a consumer that kept nothing can still undo it.
    #[serde(skip_serializing_if = "Option::is_none")]
    retracts: Option<Retracts>,
}

/// The block a fact stands in.
#[derive(Serialize)]
struct BlockBody {
    number: i64,
    hash: String,
    time: String,
}

/// The fact a retraction takes back.
#[derive(Serialize)]
struct Retracts {
    id: Uuid,
    kind: String,
}

impl<T: Stated> MessageFact<T> {
    /// The message that publishes this fact.
    pub(crate) fn message(self, chain: ChainId) -> Message {
        let id = self.fact_id;
        self.stating(chain, id, None)
    }

    /// The message with the id `id` that takes it back.
    pub(crate) fn retraction(self, chain: ChainId, id: Uuid) -> Message {
        let retracts = Retracts {
            id: self.fact_id,
            kind: self.kind.clone(),
        };
        self.stating(chain, id, Some(retracts))
    }

    fn stating(self, chain: ChainId, id: Uuid, retracts: Option<Retracts>) -> Message {
        let (chain, contract) = (chain.to_string(), self.stated.contract().to_owned());
        let kind = if retracts.is_some() {
            RETRACTION.to_owned()
        } else {
            self.kind
        };
        let body = Body {
            schema_version: SCHEMA_VERSION,
            id,
            chain: &chain,
            kind: &kind,
            block: BlockBody {
                number: self.block_number,
                hash: self.block_hash,
                time: rfc3339(self.block_time),
            },
            tx_hash: self.tx_hash,
            log_index: self.log_index,
            item: self.item,
            stated: self.stated.body(),
            retracts,
        };
        Message {
            id,
            routing_key: routing_key(&chain, &kind, &contract),
            body: serde_json::to_vec(&body).expect("text and numbers can be written as JSON"),
            chain,
            kind,
            contract,
        }
    }
}

/// `time` as bodies carry it: RFC 3339, whole seconds, UTC.
pub(crate) fn rfc3339(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// The version of a market's contracts as bodies carry it; none where there is but one.
pub(crate) fn optional_version(version: String) -> Option<String> {
    Some(version).filter(|version| !version.is_empty())
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

/// The JSON examples of the documentation as they would be sent: without white space between words.
#[cfg(test)]
pub(crate) fn documented() -> Vec<String> {
    let text = include_str!("../../docs/MESSAGES.md");
    let blocks = text
        .split("```json")
        .skip(1)
        .filter_map(|rest| rest.split("```").next());
    let compact = |block: &str| {
        let parts = block.split('"').enumerate();
        let words = parts.map(|(place, part)| {
            if place % 2 == 0 {
                part.split_whitespace().collect()
            } else {
                part.to_owned()
            }
        });
        words.collect::<Vec<String>>().join("\"")
    };
    blocks.map(compact).collect()
}

/// The first example of a message of this kind.
#[cfg(test)]
pub(crate) fn documented_as(kind: &str) -> Option<String> {
    let kind = format!("\"kind\":\"{kind}\"");
    documented().into_iter().find(|body| body.contains(&kind))
}
