//! ERC-1155 holdings: sums per token and owner. ERC-721 holdings are read from `token_states`.
//!
//! A row of zero is dead and equals no row. Mints have no sender and burns have no recipient, so the zero address holds nothing.

use alloy_primitives::{Address, U512};
use rustc_hash::FxHashMap;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::error::SinkError;
use crate::facts::Batch;
use crate::facts::transfers::Moved;
use crate::projection::Projection;
use crate::projections::tokens::difference;

/// What [`apply`] and [`revert`] keep.
pub(super) const PROJECTION: Projection = Projection {
    reads: |facts| facts.transfers > 0,
    alone: false,
    deferred: false,
    added_by_two: false,
    digests: &[("catalog_service.erc1155_balances", DIGEST)],
    apply: |db, batch| Box::pin(apply(db, batch)),
    revert: |db, _| Box::pin(revert(db)),
};

/// Adds what `batch` moved.
async fn apply(db: &mut PgConnection, batch: &Batch<'_>) -> Result<(), SinkError> {
    let changes = fold(&batch.transfers);
    if changes.is_empty() {
        return Ok(());
    }
    let tokens: Vec<Uuid> = changes.iter().map(|change| change.token).collect();
    let owners: Vec<&[u8]> = changes.iter().map(|change| change.owner.as_slice()).collect();
    let quantities: Vec<String> = changes
        .iter()
        .map(|change| difference(change.gained, change.lost))
        .collect();
    sqlx::query(ADD)
        .bind(tokens)
        .bind(owners)
        .bind(quantities)
        .execute(db)
        .await?;
    Ok(())
}

/// Takes back what the facts of `undone_transfers` moved, and removes the rows left at zero.
async fn revert(db: &mut PgConnection) -> Result<(), SinkError> {
    sqlx::query(SUBTRACT).execute(&mut *db).await?;
    sqlx::query(REMOVE).execute(db).await?;
    Ok(())
}

// The chain of a balance is that of its token. A balance without one is a leftover of some chain, dead or not, and counts on every one.
const DIGEST: &str = "select count(*), coalesce(sum(('x' || left(md5(t::text), 16))::bit(64)::bigint), 0)::text from (
        select b.token, catalog_service.hex(b.owner), b.quantity from catalog_service.erc1155_balances b
        left join catalog_service.token_states k on k.id = b.token
        left join catalog_service.collections c on c.id = k.collection_id
        where (c.chain_id = $1 and b.quantity <> 0) or c.id is null
    ) t";

// Sorted by key, so that two writers lock the balances they share in one order.
const ADD: &str = "insert into catalog_service.erc1155_balances as b (token, owner, quantity)
    select s.token, s.owner, s.quantity::numeric from unnest($1::uuid[], $2::bytea[], $3::text[]) as s (token, owner, quantity)
    order by s.token, s.owner
    on conflict (token, owner) do update set quantity = b.quantity + excluded.quantity";

// The mirror of `fold`. An upsert, because an earlier rewind may have removed the row when it stood at zero.
const SUBTRACT: &str = "insert into catalog_service.erc1155_balances as b (token, owner, quantity)
    select token, owner, sum(change) from (
        select token, to_addr as owner, -quantity as change from undone_transfers
        where standard = 'erc1155' and quantity > 0 and from_addr <> to_addr
          and to_addr <> '\\x0000000000000000000000000000000000000000'
        union all
        select token, from_addr, quantity from undone_transfers
        where standard = 'erc1155' and quantity > 0 and from_addr <> to_addr
          and from_addr <> '\\x0000000000000000000000000000000000000000'
    ) moved
    group by token, owner order by token, owner
    on conflict (token, owner) do update set quantity = b.quantity + excluded.quantity";

const REMOVE: &str = "delete from catalog_service.erc1155_balances b
    using (select token, to_addr as owner from undone_transfers where standard = 'erc1155'
           union
           select token, from_addr from undone_transfers where standard = 'erc1155') u
    where b.token = u.token and b.owner = u.owner and b.quantity = 0";

/// What one span does to one holding.
struct Change {
    token: Uuid,
    owner: Address,
    gained: U512,
    lost: U512,
}

/// One change per holding that ends different, sorted by key.
fn fold(rows: &[Moved<'_>]) -> Vec<Change> {
    // Wider than an amount: a contract may mint 2^256 - 1 as often as it likes.
    let mut sums: FxHashMap<(Uuid, Address), (U512, U512)> = FxHashMap::default();
    for row in rows
        .iter()
        .filter(|row| row.moves() && !row.fact.standard.single_owner())
    {
        let (fact, quantity) = (row.fact, U512::from(row.fact.quantity));
        if fact.from == fact.to {
            continue;
        }
        if !fact.to.is_zero() {
            sums.entry((row.key.token, fact.to)).or_default().0 += quantity;
        }
        if !fact.from.is_zero() {
            sums.entry((row.key.token, fact.from)).or_default().1 += quantity;
        }
    }
    let mut changes: Vec<Change> = sums
        .into_iter()
        // What a span does not change it does not lock.
        .filter(|(_, (gained, lost))| gained != lost)
        .map(|((token, owner), (gained, lost))| Change {
            token,
            owner,
            gained,
            lost,
        })
        .collect();
    changes.sort_unstable_by_key(|change| (change.token, change.owner));
    changes
}
