//! What the schema holds of the tables that people and other services write: which rows it refuses and by which name, what its triggers
//! do, what goes with a user, which partitions there are, and what each role may read and write.
//!
//! Asked of a real server and of the embedded database alike.

mod attempt;
mod catalog;
mod effects;
mod refusals;
mod roles;

use sqlx::PgPool;

use self::attempt::refused_by;

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
    roles::hold(pool).await;
}

/// All pairs of a rule and what breaks it.
fn refusals() -> Vec<[&'static str; 2]> {
    [
        refusals::people::PEOPLE,
        refusals::access::ACCESS,
        refusals::services::SERVICES,
        refusals::governance::GOVERNANCE,
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
