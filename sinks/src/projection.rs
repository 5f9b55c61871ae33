//! What every projection states of itself. A projection is a file of [`crate::projections`].

use decoders::fact::PerKind;
use futures::future::BoxFuture;
use sqlx::PgConnection;

use crate::error::SinkError;
use crate::facts::Batch;

/// Something computed from the set of facts of a chain, never from the order of their arrival.
pub(crate) struct Projection {
    /// Whether so many facts of each kind change it.
    pub(crate) reads: fn(&PerKind<u64>) -> bool,
    /// Whether it follows from facts of other spans as much as from those of the span being written: then the other writers of the chain
    /// are waited for first, which could be adding such facts.
    pub(crate) alone: bool,
    /// Whether a bulk load leaves it out and computes it at its end, once for all facts: what it follows from is looked up by indexes that
    /// such a load goes without.
    pub(crate) deferred: bool,
    /// Whether two writers may add the same row at one moment: `on conflict` names one of its keys, and another may be met first. The
    /// one who tries again finds the row.
    pub(crate) added_by_two: bool,
    /// Its tables, with the schema, and the statement that takes the number and digest of their rows of chain $1. None for what is kept
    /// in columns of facts.
    pub(crate) digests: &'static [(&'static str, &'static str)],
    /// Adds what the facts of a batch decide.
    pub(crate) apply: for<'a> fn(&'a mut PgConnection, &'a Batch<'a>) -> BoxFuture<'a, Result<(), SinkError>>,
    /// Takes back what the facts in the temporary tables of their kinds decided, which `apply` added.
    pub(crate) revert: for<'a> fn(&'a mut PgConnection, &'a str) -> BoxFuture<'a, Result<(), SinkError>>,
}
