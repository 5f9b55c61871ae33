//! How orders ended: `closed_by`, `closed_reason` and `filled` of `order_facts`, a function of the orders and closings of a chain.
//!
//! An order stands from its own position up to the next order with its key at its market, which replaces it. In between it is
//! ended by the first closing that reaches it and leaves nothing of it; fills that state how many units they took leave some
//! until their sum is the order's quantity. A fill that the market reports after an invalidation in the same transaction is
//! what happened: the order is filled, by the last such fill.

use sqlx::PgConnection;
use uuid::Uuid;

use crate::error::SinkError;
use crate::facts::Batch;
use crate::facts::closings::OfMaker;
use crate::projection::Projection;

/// What [`apply`] and [`revert`] keep.
pub(super) const PROJECTION: Projection = Projection {
    reads: |facts| facts.orders > 0 || facts.closings > 0,
    alone: true,
    deferred: false,
    added_by_two: false,
    digests: &[],
    apply: |db, batch| Box::pin(apply(db, batch)),
    revert: |db, chain| Box::pin(revert(db, chain)),
};

/// Settles the orders whose end the facts of `batch` may have changed.
///
/// To be called by the only writer of the chain: it computes from facts that no other may be adding meanwhile.
async fn apply(db: &mut PgConnection, batch: &Batch<'_>) -> Result<(), SinkError> {
    settle(db, &batch.chain_name, &Changes::of(batch)).await
}

/// Settles the orders whose end changed with the facts in `undone_orders` and `undone_closings`.
async fn revert(db: &mut PgConnection, chain: &str) -> Result<(), SinkError> {
    let mut changes = Changes::default();
    let orders: Vec<(Uuid, Uuid)> = sqlx::query_as(UNDONE_ORDERS).fetch_all(&mut *db).await?;
    (changes.orders, changes.order_slots) = orders.into_iter().unzip();
    let closings: Vec<UndoneClosing> = sqlx::query_as(UNDONE_CLOSINGS).fetch_all(&mut *db).await?;
    for closing in closings {
        changes.closings.push(closing.id);
        changes.slots.push(closing.slot);
        changes.markets.push(closing.market);
        changes.makers.push(closing.maker);
        changes.nonces.push(closing.nonces);
        changes.nonce.push(closing.nonce);
        changes.reasons.push(closing.reason);
    }
    settle(db, chain, &changes).await
}

async fn settle(db: &mut PgConnection, chain: &str, changes: &Changes) -> Result<(), SinkError> {
    if changes.orders.is_empty() && changes.closings.is_empty() {
        return Ok(());
    }
    // Only orders that a change can reach are computed again: what a span costs depends on the span, not on the orders of the
    // chain.
    let reached: Vec<Uuid> = sqlx::query_scalar(REACHED)
        .bind(chain)
        .bind(&changes.orders)
        .bind(&changes.order_slots)
        .bind(&changes.closings)
        .bind(&changes.slots)
        .bind(&changes.markets)
        .bind(&changes.makers)
        .bind(&changes.nonces)
        .bind(&changes.nonce)
        .bind(&changes.reasons)
        .fetch_all(&mut *db)
        .await?;
    if !reached.is_empty() {
        sqlx::query(SETTLE).bind(chain).bind(&reached).execute(db).await?;
    }
    Ok(())
}

/// Orders and closings that came or went, as the arrays [`REACHED`] takes.
#[derive(Default)]
struct Changes {
    orders: Vec<Uuid>,
    order_slots: Vec<Uuid>,
    closings: Vec<Uuid>,
    slots: Vec<Option<Uuid>>,
    markets: Vec<Vec<u8>>,
    makers: Vec<Option<Vec<u8>>>,
    nonces: Vec<Option<String>>,
    nonce: Vec<Option<String>>,
    reasons: Vec<String>,
}

impl Changes {
    fn of(batch: &Batch<'_>) -> Self {
        let mut changes = Changes::default();
        for row in &batch.orders {
            changes.orders.push(row.id);
            changes.order_slots.push(row.key.slot);
        }
        for row in &batch.closings {
            let of_maker = OfMaker::of(row.fact);
            changes.closings.push(row.id);
            changes.slots.push(row.key);
            changes.markets.push(row.fact.market.to_vec());
            changes.makers.push(of_maker.maker.map(|maker| maker.to_vec()));
            changes.nonces.push(of_maker.nonces.map(str::to_owned));
            changes.nonce.push(of_maker.nonce.map(|nonce| nonce.to_string()));
            changes.reasons.push(row.fact.reason.as_str().to_owned());
        }
        changes
    }
}

#[derive(sqlx::FromRow)]
struct UndoneClosing {
    id: Uuid,
    slot: Option<Uuid>,
    market: Vec<u8>,
    maker: Option<Vec<u8>>,
    nonces: Option<String>,
    nonce: Option<String>,
    reason: String,
}

const UNDONE_ORDERS: &str = "select id, slot from undone_orders";

const UNDONE_CLOSINGS: &str =
    "select id, slot, market, maker, nonces, nonce::text as nonce, reason from undone_closings";

// Of a key, a closing reaches the order directly below it, and an order replaces the one directly below it. Of a maker, a
// closing changes nothing of orders that ended below it, unless it is a fill, which may follow an invalidation.
const REACHED: &str = "with opened as (
        select * from unnest($2::uuid[], $3::uuid[]) as s (id, slot)
    ), ended as (
        select s.id, s.slot, s.market, s.maker, s.nonces, s.nonce::numeric as nonce, s.reason
        from unnest($4::uuid[], $5::uuid[], $6::bytea[], $7::bytea[], $8::text[], $9::text[], $10::text[])
            as s (id, slot, market, maker, nonces, nonce, reason)
    )
    select id from opened
    union
    select below.id
    from (select id, slot from opened union all select id, slot from ended where slot is not null) s
    cross join lateral (
        select o.id from catalog_service.order_facts o
        where o.chain_id = $1 and o.slot = s.slot and o.id < s.id order by o.id desc limit 1
    ) below
    union
    -- orders that ended before the closing keep their end
    select o.id from ended s
    join catalog_service.order_facts o on o.chain_id = $1 and o.maker = s.maker
     and (o.closed_by is null or o.closed_by >= s.id or s.reason = 'filled')
    where o.market = s.market and o.id < s.id
      and case s.nonces when 'all' then true when 'below' then o.nonce < s.nonce else o.nonce = s.nonce end";

const SETTLE: &str = "with due as (
        select o.id, o.slot, o.market, o.maker, o.nonce, o.quantity, next.id as next,
               coalesce(next.id, 'ffffffff-ffff-ffff-ffff-ffffffffffff') as until
        -- an order stands up to the next one with its key, which replaces it, and the highest id stands for none
        from catalog_service.order_facts o
        left join lateral (
            select n.id from catalog_service.order_facts n
            where n.chain_id = $1 and n.slot = o.slot and n.id > o.id order by n.id limit 1
        ) next on true
        where o.chain_id = $1 and o.id = any($2)
    ), reaching as (
        -- fills that state how many units they took leave some until their sum is the quantity of the order
        select d.id as order_id, c.id, c.reason, c.quantity, c.tx_hash,
               c.quantity is null or sum(c.quantity) over (partition by d.id order by c.id) >= d.quantity as ends
        from due d
        cross join lateral (
            -- a union and not one condition with or, so that each way to reach an order is a range of an index
            select c.id, c.reason, c.quantity, c.tx_hash from catalog_service.order_closings c
            where c.chain_id = $1 and c.slot = d.slot and c.id > d.id and c.id < d.until
            union all
            select c.id, c.reason, c.quantity, c.tx_hash from catalog_service.order_closings c
            where c.chain_id = $1 and c.maker = d.maker and c.nonces = 'exactly' and c.nonce = d.nonce
              and c.market = d.market and c.id > d.id and c.id < d.until
            union all
            -- these leave nothing of an order, so the first of them decides and the rest need not be read
            (select c.id, c.reason, null, c.tx_hash from catalog_service.order_closings c
             where c.chain_id = $1 and c.maker = d.maker and c.nonces = 'all'
               and c.market = d.market and c.id > d.id and c.id < d.until order by c.id limit 1)
            union all
            (select c.id, c.reason, null, c.tx_hash from catalog_service.order_closings c
             where c.chain_id = $1 and c.maker = d.maker and c.nonces = 'below' and c.nonce > d.nonce
               and c.market = d.market and c.id > d.id and c.id < d.until order by c.id limit 1)
        ) c
    ), ending as (
        select distinct on (order_id) order_id, id, reason, tx_hash from reaching where ends order by order_id, id
    ), fill as (
        -- a fill that the market emits after an invalidation in one transaction is what happened, and the last such fill counts
        select distinct on (e.order_id) e.order_id, r.id from ending e join reaching r on r.order_id = e.order_id
        where e.reason <> 'filled' and r.reason = 'filled' and r.tx_hash = e.tx_hash and r.id > e.id
        order by e.order_id, r.id desc
    ), settled as (
        select d.id, d.quantity, coalesce(f.id, e.id, d.next) as closed_by,
               case when f.id is not null then 'filled' when e.id is not null then e.reason
                    when d.next is not null then 'replaced' end as closed_reason
        from due d left join ending e on e.order_id = d.id left join fill f on f.order_id = d.id
    ), taken as (
        -- fills after the end do not count, and a fill that states no units took all of it
        select s.id, least(s.quantity, sum(coalesce(r.quantity, s.quantity))) as units
        from settled s join reaching r on r.order_id = s.id
        where r.reason = 'filled' and r.id <= coalesce(s.closed_by, r.id) group by s.id, s.quantity
    )
    update catalog_service.order_facts o
    set closed_by = s.closed_by, closed_reason = s.closed_reason, filled = coalesce(t.units, 0)
    from settled s left join taken t on t.id = s.id
    where o.chain_id = $1 and o.id = s.id
      -- most orders come out as they were and are not written again
      and (o.closed_by, o.closed_reason, o.filled) is distinct from (s.closed_by, s.closed_reason, coalesce(t.units, 0))";
