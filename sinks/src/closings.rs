//! Ends of orders, the facts of `order_closings`: written by COPY, moved into the temporary table `undone_closings` when taken back.
//!
//! Which orders they end follows from them and from the orders: `crate::settlement`.

use alloy_primitives::{Address, B256, U256};
use decoders::fact::{Closing, ClosingReason, Nonces, Reach};
use decoders::id::{Position, marketplace_id};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::batch::{Batch, Closed, Difference, Stored, difference};
use crate::copy::{Rows, timestamp};
use crate::error::SinkError;
use crate::tokens::address_text;

/// The kind under which a closing that is no fill is announced. A fill is announced as a sale.
pub(crate) const KIND: &str = "cancel";

/// Writes the closings of `batch`.
pub(crate) async fn apply(db: &mut PgConnection, batch: &Batch<'_>) -> Result<(), SinkError> {
    if batch.closings.is_empty() {
        return Ok(());
    }
    let mut rows = Rows::new(17, batch.closings.len(), 460);
    for row in &batch.closings {
        let (fact, of_maker) = (row.fact, OfMaker::of(row.fact));
        rows.row().text(&batch.chain_name).uuid(row.id);
        rows.uuid(marketplace_id(fact.marketplace)).hex(fact.market.as_slice());
        rows.optional(row.key, Rows::uuid);
        rows.optional(told_key(fact), |rows, key| rows.hex(key.as_slice()));
        rows.optional(of_maker.maker, |rows, maker| rows.hex(maker.as_slice()));
        rows.optional(of_maker.nonces, Rows::text);
        rows.optional(of_maker.nonce, Rows::amount);
        rows.text(fact.reason.as_str()).optional(taken(fact), Rows::amount);
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

/// Moves every closing of `chain` above `ancestor` to `undone_closings`; returns how many.
pub(crate) async fn revert_above(db: &mut PgConnection, chain: &str, ancestor: u64) -> Result<u64, SinkError> {
    prepare(db).await?;
    let taken = sqlx::query(TAKE_ABOVE)
        .bind(chain)
        .bind(Position::floor(ancestor + 1))
        .execute(&mut *db)
        .await?;
    Ok(taken.rows_affected())
}

/// Moves the closings of `chain` with these ids to `undone_closings`; returns how many.
pub(crate) async fn revert(db: &mut PgConnection, chain: &str, ids: &[Uuid]) -> Result<u64, SinkError> {
    prepare(db).await?;
    if ids.is_empty() {
        return Ok(0);
    }
    let taken = sqlx::query(TAKE).bind(chain).bind(ids).execute(db).await?;
    Ok(taken.rows_affected())
}

/// Tells what the closings of `undone_closings` said, for the retraction of those that were announced.
pub(crate) async fn retract(db: &mut PgConnection) -> Result<(), SinkError> {
    sqlx::query(RETRACT).execute(db).await?;
    Ok(())
}

/// Whether a closing is announced.
pub(crate) fn announced(row: &Closed<'_>) -> bool {
    row.fact.reason != ClosingReason::Filled
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
fn told_key(fact: &Closing) -> Option<B256> {
    match fact.reach {
        Reach::Key(key) if fact.reason != ClosingReason::Filled => Some(key),
        _ => None,
    }
}

/// Units taken; nothing but a fill leaves some.
fn taken(fact: &Closing) -> Option<U256> {
    fact.quantity.filter(|_| fact.reason == ClosingReason::Filled)
}

/// What a decoder decides of a closing, as the table holds it.
#[derive(PartialEq, Eq, sqlx::FromRow)]
pub(crate) struct Told {
    marketplace_id: Uuid,
    market: String,
    slot: Option<Uuid>,
    maker: Option<String>,
    nonces: Option<String>,
    nonce: Option<String>,
    reason: String,
    quantity: Option<String>,
    tx_hash: String,
}

impl Told {
    fn of(row: &Closed<'_>) -> Self {
        let (fact, of_maker) = (row.fact, OfMaker::of(row.fact));
        Told {
            marketplace_id: marketplace_id(fact.marketplace),
            market: address_text(&fact.market),
            slot: row.key,
            maker: of_maker.maker.as_ref().map(address_text),
            nonces: of_maker.nonces.map(str::to_owned),
            nonce: of_maker.nonce.map(|nonce| nonce.to_string()),
            reason: fact.reason.as_str().to_owned(),
            quantity: taken(fact).map(|quantity| quantity.to_string()),
            tx_hash: fact.tx_hash.to_string(),
        }
    }
}

/// Compares the closings stored of the blocks `low` to `high` with those of `batch`, which keeps what is to be written.
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
    Ok(difference(&stored, &mut batch.closings, Told::of))
}

async fn prepare(db: &mut PgConnection) -> Result<(), SinkError> {
    sqlx::query(CREATE_UNDONE).execute(&mut *db).await?;
    sqlx::query(EMPTY_UNDONE).execute(db).await?;
    Ok(())
}

const COPY: &str = "copy catalog_service.order_closings
    (chain_id, id, marketplace_id, market, slot, key, maker, nonces, nonce, reason, quantity,
     tx_hash, block_number, block_hash, block_time, log_index, item) from stdin (format binary)";

const CREATE_UNDONE: &str =
    "create temp table if not exists undone_closings (like catalog_service.order_closings) on commit delete rows";

const EMPTY_UNDONE: &str = "delete from undone_closings";

const TAKE_ABOVE: &str = "with taken as (
        delete from catalog_service.order_closings where chain_id = $1 and id >= $2 returning *
    )
    insert into undone_closings select * from taken";

const TAKE: &str = "with taken as (
        delete from catalog_service.order_closings where chain_id = $1 and id = any($2) returning *
    )
    insert into undone_closings select * from taken";

const STORED: &str = "select id, marketplace_id, market, slot, maker, nonces, nonce::text as nonce, reason,
           quantity::text as quantity, tx_hash
    from catalog_service.order_closings where chain_id = $1 and id >= $2 and id < $3";

// The fields publisher::cancel::CancelFact reads, from here or from the table.
const RETRACT: &str = "insert into undone (id, block_number, body)
    select c.id, c.block_number, to_jsonb(told)
    from undone_closings c
    left join catalog_service.marketplaces m on m.id = c.marketplace_id
    cross join lateral (
        select 'cancel' as kind, c.id as fact_id, m.name as marketplace, c.market, c.reason, c.key as order_key, c.maker,
               c.nonces, c.nonce::text as nonce, c.tx_hash, c.block_number, c.block_hash, c.block_time, c.log_index, c.item
    ) told
    where c.reason <> 'filled'";
