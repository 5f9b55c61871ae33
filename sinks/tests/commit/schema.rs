//! The schema itself: migrations that never change and can be run again, and domains that hold.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::world::{CHAIN, World};
use alloy_primitives::{Address, B256};
use decoders::block::BlockRef;
use decoders::fact::{KINDS, Place};
use decoders::id::{FACT_KINDS, RecordKind, retraction_of};
use sinks::commit::{Move, apply, rewind};
use sinks::progress::lease::acquire;
use sinks::store::MIGRATOR;
use sqlx::AssertSqlSafe;
use sqlx::postgres::PgListener;
use testkit::database::{Database, with_store};
use uuid::Uuid;

use crate::statements::statement;

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// `migrations/SHIPPED` lists every migration with the checksum it was shipped with: a line is added, never changed.
#[test]
fn shipped_migrations_never_change() {
    let shipped = std::fs::read_to_string(folder("../migrations/SHIPPED")).unwrap();
    let current: String = MIGRATOR
        .iter()
        .map(|migration| {
            let checksum: String = migration.checksum[..16]
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect();
            format!("{:04} {checksum}\n", migration.version)
        })
        .collect();
    assert_eq!(
        current, shipped,
        "a shipped migration changed, or a new one is not listed in migrations/SHIPPED"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn migrations_can_be_run_again() {
    let database = Database::empty(1).await;
    // Each at its place: one that was cut short is run again before those that follow it.
    for migration in MIGRATOR.iter() {
        for _ in 0..2 {
            sqlx::raw_sql(AssertSqlSafe(migration.sql.as_str()))
                .execute(&database.store.pool)
                .await
                .unwrap();
        }
    }
}

/// Rows that break a rule are refused by its name, triggers do what the documents ask, and what names a user is not left behind.
#[tokio::test(flavor = "multi_thread")]
async fn the_tables_of_people_hold_their_rules() {
    with_store(1, |store| async move { testkit::rules::hold(&store.pool).await }).await;
}

/// A log-in that may not make roles is no obstacle: what is missing is named, for someone who may.
#[tokio::test(flavor = "multi_thread")]
async fn roles_that_may_not_be_made_are_named() {
    with_store(1, |store| async move {
        assert_eq!(store.ensure_roles().await.unwrap(), Vec::<String>::new());
        let name = testkit::services::unique("plain");
        let mut transaction = store.pool.begin().await.unwrap();
        // Roles belong to the server: this one goes with the transaction.
        let plain = format!(
            "create role {name} nologin;
             grant usage on schema indexer_service to {name};
             create or replace function indexer_service.service_roles() returns table (service_role name)
                 language sql immutable as 'values (''absent_{name}''::name)';
             set local role {name}"
        );
        sqlx::raw_sql(AssertSqlSafe(plain))
            .execute(&mut *transaction)
            .await
            .unwrap();
        let missing: Vec<String> = sqlx::query_scalar("select indexer_service.ensure_roles()")
            .fetch_all(&mut *transaction)
            .await
            .unwrap();
        assert_eq!(missing, [format!("create role absent_{name} nologin;")]);
        transaction.rollback().await.unwrap();
    })
    .await;
}

/// What the migrations hold of tables of facts, [`decoders::fact::KINDS`] and the list of kinds in `sinks` are one list.
#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_fact_has_its_partitions() {
    with_store(1, |store| async move {
        let partitioned: BTreeSet<String> =
            sqlx::query_scalar("select fact_table::text from catalog_service.fact_tables()")
                .fetch_all(&store.pool)
                .await
                .unwrap()
                .into_iter()
                .map(|table: String| format!("catalog_service.{table}"))
                .collect();
        let written: BTreeSet<String> = sinks::facts::statements().map(|(table, _)| table.to_owned()).collect();
        assert_eq!(partitioned, written);
        assert_eq!(written.len(), KINDS.len());
    })
    .await;
}

/// SQL makes the id of a retraction of every kind of fact there is and could be as [`retraction_of`] does.
#[tokio::test(flavor = "multi_thread")]
async fn every_kind_is_retracted_under_an_id_of_its_own() {
    with_store(1, |store| async move {
        let mut transaction = store.pool.begin().await.unwrap();
        sqlx::raw_sql(AssertSqlSafe(statement("sinks/src/outbox.rs: MAKE_UNDONE")))
            .execute(&mut *transaction)
            .await
            .unwrap();
        let facts = (1..=FACT_KINDS).map(|digit| {
            let place = Place {
                source: "erc721",
                contracts: [Address::ZERO; 2],
                block_number: 1_000,
                log_index: 7,
                item: 3,
                tx_hash: B256::ZERO,
            };
            place.id(RecordKind::fact(digit), CHAIN, B256::repeat_byte(0x1f))
        });
        let facts: Vec<Uuid> = facts.collect();
        sqlx::query("insert into undone (id, body) select id, '{}' from unnest($1::uuid[]) as s (id)")
            .bind(&facts)
            .execute(&mut *transaction)
            .await
            .unwrap();
        sqlx::query(AssertSqlSafe(statement("sinks/src/outbox.rs: RETRACT")))
            .bind(CHAIN.to_string())
            .execute(&mut *transaction)
            .await
            .unwrap();
        let retracted: Vec<Uuid> = sqlx::query_scalar("select fact_id from indexer_service.outbox order by seq desc")
            .fetch_all(&mut *transaction)
            .await
            .unwrap();
        let expected: Vec<Uuid> = facts.iter().map(|fact| retraction_of(*fact)).collect();
        assert_eq!(retracted, expected);
        let distinct: BTreeSet<&Uuid> = facts.iter().chain(&retracted).collect();
        assert_eq!(distinct.len(), 2 * facts.len());
    })
    .await;
}

/// A newer binary migrates the tables beside a running daemon, whose connections keep temporary tables of the old shape.
#[tokio::test(flavor = "multi_thread")]
async fn a_migration_between_two_rewinds_of_one_connection_does_no_harm() {
    with_store(1, |store| async move {
        let world = World::new(7, 30);
        let lease = acquire(&store, CHAIN, "here", Duration::from_secs(600))
            .await
            .unwrap()
            .unwrap();
        let mut from = None;
        for (table, last) in [
            ("transfer_facts", 10),
            ("sale_facts", 11),
            ("order_facts", 12),
            ("order_closings", 13),
        ] {
            let step = Move::Head { from, lease: &lease };
            apply(
                &store,
                &world.facts(from.map_or(0, |from: BlockRef| from.number + 1)..=last),
                step,
            )
            .await
            .unwrap();
            let top = world.block(last);
            rewind(&store, CHAIN, top, world.block(4), &lease).await.unwrap();
            from = Some(world.block(4));
            let changed = format!("alter table catalog_service.{table} add column later text not null default ''");
            sqlx::raw_sql(AssertSqlSafe(changed))
                .execute(&store.pool)
                .await
                .unwrap();
        }
        let step = Move::Head { from, lease: &lease };
        apply(&store, &world.facts(5..=29), step).await.unwrap();
        let undone = rewind(&store, CHAIN, world.block(29), world.block(4), &lease)
            .await
            .unwrap();
        assert!(undone.iter().all(|(_, count)| *count > 0), "{undone:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn domains_hold() {
    with_store(1, |store| async move {
        let fits = async |text: String, domain: &str| {
            let statement = format!("select $1::chain_registry_service.{domain}");
            sqlx::query(AssertSqlSafe(statement))
                .bind(text)
                .execute(&store.pool)
                .await
                .is_ok()
        };
        let address = "0xbc4ca0eda7647a8ab7c2061c2e118a18a936f13d";
        assert!(fits(address.into(), "evm_address").await);
        let (upper, short) = (address.to_uppercase(), address[..41].to_owned());
        let (long, bare) = (format!("{address}0"), format!("00{}", &address[2..]));
        let (letter, space) = (format!("{}g", &address[..41]), format!("{} ", &address[..41]));
        for wrong in [
            upper.replace("0X", "0x"),
            upper,
            short,
            long,
            bare,
            letter,
            space,
            String::new(),
        ] {
            assert!(!fits(wrong.clone(), "evm_address").await, "{wrong:?}");
        }
        let hash = format!("0x{}", "0a".repeat(32));
        assert!(fits(hash.clone(), "evm_tx_hash").await);
        for wrong in [address.to_owned(), hash.to_uppercase(), format!("{hash}00")] {
            assert!(!fits(wrong.clone(), "evm_tx_hash").await, "{wrong:?}");
        }
        for chain in ["eip155:1", "eip155:11297108109"] {
            assert!(fits(chain.into(), "caip2_chain").await, "{chain}");
        }
        for wrong in [
            "1",
            "eip155:",
            "eip155:01",
            "eip155:-1",
            "eip155:1.5",
            "eip155:NaN",
            "EIP155:1",
            "eip155: 1",
        ] {
            assert!(!fits(wrong.into(), "caip2_chain").await, "{wrong:?}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_of_the_registry_is_announced_and_an_observed_fee_is_not() {
    with_store(2, |store| async move {
        let mut listener = PgListener::connect_with(&store.pool).await.unwrap();
        listener.listen("chain_registry").await.unwrap();
        let edits = [
            ("insert into chain_registry_service.chains (caip2, chain_numeric, name) values ('eip155:1', 1, 'Ethereum')", "chains"),
            ("insert into chain_registry_service.chain_endpoints (chain_id, url) values (1, 'http://127.0.0.1:1')", "chain_endpoints"),
            ("insert into chain_registry_service.abi_blobs (sha256, size_bytes, abi_json) values (repeat('a', 64), 2, '[]')", "abi_blobs"),
            (
                "insert into chain_registry_service.chain_contracts (chain_id, address) values (1, '0x' || repeat('a', 40))",
                "chain_contracts",
            ),
            ("insert into chain_registry_service.chain_gas_policy (chain_id, max_fee_gwei) values (1, 2)", "chain_gas_policy"),
            ("update chain_registry_service.chain_gas_policy set max_fee_gwei = 3", "chain_gas_policy"),
            ("update chain_registry_service.chains set enabled = false", "chains"),
            ("delete from chain_registry_service.chain_endpoints", "chain_endpoints"),
        ];
        for (edit, table) in edits {
            sqlx::query(edit).execute(&store.pool).await.unwrap();
            let stated = tokio::time::timeout(Duration::from_secs(100), listener.recv()).await.expect(edit).unwrap();
            assert_eq!(stated.payload(), table, "{edit}");
        }
        sqlx::query("update chain_registry_service.chain_gas_policy set last_observed_base_fee_gwei = 7")
            .execute(&store.pool)
            .await
            .unwrap();
        let silence = tokio::time::timeout(Duration::from_millis(200), listener.recv()).await;
        assert!(silence.is_err(), "{silence:?}");
    })
    .await;
}
