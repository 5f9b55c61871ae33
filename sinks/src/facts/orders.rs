//! Orders, the facts of `order_facts`, and their messages. Documented in docs/MESSAGES.md. How orders ended follows from them and
//! from the closings: `crate::projections::settlement`.

use chrono::{DateTime, Utc};
use decoders::block::Block;
use decoders::fact::Order;
use decoders::id::marketplace_id;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::copy::{Rows, timestamp};
use crate::keys::Keys;
use crate::kind::{Row, Stored, Table, table};
use crate::message::{Stated, optional_version, rfc3339};

/// The ids of what an order is for, and of its slot.
pub(crate) struct OrderKey {
    collection: Uuid,
    /// None where any token of the collection, or any of several, will do.
    token: Option<Uuid>,
    /// Shared by all orders of one key at one market, of which the latest stands.
    pub(crate) slot: Uuid,
}

impl Stored for Order {
    type Key = OrderKey;

    type Message = OrderMessage;

    const TABLE: Table = table! {
        table: "catalog_service.order_facts",
        undone: "undone_orders",
        columns: "kind, marketplace_id, version, market, key, hashed, slot, maker, collection, contract, token_number, token, standard,
                  quantity, currency_address, price_raw, starts_at, expires_at, taker, nonce, escrowed, auction",
        computed: "",
        message: "f.kind, catalog_service.hex(f.contract) as contract, f.token_number::text as token_number, f.standard, f.quantity::text,
                  m.name as marketplace, f.version, catalog_service.hex(f.market) as market, catalog_service.hex(f.key) as order_key,
                  f.hashed, catalog_service.hex(f.maker) as maker, catalog_service.hex(f.taker) as taker,
                  catalog_service.hex(f.currency_address) as currency_address, f.price_raw::text, f.starts_at, f.expires_at,
                  f.nonce::text, f.escrowed, f.auction",
        join: "left join catalog_service.marketplaces m on m.id = f.marketplace_id",
        announced: "true",
        digest: "id, kind, marketplace_id, version, catalog_service.hex(market), catalog_service.hex(key), hashed, slot,
                 catalog_service.hex(maker), collection, catalog_service.hex(contract), token_number, token, standard, quantity,
                 catalog_service.hex(currency_address), price_raw, unit_price_raw, extract(epoch from starts_at)::bigint,
                 extract(epoch from expires_at)::bigint, catalog_service.hex(taker), nonce, escrowed, auction,
                 catalog_service.hex(tx_hash), catalog_service.block_of(id), catalog_service.hex(block_hash),
                 extract(epoch from block_time)::bigint, catalog_service.log_index_of(id), catalog_service.item_of(id), closed_by,
                 closed_reason, filled",
    };

    fn key(&self, _: &Block, keys: &mut Keys) -> OrderKey {
        OrderKey {
            collection: keys.collection(self.contract),
            token: self.token.map(|token| keys.token(self.contract, token).token),
            slot: keys.slot(&self.market, &self.key),
        }
    }

    fn write(row: &Row<'_, Order>, rows: &mut Rows) {
        let (fact, key) = (row.fact, &row.key);
        rows.text(fact.kind.as_str());
        rows.uuid(marketplace_id(fact.marketplace)).text(fact.version);
        rows.bytes(fact.market.as_slice()).bytes(fact.key.as_slice());
        rows.boolean(fact.hashed).uuid(key.slot).bytes(fact.maker.as_slice());
        rows.uuid(key.collection).bytes(fact.contract.as_slice());
        rows.optional(fact.token, Rows::amount);
        rows.optional(key.token, Rows::uuid).text(fact.standard.as_str());
        rows.amount(fact.quantity).bytes(fact.currency.as_slice());
        rows.optional(fact.price, Rows::amount);
        rows.optional(fact.starts_at.map(timestamp), Rows::time);
        rows.optional(fact.expires_at.map(timestamp), Rows::time);
        rows.optional(fact.taker, |rows, taker| rows.bytes(taker.as_slice()));
        rows.optional(fact.nonce, Rows::amount);
        rows.boolean(fact.escrowed).boolean(fact.auction);
    }
}

/// What an order states, as the table holds it.
#[derive(Clone, Debug, Deserialize, sqlx::FromRow)]
pub(crate) struct OrderMessage {
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
}

/// What an order states, as consumers read it.
#[derive(Serialize)]
pub(crate) struct OrderBody {
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
}

impl Stated for OrderMessage {
    type Body = OrderBody;

    fn contract(&self) -> &str {
        &self.contract
    }

    fn body(self) -> OrderBody {
        OrderBody {
            contract: self.contract,
            token_id: self.token_number,
            standard: self.standard,
            quantity: self.quantity,
            marketplace: self.marketplace,
            version: optional_version(self.version),
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
        }
    }
}

#[cfg(test)]
mod tests {
    use decoders::block::ChainId;
    use decoders::id::retraction_of;
    use serde_json::{Value, json};
    use uuid::uuid;

    use super::*;
    use crate::kind::retraction;
    use crate::message::{MessageFact, documented_as};

    #[test]
    fn the_documentation_shows_what_is_sent() {
        let id = uuid!("0011b26c-7000-8040-8000-033a3e33d8e1");
        let stored = json!({
            "fact_id": id, "kind": "listing", "contract": "0xb47e3cd837ddf8e4c57f05d70ab865de6e193bbb",
            "token_number": "2681", "standard": "cryptopunks", "quantity": "1", "marketplace": "cryptopunks", "version": "",
            "market": "0xb47e3cd837ddf8e4c57f05d70ab865de6e193bbb",
            "order_key": "0x7f3b6c1e0a52d98e4471b5c0f2a6d3980c5b1e7a4d29f8360b7c2e5a91d4f6c8", "hashed": false,
            "maker": "0xc352b534e8b987e036a93539fd6897f53488e56a", "taker": null,
            "currency_address": "0x0000000000000000000000000000000000000000", "price_raw": "64950000000000000000",
            "starts_at": null, "expires_at": null, "nonce": null, "escrowed": false, "auction": false,
            "tx_hash": "0x5a1f8f3f0d5a3d1c59b3d8b8e0c40f6d3c7b7d3b0e8c1e6bb7e0f5a3a4c9d2e7",
            "block_number": 18_556_615,
            "block_hash": "0x2c4e6a8091b3d5f7192b3d4f5e6071829394a5b6c7d8e9f00112233445566778",
            "block_time": "2023-11-13T01:12:59+00:00", "log_index": 16, "item": 0
        });
        let fact: MessageFact<OrderMessage> = serde_json::from_value(stored.clone()).unwrap();
        let message = fact.message(ChainId(1));
        assert_eq!(
            message.routing_key,
            "eip155.1.listing.0xb47e3cd837ddf8e4c57f05d70ab865de6e193bbb"
        );
        let body = String::from_utf8(message.body).unwrap();
        assert_eq!(body, documented_as("listing").unwrap());

        let message = retraction::<Order>(stored, ChainId(1), retraction_of(id)).unwrap();
        let mut taken: Value = serde_json::from_slice(&message.body).unwrap();
        assert_eq!(taken["retracts"], json!({ "id": id, "kind": "listing" }));
        taken.as_object_mut().expect("a body").remove("retracts");
        (taken["id"], taken["kind"]) = (json!(id), json!("listing"));
        let stored: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(taken, stored, "a retraction repeats the fact");
    }
}
