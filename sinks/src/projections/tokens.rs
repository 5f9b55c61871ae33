//! Tokens: one row per token that something moved.
//!
//! The owner is the `to` of the newest single-owner fact, the supply the sum of the ERC-1155 ones, the mint the earliest.
//! A contract that emits both standards for one token gets both, whatever the order; `burned` follows in the table itself.

use alloy_primitives::{Address, U512};
use chrono::{DateTime, Utc};
use decoders::fact::{Standard, TransferKind};
use rustc_hash::FxHashMap;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::copy::timestamp;
use crate::error::SinkError;
use crate::facts::Batch;
use crate::facts::transfers::Moved;
use crate::projection::Projection;

/// What [`apply`] and [`revert`] keep.
pub(super) const PROJECTION: Projection = Projection {
    reads: |facts| facts.transfers > 0,
    alone: false,
    deferred: false,
    added_by_two: false,
    digests: &[("catalog_service.token_states", DIGEST)],
    apply: |db, batch| Box::pin(apply(db, batch)),
    revert: |db, chain| Box::pin(revert(db, chain)),
};

/// Folds `batch` to one row per token and merges it.
async fn apply(db: &mut PgConnection, batch: &Batch<'_>) -> Result<(), SinkError> {
    let changes = fold(&batch.transfers);
    if changes.is_empty() {
        return Ok(());
    }
    let columns = Columns::of(&changes);
    sqlx::query(MERGE)
        .bind(&columns.ids)
        .bind(&columns.collections)
        .bind(&columns.numbers)
        .bind(&columns.standards)
        .bind(&columns.owners)
        .bind(&columns.positions)
        .bind(&columns.minted)
        .bind(&columns.supplies)
        .execute(db)
        .await?;
    Ok(())
}

/// Makes the tokens of `undone_transfers` what their remaining facts state; a token without any goes.
async fn revert(db: &mut PgConnection, chain: &str) -> Result<(), SinkError> {
    sqlx::query(REMOVE).bind(chain).execute(&mut *db).await?;
    sqlx::query(RESTORE).bind(chain).execute(db).await?;
    Ok(())
}

// The chain of a token is that of its collection. A token without one is a leftover of some chain, and counts on every one.
const DIGEST: &str = "select count(*), coalesce(sum(('x' || left(md5(t::text), 16))::bit(64)::bigint), 0)::text from (
        select t.id, t.collection_id, c.contract_address, t.number, t.standard, catalog_service.hex(t.owner), t.owner_position, t.burned,
               extract(epoch from t.minted_at)::bigint, t.supply
        from catalog_service.token_states t left join catalog_service.collections c on c.id = t.collection_id
        where c.chain_id = $1 or c.id is null
    ) t";

// Rows arrive sorted by id, so that two writers lock the tokens they share in one order. A token known already and merely
// passed on (an ERC-1155 transfer between holders) is left alone. A writer that would delete it waits for this commit.
// The comparisons are null while the stored side has no position or mint yet; `coalesce` then takes whatever comes.
const MERGE: &str = "insert into catalog_service.token_states as t
        (id, collection_id, number, standard, owner, owner_position, minted_at, supply)
    select s.id, s.collection_id, s.number::numeric, s.standard, s.owner, s.position, s.minted_at, s.supply::numeric
    from unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::bytea[], $6::uuid[], $7::timestamptz[], $8::text[])
        as s (id, collection_id, number, standard, owner, position, minted_at, supply)
    where s.position is not null or s.minted_at is not null or s.supply <> '0'
       or not exists (select from catalog_service.token_states known where known.id = s.id)
    order by s.id
    on conflict (id) do update set
        standard = case when coalesce(excluded.owner_position > t.owner_position, excluded.owner_position is not null)
                        then excluded.standard else t.standard end,
        owner = case when coalesce(excluded.owner_position > t.owner_position, excluded.owner_position is not null)
                     then excluded.owner else t.owner end,
        owner_position = greatest(t.owner_position, excluded.owner_position),
        minted_at = least(t.minted_at, excluded.minted_at),
        supply = t.supply + excluded.supply
    where coalesce(excluded.owner_position > t.owner_position, excluded.owner_position is not null)
       or coalesce(excluded.minted_at < t.minted_at, excluded.minted_at is not null)
       or excluded.supply <> 0";

const REMOVE: &str = "delete from catalog_service.token_states t
    using (select distinct token from undone_transfers where quantity > 0) u
    where t.id = u.token
      and not exists (select from catalog_service.transfer_facts f
                      where f.chain_id = $1 and f.token = t.id and f.quantity > 0)";

// Looks for a new owner or mint only where one was taken away; both lookups read the (token, id) index from one end.
// Supply is subtracted rather than summed again, as in `balances`: it does not depend on how much history a token has.
const RESTORE: &str = "update catalog_service.token_states t set
        standard = case when u.owned then coalesce(newest.standard, 'erc1155') else t.standard end,
        owner = case when u.owned then newest.owner else t.owner end,
        owner_position = case when u.owned then newest.id else t.owner_position end,
        minted_at = case when u.minted <= t.minted_at then first_mint.block_time else t.minted_at end,
        supply = t.supply - u.supply
    from (
        select token, bool_or(standard <> 'erc1155') as owned, 
               min(block_time) filter (where from_addr = '\\x0000000000000000000000000000000000000000') as minted,
               coalesce(sum(case when from_addr = '\\x0000000000000000000000000000000000000000' then quantity else 0 end
                          - case when to_addr = '\\x0000000000000000000000000000000000000000' then quantity else 0 end)
                        filter (where standard = 'erc1155'), 0) as supply
        from undone_transfers where quantity > 0 group by token
    ) u
    left join lateral (
        select f.id, f.standard, nullif(f.to_addr, '\\x0000000000000000000000000000000000000000') as owner
        from catalog_service.transfer_facts f
        where u.owned and f.chain_id = $1 and f.token = u.token and f.quantity > 0 and f.standard <> 'erc1155'
        order by f.id desc limit 1
    ) newest on true
    left join lateral (
        select f.block_time from catalog_service.transfer_facts f
        where u.minted is not null and f.chain_id = $1 and f.token = u.token and f.quantity > 0
          and f.from_addr = '\\x0000000000000000000000000000000000000000'
        order by f.id limit 1
    ) first_mint on true
    where t.id = u.token";

/// What one span states about one token.
struct Change<'a> {
    row: &'a Moved<'a>,
    /// Newest single-owner fact.
    newest: Option<&'a Moved<'a>>,
    /// Block time of the earliest mint.
    minted: Option<u64>,
    /// ERC-1155 units minted and burned; sums of 2^256 - 1 need more than 256 bits.
    gained: U512,
    lost: U512,
}

/// One change per token, sorted by id.
fn fold<'a>(rows: &'a [Moved<'a>]) -> Vec<Change<'a>> {
    let mut places: FxHashMap<Uuid, usize> = FxHashMap::default();
    let mut changes: Vec<Change<'a>> = Vec::new();
    for row in rows.iter().filter(|row| row.moves()) {
        let place = *places.entry(row.key.token).or_insert(changes.len());
        if place == changes.len() {
            changes.push(Change {
                row,
                newest: None,
                minted: None,
                gained: U512::ZERO,
                lost: U512::ZERO,
            });
        }
        changes[place].add(row);
    }
    changes.sort_unstable_by_key(|change| change.row.key.token);
    changes
}

impl<'a> Change<'a> {
    /// Adds a row above all before.
    fn add(&mut self, row: &'a Moved<'a>) {
        let fact = row.fact;
        if fact.kind() == TransferKind::Mint {
            self.minted = Some(self.minted.map_or(row.block.time, |time| time.min(row.block.time)));
        }
        if fact.standard.single_owner() {
            self.newest = Some(row);
            return;
        }
        if fact.from.is_zero() {
            self.gained += U512::from(fact.quantity);
        }
        if fact.to.is_zero() {
            self.lost += U512::from(fact.quantity);
        }
    }
}

/// The changes as the arrays [`MERGE`] takes.
#[derive(Default)]
struct Columns<'a> {
    ids: Vec<Uuid>,
    collections: Vec<Uuid>,
    numbers: Vec<String>,
    standards: Vec<&'static str>,
    owners: Vec<Option<&'a [u8]>>,
    positions: Vec<Option<Uuid>>,
    minted: Vec<Option<DateTime<Utc>>>,
    supplies: Vec<String>,
}

impl<'a> Columns<'a> {
    fn of(changes: &[Change<'a>]) -> Self {
        let mut columns = Columns::default();
        for change in changes {
            let fact = change.row.fact;
            let owner = change.newest.map(|row| &row.fact.to).filter(|to| !to.is_zero());
            columns.ids.push(change.row.key.token);
            columns.collections.push(change.row.key.collection);
            columns.numbers.push(fact.token.to_string());
            columns.standards.push(
                change
                    .newest
                    .map_or(Standard::Erc1155, |row| row.fact.standard)
                    .as_str(),
            );
            columns.owners.push(owner.map(|owner| owner.as_slice()));
            columns.positions.push(change.newest.map(|row| row.id));
            columns.minted.push(change.minted.map(timestamp));
            columns.supplies.push(difference(change.gained, change.lost));
        }
        columns
    }
}

/// An address as the tables write it.
pub(crate) fn address_text(address: &Address) -> String {
    format!("{address:#x}")
}

/// `gained - lost` in decimal.
pub(crate) fn difference(gained: U512, lost: U512) -> String {
    if gained >= lost {
        (gained - lost).to_string()
    } else {
        format!("-{}", lost - gained)
    }
}
