//! Orders, the facts of `order_facts`. How they ended follows from them and from the closings: `crate::projections::settlement`.

use decoders::block::Block;
use decoders::fact::Order;
use decoders::id::marketplace_id;
use uuid::Uuid;

use crate::batch::{Keys, Row};
use crate::copy::{Rows, timestamp};
use crate::kind::{Kind, Table};

/// The ids of what an order is for, and of its slot.
pub(crate) struct OrderKey {
    collection: Uuid,
    /// None where any token of the collection, or any of several, will do.
    token: Option<Uuid>,
    /// Shared by all orders of one key at one market, of which the latest stands.
    pub(crate) slot: Uuid,
}

impl Kind for Order {
    type Key = OrderKey;

    const TABLE: Table = Table {
        columns: 30,
        copy: COPY,
        stored: STORED,
        make_undone: MAKE_UNDONE,
        take_above: TAKE_ABOVE,
        take: TAKE,
        analyze: ANALYZE,
        retract: RETRACT,
    };

    fn key(&self, _: &Block, keys: &mut Keys) -> OrderKey {
        OrderKey {
            collection: keys.collection(self.contract),
            token: self.token.map(|token| keys.token(self.contract, token).token),
            slot: keys.slot(&self.market, &self.key),
        }
    }

    fn announced(&self) -> Option<&'static str> {
        Some(self.kind.as_str())
    }

    fn write(row: &Row<'_, Order>, rows: &mut Rows) {
        let (fact, key) = (row.fact, &row.key);
        rows.text(fact.kind.as_str());
        rows.uuid(marketplace_id(fact.marketplace)).text(fact.version);
        rows.hex(fact.market.as_slice()).hex(fact.key.as_slice());
        rows.boolean(fact.hashed).uuid(key.slot).hex(fact.maker.as_slice());
        rows.uuid(key.collection).hex(fact.contract.as_slice());
        rows.optional(fact.token, Rows::decimal);
        rows.optional(key.token, Rows::uuid).text(fact.standard.as_str());
        rows.amount(fact.quantity).hex(fact.currency.as_slice());
        rows.optional(fact.price, Rows::amount);
        rows.optional(fact.starts_at.map(timestamp), Rows::time);
        rows.optional(fact.expires_at.map(timestamp), Rows::time);
        rows.optional(fact.taker, |rows, taker| rows.hex(taker.as_slice()));
        rows.optional(fact.nonce, Rows::amount);
        rows.boolean(fact.escrowed).boolean(fact.auction);
    }
}

const COPY: &str = "copy catalog_service.order_facts
    (chain_id, id, tx_hash, block_number, block_hash, block_time, log_index, item,
     kind, marketplace_id, version, market, key, hashed, slot, maker, collection, contract,
     token_number, token, standard, quantity, currency_address, price_raw, starts_at, expires_at, taker, nonce, escrowed, auction) from stdin (format binary)";

const STORED: &str = "select chain_id, id, tx_hash, block_number, block_hash, block_time, log_index, item,
           kind, marketplace_id, version, market, key, hashed, slot, maker, collection, contract,
           token_number, token, standard, quantity, currency_address, price_raw, starts_at, expires_at, taker, nonce, escrowed, auction
    from catalog_service.order_facts where chain_id = $1 and id >= $2 and id < $3";

const MAKE_UNDONE: &str = "select indexer_service.make_undone('undone_orders', 'catalog_service.order_facts')";

const TAKE_ABOVE: &str = "with taken as (
        delete from catalog_service.order_facts where chain_id = $1 and id >= $2 returning *
    )
    insert into undone_orders select * from taken";

const TAKE: &str = "with taken as (
        delete from catalog_service.order_facts where chain_id = $1 and id = any($2) returning *
    )
    insert into undone_orders select * from taken";

const ANALYZE: &str = "analyze undone_orders";

// The fields publisher::order::OrderFact reads, from here or from the table.
const RETRACT: &str = "insert into undone (id, block_number, body)
    select o.id, o.block_number, to_jsonb(told)
    from undone_orders o
    left join catalog_service.marketplaces m on m.id = o.marketplace_id
    cross join lateral (
        select o.kind, o.id as fact_id, o.contract, o.token_number, o.standard, o.quantity::text as quantity,
               m.name as marketplace, o.version, o.market, o.key as order_key, o.hashed, o.maker, o.taker,
               o.currency_address, o.price_raw::text as price_raw, o.starts_at, o.expires_at, o.nonce::text as nonce,
               o.escrowed, o.auction, o.tx_hash, o.block_number, o.block_hash, o.block_time, o.log_index, o.item
    ) told";
