//! What consumers receive on the end of orders that is no fill. Documented in docs/MESSAGES.md.

use serde::{Deserialize, Serialize};

use super::message::Told;
use crate::facts::closings::KIND;

/// What a closing states, as the table holds it and as consumers read it.
#[derive(Clone, Debug, Deserialize, Serialize, sqlx::FromRow)]
pub(super) struct Cancel {
    marketplace: Option<String>,
    market: String,
    reason: String,
    order_key: Option<String>,
    maker: Option<String>,
    nonces: Option<String>,
    nonce: Option<String>,
}

impl Told for Cancel {
    type Body = Self;

    const KINDS: &'static [&'static str] = &[KIND];

    const READ: &'static str = READ;

    fn contract(&self) -> &str {
        &self.market
    }

    fn body(self) -> Self {
        self
    }
}

const READ: &str = "select c.id as fact_id, 'cancel' as kind, m.name as marketplace, c.market::text, c.reason, c.key::text as order_key,
           c.maker::text, c.nonces, c.nonce::text, c.tx_hash::text, c.block_number, c.block_hash::text, c.block_time,
           c.log_index, c.item
    from catalog_service.order_closings c
    left join catalog_service.marketplaces m on m.id = c.marketplace_id
    where c.chain_id = $1 and c.id = any($2)";

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
        let id = uuid!("00114b1a-e000-84c0-8000-0400c2d7a91b");
        let told = json!({
            "fact_id": id, "kind": "cancel", "marketplace": "seaport", "market": "0x00000000000000adc04c56bf30ac9d3c0aaf14dc",
            "reason": "canceled", "order_key": null, "maker": "0x54be3a794282c030b15e43ae2bb182e14c409c5e",
            "nonces": "below", "nonce": "7",
            "tx_hash": "0x9d1c7b5e3f2a4d6c8b0a1e3f5d7c9b2a4e6f8d0c1b3a5e7f9d2c4b6a8e0f1d3c",
            "block_number": 18_133_422,
            "block_hash": "0x1b2d3f4e5a6c7b8d9eafb0c1d2e3f405162738495a6b7c8d9e0f1a2b3c4d5e6f",
            "block_time": "2023-09-14T16:00:35+00:00", "log_index": 304, "item": 0
        });
        let fact: Fact<Cancel> = serde_json::from_value(told.clone()).unwrap();
        let message = fact.message(ChainId(1));
        assert_eq!(
            message.routing_key,
            "eip155.1.cancel.0x00000000000000adc04c56bf30ac9d3c0aaf14dc"
        );
        assert_eq!(
            String::from_utf8(message.body).unwrap(),
            documented_as("cancel").unwrap()
        );

        let message = retraction(told, ChainId(1), retraction_of(id)).unwrap();
        let taken: Value = serde_json::from_slice(&message.body).unwrap();
        assert_eq!(
            (&taken["market"], &taken["nonce"]),
            (&json!("0x00000000000000adc04c56bf30ac9d3c0aaf14dc"), &json!("7"))
        );
        assert_eq!(taken["retracts"]["kind"], "cancel");
    }
}
