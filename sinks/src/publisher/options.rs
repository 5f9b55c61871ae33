//! How to reach the broker and how to publish, as it is configured.

use std::time::Duration;

use uuid::Uuid;

use super::error::PublisherError;
use super::names::{address, lock_name, name};

/// What to do with a message that no queue asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Unroutable {
    /// Keep it and all that follow on its chain pending, report so in `/readyz`, and try again until a queue is bound.
    #[default]
    Hold,
    /// Count it and go on: consumers bind what they want, the rest has no consumer.
    Drop,
}

/// How to reach the broker and how to publish.
#[derive(Clone, Debug)]
pub struct Options {
    /// `amqp://user:password@host:port/vhost`; `amqps` for TLS.
    pub url: String,
    /// Name of the topic exchange; design and documentation call it `indexer.events`.
    pub exchange: String,
    /// What to do with a message that no queue asks for.
    pub unroutable: Unroutable,
    /// Most messages in flight: read, published and confirmed together.
    pub batch: usize,
    /// How often the outbox is looked at when no one rings: this process does, so it is for what others commit.
    pub poll_interval: Duration,
    /// Name of this process among publishers of the same database.
    pub holder: String,
}

impl Options {
    /// The usual settings for `url`.
    pub fn new(url: impl Into<String>, holder: impl Into<String>) -> Self {
        Options {
            url: url.into(),
            exchange: "indexer.events".into(),
            unroutable: Unroutable::Hold,
            batch: 4_096,
            poll_interval: Duration::from_secs(4),
            holder: holder.into(),
        }
    }

    /// Whether the address and the exchange's name can be used at all, without asking the broker.
    pub fn check(&self) -> Result<(), PublisherError> {
        address(&self.url)?;
        name(&lock_name(&self.exchange, Uuid::nil()))?;
        Ok(())
    }
}
