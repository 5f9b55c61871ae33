//! Sessions of processes that are stopped in the middle of a transaction: the server ends them once they hold up others.

use std::time::Duration;

use crate::error::SinkError;
use crate::store::Store;

/// Ends sessions that hold locks for which another session waits, and that have themselves waited for their client longer than
/// `patience`. Returns how many.
///
/// The server ends a session that is idle in a transaction on its own, but not one that waits for the rows of a `COPY`, and no
/// timeout of a statement reaches it there. Its transaction is rolled back, so its process is refused like any writer that is late.
/// Only sessions of the same role are visible, so daemons that share a database share a role. Sessions with another
/// `application_name` than this one's, such as those of `psql` and `pg_dump`, are left alone.
///
/// # Errors
/// Whatever the store answers.
pub async fn end_stuck(store: &Store, patience: Duration) -> Result<u64, SinkError> {
    let ended: i64 = sqlx::query_scalar(END_STUCK)
        .bind(patience.as_secs_f64())
        .fetch_one(&store.pool)
        .await?;
    Ok(ended.cast_unsigned())
}

// Who is ended is decided first and materialized: a planner is free to call a function of a condition before the others are looked at.
const END_STUCK: &str = "with blocking as materialized (
        select distinct blocking.pid
        from pg_stat_activity w
        cross join lateral unnest(pg_blocking_pids(w.pid)) as blocking (pid)
        where w.datname = current_database() and w.usename = current_user and w.wait_event_type = 'Lock'
    ), stuck as materialized (
        select b.pid
        from pg_stat_activity b
        where b.pid in (select pid from blocking) and b.usename = current_user
          and b.application_name = current_setting('application_name') and b.wait_event_type = 'Client'
          and b.xact_start is not null and b.state_change < clock_timestamp() - make_interval(secs => $1)
    )
    select count(*) filter (where pg_terminate_backend(pid)) from stuck";
