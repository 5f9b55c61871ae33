//! Addresses and names as the protocol reads them.

use lapin::types::ShortString;
use lapin::uri::AMQPUri;
use uuid::Uuid;

use super::error::PublisherError;

/// `url` as the protocol's library reads it.
pub(super) fn address(url: &str) -> Result<AMQPUri, PublisherError> {
    // The parser's complaint may repeat the password, so it is not shown.
    url.parse().map_err(|_| PublisherError::Address)
}

/// `text` as a name in the protocol, which holds 255 bytes.
pub(super) fn name(text: &str) -> Result<ShortString, PublisherError> {
    ShortString::try_new(text.to_owned()).map_err(|_| PublisherError::Name(text.to_owned()))
}

/// What the queue is called that is the lock `lock` of a chain. It begins with the exchange's name, so that one pattern permits both.
pub(super) fn lock_name(exchange: &str, lock: Uuid) -> String {
    format!("{exchange}.publisher.{lock}")
}
