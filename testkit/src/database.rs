//! The PostgreSQL database of one test; it is gone when the test ends, whether it passed or not.

use std::hash::{DefaultHasher, Hash, Hasher};

use sinks::store::{MIGRATOR, Store};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio::runtime::{Handle, RuntimeFlavor};
use url::Url;

use crate::services::{service, unique};

/// Connections of a database's pool where a test names no number.
const CONNECTIONS: u32 = 8;

/// The tables with pages in the schemas that indexing writes. Read from the catalogue, so that a new table is known as soon as a
/// migration makes it. A partitioned table has the pages of its partitions.
const FILLED: &str = "select format('%I.%I', n.nspname, c.relname)
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where n.nspname in ('catalog_service', 'indexer_service') and c.relkind in ('r', 'p') and not c.relispartition
      and coalesce((select sum(pg_relation_size(relid)) from pg_partition_tree(c.oid)), pg_relation_size(c.oid)) > 0
    order by 1";

/// A PostgreSQL database.
pub struct Database {
    /// Its URL, which a program can be given.
    pub url: String,
    /// A store over it.
    pub store: Store,
    name: String,
    /// Tables into which migrations wrote: what they hold was not indexed.
    seeded: Vec<String>,
}

impl Database {
    /// A migrated database.
    pub async fn new() -> Database {
        Database::with_connections(CONNECTIONS).await
    }

    /// A migrated database with a pool of `connections`.
    pub async fn with_connections(connections: u32) -> Database {
        let template = template().await;
        let mut database = Database::made(&format!("template {template}"), connections).await;
        database.seeded = database.filled().await;
        database
    }

    /// A database without a table, with a pool of `connections` that opens the first when it is needed.
    pub async fn empty(connections: u32) -> Database {
        Database::made("", connections).await
    }

    /// A database made with `options`.
    async fn made(options: &str, connections: u32) -> Database {
        let name = unique("test");
        administer(format!("create database {name} {options}")).await;
        let url = url_of(&name);
        Database {
            store: store_over(&url, connections),
            url: url.into(),
            name,
            seeded: Vec::new(),
        }
    }

    /// Forgets everything that was indexed. Returns a store without memories, because stores remember which rows they made.
    pub async fn cleared(&self) -> Store {
        let mut indexed = self.filled().await;
        indexed.retain(|table| !self.seeded.contains(table));
        if !indexed.is_empty() {
            let truncate = format!("truncate {} cascade", indexed.join(", "));
            let truncated = sqlx::raw_sql(AssertSqlSafe(truncate)).execute(&self.store.pool).await;
            truncated.unwrap();
        }
        Store::new(self.store.pool.clone())
    }

    /// The tables that hold rows, or did since they were last truncated.
    async fn filled(&self) -> Vec<String> {
        sqlx::query_scalar(FILLED).fetch_all(&self.store.pool).await.unwrap()
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let drop = format!("drop database if exists {} with (force)", self.name);
        finally(async move { administer(drop).await });
    }
}

/// Runs `test` on a new migrated database with a pool of `connections`.
pub async fn with_store<Running: Future<Output = ()>>(connections: u32, test: impl FnOnce(Store) -> Running) {
    let database = Database::with_connections(connections).await;
    // On the heap: the futures of whole tests are large.
    Box::pin(test(database.store.clone())).await;
}

/// The name of the database that migrated ones are copies of, which is made if it is missing: copying one takes a tenth of the time that
/// migrating takes. It is named after its migrations, so that every state of the repository has its own.
async fn template() -> String {
    let mut hasher = DefaultHasher::new();
    for migration in MIGRATOR.iter() {
        migration.checksum.hash(&mut hasher);
    }
    let name = format!("migrated_{:016x}", hasher.finish());
    if is_there(&name).await {
        return name;
    }
    let server: PgConnectOptions = service("TEST_DATABASE_URL").parse().unwrap();
    let mut connection = PgConnection::connect_with(&server).await.unwrap();
    // One test makes it; the others wait for the lock, which goes with the connection.
    sqlx::query("select pg_advisory_lock(hashtext($1))")
        .bind(&name)
        .execute(&mut connection)
        .await
        .unwrap();
    if !is_there(&name).await {
        let unfinished = unique("migrating");
        administer(format!("create database {unfinished}")).await;
        let store = store_over(&url_of(&unfinished), 1);
        store.migrate().await.unwrap();
        store.pool.close().await;
        // Nothing may be connected to what is copied.
        administer(format!("alter database {unfinished} allow_connections false")).await;
        administer(format!("alter database {unfinished} rename to {name}")).await;
    }
    connection.close().await.unwrap();
    name
}

async fn is_there(database: &str) -> bool {
    let server: PgConnectOptions = service("TEST_DATABASE_URL").parse().unwrap();
    let mut connection = PgConnection::connect_with(&server).await.unwrap();
    let found = sqlx::query_scalar("select exists (select from pg_database where datname = $1)")
        .bind(database)
        .fetch_one(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
    found
}

fn url_of(database: &str) -> Url {
    let mut url: Url = service("TEST_DATABASE_URL").parse().unwrap();
    url.set_path(database);
    url
}

fn store_over(url: &Url, connections: u32) -> Store {
    let options: PgConnectOptions = url.as_str().parse().unwrap();
    let pool = PgPoolOptions::new().max_connections(connections);
    Store::new(pool.connect_lazy_with(options))
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

/// Runs `work` to its end on a thread and runtime of its own: what a destructor may wait for.
///
/// Dropping a database waits for every other session to notice, so those of this test must be able to go on meanwhile.
pub(crate) fn finally(work: impl Future<Output = ()> + Send + 'static) {
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
