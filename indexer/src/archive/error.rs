//! What can go wrong with the archive.

use std::ops::RangeInclusive;

use decoders::block::ChainId;
use decoders::failure::Class;
use sinks::error::SinkError;

use super::mongo_error;

/// Why the archive could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The address is not one of a MongoDB.
    #[error("archive.url is not a MongoDB address such as mongodb://host:27017: {0}")]
    Address(String),
    /// MongoDB did not answer when it was first asked.
    #[error(
        "mongodb at {hosts} cannot be used: {reason}; start it or correct archive.url (leave it empty to keep raw events in PostgreSQL)"
    )]
    Unreachable {
        /// Host names and ports, without user or password.
        hosts: String,
        /// What the driver reported.
        reason: String,
    },
    /// MongoDB took an operation and did not answer.
    #[error("mongodb did not answer within {seconds} s")]
    Silent {
        /// How long it was waited for.
        seconds: u64,
    },
    /// A MongoDB operation failed.
    #[error("raw events in mongodb: {}", mongo_error::reason(.0))]
    Mongo(#[from] mongodb::error::Error),
    /// MongoDB carried an operation out and did not confirm it as asked: it may still stand.
    #[error("mongodb did not confirm what it wrote: {0}")]
    Unconfirmed(String),
    /// A PostgreSQL operation failed.
    #[error("raw events in postgresql: {0}")]
    Postgres(#[from] SinkError),
    /// MongoDB cannot write for now.
    #[error("mongodb cannot write now: {0}")]
    Busy(String),
    /// MongoDB took a command and did not carry it out.
    #[error("mongodb refused to write: {0}")]
    Refused(String),
    /// A span that breaks its own rules was given: a fault of the caller.
    #[error("the span given to the archive {0}")]
    Span(String),
    /// The archive holds nothing of a range that the tables have facts of.
    #[error(
        "the archive holds nothing of blocks {} to {} of {chain}, but the tables do: see that archive.url and archive.database name the archive they were written from",
        range.start(), range.end()
    )]
    Foreign {
        /// The chain.
        chain: ChainId,
        /// The range.
        range: RangeInclusive<u64>,
    },
    /// Stored raw events cannot be what `put` wrote.
    #[error("raw events of {chain} at block {block}: {reason}; fetch the range again with `indexer backfill`")]
    Corrupt {
        /// The chain.
        chain: ChainId,
        /// Height of the first suspect block.
        block: u64,
        /// What is wrong.
        reason: String,
    },
}

impl ArchiveError {
    /// What a caller should do about it.
    pub fn class(&self) -> Class {
        match self {
            ArchiveError::Unreachable { .. }
            | ArchiveError::Silent { .. }
            | ArchiveError::Busy(_)
            | ArchiveError::Unconfirmed(_) => Class::Transient,
            ArchiveError::Mongo(error) => mongo_error::class(error),
            ArchiveError::Postgres(error) => error.class(),
            ArchiveError::Address(_)
            | ArchiveError::Refused(_)
            | ArchiveError::Span(_)
            | ArchiveError::Foreign { .. }
            | ArchiveError::Corrupt { .. } => Class::Fatal,
        }
    }
}
