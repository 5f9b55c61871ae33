//! What the schema holds of the tables that people and other services write: which rows it refuses and by which name, what its triggers
//! do, what goes with a user, and which partitions there are.
//!
//! Asked of a real server and of the embedded database alike.

mod catalog;
mod effects;
mod refusals;

use sqlx::{AssertSqlSafe, PgPool};

/// A good row of every such table.
const ROWS: &str = include_str!("rows.sql");

/// Fills the tables of an empty, migrated database and tries everything; what is tried is taken back.
///
/// # Panics
/// When something does not hold.
pub async fn hold(pool: &PgPool) {
    sqlx::raw_sql(ROWS).execute(pool).await.unwrap();
    each_rule_refuses_by_its_name(pool).await;
    catalog::hold(pool, &refusals()).await;
    effects::hold(pool).await;
}

/// All pairs of a rule and what breaks it.
fn refusals() -> Vec<[&'static str; 2]> {
    [
        refusals::PEOPLE,
        refusals::ACCESS,
        refusals::SERVICES,
        refusals::GOVERNANCE,
    ]
    .concat()
}

async fn each_rule_refuses_by_its_name(pool: &PgPool) {
    for [rule, statement] in refusals() {
        let named = refused_by(pool, statement).await;
        // The rule of a partitioned table is an index of each partition, named after it.
        let of_partition = named
            .as_deref()
            .and_then(|name| name.strip_prefix(rule))
            .is_some_and(|rest| rest.starts_with('_') && rest[1..].chars().all(|c| c.is_ascii_digit()));
        assert!(
            named.as_deref() == Some(rule) || of_partition,
            "{named:?} refused instead of {rule}: {statement}"
        );
    }
}

/// The name of the rule by which `statements` are refused; none where they are not, or by what has no name. Nothing of them stays.
async fn refused_by(pool: &PgPool, statements: &str) -> Option<String> {
    let mut transaction = pool.begin().await.unwrap();
    let done = sqlx::raw_sql(AssertSqlSafe(statements.to_owned()))
        .execute(&mut *transaction)
        .await;
    transaction.rollback().await.unwrap();
    let error = done.err()?;
    error.as_database_error()?.constraint().map(str::to_owned)
}
