//! The facts: `ownership_transfers`, written by COPY and moved into the temporary table `undone` when taken back.

use std::fmt::Write as _;

use decoders::id::Position;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::batch::Batch;
use crate::copy::{Rows, timestamp};
use crate::error::SinkError;

/// Writes the facts of `batch`.
pub(crate) async fn apply(db: &mut PgConnection, batch: &Batch<'_>) -> Result<(), SinkError> {
    let mut rows = Rows::new(16, batch.rows.len(), 520);
    let mut token_id = String::new();
    for row in &batch.rows {
        let fact = row.fact;
        token_id.clear();
        write!(token_id, "{}", fact.token).expect("writing to a string cannot fail");
        rows.row().text(&batch.chain_name).uuid(row.id);
        rows.hex(fact.contract.as_slice()).text(&token_id).uuid(row.token);
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

/// Moves every fact of `chain` above `ancestor` to `undone`; returns how many.
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

/// Moves the facts of `chain` with these ids to `undone`; returns how many.
pub(crate) async fn revert(db: &mut PgConnection, chain: &str, ids: &[Uuid]) -> Result<u64, SinkError> {
    prepare(db).await?;
    let taken = sqlx::query(TAKE).bind(chain).bind(ids).execute(&mut *db).await?;
    sqlx::query(ANALYZE).execute(db).await?;
    Ok(taken.rows_affected())
}

/// A stored fact as far as a decoder decides it.
#[derive(sqlx::FromRow)]
pub(crate) struct Stored {
    pub(crate) id: Uuid,
    contract: String,
    token_id: String,
    from_addr: String,
    to_addr: String,
    quantity: String,
    standard: String,
    kind: String,
    tx_hash: String,
}

impl Stored {
    /// Whether the fact says what `row` says.
    pub(crate) fn same(&self, row: &crate::batch::Row<'_>) -> bool {
        let fact = row.fact;
        self.standard == fact.standard.as_str()
            && self.kind == fact.kind.as_str()
            && self.contract == format!("{:#x}", fact.contract)
            && self.token_id == fact.token.to_string()
            && self.from_addr == format!("{:#x}", fact.from)
            && self.to_addr == format!("{:#x}", fact.to)
            && self.quantity == fact.quantity.to_string()
            && self.tx_hash == format!("{:#x}", fact.tx_hash)
    }
}

/// The stored facts of blocks `low` to `high`.
pub(crate) async fn stored(db: &mut PgConnection, chain: &str, low: u64, high: u64) -> Result<Vec<Stored>, SinkError> {
    let (floor, ceiling) = (Position::floor(low), Position::floor(high + 1));
    Ok(sqlx::query_as(STORED)
        .bind(chain)
        .bind(floor)
        .bind(ceiling)
        .fetch_all(db)
        .await?)
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

const CREATE_UNDONE: &str = "create temp table if not exists undone
    (like catalog_service.ownership_transfers) on commit delete rows";

const EMPTY_UNDONE: &str = "delete from undone";

const TAKE_ABOVE: &str = "with taken as (
        delete from catalog_service.ownership_transfers where chain_id = $1 and id >= $2 returning *
    )
    insert into undone select * from taken";

const TAKE: &str = "with taken as (
        delete from catalog_service.ownership_transfers where chain_id = $1 and id = any($2) returning *
    )
    insert into undone select * from taken";

const ANALYZE: &str = "analyze undone";

const STORED: &str =
    "select id, contract, token_id, from_addr, to_addr, quantity::text as quantity, standard, kind, tx_hash
    from catalog_service.ownership_transfers where chain_id = $1 and id >= $2 and id < $3";
