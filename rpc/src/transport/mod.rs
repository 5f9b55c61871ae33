//! Bytes to an endpoint and back, over HTTP or a WebSocket.

pub(crate) mod socket;
pub(crate) mod unsent;

use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::redirect::Policy;
use url::Url;

use self::socket::{Announcements, Socket};
use self::unsent::{Unsent, network};
use crate::error::EndpointError;
use crate::redact::redacted;

/// How long a connection may take to come up.
const CONNECT: Duration = Duration::from_secs(5);
/// The part of an error's body that is read.
const ERROR_BODY: usize = 64 << 10;
/// How long an idle connection is kept.
const IDLE: Duration = Duration::from_secs(60);

/// An answer, not yet read.
#[derive(Debug)]
pub(crate) struct Received {
    /// HTTP status; 200 over a WebSocket.
    pub(crate) status: u16,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) bytes: Vec<u8>,
}

/// The way to one endpoint.
pub(crate) enum Transport {
    Http { client: reqwest::Client, url: Url },
    Socket(Socket),
}

/// The HTTP client every endpoint of a pool shares. Redirects are not followed: they would carry requests elsewhere.
pub(crate) fn client() -> Result<reqwest::Client, EndpointError> {
    reqwest::Client::builder()
        .redirect(Policy::none())
        .connect_timeout(CONNECT)
        .pool_idle_timeout(IDLE)
        .tcp_nodelay(true)
        .gzip(true)
        .http1_only()
        .build()
        .map_err(|error| EndpointError::Unusable {
            endpoint: "any".to_owned(),
            reason: error.without_url().to_string(),
        })
}

impl Transport {
    /// The transport `url`'s scheme names; `cap` is the longest message of a WebSocket in bytes.
    pub(crate) fn new(
        client: &reqwest::Client,
        url: &Url,
        cap: usize,
        announcements: Arc<Announcements>,
    ) -> Result<Self, EndpointError> {
        match url.scheme() {
            "http" | "https" => Ok(Transport::Http {
                client: client.clone(),
                url: url.clone(),
            }),
            "ws" | "wss" => Ok(Transport::Socket(Socket::new(client.clone(), url, cap, announcements))),
            other => Err(EndpointError::Unusable {
                endpoint: redacted(url),
                reason: format!("scheme {other:?} is none of http, https, ws, wss"),
            }),
        }
    }

    /// Sends the request text whose ids are the `count` from `id` on, and waits for the answer of at most `cap` bytes.
    pub(crate) async fn send(&self, text: String, id: u64, count: usize, cap: usize) -> Result<Received, Unsent> {
        match self {
            Transport::Http { client, url } => post(client, url.clone(), text, cap).await,
            Transport::Socket(socket) => {
                let bytes = socket.send(text, id, count).await?;
                if bytes.len() > cap {
                    return Err(Unsent::TooLarge);
                }
                Ok(Received {
                    status: 200,
                    retry_after: None,
                    bytes,
                })
            }
        }
    }
}

async fn post(client: &reqwest::Client, url: Url, text: String, cap: usize) -> Result<Received, Unsent> {
    let request = client.post(url).header(CONTENT_TYPE, "application/json").body(text);
    let mut response = request.send().await.map_err(network)?;
    let status = response.status().as_u16();
    let retry_after = response
        .headers()
        .get(RETRY_AFTER)
        .and_then(|value| value.to_str().ok()?.trim().parse().ok());
    let is_error = !response.status().is_success();
    // An error's text is read for its reason alone; a page of a proxy can be as long as it likes.
    let cap = if is_error { ERROR_BODY } else { cap };
    let announced = response
        .content_length()
        .and_then(|length| usize::try_from(length).ok())
        .unwrap_or(0);
    if announced > cap && !is_error {
        return Err(Unsent::TooLarge);
    }
    // Up to the cap: the length a server announces allocates nothing beyond it.
    let mut bytes = Vec::with_capacity(announced.min(cap));
    // Chunks are unpacked one by one, so that a small answer that unpacks to a large one is cut off as well.
    while let Some(chunk) = response.chunk().await.map_err(network)? {
        let free = cap - bytes.len();
        if chunk.len() > free && !is_error {
            return Err(Unsent::TooLarge);
        }
        bytes.extend_from_slice(&chunk[..chunk.len().min(free)]);
        if bytes.len() == cap && is_error {
            break;
        }
    }
    Ok(Received {
        status,
        retry_after: retry_after.map(Duration::from_secs),
        bytes,
    })
}
