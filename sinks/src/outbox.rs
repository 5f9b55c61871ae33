//! Pending messages: a lean row per fact, a row with its body per fact undone. The publisher publishes them.

use std::time::Duration;

use sqlx::PgConnection;

use crate::copy::{Rows, Statements, add};
use crate::error::SinkError;
use crate::facts::Batch;
use crate::kind::Announced;
use crate::store::Store;

/// Queues an announcement for every fact of `batch`, in chain order.
pub(crate) async fn apply(db: &mut PgConnection, batch: &Batch<'_>) -> Result<(), SinkError> {
    let mut announced: Vec<Announced> = batch.announced().collect();
    // Each kind is in order already, which makes this a merge.
    announced.sort_by_key(|fact| fact.id);
    let write = |fact: Announced, rows: &mut Rows| {
        rows.row().text(&batch.chain_name).text(fact.name).uuid(fact.id);
    };
    add(db, ADD, announced.into_iter(), write).await
}

/// Makes room for what [`revert`] retracts: every kind of fact writes to `undone` what it stated.
pub(crate) async fn prepare(db: &mut PgConnection) -> Result<(), SinkError> {
    sqlx::query(MAKE_UNDONE).execute(db).await?;
    Ok(())
}

/// Queues a retraction for every fact of `undone`, newest first.
pub(crate) async fn revert(db: &mut PgConnection, chain: &str) -> Result<(), SinkError> {
    sqlx::query(RETRACT).bind(chain).execute(db).await?;
    Ok(())
}

/// Counts what [`apply`] wrote for `batch`. Last of all: writers of one chain wait for each other here.
pub(crate) async fn count(db: &mut PgConnection, batch: &Batch<'_>) -> Result<(), SinkError> {
    let written = count_announced(batch);
    if written > 0 {
        sqlx::query(COUNT)
            .bind(&batch.chain_name)
            .bind(written)
            .execute(db)
            .await?;
    }
    Ok(())
}

/// Counts what [`revert`] wrote, and what [`apply`] did in the same transaction for `batch`.
pub(crate) async fn count_undone(
    db: &mut PgConnection,
    chain: &str,
    batch: Option<&Batch<'_>>,
) -> Result<(), SinkError> {
    sqlx::query(COUNT_UNDONE)
        .bind(chain)
        .bind(batch.map_or(0, count_announced))
        .execute(db)
        .await?;
    Ok(())
}

fn count_announced(batch: &Batch<'_>) -> i64 {
    batch.announced().count() as i64
}

/// Messages not published yet, of all chains.
pub async fn depth(store: &Store) -> Result<i64, SinkError> {
    Ok(sqlx::query_scalar(DEPTH).fetch_one(&store.pool).await?)
}

/// Drops the messages that were written longer than `keep` ago, of chains that no publisher has claimed since, and returns how
/// many. For an outbox without a broker, which nothing else empties.
pub async fn expire(store: &Store, keep: Duration) -> Result<u64, SinkError> {
    let seconds = keep.as_secs_f64();
    // Rows hold no time, to stay lean: a mark notes the newest number of a moment, and what is below an old enough mark is as
    // old.
    sqlx::query(MARK).bind(seconds / MARKS).execute(&store.pool).await?;
    let horizon: Option<i64> = sqlx::query_scalar(HORIZON).bind(seconds).fetch_one(&store.pool).await?;
    let Some(horizon) = horizon else { return Ok(0) };
    let mut expired = 0;
    loop {
        let mut tx = store.pool.begin().await?;
        let dropped: Vec<(String, i64)> = sqlx::query_as(EXPIRE)
            .bind(horizon)
            .bind(seconds)
            .bind(EXPIRED_AT_ONCE)
            .fetch_all(&mut *tx)
            .await?;
        // Counted in the transaction that drops them, so that the number operators see is what is gone.
        for (chain, messages) in &dropped {
            sqlx::query(NOTE_EXPIRED)
                .bind(chain)
                .bind(messages)
                .execute(&mut *tx)
                .await?;
            expired += messages.cast_unsigned();
        }
        tx.commit().await?;
        if dropped.is_empty() {
            break;
        }
    }
    // The newest of the old marks stays: the next look takes it for its horizon when nothing was written since.
    sqlx::query(FORGET_MARKS).bind(horizon).execute(&store.pool).await?;
    Ok(expired)
}

/// Marks within the time messages are kept: how exactly it is kept to.
const MARKS: f64 = 100.0;
/// Messages of one chain dropped with one statement.
const EXPIRED_AT_ONCE: i64 = 20_000;

const DEPTH: &str =
    "select coalesce(sum(greatest(written - removed, 0)), 0)::bigint from indexer_service.outbox_totals";

const COUNT: &str = "insert into indexer_service.outbox_totals as t (chain_id, written) values ($1, $2)
    on conflict (chain_id) do update set written = t.written + excluded.written";

const COUNT_UNDONE: &str = "insert into indexer_service.outbox_totals as t (chain_id, written)
    select $1, $2 + count(*) from undone
    on conflict (chain_id) do update set written = t.written + excluded.written";

// Also once nothing was written since: what the last mark covers expires all the same.
const MARK: &str = "insert into indexer_service.outbox_marks (seq)
    select pg_sequence_last_value(pg_get_serial_sequence('indexer_service.outbox', 'seq')::regclass) as newest
     where pg_sequence_last_value(pg_get_serial_sequence('indexer_service.outbox', 'seq')::regclass) is not null
       and not exists (select from indexer_service.outbox_marks where marked_at > now() - make_interval(secs => $1))
    on conflict do nothing";

const HORIZON: &str =
    "select max(seq) from indexer_service.outbox_marks where marked_at <= now() - make_interval(secs => $1)";

// A chain whose publisher was seen within that time is left to it: its consumers are to get every message, however late.
const EXPIRE: &str = "with old as (
        select t.chain_id, o.seq from indexer_service.outbox_totals t
        cross join lateral (select seq from indexer_service.outbox
                             where chain_id = t.chain_id and seq <= $1 order by seq limit $3) o
        where not exists (select from indexer_service.publisher_cursors c
                           where c.chain_id = t.chain_id
                             and greatest(c.updated_at, c.held_until) > now() - make_interval(secs => $2))
    ), gone as (
        delete from indexer_service.outbox o using old where o.chain_id = old.chain_id and o.seq = old.seq
        returning o.chain_id
    )
    select chain_id::text, count(*) from gone group by chain_id";

const NOTE_EXPIRED: &str = "update indexer_service.outbox_totals set expired = expired + $2 where chain_id = $1";

const FORGET_MARKS: &str = "delete from indexer_service.outbox_marks where seq < $1";

const ADD: Statements = Statements {
    columns: "chain_id, kind, fact_id",
    count: 3,
    copy: COPY,
    insert: INSERT,
};

const COPY: &str = "copy indexer_service.outbox (chain_id, kind, fact_id) from stdin (format binary)";

// With their numbers in the order of the array, which is the order they are published in.
const INSERT: &str = "insert into indexer_service.outbox (chain_id, kind, fact_id)
    select o.chain_id, o.kind, o.fact_id
    from rows from (jsonb_to_recordset($1::text::jsonb) as (chain_id text, kind text, fact_id uuid))
         with ordinality as o (chain_id, kind, fact_id, place)
    order by o.place";

const MAKE_UNDONE: &str = "create temp table if not exists undone (id uuid, body jsonb) on commit delete rows";

// The id is decoders::id::retraction_of: what separates the facts of a log, the second digit of the last group, is sixteen less that
// of the fact, whichever of the seven it is.
const RETRACT: &str = "insert into indexer_service.outbox (chain_id, kind, fact_id, body)
    select $1, 'retraction',
           overlay(id::text placing translate(substr(id::text, 26, 1), '1234567', 'fedcba9') from 26 for 1)::uuid, body
    from undone order by id desc";
