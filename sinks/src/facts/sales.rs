//! Sales, the facts of `sale_facts`, and their messages. Documented in docs/MESSAGES.md.

use decoders::block::Block;
use decoders::fact::Sale;
use decoders::id::marketplace_id;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::copy::{BYTEA, NUMERIC, Rows, TEXT};
use crate::keys::{Keys, TokenKey};
use crate::kind::{Row, Stored, Table, table};
use crate::message::{Stated, optional_version};

/// Version of the rules of `crate::projections::wash`, kept with each sale they classified: a change of the rules raises it, and
/// [`recompute`](crate::projections::wash::recompute) does the rest.
pub const WASH_VERSION: i32 = 1;

/// A sale and what it sells.
pub(crate) type Sold<'a> = Row<'a, Sale>;

/// The ids of what a sale sells.
pub(crate) struct SaleKey {
    /// None where no available data states what was sold.
    pub(crate) token: Option<TokenKey>,
    /// Shared by all sales of one bundle; none for a single sale.
    bundle: Option<Uuid>,
}

impl Stored for Sale {
    type Key = SaleKey;

    type Message = SaleMessage;

    const TABLE: Table = table! {
        table: "catalog_service.sale_facts",
        undone: "undone_sales",
        columns: "contract, token_number, token, standard, quantity, marketplace_id, version, side, seller, buyer, maker, taker_raw,
                  aggregator, currency_address, price_raw, price_allocation, seller_net_raw, fee_recipients, fee_amounts, fee_kinds,
                  order_hash, bundle_id, bundle_size, flags",
        // The version of the rules that classify it.
        computed: ", wash_version",
        message: "'sale' as kind, catalog_service.hex(f.contract) as contract, f.token_number::text as token_number, f.standard,
                  f.quantity::text, m.name as marketplace, f.version, f.side, catalog_service.hex(f.seller) as seller,
                  catalog_service.hex(f.buyer) as buyer, catalog_service.hex(f.maker) as maker,
                  catalog_service.hex(f.taker_raw) as taker_raw, catalog_service.hex(f.aggregator) as aggregator,
                  catalog_service.hex(f.currency_address) as currency_address, f.price_raw::text, f.price_allocation,
                  f.seller_net_raw::text, catalog_service.hex_each(f.fee_recipients) as fee_recipients,
                  f.fee_amounts::text[] as fee_amounts, f.fee_kinds, catalog_service.hex(f.order_hash) as order_hash, f.bundle_id,
                  f.bundle_size, f.flags",
        join: "left join catalog_service.marketplaces m on m.id = f.marketplace_id",
        announced: "true",
        digest: "id, catalog_service.hex(contract), token_number, token, standard, quantity, marketplace_id, version, side,
                 catalog_service.hex(seller), catalog_service.hex(buyer), catalog_service.hex(maker), catalog_service.hex(taker_raw),
                 catalog_service.hex(aggregator), catalog_service.hex(currency_address), price_raw, price_allocation,
                 seller_net_raw, catalog_service.hex_each(fee_recipients), fee_amounts, fee_kinds,
                 catalog_service.hex(order_hash), bundle_id, bundle_size, flags, wash_flags, wash_version,
                 catalog_service.hex(tx_hash), catalog_service.block_of(id), catalog_service.hex(block_hash),
                 extract(epoch from block_time)::bigint, catalog_service.log_index_of(id), catalog_service.item_of(id)",
    };

    fn key(&self, block: &Block, keys: &mut Keys) -> SaleKey {
        SaleKey {
            token: self.token.map(|token| keys.token(self.contract, token)),
            bundle: self.bundle_id(keys.chain, block.hash),
        }
    }

    fn write(row: &Sold<'_>, rows: &mut Rows) {
        add_thing(row, rows);
        add_trade(row.fact, rows);
        add_payment(row.fact, rows);
        rows.optional(row.key.bundle, Rows::uuid)
            .integer(row.fact.bundle_size.cast_signed());
        rows.array(TEXT, row.fact.flags.iter(), |rows, flag| {
            rows.text(flag);
        });
        // Classified before this transaction ends, or the bulk load that it is part of.
        rows.integer(WASH_VERSION);
    }
}

/// What was sold.
fn add_thing(row: &Sold<'_>, rows: &mut Rows) {
    let fact = row.fact;
    rows.bytes(fact.contract.as_slice())
        .optional(fact.token, Rows::amount)
        .optional(row.key.token, |rows, key| rows.uuid(key.token));
    rows.text(fact.standard.as_str()).amount(fact.quantity);
}

/// Where, and between which parties.
fn add_trade(fact: &Sale, rows: &mut Rows) {
    rows.uuid(marketplace_id(fact.marketplace))
        .text(fact.version)
        .text(fact.side.as_str());
    rows.bytes(fact.seller.as_slice())
        .bytes(fact.buyer.as_slice())
        .bytes(fact.maker.as_slice());
    rows.bytes(fact.taker_raw.as_slice())
        .optional(fact.aggregator, |rows, router| rows.bytes(router.as_slice()));
}

/// Its price, who received it, by which order.
fn add_payment(fact: &Sale, rows: &mut Rows) {
    rows.bytes(fact.currency.as_slice())
        .optional(fact.price, Rows::amount)
        .text(fact.allocation.as_str())
        .optional(fact.seller_net, Rows::amount);
    rows.array(BYTEA, fact.fees.iter(), |rows, fee| {
        rows.bytes(fee.recipient.as_slice());
    });
    rows.array(NUMERIC, fact.fees.iter(), |rows, fee| {
        rows.amount(fee.amount);
    });
    rows.array(TEXT, fact.fees.iter(), |rows, fee| {
        rows.text(fee.kind.as_str());
    });
    rows.optional(fact.order_hash, |rows, hash| rows.bytes(hash.as_slice()));
}

/// What a sale states, as the table holds it.
#[derive(Clone, Debug, Deserialize, sqlx::FromRow)]
pub(crate) struct SaleMessage {
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
pub(crate) struct SaleBody {
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

impl Stated for SaleMessage {
    type Body = SaleBody;

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
            version: optional_version(self.version),
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

#[cfg(test)]
mod tests {
    use alloy_primitives::b256;
    use decoders::block::ChainId;
    use decoders::fact::FactKind as _;
    use decoders::id::{Position, retraction_of};
    use serde_json::{Value, json};

    use super::*;
    use crate::kind::retraction;
    use crate::message::{MessageFact, RETRACTION, documented};

    fn stored() -> Value {
        let position = Position {
            chain: ChainId(1),
            block_number: 21_925_176,
            block_hash: b256!("0x9e1d3f0f2ad9bb8d8ba8ae2d9ce2ff6fcd46c0a8c1c7a4b1f2d52b8db7c0aa11"),
            log_index: 286,
            item: 0,
            kind: Sale::RECORD,
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
        let sale: MessageFact<SaleMessage> = serde_json::from_value(stored()).unwrap();
        let message = sale.message(ChainId(1));
        assert_eq!(
            message.routing_key,
            "eip155.1.sale.0xfaab4e37eef54db9b3758f1b9df2e669bf89b60c"
        );
        assert_eq!(String::from_utf8(message.body).unwrap(), documented()[2]);
    }

    #[test]
    fn a_retraction_repeats_the_sale() {
        let sale: MessageFact<SaleMessage> = serde_json::from_value(stored()).unwrap();
        let (fact, id) = (sale.fact_id, retraction_of(sale.fact_id));
        let message = retraction::<Sale>(stored(), ChainId(1), id).unwrap();
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
