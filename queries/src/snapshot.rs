//! Several statements that see the tables at one moment.

use sqlx::{PgPool, PgTransaction};

/// A transaction that changes nothing and in which every statement sees what the first one saw.
pub(crate) async fn begin(pool: &PgPool) -> Result<PgTransaction<'static>, sqlx::Error> {
    let mut transaction = pool.begin().await?;
    sqlx::query(READ_ONLY).execute(&mut *transaction).await?;
    Ok(transaction)
}

const READ_ONLY: &str = "set transaction isolation level repeatable read, read only";
