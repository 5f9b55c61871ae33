//! A consumer of the test's own exchange.

use std::time::Duration;

use futures::StreamExt;
use lapin::options::{
    BasicConsumeOptions, ExchangeDeclareOptions, ExchangeDeleteOptions, QueueBindOptions, QueueDeclareOptions,
    QueueDeleteOptions,
};
use lapin::types::FieldTable;
use lapin::{Channel, Connection, ConnectionProperties, ExchangeKind};
use uuid::Uuid;

use crate::services::{service, unique};

/// How long a message may take on a loaded machine before a test gives up.
const PATIENCE: Duration = Duration::from_secs(100);

/// The broker's own address.
pub fn url() -> String {
    service("TEST_AMQP_URL")
}

/// A message as a consumer sees it.
#[derive(Clone, Debug)]
pub struct Received {
    /// Message id.
    pub id: Uuid,
    /// Routing key.
    pub routing_key: String,
    /// Its type.
    pub kind: String,
    /// Content type of the body.
    pub content_type: String,
    /// 2 for a message that survives a restart of the broker.
    pub delivery_mode: u8,
    /// Version of the body's schema.
    pub schema_version: i64,
    /// The body.
    pub body: serde_json::Value,
}

/// A durable queue bound to the exchange, not read yet.
pub struct Queue {
    connection: Connection,
    channel: Channel,
    exchange: String,
    name: String,
}

impl Queue {
    /// Makes the exchange and a queue of its own, bound with the routing key `key`.
    pub async fn bind(exchange: &str, key: &str, arguments: FieldTable) -> Self {
        let connection = Connection::connect(&url(), ConnectionProperties::default())
            .await
            .unwrap();
        let channel = connection.create_channel().await.unwrap();
        let durable = ExchangeDeclareOptions {
            durable: true,
            ..Default::default()
        };
        let none = FieldTable::default;
        channel
            .exchange_declare(exchange.into(), ExchangeKind::Topic, durable, none())
            .await
            .unwrap();
        let name = unique("queue");
        let durable = QueueDeclareOptions {
            durable: true,
            ..Default::default()
        };
        channel
            .queue_declare(name.as_str().into(), durable, arguments)
            .await
            .unwrap();
        let options = QueueBindOptions::default();
        channel
            .queue_bind(name.as_str().into(), exchange.into(), key.into(), options, none())
            .await
            .unwrap();
        Queue {
            connection,
            channel,
            exchange: exchange.to_owned(),
            name,
        }
    }

    /// Begins to read it.
    pub async fn consume(self) -> Consumer {
        let options = BasicConsumeOptions {
            no_ack: true,
            ..Default::default()
        };
        let (queue, tag) = (self.name.as_str().into(), "".into());
        let deliveries = self
            .channel
            .basic_consume(queue, tag, options, FieldTable::default())
            .await
            .unwrap();
        Consumer {
            queue: self,
            deliveries: tokio::sync::Mutex::new(deliveries),
        }
    }
}

/// The only reader of a queue.
pub struct Consumer {
    queue: Queue,
    deliveries: tokio::sync::Mutex<lapin::Consumer>,
}

impl Consumer {
    /// Reads a queue of its own that is bound to the exchange with the routing key `key`.
    pub async fn bind(exchange: &str, key: &str) -> Self {
        Queue::bind(exchange, key, FieldTable::default()).await.consume().await
    }

    /// The next message, when one comes within `patience`.
    async fn next(&self, patience: Duration) -> Option<Received> {
        let delivery = tokio::time::timeout(patience, self.deliveries.lock().await.next())
            .await
            .ok()??
            .unwrap();
        let properties = &delivery.properties;
        let headers = properties.headers().clone().unwrap();
        Some(Received {
            id: properties.message_id().as_ref().unwrap().as_str().parse().unwrap(),
            routing_key: delivery.routing_key.to_string(),
            kind: properties.kind().as_ref().unwrap().to_string(),
            content_type: properties.content_type().as_ref().unwrap().to_string(),
            delivery_mode: properties.delivery_mode().unwrap(),
            schema_version: headers.inner()["schema_version"].as_long_int().unwrap().into(),
            body: serde_json::from_slice(&delivery.data).unwrap(),
        })
    }

    /// Exactly `count` messages, and proof that no other follows.
    pub async fn take(&self, count: usize) -> Vec<Received> {
        let mut messages = Vec::new();
        while messages.len() < count {
            let next = self.next(PATIENCE).await;
            messages.push(next.unwrap_or_else(|| panic!("{} of {count} messages", messages.len())));
        }
        assert!(
            self.next(Duration::from_millis(200)).await.is_none(),
            "more than {count} messages"
        );
        messages
    }

    /// Every message up to the one with this id.
    pub async fn until(&self, id: Uuid) -> Vec<Received> {
        let mut messages: Vec<Received> = Vec::new();
        while messages.last().is_none_or(|last| last.id != id) {
            let next = self.next(PATIENCE).await;
            messages.push(next.unwrap_or_else(|| panic!("{id} is not among {} messages", messages.len())));
        }
        messages
    }

    /// Every message that is in the queue or on its way from there.
    pub async fn drain(&self) -> Vec<Received> {
        let mut messages = Vec::new();
        loop {
            // The broker answers behind what it has sent on the channel before.
            let passive = QueueDeclareOptions {
                passive: true,
                ..Default::default()
            };
            let name = self.queue.name.as_str().into();
            let queue = self
                .queue
                .channel
                .queue_declare(name, passive, FieldTable::default())
                .await;
            let left = queue.unwrap().message_count();
            let before = messages.len();
            while let Some(message) = self.next(Duration::from_millis(50)).await {
                messages.push(message);
            }
            if left == 0 && messages.len() == before {
                return messages;
            }
        }
    }

    /// Removes the queue and the exchange.
    pub async fn delete(self) {
        let Queue {
            connection,
            channel,
            exchange,
            name,
        } = self.queue;
        channel
            .queue_delete(name.as_str().into(), QueueDeleteOptions::default())
            .await
            .unwrap();
        channel
            .exchange_delete(exchange.as_str().into(), ExchangeDeleteOptions::default())
            .await
            .unwrap();
        connection.close(200, "bye".into()).await.unwrap();
    }
}
