//! What consumers receive of a sale. Documented in docs/MESSAGES.md.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::message::{Told, told_version};
use crate::facts::sales::KIND;

/// What a sale states, as the table holds it.
#[derive(Clone, Debug, Deserialize, sqlx::FromRow)]
pub(super) struct Sale {
    contract: String,
    token_number: Option<String>,
    standard: String,
    quantity: String,
    marketplace: Option<String>,
    version: String,
    side: String,
    seller: String,
    buyer: String,
    maker: String,
    taker_raw: String,
    aggregator: Option<String>,
    currency_address: String,
    price_raw: Option<String>,
    price_allocation: String,
    seller_net_raw: Option<String>,
    fee_recipients: Vec<String>,
    fee_amounts: Vec<String>,
    fee_kinds: Vec<String>,
    order_hash: Option<String>,
    bundle_id: Option<Uuid>,
    bundle_size: i32,
    flags: Vec<String>,
}

/// A part of the price that the seller did not get.
#[derive(Serialize)]
struct FeeBody {
    recipient: String,
    amount: String,
    kind: String,
}

/// What was sold together.
#[derive(Serialize)]
struct BundleBody {
    id: Uuid,
    size: i32,
}

/// What a sale states, as consumers read it.
#[derive(Serialize)]
pub(super) struct SaleBody {
    contract: String,
    token_id: Option<String>,
    standard: String,
    quantity: String,
    marketplace: Option<String>,
    version: Option<String>,
    side: String,
    seller: String,
    buyer: String,
    maker: String,
    taker_raw: String,
    aggregator: Option<String>,
    currency: String,
    price: Option<String>,
    price_allocation: String,
    fees: Vec<FeeBody>,
    seller_net: Option<String>,
    order_hash: Option<String>,
    bundle: Option<BundleBody>,
    flags: Vec<String>,
}

impl Told for Sale {
    type Body = SaleBody;

    const KINDS: &'static [&'static str] = &[KIND];

    const READ: &'static str = READ;

    fn contract(&self) -> &str {
        &self.contract
    }

    fn body(self) -> SaleBody {
        let fees = self
            .fee_recipients
            .into_iter()
            .zip(self.fee_amounts)
            .zip(self.fee_kinds);
        SaleBody {
            contract: self.contract,
            token_id: self.token_number,
            standard: self.standard,
            quantity: self.quantity,
            marketplace: self.marketplace,
            version: told_version(self.version),
            side: self.side,
            seller: self.seller,
            buyer: self.buyer,
            maker: self.maker,
            taker_raw: self.taker_raw,
            aggregator: self.aggregator,
            currency: self.currency_address,
            price: self.price_raw,
            price_allocation: self.price_allocation,
            fees: fees
                .map(|((recipient, amount), kind)| FeeBody {
                    recipient,
                    amount,
                    kind,
                })
                .collect(),
            seller_net: self.seller_net_raw,
            order_hash: self.order_hash,
            bundle: self.bundle_id.map(|id| BundleBody {
                id,
                size: self.bundle_size,
            }),
            flags: self.flags,
        }
    }
}

const READ: &str = "select s.id as fact_id, 'sale' as kind, s.contract::text, s.token_number, s.standard, s.quantity::text, m.name as marketplace,
           s.version, s.side, s.seller::text, s.buyer::text, s.maker::text, s.taker_raw::text, s.aggregator::text,
           s.currency_address::text, s.price_raw::text, s.price_allocation, s.seller_net_raw::text,
           s.fee_recipients, s.fee_amounts::text[] as fee_amounts, s.fee_kinds, s.order_hash::text, s.bundle_id, s.bundle_size,
           s.flags, s.tx_hash::text, s.block_number, s.block_hash::text, s.block_time, s.log_index, s.item
    from catalog_service.sale_facts s
    left join catalog_service.marketplaces m on m.id = s.marketplace_id
    where s.chain_id = $1 and s.id = any($2)";

#[cfg(test)]
mod tests {
    use alloy_primitives::b256;
    use decoders::block::ChainId;
    use decoders::id::{Position, RecordKind, retraction_of};
    use serde_json::{Value, json};

    use super::super::message::{Fact, RETRACTION, documented, retraction};
    use super::*;

    fn told() -> Value {
        let position = Position {
            chain: ChainId(1),
            block_number: 21_925_176,
            block_hash: b256!("0x9e1d3f0f2ad9bb8d8ba8ae2d9ce2ff6fcd46c0a8c1c7a4b1f2d52b8db7c0aa11"),
            log_index: 286,
            item: 0,
            kind: RecordKind::Sale,
        };
        json!({
            "kind": "sale", "fact_id": position.id(), "contract": "0xfaab4e37eef54db9b3758f1b9df2e669bf89b60c",
            "token_number": "221", "standard": "erc721", "quantity": "1", "marketplace": "seaport", "version": "1.6",
            "side": "listing", "seller": "0x70eae0a31dd567683c53db7f5404b3c6fb3566d0",
            "buyer": "0xe140d51c33ca507357447d260762d2c296d0ee7d", "maker": "0x70eae0a31dd567683c53db7f5404b3c6fb3566d0",
            "taker_raw": "0xe140d51c33ca507357447d260762d2c296d0ee7d", "aggregator": null,
            "currency_address": "0x0000000000000000000000000000000000000000", "price_raw": "25000000000000000",
            "price_allocation": "exact", "seller_net_raw": "24875000000000000",
            "fee_recipients": ["0x0000a26b00c1f0df003000390027140000faa719"], "fee_amounts": ["125000000000000"],
            "fee_kinds": ["marketplace"],
            "order_hash": "0x424525b7852caef8bfccdda4c968dfae368d13fd76cceeffe79e8bc622d8ebdc",
            "bundle_id": null, "bundle_size": 1, "flags": [],
            "tx_hash": "0xb760d9beb30d860c5cdeb1d45436119272a0a61ef5c7c30c0d7daa2df38b8e39",
            "block_number": 21_925_176, "block_hash": position.block_hash, "block_time": "2025-02-25T19:11:47+00:00",
            "log_index": 286, "item": 0
        })
    }

    #[test]
    fn the_documentation_shows_what_is_sent() {
        let sale: Fact<Sale> = serde_json::from_value(told()).unwrap();
        let message = sale.message(ChainId(1));
        assert_eq!(
            message.routing_key,
            "eip155.1.sale.0xfaab4e37eef54db9b3758f1b9df2e669bf89b60c"
        );
        assert_eq!(String::from_utf8(message.body).unwrap(), documented()[2]);
    }

    #[test]
    fn a_retraction_repeats_the_sale() {
        let sale: Fact<Sale> = serde_json::from_value(told()).unwrap();
        let (fact, id) = (sale.fact_id, retraction_of(sale.fact_id));
        let message = retraction(told(), ChainId(1), id).unwrap();
        let mut expected: Value = serde_json::from_slice(&sale.message(ChainId(1)).body).unwrap();
        expected["id"] = json!(id);
        expected["kind"] = json!(RETRACTION);
        expected["retracts"] = json!({ "id": fact, "kind": "sale" });
        let body: Value = serde_json::from_slice(&message.body).unwrap();
        assert_eq!(body, expected);
        assert_eq!(
            message.routing_key,
            "eip155.1.retraction.0xfaab4e37eef54db9b3758f1b9df2e669bf89b60c"
        );
    }
}
