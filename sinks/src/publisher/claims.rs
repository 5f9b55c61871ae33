//! Which chains one connection to the broker may publish: claimed in PostgreSQL, locked at the broker, renewed while it works.
//!
//! The claim names whose turn it is and fences what is written down as published. The lock is what keeps messages apart: no clock
//! decides when an earlier publisher has sent its last one. See docs/decisions/0013-one-connection-publishes-a-chain.md.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use decoders::block::ChainId;
use uuid::Uuid;

use super::error::PublisherError;
use super::names::lock_name;
use super::options::Options;
use crate::store::Store;

/// How long a claim lasts without being renewed.
const TTL: Duration = Duration::from_secs(10);
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
        let renewed = renew(store, options).await?;
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

/// Claims the outbox of `chain` for this process, for as long as a claim lasts, and returns the name of its lock at the broker; nothing
/// while another publisher holds the claim.
pub(super) async fn claim(store: &Store, chain: ChainId, options: &Options) -> Result<Option<String>, PublisherError> {
    let lock: Option<Uuid> = sqlx::query_scalar(CLAIM)
        .bind(chain.to_string())
        .bind(&options.exchange)
        .bind(&options.holder)
        .bind(TTL.as_secs_f64())
        .fetch_optional(&store.pool)
        .await?;
    Ok(lock.map(|lock| lock_name(&options.exchange, lock)))
}

/// Holds every claim of this process for as long as a claim lasts from now, and returns the chains. One that ran out and that no other
/// publisher took is still its holder's.
async fn renew(store: &Store, options: &Options) -> Result<Vec<ChainId>, PublisherError> {
    let names: Vec<String> = sqlx::query_scalar(RENEW)
        .bind(&options.exchange)
        .bind(&options.holder)
        .bind(TTL.as_secs_f64())
        .fetch_all(&store.pool)
        .await?;
    Ok(names.iter().filter_map(|name| name.parse().ok()).collect())
}

/// Gives up every claim of `holder`, so that another publisher need not wait for them to end.
pub(super) async fn release(store: &Store, holder: &str) -> Result<(), PublisherError> {
    sqlx::query("update indexer_service.publisher_cursors set holder = null, held_until = null where holder = $1")
        .bind(holder)
        .execute(&store.pool)
        .await?;
    Ok(())
}

const CLAIM: &str =
    "insert into indexer_service.publisher_cursors as c (chain_id, exchange, last_seq, holder, held_until)
    values ($1, $2, 0, $3, now() + make_interval(secs => $4))
    on conflict (chain_id, exchange) do update set holder = excluded.holder, held_until = excluded.held_until
    where c.holder is null or c.holder = excluded.holder or c.held_until < now()
    returning c.lock";

const RENEW: &str = "update indexer_service.publisher_cursors set held_until = now() + make_interval(secs => $3)
    where exchange = $1 and holder = $2 returning chain_id::text";
