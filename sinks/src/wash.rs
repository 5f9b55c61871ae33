//! Trades that look made up: `wash_flags` of `sale_facts`, a function of the sales of a chain (decoding specification, section 7).
//!
//! - `same_party`: buyer and seller are one.
//! - `round_trip`: the token was also sold the other way round between the two.
//! - `repeated`: the same buyer bought, or the same seller sold, the same single-owner token at least three times. Purchases
//!   from and by Blend, which takes tokens for many, do not count as the buyer's.
//! - `price_outlier`: a sale without any fee, at a unit price above ten times the median of those before it: the last thirty, and
//!   at least ten, single sales of the collection in the same currency whose price is told. The median of an even number is the
//!   lower one of the middle two.
//!
//! A party nobody knows (the zero address) is nobody, and a sale of a token nobody knows can only be `same_party`.

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::Address;
use decoders::block::ChainId;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::batch::{Batch, Sold};
use crate::coverage;
use crate::error::SinkError;
use crate::store::Store;
use crate::tokens::address_text;

/// Version of the rules above, kept with every sale they judged: a change of the rules raises it, and [`recompute`] does the rest.
pub const WASH_VERSION: i32 = 1;

/// Sales that [`recompute`] judges in one transaction.
const RECOMPUTED_AT_ONCE: i64 = 2_000;

/// Judges the sales of `batch`, and those that look different beside them.
///
/// To be called by the only writer of the chain: it computes from sales that no other may be adding meanwhile.
pub(crate) async fn apply(db: &mut PgConnection, batch: &Batch<'_>) -> Result<(), SinkError> {
    let mut changes = Changes::default();
    batch.sales.iter().for_each(|row| changes.add(&Trade::of(row)));
    changes.judge(db, &batch.chain_name).await
}

/// Judges the sales that look different without those in `undone_sales`.
pub(crate) async fn revert(db: &mut PgConnection, chain: &str) -> Result<(), SinkError> {
    let undone: Vec<Trade> = sqlx::query_as(UNDONE).fetch_all(&mut *db).await?;
    let mut changes = Changes::default();
    undone.iter().for_each(|trade| changes.add(trade));
    changes.judge(db, chain).await
}

/// Judges every sale of `chain` that was judged by other rules, a bounded number per transaction; returns how many there were.
/// Harmless at any time and beside anything else: what is cut short goes on where it stopped.
pub async fn recompute(store: &Store, chain: ChainId) -> Result<u64, SinkError> {
    let name = chain.to_string();
    let (mut after, mut judged) = (Uuid::nil(), 0);
    loop {
        let mut tx = store.pool.begin().await?;
        coverage::share(&mut tx, &name).await?;
        coverage::alone(&mut tx, &name).await?;
        let outdated: Vec<Uuid> = sqlx::query_scalar(OUTDATED)
            .bind(&name)
            .bind(after)
            .bind(WASH_VERSION)
            .bind(RECOMPUTED_AT_ONCE)
            .fetch_all(&mut *tx)
            .await?;
        let Some(last) = outdated.last() else {
            return Ok(judged);
        };
        (after, judged) = (*last, judged + outdated.len() as u64);
        judge(&mut tx, &name, &outdated).await?;
        tx.commit().await?;
    }
}

async fn judge(db: &mut PgConnection, chain: &str, sales: &[Uuid]) -> Result<(), SinkError> {
    sqlx::query(JUDGE)
        .bind(chain)
        .bind(sales)
        .bind(WASH_VERSION)
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
    contract: String,
    currency: String,
    seller: String,
    buyer: String,
    /// Whether it is one of those a median is taken of.
    single: bool,
}

impl Trade {
    fn of(row: &Sold<'_>) -> Self {
        let fact = row.fact;
        let text = |address: &Address| address_text(address);
        Trade {
            id: row.id,
            token: row.key.token.map(|key| key.token),
            standard: fact.standard.as_str().to_owned(),
            contract: text(&fact.contract),
            currency: text(&fact.currency),
            seller: text(&fact.seller),
            buyer: text(&fact.buyer),
            single: fact.bundle_size == 1 && fact.price.is_some(),
        }
    }
}

/// Sales that came or went: themselves, and where they make others look different.
#[derive(Default)]
struct Changes {
    sales: Vec<Uuid>,
    /// Token, seller, buyer, and whether the token has a single owner.
    parties: BTreeSet<(Uuid, String, String, bool)>,
    /// First and last of them per contract and currency.
    courses: BTreeMap<(String, String), (Uuid, Uuid)>,
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

    async fn judge(&self, db: &mut PgConnection, chain: &str) -> Result<(), SinkError> {
        if self.sales.is_empty() {
            return Ok(());
        }
        let parties = || self.parties.iter();
        let courses = || self.courses.iter();
        let touched: Vec<Uuid> = sqlx::query_scalar(TOUCHED)
            .bind(chain)
            .bind(&self.sales)
            .bind(parties().map(|(token, ..)| *token).collect::<Vec<_>>())
            .bind(parties().map(|(_, seller, ..)| seller.as_str()).collect::<Vec<_>>())
            .bind(parties().map(|(_, _, buyer, _)| buyer.as_str()).collect::<Vec<_>>())
            .bind(parties().map(|(.., single_owner)| *single_owner).collect::<Vec<_>>())
            .bind(
                courses()
                    .map(|((contract, _), _)| contract.as_str())
                    .collect::<Vec<_>>(),
            )
            .bind(
                courses()
                    .map(|((_, currency), _)| currency.as_str())
                    .collect::<Vec<_>>(),
            )
            .bind(courses().map(|(_, (first, _))| *first).collect::<Vec<_>>())
            .bind(courses().map(|(_, (_, last))| *last).collect::<Vec<_>>())
            .fetch_all(&mut *db)
            .await?;
        judge(db, chain, &touched).await
    }
}

const UNDONE: &str = "select id, token, standard, contract, currency_address as currency, seller, buyer,
           bundle_size = 1 and price_raw is not null as single
    from undone_sales";

const OUTDATED: &str = "select id from catalog_service.sale_facts
    where chain_id = $1 and id > $2 and wash_version <> $3 order by id limit $4";

// Without the offset the planner, which knows nothing of how near the first is to the last, would read every sale there is.
const TOUCHED: &str = "with parties as (
        select * from unnest($3::uuid[], $4::text[], $5::text[], $6::boolean[]) as s (token, seller, buyer, single_owner)
    ), courses as (
        select * from unnest($7::text[], $8::text[], $9::uuid[], $10::uuid[]) as s (contract, currency, first, last)
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

// A new sale carries the version already, so that what looks honest, as nearly all does, is not written again.
const JUDGE: &str = "with judged as materialized (
        select s.id, array_remove(array[
            case when s.buyer = s.seller and known.seller then 'same_party' end,
            case when known.seller and known.buyer and exists (
                select from catalog_service.sale_facts o
                where o.chain_id = $1 and o.token = s.token and o.seller = s.buyer and o.buyer = s.seller and o.id <> s.id
            ) then 'round_trip' end,
            case when s.standard <> 'erc1155' and (
                known.seller and (select count(*) from (
                    select from catalog_service.sale_facts o
                    where o.chain_id = $1 and o.token = s.token and o.seller = s.seller and o.standard <> 'erc1155' limit 3
                ) sold) = 3
                or known.buyer and not blend.trades and (select count(*) from (
                    select from catalog_service.sale_facts o
                    where o.chain_id = $1 and o.token = s.token and o.buyer = s.buyer and o.standard <> 'erc1155'
                      and o.seller <> '0x29469395eaf6f95920e59f858042f0e28d98a20b' limit 3
                ) bought) = 3
            ) then 'repeated' end,
            case when s.token is not null and s.bundle_size = 1 and not 0 < any(s.fee_amounts)
                  and not s.flags && array['fees_unknown', 'fees_on_top_unknown', 'fees_exceed_price']
                  and div(s.price_raw, greatest(s.quantity, 1)) > 10 * (
                select case when count(*) >= 10 then percentile_disc(0.5) within group (order by before.unit_price) end
                from (
                    select div(o.price_raw, greatest(o.quantity, 1)) as unit_price from catalog_service.sale_facts o
                    where o.chain_id = $1 and o.contract = s.contract and o.currency_address = s.currency_address and o.id < s.id
                      and o.token is not null and o.bundle_size = 1 and o.price_raw is not null
                    order by o.id desc limit 30
                ) before
            ) then 'price_outlier' end
        ], null) as flags
        from catalog_service.sale_facts s
        cross join lateral (
            select s.seller <> '0x0000000000000000000000000000000000000000' as seller,
                   s.buyer <> '0x0000000000000000000000000000000000000000' as buyer
        ) known
        cross join lateral (
            select '0x29469395eaf6f95920e59f858042f0e28d98a20b' in (s.seller, s.buyer) as trades
        ) blend
        where s.chain_id = $1 and s.id = any($2)
    )
    update catalog_service.sale_facts s set wash_flags = j.flags, wash_version = $3
    from judged j
    where s.chain_id = $1 and s.id = j.id and (s.wash_flags <> j.flags or s.wash_version <> $3)";
