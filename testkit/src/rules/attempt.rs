//! Statements that are tried and leave nothing behind.

use sqlx::{AssertSqlSafe, PgPool};

/// What a statement that lacks a right is refused by.
pub(super) const RIGHTS: &str = "rights";

/// By which rule `statements` are refused: its name, or [`RIGHTS`], or the message of an error that has no name. None where they are not.
///
/// They are sent as one text, which is one transaction, and end in an error in any case: the embedded database neither catches an error
/// in a block of PL/pgSQL nor goes on after one in a transaction.
pub(super) async fn refused_by(pool: &PgPool, statements: &str) -> Option<String> {
    let tried = format!(
        "{statements};
         do $accepted$ begin
             raise exception 'accepted' using errcode = 'check_violation', constraint = 'accepted';
         end $accepted$"
    );
    let error = sqlx::raw_sql(AssertSqlSafe(tried)).execute(pool).await.unwrap_err();
    let refusal = error.as_database_error().unwrap();
    match refusal.constraint() {
        Some("accepted") => None,
        Some(rule) => Some(rule.to_owned()),
        None if refusal.code().as_deref() == Some("42501") => Some(RIGHTS.to_owned()),
        None => Some(refusal.message().to_owned()),
    }
}
