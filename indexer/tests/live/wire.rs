//! A TCP relay between the program and a service, which can be cut, muted and restored.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use url::Url;

/// What a wire does with what it is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// Everything passes.
    Whole,
    /// Connections stay open, and nothing passes either way.
    Mute,
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

    /// Lets everything pass again.
    pub(crate) fn restore(&self) {
        self.mode.send_replace(Mode::Whole);
    }
}

async fn listen(first: TcpListener, address: SocketAddr, service: String, mut mode: watch::Receiver<Mode>) {
    let mut listener = Some(first);
    loop {
        let Some(open) = &listener else {
            if mode.wait_for(|mode| *mode != Mode::Cut).await.is_err() {
                return;
            }
            listener = Some(TcpListener::bind(address).await.unwrap());
            continue;
        };
        let relayed = mode.clone();
        tokio::select! {
            accepted = open.accept() => {
                tokio::spawn(relay(accepted.unwrap().0, service.clone(), relayed));
            }
            changed = mode.wait_for(|mode| *mode == Mode::Cut) => {
                if changed.is_err() {
                    return;
                }
                listener = None;
            }
        }
    }
}

async fn relay(client: TcpStream, service: String, mut mode: watch::Receiver<Mode>) {
    let server = TcpStream::connect(service).await.unwrap();
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
        if mode.wait_for(|mode| *mode == Mode::Whole).await.is_err() || to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}
