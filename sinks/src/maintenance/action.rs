//! What maintenance did.

/// What was done, or would be, to one table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Action {
    /// The table, with its schema; of a partition its own name.
    pub table: String,
    /// `deleted`, `expired`, `disabled`, `made` or `dropped`; `waiting` are rows that no month has a partition for.
    pub action: &'static str,
    /// Rows; of a partition that is made none.
    pub rows: u64,
}

/// An action on that many rows; none on none.
pub(super) fn acted(table: &str, action: &'static str, rows: i64) -> Option<Action> {
    (rows > 0).then(|| Action {
        table: table.to_owned(),
        action,
        rows: rows.cast_unsigned(),
    })
}
