//! A database that an older release wrote is carried over to narrow tables with all of its rows.

use sinks::commit::{Move, apply, rewind};
use sinks::digest::digest;
use sinks::store::{MIGRATOR, Store};
use sqlx::AssertSqlSafe;
use testkit::database::Database;

use crate::replay::stand;
use crate::world::{CHAIN, World};

/// The migration that makes the tables narrow.
const NARROW: i64 = 34;

/// Tables as they were before, with their rows read from what follows.
const OLD: [(&str, &str); 10] = [
    (
        "catalog_service.ownership_transfers",
        "select * from catalog_service.ownership_transfers",
    ),
    (
        "catalog_service.sale_facts",
        "select *, token_id as token from catalog_service.sales",
    ),
    (
        "catalog_service.order_facts",
        "select *, quantity - remaining as filled from catalog_service.orders",
    ),
    (
        "catalog_service.order_closings",
        "select *, catalog_service.hex(market) as market, catalog_service.hex(key) as key, catalog_service.hex(maker) as maker,
                catalog_service.hex(tx_hash) as tx_hash, catalog_service.hex(block_hash) as block_hash,
                catalog_service.block_of(id) as block_number, catalog_service.log_index_of(id) as log_index,
                catalog_service.item_of(id) as item
         from catalog_service.order_closings",
    ),
    (
        "catalog_service.collections",
        "select * from catalog_service.collections",
    ),
    ("catalog_service.tokens", "select * from catalog_service.tokens"),
    (
        "catalog_service.erc1155_balances",
        "select token, catalog_service.hex(owner) as owner, quantity from catalog_service.erc1155_balances",
    ),
    (
        "catalog_service.token_sales",
        "select *, catalog_service.hex(currency) as currency from catalog_service.token_sales",
    ),
    (
        "catalog_service.collection_sales",
        "select * from catalog_service.collection_sales",
    ),
    (
        "catalog_service.collection_counters",
        "select * from catalog_service.collection_counters",
    ),
];

async fn migrate(store: &Store, versions: impl Fn(i64) -> bool) {
    for migration in MIGRATOR.iter().filter(|migration| versions(migration.version)) {
        let mut transaction = store.pool.begin().await.unwrap();
        sqlx::raw_sql(AssertSqlSafe(migration.sql.as_str()))
            .execute(&mut *transaction)
            .await
            .unwrap();
        transaction.commit().await.unwrap();
    }
}

/// The rows of `select`, each as an object; as text, because amounts are longer than the numbers of JSON libraries.
async fn rows(store: &Store, select: &str) -> String {
    // As jsonb, of two columns with one name the last is the one that counts.
    let statement = format!("select coalesce(jsonb_agg(row_to_json(t)::jsonb), '[]')::text from ({select}) t");
    sqlx::query_scalar(AssertSqlSafe(statement))
        .fetch_one(&store.pool)
        .await
        .unwrap()
}

/// Writes `rows` into `table`, as far as it has their columns.
async fn write(store: &Store, table: &str, rows: &str) -> u64 {
    let columns: Vec<String> = sqlx::query_scalar(
        "select quote_ident(attname) from pg_attribute
         where attrelid = $1::text::regclass and attnum > 0 and not attisdropped and attgenerated = '' order by attnum",
    )
    .bind(table)
    .fetch_all(&store.pool)
    .await
    .unwrap();
    let columns = columns.join(", ");
    let statement = format!(
        "insert into {table} ({columns}) select {columns} from jsonb_populate_recordset(null::{table}, $1::jsonb) as row"
    );
    let written = sqlx::query(AssertSqlSafe(statement))
        .bind(rows)
        .execute(&store.pool)
        .await;
    written.unwrap().rows_affected()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_older_release_wrote_is_carried_over() {
    let (new, old) = (Database::new().await, Database::empty(2).await);
    let world = World::new(31, 40);
    let lease = stand(&new.store, &world, 39, 30).await;
    let expected = digest(&new.store, CHAIN).await.unwrap();

    migrate(&old.store, |version| version < NARROW).await;
    sqlx::query("select catalog_service.ensure_chain($1)")
        .bind(CHAIN.to_string())
        .execute(&old.store.pool)
        .await
        .unwrap();
    for (table, select) in OLD {
        let rows = rows(&new.store, select).await;
        assert!(write(&old.store, table, &rows).await > 0, "{table}");
    }
    for table in ["marketplaces", "currencies"] {
        let table = format!("catalog_service.{table}");
        write(
            &old.store,
            &table,
            &rows(&new.store, &format!("select * from {table}")).await,
        )
        .await;
    }
    for table in [
        "decode_faults",
        "indexer_coverage",
        "indexer_checkpoints",
        "chain_leases",
        "indexer_blocks",
    ] {
        let table = format!("indexer_service.{table}");
        write(
            &old.store,
            &table,
            &rows(&new.store, &format!("select * from {table}")).await,
        )
        .await;
    }
    migrate(&old.store, |version| version >= NARROW).await;
    assert_eq!(digest(&old.store, CHAIN).await.unwrap(), expected);

    // What was carried over can be undone and written again.
    let undone = rewind(&old.store, CHAIN, world.block(39), world.block(30), &lease)
        .await
        .unwrap();
    assert!(undone.iter().all(|(_, count)| *count > 0), "{undone:?}");
    let step = Move::Head {
        from: Some(world.block(30)),
        lease: &lease,
    };
    apply(&old.store, &world.facts(31..=39), step).await.unwrap();
    assert_eq!(digest(&old.store, CHAIN).await.unwrap(), expected);
}
