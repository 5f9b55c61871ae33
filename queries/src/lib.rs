//! What the tables hold, read for others: by the API, by commands that show tables to people, by metrics. SQL that reads for others
//! stands in this crate alone; what writes tables reads in `sinks` what it needs to write.
//!
//! A file per subject, all alike: the typed row, the functions that read it, the statements. A row states in its documentation what
//! each column means and in which unit, and serializes under the names of its fields, which are those of `/v1` and of `--json`. Amounts
//! and token numbers are decimal text, because they reach 2^256 - 1; addresses and hashes are lower-case `0x` text. Lists of facts are
//! read page by page ([`page`]).
//!
//! Nothing here writes, and nothing needs more than one connection at a time.

pub mod board;
pub mod chains;
pub mod collections;
pub mod coverage;
pub mod currencies;
mod error;
pub mod faults;
pub mod orders;
pub mod page;
mod readers;
pub mod sales;
mod snapshot;
pub mod status;
mod subject;
pub mod summary;
pub mod tokens;
pub mod transfers;

pub use error::QueryError;
pub use readers::{Limits, Readers};
pub use subject::Subject;
