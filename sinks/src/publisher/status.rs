//! What operators are told of the publisher.

use std::collections::BTreeMap;

use decoders::block::ChainId;

use super::lane::Outcome;
use super::owed::Receipt;

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
        }
    }

    /// Drops what is held of chains that owe nothing any more; true when something was.
    pub(super) fn forget_but(&mut self, chains: &[ChainId]) -> bool {
        let before = self.held.len();
        self.held.retain(|held, _| chains.iter().any(|chain| chain.0 == *held));
        self.held.len() < before
    }

    /// Why messages do not flow, in one line; `None` when they do.
    pub fn trouble(&self) -> Option<String> {
        match &self.state {
            State::Starting => Some("the broker is not connected yet".into()),
            State::Disconnected { reason } => Some(reason.clone()),
            State::Blocked => Some("rabbitmq blocks publishers: it runs out of memory or disk".into()),
            State::Working => self.held.iter().next().map(|(chain, key)| {
                format!(
                    "no queue is bound for {key} (chain eip155:{chain} waits): bind one to the exchange, or set broker.unroutable = \"drop\""
                )
            }),
        }
    }
}
