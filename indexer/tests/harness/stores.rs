//! Stores of one test: a PostgreSQL database, a MongoDB database. Each is gone when the test ends, whether it passed or not.

use sinks::store::Store;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio::runtime::{Handle, RuntimeFlavor};
use url::Url;

use crate::scratch::{service, unique};

/// Connections of a scratch database's pool.
const CONNECTIONS: u32 = 8;

/// A migrated PostgreSQL database.
pub(crate) struct Database {
    /// Its URL.
    pub(crate) url: String,
    /// An open store over it.
    pub(crate) store: Store,
    name: String,
}

impl Database {
    /// Makes the database.
    pub(crate) async fn new() -> Database {
        let mut url: Url = service("TEST_DATABASE_URL").parse().unwrap();
        let name = unique("test");
        administer(format!("create database {name}")).await;
        url.set_path(&name);
        let options: PgConnectOptions = url.as_str().parse().unwrap();
        let pool = PgPoolOptions::new()
            .max_connections(CONNECTIONS)
            .connect_with(options)
            .await
            .unwrap();
        let store = Store::new(pool);
        store.migrate().await.unwrap();
        Database {
            url: url.into(),
            store,
            name,
        }
    }
}

impl Database {
    /// Forgets everything that was indexed.
    pub(crate) async fn clear(&self) {
        let progress = ["indexer_service.indexer_seams", "indexer_service.outbox"];
        let tables: Vec<&str> = sinks::digest::tables().chain(progress).collect();
        let truncate = format!("truncate {} cascade", tables.join(", "));
        sqlx::raw_sql(AssertSqlSafe(truncate))
            .execute(&self.store.pool)
            .await
            .unwrap();
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let drop = format!("drop database if exists {} with (force)", self.name);
        finally(async move { administer(drop).await });
    }
}

async fn administer(statement: String) {
    let server: PgConnectOptions = service("TEST_DATABASE_URL").parse().unwrap();
    let mut connection = PgConnection::connect_with(&server).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(statement))
        .execute(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
}

/// A MongoDB database.
pub(crate) struct MongoDatabase {
    /// URL of the server.
    pub(crate) url: String,
    /// Name of the database.
    pub(crate) name: String,
}

impl MongoDatabase {
    /// Names the database; MongoDB makes it when something is written.
    pub(crate) fn new() -> MongoDatabase {
        MongoDatabase {
            url: service("TEST_MONGODB_URL"),
            name: unique("test"),
        }
    }
}

impl Drop for MongoDatabase {
    fn drop(&mut self) {
        let (url, name) = (self.url.clone(), self.name.clone());
        finally(async move {
            let client = mongodb::Client::with_uri_str(url).await.unwrap();
            client.database(&name).drop().await.unwrap();
        });
    }
}

/// Runs `work` to its end on a thread and runtime of its own: what a destructor may wait for.
///
/// Dropping a database waits for every other session to notice, so those of this test must be able to go on meanwhile.
fn finally(work: impl Future<Output = ()> + Send + 'static) {
    let work = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(work);
    });
    let runtime = Handle::try_current().map(|handle| handle.runtime_flavor());
    let done = match runtime {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(|| work.join()),
        _ => work.join(),
    };
    assert!(
        done.is_ok() || std::thread::panicking(),
        "a scratch database could not be dropped"
    );
}
