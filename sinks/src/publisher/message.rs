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
        let retracts = Retracts {
            id: self.fact_id,
            kind: self.kind.clone(),
        };
        let body = RetractionBody {
            fact: self.fact(chain, id, RETRACTION.into()),
            retracts,
        };
        let json = serde_json::to_vec(&body)?;
        Ok(Message {
            body: json,
            ..body.fact.message()?
        })
    }

    /// The fields of the fact, under another id and kind.
    fn fact(self, chain: ChainId, id: Uuid, kind: String) -> TransferBody {
        let block = BlockBody {
            number: self.block_number,
            hash: self.block_hash,
            time: rfc3339(self.block_time),
        };
        TransferBody {
            schema_version: SCHEMA_VERSION,
            id,
            chain: chain.to_string(),
            kind,
            block,
            tx_hash: self.tx_hash,
            log_index: self.log_index,
            item: self.item,
            contract: self.contract,
            token_id: self.token_id,
            from: self.from,
            to: self.to,
            quantity: self.quantity,
            standard: self.standard,
        }
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

#[cfg(test)]
mod tests {
    use alloy_primitives::b256;
    use decoders::id::{Position, RecordKind, retraction_of};

    use super::*;

    /// The JSON examples of the documentation, in order.
    fn documented() -> Vec<serde_json::Value> {
        let text = include_str!("../../../docs/MESSAGES.md");
        let blocks = text
            .split("```json")
            .skip(1)
            .filter_map(|rest| rest.split("```").next());
        blocks
            .map(|block| serde_json::from_str(block).expect("the documentation shows JSON"))
            .collect()
    }

    fn position() -> Position {
        let block_hash = b256!("0x9e1d3f0f2ad9bb8d8ba8ae2d9ce2ff6fcd46c0a8c1c7a4b1f2d52b8db7c0aa11");
        let (chain, kind) = (ChainId(1), RecordKind::Transfer);
        Position {
            chain,
            block_number: 12_287_708,
            block_hash,
            log_index: 16,
            item: 0,
            kind,
        }
    }

    fn undone() -> Undone {
        Undone {
            fact_id: position().id(),
            kind: "transfer".into(),
            contract: "0xbc4ca0eda7647a8ab7c2061c2e118a18a936f13d".into(),
            token_id: "8520".into(),
            from: "0xb88f61e6fbda83fbfffabe364112137480398018".into(),
            to: "0x54be3a794282c030b15e43ae2bb182e14c409c5e".into(),
            quantity: "1".into(),
            standard: "erc721".into(),
            tx_hash: "0x22199329b0aa1aa68902a78e3b32ca327c872fab166c7a2838273de6ad383eba".into(),
            log_index: 16,
            item: 0,
            block_number: 12_287_708,
            block_hash: position().block_hash.to_string(),
            block_time: DateTime::from_timestamp(1_619_065_797, 0).expect("a time"),
        }
    }

    #[test]
    fn the_documentation_shows_what_is_sent() {
        let undone = undone();
        let fact = undone.fact_id;
        let message = undone
            .clone()
            .fact(ChainId(1), fact, undone.kind.clone())
            .message()
            .unwrap();
        assert_eq!(
            message.routing_key,
            "eip155.1.transfer.0xbc4ca0eda7647a8ab7c2061c2e118a18a936f13d"
        );
        let told: serde_json::Value = serde_json::from_slice(&message.body).unwrap();
        assert_eq!(told, documented()[0], "{told:#}");
        let message = undone.message(ChainId(1), retraction_of(fact)).unwrap();
        let told: serde_json::Value = serde_json::from_slice(&message.body).unwrap();
        assert_eq!(told, documented()[1], "{told:#}");
    }
}
