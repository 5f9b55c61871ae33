//! WebSocket: calls, subscriptions, and connections that go away.

use std::time::Duration;

use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use testchain::faults::{Failure, Settings};
use testchain::simulation::Step;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::chain::{Endpoint, endpoint};
use crate::client::hex;

struct Socket(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Socket {
    async fn open(endpoint: &Endpoint) -> Self {
        let (socket, _) = connect_async(endpoint.server.ws_url())
            .await
            .expect("the server upgrades");
        Self(socket)
    }

    async fn send(&mut self, method: &str, params: Value) {
        let call = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        self.0
            .send(Message::text(call.to_string()))
            .await
            .expect("the connection is open");
    }

    /// The next message, or `None` when the connection is gone.
    async fn next(&mut self) -> Option<Value> {
        let message = tokio::time::timeout(Duration::from_secs(100), self.0.next())
            .await
            .expect("something happens");
        let text = message?.ok()?.into_text().ok()?;
        serde_json::from_str(&text).ok()
    }

    async fn call(&mut self, method: &str, params: Value) -> Value {
        self.send(method, params).await;
        self.next().await.expect("calls are answered")
    }

    async fn subscribe(&mut self) -> String {
        let answer = self.call("eth_subscribe", json!(["newHeads"])).await;
        answer["result"].as_str().expect("a subscription has an id").to_owned()
    }

    async fn heads(&mut self, count: usize) -> Vec<Value> {
        let mut heads = Vec::new();
        while heads.len() < count {
            let push = self.next().await.expect("heads are pushed");
            assert_eq!(push["method"], "eth_subscription");
            heads.push(push["params"]["result"].clone());
        }
        heads
    }

    async fn is_silent(&mut self) -> bool {
        tokio::time::timeout(Duration::from_millis(200), self.0.next())
            .await
            .is_err()
    }
}

fn numbers(heads: &[Value]) -> Vec<Value> {
    heads.iter().map(|head| head["number"].clone()).collect()
}

#[tokio::test]
async fn calls_and_batches_as_over_http() {
    let endpoint = endpoint().await;
    let mut socket = Socket::open(&endpoint).await;
    assert_eq!(socket.call("eth_blockNumber", json!([])).await["result"], hex(39));
    assert_eq!(
        socket.call("eth_subscribe", json!(["logs", {}])).await["error"]["code"],
        -32601
    );
    let batch = json!([{"id": 1, "method": "eth_chainId"}, {"id": 2, "method": "eth_chainId"}]);
    socket.0.send(Message::text(batch.to_string())).await.unwrap();
    assert_eq!(socket.next().await.unwrap()[1]["id"], 2);
}

#[tokio::test]
async fn every_new_head_is_pushed_though_several_come_at_once() {
    let mut endpoint = endpoint().await;
    let mut socket = Socket::open(&endpoint).await;
    let id = socket.subscribe().await;
    endpoint.ledger.extend(endpoint.simulation.blocks(3));
    let push = socket.next().await.unwrap();
    assert_eq!(push["params"]["subscription"], json!(id));
    assert_eq!(push["params"]["result"]["number"], hex(40));
    assert!(push["params"]["result"].get("transactions").is_none());
    assert_eq!(numbers(&socket.heads(2).await), [hex(41), hex(42)]);
    assert_eq!(socket.call("eth_unsubscribe", json!([id])).await["result"], true);
    assert_eq!(
        socket.call("eth_unsubscribe", json!([id])).await["error"]["code"],
        -32000
    );
    endpoint.ledger.extend(endpoint.simulation.blocks(1));
    assert!(socket.is_silent().await);
}

#[tokio::test]
async fn a_reorg_pushes_the_new_branch_and_a_return_pushes_the_old_one_again() {
    let mut endpoint = endpoint().await;
    let mut socket = Socket::open(&endpoint).await;
    socket.subscribe().await;
    let old: Vec<_> = endpoint.ledger.range(37, 39);
    endpoint.simulation.play(
        Step::Reorg {
            depth: 3,
            blocks: 4,
            branch: 1,
        },
        &endpoint.ledger,
    );
    let heads = socket.heads(4).await;
    assert_eq!(numbers(&heads), [37, 38, 39, 40].map(hex));
    assert_ne!(heads[0]["hash"], json!(old[0].hash));
    endpoint
        .ledger
        .reorg(36, old.iter().map(|block| (**block).clone()).collect());
    let again = socket.heads(3).await;
    let hashes: Vec<Value> = again.iter().map(|head| head["hash"].clone()).collect();
    assert_eq!(hashes, old.iter().map(|block| json!(block.hash)).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_stale_endpoint_pushes_late() {
    let mut endpoint = endpoint().await;
    endpoint.faults.change(|settings| settings.stale_by = 2);
    let mut socket = Socket::open(&endpoint).await;
    socket.subscribe().await;
    endpoint.ledger.extend(endpoint.simulation.blocks(3));
    assert_eq!(numbers(&socket.heads(3).await), [38, 39, 40].map(hex));
}

#[tokio::test]
async fn connections_are_dropped_muted_and_refused_by_choice() {
    let mut endpoint = endpoint().await;
    let mut socket = Socket::open(&endpoint).await;
    socket.subscribe().await;
    endpoint.faults.drop_sockets();
    assert!(socket.next().await.is_none());

    let mut socket = Socket::open(&endpoint).await;
    socket.subscribe().await;
    endpoint.faults.change(|settings| settings.mute_subscriptions = true);
    endpoint.ledger.extend(endpoint.simulation.blocks(1));
    assert!(socket.is_silent().await);
    endpoint.faults.set(Settings {
        socket_drop_rate: 1.0,
        ..Settings::default()
    });
    socket.send("eth_chainId", json!([])).await;
    assert!(socket.next().await.is_none());

    endpoint.faults.set(Settings {
        refuse_sockets: true,
        ..Settings::default()
    });
    assert!(connect_async(endpoint.server.ws_url()).await.is_err());
    assert_eq!(endpoint.server.counts().sockets, 2);
}

#[tokio::test]
async fn failures_of_requests_reach_sockets_too() {
    let endpoint = endpoint().await;
    let mut socket = Socket::open(&endpoint).await;
    endpoint.faults.fail_next(Failure::Internal, 1);
    assert_eq!(socket.call("eth_chainId", json!([])).await["error"]["code"], -32603);
    endpoint.faults.fail_next(Failure::Malformed, 1);
    socket.send("eth_chainId", json!([])).await;
    assert!(socket.next().await.is_none(), "the message is not JSON");
    endpoint.faults.fail_next(Failure::Timeout, 1);
    socket.send("eth_chainId", json!([])).await;
    assert!(socket.is_silent().await);
    endpoint.faults.drop_sockets();
    assert!(socket.next().await.is_none());
    let mut socket = Socket::open(&endpoint).await;
    endpoint.faults.fail_next(Failure::Status(500), 1);
    socket.send("eth_chainId", json!([])).await;
    assert!(socket.next().await.is_none());
}

#[tokio::test]
async fn a_stop_closes_open_connections() {
    let endpoint = endpoint().await;
    let mut socket = Socket::open(&endpoint).await;
    socket.subscribe().await;
    endpoint.server.stop().await;
    assert!(socket.next().await.is_none());
}
