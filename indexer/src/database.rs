//! PostgreSQL, embedded or a server: opened once, migrated, closed in order.

use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use queries::{Limits, Readers};
use sinks::store::Store;
use sqlx::Executor as _;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use tracing::warn;

use crate::config::{ApiConfig, Config, DatabaseUrl, ServiceUrl};
use crate::error::{Exit, Failure};

/// How long a task may wait for a connection to a server: also how long a server that went away goes unnoticed.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a server is waited for that does not accept connections any more, or accepts and sends nothing.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a task may wait for its turn on the one connection to the embedded database.
#[cfg(feature = "embedded")]
const TURN_TIMEOUT: Duration = Duration::from_secs(30);
/// How long connections may take to close.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(3);

/// An open, migrated database.
///
/// Call [`Database::close`] when done: the embedded one writes its last pages then. It survives being killed, too.
#[derive(Debug)]
pub struct Database {
    /// The tables.
    pub store: Store,
    #[cfg(feature = "embedded")]
    embedded: Option<embedded::Server>,
}

impl Database {
    /// Whether PostgreSQL runs inside this process, where there is one connection and no other process can connect.
    pub fn is_embedded(&self) -> bool {
        #[cfg(feature = "embedded")]
        let answer = self.embedded.is_some();
        #[cfg(not(feature = "embedded"))]
        let answer = false;
        answer
    }

    /// What API requests read through: connections of their own. The embedded database has one connection, so there they take turns
    /// on it one at a time, and a writer never waits for more than one of them.
    pub fn readers(&self, api: &ApiConfig) -> Readers {
        let time = Duration::from_millis(api.request_timeout_ms);
        let (requests, connections) = (api.max_requests as usize, api.max_connections);
        if self.is_embedded() {
            let running = 1;
            return Readers::new(
                self.store.pool.clone(),
                Limits {
                    requests,
                    running,
                    time,
                },
            );
        }
        let options = (*self.store.pool.connect_options()).clone();
        let milliseconds = api.request_timeout_ms.to_string();
        let pool = PgPoolOptions::new()
            .max_connections(connections)
            .acquire_timeout(time)
            .after_connect(move |connection, _| {
                let milliseconds = milliseconds.clone();
                Box::pin(async move {
                    sqlx::query(READ_ONLY)
                        .bind(milliseconds)
                        .execute(connection)
                        .await
                        .map(drop)
                })
            })
            .connect_lazy_with(options.application_name("indexer-api"));
        let running = connections as usize;
        Readers::new(
            pool,
            Limits {
                requests,
                running,
                time,
            },
        )
    }

    /// What finds out why this database does not answer.
    pub fn diagnosis(&self) -> Diagnosis {
        let options = (!self.is_embedded()).then(|| (*self.store.pool.connect_options()).clone());
        Diagnosis { options }
    }

    /// Closes every connection, then stops the embedded server.
    ///
    /// It has no outcome of its own: whatever a server was sent it keeps whole or not at all, so one that does not close well is
    /// logged and left, and what the command came to stands.
    pub async fn close(self) {
        let closed = tokio::time::timeout(SHUTDOWN_GRACE, self.store.pool.close()).await;
        if closed.is_err() {
            warn!("the database does not close its connections, leaving them");
        }
        #[cfg(feature = "embedded")]
        if let Some(server) = self.embedded.filter(|_| closed.is_ok()) {
            server.stop().await;
        }
    }
}

/// For connections that API requests read through.
const READ_ONLY: &str =
    "select set_config('statement_timeout', $1, false), set_config('default_transaction_read_only', 'on', false),
    set_config('idle_in_transaction_session_timeout', $1, false)";

/// How long a server may take to accept a connection before it counts as one that does not answer.
const DIAGNOSIS_TIMEOUT: Duration = Duration::from_secs(3);

/// Finds out why a database does not answer: a pool only reports that it timed out.
#[derive(Clone, Debug)]
pub struct Diagnosis {
    /// How to connect; none to the embedded database.
    options: Option<PgConnectOptions>,
}

impl Diagnosis {
    /// The cause, in one line.
    pub async fn cause(&self) -> String {
        let Some(options) = &self.options else {
            return "the embedded PostgreSQL does not answer in time: it is at work on something long".to_owned();
        };
        let place = format!("PostgreSQL at {}:{}", options.get_host(), options.get_port());
        let connecting = <sqlx::PgConnection as sqlx::Connection>::connect_with(options);
        match tokio::time::timeout(DIAGNOSIS_TIMEOUT, connecting).await {
            // It is dropped, which the server notices all the same.
            Ok(Ok(_)) => format!("{place} accepts connections and answers none in time: it is overloaded"),
            Ok(Err(sqlx::Error::Io(error))) => format!("{place} cannot be reached: {error}"),
            Ok(Err(sqlx::Error::Database(error))) => format!("{place} cannot be used: {}", error.message()),
            Ok(Err(error)) => format!("{place} cannot be used: {error}"),
            Err(_) => format!("{place} does not answer"),
        }
    }
}

/// Opens the database `config` names, waiting `connect_timeout_ms` for a server that is still starting, and migrates it.
pub async fn open(config: &Config) -> Result<Database, Failure> {
    let database = connect(config).await?;
    if let Err(error) = database.store.migrate().await {
        let place = config.database.url.to_string();
        database.close().await;
        return Err(Failure::new(
            Exit::Database,
            format!("failed to migrate the database at {place}: {error}"),
        ));
    }
    Ok(database)
}

async fn connect(config: &Config) -> Result<Database, Failure> {
    match &config.database.url {
        DatabaseUrl::Embedded => open_embedded(config).await,
        DatabaseUrl::Server(url) => {
            let store = open_server(config, url).await?;
            #[cfg(feature = "embedded")]
            return Ok(Database { store, embedded: None });
            #[cfg(not(feature = "embedded"))]
            return Ok(Database { store });
        }
    }
}

async fn open_server(config: &Config, url: &ServiceUrl) -> Result<Store, Failure> {
    let options: PgConnectOptions = url.expose().parse().map_err(|error| refused(url, &error))?;
    let options = options.application_name("indexer");
    let pool = PgPoolOptions::new()
        .max_connections(config.database.max_connections)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .after_connect(|connection, _| Box::pin(async move { connection.execute(LOCKS).await.map(drop) }))
        .connect_lazy_with(options.clone());
    let patience = Duration::from_millis(config.database.connect_timeout_ms);
    // One plain connection shows why a server cannot be used; a pool would only report that it timed out.
    let probe = || async {
        sqlx::Connection::close(<sqlx::PgConnection as sqlx::Connection>::connect_with(&options).await?).await
    };
    let retries = ExponentialBuilder::default()
        .with_jitter()
        .with_min_delay(Duration::from_millis(100))
        .with_max_delay(Duration::from_secs(1))
        .with_total_delay(Some(patience))
        .without_max_times();
    let probed = tokio::time::timeout(patience.max(ANSWER_TIMEOUT), probe.retry(retries).when(may_be_starting)).await;
    match probed {
        Ok(Ok(())) => Ok(Store::new(pool)),
        Ok(Err(error)) => Err(refused(url, &error)),
        Err(_) => Err(Failure::new(
            Exit::Database,
            format!("PostgreSQL at {url} does not answer: {ADVICE}"),
        )),
    }
}

/// A process that is stopped inside of a transaction does not keep its locks for good.
const LOCKS: &str = "set idle_in_transaction_session_timeout = '1min'";

const ADVICE: &str = "start the server, or correct database.url or the environment variable DATABASE_URL";

/// What a server reports while it starts, or while nothing listens yet: trying again may help.
fn may_be_starting(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) => true,
        // Starting up, shutting down, too many connections.
        sqlx::Error::Database(error) => matches!(error.code().as_deref(), Some("57P03" | "57P01" | "53300")),
        _ => false,
    }
}

fn refused(url: &ServiceUrl, error: &sqlx::Error) -> Failure {
    let (cause, advice) = match error {
        sqlx::Error::Database(error) => match error.code().as_deref() {
            Some("28P01" | "28000") => (
                error.message().to_owned(),
                "correct user and password in database.url or DATABASE_URL",
            ),
            Some("3D000") => (
                error.message().to_owned(),
                "create the database or name another in database.url or DATABASE_URL",
            ),
            _ => (error.message().to_owned(), ADVICE),
        },
        sqlx::Error::Io(error) => (error.to_string(), ADVICE),
        // Such an error quotes what it could not parse, which may be the password.
        sqlx::Error::Configuration(_) => ("the URL is malformed".to_owned(), ADVICE),
        other => (other.to_string(), ADVICE),
    };
    let exit = match error {
        sqlx::Error::Configuration(_) => Exit::Config,
        _ => Exit::Database,
    };
    Failure::new(
        exit,
        format!("failed to connect to PostgreSQL at {url}: {cause}: {advice}"),
    )
}

#[cfg(not(feature = "embedded"))]
async fn open_embedded(_config: &Config) -> Result<Database, Failure> {
    let message = "database.url is \"embedded\" but this build has no embedded PostgreSQL: set database.url or DATABASE_URL to a server, \
                   or build with --features embedded";
    Err(Failure::new(Exit::Database, message))
}

#[cfg(feature = "embedded")]
async fn open_embedded(config: &Config) -> Result<Database, Failure> {
    let server = embedded::Server::start(config.resolve(&config.database.data_dir)).await?;
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .acquire_timeout(TURN_TIMEOUT)
        // The server opens its one backend anew for each connection: keep the first for good.
        .idle_timeout(None)
        .max_lifetime(None)
        .connect_with(server.options()?)
        .await;
    match pool {
        Ok(pool) => Ok(Database {
            store: Store::new(pool),
            embedded: Some(server),
        }),
        Err(error) => Err(Failure::new(
            Exit::Database,
            format!("failed to connect to the embedded PostgreSQL: {error}"),
        )),
    }
}

#[cfg(feature = "embedded")]
mod embedded {
    //! The server inside the process. It blocks while it starts and stops, so both happen off the runtime's threads.

    use std::fs::{File, TryLockError};
    use std::path::{Path, PathBuf};

    use pglite_oxide::{DataDirArchiveFormat, Pglite, PglitePaths, PgliteServer};
    use sqlx::postgres::PgConnectOptions;
    use tracing::warn;

    use crate::error::{Exit, Failure};

    /// What stands for a port in the name of a socket.
    const SOCKET_PORT: u16 = 5432;
    /// Bytes that the name of a socket can have anywhere.
    const LONGEST_SOCKET: usize = 103;

    /// The file by which a process has the folder to itself.
    const LOCK: &str = ".pglite-oxide.lock";
    /// Where everything is that the server writes.
    const FILES: &str = "tmp";
    /// Where it is made.
    const UNFINISHED: &str = "unfinished";

    /// A running embedded server.
    #[derive(Debug)]
    pub(super) struct Server(Option<PgliteServer>);

    impl Server {
        /// Starts PostgreSQL on `folder`, making it where it is missing.
        pub(super) async fn start(folder: PathBuf) -> Result<Self, Failure> {
            let shown = folder.display().to_string();
            let socket = socket_in(&folder);
            let start = move || {
                make(&folder).map_err(|error| explain(&shown, error.as_ref()))?;
                let server = PgliteServer::builder().path(&folder).database("postgres");
                let server = match socket {
                    Some(socket) => server.unix(socket),
                    None => server,
                };
                server.start().map_err(|error| explain(&shown, error.as_ref()))
            };
            match tokio::task::spawn_blocking(start).await {
                Ok(Ok(server)) => Ok(Server(Some(server))),
                Ok(Err(failure)) => Err(failure),
                Err(error) => Err(Failure::new(
                    Exit::Internal,
                    format!("failed to start the embedded PostgreSQL: {error}"),
                )),
            }
        }

        /// Where the server listens.
        pub(super) fn options(&self) -> Result<PgConnectOptions, Failure> {
            let socket = self.0.as_ref().and_then(PgliteServer::socket_path);
            // sqlx does not read the URL of a socket.
            if let Some(folder) = socket.and_then(Path::parent) {
                let options = PgConnectOptions::new_without_pgpass().socket(folder).port(SOCKET_PORT);
                return Ok(options.username("postgres").database("postgres"));
            }
            let url = self.0.as_ref().map(PgliteServer::database_url).unwrap_or_default();
            url.parse().map_err(|error| {
                Failure::new(
                    Exit::Internal,
                    format!("failed to read the embedded server's address: {error}"),
                )
            })
        }

        /// Stops the server; every connection must be closed. One that does not stop well survives it like a kill.
        pub(super) async fn stop(mut self) {
            let Some(server) = self.0.take() else { return };
            match tokio::task::spawn_blocking(move || server.shutdown()).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => warn!(error = format!("{error:#}"), "failed to stop the embedded PostgreSQL"),
                Err(error) => warn!(%error, "failed to stop the embedded PostgreSQL"),
            }
        }
    }

    impl Drop for Server {
        /// Stopping waits for every client, which a dropped pool may still be: leave the server to the end of the process,
        /// which it survives like a kill.
        fn drop(&mut self) {
            if let Some(server) = self.0.take() {
                std::mem::forget(server);
            }
        }
    }

    /// Makes the files of a database, whole or not at all, unless they are there.
    ///
    /// The server would begin with none and copy each from a template when it is first written to; one that is killed in the middle of a
    /// copy leaves part of a file, which no later start mends. So all of them are made beside and moved to their place at once.
    fn make(folder: &Path) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        if PglitePaths::with_root(folder).is_cluster_initialized() {
            return Ok(());
        }
        std::fs::create_dir_all(folder)?;
        let lock = File::create(folder.join(LOCK))?;
        // Of the server that has the folder, which starting another one reports.
        if lock.try_lock().is_err() {
            return Ok(());
        }
        let (unfinished, files) = (folder.join(UNFINISHED), folder.join(FILES));
        for left in [&unfinished, &files] {
            if left.exists() {
                std::fs::remove_dir_all(left)?;
            }
        }
        let archive = Pglite::builder()
            .temporary()
            .open()?
            .dump_data_dir_with_format(DataDirArchiveFormat::Tar)?;
        Pglite::builder()
            .path(&unfinished)
            .load_data_dir_archive(archive)
            .open()?
            .close()?;
        std::fs::rename(unfinished.join(FILES), files)?;
        std::fs::remove_dir_all(unfinished)?;
        Ok(())
    }

    /// The socket to listen on: none where its name would be too long for one, then it is a free port on the loopback address.
    ///
    /// The server sends the end of an answer in several pieces, and over TCP each waits until the one before was acknowledged,
    /// which Linux puts off for 40 ms.
    fn socket_in(folder: &Path) -> Option<PathBuf> {
        let socket = std::path::absolute(folder)
            .ok()?
            .join(format!(".s.PGSQL.{SOCKET_PORT}"));
        (socket.as_os_str().len() <= LONGEST_SOCKET).then_some(socket)
    }

    fn explain(folder: &str, error: &(dyn std::error::Error + Send + Sync + 'static)) -> Failure {
        let mut causes = error.to_string();
        let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
        while let Some(cause) = source {
            if matches!(cause.downcast_ref::<TryLockError>(), Some(TryLockError::WouldBlock)) {
                let message = format!(
                    "the embedded database in {folder} is in use by another process: stop that one, ask its API instead \
                     (GET /v1/status), or choose another database.data_dir"
                );
                return Failure::new(Exit::Database, message);
            }
            source = cause.source();
            if let Some(cause) = source {
                causes = format!("{causes}: {cause}");
            }
        }
        let advice = "choose a database.data_dir that can be written, or set database.url to a server";
        Failure::new(
            Exit::Database,
            format!("failed to start the embedded PostgreSQL in {folder}: {causes}: {advice}"),
        )
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[tokio::test]
        async fn a_server_listens_on_a_socket_in_its_folder_unless_the_name_is_too_long() {
            let place = tempfile::tempdir().unwrap();
            let deep = place.path().join("d".repeat(LONGEST_SOCKET));
            for (folder, has_socket) in [(place.path().join("near"), true), (deep, false)] {
                let server = Server::start(folder.clone()).await.unwrap();
                assert_eq!(folder.join(".s.PGSQL.5432").exists(), has_socket, "{folder:?}");
                let mut connection = sqlx::ConnectOptions::connect(&server.options().unwrap()).await.unwrap();
                let one: i32 = sqlx::query_scalar("select 1").fetch_one(&mut connection).await.unwrap();
                assert_eq!(one, 1);
                sqlx::Connection::close(connection).await.unwrap();
                server.stop().await;
            }
        }

        #[tokio::test]
        async fn what_a_killed_first_start_left_is_made_anew_and_no_file_is_a_copy_to_come() {
            let place = tempfile::tempdir().unwrap();
            let folder = place.path().join("postgres");
            let (unfinished, part) = (
                folder.join(UNFINISHED).join(FILES),
                folder.join(FILES).join("pglite/base"),
            );
            for left in [&unfinished, &part] {
                std::fs::create_dir_all(left).unwrap();
                std::fs::write(left.join("2662"), "").unwrap();
            }
            for is_first in [true, false] {
                let server = Server::start(folder.clone()).await.unwrap();
                let mut connection = sqlx::ConnectOptions::connect(&server.options().unwrap()).await.unwrap();
                let tables: i64 = sqlx::query_scalar("select count(*) from pg_class")
                    .fetch_one(&mut connection)
                    .await
                    .unwrap();
                assert!(tables > 0);
                sqlx::Connection::close(connection).await.unwrap();
                server.stop().await;
                let names = std::fs::read_dir(&part)
                    .unwrap()
                    .map(|entry| entry.unwrap().file_name());
                let names: Vec<String> = names.map(|name| name.to_string_lossy().into_owned()).collect();
                assert!(
                    !names.iter().any(|name| name.contains("overlay")),
                    "{is_first}: {names:?}"
                );
                assert!(
                    names.contains(&"pg_wal".to_owned()) && !names.contains(&"2662".to_owned()),
                    "{names:?}"
                );
                assert!(!folder.join(UNFINISHED).exists());
            }
        }

        #[tokio::test]
        async fn a_server_that_broke_with_its_client_still_lets_the_command_end() {
            let place = tempfile::tempdir().unwrap();
            let server = Server::start(place.path().join("postgres")).await.unwrap();
            let mut connection = sqlx::ConnectOptions::connect(&server.options().unwrap()).await.unwrap();
            {
                let mut rows =
                    sqlx::query("select repeat('x', 1000) from generate_series(1, 100000)").fetch(&mut connection);
                futures::StreamExt::next(&mut rows).await.unwrap().unwrap();
            }
            // As when a command fails while a statement is under way: the server is left in the middle of an answer.
            drop(connection);
            server.stop().await;
        }
    }
}
