//! How many messages are pending is known without counting them, and those that no broker takes expire.

use std::time::Duration;

use crate::world::{CHAIN, World};
use sinks::commit::{Move, apply, replace, rewind};
use sinks::outbox::{depth, expire};
use sinks::progress::basis::Basis;
use sinks::progress::checkpoint::{self, Observation};
use sinks::progress::lease::acquire;
use sinks::store::Store;
use testkit::database::with_store;

const WEEK: Duration = Duration::from_secs(7 * 24 * 3_600);

async fn counted(store: &Store) -> i64 {
    sqlx::query_scalar("select count(*) from indexer_service.outbox")
        .fetch_one(&store.pool)
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_depth_is_what_counting_would_say() {
    with_store(1, |store| async move {
        let world = World::new(5, 40);
        let lease = acquire(&store, CHAIN, "here", WEEK).await.unwrap().unwrap();
        assert_eq!(depth(&store).await.unwrap(), 0);
        for range in [20..=24, 10..=19, 12..=30] {
            apply(&store, &world.facts(range), Move::Backfill { branch: 0 })
                .await
                .unwrap();
            assert_eq!(depth(&store).await.unwrap(), counted(&store).await);
        }
        let head = Move::Head {
            from: None,
            lease: &lease,
        };
        apply(&store, &world.facts(31..=39), head).await.unwrap();
        rewind(&store, CHAIN, world.block(39), world.block(15), &lease)
            .await
            .unwrap();
        assert_eq!(depth(&store).await.unwrap(), counted(&store).await);
        let mut fewer = world.facts(10..=15);
        fewer.transfers.truncate(2);
        fewer.sales.clear();
        let observation = Observation {
            head: 39,
            safe: None,
            finalized: Some(15),
            base_fee: None,
        };
        checkpoint::observe(&store, &lease, &observation).await.unwrap();
        let basis = Basis::read(&store, CHAIN, 10..=15, None).await.unwrap();
        assert!(replace(&store, &fewer, &basis).await.unwrap().retracted > 0);
        assert_eq!(depth(&store).await.unwrap(), counted(&store).await);
        // What an operator deletes is gone.
        sqlx::query("delete from indexer_service.outbox where kind <> 'retraction'")
            .execute(&store.pool)
            .await
            .unwrap();
        assert_eq!(depth(&store).await.unwrap(), counted(&store).await);
        assert!(counted(&store).await > 0);
    })
    .await;
}

/// Makes everything so far a week and a day older.
async fn age(store: &Store) {
    sqlx::query("update indexer_service.outbox_marks set marked_at = marked_at - interval '8 days'")
        .execute(&store.pool)
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_broker_takes_is_dropped_after_its_time() {
    with_store(1, |store| async move {
        let world = World::new(6, 40);
        assert_eq!(expire(&store, WEEK).await.unwrap(), 0, "nothing was written yet");
        apply(&store, &world.facts(0..=19), Move::Backfill { branch: 0 })
            .await
            .unwrap();
        let old = counted(&store).await;
        assert_eq!(expire(&store, WEEK).await.unwrap(), 0, "it is new");
        apply(&store, &world.facts(20..=39), Move::Backfill { branch: 0 })
            .await
            .unwrap();
        let all = counted(&store).await;
        age(&store).await;

        let claim = "insert into indexer_service.publisher_cursors (chain_id, exchange, holder, held_until)
                     values ($1, 'events', 'somebody', now())";
        sqlx::query(claim)
            .bind(CHAIN.to_string())
            .execute(&store.pool)
            .await
            .unwrap();
        assert_eq!(expire(&store, WEEK).await.unwrap(), 0, "a publisher has it in hand");
        sqlx::query("delete from indexer_service.publisher_cursors")
            .execute(&store.pool)
            .await
            .unwrap();

        assert_eq!(expire(&store, WEEK).await.unwrap(), old.cast_unsigned());
        assert_eq!(counted(&store).await, all - old);
        assert_eq!(depth(&store).await.unwrap(), all - old);
        let expired: i64 = sqlx::query_scalar("select expired from indexer_service.outbox_totals")
            .fetch_one(&store.pool)
            .await
            .unwrap();
        assert_eq!(expired, old);
        age(&store).await;
        assert_eq!(expire(&store, WEEK).await.unwrap(), (all - old).cast_unsigned());
        assert_eq!(expire(&store, WEEK).await.unwrap(), 0);
    })
    .await;
}
