//! What consumers are told of a listing or an offer. Documented in docs/MESSAGES.md.

use chrono::{DateTime, Utc};
use decoders::block::ChainId;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::PublisherError;
use super::message::{BlockBody, Message, RETRACTION, Retracts, SCHEMA_VERSION, message, rfc3339};
use crate::store::Store;

/// An order as the table holds it, and as a rewind wrote it down when it undid it.
#[derive(Clone, Debug, Deserialize, sqlx::FromRow)]
pub(super) struct OrderFact {
    pub(super) fact_id: Uuid,
    kind: String,
    contract: String,
    token_number: Option<String>,
    standard: String,
    quantity: String,
    marketplace: Option<String>,
    version: String,
    market: String,
    order_key: String,
    hashed: bool,
    maker: String,
    taker: Option<String>,
    currency_address: String,
    price_raw: Option<String>,
    starts_at: Option<DateTime<Utc>>,
    expires_at: Option<DateTime<Utc>>,
    nonce: Option<String>,
    escrowed: bool,
    auction: bool,
    tx_hash: String,
    block_number: i64,
    block_hash: String,
    block_time: DateTime<Utc>,
    log_index: i32,
    item: i32,
}

/// Body of a listing or an offer, and of its retraction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct OrderBody {
    schema_version: u8,
    id: Uuid,
    chain: String,
    kind: String,
    block: BlockBody,
    tx_hash: String,
    log_index: i32,
    item: i32,
    contract: String,
    token_id: Option<String>,
    standard: String,
    quantity: String,
    marketplace: Option<String>,
    version: Option<String>,
    market: String,
    order_key: String,
    order_hash: Option<String>,
    maker: String,
    taker: Option<String>,
    currency: String,
    price: Option<String>,
    starts_at: Option<String>,
    expires_at: Option<String>,
    nonce: Option<String>,
    escrowed: bool,
    auction: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    retracts: Option<Retracts>,
}

/// The orders of `chain` with these ids, as far as they stand.
pub(super) async fn read(store: &Store, chain: &str, ids: &[Uuid]) -> Result<Vec<OrderFact>, PublisherError> {
    Ok(sqlx::query_as(READ)
        .bind(chain)
        .bind(ids)
        .fetch_all(&store.pool)
        .await?)
}

const READ: &str = "select o.id as fact_id, o.kind, o.contract::text, o.token_number, o.standard, o.quantity::text,
           m.name as marketplace, o.version, o.market::text, o.key::text as order_key, o.hashed, o.maker::text, o.taker::text,
           o.currency_address::text, o.price_raw::text, o.starts_at, o.expires_at, o.nonce::text, o.escrowed, o.auction,
           o.tx_hash::text, o.block_number, o.block_hash::text, o.block_time, o.log_index, o.item
    from catalog_service.order_facts o
    left join catalog_service.marketplaces m on m.id = o.marketplace_id
    where o.chain_id = $1 and o.id = any($2)";

impl OrderFact {
    /// The message that tells of this order.
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

    fn body(self, chain: ChainId, id: Uuid, kind: String, retracts: Option<Retracts>) -> OrderBody {
        OrderBody {
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
            token_id: self.token_number,
            standard: self.standard,
            quantity: self.quantity,
            marketplace: self.marketplace,
            version: Some(self.version).filter(|version| !version.is_empty()),
            market: self.market,
            order_hash: self.hashed.then(|| self.order_key.clone()),
            order_key: self.order_key,
            maker: self.maker,
            taker: self.taker,
            currency: self.currency_address,
            price: self.price_raw,
            starts_at: self.starts_at.map(rfc3339),
            expires_at: self.expires_at.map(rfc3339),
            nonce: self.nonce,
            escrowed: self.escrowed,
            auction: self.auction,
            retracts,
        }
    }
}

impl OrderBody {
    fn message(self) -> Result<Message, serde_json::Error> {
        let body = serde_json::to_vec(&self)?;
        Ok(message(self.id, self.chain, self.kind, self.contract, body))
    }
}

#[cfg(test)]
mod tests {
    use decoders::id::retraction_of;
    use uuid::uuid;

    use super::super::message::documented_as;
    use super::*;

    fn fact() -> OrderFact {
        OrderFact {
            fact_id: uuid!("0011b26c-7000-8040-8000-033a3e33d8e1"),
            kind: "listing".into(),
            contract: "0xb47e3cd837ddf8e4c57f05d70ab865de6e193bbb".into(),
            token_number: Some("2681".into()),
            standard: "cryptopunks".into(),
            quantity: "1".into(),
            marketplace: Some("cryptopunks".into()),
            version: String::new(),
            market: "0xb47e3cd837ddf8e4c57f05d70ab865de6e193bbb".into(),
            order_key: "0x7f3b6c1e0a52d98e4471b5c0f2a6d3980c5b1e7a4d29f8360b7c2e5a91d4f6c8".into(),
            hashed: false,
            maker: "0xc352b534e8b987e036a93539fd6897f53488e56a".into(),
            taker: None,
            currency_address: "0x0000000000000000000000000000000000000000".into(),
            price_raw: Some("64950000000000000000".into()),
            starts_at: None,
            expires_at: None,
            nonce: None,
            escrowed: false,
            auction: false,
            tx_hash: "0x5a1f8f3f0d5a3d1c59b3d8b8e0c40f6d3c7b7d3b0e8c1e6bb7e0f5a3a4c9d2e7".into(),
            block_number: 18_556_615,
            block_hash: "0x2c4e6a8091b3d5f7192b3d4f5e6071829394a5b6c7d8e9f00112233445566778".into(),
            block_time: DateTime::from_timestamp(1_699_837_979, 0).expect("a time"),
            log_index: 16,
            item: 0,
        }
    }

    #[test]
    fn the_documentation_shows_what_is_sent() {
        let message = fact().message(ChainId(1)).unwrap();
        assert_eq!(
            message.routing_key,
            "eip155.1.listing.0xb47e3cd837ddf8e4c57f05d70ab865de6e193bbb"
        );
        let told: serde_json::Value = serde_json::from_slice(&message.body).unwrap();
        assert_eq!(Some(&told), documented_as("listing").as_ref(), "{told:#}");

        let retraction = retraction_of(fact().fact_id);
        let message = fact().retraction(ChainId(1), retraction).unwrap();
        let mut taken: serde_json::Value = serde_json::from_slice(&message.body).unwrap();
        assert_eq!(
            taken["retracts"],
            serde_json::json!({ "id": fact().fact_id, "kind": "listing" })
        );
        taken.as_object_mut().expect("a body").remove("retracts");
        (taken["id"], taken["kind"]) = (told["id"].clone(), told["kind"].clone());
        assert_eq!(taken, told, "a retraction repeats the fact");
    }
}
