//! Requests above the limits.

use std::time::Duration;

use queries::Limits;
use sqlx::PgPool;

use crate::asked::Api;
use crate::rows::{fill, register};
use testkit::database::with_store;

#[tokio::test]
async fn above_the_limit_and_beyond_the_time_a_request_is_told_to_come_back() {
    with_store(5, |store| async move {
        register(&store.pool).await;
        fill(&store.pool).await;
        let pool = &store.pool;
        let limits = Limits {
            requests: 1,
            running: 1,
            time: Duration::from_secs(600),
        };
        let patient = Api::within(limits, pool);
        let time = Duration::from_millis(200);
        let hasty = Api::within(Limits { time, ..limits }, pool);
        let path = "/v1/collections";
        let mut lock = pool.begin().await.unwrap();
        let table = "lock table catalog_service.collection_counters in access exclusive mode";
        sqlx::query(table).execute(&mut *lock).await.unwrap();

        let first = patient.ask(path);
        let others = async {
            waits_for_lock(pool).await;
            for full in [&patient, &hasty] {
                let answer = full.ask(path).await;
                assert_eq!(
                    (answer.status().as_u16(), answer.headers()["retry-after"].as_bytes()),
                    (503, &b"1"[..])
                );
            }
            patient.ok("/v1/status").await;
            lock.rollback().await.unwrap();
        };
        let (first, ()) = tokio::join!(first, others);
        assert_eq!(first.status().as_u16(), 200, "the one that was let in is answered");
        patient.ok(path).await;
    })
    .await;
}

/// Waits until a statement of this database waits for a lock.
async fn waits_for_lock(pool: &PgPool) {
    let waiting =
        "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
    while sqlx::query_scalar::<_, i64>(waiting).fetch_one(pool).await.unwrap() == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
