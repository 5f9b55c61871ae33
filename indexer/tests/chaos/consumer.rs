//! A consumer that applies the rule of docs/MESSAGES.md to what its queue holds.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::StreamExt;
use lapin::options::{
    BasicConsumeOptions, ExchangeDeclareOptions, ExchangeDeleteOptions, QueueBindOptions, QueueDeclareOptions,
    QueueDeleteOptions,
};
use lapin::types::FieldTable;
use lapin::{Channel, Connection, ConnectionProperties, ExchangeKind};
use serde_json::Value;
use uuid::Uuid;

use testkit::services::{service, unique};

/// How long a message that is in the queue may take.
const PATIENCE: Duration = Duration::from_secs(100);

/// A durable queue that is bound before the first message.
pub(crate) struct Consumer {
    /// The exchange.
    pub(crate) exchange: String,
    queue: String,
}

/// What a consumer made of its messages.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    /// The facts that stand.
    pub(crate) standing: BTreeSet<Uuid>,
    /// Messages.
    pub(crate) messages: u64,
    /// Messages that came before under the same id and stated what already was so.
    pub(crate) repeats: u64,
}

impl Consumer {
    /// Declares exchange and queue.
    pub(crate) async fn bind() -> Consumer {
        let (exchange, queue) = (unique("chaos"), unique("queue"));
        let (connection, channel) = open().await;
        let durable = ExchangeDeclareOptions {
            durable: true,
            ..Default::default()
        };
        channel
            .exchange_declare(
                exchange.as_str().into(),
                ExchangeKind::Topic,
                durable,
                FieldTable::default(),
            )
            .await
            .unwrap();
        let durable = QueueDeclareOptions {
            durable: true,
            ..Default::default()
        };
        channel
            .queue_declare(queue.as_str().into(), durable, FieldTable::default())
            .await
            .unwrap();
        let options = QueueBindOptions::default();
        channel
            .queue_bind(
                queue.as_str().into(),
                exchange.as_str().into(),
                "#".into(),
                options,
                FieldTable::default(),
            )
            .await
            .unwrap();
        connection.close(200, "bye".into()).await.unwrap();
        Consumer { exchange, queue }
    }

    /// Takes everything from the queue, in its order.
    pub(crate) async fn hear(&self) -> Heard {
        let (connection, channel) = open().await;
        // Nothing is published any more: what the queue holds now is everything.
        let passive = QueueDeclareOptions {
            passive: true,
            ..Default::default()
        };
        let queue = channel.queue_declare(self.queue.as_str().into(), passive, FieldTable::default());
        let count = queue.await.unwrap().message_count();
        let options = BasicConsumeOptions {
            no_ack: true,
            ..Default::default()
        };
        let mut deliveries = channel
            .basic_consume(self.queue.as_str().into(), "".into(), options, FieldTable::default())
            .await
            .unwrap();
        let mut heard = Heard::default();
        for _ in 0..count {
            let delivery = tokio::time::timeout(PATIENCE, deliveries.next()).await;
            let delivery = delivery.expect("the queue holds more").unwrap().unwrap();
            heard.take(&serde_json::from_slice(&delivery.data).unwrap());
        }
        connection.close(200, "bye".into()).await.unwrap();
        heard
    }

    /// Removes queue and exchange.
    pub(crate) async fn leave(&self) {
        let (connection, channel) = open().await;
        channel
            .queue_delete(self.queue.as_str().into(), QueueDeleteOptions::default())
            .await
            .unwrap();
        channel
            .exchange_delete(self.exchange.as_str().into(), ExchangeDeleteOptions::default())
            .await
            .unwrap();
        connection.close(200, "bye".into()).await.unwrap();
    }
}

impl Heard {
    /// The documented rule.
    fn take(&mut self, body: &Value) {
        let id = |value: &Value| value.as_str().unwrap().parse::<Uuid>().unwrap();
        let changed = match body.get("retracts") {
            Some(retracts) => self.standing.remove(&id(&retracts["id"])),
            None => self.standing.insert(id(&body["id"])),
        };
        self.messages += 1;
        self.repeats += u64::from(!changed);
    }
}

async fn open() -> (Connection, Channel) {
    let connection = Connection::connect(&service("TEST_AMQP_URL"), ConnectionProperties::default())
        .await
        .unwrap();
    let channel = connection.create_channel().await.unwrap();
    (connection, channel)
}
