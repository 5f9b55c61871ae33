//! What operators see of the publisher.

use std::collections::{BTreeMap, BTreeSet};

use decoders::block::ChainId;

use super::backpressure::Outcome;
use super::pending::Receipt;

/// Where the publisher stands, for `/readyz` and the status page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// Not connected yet.
    #[default]
    Starting,
    /// Connected, nothing in the way.
    Working,
    /// Without a broker, trying again.
    Disconnected {
        /// One line without secrets.
        reason: String,
    },
    /// The broker takes no messages: it runs out of memory or disk.
    Blocked,
}

/// Where the publisher stands and what it did since it started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// The connection.
    pub state: State,
    /// Chains held up by a message no queue asks for, with its routing key.
    pub held: BTreeMap<u64, String>,
    /// Chains held up by a row that cannot be sent, with the reason.
    pub broken: BTreeMap<u64, String>,
    /// Chains an earlier connection still publishes, at the broker.
    pub locked: BTreeSet<u64>,
    /// Messages confirmed.
    pub published: u64,
    /// Messages dropped because no queue asks for them.
    pub unroutable: u64,
    /// Rows whose fact was undone before they were paid.
    pub skipped: u64,
    /// Times the broker was lost or could not be reached.
    pub failures: u64,
}

impl Status {
    pub(super) fn record(&mut self, chain: ChainId, outcome: &Outcome) {
        let Receipt {
            published,
            unroutable,
            skipped,
        } = outcome.receipt;
        self.published += published.unsigned_abs();
        self.unroutable += unroutable.unsigned_abs();
        self.skipped += skipped.unsigned_abs();
        if let Some(key) = &outcome.held {
            self.held.insert(chain.0, key.clone());
        } else if outcome.rows > 0 {
            self.held.remove(&chain.0);
            self.broken.remove(&chain.0);
        }
    }

    /// Notes that a row of `chain` cannot be sent, nor what comes behind it.
    pub(super) fn block(&mut self, chain: ChainId, reason: String) {
        self.broken.insert(chain.0, reason);
    }

    /// Drops what is in the way of chains that have nothing pending any more; true when something was.
    pub(super) fn forget_but(&mut self, chains: &[ChainId]) -> bool {
        let before = self.obstacles();
        let pending = |number: &u64| chains.iter().any(|chain| chain.0 == *number);
        self.held.retain(|held, _| pending(held));
        self.broken.retain(|broken, _| pending(broken));
        self.locked.retain(pending);
        self.obstacles() < before
    }

    /// Drops what is in the way of `chain`; true when something was.
    pub(super) fn leave(&mut self, chain: ChainId) -> bool {
        let before = self.obstacles();
        self.held.remove(&chain.0);
        self.broken.remove(&chain.0);
        self.locked.remove(&chain.0);
        self.obstacles() < before
    }

    fn obstacles(&self) -> usize {
        self.held.len() + self.broken.len() + self.locked.len()
    }

    /// Notes whether an earlier connection still publishes `chain`; true when that is new.
    pub(super) fn wait_for_lock(&mut self, chain: ChainId, waits: bool) -> bool {
        if waits {
            self.locked.insert(chain.0)
        } else {
            self.locked.remove(&chain.0)
        }
    }

    /// Why messages do not flow, in one line; `None` when they do.
    pub fn trouble(&self) -> Option<String> {
        match &self.state {
            State::Starting => Some("the broker is not connected yet".into()),
            State::Disconnected { reason } => Some(reason.clone()),
            State::Blocked => Some("rabbitmq blocks publishers: it runs out of memory or disk".into()),
            State::Working => self.held_up(),
        }
    }

    fn held_up(&self) -> Option<String> {
        let unbound = self.held.iter().next().map(|(chain, key)| {
            format!(
                "no queue is bound for {key} (chain eip155:{chain} waits): bind one to the exchange, or set broker.unroutable = \"drop\""
            )
        });
        let locked = || {
            let chain = self.locked.first()?;
            Some(format!(
                "rabbitmq still serves an earlier connection that publishes eip155:{chain}: waiting until it ends"
            ))
        };
        let broken = || self.broken.values().next().cloned();
        unbound.or_else(broken).or_else(locked)
    }
}
