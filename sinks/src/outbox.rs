//! Messages owed: a lean row per fact, a row with its body per fact undone. The publisher pays them.

use sqlx::PgConnection;
use uuid::Uuid;

use crate::batch::{Batch, Row};
use crate::copy::{Rows, copy};
use crate::error::SinkError;
use crate::kind::Kind;
use crate::store::Store;

/// Owes an announcement for every fact of `batch`, in chain order.
pub(crate) async fn apply(db: &mut PgConnection, batch: &Batch<'_>) -> Result<(), SinkError> {
    let write = |fact: Owed, rows: &mut Rows| {
        rows.row()
            .text(&batch.chain_name)
            .bigint(fact.block_number.cast_signed());
        rows.text(fact.kind).uuid(fact.id);
    };
    copy(db, COPY, 4, owed(batch).into_iter(), write).await
}

/// Makes room for what [`revert`] retracts: every kind of fact tells in `undone` what it said.
pub(crate) async fn prepare(db: &mut PgConnection) -> Result<(), SinkError> {
    sqlx::query(MAKE_UNDONE).execute(db).await?;
    Ok(())
}

/// Owes a retraction for every fact of `undone`, newest first.
pub(crate) async fn revert(db: &mut PgConnection, chain: &str) -> Result<(), SinkError> {
    sqlx::query(RETRACT).bind(chain).execute(db).await?;
    Ok(())
}

/// A fact to be announced.
struct Owed {
    id: Uuid,
    block_number: u64,
    kind: &'static str,
}

/// The facts of every kind, in chain order.
fn owed(batch: &Batch<'_>) -> Vec<Owed> {
    let mut owed = Vec::with_capacity(batch.len());
    add(&mut owed, &batch.transfers);
    add(&mut owed, &batch.sales);
    add(&mut owed, &batch.orders);
    add(&mut owed, &batch.closings);
    // Each kind is in order already, which makes this a merge.
    owed.sort_by_key(|fact| fact.id);
    owed
}

fn add<F: Kind>(owed: &mut Vec<Owed>, rows: &[Row<'_, F>]) {
    let announced = |row: &Row<'_, F>| {
        Some(Owed {
            id: row.id,
            block_number: row.block.number,
            kind: row.fact.announced()?,
        })
    };
    owed.extend(rows.iter().filter_map(announced));
}

/// Messages owed, at most: numbers given to transactions that failed count too.
pub async fn depth(store: &Store) -> Result<i64, SinkError> {
    Ok(sqlx::query_scalar(DEPTH).fetch_one(&store.pool).await?)
}

const DEPTH: &str = "select coalesce(max(seq) - min(seq) + 1, 0) from indexer_service.outbox";

const COPY: &str = "copy indexer_service.outbox (chain_id, block_number, kind, fact_id) from stdin (format binary)";

const MAKE_UNDONE: &str =
    "create temp table if not exists undone (id uuid, block_number bigint, body jsonb) on commit delete rows";

// The id is decoders::id::retraction_of: the kind, the second digit of the last group, is sixteen less that of the fact.
const RETRACT: &str = "insert into indexer_service.outbox (chain_id, block_number, kind, fact_id, body)
    select $1, block_number, 'retraction',
           overlay(id::text placing translate(substr(id::text, 26, 1), '1234', 'fedc') from 26 for 1)::uuid, body
    from undone order by id desc";
