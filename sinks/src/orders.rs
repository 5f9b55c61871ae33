//! Orders, the facts of `order_facts`: written by COPY, moved into the temporary table `undone_orders` when taken back.
//!
//! How they ended follows from them and from the closings: `crate::settlement`.

use chrono::{DateTime, Utc};
use decoders::id::{Position, marketplace_id};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::batch::{Batch, Difference, Opened, Stored, difference};
use crate::copy::{Rows, timestamp};
use crate::error::SinkError;
use crate::tokens::address_text;

/// Writes the orders of `batch`.
pub(crate) async fn apply(db: &mut PgConnection, batch: &Batch<'_>) -> Result<(), SinkError> {
    if batch.orders.is_empty() {
        return Ok(());
    }
    let mut rows = Rows::new(30, batch.orders.len(), 900);
    for row in &batch.orders {
        let (fact, key) = (row.fact, row.key);
        rows.row().text(&batch.chain_name).uuid(row.id).text(fact.kind.as_str());
        rows.uuid(marketplace_id(fact.marketplace)).text(fact.version);
        rows.hex(fact.market.as_slice()).hex(fact.key.as_slice());
        rows.boolean(fact.hashed).uuid(key.slot).hex(fact.maker.as_slice());
        rows.uuid(key.collection).hex(fact.contract.as_slice());
        rows.optional(fact.token, |rows, token| rows.text(&token.to_string()));
        rows.optional(key.token, Rows::uuid).text(fact.standard.as_str());
        rows.amount(fact.quantity).hex(fact.currency.as_slice());
        rows.optional(fact.price, Rows::amount);
        rows.optional(fact.starts_at.map(timestamp), Rows::time);
        rows.optional(fact.expires_at.map(timestamp), Rows::time);
        rows.optional(fact.taker, |rows, taker| rows.hex(taker.as_slice()));
        rows.optional(fact.nonce, Rows::amount);
        rows.boolean(fact.escrowed).boolean(fact.auction);
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

/// Moves every order of `chain` above `ancestor` to `undone_orders`; returns how many.
pub(crate) async fn revert_above(db: &mut PgConnection, chain: &str, ancestor: u64) -> Result<u64, SinkError> {
    prepare(db).await?;
    let taken = sqlx::query(TAKE_ABOVE)
        .bind(chain)
        .bind(Position::floor(ancestor + 1))
        .execute(&mut *db)
        .await?;
    Ok(taken.rows_affected())
}

/// Moves the orders of `chain` with these ids to `undone_orders`; returns how many.
pub(crate) async fn revert(db: &mut PgConnection, chain: &str, ids: &[Uuid]) -> Result<u64, SinkError> {
    prepare(db).await?;
    if ids.is_empty() {
        return Ok(0);
    }
    let taken = sqlx::query(TAKE).bind(chain).bind(ids).execute(db).await?;
    Ok(taken.rows_affected())
}

/// Tells what the orders of `undone_orders` said, for their retraction.
pub(crate) async fn retract(db: &mut PgConnection) -> Result<(), SinkError> {
    sqlx::query(RETRACT).execute(db).await?;
    Ok(())
}

/// What a decoder decides of an order, as the table holds it.
#[derive(PartialEq, Eq, sqlx::FromRow)]
pub(crate) struct Told {
    kind: String,
    marketplace_id: Uuid,
    version: String,
    market: String,
    key: String,
    hashed: bool,
    maker: String,
    contract: String,
    token_number: Option<String>,
    standard: String,
    quantity: String,
    currency_address: String,
    price_raw: Option<String>,
    starts_at: Option<DateTime<Utc>>,
    expires_at: Option<DateTime<Utc>>,
    taker: Option<String>,
    nonce: Option<String>,
    escrowed: bool,
    auction: bool,
    tx_hash: String,
}

impl Told {
    fn of(row: &Opened<'_>) -> Self {
        let fact = row.fact;
        Told {
            kind: fact.kind.as_str().to_owned(),
            marketplace_id: marketplace_id(fact.marketplace),
            version: fact.version.to_owned(),
            market: address_text(&fact.market),
            key: fact.key.to_string(),
            hashed: fact.hashed,
            maker: address_text(&fact.maker),
            contract: address_text(&fact.contract),
            token_number: fact.token.map(|token| token.to_string()),
            standard: fact.standard.as_str().to_owned(),
            quantity: fact.quantity.to_string(),
            currency_address: address_text(&fact.currency),
            price_raw: fact.price.map(|price| price.to_string()),
            starts_at: fact.starts_at.map(timestamp),
            expires_at: fact.expires_at.map(timestamp),
            taker: fact.taker.as_ref().map(address_text),
            nonce: fact.nonce.map(|nonce| nonce.to_string()),
            escrowed: fact.escrowed,
            auction: fact.auction,
            tx_hash: fact.tx_hash.to_string(),
        }
    }
}

/// Compares the orders stored of the blocks `low` to `high` with those of `batch`, which keeps what is to be written.
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
    Ok(difference(&stored, &mut batch.orders, Told::of))
}

async fn prepare(db: &mut PgConnection) -> Result<(), SinkError> {
    sqlx::query(CREATE_UNDONE).execute(&mut *db).await?;
    sqlx::query(EMPTY_UNDONE).execute(db).await?;
    Ok(())
}

const COPY: &str = "copy catalog_service.order_facts
    (chain_id, id, kind, marketplace_id, version, market, key, hashed, slot, maker, collection, contract,
     token_number, token, standard, quantity, currency_address, price_raw, starts_at, expires_at, taker, nonce, escrowed, auction,
     tx_hash, block_number, block_hash, block_time, log_index, item) from stdin (format binary)";

const CREATE_UNDONE: &str =
    "create temp table if not exists undone_orders (like catalog_service.order_facts) on commit delete rows";

const EMPTY_UNDONE: &str = "delete from undone_orders";

const TAKE_ABOVE: &str = "with taken as (
        delete from catalog_service.order_facts where chain_id = $1 and id >= $2 returning *
    )
    insert into undone_orders select * from taken";

const TAKE: &str = "with taken as (
        delete from catalog_service.order_facts where chain_id = $1 and id = any($2) returning *
    )
    insert into undone_orders select * from taken";

const STORED: &str =
    "select id, kind, marketplace_id, version, market, key, hashed, maker, contract, token_number, standard,
           quantity::text as quantity, currency_address, price_raw::text as price_raw, starts_at, expires_at, taker,
           nonce::text as nonce, escrowed, auction, tx_hash
    from catalog_service.order_facts where chain_id = $1 and id >= $2 and id < $3";

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
