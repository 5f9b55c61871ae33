//! Sales, the facts of `sale_facts`: written by COPY, moved into the temporary table `undone_sales` when taken back.

use decoders::block::ChainId;
use decoders::fact::Sale;
use decoders::id::{Position, marketplace_id};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::batch::{Batch, Difference, Sold, Stored, difference};
use crate::copy::{NUMERIC, Rows, TEXT, timestamp};
use crate::error::SinkError;
use crate::tokens::address_text;

/// What a sale is called in messages.
pub(crate) const KIND: &str = "sale";

/// Writes the sales of `batch`.
pub(crate) async fn apply(db: &mut PgConnection, batch: &Batch<'_>) -> Result<(), SinkError> {
    let mut rows = Rows::new(32, batch.sales.len(), 1_200);
    for row in &batch.sales {
        rows.row().text(&batch.chain_name).uuid(row.id);
        add_thing(&mut rows, row);
        add_trade(&mut rows, row);
        add_payment(&mut rows, row, batch.chain);
        let fact = row.fact;
        rows.hex(fact.tx_hash.as_slice())
            .bigint(fact.block_number.cast_signed())
            .hex(row.block.hash.as_slice())
            .time(timestamp(row.block.time));
        rows.integer(fact.log_index.cast_signed())
            .integer(fact.item.cast_signed());
    }
    rows.send(db, COPY).await?;
    Ok(())
}

/// What was sold.
fn add_thing(rows: &mut Rows, row: &Sold<'_>) {
    let fact = row.fact;
    rows.hex(fact.contract.as_slice())
        .optional(fact.token, |rows, token| rows.text(&token.to_string()))
        .optional(row.key, |rows, key| rows.uuid(key.token));
    rows.text(fact.standard.as_str()).amount(fact.quantity);
}

/// Where, and between whom.
fn add_trade(rows: &mut Rows, row: &Sold<'_>) {
    let fact = row.fact;
    rows.uuid(marketplace_id(fact.marketplace))
        .text(fact.version)
        .text(fact.side.as_str());
    rows.hex(fact.seller.as_slice())
        .hex(fact.buyer.as_slice())
        .hex(fact.maker.as_slice());
    rows.hex(fact.taker_raw.as_slice())
        .optional(fact.aggregator, |rows, router| rows.hex(router.as_slice()));
}

/// What was paid for it, to whom, and what is to be known of it.
fn add_payment(rows: &mut Rows, row: &Sold<'_>, chain: ChainId) {
    let fact = row.fact;
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
    let bundle = fact.bundle_id(chain, row.block.hash);
    rows.optional(fact.order_hash, |rows, hash| rows.hex(hash.as_slice()))
        .optional(bundle, Rows::uuid)
        .integer(fact.bundle_size.cast_signed());
    rows.array(TEXT, fact.flags.iter(), |rows, flag| {
        rows.text(flag);
    });
}

/// Moves every sale of `chain` above `ancestor` to `undone_sales`; returns how many.
pub(crate) async fn revert_above(db: &mut PgConnection, chain: &str, ancestor: u64) -> Result<u64, SinkError> {
    prepare(db).await?;
    let taken = sqlx::query(TAKE_ABOVE)
        .bind(chain)
        .bind(Position::floor(ancestor + 1))
        .execute(&mut *db)
        .await?;
    sqlx::query(ANALYZE).execute(db).await?;
    Ok(taken.rows_affected())
}

/// Moves the sales of `chain` with these ids to `undone_sales`; returns how many.
pub(crate) async fn revert(db: &mut PgConnection, chain: &str, ids: &[Uuid]) -> Result<u64, SinkError> {
    if ids.is_empty() {
        return Ok(0);
    }
    prepare(db).await?;
    let taken = sqlx::query(TAKE).bind(chain).bind(ids).execute(&mut *db).await?;
    sqlx::query(ANALYZE).execute(db).await?;
    Ok(taken.rows_affected())
}

/// Tells what the sales of `undone_sales` said, for their retraction.
pub(crate) async fn retract(db: &mut PgConnection) -> Result<(), SinkError> {
    sqlx::query(RETRACT).execute(db).await?;
    Ok(())
}

/// What a decoder decides of a sale, as the table holds it.
#[derive(PartialEq, Eq, sqlx::FromRow)]
pub(crate) struct Told {
    contract: String,
    token_number: Option<String>,
    standard: String,
    quantity: String,
    marketplace_id: Uuid,
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
    tx_hash: String,
}

impl Told {
    fn of(row: &Sold<'_>, chain: ChainId) -> Self {
        let fact: &Sale = row.fact;
        Told {
            contract: address_text(&fact.contract),
            token_number: fact.token.map(|token| token.to_string()),
            standard: fact.standard.as_str().to_owned(),
            quantity: fact.quantity.to_string(),
            marketplace_id: marketplace_id(fact.marketplace),
            version: fact.version.to_owned(),
            side: fact.side.as_str().to_owned(),
            seller: address_text(&fact.seller),
            buyer: address_text(&fact.buyer),
            maker: address_text(&fact.maker),
            taker_raw: address_text(&fact.taker_raw),
            aggregator: fact.aggregator.as_ref().map(address_text),
            currency_address: address_text(&fact.currency),
            price_raw: fact.price.map(|price| price.to_string()),
            price_allocation: fact.allocation.as_str().to_owned(),
            seller_net_raw: fact.seller_net.map(|net| net.to_string()),
            fee_recipients: fact.fees.iter().map(|fee| address_text(&fee.recipient)).collect(),
            fee_amounts: fact.fees.iter().map(|fee| fee.amount.to_string()).collect(),
            fee_kinds: fact.fees.iter().map(|fee| fee.kind.as_str().to_owned()).collect(),
            order_hash: fact.order_hash.map(|hash| hash.to_string()),
            bundle_id: fact.bundle_id(chain, row.block.hash),
            bundle_size: fact.bundle_size.cast_signed(),
            flags: fact.flags.iter().map(|flag| (*flag).to_owned()).collect(),
            tx_hash: fact.tx_hash.to_string(),
        }
    }
}

/// Compares the sales stored of the blocks `low` to `high` with those of `batch`, which keeps what is to be written.
pub(crate) async fn compare(
    db: &mut PgConnection,
    batch: &mut Batch<'_>,
    low: u64,
    high: u64,
) -> Result<Difference, SinkError> {
    let stored: Vec<Stored<Told>> = sqlx::query_as(STORED)
        .bind(&batch.chain_name)
        .bind(Position::floor(low))
        .bind(Position::floor(high + 1))
        .fetch_all(db)
        .await?;
    let chain = batch.chain;
    Ok(difference(&stored, &mut batch.sales, |row| Told::of(row, chain)))
}

async fn prepare(db: &mut PgConnection) -> Result<(), SinkError> {
    sqlx::query(CREATE_UNDONE).execute(&mut *db).await?;
    sqlx::query(EMPTY_UNDONE).execute(db).await?;
    Ok(())
}

const COPY: &str = "copy catalog_service.sale_facts
    (chain_id, id, contract, token_number, token, standard, quantity, marketplace_id, version, side,
     seller, buyer, maker, taker_raw, aggregator, currency_address, price_raw, price_allocation, seller_net_raw,
     fee_recipients, fee_amounts, fee_kinds, order_hash, bundle_id, bundle_size, flags,
     tx_hash, block_number, block_hash, block_time, log_index, item) from stdin (format binary)";

const CREATE_UNDONE: &str = "create temp table if not exists undone_sales
    (like catalog_service.sale_facts) on commit delete rows";

const EMPTY_UNDONE: &str = "delete from undone_sales";

const TAKE_ABOVE: &str = "with taken as (
        delete from catalog_service.sale_facts where chain_id = $1 and id >= $2 returning *
    )
    insert into undone_sales select * from taken";

const TAKE: &str = "with taken as (
        delete from catalog_service.sale_facts where chain_id = $1 and id = any($2) returning *
    )
    insert into undone_sales select * from taken";

const ANALYZE: &str = "analyze undone_sales";

const STORED: &str = "select id, contract, token_number, standard, quantity::text as quantity, marketplace_id, version, side,
           seller, buyer, maker, taker_raw, aggregator, currency_address, price_raw::text as price_raw, price_allocation,
           seller_net_raw::text as seller_net_raw, fee_recipients, fee_amounts::text[] as fee_amounts, fee_kinds,
           order_hash, bundle_id, bundle_size, flags, tx_hash
    from catalog_service.sale_facts where chain_id = $1 and id >= $2 and id < $3";

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
