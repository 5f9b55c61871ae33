//! One class per error: the only thing a loop may decide on.

use std::ops::RangeInclusive;

use decoders::block::{BlockRef, ChainId};
use decoders::failure::Class;

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
        /// Where the caller assumed it to be; `None` for a chain without a checkpoint.
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
        /// The suspect block; the lowest, where there are several.
        block: u64,
    },
    /// Another daemon holds the chain now; this one must not write its head.
    #[error("write the head of {chain}: its lease was lost")]
    LeaseLost {
        /// The chain.
        chain: ChainId,
    },
    /// Another process looks after the database now.
    #[error("look after the database: another process has its turn by now")]
    TurnLost,
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
    /// The table in which a row was there already.
    pub(crate) fn violated(&self) -> Option<&str> {
        let SinkError::Database(sqlx::Error::Database(refusal)) = self else {
            return None;
        };
        refusal.table().filter(|_| refusal.is_unique_violation())
    }

    /// What to do about it.
    pub fn class(&self) -> Class {
        match self {
            SinkError::Database(error) => class_of(error),
            SinkError::Migrate(sqlx::migrate::MigrateError::Execute(error)) => class_of(error),
            SinkError::Raced { .. } | SinkError::TurnLost => Class::Transient,
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
        // The server ended the transaction behind the driver's back.
        sqlx::Error::BeginFailed => Class::Transient,
        sqlx::Error::PoolClosed => Class::Cancelled,
        sqlx::Error::Database(refusal) => refusal
            .code()
            .map_or(Class::Fatal, |code| class_of_refusal(&code, refusal.message())),
        _ => Class::Fatal,
    }
}

/// The class of what a server refused. A plan made before a migration is made anew by the next try, on another connection.
fn class_of_refusal(code: &str, message: &str) -> Class {
    if code == "0A000" && message.contains("cached plan") {
        return Class::Transient;
    }
    class_of_state(code)
}

/// The class of an SQLSTATE (PostgreSQL documentation, appendix A): what an operator or the server itself can end while the
/// process waits is tried again; what a statement or a row is to blame for is not.
fn class_of_state(code: &str) -> Class {
    match code {
        // The database was dropped: it does not come back with what it held.
        "57P04" => Class::Fatal,
        // Unique violation: two writers on one range; the coverage shows the slower one that it is done.
        "23505" => Class::Transient,
        // A server demoted to a standby; a transaction or a session that idled too long or ran too long, and what such a transaction
        // answers afterwards.
        "25006" | "25P02" | "25P03" | "25P04" => Class::Transient,
        // A statement prepared on a connection that a pooler has exchanged since, or prepared there already.
        "26000" | "42P05" => Class::Transient,
        // Objects in use, not in the state a statement needs, locked for longer than it may wait.
        "55000" | "55006" | "55P03" => Class::Transient,
        // A snapshot that is too old.
        "72000" => Class::Transient,
        _ => match code.get(..2).unwrap_or_default() {
            // Connections; logins, which an operator may be about to change; transactions rolled back (serialization, deadlock).
            "08" | "28" | "40" => Class::Transient,
            // Disk, memory or connection slots are used up; an operator steps in: shut down, starting up, cancelled by a timeout;
            // errors of the system around the server, such as of its disk.
            "53" | "57" | "58" => Class::Transient,
            _ => Class::Fatal,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_that_pass_are_transient_and_the_unknown_is_fatal() {
        for code in [
            "23505", "25006", "25P02", "25P03", "26000", "28P01", "40001", "40P01", "42P05", "53100", "53200", "53300",
            "53400", "55P03", "57014", "57P01", "57P02", "57P03", "57P05", "58000", "58030", "08006", "08P01",
        ] {
            assert_eq!(class_of_state(code), Class::Transient, "{code}");
        }
        for code in [
            "22003", "23503", "23514", "3D000", "42501", "42P01", "57P04", "XX000", "XX001", "", "é",
        ] {
            assert_eq!(class_of_state(code), Class::Fatal, "{code}");
        }
        let replanned = "cached plan must not change result type";
        assert_eq!(class_of_refusal("0A000", replanned), Class::Transient);
        assert_eq!(class_of_refusal("0A000", "cannot do that"), Class::Fatal);
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
