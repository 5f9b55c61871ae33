//! A consumer's queue, declared and bound, so that a first one needs no other tool.

use lapin::options::{QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable, LongString};

use super::broker;
use super::error::PublisherError;
use super::names::name;
use super::tail::Filter;

/// Declares the durable quorum queue `queue` and binds it to `exchange` for the messages that `filter` lets through.
///
/// Harmless when both are there. Bindings add up: another call with another filter brings its messages as well.
///
/// # Errors
/// Whatever the broker answers, such as that a queue of this name has other properties.
pub async fn bind(url: &str, exchange: &str, queue: &str, filter: &Filter) -> Result<(), PublisherError> {
    let (exchange, queue) = (name(exchange)?, name(queue)?);
    let key = name(&filter.binding())?;
    let connection = broker::connect(url).await?;
    let channel = connection.create_channel().await?;
    broker::declare(&channel, exchange.clone()).await?;
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), AMQPValue::LongString(LongString::from("quorum")));
    let durable = QueueDeclareOptions {
        durable: true,
        ..QueueDeclareOptions::default()
    };
    channel.queue_declare(queue.clone(), durable, arguments).await?;
    let options = QueueBindOptions::default();
    channel
        .queue_bind(queue, exchange, key, options, FieldTable::default())
        .await?;
    // What was asked for is done; a broker that does not confirm the end of the connection changes nothing about it.
    if let Err(error) = connection.close(200, "bye".into()).await {
        tracing::debug!(%error, "the broker did not confirm the end of the connection");
    }
    Ok(())
}
