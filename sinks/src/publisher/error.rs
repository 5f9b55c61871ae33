//! What can go wrong on the way to the broker.

use decoders::block::ChainId;

use crate::error::SinkError;
use decoders::failure::Class;

/// Why publishing stopped, or could not start.
#[derive(Debug, thiserror::Error)]
pub enum PublisherError {
    /// The address cannot be read. Its text is not repeated: it may hold a password.
    #[error("broker.url is not an address such as amqp://user:password@host:5672/%2f")]
    Address,
    /// A name is longer than the protocol allows.
    #[error("the name {0:?} is longer than the 255 bytes RabbitMQ allows")]
    Name(String),
    /// The broker cannot be reached or refused the login.
    #[error(
        "rabbitmq at {place} cannot be used: {reason}; start it or correct broker.url (leave it empty to keep messages in the outbox)"
    )]
    Unreachable {
        /// Host and port.
        place: String,
        /// What the broker or the system reported.
        reason: String,
    },
    /// The broker took a request and did not answer.
    #[error("rabbitmq did not answer within {seconds} s")]
    Silent {
        /// How long it was waited for.
        seconds: u64,
    },
    /// The connection was lost while nothing was under way.
    #[error("rabbitmq closed the connection")]
    Lost,
    /// The connection or channel failed.
    #[error("rabbitmq: {0}")]
    Broker(#[from] lapin::Error),
    /// The broker refused the lock of a chain.
    #[error("rabbitmq refused the queue {queue}, which keeps other publishers from {chain}: {reason}")]
    Lock {
        /// The chain.
        chain: ChainId,
        /// The queue that is the lock.
        queue: String,
        /// What the broker reported.
        reason: lapin::Error,
    },
    /// Another publisher took a chain over: whatever this connection still had under way must not come after it.
    #[error("another publisher took {chain} over: giving up the connection")]
    ClaimLost {
        /// The chain.
        chain: ChainId,
    },
    /// A queue could not take a message.
    #[error("rabbitmq refused a message with the routing key {0}: a queue is full or has lost its majority")]
    Refused(String),
    /// PostgreSQL failed.
    #[error(transparent)]
    Store(#[from] SinkError),
}

impl From<sqlx::Error> for PublisherError {
    fn from(error: sqlx::Error) -> Self {
        PublisherError::Store(error.into())
    }
}

impl PublisherError {
    /// What a caller should do about it. A broker is always tried again: it may be repaired while the daemon runs.
    pub fn class(&self) -> Class {
        match self {
            PublisherError::Unreachable { .. }
            | PublisherError::Silent { .. }
            | PublisherError::Lost
            | PublisherError::Broker(_)
            | PublisherError::Lock { .. }
            | PublisherError::ClaimLost { .. }
            | PublisherError::Refused(_) => Class::Transient,
            PublisherError::Address | PublisherError::Name(_) => Class::Fatal,
            PublisherError::Store(error) => error.class(),
        }
    }
}
