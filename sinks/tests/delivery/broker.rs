//! A consumer of the test's own exchange, and a wire to the broker that can be cut.

use std::net::SocketAddr;
use std::time::Duration;

use futures::StreamExt;
use lapin::options::{
    BasicConsumeOptions, ExchangeDeclareOptions, ExchangeDeleteOptions, QueueBindOptions, QueueDeclareOptions,
    QueueDeleteOptions,
};
use lapin::types::FieldTable;
use lapin::{Channel, Connection, ConnectionProperties, ExchangeKind};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use uuid::Uuid;

use crate::scratch::{service, unique};

/// How long a message may take on a loaded machine before a test gives up.
const PATIENCE: Duration = Duration::from_secs(100);

/// The broker's own address.
pub(crate) fn url() -> String {
    service("TEST_AMQP_URL")
}

/// A message as a consumer sees it.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) id: Uuid,
    pub(crate) routing_key: String,
    pub(crate) kind: String,
    pub(crate) content_type: String,
    pub(crate) delivery_mode: u8,
    pub(crate) schema_version: i64,
    pub(crate) body: serde_json::Value,
}

/// A durable queue bound to the exchange, not read yet.
pub(crate) struct Queue {
    connection: Connection,
    channel: Channel,
    exchange: String,
    name: String,
}

impl Queue {
    pub(crate) async fn bind(exchange: &str, key: &str, arguments: FieldTable) -> Self {
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

    pub(crate) async fn consume(self) -> Consumer {
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
pub(crate) struct Consumer {
    queue: Queue,
    deliveries: tokio::sync::Mutex<lapin::Consumer>,
}

impl Consumer {
    pub(crate) async fn bind(exchange: &str, key: &str) -> Self {
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
    pub(crate) async fn take(&self, count: usize) -> Vec<Received> {
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
    pub(crate) async fn until(&self, id: Uuid) -> Vec<Received> {
        let mut messages: Vec<Received> = Vec::new();
        while messages.last().is_none_or(|last| last.id != id) {
            let next = self.next(PATIENCE).await;
            messages.push(next.unwrap_or_else(|| panic!("{id} is not among {} messages", messages.len())));
        }
        messages
    }

    /// Every message that is in the queue or on its way from there.
    pub(crate) async fn drain(&self) -> Vec<Received> {
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
    pub(crate) async fn delete(self) {
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

/// What a wire does with what it is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Whole,
    /// Nothing comes back from the broker.
    Mute,
    /// Nothing reaches the broker, and it does not hear that the client left either.
    Held,
    /// Every connection ends at once.
    Cut,
}

/// A TCP relay to the broker.
pub(crate) struct Wire {
    address: SocketAddr,
    mode: watch::Sender<Mode>,
    held: watch::Sender<usize>,
}

impl Wire {
    pub(crate) async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (mode, watched) = watch::channel(Mode::Whole);
        let held = watch::Sender::new(0);
        let count = held.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(relay(client, watched.clone(), count.clone()));
            }
        });
        Wire { address, mode, held }
    }

    /// The broker's address by way of this wire.
    pub(crate) fn url(&self) -> String {
        let url = url();
        let (login, rest) = url.split_once('@').unwrap();
        let path = rest.split_once('/').map_or("", |(_, path)| path);
        format!("{login}@{}/{path}", self.address)
    }

    pub(crate) fn mute(&self) {
        self.mode.send_replace(Mode::Mute);
    }

    pub(crate) fn hold(&self) {
        self.held.send_replace(0);
        self.mode.send_replace(Mode::Held);
    }

    pub(crate) fn holds(&self) -> bool {
        *self.mode.borrow() == Mode::Held
    }

    /// Waits until `bytes` or more are held back.
    pub(crate) async fn until_held(&self, bytes: usize) {
        self.held.subscribe().wait_for(|held| *held >= bytes).await.unwrap();
    }

    pub(crate) fn cut(&self) {
        self.mode.send_replace(Mode::Cut);
    }

    pub(crate) fn restore(&self) {
        self.mode.send_replace(Mode::Whole);
    }
}

async fn relay(client: TcpStream, mut mode: watch::Receiver<Mode>, held: watch::Sender<usize>) {
    let url = url();
    let place = url.split_once('@').unwrap().1.split('/').next().unwrap();
    let broker = TcpStream::connect(place).await.unwrap();
    let (from_client, to_client) = client.into_split();
    let (from_broker, to_broker) = broker.into_split();
    let out = forward(from_client, to_broker, mode.clone(), held);
    let back = answer(from_broker, to_client, mode.clone());
    tokio::select! {
        _ = mode.wait_for(|mode| *mode == Mode::Cut) => {}
        () = out => {}
        () = back => {}
    }
}

/// Carries what the client sends to the broker; what is held back, and its end, once it is not any more.
async fn forward(
    mut client: OwnedReadHalf,
    mut broker: OwnedWriteHalf,
    mut mode: watch::Receiver<Mode>,
    held: watch::Sender<usize>,
) {
    let (mut buffer, mut waiting, mut left) = (vec![0; 65_536], Vec::new(), false);
    while !left || !waiting.is_empty() {
        tokio::select! {
            read = client.read(&mut buffer), if !left => {
                let length = read.unwrap_or(0);
                left = length == 0;
                waiting.extend_from_slice(&buffer[..length]);
                if *mode.borrow() == Mode::Held {
                    held.send_modify(|held| *held += length);
                }
            }
            changed = mode.changed() => changed.unwrap(),
        }
        if *mode.borrow() != Mode::Held {
            if broker.write_all(&waiting).await.is_err() {
                return;
            }
            waiting.clear();
        }
    }
    mode.wait_for(|mode| *mode != Mode::Held).await.unwrap();
}

/// Carries what the broker sends to the client, for as long as the broker keeps the connection.
async fn answer(mut broker: OwnedReadHalf, mut client: OwnedWriteHalf, mode: watch::Receiver<Mode>) {
    let mut buffer = vec![0; 65_536];
    while let Ok(length @ 1..) = broker.read(&mut buffer).await {
        let now = *mode.borrow();
        let written = match now {
            Mode::Mute => Ok(()),
            _ => client.write_all(&buffer[..length]).await,
        };
        // While the wire is held, the broker does not hear of a client that left.
        if written.is_err() && now != Mode::Held {
            return;
        }
    }
}
