//! Maintenance: what goes with time. Partitions are made ahead of it, and rows past it are deleted or marked, a thousand at a time.
//!
//! A rule is a line of `RULES`. Each states what is past its time by the clock and not by when it was looked at last, so that a run that
//! was missed is made good by the next.

mod action;
mod months;
mod rules;
mod turn;

use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio_util::sync::CancellationToken;

pub use self::action::Action;
use self::action::acted;
pub use self::months::Kept;
pub use self::turn::{Turn, take};
use crate::error::SinkError;
use crate::store::Store;

/// Rows a statement settles at most.
const BATCH: i64 = 1_000;
/// Between two statements, so that others get on.
const PAUSE: Duration = Duration::from_millis(50);

/// What a run would do now, nothing of which is done.
///
/// # Errors
/// Whatever the database answers.
pub async fn preview(store: &Store, kept: &Kept) -> Result<Vec<Action>, SinkError> {
    let now = clock(store).await?;
    let mut actions = months::preview(store, kept, now).await?;
    for rule in rules::RULES {
        let rows: i64 = sqlx::query_scalar(rule.due).bind(now).fetch_one(&store.pool).await?;
        actions.extend(acted(rule.table, rule.action, rows));
    }
    Ok(actions)
}

/// Does everything that is due, under `turn`, and ends early, with what was done by then, when it is cancelled.
///
/// # Errors
/// [`SinkError::TurnLost`] where another process has the turn by now, and whatever the database answers. What was done stays done.
pub async fn run(
    store: &Store,
    kept: &Kept,
    turn: &Turn,
    cancel: &CancellationToken,
) -> Result<Vec<Action>, SinkError> {
    let now = clock(store).await?;
    let mut actions = months::run(store, kept, now).await?;
    for rule in rules::RULES {
        let mut settled = 0;
        while !cancel.is_cancelled() {
            turn.renew(store).await?;
            let rows: i64 = sqlx::query_scalar(rule.settle)
                .bind(now)
                .bind(BATCH)
                .fetch_one(&store.pool)
                .await?;
            settled += rows;
            if rows < BATCH {
                break;
            }
            tokio::time::sleep(PAUSE).await;
        }
        actions.extend(acted(rule.table, rule.action, settled));
    }
    if !cancel.is_cancelled() {
        turn.finish(store).await?;
    }
    Ok(actions)
}

/// The database's clock, by which its rows are dated.
async fn clock(store: &Store) -> Result<DateTime<Utc>, SinkError> {
    Ok(sqlx::query_scalar(CLOCK).fetch_one(&store.pool).await?)
}

const CLOCK: &str = "select now()";
