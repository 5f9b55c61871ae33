//! Transfers, the facts of `ownership_transfers`: written by COPY, moved into the temporary table `undone_transfers` when taken back.

use std::fmt::Write as _;

use decoders::id::Position;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::batch::{Batch, Difference, Moved, Stored, difference};
use crate::copy::{Rows, timestamp};
use crate::error::SinkError;
use crate::tokens::address_text;

/// Writes the transfers of `batch`.
pub(crate) async fn apply(db: &mut PgConnection, batch: &Batch<'_>) -> Result<(), SinkError> {
    let mut rows = Rows::new(16, batch.transfers.len(), 520);
    let mut token_id = String::new();
    for row in &batch.transfers {
        let fact = row.fact;
        token_id.clear();
        write!(token_id, "{}", fact.token).expect("writing to a string cannot fail");
        rows.row().text(&batch.chain_name).uuid(row.id);
        rows.hex(fact.contract.as_slice()).text(&token_id).uuid(row.key.token);
        rows.hex(fact.from.as_slice())
            .hex(fact.to.as_slice())
            .amount(fact.quantity);
        rows.text(fact.standard.as_str())
            .text(fact.kind.as_str())
            .hex(fact.tx_hash.as_slice());
        rows.bigint(fact.block_number.cast_signed())
            .hex(row.block.hash.as_slice())
            .time(timestamp(row.block.time));
        rows.integer(fact.log_index.cast_signed())
            .integer(fact.item.cast_signed());
    }
    rows.send(db, COPY).await?;
    Ok(())
}

/// Moves every transfer of `chain` above `ancestor` to `undone_transfers`; returns how many.
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

/// Moves the transfers of `chain` with these ids to `undone_transfers`; returns how many.
pub(crate) async fn revert(db: &mut PgConnection, chain: &str, ids: &[Uuid]) -> Result<u64, SinkError> {
    if ids.is_empty() {
        return Ok(0);
    }
    prepare(db).await?;
    let taken = sqlx::query(TAKE).bind(chain).bind(ids).execute(&mut *db).await?;
    sqlx::query(ANALYZE).execute(db).await?;
    Ok(taken.rows_affected())
}

/// Tells what the transfers of `undone_transfers` said, for their retraction.
pub(crate) async fn retract(db: &mut PgConnection) -> Result<(), SinkError> {
    sqlx::query(RETRACT).execute(db).await?;
    Ok(())
}

/// What a decoder decides of a transfer, as the table holds it.
#[derive(PartialEq, Eq, sqlx::FromRow)]
pub(crate) struct Told {
    contract: String,
    token_id: String,
    from_addr: String,
    to_addr: String,
    quantity: String,
    standard: String,
    kind: String,
    tx_hash: String,
}

impl Told {
    fn of(row: &Moved<'_>) -> Self {
        let fact = row.fact;
        Told {
            contract: address_text(&fact.contract),
            token_id: fact.token.to_string(),
            from_addr: address_text(&fact.from),
            to_addr: address_text(&fact.to),
            quantity: fact.quantity.to_string(),
            standard: fact.standard.as_str().to_owned(),
            kind: fact.kind.as_str().to_owned(),
            tx_hash: fact.tx_hash.to_string(),
        }
    }
}

/// Compares the transfers stored of the blocks `low` to `high` with those of `batch`, which keeps what is to be written.
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
    Ok(difference(&stored, &mut batch.transfers, Told::of))
}

async fn prepare(db: &mut PgConnection) -> Result<(), SinkError> {
    // Kept by the connection and emptied by every commit: no catalog rows are made per rewind.
    sqlx::query(CREATE_UNDONE).execute(&mut *db).await?;
    sqlx::query(EMPTY_UNDONE).execute(db).await?;
    Ok(())
}

const COPY: &str = "copy catalog_service.ownership_transfers
    (chain_id, id, contract, token_id, token, from_addr, to_addr, quantity, standard, kind, tx_hash,
     block_number, block_hash, block_time, log_index, item) from stdin (format binary)";

const CREATE_UNDONE: &str = "create temp table if not exists undone_transfers
    (like catalog_service.ownership_transfers) on commit delete rows";

const EMPTY_UNDONE: &str = "delete from undone_transfers";

const TAKE_ABOVE: &str = "with taken as (
        delete from catalog_service.ownership_transfers where chain_id = $1 and id >= $2 returning *
    )
    insert into undone_transfers select * from taken";

const TAKE: &str = "with taken as (
        delete from catalog_service.ownership_transfers where chain_id = $1 and id = any($2) returning *
    )
    insert into undone_transfers select * from taken";

const ANALYZE: &str = "analyze undone_transfers";

const STORED: &str =
    "select id, contract, token_id, from_addr, to_addr, quantity::text as quantity, standard, kind, tx_hash
    from catalog_service.ownership_transfers where chain_id = $1 and id >= $2 and id < $3";

const RETRACT: &str = "insert into undone (id, block_number, body)
    select id, block_number,
           jsonb_build_object('fact_id', id, 'kind', kind, 'contract', contract, 'token_id', token_id,
                              'from', from_addr, 'to', to_addr, 'quantity', quantity::text, 'standard', standard,
                              'tx_hash', tx_hash, 'log_index', log_index, 'item', item, 'block_number', block_number,
                              'block_hash', block_hash, 'block_time', block_time)
    from undone_transfers";
