//! A database of a test's own on the server under `TEST_DATABASE_URL`.

use indexer::config::{Config, DatabaseUrl};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

/// An empty database that is dropped with the value.
pub(crate) struct TestDatabase {
    server: String,
    name: String,
    /// Its URL.
    pub(crate) url: String,
}

impl TestDatabase {
    pub(crate) async fn create() -> Self {
        let server = std::env::var("TEST_DATABASE_URL").expect("start the services: eval \"$(scripts/services env)\"");
        let name = format!("test_{:016x}", rand::random::<u64>());
        let mut connection = PgConnection::connect(&server).await.unwrap();
        connection
            .execute(AssertSqlSafe(format!("create database {name}")))
            .await
            .unwrap();
        let mut url: url::Url = server.parse().unwrap();
        url.set_path(&name);
        TestDatabase {
            server,
            name,
            url: url.to_string(),
        }
    }

    /// A configuration that names this database and nothing else.
    pub(crate) fn config(&self) -> Config {
        let mut config = Config::default();
        config.database.url = DatabaseUrl::parse(&self.url).unwrap();
        config
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let (server, statement) = (self.server.clone(), format!("drop database {} with (force)", self.name));
        // The test's runtime may be gone or busy unwinding.
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let mut connection = PgConnection::connect(&server).await.unwrap();
                connection.execute(AssertSqlSafe(statement)).await.unwrap();
            });
        });
        assert!(
            dropped.join().is_ok() || std::thread::panicking(),
            "left the database {} behind",
            self.name
        );
    }
}
