//! What consumers receive of a listing or an offer. Documented in docs/MESSAGES.md.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::message::{Told, rfc3339, told_version};

/// What an order states, as the table holds it.
#[derive(Clone, Debug, Deserialize, sqlx::FromRow)]
pub(super) struct Order {
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
pub(super) struct OrderBody {
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

impl Told for Order {
    type Body = OrderBody;

    const KINDS: &'static [&'static str] = &["listing", "offer"];

    const READ: &'static str = READ;

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
            version: told_version(self.version),
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

const READ: &str = "select o.id as fact_id, o.kind, o.contract::text, o.token_number, o.standard, o.quantity::text,
           m.name as marketplace, o.version, o.market::text, o.key::text as order_key, o.hashed, o.maker::text, o.taker::text,
           o.currency_address::text, o.price_raw::text, o.starts_at, o.expires_at, o.nonce::text, o.escrowed, o.auction,
           o.tx_hash::text, o.block_number, o.block_hash::text, o.block_time, o.log_index, o.item
    from catalog_service.order_facts o
    left join catalog_service.marketplaces m on m.id = o.marketplace_id
    where o.chain_id = $1 and o.id = any($2)";

#[cfg(test)]
mod tests {
    use decoders::block::ChainId;
    use decoders::id::retraction_of;
    use serde_json::{Value, json};
    use uuid::uuid;

    use super::super::message::{Fact, documented_as, retraction};
    use super::*;

    #[test]
    fn the_documentation_shows_what_is_sent() {
        let id = uuid!("0011b26c-7000-8040-8000-033a3e33d8e1");
        let told = json!({
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
        let fact: Fact<Order> = serde_json::from_value(told.clone()).unwrap();
        let message = fact.message(ChainId(1));
        assert_eq!(
            message.routing_key,
            "eip155.1.listing.0xb47e3cd837ddf8e4c57f05d70ab865de6e193bbb"
        );
        let body = String::from_utf8(message.body).unwrap();
        assert_eq!(body, documented_as("listing").unwrap());

        let message = retraction(told, ChainId(1), retraction_of(id)).unwrap();
        let mut taken: Value = serde_json::from_slice(&message.body).unwrap();
        assert_eq!(taken["retracts"], json!({ "id": id, "kind": "listing" }));
        taken.as_object_mut().expect("a body").remove("retracts");
        (taken["id"], taken["kind"]) = (json!(id), json!("listing"));
        let told: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(taken, told, "a retraction repeats the fact");
    }
}
