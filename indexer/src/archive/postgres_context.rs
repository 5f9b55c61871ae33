//! Transactions and contracts' answers in PostgreSQL, beside the raw events they belong to.

use std::ops::RangeInclusive;

use alloy_primitives::{B256, hex};
use decoders::block::{Answer, Answers, Call, ChainId, Envelope, Envelopes, Span};
use futures::TryStreamExt;
use rustc_hash::FxHashMap;
use sinks::error::SinkError;
use sqlx::PgConnection;
use uuid::Uuid;

use super::context::{self, Kept};
use super::error::ArchiveError;
use super::record::Bounds;

/// Bytes in one insert, about.
const BATCH_BYTES: usize = 4 << 20;
/// Rows in one insert.
const BATCH_ROWS: usize = 5_000;
/// Stands in `raw_answers.height` for: at every height.
const EVERY_HEIGHT: i64 = -1;

/// Writes what is not there yet; without a context it asks nothing.
pub(super) async fn keep(connection: &mut PgConnection, span: &Span, ids: &[Uuid]) -> Result<(), sqlx::Error> {
    let name = span.chain.to_string();
    let kept = context::transactions(span, ids);
    for run in context::runs(&kept, BATCH_ROWS, BATCH_BYTES) {
        keep_transactions(connection, &name, run).await?;
    }
    for run in context::answers(span).chunks(BATCH_ROWS) {
        keep_answers(connection, &name, run).await?;
    }
    Ok(())
}

async fn keep_transactions(connection: &mut PgConnection, name: &str, run: &[Kept<'_>]) -> Result<(), sqlx::Error> {
    let to = |kept: &Kept<'_>| kept.envelope.to.map(hex::encode_prefixed);
    let statement = sqlx::query(
        "insert into indexer_service.raw_transactions
             (chain_id, id, block_number, tx_hash, from_address, to_address, value, input)
         select $1, id, block_number, tx_hash, from_address, to_address, value::numeric, input
           from unnest($2::uuid[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::text[], $8::bytea[])
                as new (id, block_number, tx_hash, from_address, to_address, value, input)
         on conflict do nothing",
    )
    .bind(name)
    .bind(column(run, |kept| kept.id))
    .bind(column(run, |kept| kept.block_number.cast_signed()))
    .bind(column(run, |kept| hex::encode_prefixed(kept.tx_hash)))
    .bind(column(run, |kept| hex::encode_prefixed(kept.envelope.from)))
    .bind(column(run, to))
    .bind(column(run, |kept| kept.envelope.value.to_string()))
    .bind(column(run, |kept| kept.envelope.input.to_vec()));
    statement.execute(connection).await.map(drop)
}

/// One column of many rows.
fn column<Row, Value>(rows: &[Row], value: impl Fn(&Row) -> Value) -> Vec<Value> {
    rows.iter().map(value).collect()
}

async fn keep_answers(connection: &mut PgConnection, name: &str, run: &[(&Call, &Answer)]) -> Result<(), sqlx::Error> {
    let statement = sqlx::query(
        "insert into indexer_service.raw_answers (chain_id, height, question, contract, input, returned)
         select $1, height, question, contract, input, returned
           from unnest($2::bigint[], $3::text[], $4::text[], $5::bytea[], $6::bytea[])
                as new (height, question, contract, input, returned)
         on conflict (chain_id, height, question) do update set returned = excluded.returned
          where raw_answers.returned is distinct from excluded.returned",
    )
    .bind(name)
    .bind(column(run, |(call, _)| height(call)))
    .bind(column(run, |(call, _)| question(call)))
    .bind(column(run, |(call, _)| hex::encode_prefixed(call.to)))
    .bind(column(run, |(call, _)| call.input.to_vec()))
    .bind(column(run, |(_, answer)| returned(answer)));
    statement.execute(connection).await.map(drop)
}

/// Deletes what hangs on `stale` logs of the span's range.
pub(super) async fn forget(connection: &mut PgConnection, span: &Span, stale: &[Uuid]) -> Result<(), sqlx::Error> {
    let name = span.chain.to_string();
    sqlx::query("delete from indexer_service.raw_transactions where chain_id = $1 and id = any($2)")
        .bind(&name)
        .bind(stale)
        .execute(&mut *connection)
        .await?;
    if let Some(heights) = context::unproven_heights(span, stale) {
        sqlx::query("delete from indexer_service.raw_answers where chain_id = $1 and height between $2 and $3")
            .bind(&name)
            .bind(heights.start().cast_signed())
            .bind(i64::try_from(*heights.end()).unwrap_or(i64::MAX))
            .execute(connection)
            .await?;
    }
    Ok(())
}

/// The transactions of a range.
pub(super) async fn envelopes(
    connection: &mut PgConnection,
    chain: ChainId,
    range: &RangeInclusive<u64>,
) -> Result<Envelopes, ArchiveError> {
    let bounds = Bounds::of(range);
    let mut rows = sqlx::query_as::<_, Row>(
        "select id, tx_hash::text, from_address::text, to_address::text, value::text, input
           from indexer_service.raw_transactions
          where chain_id = $1 and id >= $2 and id < $3",
    )
    .bind(chain.to_string())
    .bind(bounds.low)
    .bind(bounds.high)
    .fetch(connection);
    let mut envelopes = Envelopes::default();
    while let Some(row) = rows.try_next().await.map_err(SinkError::from)? {
        let block = decoders::id::block_number_of(row.id);
        let (hash, envelope) = row.read().ok_or_else(|| ArchiveError::Corrupt {
            chain,
            block,
            reason: "a row is not a transaction".to_owned(),
        })?;
        envelopes.insert(hash, envelope);
    }
    Ok(envelopes)
}

/// The answers to `calls`, those that are held.
pub(super) async fn answers(
    connection: &mut PgConnection,
    chain: ChainId,
    calls: &[Call],
) -> Result<Answers, sqlx::Error> {
    let by_key: FxHashMap<(i64, String), &Call> = calls
        .iter()
        .map(|call| ((height(call), question(call)), call))
        .collect();
    let (heights, questions): (Vec<i64>, Vec<String>) = by_key.keys().cloned().unzip();
    let rows: Vec<(i64, String, Option<Vec<u8>>)> = sqlx::query_as(
        "select height, question::text, returned
           from indexer_service.raw_answers
           join unnest($2::bigint[], $3::text[]) as wanted (height, question) using (height, question)
          where chain_id = $1",
    )
    .bind(chain.to_string())
    .bind(heights)
    .bind(questions)
    .fetch_all(connection)
    .await?;
    let answer = |(height, question, returned): (i64, String, Option<Vec<u8>>)| {
        let call = by_key.get(&(height, question))?;
        let answer = returned.map_or(Answer::Reverted, |bytes| Answer::Returned(bytes.into()));
        Some(((*call).clone(), answer))
    };
    Ok(rows.into_iter().filter_map(answer).collect())
}

fn returned(answer: &Answer) -> Option<Vec<u8>> {
    match answer {
        Answer::Returned(bytes) => Some(bytes.to_vec()),
        Answer::Reverted => None,
    }
}

fn height(call: &Call) -> i64 {
    call.at
        .map_or(EVERY_HEIGHT, |height| i64::try_from(height).unwrap_or(i64::MAX))
}

fn question(call: &Call) -> String {
    hex::encode_prefixed(context::question(call))
}

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    tx_hash: String,
    from_address: String,
    to_address: Option<String>,
    value: String,
    input: Vec<u8>,
}

impl Row {
    fn read(self) -> Option<(B256, Envelope)> {
        let envelope = Envelope {
            from: self.from_address.parse().ok()?,
            to: match self.to_address {
                Some(to) => Some(to.parse().ok()?),
                None => None,
            },
            value: self.value.parse().ok()?,
            input: self.input.into(),
        };
        Some((self.tx_hash.parse().ok()?, envelope))
    }
}
