//! What consumers are told of a transfer, mint or burn. Documented in docs/MESSAGES.md.

use chrono::{DateTime, Utc};
use decoders::block::ChainId;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::PublisherError;
use super::message::{BlockBody, Message, RETRACTION, Retracts, SCHEMA_VERSION, message, rfc3339};
use crate::store::Store;

/// A transfer as the table holds it, and as a rewind wrote it down when it undid it.
#[derive(Clone, Debug, Deserialize, sqlx::FromRow)]
pub(super) struct TransferFact {
    pub(super) fact_id: Uuid,
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

/// Body of a transfer, mint or burn, and of its retraction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct TransferBody {
    schema_version: u8,
    id: Uuid,
    chain: String,
    kind: String,
    block: BlockBody,
    tx_hash: String,
    log_index: i32,
    item: i32,
    contract: String,
    /// Decimal text: token numbers reach 2^256 − 1, beyond what JSON readers hold.
    token_id: String,
    from: String,
    to: String,
    /// Decimal text, for the same reason.
    quantity: String,
    standard: String,
    /// In a retraction, which repeats every field of the fact, so that a consumer that kept nothing can still undo it.
    #[serde(skip_serializing_if = "Option::is_none")]
    retracts: Option<Retracts>,
}

/// The transfers of `chain` with these ids, as far as they stand.
pub(super) async fn read(store: &Store, chain: &str, ids: &[Uuid]) -> Result<Vec<TransferFact>, PublisherError> {
    Ok(sqlx::query_as(READ)
        .bind(chain)
        .bind(ids)
        .fetch_all(&store.pool)
        .await?)
}

const READ: &str =
    "select id as fact_id, kind, contract::text, token_id, from_addr::text as \"from\", to_addr::text as \"to\",
           quantity::text, standard, tx_hash::text, log_index, item, block_number, block_hash::text, block_time
    from catalog_service.ownership_transfers where chain_id = $1 and id = any($2)";

impl TransferFact {
    /// The message that tells of this transfer.
    pub(super) fn message(self, chain: ChainId) -> Result<Message, serde_json::Error> {
        let (id, kind) = (self.fact_id, self.kind.clone());
        self.body(chain, id, kind, None).message()
    }

    /// The message with the id `id` that takes it back.
    pub(super) fn retraction(self, chain: ChainId, id: Uuid) -> Result<Message, serde_json::Error> {
        let retracts = Retracts {
            id: self.fact_id,
            kind: self.kind.clone(),
        };
        self.body(chain, id, RETRACTION.into(), Some(retracts)).message()
    }

    fn body(self, chain: ChainId, id: Uuid, kind: String, retracts: Option<Retracts>) -> TransferBody {
        TransferBody {
            schema_version: SCHEMA_VERSION,
            id,
            chain: chain.to_string(),
            kind,
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
            retracts,
        }
    }
}

impl TransferBody {
    fn message(self) -> Result<Message, serde_json::Error> {
        let body = serde_json::to_vec(&self)?;
        Ok(message(self.id, self.chain, self.kind, self.contract, body))
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::b256;
    use decoders::id::{Position, RecordKind, retraction_of};

    use super::super::message::documented;
    use super::*;

    fn fact() -> TransferFact {
        let position = Position {
            chain: ChainId(1),
            block_number: 12_287_708,
            block_hash: b256!("0x9e1d3f0f2ad9bb8d8ba8ae2d9ce2ff6fcd46c0a8c1c7a4b1f2d52b8db7c0aa11"),
            log_index: 16,
            item: 0,
            kind: RecordKind::Transfer,
        };
        TransferFact {
            fact_id: position.id(),
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
            block_hash: position.block_hash.to_string(),
            block_time: DateTime::from_timestamp(1_619_065_797, 0).expect("a time"),
        }
    }

    #[test]
    fn the_documentation_shows_what_is_sent() {
        let message = fact().message(ChainId(1)).unwrap();
        assert_eq!(
            message.routing_key,
            "eip155.1.transfer.0xbc4ca0eda7647a8ab7c2061c2e118a18a936f13d"
        );
        let told: serde_json::Value = serde_json::from_slice(&message.body).unwrap();
        assert_eq!(told, documented()[0], "{told:#}");
        let message = fact().retraction(ChainId(1), retraction_of(fact().fact_id)).unwrap();
        let told: serde_json::Value = serde_json::from_slice(&message.body).unwrap();
        assert_eq!(told, documented()[1], "{told:#}");
    }
}
