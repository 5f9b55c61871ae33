//! Sales, the facts of `sale_facts`.

use decoders::block::Block;
use decoders::fact::Sale;
use decoders::id::marketplace_id;
use uuid::Uuid;

use crate::batch::{Keys, Sold, TokenKey};
use crate::copy::{NUMERIC, Rows, TEXT};
use crate::kind::{Kind, Table};
use crate::projections::wash::WASH_VERSION;

/// What a sale is called in messages.
pub(crate) const KIND: &str = "sale";

/// The ids of what a sale sells.
pub(crate) struct SaleKey {
    /// None where no available data states what was sold.
    pub(crate) token: Option<TokenKey>,
    /// Shared by all sales of one bundle; none for a single sale.
    bundle: Option<Uuid>,
}

impl Kind for Sale {
    type Key = SaleKey;

    const TABLE: Table = Table {
        columns: 33,
        copy: COPY,
        stored: STORED,
        make_undone: MAKE_UNDONE,
        take_above: TAKE_ABOVE,
        take: TAKE,
        analyze: ANALYZE,
        retract: RETRACT,
    };

    fn key(&self, block: &Block, keys: &mut Keys) -> SaleKey {
        SaleKey {
            token: self.token.map(|token| keys.token(self.contract, token)),
            bundle: self.bundle_id(keys.chain, block.hash),
        }
    }

    fn announced(&self) -> Option<&'static str> {
        Some(KIND)
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
        // Classified before this transaction ends.
        rows.integer(WASH_VERSION);
    }
}

/// What was sold.
fn add_thing(row: &Sold<'_>, rows: &mut Rows) {
    let fact = row.fact;
    rows.hex(fact.contract.as_slice())
        .optional(fact.token, Rows::decimal)
        .optional(row.key.token, |rows, key| rows.uuid(key.token));
    rows.text(fact.standard.as_str()).amount(fact.quantity);
}

/// Where, and between which parties.
fn add_trade(fact: &Sale, rows: &mut Rows) {
    rows.uuid(marketplace_id(fact.marketplace))
        .text(fact.version)
        .text(fact.side.as_str());
    rows.hex(fact.seller.as_slice())
        .hex(fact.buyer.as_slice())
        .hex(fact.maker.as_slice());
    rows.hex(fact.taker_raw.as_slice())
        .optional(fact.aggregator, |rows, router| rows.hex(router.as_slice()));
}

/// Its price, who received it, by which order.
fn add_payment(fact: &Sale, rows: &mut Rows) {
    rows.hex(fact.currency.as_slice())
        .optional(fact.price, Rows::amount)
        .text(fact.allocation.as_str())
        .optional(fact.seller_net, Rows::amount);
    rows.array(TEXT, fact.fees.iter(), |rows, fee| {
        rows.hex(fee.recipient.as_slice());
    });
    rows.array(NUMERIC, fact.fees.iter(), |rows, fee| {
        rows.amount(fee.amount);
    });
    rows.array(TEXT, fact.fees.iter(), |rows, fee| {
        rows.text(fee.kind.as_str());
    });
    rows.optional(fact.order_hash, |rows, hash| rows.hex(hash.as_slice()));
}

const COPY: &str = "copy catalog_service.sale_facts
    (chain_id, id, tx_hash, block_number, block_hash, block_time, log_index, item,
     contract, token_number, token, standard, quantity, marketplace_id, version, side,
     seller, buyer, maker, taker_raw, aggregator, currency_address, price_raw, price_allocation, seller_net_raw,
     fee_recipients, fee_amounts, fee_kinds, order_hash, bundle_id, bundle_size, flags, wash_version) from stdin (format binary)";

// All but the version of the rules that classified it.
const STORED: &str = "select chain_id, id, tx_hash, block_number, block_hash, block_time, log_index, item,
           contract, token_number, token, standard, quantity, marketplace_id, version, side,
           seller, buyer, maker, taker_raw, aggregator, currency_address, price_raw, price_allocation, seller_net_raw,
           fee_recipients, fee_amounts, fee_kinds, order_hash, bundle_id, bundle_size, flags
    from catalog_service.sale_facts where chain_id = $1 and id >= $2 and id < $3";

const MAKE_UNDONE: &str = "select indexer_service.make_undone('undone_sales', 'catalog_service.sale_facts')";

const TAKE_ABOVE: &str = "with taken as (
        delete from catalog_service.sale_facts where chain_id = $1 and id >= $2 returning *
    )
    insert into undone_sales select * from taken";

const TAKE: &str = "with taken as (
        delete from catalog_service.sale_facts where chain_id = $1 and id = any($2) returning *
    )
    insert into undone_sales select * from taken";

const ANALYZE: &str = "analyze undone_sales";

// The fields publisher::sale::SaleFact reads, from here or from the table.
const RETRACT: &str = "insert into undone (id, block_number, body)
    select s.id, s.block_number, to_jsonb(told)
    from undone_sales s
    left join catalog_service.marketplaces m on m.id = s.marketplace_id
    cross join lateral (
        select 'sale' as kind, s.id as fact_id, s.contract, s.token_number, s.standard, s.quantity::text as quantity,
               m.name as marketplace, s.version, s.side, s.seller, s.buyer, s.maker, s.taker_raw, s.aggregator,
               s.currency_address, s.price_raw::text as price_raw, s.price_allocation,
               s.seller_net_raw::text as seller_net_raw, s.fee_recipients, s.fee_amounts::text[] as fee_amounts, s.fee_kinds,
               s.order_hash, s.bundle_id, s.bundle_size, s.flags,
               s.tx_hash, s.block_number, s.block_hash, s.block_time, s.log_index, s.item
    ) told";
