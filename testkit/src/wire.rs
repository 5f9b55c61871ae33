//! A TCP relay between the program and a service, which can be cut, muted, held back, slowed down and restored.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use url::Url;

/// Bytes a dripping wire lets through at a time.
const DRIP: usize = 256;
/// Pause between two drips.
const DRIP_PAUSE: Duration = Duration::from_millis(15);

/// Bytes read at a time.
const BUFFER_BYTES: usize = 1 << 16;

/// Connections that may wait to be accepted.
const BACKLOG: u32 = 1024;

/// What a wire does with what it is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// Everything passes.
    Whole,
    /// Connections stay open, and nothing passes either way.
    Mute,
    /// What the service answers is thrown away.
    Deaf,
    /// What the client sends is kept, and the service does not hear that it left either.
    Held,
    /// Everything passes, a few bytes at a time.
    Drip,
    /// Every connection is broken, and new ones are refused.
    Cut,
}

/// A relay to one service; it ends with the value.
pub struct Wire {
    address: SocketAddr,
    mode: watch::Sender<Mode>,
    /// Bytes held back since the wire was last set to.
    held: watch::Sender<usize>,
}

impl Wire {
    /// Opens a relay to the host and port of `url`.
    pub async fn to(url: &str) -> Wire {
        let url: Url = url.parse().unwrap();
        let service = format!("{}:{}", url.host_str().unwrap(), url.port().unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (mode, watched) = watch::channel(Mode::Whole);
        let held = watch::Sender::new(0);
        tokio::spawn(listen(listener, address, service, watched, held.clone()));
        Wire { address, mode, held }
    }

    /// `url` by way of this wire.
    pub fn url(&self, url: &str) -> String {
        let mut url: Url = url.parse().unwrap();
        url.set_host(Some("127.0.0.1")).unwrap();
        url.set_port(Some(self.address.port())).unwrap();
        url.into()
    }

    /// Breaks every connection and refuses new ones, as when the service has died.
    pub fn cut(&self) {
        self.mode.send_replace(Mode::Cut);
    }

    /// Swallows everything, as when a firewall or a dead machine does.
    pub fn mute(&self) {
        self.mode.send_replace(Mode::Mute);
    }

    /// Throws away what the service answers, which hears everything.
    pub fn deafen(&self) {
        self.mode.send_replace(Mode::Deaf);
    }

    /// Keeps what the client sends until the wire is restored, however long the client has left by then.
    pub fn hold(&self) {
        self.held.send_replace(0);
        self.mode.send_replace(Mode::Held);
    }

    /// Whether it keeps what the client sends.
    pub fn holds(&self) -> bool {
        *self.mode.borrow() == Mode::Held
    }

    /// Waits until `bytes` or more are held back.
    pub async fn until_held(&self, bytes: usize) {
        self.held.subscribe().wait_for(|held| *held >= bytes).await.unwrap();
    }

    /// Lets a few bytes pass at a time, as an overloaded machine does.
    pub fn drip(&self) {
        self.mode.send_replace(Mode::Drip);
    }

    /// Lets everything pass again.
    pub fn restore(&self) {
        self.mode.send_replace(Mode::Whole);
    }
}

async fn listen(
    first: TcpListener,
    address: SocketAddr,
    service: String,
    mut mode: watch::Receiver<Mode>,
    held: watch::Sender<usize>,
) {
    let mut listener = first;
    loop {
        let relayed = mode.clone();
        tokio::select! {
            accepted = listener.accept() => {
                tokio::spawn(relay(accepted.unwrap().0, service.clone(), relayed, held.clone()));
                continue;
            }
            changed = mode.wait_for(|mode| *mode == Mode::Cut) => {
                if changed.is_err() {
                    return;
                }
            }
        }
        drop(listener);
        let reserved = reserve(address).await;
        if mode.wait_for(|mode| *mode != Mode::Cut).await.is_err() {
            return;
        }
        listener = reserved.listen(BACKLOG).unwrap();
    }
}

/// Takes the port without listening on it: connections are refused, and no other process takes it meanwhile.
async fn reserve(address: SocketAddr) -> TcpSocket {
    loop {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        // A process that is just being started holds a copy of the listener until it has become another program.
        if socket.bind(address).is_ok() {
            return socket;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

async fn relay(client: TcpStream, service: String, mut mode: watch::Receiver<Mode>, held: watch::Sender<usize>) {
    // The service may be down itself: its client then sees the connection end.
    let Ok(server) = TcpStream::connect(service).await else {
        return;
    };
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    let (there, back) = (mode.clone(), mode.clone());
    tokio::select! {
        // Also when the wire is gone.
        _ = mode.wait_for(|mode| *mode == Mode::Cut) => {}
        () = forward(from_client, to_server, there, held) => {}
        () = answer(from_server, to_client, back) => {}
    }
}

/// Carries what the client sends to the service; what is held back, and its end, once it is not any more.
async fn forward(
    mut client: OwnedReadHalf,
    mut server: OwnedWriteHalf,
    mut mode: watch::Receiver<Mode>,
    held: watch::Sender<usize>,
) {
    let (mut buffer, mut waiting, mut left) = (vec![0; BUFFER_BYTES], Vec::new(), false);
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
            changed = mode.changed() => {
                if changed.is_err() {
                    return;
                }
            }
        }
        if *mode.borrow() != Mode::Held {
            if pass(&mut server, &waiting, &mut mode).await.is_none() {
                return;
            }
            waiting.clear();
        }
    }
    // The end of a client that left is held back as well; without a wire there is nothing to wait for.
    drop(mode.wait_for(|mode| *mode != Mode::Held).await);
}

/// Carries what the service sends to the client, for as long as the service keeps the connection.
async fn answer(mut server: OwnedReadHalf, mut client: OwnedWriteHalf, mut mode: watch::Receiver<Mode>) {
    let mut buffer = vec![0; BUFFER_BYTES];
    while let Ok(length @ 1..) = server.read(&mut buffer).await {
        if *mode.borrow() == Mode::Deaf {
            continue;
        }
        let passed = pass(&mut client, &buffer[..length], &mut mode).await;
        // While the wire is held, the service does not hear of a client that left.
        if passed.is_none() && *mode.borrow() != Mode::Held {
            return;
        }
    }
}

/// Writes all of `bytes` while the wire lets them pass; none when the other side or the wire is gone.
async fn pass(to: &mut OwnedWriteHalf, bytes: &[u8], mode: &mut watch::Receiver<Mode>) -> Option<()> {
    let mut left = bytes;
    while !left.is_empty() {
        let now = *mode
            .wait_for(|mode| !matches!(mode, Mode::Mute | Mode::Cut))
            .await
            .ok()?;
        let portion = if now == Mode::Drip {
            left.len().min(DRIP)
        } else {
            left.len()
        };
        to.write_all(&left[..portion]).await.ok()?;
        left = &left[portion..];
        if now == Mode::Drip {
            tokio::time::sleep(DRIP_PAUSE).await;
        }
    }
    Some(())
}
