//! Why a query has no answer.

/// Why a query has no answer.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// More is asked than may be asked at once, or of a size that takes too long.
    #[error("too much is asked at once, try again later")]
    Busy,
    /// The database failed.
    #[error("failed to read the database: {0}")]
    Database(#[source] sqlx::Error),
}

impl From<sqlx::Error> for QueryError {
    fn from(error: sqlx::Error) -> Self {
        let code = error.as_database_error().and_then(|error| error.code());
        match code.as_deref() {
            // PostgreSQL ended a statement that took longer than it may (`query_canceled`).
            Some("57014") => QueryError::Busy,
            _ => QueryError::Database(error),
        }
    }
}
