//! Ends of orders, the facts of `order_closings`, and the messages of those that are no fill. Documented in docs/MESSAGES.md. Which
//! orders they end follows from them and from the orders: `crate::projections::settlement`.

use alloy_primitives::{Address, B256, U256};
use decoders::block::Block;
use decoders::fact::{Closing, ClosingReason, Fact as _, Nonces, Reach};
use decoders::id::marketplace_id;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::copy::Rows;
use crate::keys::Keys;
use crate::kind::{Row, Stored, Table, table};
use crate::message::Stated;

impl Stored for Closing {
    /// The slot of the order it reaches; none where it reaches those of a maker.
    type Key = Option<Uuid>;

    type Message = CancelMessage;

    const TABLE: Table = table! {
        table: "catalog_service.order_closings",
        undone: "undone_closings",
        columns: "marketplace_id, market, slot, key, maker, nonces, nonce, reason, quantity",
        computed: "",
        message: "'cancel' as kind, m.name as marketplace, catalog_service.hex(f.market) as market, f.reason,
                  catalog_service.hex(f.key) as order_key, catalog_service.hex(f.maker) as maker, f.nonces, f.nonce::text",
        join: "left join catalog_service.marketplaces m on m.id = f.marketplace_id",
        announced: "f.reason <> 'filled'",
        digest: "id, marketplace_id, catalog_service.hex(market), slot, catalog_service.hex(key), catalog_service.hex(maker), nonces,
                 nonce, reason, quantity, catalog_service.hex(tx_hash), catalog_service.block_of(id), catalog_service.hex(block_hash),
                 extract(epoch from block_time)::bigint, catalog_service.log_index_of(id), catalog_service.item_of(id)",
    };

    fn key(&self, _: &Block, keys: &mut Keys) -> Option<Uuid> {
        match self.reach {
            Reach::Key(key) => Some(keys.slot(&self.market, &key)),
            Reach::Maker { .. } => None,
        }
    }

    fn write(row: &Row<'_, Closing>, rows: &mut Rows) {
        let (fact, of_maker) = (row.fact, OfMaker::of(row.fact));
        rows.uuid(marketplace_id(fact.marketplace))
            .bytes(fact.market.as_slice());
        rows.optional(row.key, Rows::uuid);
        rows.optional(announced_key(fact), |rows, key| rows.bytes(key.as_slice()));
        rows.optional(of_maker.maker, |rows, maker| rows.bytes(maker.as_slice()));
        rows.optional(of_maker.nonces, Rows::text);
        rows.optional(of_maker.nonce, Rows::amount);
        rows.text(fact.reason.as_str()).optional(taken(fact), Rows::amount);
    }
}

/// Which orders of a maker a closing reaches, as the table holds it; nothing for one that reaches a single order.
#[derive(Default)]
pub(crate) struct OfMaker {
    pub(crate) maker: Option<Address>,
    pub(crate) nonces: Option<&'static str>,
    pub(crate) nonce: Option<U256>,
}

impl OfMaker {
    pub(crate) fn of(fact: &Closing) -> Self {
        let Reach::Maker { maker, nonces } = fact.reach else {
            return OfMaker::default();
        };
        let (nonces, nonce) = match nonces {
            Nonces::All => ("all", None),
            Nonces::Below(nonce) => ("below", Some(nonce)),
            Nonces::Exactly(nonce) => ("exactly", Some(nonce)),
        };
        OfMaker {
            maker: Some(maker),
            nonces: Some(nonces),
            nonce,
        }
    }
}

/// The key of the order, where the closing is announced.
fn announced_key(fact: &Closing) -> Option<B256> {
    match fact.reach {
        Reach::Key(key) if fact.name().is_some() => Some(key),
        _ => None,
    }
}

/// Units taken; nothing but a fill leaves some.
fn taken(fact: &Closing) -> Option<U256> {
    fact.quantity.filter(|_| fact.reason == ClosingReason::Filled)
}

/// What a closing states, as the table holds it and as consumers read it.
#[derive(Clone, Debug, Deserialize, Serialize, sqlx::FromRow)]
pub(crate) struct CancelMessage {
    marketplace: Option<String>,
    market: String,
    reason: String,
    order_key: Option<String>,
    maker: Option<String>,
    nonces: Option<String>,
    nonce: Option<String>,
}

impl Stated for CancelMessage {
    type Body = Self;

    fn contract(&self) -> &str {
        &self.market
    }

    fn body(self) -> Self {
        self
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
        let id = uuid!("00114b1a-e000-84c0-8000-0400c2d7a91b");
        let stored = json!({
            "fact_id": id, "kind": "cancel", "marketplace": "seaport", "market": "0x00000000000000adc04c56bf30ac9d3c0aaf14dc",
            "reason": "canceled", "order_key": null, "maker": "0x54be3a794282c030b15e43ae2bb182e14c409c5e",
            "nonces": "below", "nonce": "7",
            "tx_hash": "0x9d1c7b5e3f2a4d6c8b0a1e3f5d7c9b2a4e6f8d0c1b3a5e7f9d2c4b6a8e0f1d3c",
            "block_number": 18_133_422,
            "block_hash": "0x1b2d3f4e5a6c7b8d9eafb0c1d2e3f405162738495a6b7c8d9e0f1a2b3c4d5e6f",
            "block_time": "2023-09-14T16:00:35+00:00", "log_index": 304, "item": 0
        });
        let fact: MessageFact<CancelMessage> = serde_json::from_value(stored.clone()).unwrap();
        let message = fact.message(ChainId(1));
        assert_eq!(
            message.routing_key,
            "eip155.1.cancel.0x00000000000000adc04c56bf30ac9d3c0aaf14dc"
        );
        assert_eq!(
            String::from_utf8(message.body).unwrap(),
            documented_as("cancel").unwrap()
        );

        let message = retraction::<Closing>(stored, ChainId(1), retraction_of(id)).unwrap();
        let taken: Value = serde_json::from_slice(&message.body).unwrap();
        assert_eq!(
            (&taken["market"], &taken["nonce"]),
            (&json!("0x00000000000000adc04c56bf30ac9d3c0aaf14dc"), &json!("7"))
        );
        assert_eq!(taken["retracts"]["kind"], "cancel");
    }
}
