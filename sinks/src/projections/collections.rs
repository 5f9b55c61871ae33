//! Collections: one row per contract that has a token.

use std::collections::BTreeMap;

use sqlx::PgConnection;
use uuid::Uuid;

use crate::error::SinkError;
use crate::facts::Batch;
use crate::facts::transfers::Moved;
use crate::projection::Projection;
use crate::projections::tokens::address_text;

/// What [`apply`] and [`revert`] keep.
pub(super) const PROJECTION: Projection = Projection {
    reads: |facts| facts.transfers > 0,
    alone: false,
    deferred: false,
    added_by_two: true,
    digests: &[("catalog_service.collections", DIGEST)],
    apply: |db, batch| Box::pin(apply(db, batch)),
    revert: |db, chain| Box::pin(revert(db, chain)),
};

/// Adds the collections `batch` is the first to name, and moves the first position of those it reaches below.
async fn apply(db: &mut PgConnection, batch: &Batch<'_>) -> Result<(), SinkError> {
    let first = fold(batch);
    if first.is_empty() {
        return Ok(());
    }
    let contracts: Vec<String> = first.values().map(|row| address_text(&row.fact.contract)).collect();
    let slugs: Vec<String> = contracts
        .iter()
        .map(|contract| format!("eip155-{}-{contract}", batch.chain.0))
        .collect();
    sqlx::query(MERGE)
        .bind(&batch.chain_name)
        .bind(first.keys().copied().collect::<Vec<Uuid>>())
        .bind(slugs)
        .bind(contracts)
        .bind(first.values().map(|row| row.fact.standard.as_str()).collect::<Vec<_>>())
        .bind(first.values().map(|row| row.id).collect::<Vec<Uuid>>())
        .execute(db)
        .await?;
    Ok(())
}

/// Removes the collections of `undone_transfers` that lost their last token, and finds the first position anew where it was taken away.
async fn revert(db: &mut PgConnection, chain: &str) -> Result<(), SinkError> {
    // The list is walked backwards, so tokens were reverted before: a collection without one has no fact left.
    sqlx::query(REMOVE).bind(chain).execute(&mut *db).await?;
    sqlx::query(RESTORE).bind(chain).execute(db).await?;
    Ok(())
}

const DIGEST: &str = "select count(*), coalesce(sum(('x' || left(md5(t::text), 16))::bit(64)::bigint), 0)::text from (
        select id, slug, contract_address, collection_type, first_position
        from catalog_service.collections where chain_id = $1
    ) t";

// Rows that change nothing are left out, so that the hot collections are not even locked.
// Sorted by key, so that two writers lock the collections they share in one order.
const MERGE: &str = "insert into catalog_service.collections as c
        (id, slug, chain_id, contract_address, collection_type, first_position)
    select s.id, s.slug, $1, s.contract, s.standard, s.position
    from unnest($2::uuid[], $3::text[], $4::text[], $5::text[], $6::uuid[]) as s (id, slug, contract, standard, position)
    where not exists (select from catalog_service.collections known
                      where known.id = s.id and known.first_position <= s.position)
    order by s.id
    on conflict (id) do update set
        collection_type = excluded.collection_type, first_position = excluded.first_position, updated_at = now()
    where c.first_position > excluded.first_position";

const REMOVE: &str = "delete from catalog_service.collections c
    using (select distinct catalog_service.hex(contract) as contract from undone_transfers) u
    where c.chain_id = $1 and c.contract_address = u.contract
      and not exists (select from catalog_service.token_states t where t.collection_id = c.id)";

// Through its tokens, because transfers are indexed by token and not by contract.
const RESTORE: &str = "update catalog_service.collections c set
        first_position = first.id, collection_type = first.standard, updated_at = now()
    from (select k.id as collection from undone_transfers u
          join catalog_service.collections k
            on k.chain_id = $1 and k.contract_address = catalog_service.hex(u.contract) and k.first_position = u.id) lost
    cross join lateral (
        select f.id, f.standard from catalog_service.token_states t
        cross join lateral (
            select o.id, o.standard from catalog_service.transfer_facts o
            where o.chain_id = $1 and o.token = t.id and o.quantity > 0 order by o.id limit 1
        ) f
        where t.collection_id = lost.collection order by f.id limit 1
    ) first
    where c.id = lost.collection";

/// The first row of each collection that moves something, sorted by collection.
fn fold<'a>(batch: &'a Batch<'a>) -> BTreeMap<Uuid, &'a Moved<'a>> {
    let mut first = BTreeMap::new();
    for row in batch.transfers.iter().filter(|row| row.moves()) {
        first.entry(row.key.collection).or_insert(row);
    }
    first
}
