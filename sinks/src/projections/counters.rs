//! Facts per contract and kind. Hot rows, so they are written after every other projection.

use std::collections::BTreeMap;

use alloy_primitives::Address;
use decoders::fact::TransferKind;
use sqlx::PgConnection;

use crate::error::SinkError;
use crate::facts::Batch;
use crate::projection::Projection;
use crate::projections::tokens::address_text;

/// What [`apply`] and [`revert`] keep.
pub(super) const PROJECTION: Projection = Projection {
    reads: |facts| facts.transfers > 0,
    alone: false,
    deferred: false,
    added_by_two: false,
    digests: &[("catalog_service.collection_counters", DIGEST)],
    apply: |db, batch| Box::pin(apply(db, batch)),
    revert: |db, chain| Box::pin(revert(db, chain)),
};

/// Counts the facts of `batch`.
async fn apply(db: &mut PgConnection, batch: &Batch<'_>) -> Result<(), SinkError> {
    let counts = fold(batch);
    let contracts: Vec<String> = counts.keys().map(address_text).collect();
    let transfers: Vec<i64> = counts.values().map(|count| count.transfers).collect();
    let mints: Vec<i64> = counts.values().map(|count| count.mints).collect();
    let burns: Vec<i64> = counts.values().map(|count| count.burns).collect();
    sqlx::query(ADD)
        .bind(&batch.chain_name)
        .bind(contracts)
        .bind(transfers)
        .bind(mints)
        .bind(burns)
        .execute(db)
        .await?;
    Ok(())
}

/// Uncounts the facts of `undone_transfers`; a contract without facts goes.
async fn revert(db: &mut PgConnection, chain: &str) -> Result<(), SinkError> {
    sqlx::query(SUBTRACT).bind(chain).execute(&mut *db).await?;
    sqlx::query(REMOVE).bind(chain).execute(db).await?;
    Ok(())
}

const DIGEST: &str = "select count(*), coalesce(sum(('x' || left(md5(t::text), 16))::bit(64)::bigint), 0)::text from (
        select contract, transfers, mints, burns from catalog_service.collection_counters where chain_id = $1
    ) t";

// Sorted by key, so that two writers lock the rows they share in one order.
const ADD: &str = "insert into catalog_service.collection_counters as c (chain_id, contract, transfers, mints, burns)
    select $1, s.contract, s.transfers, s.mints, s.burns
    from unnest($2::text[], $3::int8[], $4::int8[], $5::int8[]) as s (contract, transfers, mints, burns)
    order by s.contract collate \"C\"
    on conflict (chain_id, contract) do update set
        transfers = c.transfers + excluded.transfers, mints = c.mints + excluded.mints, burns = c.burns + excluded.burns";

// A plain update: a contract that has facts has a row.
const SUBTRACT: &str = "update catalog_service.collection_counters c set
        transfers = c.transfers - u.transfers, mints = c.mints - u.mints, burns = c.burns - u.burns
    from (select catalog_service.hex(contract) as contract, count(*) filter (where kind = 'transfer') as transfers,
                 count(*) filter (where kind = 'mint') as mints, count(*) filter (where kind = 'burn') as burns
          from (select contract, catalog_service.transfer_kind(from_addr, to_addr) as kind from undone_transfers) undone
          group by undone.contract) u
    where c.chain_id = $1 and c.contract = u.contract";

const REMOVE: &str = "delete from catalog_service.collection_counters c
    using (select distinct catalog_service.hex(contract) as contract from undone_transfers) u
    where c.chain_id = $1 and c.contract = u.contract and c.transfers = 0 and c.mints = 0 and c.burns = 0";

#[derive(Default)]
struct Count {
    transfers: i64,
    mints: i64,
    burns: i64,
}

/// Counts per contract, sorted by contract.
fn fold(batch: &Batch<'_>) -> BTreeMap<Address, Count> {
    let mut counts: BTreeMap<Address, Count> = BTreeMap::new();
    for row in &batch.transfers {
        let count = counts.entry(row.fact.contract).or_default();
        match row.fact.kind() {
            TransferKind::Transfer => count.transfers += 1,
            TransferKind::Mint => count.mints += 1,
            TransferKind::Burn => count.burns += 1,
        }
    }
    counts
}
