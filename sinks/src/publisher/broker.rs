//! The only code that speaks to RabbitMQ on the writing side: one connection, one channel in confirm mode, set up once.

use std::time::Duration;

use decoders::block::ChainId;
use futures::future::{join_all, poll_immediate, try_join_all};
use lapin::message::BasicReturnMessage;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions, ExchangeDeclareOptions, QueueDeclareOptions};
use lapin::protocol::{AMQPErrorKind, AMQPSoftError};
use lapin::types::{AMQPValue, FieldTable, LongString, ShortString};
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties, ExchangeKind, PublisherConfirm};
use rustc_hash::FxHashSet;

use super::claims::Claims;
use super::error::PublisherError;
use super::names::{address, name};
use super::options::Options;
use crate::message::{Message, SCHEMA_VERSION};

/// How long connecting and setting up may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a goodbye may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// Heartbeat when the address names none; a dead broker is noticed within twice this time, in seconds.
const HEARTBEAT: u16 = 10;
/// Persistent: written to disk before it is confirmed, on durable queues.
const PERSISTENT: u8 = 2;

/// What became of one published message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Every queue that asks for it has it.
    Confirmed,
    /// No queue asks for it.
    Unroutable,
    /// A queue could not take it.
    Refused,
}

/// A connection with its channel.
pub(super) struct Broker {
    connection: Connection,
    channel: Channel,
    exchange: ShortString,
    content_type: ShortString,
    app: ShortString,
    /// The chains this connection may publish.
    pub(super) claims: Claims,
}

impl Broker {
    /// Connects, turns confirms on and declares the durable topic exchange.
    pub(super) async fn connect(options: &Options) -> Result<Broker, PublisherError> {
        let connection = connect(&options.url).await?;
        let exchange = name(&options.exchange)?;
        let channel = tokio::time::timeout(CONNECT_TIMEOUT, set_up(&connection, exchange.clone()))
            .await
            .map_err(|_| PublisherError::Silent {
                seconds: CONNECT_TIMEOUT.as_secs(),
            })??;
        Ok(Broker {
            connection,
            channel,
            exchange,
            content_type: "application/json".into(),
            app: "nft-indexer".into(),
            claims: Claims::default(),
        })
    }

    /// Whether the connection stands and the channel is open.
    pub(super) fn connected(&self) -> bool {
        self.connection.status().connected() && self.channel.status().connected()
    }

    /// Whether the broker stopped taking messages because it runs out of memory or disk.
    pub(super) fn blocked(&self) -> bool {
        self.connection.status().blocked()
    }

    /// Makes this connection the only one that publishes `chain`, until it ends; false while another one does.
    ///
    /// The broker itself keeps the lock: an exclusive queue is its connection's alone, and gone once that connection is. Whatever
    /// an earlier publisher had under way, in a paused process or a proxy, was taken before that, or never will be.
    pub(super) async fn lock(&self, chain: ChainId, lock: &str) -> Result<bool, PublisherError> {
        let declared = async {
            // A refusal ends the channel it came on.
            let channel = self.connection.create_channel().await?;
            let exclusive = QueueDeclareOptions {
                exclusive: true,
                ..QueueDeclareOptions::default()
            };
            match channel
                .queue_declare(name(lock)?, exclusive, FieldTable::default())
                .await
            {
                Ok(_) => Ok(true),
                Err(error) if is_locked(&error) => Ok(false),
                Err(error) => Err(PublisherError::Lock {
                    chain,
                    queue: lock.to_owned(),
                    reason: error,
                }),
            }
        };
        let locked = tokio::time::timeout(CONNECT_TIMEOUT, declared).await;
        locked.map_err(|_| PublisherError::Silent {
            seconds: CONNECT_TIMEOUT.as_secs(),
        })?
    }

    /// Publishes `messages` in order and waits until each one is confirmed, returned or refused.
    pub(super) async fn send(&self, messages: &[&Message]) -> Result<Vec<Verdict>, PublisherError> {
        let written = self.write(messages).await?;
        let confirmations = join_all(written).await.into_iter().collect::<Result<Vec<_>, _>>()?;
        let refused: Vec<bool> = confirmations
            .iter()
            .map(|confirmation| !confirmation.is_ack())
            .collect();
        // A returned message comes before its confirmation but may be attached to that of a neighbour, so it is known by its id.
        let returned: FxHashSet<String> = confirmations
            .into_iter()
            .filter_map(Confirmation::take_message)
            .filter_map(|message| id_of(&message))
            .collect();
        let verdict = |(message, refused): (&&Message, bool)| match refused {
            true => Verdict::Refused,
            false if !returned.is_empty() && returned.contains(&message.id.to_string()) => Verdict::Unroutable,
            false => Verdict::Confirmed,
        };
        Ok(messages.iter().zip(refused).map(verdict).collect())
    }

    /// Passes every message to the connection, in order, without waiting for one before the next.
    async fn write(&self, messages: &[&Message]) -> Result<Vec<PublisherConfirm>, PublisherError> {
        let mut confirms: Vec<Option<PublisherConfirm>> = Vec::with_capacity(messages.len());
        let mut waiting = Vec::new();
        for (index, message) in messages.iter().enumerate() {
            let mut publish = Box::pin(self.publish(message));
            // The first poll queues the frames; polling one after the other is what keeps the order.
            let written = poll_immediate(&mut publish).await.transpose()?;
            if written.is_none() {
                waiting.push((index, publish));
            }
            confirms.push(written);
        }
        let late = waiting
            .into_iter()
            .map(|(index, publish)| async move { publish.await.map(|confirm| (index, confirm)) });
        for (index, confirm) in try_join_all(late).await? {
            confirms[index] = Some(confirm);
        }
        Ok(confirms.into_iter().flatten().collect())
    }

    async fn publish(&self, message: &Message) -> Result<PublisherConfirm, PublisherError> {
        let mut headers = FieldTable::default();
        headers.insert("schema_version".into(), AMQPValue::LongInt(SCHEMA_VERSION.into()));
        headers.insert(
            "chain".into(),
            AMQPValue::LongString(LongString::from(message.chain.as_str())),
        );
        let properties = BasicProperties::default()
            .with_delivery_mode(PERSISTENT)
            .with_content_type(self.content_type.clone())
            .with_message_id(message.id.to_string().into())
            .with_type(name(&message.kind)?)
            .with_app_id(self.app.clone())
            .with_headers(headers);
        let options = BasicPublishOptions {
            mandatory: true,
            immediate: false,
        };
        let key = name(&message.routing_key)?;
        Ok(self
            .channel
            .basic_publish(self.exchange.clone(), key, options, &message.body, properties)
            .await?)
    }

    /// Closes the connection, without waiting long for an answer.
    pub(super) async fn close(self) {
        let closed = tokio::time::timeout(CLOSE_TIMEOUT, self.connection.close(200, "bye".into())).await;
        if !matches!(closed, Ok(Ok(()))) {
            tracing::debug!("the broker did not confirm the end of the connection");
        }
    }
}

/// Opens a connection, within [`CONNECT_TIMEOUT`].
pub(super) async fn connect(url: &str) -> Result<Connection, PublisherError> {
    let mut uri = address(url)?;
    uri.query.heartbeat.get_or_insert(HEARTBEAT);
    let place = format!("{}:{}", uri.authority.host, uri.authority.port);
    let properties = ConnectionProperties::default().with_connection_name("nft-indexer".into());
    match tokio::time::timeout(CONNECT_TIMEOUT, Connection::connect_uri(uri, properties)).await {
        Ok(Ok(connection)) => Ok(connection),
        Ok(Err(error)) => Err(PublisherError::Unreachable {
            place,
            reason: error.to_string(),
        }),
        Err(_) => Err(PublisherError::Unreachable {
            place,
            reason: format!("no answer within {} s", CONNECT_TIMEOUT.as_secs()),
        }),
    }
}

async fn set_up(connection: &Connection, exchange: ShortString) -> Result<Channel, PublisherError> {
    let channel = connection.create_channel().await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    declare(&channel, exchange).await?;
    Ok(channel)
}

/// Declares the durable topic exchange; harmless when it is there.
pub(super) async fn declare(channel: &Channel, exchange: ShortString) -> lapin::Result<()> {
    let options = ExchangeDeclareOptions {
        durable: true,
        ..ExchangeDeclareOptions::default()
    };
    channel
        .exchange_declare(exchange, ExchangeKind::Topic, options, FieldTable::default())
        .await
}

/// Whether the broker refused a queue because it is another connection's.
fn is_locked(error: &lapin::Error) -> bool {
    let lapin::ErrorKind::ProtocolError(error) = error.kind() else {
        return false;
    };
    matches!(error.kind(), AMQPErrorKind::Soft(AMQPSoftError::RESOURCELOCKED))
}

fn id_of(message: &BasicReturnMessage) -> Option<String> {
    message
        .delivery
        .properties
        .message_id()
        .as_ref()
        .map(ToString::to_string)
}
