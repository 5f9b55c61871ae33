//! Trades that look made up: `wash_flags` of `sale_facts`, a function of the sales of a chain (decoding specification, section 7).
//!
//! - `same_party`: buyer and seller are one.
//! - `round_trip`: the token was also sold the other way round between the two.
//! - `repeated`: the same buyer bought, or the same seller sold, the same single-owner token at least three times. Purchases
//!   from and by contracts that trade for many in their own name do not count as the buyer's.
//! - `price_outlier`: a sale without any fee, at a unit price above ten times the median of those before it: the last thirty, and
//!   at least ten, single sales of the collection in the same currency whose price is stated. The median of an even number is the
//!   lower one of the middle two.
//!
//! An unknown party (the zero address) is no party, and a sale of an unknown token can only be `same_party`.

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::Address;
use decoders::block::ChainId;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::error::SinkError;
use crate::facts::Batch;
use crate::facts::sales::Sold;
use crate::progress::coverage;
use crate::projection::Projection;
use crate::store::Store;

pub use crate::facts::sales::WASH_VERSION;

/// Sales that [`recompute`] looks at in one transaction.
const RECOMPUTED_AT_ONCE: usize = 2_000;

/// What [`apply`] and [`revert`] keep.
pub(super) const PROJECTION: Projection = Projection {
    reads: |facts| facts.sales > 0,
    alone: true,
    deferred: true,
    added_by_two: false,
    digests: &[],
    apply: |db, batch| Box::pin(apply(db, batch)),
    revert: |db, chain| Box::pin(revert(db, chain)),
};

/// Classifies the sales of `batch`, and those that look different beside them.
///
/// To be called by the only writer of the chain: it computes from sales that no other may be adding meanwhile.
async fn apply(db: &mut PgConnection, batch: &Batch<'_>) -> Result<(), SinkError> {
    let mut changes = Changes::default();
    batch.sales.iter().for_each(|row| changes.add(&Trade::of(row)));
    changes.flag(db, &batch.chain_name).await
}

/// Classifies the sales that look different without those in `undone_sales`.
async fn revert(db: &mut PgConnection, chain: &str) -> Result<(), SinkError> {
    let undone: Vec<Trade> = sqlx::query_as(UNDONE).fetch_all(&mut *db).await?;
    let mut changes = Changes::default();
    undone.iter().for_each(|trade| changes.add(trade));
    changes.flag(db, chain).await
}

/// Looks at the next sales of `chain`, a bounded number, and recomputes those classified by other rules; returns how many, and
/// none once these rules classified all. To be called until then: a chain that is up to date costs one lookup.
///
/// Harmless at any time and beside anything else. How far it came is kept, so that what is cut short goes on where it stopped;
/// a process that classifies sales by other rules meanwhile takes that away, and everything is looked at again.
pub async fn recompute(store: &Store, chain: ChainId) -> Result<Option<u64>, SinkError> {
    let name = chain.to_string();
    if sqlx::query_scalar(UP_TO_DATE)
        .bind(&name)
        .bind(WASH_VERSION)
        .fetch_one(&store.pool)
        .await?
    {
        return Ok(None);
    }
    let mut tx = store.pool.begin().await?;
    // Both locks in the order every commit takes them: the first keeps rewinds out, the second other writers of sales.
    coverage::share(&mut tx, &name).await?;
    coverage::alone(&mut tx, &name).await?;
    let next: Vec<(Uuid, bool)> = sqlx::query_as(NEXT)
        .bind(&name)
        .bind(WASH_VERSION)
        .bind(RECOMPUTED_AT_ONCE as i64)
        .fetch_all(&mut *tx)
        .await?;
    // Fewer than asked for are the last there are: the highest id then states that all of the chain is done.
    let last = next.last().filter(|_| next.len() == RECOMPUTED_AT_ONCE);
    let recomputed_to = last.map_or(Uuid::max(), |(id, _)| *id);
    let outdated: Vec<Uuid> = next
        .iter()
        .filter(|(_, outdated)| *outdated)
        .map(|(id, _)| *id)
        .collect();
    if !outdated.is_empty() {
        flag_sales(&mut tx, &name, &outdated).await?;
    }
    sqlx::query(ADVANCE)
        .bind(&name)
        .bind(WASH_VERSION)
        .bind(recomputed_to)
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(Some(outdated.len() as u64))
}

async fn flag_sales(db: &mut PgConnection, chain: &str, sales: &[Uuid]) -> Result<(), SinkError> {
    let intermediaries: Vec<&[u8]> = decoders::intermediaries().map(|address| address.as_slice()).collect();
    sqlx::query(FLAG)
        .bind(chain)
        .bind(sales)
        .bind(WASH_VERSION)
        .bind(intermediaries)
        .execute(db)
        .await?;
    Ok(())
}

/// What of a sale makes others look different.
#[derive(sqlx::FromRow)]
struct Trade {
    id: Uuid,
    token: Option<Uuid>,
    standard: String,
    contract: Vec<u8>,
    currency: Vec<u8>,
    seller: Vec<u8>,
    buyer: Vec<u8>,
    /// Whether it is one of those a median is taken of.
    single: bool,
}

impl Trade {
    fn of(row: &Sold<'_>) -> Self {
        let fact = row.fact;
        let bytes = |address: &Address| address.to_vec();
        Trade {
            id: row.id,
            token: row.key.token.map(|key| key.token),
            standard: fact.standard.as_str().to_owned(),
            contract: bytes(&fact.contract),
            currency: bytes(&fact.currency),
            seller: bytes(&fact.seller),
            buyer: bytes(&fact.buyer),
            single: fact.bundle_size == 1 && fact.price.is_some(),
        }
    }
}

/// Sales that came or went: themselves, and where they make others look different.
#[derive(Default)]
struct Changes {
    sales: Vec<Uuid>,
    /// Token, seller, buyer, and whether the token has a single owner.
    parties: BTreeSet<(Uuid, Vec<u8>, Vec<u8>, bool)>,
    /// First and last of them per contract and currency.
    courses: BTreeMap<(Vec<u8>, Vec<u8>), (Uuid, Uuid)>,
}

impl Changes {
    fn add(&mut self, trade: &Trade) {
        self.sales.push(trade.id);
        let Some(token) = trade.token else { return };
        let single_owner = trade.standard != "erc1155";
        self.parties
            .insert((token, trade.seller.clone(), trade.buyer.clone(), single_owner));
        if trade.single {
            let course = (trade.contract.clone(), trade.currency.clone());
            let (first, last) = self.courses.entry(course).or_insert((trade.id, trade.id));
            (*first, *last) = ((*first).min(trade.id), (*last).max(trade.id));
        }
    }

    async fn flag(&self, db: &mut PgConnection, chain: &str) -> Result<(), SinkError> {
        if self.sales.is_empty() {
            return Ok(());
        }
        let parties = || self.parties.iter();
        let courses = || self.courses.iter();
        // A sale makes others look different by its parties and by its price, each of which is looked up by an index of its own.
        let touched: Vec<Uuid> = sqlx::query_scalar(TOUCHED)
            .bind(chain)
            .bind(&self.sales)
            .bind(parties().map(|(token, ..)| *token).collect::<Vec<_>>())
            .bind(parties().map(|(_, seller, ..)| seller.as_slice()).collect::<Vec<_>>())
            .bind(parties().map(|(_, _, buyer, _)| buyer.as_slice()).collect::<Vec<_>>())
            .bind(parties().map(|(.., single_owner)| *single_owner).collect::<Vec<_>>())
            .bind(
                courses()
                    .map(|((contract, _), _)| contract.as_slice())
                    .collect::<Vec<_>>(),
            )
            .bind(
                courses()
                    .map(|((_, currency), _)| currency.as_slice())
                    .collect::<Vec<_>>(),
            )
            .bind(courses().map(|(_, (first, _))| *first).collect::<Vec<_>>())
            .bind(courses().map(|(_, (_, last))| *last).collect::<Vec<_>>())
            .fetch_all(&mut *db)
            .await?;
        flag_sales(db, chain, &touched).await
    }
}

const UNDONE: &str = "select id, token, standard, contract, currency_address as currency, seller, buyer,
           bundle_size = 1 and price_raw is not null as single
    from undone_sales";

// One lookup for a chain that is up to date, so that a start does not read all of its sales.
const UP_TO_DATE: &str = "select exists (select from indexer_service.wash_progress
    where chain_id = $1 and version = $2 and recomputed_to = 'ffffffff-ffff-ffff-ffff-ffffffffffff')";

const NEXT: &str = "select id, wash_version <> $2
           or exists (select from indexer_service.wash_progress p where p.chain_id = $1 and p.everything) as outdated
    from catalog_service.sale_facts
    where chain_id = $1 and id > coalesce((select p.recomputed_to from indexer_service.wash_progress p
                                           where p.chain_id = $1 and p.version = $2), '00000000-0000-0000-0000-000000000000')
    order by id limit $3";

const ADVANCE: &str =
    "insert into indexer_service.wash_progress as p (chain_id, version, recomputed_to) values ($1, $2, $3)
    on conflict (chain_id) do update
       set version = excluded.version, recomputed_to = excluded.recomputed_to,
           everything = p.everything and excluded.recomputed_to <> 'ffffffff-ffff-ffff-ffff-ffffffffffff'";

// Without the offset the planner, which knows nothing of how near the first is to the last, would read every sale there is.
const TOUCHED: &str = "with parties as (
        select * from unnest($3::uuid[], $4::bytea[], $5::bytea[], $6::boolean[]) as s (token, seller, buyer, single_owner)
    ), courses as (
        select * from unnest($7::bytea[], $8::bytea[], $9::uuid[], $10::uuid[]) as s (contract, currency, first, last)
    )
    select unnest($2::uuid[])
    union
    select o.id from parties s
    join catalog_service.sale_facts o on o.chain_id = $1 and o.token = s.token and o.seller = s.buyer and o.buyer = s.seller
    union
    select o.id from parties s
    join catalog_service.sale_facts o on o.chain_id = $1 and o.token = s.token and o.seller = s.seller
    where s.single_owner
    union
    select o.id from parties s
    join catalog_service.sale_facts o on o.chain_id = $1 and o.token = s.token and o.buyer = s.buyer
    where s.single_owner
    union
    select within.id from courses s
    cross join lateral (
        select o.id from catalog_service.sale_facts o
        where o.chain_id = $1 and o.contract = s.contract and o.currency_address = s.currency and o.id > s.first and o.id < s.last
          and o.token is not null and o.bundle_size = 1 and o.price_raw is not null
        offset 0
    ) within
    union
    select following.id from courses s
    cross join lateral (
        select o.id from catalog_service.sale_facts o
        where o.chain_id = $1 and o.contract = s.contract and o.currency_address = s.currency and o.id > s.last
          and o.token is not null and o.bundle_size = 1 and o.price_raw is not null
        order by o.id limit 30
    ) following";

// A new sale carries the version already, so that what looks honest, as nearly all does, is not written again. What other
// rules came to is no longer all there is.
const FLAG: &str = "with other_rules as (
        delete from indexer_service.wash_progress where chain_id = $1 and version <> $3 and not everything
    ), begun_by_others as (
        update indexer_service.wash_progress set recomputed_to = '00000000-0000-0000-0000-000000000000'
         where chain_id = $1 and version <> $3 and everything
    ), recomputed as materialized (
        select s.id, array_remove(array[
            case when s.buyer = s.seller and known.seller then 'same_party' end,
            case when known.seller and known.buyer and exists (
                select from catalog_service.sale_facts o
                where o.chain_id = $1 and o.token = s.token and o.seller = s.buyer and o.buyer = s.seller and o.id <> s.id
            ) then 'round_trip' end,
            case when s.standard <> 'erc1155' and (
                -- three are enough: of a token that is traded all day the rest is not read
                known.seller and (select count(*) from (
                    select from catalog_service.sale_facts o
                    where o.chain_id = $1 and o.token = s.token and o.seller = s.seller and o.standard <> 'erc1155' limit 3
                ) sold) = 3
                or known.buyer and not intermediary.trades and (select count(*) from (
                    select from catalog_service.sale_facts o
                    where o.chain_id = $1 and o.token = s.token and o.buyer = s.buyer and o.standard <> 'erc1155'
                      and o.seller <> all($4) limit 3
                ) bought) = 3
            ) then 'repeated' end,
            case when s.token is not null and s.bundle_size = 1 and not 0 < any(s.fee_amounts)
                  and not s.flags && array['fees_unknown', 'fees_on_top_unknown', 'fees_exceed_price']
                  and div(s.price_raw, greatest(s.quantity, 1)) > 10 * (
                select case when count(*) >= 10 then percentile_disc(0.5) within group (order by before.unit_price) end
                from (
                    -- the same thirty that TOUCHED takes for following: a sale is recomputed with exactly what it can change
                    select div(o.price_raw, greatest(o.quantity, 1)) as unit_price from catalog_service.sale_facts o
                    where o.chain_id = $1 and o.contract = s.contract and o.currency_address = s.currency_address and o.id < s.id
                      and o.token is not null and o.bundle_size = 1 and o.price_raw is not null
                    order by o.id desc limit 30
                ) before
            ) then 'price_outlier' end
        ], null) as flags
        from catalog_service.sale_facts s
        cross join lateral (
            select s.seller <> '\\x0000000000000000000000000000000000000000' as seller,
                   s.buyer <> '\\x0000000000000000000000000000000000000000' as buyer
        ) known
        cross join lateral (
            select s.seller = any($4) or s.buyer = any($4) as trades
        ) intermediary
        where s.chain_id = $1 and s.id = any($2)
    )
    update catalog_service.sale_facts s set wash_flags = j.flags, wash_version = $3
    from recomputed j
    -- nearly all come out as they were, and only what changes is written
    where s.chain_id = $1 and s.id = j.id and (s.wash_flags <> j.flags or s.wash_version <> $3)";
