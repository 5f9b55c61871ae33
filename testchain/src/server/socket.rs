//! WebSocket: calls as over HTTP, and `newHeads` subscriptions.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use alloy_primitives::B256;
use axum::extract::ws::{Message, WebSocket};

use super::counters::add;
use super::methods::{Service, Turn, write_refusal, write_result};
use super::request::{Body, Call, Params};
use crate::block::Block;
use crate::encode;
use crate::faults::Matter;
use crate::refusal::Refusal;

/// Blocks of the subscriber's chain kept in mind; of a deeper reorg only this many blocks are pushed.
const REMEMBERED: usize = 512;

static NEXT_SUBSCRIPTION: AtomicU64 = AtomicU64::new(1);

/// The connection is over.
struct Gone;

/// Serves one connection until either side ends it.
pub(crate) async fn talk(service: Arc<Service>, mut socket: WebSocket) {
    add(&service.counters.sockets, 1);
    let mut heads = service.view.watch_head();
    let mut drops = service.faults.socket_drops();
    let mut session = Session {
        service: &service,
        subscriptions: Vec::new(),
        pushed: VecDeque::new(),
    };
    loop {
        let message = tokio::select! {
            () = service.cancel.cancelled() => return,
            _ = drops.changed() => return,
            Ok(()) = heads.changed() => None,
            message = socket.recv() => match message {
                Some(Ok(message)) => Some(message),
                Some(Err(_)) | None => return,
            },
        };
        let acting = async {
            match message {
                None => session.push(&mut socket).await,
                Some(Message::Text(text)) => session.reply(&mut socket, text.as_bytes()).await,
                Some(Message::Binary(bytes)) => session.reply(&mut socket, &bytes).await,
                Some(_) => Ok(()),
            }
        };
        // A call that is never answered must not keep the connection from being dropped.
        let step = tokio::select! {
            step = acting => step,
            _ = drops.changed() => return,
        };
        if step.is_err() {
            return;
        }
    }
}

struct Session<'a> {
    service: &'a Service,
    subscriptions: Vec<String>,
    /// The chain the subscriber was notified of, oldest block first.
    pushed: VecDeque<(u64, B256)>,
}

impl Session<'_> {
    async fn reply(&mut self, socket: &mut WebSocket, body: &[u8]) -> Result<(), Gone> {
        let service = self.service;
        add(&service.counters.socket_messages, 1);
        add(&service.counters.bytes_in, body.len());
        if service
            .faults
            .happens_now(service.faults.settings().socket_drop_rate, Matter::SocketDrop)
        {
            return Err(Gone);
        }
        if let Ok(Body::One(call)) = Body::parse(body)
            && let Some(answer) = self.subscription(&call)
        {
            return self.send(socket, answer).await;
        }
        match service.turn(body).await {
            Turn::Answer(answer) | Turn::Refused(_, answer) => self.send(socket, answer).await,
            Turn::Failed(_) => Err(Gone),
        }
    }

    /// The answer to a call about subscriptions, or `None` for any other.
    fn subscription(&mut self, call: &Call<'_>) -> Option<Vec<u8>> {
        let outcome = match &*call.method {
            "eth_subscribe" => self.subscribe(call),
            "eth_unsubscribe" => self.unsubscribe(call),
            _ => return None,
        };
        self.service.counters.count_call(&call.method);
        let mut out = Vec::new();
        match outcome {
            Ok(result) => write_result(&mut out, call.id.get(), &result),
            Err(refusal) => write_refusal(&mut out, call.id.get(), &refusal),
        }
        Some(out)
    }

    fn subscribe(&mut self, call: &Call<'_>) -> Result<String, Refusal> {
        let settings = self.service.faults.settings();
        if settings.missing_methods.iter().any(|missing| *missing == call.method) {
            return Err(Refusal::unknown_method(&call.method));
        }
        let subject: String = Params::parse(call.params)?.required(0)?;
        if subject != "newHeads" {
            return Err(Refusal::new(
                -32601,
                format!("no \"{subject}\" subscription in eth namespace"),
            ));
        }
        if self.subscriptions.is_empty() {
            self.pushed.clear();
            let known = self.news();
            self.pushed.extend(known.iter().map(|block| (block.number, block.hash)));
        }
        let id = format!("0x{:x}", NEXT_SUBSCRIPTION.fetch_add(1, Ordering::Relaxed));
        let quoted = format!("\"{id}\"");
        self.subscriptions.push(id);
        Ok(quoted)
    }

    fn unsubscribe(&mut self, call: &Call<'_>) -> Result<String, Refusal> {
        let id: String = Params::parse(call.params)?.required(0)?;
        let before = self.subscriptions.len();
        self.subscriptions.retain(|known| *known != id);
        if self.subscriptions.len() == before {
            return Err(Refusal::new(-32000, "subscription not found"));
        }
        Ok("true".to_owned())
    }

    /// Pushes every canonical block above the last one pushed that is still canonical.
    async fn push(&mut self, socket: &mut WebSocket) -> Result<(), Gone> {
        let settings = self.service.faults.settings();
        if self.subscriptions.is_empty() || settings.mute_subscriptions {
            return Ok(());
        }
        for block in self.news() {
            self.remember(&block);
            for id in &self.subscriptions {
                add(&self.service.counters.pushes, 1);
                self.send(socket, notification(id, &block)).await?;
            }
            if self
                .service
                .faults
                .happens_now(settings.socket_drop_rate, Matter::SocketDrop)
            {
                return Err(Gone);
            }
        }
        Ok(())
    }

    /// The blocks between what was pushed and the head, ascending.
    fn news(&self) -> Vec<Arc<Block>> {
        let service = self.service;
        let settings = service.faults.settings();
        let mut news = Vec::new();
        let mut next = service.view.head(&settings);
        while let Some(block) = next.filter(|block| !self.is_pushed(block)) {
            if news.len() == REMEMBERED {
                break;
            }
            next = service.view.by_hash(&block.parent_hash, &settings);
            news.push(block);
        }
        news.reverse();
        news
    }

    fn is_pushed(&self, block: &Block) -> bool {
        self.pushed.iter().rev().any(|(_, hash)| *hash == block.hash)
    }

    fn remember(&mut self, block: &Block) {
        // What stood at this height and above was reorganised away and counts as news should it come back.
        while self.pushed.pop_back_if(|(number, _)| *number >= block.number).is_some() {}
        if self.pushed.len() == REMEMBERED {
            self.pushed.pop_front();
        }
        self.pushed.push_back((block.number, block.hash));
    }

    async fn send(&self, socket: &mut WebSocket, answer: Vec<u8>) -> Result<(), Gone> {
        add(&self.service.counters.bytes_out, answer.len());
        // A cut-off answer ends within ASCII, so it is text still.
        let text = String::from_utf8(answer).map_err(|_| Gone)?;
        socket.send(Message::Text(text.into())).await.map_err(|_| Gone)
    }
}

fn notification(id: &str, block: &Block) -> Vec<u8> {
    let mut out = Vec::with_capacity(2048);
    out.extend_from_slice(b"{\"jsonrpc\":\"2.0\",\"method\":\"eth_subscription\",\"params\":{\"subscription\":");
    encode::text(&mut out, id);
    out.extend_from_slice(b",\"result\":");
    encode::header(&mut out, block);
    out.extend_from_slice(b"}}");
    out
}
