//! A database of one's own for one test, migrated, dropped when the test ends, whether it passed or not.

use std::time::{SystemTime, UNIX_EPOCH};

use sinks::store::Store;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, Connection, PgConnection, PgPool};

/// The value of a variable `scripts/services env` sets.
pub(crate) fn service(variable: &str) -> String {
    std::env::var(variable)
        .unwrap_or_else(|_| panic!("{variable} is not set; start the services: eval \"$(scripts/services env)\""))
}

/// A name no other test uses.
pub(crate) fn unique(prefix: &str) -> String {
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
    format!("{prefix}_{:x}_{:08x}", nanos, rand::random::<u32>())
}

/// Runs `test` on a new migrated database with a pool of `connections`.
pub(crate) async fn with_store<Running>(connections: u32, test: impl FnOnce(Store) -> Running)
where
    Running: Future<Output = ()> + Send + 'static,
{
    let server: PgConnectOptions = service("TEST_DATABASE_URL").parse().unwrap();
    let name = unique("test");
    let mut admin = PgConnection::connect_with(&server).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(format!("create database {name}")))
        .execute(&mut admin)
        .await
        .unwrap();
    let pool = PgPoolOptions::new()
        .max_connections(connections)
        .connect_with(server.database(&name))
        .await
        .unwrap();
    let store = Store::new(pool.clone());
    store.migrate().await.unwrap();
    let outcome = tokio::spawn(test(store)).await;
    close(&pool).await;
    sqlx::raw_sql(AssertSqlSafe(format!("drop database {name} with (force)")))
        .execute(&mut admin)
        .await
        .unwrap();
    if let Err(failed) = outcome {
        std::panic::resume_unwind(failed.into_panic());
    }
}

/// Closes the pool, but does not wait for connections a failed test still holds.
async fn close(pool: &PgPool) {
    tokio::time::timeout(std::time::Duration::from_secs(2), pool.close())
        .await
        .unwrap_or_default();
}
