//! Messages owed: a lean row per fact, a row with its body per fact undone. The publisher pays them.

use sqlx::PgConnection;

use crate::batch::Batch;
use crate::copy::Rows;
use crate::error::SinkError;
use crate::store::Store;

/// Owes an announcement for every fact of `batch`, in chain order.
pub(crate) async fn apply(db: &mut PgConnection, batch: &Batch<'_>) -> Result<(), SinkError> {
    let mut rows = Rows::new(4, batch.rows.len(), 80);
    for row in &batch.rows {
        rows.row()
            .text(&batch.chain_name)
            .bigint(row.fact.block_number.cast_signed());
        rows.text(row.fact.kind.as_str()).uuid(row.id);
    }
    rows.send(db, COPY).await?;
    Ok(())
}

/// Owes a retraction for every fact of `undone`, newest first.
pub(crate) async fn revert(db: &mut PgConnection) -> Result<(), SinkError> {
    sqlx::query(RETRACT).execute(db).await?;
    Ok(())
}

/// Messages owed, at most: numbers given to transactions that failed count too.
pub async fn depth(store: &Store) -> Result<i64, SinkError> {
    Ok(sqlx::query_scalar(DEPTH).fetch_one(&store.pool).await?)
}

const DEPTH: &str = "select coalesce(max(seq) - min(seq) + 1, 0) from indexer_service.outbox";

const COPY: &str = "copy indexer_service.outbox (chain_id, block_number, kind, fact_id) from stdin (format binary)";

// The id is decoders::id::retraction_of: the kind's four bits, the second digit of the last group, all set.
const RETRACT: &str = "insert into indexer_service.outbox (chain_id, block_number, kind, fact_id, body)
    select chain_id, block_number, 'retraction', overlay(id::text placing 'f' from 26 for 1)::uuid,
           jsonb_build_object('fact_id', id, 'kind', kind, 'contract', contract, 'token_id', token_id,
                              'from', from_addr, 'to', to_addr, 'quantity', quantity::text, 'standard', standard,
                              'tx_hash', tx_hash, 'log_index', log_index, 'item', item, 'block_number', block_number,
                              'block_hash', block_hash, 'block_time', block_time)
    from undone order by id desc";
