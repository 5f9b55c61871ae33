//! Which chains one connection to the broker may publish: claimed in PostgreSQL, locked at the broker, renewed while it works.
//!
//! The claim names whose turn it is and fences what is written down as published. The lock is what keeps messages apart: no clock
//! decides when an earlier publisher has sent its last one. See docs/decisions/0013-one-connection-publishes-a-chain.md.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use decoders::block::ChainId;
use uuid::Uuid;

use super::{Options, PublisherError, pending};
use crate::store::Store;

/// How long a claim lasts without being renewed.
const CLAIM: Duration = Duration::from_secs(10);
/// How often claims are renewed, also while a batch is under way.
pub(super) const RENEWAL: Duration = Duration::from_secs(3);

/// The chains of one connection.
#[derive(Debug, Default)]
pub(super) struct Claims {
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    chains: BTreeSet<ChainId>,
    renewed: Option<Instant>,
}

impl Claims {
    /// Whether the connection publishes `chain`.
    pub(super) fn hold(&self, chain: ChainId) -> bool {
        self.with(|held| held.chains.contains(&chain))
    }

    /// Notes that the connection publishes `chain` from now on.
    pub(super) fn add(&self, chain: ChainId) {
        self.with(|held| held.chains.insert(chain));
    }

    /// Renews every claim when it is time to.
    ///
    /// Fails with [`PublisherError::ClaimLost`] when another publisher took one of them: the connection that still has its lock must
    /// then end.
    pub(super) async fn renew(&self, store: &Store, options: &Options) -> Result<(), PublisherError> {
        let due = |renewed: Instant| renewed.elapsed() >= RENEWAL;
        if self.with(|held| held.chains.is_empty() || !held.renewed.is_none_or(due)) {
            return Ok(());
        }
        let started = Instant::now();
        let renewed = pending::renew(store, &options.exchange, &options.holder, CLAIM).await?;
        self.with(|held| {
            held.renewed = Some(started);
            match held.chains.iter().find(|chain| !renewed.contains(chain)) {
                Some(lost) => Err(PublisherError::ClaimLost { chain: *lost }),
                None => Ok(()),
            }
        })
    }

    fn with<T>(&self, look: impl FnOnce(&mut Held) -> T) -> T {
        look(&mut self.held.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Claims `chain` in PostgreSQL; the name of its lock at the broker, or none while another publisher holds the claim.
pub(super) async fn claim(store: &Store, chain: ChainId, options: &Options) -> Result<Option<String>, PublisherError> {
    pending::claim(store, chain, &options.exchange, &options.holder, CLAIM).await
}

/// What the queue is called that is the lock `lock` of a chain. It begins with the exchange's name, so that one pattern permits both.
pub(super) fn lock_name(exchange: &str, lock: Uuid) -> String {
    format!("{exchange}.publisher.{lock}")
}
