//! Databases that are made for one measurement and dropped behind it.

use std::time::{SystemTime, UNIX_EPOCH};

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, Connection, PgConnection, PgPool};
use url::Url;

use crate::config::{Config, DatabaseUrl};
use crate::error::{Exit, Failure};

/// A server on which databases can be made.
pub(super) struct Server {
    url: Url,
    made: u32,
}

/// A database of its own.
pub(super) struct Scratch {
    /// Names it, with its login.
    url: Url,
    name: String,
    server: Url,
}

/// How a server is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// As configured.
    Configured,
    /// Through its socket in the file system.
    Socket,
    /// Over TCP, on loopback where it listens everywhere.
    Tcp,
}

impl Server {
    pub(super) fn of(config: &Config) -> Result<Server, Failure> {
        let DatabaseUrl::Server(url) = &config.database.url else {
            let message = "the report makes databases of its own, which the embedded PostgreSQL cannot: name a server with DATABASE_URL";
            return Err(Failure::new(Exit::Database, message));
        };
        let malformed = |_| Failure::new(Exit::Config, format!("{url} is malformed"));
        Ok(Server {
            url: Url::parse(url.expose()).map_err(malformed)?,
            made: 0,
        })
    }

    /// Makes a database.
    pub(super) async fn scratch(&mut self, way: Way) -> Result<Scratch, Failure> {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.made += 1;
        let name = format!("indexer_bench_{}_{}_{}", std::process::id(), since.as_secs(), self.made);
        let mut url = self.reached(way).await?;
        administer(&self.url, format!("create database {name}")).await?;
        url.set_path(&name);
        Ok(Scratch {
            url,
            name,
            server: self.url.clone(),
        })
    }

    async fn reached(&self, way: Way) -> Result<Url, Failure> {
        let (mut url, refused) = (self.url.clone(), "cannot be reached in another way");
        let others: Vec<(String, String)> = url.query_pairs().into_owned().collect();
        let others = others.into_iter().filter(|(key, _)| key != "host");
        let mut others: Vec<(String, String)> = others.collect();
        let host = match way {
            Way::Configured => return Ok(url),
            Way::Socket => {
                let folders = setting(&self.url, "unix_socket_directories").await?;
                if folders.is_empty() {
                    return Err(Failure::new(
                        Exit::Database,
                        "the server has no socket in the file system",
                    ));
                }
                others.push(("host".to_owned(), first(&folders).to_owned()));
                "localhost".to_owned()
            }
            Way::Tcp => {
                let addresses = setting(&self.url, "listen_addresses").await?;
                first(&addresses).replace('*', "127.0.0.1")
            }
        };
        let moved = url.set_host(Some(&host));
        moved.map_err(|_| Failure::new(Exit::Database, format!("the server {refused}")))?;
        url.query_pairs_mut().clear().extend_pairs(others);
        Ok(url)
    }
}

/// The first of a list.
fn first(list: &str) -> &str {
    list.split(',').next().unwrap_or_default().trim()
}

impl Scratch {
    /// For the environment of a program.
    pub(super) fn url(&self) -> &str {
        self.url.as_str()
    }

    /// For what belongs to it elsewhere.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) async fn pool(&self) -> Result<PgPool, Failure> {
        let pool = PgPoolOptions::new()
            .max_connections(2)
            .connect_with(options(&self.url)?);
        pool.await.map_err(|error| refused(&error))
    }

    pub(super) async fn drop(self) -> Result<(), Failure> {
        administer(
            &self.server,
            format!("drop database if exists {} with (force)", self.name),
        )
        .await
    }
}

fn options(url: &Url) -> Result<PgConnectOptions, Failure> {
    let options = url.as_str().parse::<PgConnectOptions>();
    options.map_err(|error| refused(&error))
}

async fn setting(url: &Url, name: &'static str) -> Result<String, Failure> {
    let options = options(url)?;
    let read = async {
        let mut db = PgConnection::connect_with(&options).await?;
        let value: String = sqlx::query_scalar(SETTING).bind(name).fetch_one(&mut db).await?;
        db.close().await?;
        Ok::<_, sqlx::Error>(value)
    };
    read.await.map_err(|error| refused(&error))
}

async fn administer(url: &Url, statement: String) -> Result<(), Failure> {
    let options = options(url)?;
    let run = async {
        let mut db = PgConnection::connect_with(&options).await?;
        // Neither takes a parameter; the name is made here.
        sqlx::query(AssertSqlSafe(statement)).execute(&mut db).await?;
        db.close().await
    };
    run.await.map_err(|error| refused(&error))
}

fn refused(error: &sqlx::Error) -> Failure {
    let cause = match error {
        // Such an error quotes what it could not parse, which may be the password.
        sqlx::Error::Configuration(_) => "the URL is malformed".to_owned(),
        error => error.to_string(),
    };
    let advice = "name a server whose user may create databases with DATABASE_URL";
    Failure::new(
        Exit::Database,
        format!("failed to make a database for the benchmark: {cause}: {advice}"),
    )
}

const SETTING: &str = "select current_setting($1)";
