//! What a command that cannot go on reports to the operator: one line, and an exit code of its own.

use rpc::EndpointError;

use crate::archive::ArchiveError;
use decoders::failure::Class;

/// Why a command ended, as a process exit code. Documented in docs/RUNBOOK.md.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// A fault of the program or of stored data.
    Internal = 1,
    /// Wrong usage: an unknown flag, a missing argument (also what clap exits with).
    Usage = 2,
    /// `config.toml` cannot be read, has an unknown key or a value out of range; a URL, there or in the environment, is malformed.
    Config = 3,
    /// PostgreSQL cannot be reached or refused the login.
    Database = 4,
    /// MongoDB cannot be reached or refused the login.
    Archive = 5,
    /// RabbitMQ cannot be reached or refused the login.
    Broker = 6,
    /// No endpoint of the chain answers.
    Endpoint = 7,
    /// An endpoint serves another chain than the registry states.
    WrongChain = 8,
    /// The block range is empty, backwards, or not final yet.
    BadRange = 9,
    /// The registry has no such chain, endpoint, contract or ABI, or refuses the edit.
    Registry = 10,
    /// The address to listen on is taken or not this machine's: it may be free after a restart.
    Address = 11,
    /// Stopped before it was done: by a signal, or because standard output was closed.
    Interrupted = 130,
}

/// An error that ends a command: what failed, and what to do about it, in one line.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// The exit code.
    pub exit: Exit,
    /// One line: what failed, why, what to do. Never holds a secret.
    pub message: String,
}

impl Failure {
    /// A failure with its one line.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Failure {
            exit,
            message: message.into(),
        }
    }
}

/// Anything that can go wrong between an endpoint and a commit.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Reading the chain failed.
    #[error(transparent)]
    Endpoint(EndpointError),
    /// Reading or writing raw events failed.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// Reading or writing the tables failed.
    #[error(transparent)]
    Sink(#[from] sinks::error::SinkError),
    /// Something that usually passes: a head that does not move, a lease held elsewhere.
    #[error("{0}")]
    Stalled(String),
    /// A task of the daemon itself broke.
    #[error("a task ended unexpectedly: {0}")]
    Broken(String),
    /// Asked to stop.
    #[error("stopped on request")]
    Cancelled,
}

impl From<EndpointError> for Error {
    /// A pool that was asked to stop is no failure of its endpoints.
    fn from(error: EndpointError) -> Self {
        match error {
            EndpointError::Cancelled => Error::Cancelled,
            error => Error::Endpoint(error),
        }
    }
}

impl Error {
    /// What to do about it.
    pub fn class(&self) -> Class {
        match self {
            Error::Endpoint(error) => error.class(),
            Error::Archive(error) => error.class(),
            Error::Sink(error) => error.class(),
            Error::Stalled(_) => Class::Transient,
            Error::Broken(_) => Class::Fatal,
            Error::Cancelled => Class::Cancelled,
        }
    }

    /// The exit code of a command that this error ended.
    pub fn exit(&self) -> Exit {
        match self {
            Error::Endpoint(EndpointError::WrongChain { .. }) => Exit::WrongChain,
            Error::Endpoint(EndpointError::BadRange { .. }) => Exit::BadRange,
            Error::Endpoint(_) => Exit::Endpoint,
            Error::Archive(ArchiveError::Address(_)) => Exit::Config,
            Error::Archive(_) => Exit::Archive,
            Error::Sink(_) => Exit::Database,
            Error::Stalled(_) | Error::Broken(_) => Exit::Internal,
            Error::Cancelled => Exit::Interrupted,
        }
    }
}

impl From<queries::QueryError> for Failure {
    fn from(error: queries::QueryError) -> Self {
        Failure::new(Exit::Database, error.to_string())
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let message = match &error {
            Error::Endpoint(endpoint) => advised(endpoint),
            error => error.to_string(),
        };
        Failure::new(error.exit(), message)
    }
}

/// What the endpoints of a chain failed with, and what to do about it for those of the registry and of a command line alike.
fn advised(error: &EndpointError) -> String {
    let advice = match error {
        // Not in the error's own words: some commands have no --rpc.
        EndpointError::WrongChain { chain, found } => {
            return format!(
                "no endpoint serves {chain}: {found}: correct the URL with `indexer registry endpoints set`, or that of --rpc where it was given"
            );
        }
        EndpointError::Unusable { .. } | EndpointError::Unreachable { .. } => {
            "start the node or correct its URL: `indexer registry endpoints list` shows those of the registry, and \
             `indexer registry endpoints add` adds another"
        }
        EndpointError::NotFound { .. } => {
            "wait until the endpoints have it; what is older than they keep takes an archive node: \
             `indexer registry endpoints add`"
        }
        EndpointError::Unproven { .. } => {
            "try it with an endpoint of another operator: `indexer registry endpoints add`; docs/RUNBOOK.md, Integrity, \
             explains the checks"
        }
        EndpointError::NoEndpoints { .. } | EndpointError::BadRange { .. } | EndpointError::Cancelled => {
            return error.to_string();
        }
    };
    format!("{error}: {advice}")
}
