//! Sales counted and their prices summed, per contract and currency and per token and currency; and the last sale of a token.
//!
//! A sale whose price is not known counts and adds no volume. One whose token is not known, or that is flagged `unproven`, counts
//! nowhere. The last sale is that with the highest position; parts of a bundle are none, because what one of them cost is
//! unknown.

use std::collections::BTreeMap;

use alloy_primitives::{Address, U512};
use decoders::fact::flag;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::error::SinkError;
use crate::facts::Batch;
use crate::facts::sales::Sold;
use crate::projection::Projection;
use crate::projections::tokens::address_text;

/// What [`apply`] and [`revert`] keep.
pub(super) const PROJECTION: Projection = Projection {
    reads: |facts| facts.sales > 0,
    alone: false,
    deferred: false,
    added_by_two: false,
    digests: &[
        ("catalog_service.collection_sales", COLLECTION_DIGEST),
        ("catalog_service.token_sales", TOKEN_DIGEST),
    ],
    apply: |db, batch| Box::pin(apply(db, batch)),
    revert: |db, chain| Box::pin(revert(db, chain)),
};

/// Counts the sales of `batch`, for their tokens and then for their collections.
async fn apply(db: &mut PgConnection, batch: &Batch<'_>) -> Result<(), SinkError> {
    apply_to_tokens(db, batch).await?;
    apply_to_collections(db, batch).await
}

async fn apply_to_tokens(db: &mut PgConnection, batch: &Batch<'_>) -> Result<(), SinkError> {
    let sums = fold(batch, |row| row.key.token.map(|key| key.token));
    if sums.is_empty() {
        return Ok(());
    }
    sqlx::query(ADD_TO_TOKENS)
        .bind(&batch.chain_name)
        .bind(sums.keys().map(|(token, _)| *token).collect::<Vec<Uuid>>())
        .bind(sums.keys().map(|(_, currency)| currency.as_slice()).collect::<Vec<_>>())
        .bind(sums.values().map(|sum| sum.sales).collect::<Vec<i64>>())
        .bind(sums.values().map(|sum| sum.volume.to_string()).collect::<Vec<_>>())
        .bind(sums.values().map(|sum| sum.last).collect::<Vec<Option<Uuid>>>())
        .execute(db)
        .await?;
    Ok(())
}

async fn apply_to_collections(db: &mut PgConnection, batch: &Batch<'_>) -> Result<(), SinkError> {
    let sums = fold(batch, |row| row.key.token.map(|_| row.fact.contract));
    if sums.is_empty() {
        return Ok(());
    }
    sqlx::query(ADD_TO_COLLECTIONS)
        .bind(&batch.chain_name)
        .bind(
            sums.keys()
                .map(|(contract, _)| address_text(contract))
                .collect::<Vec<_>>(),
        )
        .bind(
            sums.keys()
                .map(|(_, currency)| address_text(currency))
                .collect::<Vec<_>>(),
        )
        .bind(sums.values().map(|sum| sum.sales).collect::<Vec<i64>>())
        .bind(sums.values().map(|sum| sum.volume.to_string()).collect::<Vec<_>>())
        .execute(db)
        .await?;
    Ok(())
}

/// Uncounts the sales of `undone_sales`, and looks for another last sale where it was taken away.
async fn revert(db: &mut PgConnection, chain: &str) -> Result<(), SinkError> {
    sqlx::query(SUBTRACT_FROM_COLLECTIONS)
        .bind(chain)
        .execute(&mut *db)
        .await?;
    sqlx::query(REMOVE_COLLECTIONS).bind(chain).execute(&mut *db).await?;
    sqlx::query(SUBTRACT_FROM_TOKENS).bind(chain).execute(&mut *db).await?;
    sqlx::query(REMOVE_TOKENS).execute(db).await?;
    Ok(())
}

const COLLECTION_DIGEST: &str =
    "select count(*), coalesce(sum(('x' || left(md5(t::text), 16))::bit(64)::bigint), 0)::text from (
        select contract, currency, sales, volume_raw from catalog_service.collection_sales where chain_id = $1
    ) t";

const TOKEN_DIGEST: &str =
    "select count(*), coalesce(sum(('x' || left(md5(t::text), 16))::bit(64)::bigint), 0)::text from (
        select token, catalog_service.hex(currency), sales, volume_raw, last_sale from catalog_service.token_sales where chain_id = $1
    ) t";

// Sorted by key, so that two writers lock the rows they share in one order.
const ADD_TO_TOKENS: &str = "insert into catalog_service.token_sales as n (chain_id, token, currency, sales, volume_raw, last_sale)
    select $1, s.token, s.currency, s.sales, s.volume::numeric, s.last_sale
    from unnest($2::uuid[], $3::bytea[], $4::int8[], $5::text[], $6::uuid[]) as s (token, currency, sales, volume, last_sale)
    order by s.token, s.currency
    on conflict (token, currency) do update set
        sales = n.sales + excluded.sales, volume_raw = n.volume_raw + excluded.volume_raw,
        last_sale = greatest(n.last_sale, excluded.last_sale)";

const ADD_TO_COLLECTIONS: &str =
    "insert into catalog_service.collection_sales as n (chain_id, contract, currency, sales, volume_raw)
    select $1, s.contract, s.currency, s.sales, s.volume::numeric
    from unnest($2::text[], $3::text[], $4::int8[], $5::text[]) as s (contract, currency, sales, volume)
    order by s.contract collate \"C\", s.currency collate \"C\"
    on conflict (chain_id, contract, currency) do update set
        sales = n.sales + excluded.sales, volume_raw = n.volume_raw + excluded.volume_raw";

const SUBTRACT_FROM_COLLECTIONS: &str = "update catalog_service.collection_sales n set
        sales = n.sales - u.sales, volume_raw = n.volume_raw - u.volume
    from (select catalog_service.hex(contract) as contract, catalog_service.hex(currency_address) as currency, count(*) as sales, coalesce(sum(price_raw), 0) as volume
          from undone_sales sold where token is not null and not 'unproven' = any(flags) group by sold.contract, sold.currency_address) u
    where n.chain_id = $1 and n.contract = u.contract and n.currency = u.currency";

const REMOVE_COLLECTIONS: &str = "delete from catalog_service.collection_sales n
    using (select distinct catalog_service.hex(contract) as contract, catalog_service.hex(currency_address) as currency
           from undone_sales) u
    where n.chain_id = $1 and n.contract = u.contract and n.currency = u.currency and n.sales = 0";

// Looks for another last sale only where it was taken away, from the high end of the (token, id) index.
const SUBTRACT_FROM_TOKENS: &str = "update catalog_service.token_sales n set
        sales = n.sales - u.sales, volume_raw = n.volume_raw - u.volume,
        last_sale = case when n.last_sale <= u.last_sale then newest.id else n.last_sale end
    from (select token, currency_address as currency, count(*) as sales, coalesce(sum(price_raw), 0) as volume,
                 (array_agg(id order by id desc) filter (where bundle_size = 1))[1] as last_sale
          from undone_sales where token is not null and not 'unproven' = any(flags) group by token, currency_address) u
    left join lateral (
        select f.id from catalog_service.sale_facts f
        where u.last_sale is not null and f.chain_id = $1 and f.token = u.token and f.currency_address = u.currency
          and f.bundle_size = 1 and not 'unproven' = any(f.flags)
        order by f.id desc limit 1
    ) newest on true
    where n.token = u.token and n.currency = u.currency";

const REMOVE_TOKENS: &str = "delete from catalog_service.token_sales n
    using (select distinct token, currency_address as currency from undone_sales) u
    where n.token = u.token and n.currency = u.currency and n.sales = 0";

/// What one span adds to one key.
#[derive(Default)]
struct Sum {
    sales: i64,
    /// Sums of 2^256 - 1 need more than 256 bits.
    volume: U512,
    /// Newest sale that is no part of a bundle.
    last: Option<Uuid>,
}

/// Sums per key and currency, sorted by both. Sales without a key are left out, and those that no source vouches for.
fn fold<K: Ord>(batch: &Batch<'_>, key: impl Fn(&Sold<'_>) -> Option<K>) -> BTreeMap<(K, Address), Sum> {
    let mut sums: BTreeMap<(K, Address), Sum> = BTreeMap::new();
    for row in &batch.sales {
        let Some(key) = key(row).filter(|_| !row.fact.flags.contains(&flag::UNPROVEN)) else {
            continue;
        };
        let sum = sums.entry((key, row.fact.currency)).or_default();
        sum.sales += 1;
        sum.volume += row.fact.price.map_or(U512::ZERO, U512::from);
        if row.fact.bundle_size == 1 {
            sum.last = Some(row.id);
        }
    }
    sums
}
