//! What the stores and one core can do at best with the same rows, for comparison.

use std::time::{Duration, Instant};

use alloy_primitives::hex;
use futures::TryStreamExt;
use mongodb::bson::RawDocumentBuf;
use mongodb::{Client, Collection};
use serde::Deserialize;
use sqlx::postgres::PgPoolCopyExt as _;
use sqlx::{AssertSqlSafe, PgPool};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use url::Url;

use crate::error::{Exit, Failure};

/// Documents put with one command, near what the server takes at most.
const DOCUMENTS: usize = 10_000;
/// Times an answer is parsed, so that the clock is fine enough.
const PARSED: u32 = 20;

/// Rows or logs, and the time they took.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Ceiling {
    pub(super) count: u64,
    pub(super) bytes: u64,
    pub(super) time: Duration,
}

/// A table with rows, and what makes its indexes on another.
#[derive(sqlx::FromRow)]
struct Filled {
    name: String,
    columns: String,
    indexes: Vec<String>,
}

/// Copies every row that a backfill wrote into tables of the same columns, one after the other through one connection, and builds the
/// same indexes behind it.
pub(super) async fn copy(pool: &PgPool) -> Result<Ceiling, Failure> {
    copied(pool)
        .await
        .map_err(|error| Failure::new(Exit::Database, format!("failed to copy the rows once more: {error}")))
}

async fn copied(pool: &PgPool) -> Result<Ceiling, sqlx::Error> {
    let mut all = Ceiling::default();
    sqlx::query(MAKE_SCHEMA).execute(pool).await?;
    for filled in sqlx::query_as::<_, Filled>(FILLED).fetch_all(pool).await? {
        let Filled { name, columns, indexes } = filled;
        // The names are the database's own, quoted by it.
        let make = format!(
            "create table bench_copy.rows (like {name} including defaults including generated including constraints)"
        );
        sqlx::query(AssertSqlSafe(make)).execute(pool).await?;
        let out = format!("copy {name} ({columns}) to stdout (format binary)");
        let rows = pool.copy_out_raw(&out).await?;
        let rows: Vec<_> = rows.try_collect().await?;
        let began = Instant::now();
        let into = format!("copy bench_copy.rows ({columns}) from stdin (format binary)");
        let mut copy = pool.copy_in_raw(&into).await?;
        for chunk in &rows {
            copy.send(&**chunk).await?;
        }
        all.count += copy.finish().await?;
        for index in indexes {
            sqlx::query(AssertSqlSafe(index)).execute(pool).await?;
        }
        all.time += began.elapsed();
        all.bytes += rows.iter().map(|chunk| chunk.len() as u64).sum::<u64>();
        sqlx::query(DROP_ROWS).execute(pool).await?;
    }
    Ok(all)
}

/// Puts the raw events of a backfill into a collection without another index.
pub(super) async fn insert_many(url: &str, database: &str) -> Result<Ceiling, Failure> {
    inserted(url, database).await.map_err(|error| {
        Failure::new(
            Exit::Archive,
            format!("failed to put the raw events once more: {error}"),
        )
    })
}

async fn inserted(url: &str, database: &str) -> Result<Ceiling, mongodb::error::Error> {
    let database = Client::with_uri_str(url).await?.database(database);
    let documents: Collection<RawDocumentBuf> = database.collection("raw_events");
    let documents: Vec<RawDocumentBuf> = documents.find(mongodb::bson::doc! {}).await?.try_collect().await?;
    let copies: Collection<RawDocumentBuf> = database.collection("bench_copy");
    let began = Instant::now();
    for some in documents.chunks(DOCUMENTS) {
        copies.insert_many(some).ordered(false).await?;
    }
    let time = began.elapsed();
    Ok(Ceiling {
        count: documents.len() as u64,
        bytes: documents.iter().map(|document| document.as_bytes().len() as u64).sum(),
        time,
    })
}

/// Drops what a backfill put into MongoDB.
pub(super) async fn drop_archive(url: &str, database: &str) -> Result<(), Failure> {
    let dropped = async { Client::with_uri_str(url).await?.database(database).drop().await };
    dropped.await.map_err(|error| {
        Failure::new(
            Exit::Archive,
            format!("failed to drop the database {database}: {error}"),
        )
    })
}

/// A log as its text has it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Borrowed<'a> {
    address: &'a str,
    topics: Vec<&'a str>,
    data: &'a str,
    block_number: &'a str,
    transaction_hash: &'a str,
    log_index: &'a str,
}

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow)]
    result: Vec<Borrowed<'a>>,
}

/// Parses the logs of the first `blocks` that the endpoint has into bytes and numbers, on one core.
pub(super) async fn parse(url: &str, blocks: u64) -> Result<Ceiling, Failure> {
    let text = logs_text(url, blocks).await;
    let failed = |error: String| Failure::new(Exit::Endpoint, format!("failed to read the simulated chain: {error}"));
    let text = text.map_err(|error| failed(error.to_string()))?;
    let body = text
        .windows(4)
        .position(|end| end == b"\r\n\r\n")
        .map_or(0, |head| head + 4);
    let body = &text[body..];
    let began = Instant::now();
    let mut count = 0;
    for _ in 0..PARSED {
        let answer: Answer<'_> = serde_json::from_slice(body).map_err(|error| failed(error.to_string()))?;
        let read = answer.result.iter().filter(|log| is_read(log));
        count += read.count() as u64;
    }
    Ok(Ceiling {
        count,
        bytes: body.len() as u64 * u64::from(PARSED),
        time: began.elapsed(),
    })
}

/// Whether every part of the log is what it should be; it is read to find out.
fn is_read(log: &Borrowed<'_>) -> bool {
    let mut word = [0; 32];
    let mut is_word = |text: &str| hex::decode_to_slice(text, &mut word).is_ok();
    let is_number = |text: &str| {
        text.get(2..)
            .is_some_and(|digits| u64::from_str_radix(digits, 16).is_ok())
    };
    let mut account = [0; 20];
    log.topics.iter().all(|topic| is_word(topic))
        && is_word(log.transaction_hash)
        && hex::decode_to_slice(log.address, &mut account).is_ok()
        && hex::decode(log.data).is_ok()
        && is_number(log.block_number)
        && is_number(log.log_index)
}

async fn logs_text(url: &str, blocks: u64) -> std::io::Result<Vec<u8>> {
    let to = blocks.saturating_sub(1);
    let body = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"eth_getLogs","params":[{{"fromBlock":"0x0","toBlock":"{to:#x}"}}]}}"#
    );
    let url = Url::parse(url).map_err(std::io::Error::other)?;
    let addresses = url.socket_addrs(|| None)?;
    let mut stream = TcpStream::connect(addresses.as_slice()).await?;
    // The older protocol ends an answer by closing, so that there is nothing to take apart.
    let head = format!(
        "POST / HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await?;
    let mut text = Vec::new();
    stream.read_to_end(&mut text).await?;
    Ok(text)
}

const MAKE_SCHEMA: &str = "create schema if not exists bench_copy";

const DROP_ROWS: &str = "drop table if exists bench_copy.rows";

// Tables that hold rows themselves, with their columns but those that are computed, and their indexes as statements on the copy.
const FILLED: &str = "select c.oid::regclass::text as name,
        (select string_agg(quote_ident(a.attname), ', ' order by a.attnum) from pg_attribute a
          where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped and a.attgenerated = '') as columns,
        array(select regexp_replace(pg_get_indexdef(i.indexrelid), ' INDEX .*? ON .*? USING ',
                                    ' INDEX ON bench_copy.rows USING ')
                from pg_index i where i.indrelid = c.oid) as indexes
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where n.nspname in ('catalog_service', 'indexer_service') and c.relkind = 'r' and pg_relation_size(c.oid) > 0
    order by 1";
