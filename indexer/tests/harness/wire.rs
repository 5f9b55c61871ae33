//! A TCP relay between the program and a service, which can be cut, muted, slowed down and restored.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use url::Url;

/// Bytes a dripping wire lets through at a time.
const DRIP: usize = 256;
/// Pause between two drips.
const DRIP_PAUSE: Duration = Duration::from_millis(15);

/// Connections that may wait to be accepted.
const BACKLOG: u32 = 1024;

/// What a wire does with what it is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// Everything passes.
    Whole,
    /// Connections stay open, and nothing passes either way.
    Mute,
    /// Everything passes, a few bytes at a time.
    Drip,
    /// Every connection is broken, and new ones are refused.
    Cut,
}

/// A relay to one service; it ends with the value.
pub(crate) struct Wire {
    address: SocketAddr,
    mode: watch::Sender<Mode>,
}

impl Wire {
    /// Opens a relay to the host and port of `url`.
    pub(crate) async fn to(url: &str) -> Wire {
        let url: Url = url.parse().unwrap();
        let service = format!("{}:{}", url.host_str().unwrap(), url.port().unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (mode, watched) = watch::channel(Mode::Whole);
        tokio::spawn(listen(listener, address, service, watched));
        Wire { address, mode }
    }

    /// `url` by way of this wire.
    pub(crate) fn url(&self, url: &str) -> String {
        let mut url: Url = url.parse().unwrap();
        url.set_host(Some("127.0.0.1")).unwrap();
        url.set_port(Some(self.address.port())).unwrap();
        url.into()
    }

    /// Breaks every connection and refuses new ones, as when the service has died.
    pub(crate) fn cut(&self) {
        self.mode.send_replace(Mode::Cut);
    }

    /// Swallows everything, as when a firewall or a dead machine does.
    pub(crate) fn mute(&self) {
        self.mode.send_replace(Mode::Mute);
    }

    /// Lets a few bytes pass at a time, as an overloaded machine does.
    pub(crate) fn drip(&self) {
        self.mode.send_replace(Mode::Drip);
    }

    /// Lets everything pass again.
    pub(crate) fn restore(&self) {
        self.mode.send_replace(Mode::Whole);
    }
}

async fn listen(first: TcpListener, address: SocketAddr, service: String, mut mode: watch::Receiver<Mode>) {
    let mut listener = first;
    loop {
        let relayed = mode.clone();
        tokio::select! {
            accepted = listener.accept() => {
                tokio::spawn(relay(accepted.unwrap().0, service.clone(), relayed));
                continue;
            }
            changed = mode.wait_for(|mode| *mode == Mode::Cut) => {
                if changed.is_err() {
                    return;
                }
            }
        }
        drop(listener);
        let held = hold(address).await;
        if mode.wait_for(|mode| *mode != Mode::Cut).await.is_err() {
            return;
        }
        listener = held.listen(BACKLOG).unwrap();
    }
}

/// Takes the port without listening on it: connections are refused, and no other process takes it meanwhile.
async fn hold(address: SocketAddr) -> TcpSocket {
    loop {
        let held = TcpSocket::new_v4().unwrap();
        held.set_reuseaddr(true).unwrap();
        // A process that is just being started holds a copy of the listener until it has become another program.
        if held.bind(address).is_ok() {
            return held;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

async fn relay(client: TcpStream, service: String, mut mode: watch::Receiver<Mode>) {
    // The service may be down itself: its client then sees the connection end.
    let Ok(server) = TcpStream::connect(service).await else {
        return;
    };
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    let (there, back) = (mode.clone(), mode.clone());
    tokio::select! {
        // Also when the wire is gone.
        _ = mode.wait_for(|mode| *mode == Mode::Cut) => {}
        () = pass(from_client, to_server, there) => {}
        () = pass(from_server, to_client, back) => {}
    }
}

async fn pass(
    mut from: impl AsyncReadExt + Unpin,
    mut to: impl AsyncWriteExt + Unpin,
    mut mode: watch::Receiver<Mode>,
) {
    let mut buffer = vec![0; 1 << 16];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        let mut left = &buffer[..length];
        while !left.is_empty() {
            let passing = mode.wait_for(|mode| matches!(mode, Mode::Whole | Mode::Drip)).await;
            let Ok(passing) = passing.map(|mode| *mode) else {
                return;
            };
            let portion = if passing == Mode::Drip {
                left.len().min(DRIP)
            } else {
                left.len()
            };
            if to.write_all(&left[..portion]).await.is_err() {
                return;
            }
            left = &left[portion..];
            if passing == Mode::Drip {
                tokio::time::sleep(DRIP_PAUSE).await;
            }
        }
    }
}
