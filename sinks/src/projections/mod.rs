//! What follows from facts: each file shows its `apply` beside its `revert`.

pub mod wash;

pub(crate) mod balances;
pub(crate) mod collections;
pub(crate) mod counters;
pub(crate) mod settlement;
pub(crate) mod tokens;
pub(crate) mod volumes;
