//! The tables: one pool of connections, and the migrations that make them.

use sqlx::PgPool;

/// The database every sink writes to.
#[derive(Clone, Debug)]
pub struct Store {
    /// Its connections.
    pub pool: PgPool,
}

impl Store {
    /// A store over `pool`.
    pub fn new(pool: PgPool) -> Self {
        Store { pool }
    }

    /// Brings the schema up to date.
    pub async fn migrate(&self) -> Result<(), sqlx::migrate::MigrateError> {
        sqlx::migrate!("../migrations").run(&self.pool).await
    }
}
