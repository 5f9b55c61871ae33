//! What a server was asked and what it sent, for tests and benchmarks.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Running counts of one server.
#[derive(Debug, Default)]
pub struct Counters {
    pub(crate) requests: AtomicU64,
    pub(crate) sockets: AtomicU64,
    pub(crate) socket_messages: AtomicU64,
    pub(crate) pushes: AtomicU64,
    pub(crate) bytes_in: AtomicU64,
    pub(crate) bytes_out: AtomicU64,
    pub(crate) logs: AtomicU64,
    pub(crate) failures: AtomicU64,
    pub(crate) refused_batches: AtomicU64,
    calls: Mutex<BTreeMap<String, u64>>,
}

/// The counts at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// HTTP requests; a batch is one.
    pub requests: u64,
    /// WebSocket connections opened.
    pub sockets: u64,
    /// Messages received over WebSockets.
    pub socket_messages: u64,
    /// Heads pushed to subscribers.
    pub pushes: u64,
    /// Bytes of request bodies and messages received.
    pub bytes_in: u64,
    /// Bytes of bodies and messages sent.
    pub bytes_out: u64,
    /// Logs sent in `eth_getLogs` answers.
    pub logs: u64,
    /// Requests that failed as a whole by a fault.
    pub failures: u64,
    /// Batches refused, whole or in part, because they were too long.
    pub refused_batches: u64,
    /// Calls per method.
    pub calls: BTreeMap<String, u64>,
}

impl Counts {
    /// Calls of one method.
    pub fn calls_of(&self, method: &str) -> u64 {
        self.calls.get(method).copied().unwrap_or(0)
    }
}

impl Counters {
    /// The counts now.
    pub fn read(&self) -> Counts {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            requests: load(&self.requests),
            sockets: load(&self.sockets),
            socket_messages: load(&self.socket_messages),
            pushes: load(&self.pushes),
            bytes_in: load(&self.bytes_in),
            bytes_out: load(&self.bytes_out),
            logs: load(&self.logs),
            failures: load(&self.failures),
            refused_batches: load(&self.refused_batches),
            calls: self.calls.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }

    pub(crate) fn count_call(&self, method: &str) {
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        match calls.get_mut(method) {
            Some(count) => *count += 1,
            None => {
                calls.insert(method.to_owned(), 1);
            }
        }
    }
}

pub(crate) fn add(counter: &AtomicU64, amount: usize) {
    counter.fetch_add(amount as u64, Ordering::Relaxed);
}
