//! Partitions by month: made ahead, dropped when they were kept long enough.

use chrono::{DateTime, Utc};

use super::action::{Action, acted};
use crate::error::SinkError;
use crate::store::Store;

/// Months beside this one for which partitions are there.
const AHEAD: i32 = 3;

/// How many months rows are kept behind the one they are of; for good where absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// Of `platform_service.notifications`.
    pub notifications: Option<u32>,
    /// Of `platform_service.audit_logs`.
    pub audit_logs: Option<u32>,
    /// Of `platform_service.transactions`.
    pub transactions: Option<u32>,
}

impl Kept {
    /// The tables of which months are dropped.
    fn limited(&self) -> impl Iterator<Item = (&'static str, i32)> {
        let Kept {
            notifications,
            audit_logs,
            transactions,
        } = *self;
        let all = [
            ("notifications", notifications),
            ("audit_logs", audit_logs),
            ("transactions", transactions),
        ];
        all.into_iter()
            .filter_map(|(table, months)| Some((table, i32::try_from(months?).unwrap_or(i32::MAX))))
    }
}

pub(super) async fn preview(store: &Store, kept: &Kept, now: DateTime<Utc>) -> Result<Vec<Action>, SinkError> {
    let missing: Vec<String> = sqlx::query_scalar(MISSING)
        .bind(AHEAD)
        .bind(now)
        .fetch_all(&store.pool)
        .await?;
    let mut actions: Vec<Action> = missing.into_iter().map(|name| partition(&name, "made", 0)).collect();
    for (table, months) in kept.limited() {
        for name in past(store, table, months, now).await? {
            actions.push(partition(&name, "dropped", 0));
        }
    }
    actions.extend(waiting(store).await?);
    Ok(actions)
}

pub(super) async fn run(store: &Store, kept: &Kept, now: DateTime<Utc>) -> Result<Vec<Action>, SinkError> {
    let made: Vec<String> = sqlx::query_scalar(MAKE)
        .bind(AHEAD)
        .bind(now)
        .fetch_all(&store.pool)
        .await?;
    let mut actions: Vec<Action> = made.into_iter().map(|name| partition(&name, "made", 0)).collect();
    for (table, months) in kept.limited() {
        for name in past(store, table, months, now).await? {
            let rows: i64 = sqlx::query_scalar(DROP)
                .bind(table)
                .bind(months)
                .bind(now)
                .bind(&name)
                .fetch_one(&store.pool)
                .await?;
            actions.push(partition(&name, "dropped", rows.cast_unsigned()));
        }
    }
    actions.extend(waiting(store).await?);
    Ok(actions)
}

fn partition(name: &str, action: &'static str, rows: u64) -> Action {
    Action {
        table: format!("platform_service.{name}"),
        action,
        rows,
    }
}

async fn past(store: &Store, table: &str, months: i32, now: DateTime<Utc>) -> Result<Vec<String>, SinkError> {
    let names = sqlx::query_scalar(PAST).bind(table).bind(months).bind(now);
    Ok(names.fetch_all(&store.pool).await?)
}

/// Rows of months that no partition is for: dated before the first, or further ahead than partitions are made.
async fn waiting(store: &Store) -> Result<Vec<Action>, SinkError> {
    let waiting: Vec<(String, i64)> = sqlx::query_as(WAITING).fetch_all(&store.pool).await?;
    let waiting = waiting
        .into_iter()
        .filter_map(|(table, rows)| acted(&table, "waiting", rows));
    Ok(waiting.collect())
}

const MISSING: &str = "select platform_service.missing_months($1, $2)::text";

const MAKE: &str = "select platform_service.ensure_months($1, $2)::text";

const PAST: &str = "select platform_service.past_months($1::text::name, $2, $3)::text";

const DROP: &str = "select platform_service.drop_month($1::text::name, $2, $3, $4::text::name)";

const WAITING: &str = "select default_partition, waiting from platform_service.waiting_rows()";
