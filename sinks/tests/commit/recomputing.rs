//! Sales classified again after the rules changed: all of them once, and none when nothing changed.

use sinks::commit::{Move, apply};
use sinks::digest::digest;
use sinks::projections::wash::{WASH_VERSION, recompute};
use sinks::store::Store;
use testkit::database::with_store;
use uuid::Uuid;

use crate::laws::clear;
use crate::world::{CHAIN, World};

async fn run(store: &Store, statement: &'static str) -> u64 {
    sqlx::query(statement)
        .execute(&store.pool)
        .await
        .unwrap()
        .rows_affected()
}

/// What another version decided for every sale but some.
async fn overrule(store: &Store) -> u64 {
    run(
        store,
        "update catalog_service.sale_facts set wash_flags = '{overruled}', wash_version = 0 where catalog_service.log_index_of(id) <> 81",
    )
    .await
}

async fn overruled(store: &Store) -> i64 {
    sqlx::query_scalar("select count(*) from catalog_service.sale_facts where wash_flags = '{overruled}'")
        .fetch_one(&store.pool)
        .await
        .unwrap()
}

/// Version and last sale of what is kept of the chain.
async fn progress(store: &Store) -> Option<(i32, Uuid)> {
    sqlx::query_as("select version, recomputed_to from indexer_service.wash_progress where chain_id = 'eip155:1'")
        .fetch_optional(&store.pool)
        .await
        .unwrap()
}

async fn recompute_all(store: &Store) -> u64 {
    let mut recomputed = 0;
    while let Some(sales) = recompute(store, CHAIN).await.unwrap() {
        recomputed += sales;
    }
    recomputed
}

#[tokio::test(flavor = "multi_thread")]
async fn sales_recomputed_by_other_rules_are_recomputed_again_and_others_not_even_read() {
    with_store(1, |store| async move {
        let world = World::new(13, 30);
        apply(&store, &world.facts(0..=29), Move::Backfill { branch: 0 })
            .await
            .unwrap();
        let expected = digest(&store, CHAIN).await.unwrap();
        let outdated = overrule(&store).await;
        assert!(outdated > 0);
        assert_eq!(recompute_all(&store).await, outdated);
        assert_eq!(digest(&store, CHAIN).await.unwrap(), expected);
        assert_eq!(progress(&store).await, Some((WASH_VERSION, Uuid::max())));

        // Written behind its back, and so not seen: a chain that is up to date is not looked through.
        overrule(&store).await;
        assert_eq!(recompute(&store, CHAIN).await.unwrap(), None);
        assert_eq!(overruled(&store).await, outdated.cast_signed());

        run(&store, "update indexer_service.wash_progress set version = version - 1").await;
        assert_eq!(recompute_all(&store).await, outdated);
        assert_eq!(digest(&store, CHAIN).await.unwrap(), expected);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_sales_than_fit_one_transaction_are_recomputed_in_several_and_a_stop_between_them_loses_nothing() {
    with_store(1, |store| async move {
        let world = World::new(13, 30);
        apply(&store, &world.facts(0..=29), Move::Backfill { branch: 0 })
            .await
            .unwrap();
        // Copies of one sale in blocks far above, each honest beside the others.
        let copies = run(
            &store,
            r"insert into catalog_service.sale_facts
             select (jsonb_populate_record(s, jsonb_build_object(
                        'id', '01000000-0000-8000-8000-' || lpad(to_hex(n), 12, '0'), 'token_number', null, 'token', null,
                        'buyer', '\x00000000000000000000000000000000000000fe', 'wash_flags', '{}'::text[], 'wash_version', 1))).*
             from catalog_service.sale_facts s, generate_series(1, 4500) n
             where s.id = (select id from catalog_service.sale_facts order by id limit 1)",
        )
        .await;
        assert_eq!(copies, 4_500);
        let expected = digest(&store, CHAIN).await.unwrap();
        let outdated = overrule(&store).await;
        let first = recompute(&store, CHAIN).await.unwrap().unwrap();
        assert!(first > 0 && first < outdated, "{first} of {outdated}");
        let (_, recomputed_to) = progress(&store).await.unwrap();
        assert!(recomputed_to < Uuid::max());
        assert_eq!(overruled(&store).await, (outdated - first).cast_signed());

        // The next process goes on there, and what was applied meanwhile is classified already.
        assert_eq!(recompute_all(&store).await, outdated - first);
        assert_eq!(digest(&store, CHAIN).await.unwrap(), expected);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_judges_by_other_rules_than_the_last_makes_all_be_looked_at_again() {
    with_store(1, |store| async move {
        let world = World::new(13, 30);
        let span = |range| world.facts(range);
        apply(&store, &span(0..=9), Move::Backfill { branch: 0 }).await.unwrap();
        recompute_all(&store).await;
        apply(&store, &span(10..=19), Move::Backfill { branch: 0 })
            .await
            .unwrap();
        assert_eq!(progress(&store).await, Some((WASH_VERSION, Uuid::max())));

        // A newer release was done with the chain when this one, still running, adds sales.
        run(&store, "update indexer_service.wash_progress set version = version + 1").await;
        apply(&store, &span(20..=29), Move::Backfill { branch: 0 })
            .await
            .unwrap();
        assert_eq!(progress(&store).await, None);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_without_sales_is_recomputed_at_once() {
    with_store(1, |store| async move {
        assert_eq!(recompute(&store, CHAIN).await.unwrap(), Some(0));
        assert_eq!(recompute(&store, CHAIN).await.unwrap(), None);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bulk_load_leaves_classifying_to_its_end_and_ends_as_any_other() {
    with_store(1, |store| async move {
        let world = World::new(13, 30);
        let backfill = Move::Backfill { branch: 0 };
        apply(&store, &world.facts(0..=29), backfill).await.unwrap();
        let expected = digest(&store, CHAIN).await.unwrap();
        clear(&store).await;

        // Two at once, of which one ends before the other's last commit.
        let (one, other) = (Store::new(store.pool.clone()), Store::new(store.pool.clone()));
        assert!(one.defer_indexes(CHAIN).await.unwrap());
        apply(&one, &world.facts(0..=9), backfill).await.unwrap();
        assert!(other.defer_indexes(CHAIN).await.unwrap());
        apply(&other, &world.facts(10..=19), backfill).await.unwrap();
        let flagged: i64 =
            sqlx::query_scalar("select count(*) from catalog_service.sale_facts where wash_flags <> '{}'")
                .fetch_one(&store.pool)
                .await
                .unwrap();
        assert_eq!(flagged, 0, "none is classified yet");
        one.build_indexes(CHAIN).await.unwrap();
        let classified = recompute_all(&one).await;
        assert!(classified > 0);
        apply(&other, &world.facts(20..=29), backfill).await.unwrap();
        other.build_indexes(CHAIN).await.unwrap();
        assert!(recompute_all(&other).await > classified);
        assert_eq!(recompute_all(&other).await, 0);
        assert_eq!(digest(&store, CHAIN).await.unwrap(), expected);
    })
    .await;
}
