//! What a faulty rewind would leave behind: a row without what it follows from. The digest sees every one.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use sinks::commit::{Move, apply};
use sinks::digest::{TableDigest, digest};
use sinks::store::Store;
use sqlx::AssertSqlSafe;
use testkit::database::with_store;
use uuid::Uuid;

use crate::world::{CHAIN, World};

/// Every digested table, and what makes a copy of one of its rows a leftover.
fn leftovers() -> Vec<(&'static str, Value)> {
    let id = || Uuid::new_v4().to_string();
    let unused = "0x00000000000000000000000000000000deadbeef";
    let bytes = "\\x00000000000000000000000000000000deadbeef";
    vec![
        ("catalog_service.transfer_facts", json!({ "id": id() })),
        (
            "catalog_service.token_states",
            json!({ "id": id(), "number": 987_654_321 }),
        ),
        (
            "catalog_service.collections",
            json!({ "id": id(), "contract_address": unused, "slug": unused }),
        ),
        // A balance of a token that is gone, of one that others still hold, and a dead one.
        (
            "catalog_service.erc1155_balances",
            json!({ "token": id(), "quantity": 7 }),
        ),
        (
            "catalog_service.erc1155_balances",
            json!({ "owner": bytes, "quantity": 7 }),
        ),
        (
            "catalog_service.erc1155_balances",
            json!({ "token": id(), "quantity": 0 }),
        ),
        ("catalog_service.collection_counters", json!({ "contract": unused })),
        // A sale of a token and a collection that are gone.
        (
            "catalog_service.sale_facts",
            json!({ "id": id(), "contract": bytes, "token": id() }),
        ),
        ("catalog_service.collection_sales", json!({ "contract": unused })),
        ("catalog_service.token_sales", json!({ "token": id() })),
        (
            "catalog_service.order_facts",
            json!({ "id": id(), "contract": bytes, "token": id() }),
        ),
        ("catalog_service.order_closings", json!({ "id": id() })),
        ("indexer_service.decode_faults", json!({ "id": id() })),
        ("indexer_service.indexer_coverage", json!({ "source": "unused" })),
    ]
}

/// Tables of the catalogue that no fact decides, and which are not digested.
const NOT_FROM_FACTS: [&str; 7] = [
    "catalog_service.collection_drafts",
    "catalog_service.currencies",
    "catalog_service.marketplaces",
    "catalog_service.token_metadata",
    "catalog_service.token_trait_links",
    "catalog_service.trait_values",
    "catalog_service.traits",
];

#[tokio::test(flavor = "multi_thread")]
async fn the_digest_sees_every_leftover() {
    with_store(1, |store| async move {
        let world = World::new(7, 60);
        apply(&store, &world.facts(0..=59), Move::Backfill { branch: 0 })
            .await
            .unwrap();
        let mut before = digest(&store, CHAIN).await.unwrap();
        let mut seen = Vec::new();
        for (table, keys) in leftovers() {
            plant(&store, table, &keys).await;
            let after = digest(&store, CHAIN).await.unwrap();
            assert_eq!(changed(&before, &after), [(table, 1)], "{keys}");
            seen.push(table);
            before = after;
        }
        let seen: BTreeSet<&str> = seen.into_iter().collect();
        let digested: BTreeSet<&str> = before.iter().map(|table| table.table).collect();
        assert_eq!(seen, digested, "a digested table without a leftover");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_table_that_facts_decide_is_digested() {
    with_store(1, |store| async move {
        let tables: Vec<String> = sqlx::query_scalar(
            "select format('%I.%I', n.nspname, c.relname) from pg_class c join pg_namespace n on n.oid = c.relnamespace
             where n.nspname = 'catalog_service' and c.relkind in ('r', 'p') and not c.relispartition",
        )
        .fetch_all(&store.pool)
        .await
        .unwrap();
        let digested = digest(&store, CHAIN).await.unwrap();
        let forgotten: Vec<&String> = tables
            .iter()
            .filter(|table| !NOT_FROM_FACTS.contains(&table.as_str()))
            .filter(|table| digested.iter().all(|digest| digest.table != **table))
            .collect();
        assert!(!tables.is_empty() && forgotten.is_empty(), "{forgotten:?}");
    })
    .await;
}

/// Copies a row of `table` with other `keys`.
async fn plant(store: &Store, table: &str, keys: &Value) {
    // Columns that PostgreSQL computes take no value.
    let columns: Vec<String> = sqlx::query_scalar(
        "select quote_ident(attname) from pg_attribute
         where attrelid = $1::text::regclass and attnum > 0 and not attisdropped and attgenerated = '' order by attnum",
    )
    .bind(table)
    .fetch_all(&store.pool)
    .await
    .unwrap();
    let values: Vec<String> = columns.iter().map(|column| format!("(s.copy).{column}")).collect();
    let copy = format!(
        "insert into {table} ({}) select {} from (select jsonb_populate_record(t, $1) as copy from {table} t limit 1) s",
        columns.join(", "),
        values.join(", ")
    );
    let planted = sqlx::query(AssertSqlSafe(copy)).bind(keys).execute(&store.pool).await;
    let planted = planted.unwrap_or_else(|error| panic!("{table}: {error}"));
    assert_eq!(planted.rows_affected(), 1, "{table} is empty");
}

/// The tables whose digests differ, and how many rows there are more.
fn changed<'a>(before: &'a [TableDigest], after: &[TableDigest]) -> Vec<(&'a str, i64)> {
    let pairs = before
        .iter()
        .zip(after)
        .filter(|(before, after)| before.digest != after.digest);
    pairs
        .map(|(before, after)| (before.table, after.rows.cast_signed() - before.rows.cast_signed()))
        .collect()
}
