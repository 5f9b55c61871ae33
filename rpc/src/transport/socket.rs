//! One WebSocket to an endpoint: many requests at once, and the announcements of new heads.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::{SinkExt, StreamExt};
use reqwest::Upgraded;
use reqwest::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE};
use serde::Deserialize;
use serde::de::IgnoredAny;
use tokio::sync::{Mutex, Notify, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Message, Role, WebSocketConfig};
use url::Url;

use super::unsent::{Unsent, network};
use crate::wire::call::{Call, request};
use crate::wire::{Id, refusal_in};

/// How often a quiet connection is asked for a sign of life.
const PING: Duration = Duration::from_secs(15);
/// How long a connection may stay silent, pings included, before it is given up.
const SILENCE: Duration = Duration::from_secs(45);
/// The id of the subscription request; ordinary requests never use it.
const SUBSCRIPTION: u64 = 0;

/// Rings when any endpoint of the pool announces a head.
#[derive(Default)]
pub(crate) struct Announcements {
    pub(crate) bell: Notify,
    pub(crate) count: AtomicU64,
}

pub(crate) struct Socket {
    client: reqwest::Client,
    url: Url,
    cap: usize,
    announcements: Arc<Announcements>,
    line: Mutex<Option<Line>>,
}

/// An open connection. Its task ends with it.
struct Line {
    outbox: mpsc::UnboundedSender<Outgoing>,
    task: JoinHandle<()>,
    subscribed: bool,
}

impl Drop for Line {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Outgoing {
    text: String,
    id: u64,
    count: usize,
    reply: oneshot::Sender<Vec<u8>>,
}

/// Requests without an answer, by their first id.
type Pending = BTreeMap<u64, (usize, oneshot::Sender<Vec<u8>>)>;

impl Socket {
    pub(crate) fn new(client: reqwest::Client, url: &Url, cap: usize, announcements: Arc<Announcements>) -> Self {
        Socket {
            client,
            url: over_http(url),
            cap,
            announcements,
            line: Mutex::new(None),
        }
    }

    /// Sends a request and waits for its answer, connecting first where need be.
    pub(crate) async fn send(&self, text: String, id: u64, count: usize) -> Result<Vec<u8>, Unsent> {
        let (reply, answer) = oneshot::channel();
        {
            let mut line = self.line.lock().await;
            let line = self.connected(&mut line).await?;
            line.outbox
                .send(Outgoing { text, id, count, reply })
                .map_err(|_| closed())?;
        }
        answer.await.map_err(|_| closed())
    }

    /// Makes sure heads are announced. `false` when the endpoint does not offer it.
    pub(crate) async fn subscribe(&self) -> Result<bool, Unsent> {
        if self.subscribed().await {
            return Ok(true);
        }
        let answer = self
            .send(request(&[Call::subscribe_heads()], SUBSCRIPTION), SUBSCRIPTION, 1)
            .await?;
        let refused = refusal_in(&answer).is_some();
        if let Some(line) = self.line.lock().await.as_mut().filter(|_| !refused) {
            line.subscribed = true;
        }
        Ok(!refused)
    }

    /// Whether a connection stands over which heads are announced.
    pub(crate) async fn subscribed(&self) -> bool {
        self.line
            .lock()
            .await
            .as_ref()
            .is_some_and(|line| line.subscribed && !line.outbox.is_closed())
    }

    async fn connected<'a>(&self, line: &'a mut Option<Line>) -> Result<&'a mut Line, Unsent> {
        if line.as_ref().is_none_or(|line| line.outbox.is_closed()) {
            let stream = self.connect().await?;
            let (outbox, inbox) = mpsc::unbounded_channel();
            let task = tokio::spawn(carry(stream, inbox, Arc::clone(&self.announcements)));
            *line = Some(Line {
                outbox,
                task,
                subscribed: false,
            });
        }
        Ok(line.as_mut().expect("a line was just put there"))
    }

    /// Opening handshake (RFC 6455, section 4) over the HTTP client, which brings TLS and proxies along.
    async fn connect(&self) -> Result<WebSocketStream<Upgraded>, Unsent> {
        let key = generate_key();
        let request = self
            .client
            .get(self.url.clone())
            .header(CONNECTION, "Upgrade")
            .header(UPGRADE, "websocket")
            .header(SEC_WEBSOCKET_VERSION, "13")
            .header(SEC_WEBSOCKET_KEY, &key);
        let response = request.send().await.map_err(network)?;
        let status = response.status().as_u16();
        let accept = response
            .headers()
            .get(SEC_WEBSOCKET_ACCEPT)
            .map(|value| value.as_bytes().to_vec());
        if status != 101 || accept.as_deref() != Some(derive_accept_key(key.as_bytes()).as_bytes()) {
            return Err(Unsent::Network(format!("no websocket there (http {status})")));
        }
        let stream = response.upgrade().await.map_err(network)?;
        let config = WebSocketConfig::default()
            .max_message_size(Some(self.cap))
            .max_frame_size(Some(self.cap));
        Ok(WebSocketStream::from_raw_socket(stream, Role::Client, Some(config)).await)
    }
}

fn closed() -> Unsent {
    Unsent::Network("the connection was closed".to_owned())
}

fn over_http(url: &Url) -> Url {
    let scheme = if url.scheme() == "wss" { "https" } else { "http" };
    // `Url::set_scheme` refuses changes between some schemes; the text has no such scruples.
    let rest = url.as_str().split_once(':').map_or("", |(_, rest)| rest);
    Url::parse(&format!("{scheme}:{rest}")).unwrap_or_else(|_| url.clone())
}

/// Carries messages until the connection breaks, falls silent, or is no longer wanted.
async fn carry(
    mut stream: WebSocketStream<Upgraded>,
    mut inbox: mpsc::UnboundedReceiver<Outgoing>,
    announcements: Arc<Announcements>,
) {
    let mut pending = Pending::new();
    let mut heard = Instant::now();
    let mut pings = interval(PING);
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let message = tokio::select! {
            outgoing = inbox.recv() => match outgoing {
                Some(Outgoing { text, id, count, reply }) => {
                    // Requests whose asker gave up leave here, so that answers that never come hold no memory.
                    pending.retain(|_, (_, reply)| !reply.is_closed());
                    pending.insert(id, (count, reply));
                    Message::text(text)
                }
                None => break,
            },
            incoming = stream.next() => match incoming {
                Some(Ok(message @ (Message::Text(_) | Message::Binary(_)))) => {
                    heard = Instant::now();
                    deliver(&message.into_data(), &mut pending, &announcements);
                    continue;
                }
                Some(Ok(Message::Close(_)) | Err(_)) | None => break,
                Some(Ok(_)) => {
                    heard = Instant::now();
                    continue;
                }
            },
            _ = pings.tick() => {
                // A connection that was cut without a word stays open for this side: pings are how it is noticed.
                if heard.elapsed() > SILENCE {
                    break;
                }
                Message::Ping(Vec::new().into())
            }
        };
        if stream.send(message).await.is_err() {
            break;
        }
    }
    // Closed first: any task woken below must see that nothing is announced here any more.
    drop(inbox);
    // A task that waits for a head should look now rather than wait for announcements that no longer come.
    announcements.bell.notify_one();
}

#[derive(Deserialize)]
struct Frame<'a> {
    #[serde(default)]
    id: Id,
    #[serde(borrow, default)]
    method: Option<Cow<'a, str>>,
    #[serde(default, rename = "params")]
    _params: IgnoredAny,
}

/// Passes a message to the request it answers. What answers nothing is dropped.
fn deliver(bytes: &[u8], pending: &mut Pending, announcements: &Announcements) {
    let id = if let Ok(envelope) = serde_json::from_slice::<Frame<'_>>(bytes) {
        if envelope.method.as_deref() == Some("eth_subscription") {
            announcements.count.fetch_add(1, Ordering::Relaxed);
            announcements.bell.notify_one();
            return;
        }
        envelope.id.0
    } else if let Ok(batch) = serde_json::from_slice::<Vec<Frame<'_>>>(bytes) {
        batch.iter().filter_map(|envelope| envelope.id.0).min()
    } else {
        return;
    };
    let first = match id {
        Some(id) => pending
            .range(..=id)
            .next_back()
            // Some servers answer a batch call by call.
            .filter(|(first, (count, _))| covers(**first, *count, id))
            .map(|(first, _)| *first),
        // An error without an id can only belong to the one request under way.
        None if pending.len() == 1 => pending.keys().next().copied(),
        None => None,
    };
    if let Some((_, reply)) = first.and_then(|first| pending.remove(&first)) {
        // The asker may have given up meanwhile.
        drop(reply.send(bytes.to_vec()));
    }
}

fn covers(first: u64, count: usize, id: u64) -> bool {
    usize::try_from(id - first).is_ok_and(|place| place < count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn websocket_urls_become_http() {
        let http = |url: &str| over_http(&Url::parse(url).unwrap()).to_string();
        assert_eq!(http("ws://127.0.0.1:8546/"), "http://127.0.0.1:8546/");
        assert_eq!(
            http("wss://user:pass@node.example/ws?key=1"),
            "https://user:pass@node.example/ws?key=1"
        );
    }

    #[test]
    fn messages_reach_the_request_they_answer() {
        let announcements = Announcements::default();
        let mut pending = Pending::new();
        let (one, mut one_answer) = oneshot::channel();
        let (batch, mut batch_answer) = oneshot::channel();
        pending.insert(5, (1, one));
        pending.insert(6, (3, batch));
        deliver(
            br#"{"jsonrpc":"2.0","method":"eth_subscription","params":{"result":{}}}"#,
            &mut pending,
            &announcements,
        );
        deliver(br#"{"id":9,"result":1}"#, &mut pending, &announcements);
        deliver(b"garbage", &mut pending, &announcements);
        assert_eq!((announcements.count.load(Ordering::Relaxed), pending.len()), (1, 2));
        deliver(
            br#"[{"id":8,"result":1},{"id":7,"result":1}]"#,
            &mut pending,
            &announcements,
        );
        assert!(batch_answer.try_recv().is_ok());
        deliver(br#"{"id":null,"error":{}}"#, &mut pending, &announcements);
        assert!(one_answer.try_recv().is_ok());
    }

    proptest! {
        #[test]
        fn any_message_is_delivered_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100), id: u64) {
            let mut pending = Pending::new();
            pending.insert(id, (usize::MAX, oneshot::channel().0));
            deliver(&bytes, &mut pending, &Announcements::default());
            deliver(format!(r#"{{"id":{}}}"#, id.wrapping_add(3)).as_bytes(), &mut pending, &Announcements::default());
        }
    }
}
