//! What consumers are told of the end of orders that is no fill. Documented in docs/MESSAGES.md.

use chrono::{DateTime, Utc};
use decoders::block::ChainId;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::PublisherError;
use super::message::{BlockBody, Message, RETRACTION, Retracts, SCHEMA_VERSION, message, rfc3339};
use crate::closings::KIND;
use crate::store::Store;

/// A closing as the table holds it, and as a rewind wrote it down when it undid it.
#[derive(Clone, Debug, Deserialize, sqlx::FromRow)]
pub(super) struct CancelFact {
    pub(super) fact_id: Uuid,
    marketplace: Option<String>,
    market: String,
    reason: String,
    order_key: Option<String>,
    maker: Option<String>,
    nonces: Option<String>,
    nonce: Option<String>,
    tx_hash: String,
    block_number: i64,
    block_hash: String,
    block_time: DateTime<Utc>,
    log_index: i32,
    item: i32,
}

/// Body of a closing, and of its retraction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct CancelBody {
    schema_version: u8,
    id: Uuid,
    chain: String,
    kind: &'static str,
    block: BlockBody,
    tx_hash: String,
    log_index: i32,
    item: i32,
    marketplace: Option<String>,
    market: String,
    reason: String,
    order_key: Option<String>,
    maker: Option<String>,
    nonces: Option<String>,
    nonce: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retracts: Option<Retracts>,
}

/// The closings of `chain` with these ids, as far as they stand.
pub(super) async fn read(store: &Store, chain: &str, ids: &[Uuid]) -> Result<Vec<CancelFact>, PublisherError> {
    Ok(sqlx::query_as(READ)
        .bind(chain)
        .bind(ids)
        .fetch_all(&store.pool)
        .await?)
}

const READ: &str = "select c.id as fact_id, m.name as marketplace, c.market::text, c.reason, c.key::text as order_key,
           c.maker::text, c.nonces, c.nonce::text, c.tx_hash::text, c.block_number, c.block_hash::text, c.block_time,
           c.log_index, c.item
    from catalog_service.order_closings c
    left join catalog_service.marketplaces m on m.id = c.marketplace_id
    where c.chain_id = $1 and c.id = any($2)";

impl CancelFact {
    /// The message that tells of this closing.
    pub(super) fn message(self, chain: ChainId) -> Result<Message, serde_json::Error> {
        let id = self.fact_id;
        self.body(chain, id, None).message()
    }

    /// The message with the id `id` that takes it back.
    pub(super) fn retraction(self, chain: ChainId, id: Uuid) -> Result<Message, serde_json::Error> {
        let retracts = Retracts {
            id: self.fact_id,
            kind: KIND.into(),
        };
        self.body(chain, id, Some(retracts)).message()
    }

    fn body(self, chain: ChainId, id: Uuid, retracts: Option<Retracts>) -> CancelBody {
        CancelBody {
            schema_version: SCHEMA_VERSION,
            id,
            chain: chain.to_string(),
            kind: if retracts.is_some() { RETRACTION } else { KIND },
            block: BlockBody {
                number: self.block_number,
                hash: self.block_hash,
                time: rfc3339(self.block_time),
            },
            tx_hash: self.tx_hash,
            log_index: self.log_index,
            item: self.item,
            marketplace: self.marketplace,
            market: self.market,
            reason: self.reason,
            order_key: self.order_key,
            maker: self.maker,
            nonces: self.nonces,
            nonce: self.nonce,
            retracts,
        }
    }
}

impl CancelBody {
    fn message(self) -> Result<Message, serde_json::Error> {
        let body = serde_json::to_vec(&self)?;
        Ok(message(self.id, self.chain, self.kind.to_owned(), self.market, body))
    }
}

#[cfg(test)]
mod tests {
    use decoders::id::retraction_of;
    use uuid::uuid;

    use super::super::message::documented_as;
    use super::*;

    fn fact() -> CancelFact {
        CancelFact {
            fact_id: uuid!("00114b1a-e000-84c0-8000-0400c2d7a91b"),
            marketplace: Some("seaport".into()),
            market: "0x00000000000000adc04c56bf30ac9d3c0aaf14dc".into(),
            reason: "canceled".into(),
            order_key: None,
            maker: Some("0x54be3a794282c030b15e43ae2bb182e14c409c5e".into()),
            nonces: Some("below".into()),
            nonce: Some("7".into()),
            tx_hash: "0x9d1c7b5e3f2a4d6c8b0a1e3f5d7c9b2a4e6f8d0c1b3a5e7f9d2c4b6a8e0f1d3c".into(),
            block_number: 18_133_422,
            block_hash: "0x1b2d3f4e5a6c7b8d9eafb0c1d2e3f405162738495a6b7c8d9e0f1a2b3c4d5e6f".into(),
            block_time: DateTime::from_timestamp(1_694_707_235, 0).expect("a time"),
            log_index: 304,
            item: 0,
        }
    }

    #[test]
    fn the_documentation_shows_what_is_sent() {
        let message = fact().message(ChainId(1)).unwrap();
        assert_eq!(
            message.routing_key,
            "eip155.1.cancel.0x00000000000000adc04c56bf30ac9d3c0aaf14dc"
        );
        let told: serde_json::Value = serde_json::from_slice(&message.body).unwrap();
        assert_eq!(Some(&told), documented_as("cancel").as_ref(), "{told:#}");

        let message = fact().retraction(ChainId(1), retraction_of(fact().fact_id)).unwrap();
        let taken: serde_json::Value = serde_json::from_slice(&message.body).unwrap();
        assert_eq!((&taken["market"], &taken["nonce"]), (&told["market"], &told["nonce"]));
        assert_eq!(taken["retracts"]["kind"], "cancel");
    }
}
