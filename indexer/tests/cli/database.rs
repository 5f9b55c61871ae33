//! Opening databases: embedded and server, and what is reported when one cannot be opened.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use indexer::config::{Config, DatabaseUrl};
use indexer::database;
use indexer::error::Exit;
use testkit::database::Database;

use crate::commands::{Place, stated};
use crate::postgres;

fn config(url: &str) -> Config {
    let mut config = Config::default();
    config.database.url = DatabaseUrl::parse(url).unwrap();
    config.database.connect_timeout_ms = 300;
    config
}

#[tokio::test]
async fn a_server_is_opened_and_migrated_and_may_be_opened_again() {
    let test = Database::empty(1).await;
    for _ in 0..2 {
        let database = database::open(&postgres::config(&test)).await.unwrap();
        assert!(!database.is_embedded());
        let chains: i64 = sqlx::query_scalar("select count(*) from chain_registry_service.chains")
            .fetch_one(&database.store.pool)
            .await
            .unwrap();
        assert_eq!(chains, 0);
        database.close().await;
    }
}

#[tokio::test]
async fn what_cannot_be_opened_ends_in_one_line_without_the_password() {
    let test = Database::empty(1).await;
    let mut no_database: url::Url = test.url.parse().unwrap();
    no_database.set_path("no_such_database");
    let mut no_role: url::Url = test.url.parse().unwrap();
    no_role.set_username("nobody_known").unwrap();
    no_role.set_password(Some("s3cr3t")).unwrap();
    for (url, part) in [
        ("postgres://u:s3cr3t@127.0.0.1:1/d", "refused"),
        ("postgres://u:s3cr3t@no-such-host.invalid/d", "start the server"),
        (no_database.as_str(), "create the database"),
        (no_role.as_str(), "correct user and password"),
    ] {
        let failure = database::open(&config(url)).await.unwrap_err();
        assert_eq!(failure.exit, Exit::Database);
        assert!(failure.message.contains(part), "{}", failure.message);
        assert!(
            !failure.message.contains("s3cr3t") && !failure.message.contains('\n'),
            "{}",
            failure.message
        );
    }
}

#[tokio::test]
async fn a_server_that_starts_late_is_waited_for() {
    let test = Database::empty(1).await;
    let url: url::Url = test.url.parse().unwrap();
    let target = format!("{}:{}", url.host_str().unwrap(), url.port().unwrap());
    // Nothing listens on the port, and no other process can take it.
    let held = tokio::net::TcpSocket::new_v4().unwrap();
    held.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = held.local_addr().unwrap();
    let mut late = url.clone();
    late.set_port(Some(address.port())).unwrap();
    late.set_host(Some("127.0.0.1")).unwrap();
    let listens = Arc::new(AtomicBool::new(false));
    let late_listens = Arc::clone(&listens);
    // For the first half second nothing does; then a relay to the real server.
    let relay = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(500)).await;
        late_listens.store(true, Ordering::SeqCst);
        let listener = held.listen(16).unwrap();
        loop {
            let (mut client, _) = listener.accept().await.unwrap();
            let target = target.clone();
            tokio::spawn(async move {
                let mut server = tokio::net::TcpStream::connect(target).await.unwrap();
                drop(tokio::io::copy_bidirectional(&mut client, &mut server).await);
            });
        }
    });
    let mut config = config(late.as_str());
    config.database.connect_timeout_ms = 100_000;
    let database = database::open(&config).await.unwrap();
    assert!(listens.load(Ordering::SeqCst), "it connected to something else");
    database.close().await;
    relay.abort();
}

#[cfg(feature = "embedded")]
#[tokio::test]
async fn the_embedded_database_keeps_its_rows_and_belongs_to_one_process() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = Config::default();
    config.database.data_dir = folder.path().join("db");

    let database = database::open(&config).await.unwrap();
    assert!(database.is_embedded());
    let insert =
        "insert into chain_registry_service.chains (caip2, chain_numeric, name) values ('eip155:7', 7, 'Seven')";
    sqlx::query(insert).execute(&database.store.pool).await.unwrap();
    let second = database::open(&config).await.unwrap_err();
    assert_eq!(second.exit, Exit::Database);
    assert!(second.message.contains("in use"), "{}", second.message);
    // A registry watch polls here, because there is no second connection to listen on.
    let watch = indexer::registry::Watch::start(&database).await.unwrap();
    assert!(format!("{watch:?}").contains("Polling"));
    drop(watch);
    database.close().await;

    let database = database::open(&config).await.unwrap();
    let name: String = sqlx::query_scalar("select name from chain_registry_service.chains where chain_numeric = 7")
        .fetch_one(&database.store.pool)
        .await
        .unwrap();
    assert_eq!(name, "Seven");
    database.close().await;
}

#[cfg(feature = "embedded")]
#[tokio::test]
async fn every_migration_runs_twice_on_the_embedded_database_and_its_rules_hold() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = Config::default();
    config.database.data_dir = folder.path().join("db");
    let database = database::open(&config).await.unwrap();
    let pool = &database.store.pool;
    // Back to where nothing was: a migration is run again at its place, as one that was cut short is.
    let drop_all: String = sqlx::query_scalar(
        "select 'drop schema ' || string_agg(nspname, ', ') || ' cascade' from pg_namespace where nspname like '%\\_service'",
    )
    .fetch_one(pool)
    .await
    .unwrap();
    sqlx::raw_sql(sqlx::AssertSqlSafe(drop_all))
        .execute(pool)
        .await
        .unwrap();
    for migration in sinks::store::MIGRATOR.iter() {
        for _ in 0..2 {
            let done = sqlx::raw_sql(sqlx::AssertSqlSafe(migration.sql.as_str()))
                .execute(pool)
                .await;
            done.unwrap_or_else(|error| panic!("{}: {error}", migration.version));
        }
    }
    testkit::rules::hold(pool).await;
    database.close().await;
}

#[cfg(feature = "embedded")]
#[tokio::test]
async fn a_folder_that_cannot_be_written_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "not a folder").unwrap();
    let mut config = Config::default();
    config.database.data_dir = file.join("db");
    let failure = database::open(&config).await.unwrap_err();
    assert_eq!(failure.exit, Exit::Database);
    assert!(
        failure.message.contains("file/db") && failure.message.contains("choose a database.data_dir"),
        "{}",
        failure.message
    );
}

#[tokio::test]
async fn maintenance_shows_what_it_would_do_and_does_it() {
    let test = Database::new().await;
    let place = Place::with("");
    let printed = |arguments: &[&str]| {
        let output = place
            .indexer(arguments)
            .env("DATABASE_URL", &test.url)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(printed(&["maintain", "--dry-run"]), "nothing is due\n");
    let nonce = "insert into auth_service.auth_nonces (nonce, account_id, domain, chain_id, issued_at, expires_at)
        values (md5('1'), '0xaa00000000000000000000000000000000000001', 'example.org', 'eip155:1',
                now() - interval '3 days', now() - interval '3 days' + interval '1 minute')";
    sqlx::query(nonce).execute(&test.store.pool).await.unwrap();
    for arguments in [&["maintain", "--dry-run"][..], &["maintain"]] {
        let table = printed(arguments);
        let row: Vec<&str> = table.lines().nth(1).unwrap().split_whitespace().collect();
        assert_eq!(row, ["auth_service.auth_nonces", "deleted", "1"], "{table}");
    }
    assert_eq!(printed(&["maintain"]), "nothing is due\n");
    let held = "update indexer_service.maintenance_turns set held_until = now() + interval '1 minute'";
    sqlx::query(held).execute(&test.store.pool).await.unwrap();
    let mut refused = place.indexer(&["maintain"]);
    stated(
        refused.env("DATABASE_URL", &test.url),
        4,
        &["another process looks after the database"],
    );
}
