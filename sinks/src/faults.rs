//! Logs the decoders refused: `decode_faults`.

use decoders::block::find_block;
use decoders::fact::{Facts, Fault};
use decoders::id::{Position, RecordKind};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::error::SinkError;

/// Records the faults of `facts` that `keep` wants.
pub(crate) async fn apply(
    db: &mut PgConnection,
    facts: &Facts,
    keep: impl Fn(&Fault) -> bool,
) -> Result<u64, SinkError> {
    let faults: Vec<&Fault> = facts.faults.iter().filter(|fault| keep(fault)).collect();
    if faults.is_empty() {
        return Ok(0);
    }
    let mut places: Vec<(Uuid, String)> = Vec::with_capacity(faults.len());
    for fault in &faults {
        let Some(block) = find_block(&facts.blocks, fault.block_number) else {
            let reason = "a fault names a block the span does not hold";
            return Err(SinkError::Inconsistent {
                chain: facts.chain,
                range: facts.range.clone(),
                reason,
            });
        };
        let position = Position {
            chain: facts.chain,
            block_number: block.number,
            block_hash: block.hash,
            log_index: fault.log_index,
            item: 0,
            kind: RecordKind::Log,
        };
        places.push((position.id(), block.hash.to_string()));
    }
    let added = sqlx::query(ADD)
        .bind(facts.chain.to_string())
        .bind(places.iter().map(|(id, _)| *id).collect::<Vec<Uuid>>())
        .bind(faults.iter().map(|fault| fault.source).collect::<Vec<_>>())
        .bind(
            faults
                .iter()
                .map(|fault| fault.block_number.cast_signed())
                .collect::<Vec<i64>>(),
        )
        .bind(places.iter().map(|(_, hash)| hash.as_str()).collect::<Vec<_>>())
        .bind(
            faults
                .iter()
                .map(|fault| fault.log_index.cast_signed())
                .collect::<Vec<i32>>(),
        )
        .bind(faults.iter().map(|fault| fault.tx_hash.to_string()).collect::<Vec<_>>())
        .bind(
            faults
                .iter()
                .map(|fault| format!("{:#x}", fault.contract))
                .collect::<Vec<_>>(),
        )
        .bind(
            faults
                .iter()
                .map(|fault| fault.topic0.map(|topic| topic.to_string()))
                .collect::<Vec<_>>(),
        )
        .bind(faults.iter().map(|fault| fault.reason).collect::<Vec<_>>())
        .execute(db)
        .await?;
    Ok(added.rows_affected())
}

/// Removes the faults of `chain` above `ancestor`.
pub(crate) async fn revert_above(db: &mut PgConnection, chain: &str, ancestor: u64) -> Result<(), SinkError> {
    sqlx::query(REMOVE_ABOVE)
        .bind(chain)
        .bind(Position::floor(ancestor + 1))
        .execute(db)
        .await?;
    Ok(())
}

/// Removes the faults in the range and of the sources of `facts`.
pub(crate) async fn revert(db: &mut PgConnection, facts: &Facts) -> Result<(), SinkError> {
    sqlx::query(REMOVE)
        .bind(facts.chain.to_string())
        .bind(Position::floor(*facts.range.start()))
        .bind(Position::floor(facts.range.end() + 1))
        .bind(&facts.sources)
        .execute(db)
        .await?;
    Ok(())
}

// One decoder may refuse one log for one reason only; a second is not worth a failed span.
const ADD: &str = "insert into indexer_service.decode_faults
        (chain_id, id, source, block_number, block_hash, log_index, tx_hash, contract, topic0, reason)
    select $1, s.* from unnest($2::uuid[], $3::text[], $4::int8[], $5::text[], $6::int4[], $7::text[], $8::text[], $9::text[],
                               $10::text[]) as s
    on conflict do nothing";

const REMOVE_ABOVE: &str = "delete from indexer_service.decode_faults where chain_id = $1 and id >= $2";

const REMOVE: &str = "delete from indexer_service.decode_faults
    where chain_id = $1 and id >= $2 and id < $3 and source = any($4)";
