//! What consumers are told: routing keys, headers and JSON bodies. Documented in docs/MESSAGES.md.

use chrono::{DateTime, SecondsFormat, Utc};
use decoders::block::ChainId;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

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
    /// `transfer`, `mint`, `burn`, …, or `retraction`.
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

/// Body of a transfer, mint or burn.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct TransferBody {
    pub(super) schema_version: u8,
    pub(super) id: Uuid,
    pub(super) chain: String,
    pub(super) kind: String,
    pub(super) block: BlockBody,
    pub(super) tx_hash: String,
    pub(super) log_index: i32,
    pub(super) item: i32,
    pub(super) contract: String,
    /// Decimal text: token numbers reach 2^256 − 1, beyond what JSON readers hold.
    pub(super) token_id: String,
    pub(super) from: String,
    pub(super) to: String,
    /// Decimal text, for the same reason.
    pub(super) quantity: String,
    pub(super) standard: String,
}

impl TransferBody {
    /// The message that tells of this transfer.
    pub(super) fn message(self) -> Result<Message, serde_json::Error> {
        let body = serde_json::to_vec(&self)?;
        Ok(Message {
            id: self.id,
            routing_key: routing_key(&self.chain, &self.kind, &self.contract),
            chain: self.chain,
            kind: self.kind,
            contract: self.contract,
            body,
        })
    }
}

/// What a rewind wrote into the outbox about a fact it undid.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Undone {
    fact_id: Uuid,
    kind: String,
    contract: String,
    token_id: String,
    from: String,
    to: String,
    quantity: String,
    standard: String,
    tx_hash: String,
    log_index: i32,
    #[serde(default)]
    item: i32,
    block_number: i64,
    block_hash: String,
    block_time: DateTime<Utc>,
}

/// The fact a retraction cancels.
#[derive(Clone, Debug, Serialize)]
struct Retracts {
    id: Uuid,
    kind: String,
}

/// Body of a retraction: every field of the fact, so that a consumer that kept nothing can still undo it.
#[derive(Clone, Debug, Serialize)]
struct RetractionBody {
    #[serde(flatten)]
    fact: TransferBody,
    retracts: Retracts,
}

impl Undone {
    /// The message with the id `id` that cancels this fact on `chain`.
    pub(super) fn message(self, chain: ChainId, id: Uuid) -> Result<Message, serde_json::Error> {
        let fact = TransferBody {
            schema_version: SCHEMA_VERSION,
            id,
            chain: chain.to_string(),
            kind: RETRACTION.into(),
            block: BlockBody {
                number: self.block_number,
                hash: self.block_hash,
                time: rfc3339(self.block_time),
            },
            tx_hash: self.tx_hash,
            log_index: self.log_index,
            item: self.item,
            contract: self.contract,
            token_id: self.token_id,
            from: self.from,
            to: self.to,
            quantity: self.quantity,
            standard: self.standard,
        };
        let body = RetractionBody {
            fact,
            retracts: Retracts {
                id: self.fact_id,
                kind: self.kind,
            },
        };
        let json = serde_json::to_vec(&body)?;
        Ok(Message {
            body: json,
            ..body.fact.message()?
        })
    }
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
