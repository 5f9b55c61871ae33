//! One class per error: the only thing a loop may decide on.

use std::ops::RangeInclusive;

use decoders::block::{BlockRef, ChainId};

/// What a caller should do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Try again with backoff and jitter.
    Transient,
    /// The chain moved under the writer: read the checkpoint again and rewind if need be.
    Reorg,
    /// Stop: another try would end the same way. Unknown errors are fatal.
    Fatal,
    /// Asked to stop.
    Cancelled,
}

/// Why a commit did not happen. Whatever the reason, nothing of it was stored.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// PostgreSQL refused a statement or went away.
    #[error("use the database: {0}")]
    Database(#[from] sqlx::Error),
    /// A migration failed, or a shipped one was changed.
    #[error("migrate the database: {0}")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    /// Another writer covered part of the range, or undid what it stands on, between the look and the commit.
    #[error("commit blocks {} to {} of {chain}: another writer changed what they stand on meanwhile", range.start(), range.end())]
    Raced {
        /// The chain.
        chain: ChainId,
        /// The range of the refused span.
        range: RangeInclusive<u64>,
    },
    /// The checkpoint is not where the move starts.
    #[error("move the checkpoint of {chain}: it is no longer at {}", expected.map_or_else(|| "its beginning".to_owned(), |b| b.to_string()))]
    CheckpointMoved {
        /// The chain.
        chain: ChainId,
        /// Where the caller believed it to be; `None` for a chain without a checkpoint.
        expected: Option<BlockRef>,
    },
    /// Blocks above the checkpoint are covered, by a writer that could not know on which branch the head would be.
    #[error("apply blocks {} to {} of {chain}: blocks above the checkpoint are covered already", range.start(), range.end())]
    CoveredAhead {
        /// The chain.
        chain: ChainId,
        /// The range of the refused span.
        range: RangeInclusive<u64>,
    },
    /// The span and what is stored beside it are of two branches.
    #[error(
        "apply blocks of {chain}: block {block} is stored under another hash, so they are of another branch or it is"
    )]
    Torn {
        /// The chain.
        chain: ChainId,
        /// The block in doubt; the lowest, where there are several.
        block: u64,
    },
    /// Another daemon holds the chain now; this one must not write its head.
    #[error("write the head of {chain}: its lease was lost")]
    LeaseLost {
        /// The chain.
        chain: ChainId,
    },
    /// The caller broke the contract of the function: a fact outside its span, two facts at one position, a gap.
    #[error("commit blocks {} to {} of {chain}: {reason}", range.start(), range.end())]
    Inconsistent {
        /// The chain.
        chain: ChainId,
        /// The range of the refused span.
        range: RangeInclusive<u64>,
        /// What does not hold.
        reason: &'static str,
    },
}

impl SinkError {
    /// Whether a row was there already.
    pub(crate) fn is_unique_violation(&self) -> bool {
        let SinkError::Database(sqlx::Error::Database(refusal)) = self else {
            return false;
        };
        refusal.is_unique_violation()
    }

    /// What to do about it.
    pub fn class(&self) -> Class {
        match self {
            SinkError::Database(error) => class_of(error),
            SinkError::Migrate(sqlx::migrate::MigrateError::Execute(error)) => class_of(error),
            SinkError::Raced { .. } => Class::Transient,
            SinkError::CheckpointMoved { .. } | SinkError::CoveredAhead { .. } | SinkError::Torn { .. } => Class::Reorg,
            SinkError::Migrate(_) | SinkError::LeaseLost { .. } | SinkError::Inconsistent { .. } => Class::Fatal,
        }
    }
}

/// The class of an error of the driver or the server.
fn class_of(error: &sqlx::Error) -> Class {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::WorkerCrashed => Class::Transient,
        // What the driver makes of a connection that ends within a message or a handshake. A server that speaks something else
        // for good was refused when the database was opened.
        sqlx::Error::Protocol(_) | sqlx::Error::Tls(_) => Class::Transient,
        sqlx::Error::PoolClosed => Class::Cancelled,
        sqlx::Error::Database(refusal) => refusal.code().map_or(Class::Fatal, |code| class_of_state(&code)),
        _ => Class::Fatal,
    }
}

/// The class of an SQLSTATE (PostgreSQL documentation, appendix A).
fn class_of_state(code: &str) -> Class {
    match code {
        // Unique violation: two writers on one range; the coverage tells the slower one that it is done.
        "23505" => Class::Transient,
        // Serialization failure, deadlock, lock timeout.
        "40001" | "40P01" | "55P03" => Class::Transient,
        // Shut down, crashed, starting up, connection slots taken.
        "57P01" | "57P02" | "57P03" | "53300" => Class::Transient,
        // The session was ended because a stopped process held a transaction open: nothing of it stands.
        "25P03" => Class::Transient,
        _ if code.starts_with("08") => Class::Transient,
        _ => Class::Fatal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_that_pass_are_transient_and_the_unknown_is_fatal() {
        for code in ["23505", "40001", "40P01", "57P01", "57P03", "53300", "08006", "08P01"] {
            assert_eq!(class_of_state(code), Class::Transient, "{code}");
        }
        for code in ["23503", "23514", "42P01", "22003", "XX000", ""] {
            assert_eq!(class_of_state(code), Class::Fatal, "{code}");
        }
    }

    #[test]
    fn a_connection_that_breaks_is_transient_and_a_closed_pool_means_stop() {
        let broken = sqlx::Error::Io(std::io::ErrorKind::ConnectionReset.into());
        assert_eq!(SinkError::from(broken).class(), Class::Transient);
        let cut = sqlx::Error::Protocol("unexpected response from SSLRequest: 0x00".to_owned());
        assert_eq!(SinkError::from(cut).class(), Class::Transient);
        assert_eq!(SinkError::from(sqlx::Error::PoolClosed).class(), Class::Cancelled);
        assert_eq!(SinkError::from(sqlx::Error::RowNotFound).class(), Class::Fatal);
    }

    #[test]
    fn the_text_reads_after_failed_to() {
        let chain = ChainId(1);
        assert_eq!(
            SinkError::CheckpointMoved { chain, expected: None }.to_string(),
            "move the checkpoint of eip155:1: it is no longer at its beginning"
        );
        assert_eq!(
            SinkError::LeaseLost { chain }.to_string(),
            "write the head of eip155:1: its lease was lost"
        );
    }
}
