//! Whose turn it is: one process at a time looks after a database.

use std::time::Duration;

use crate::error::SinkError;
use crate::store::Store;

/// How long a turn lasts without being renewed, which every statement of a run does.
const TTL: Duration = Duration::from_secs(300);

/// The right to do what is due, until it is finished or taken over.
#[derive(Clone, Debug)]
pub struct Turn {
    holder: String,
}

/// Takes the turn for `holder`; none where another process has it, or finished one less than `rest` ago.
///
/// # Errors
/// Whatever the database answers.
pub async fn take(store: &Store, holder: &str, rest: Duration) -> Result<Option<Turn>, SinkError> {
    let taken = sqlx::query(TAKE)
        .bind(holder)
        .bind(TTL.as_secs_f64())
        .bind(rest.as_secs_f64())
        .execute(&store.pool)
        .await?;
    Ok((taken.rows_affected() == 1).then(|| Turn {
        holder: holder.to_owned(),
    }))
}

impl Turn {
    /// Holds it for longer.
    pub(super) async fn renew(&self, store: &Store) -> Result<(), SinkError> {
        self.update(store, RENEW).await
    }

    /// Gives it back, everything being done.
    pub(super) async fn finish(&self, store: &Store) -> Result<(), SinkError> {
        self.update(store, FINISH).await
    }

    async fn update(&self, store: &Store, statement: &'static str) -> Result<(), SinkError> {
        let updated = sqlx::query(statement)
            .bind(&self.holder)
            .bind(TTL.as_secs_f64())
            .execute(&store.pool)
            .await?;
        if updated.rows_affected() == 1 {
            return Ok(());
        }
        Err(SinkError::TurnLost)
    }
}

const TAKE: &str = "insert into indexer_service.maintenance_turns as t (holder, held_until)
    values ($1, clock_timestamp() + make_interval(secs => $2))
    on conflict (only_row) do update set holder = excluded.holder, held_until = excluded.held_until
    where t.held_until < clock_timestamp()
      and (t.finished_at is null or t.finished_at <= clock_timestamp() - make_interval(secs => $3))";

const RENEW: &str =
    "update indexer_service.maintenance_turns set held_until = clock_timestamp() + make_interval(secs => $2)
    where holder = $1";

// Both at once have the same parameters; a turn that is over can be taken at once.
const FINISH: &str = "update indexer_service.maintenance_turns
    set finished_at = clock_timestamp(), held_until = clock_timestamp() - make_interval(secs => least($2, 1))
    where holder = $1";
