//! What decoding a span wants beside its logs: transactions and contracts' answers, asked for in batches, several at once.
//!
//! What one endpoint does not have another may; what none has is left out, because a chain is not to stand still for it.

use std::hash::Hash;
use std::time::Duration;

use alloy_primitives::B256;
use decoders::block::{Answers, BlockRef, Call as Question, Envelopes};
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use rustc_hash::FxHashMap;
use serde::Deserialize;
use tokio::time::sleep;
use tracing::{debug, warn};

use super::error::{EndpointError, Wanted};
use super::inner::Inner;
use super::lookup::{Lookup, Reported};
use super::question::{Ask, Trouble};
use super::wire::call::Call;
use super::wire::{Body, Quantity, Reply, Unread, Word, replies};
use super::{answer, envelope};

/// Batches under way at once.
const BATCHES_UNDER_WAY: usize = 4;
/// Wait before the last look for a transaction: a node may know a log a moment before it finds what emitted it.
const BREATH: Duration = Duration::from_millis(300);

/// Where a transaction stands.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Placed {
    hash: Word,
    #[serde(default)]
    block_hash: Option<Word>,
    #[serde(default)]
    block_number: Option<Quantity>,
}

/// What a batch came to: what was answered, and by which endpoint.
struct Batch<K, V> {
    reported: Vec<(K, Reported<V>)>,
    by: Option<i32>,
}

/// What was gathered so far.
struct Gathered<K, V> {
    found: FxHashMap<K, V>,
    unproven: FxHashMap<K, V>,
    /// One falsehood of each endpoint that sent some.
    lies: FxHashMap<i32, String>,
    /// An endpoint failed at some, and may not do so again.
    failed: bool,
}

impl<K, V> Batch<K, V> {
    fn is_false(&self) -> bool {
        self.reported
            .iter()
            .any(|(_, reported)| matches!(reported, Reported::False(_)))
    }
}

impl<K: Clone + Eq + Hash, V> Gathered<K, V> {
    /// Sorts what a part of a batch came to; keys that are still to be found go to `left`.
    fn take(&mut self, part: Batch<K, V>, is_caught: bool, left: &mut Vec<K>) {
        for (key, reported) in part.reported {
            match reported {
                Reported::Sure(value) if !is_caught => {
                    self.found.insert(key, value);
                    continue;
                }
                Reported::Sure(value) | Reported::Unproven(value) => {
                    self.unproven.insert(key.clone(), value);
                }
                Reported::Missing => {}
                Reported::Failed => self.failed = true,
                Reported::False(reason) => {
                    if let Some(by) = part.by {
                        self.lies.entry(by).or_insert(reason);
                    }
                }
            }
            left.push(key);
        }
    }
}

impl Inner {
    /// The envelopes of these transactions, as far as any endpoint has them.
    pub(super) async fn envelopes(&self, hashes: &[B256]) -> Result<Envelopes, EndpointError> {
        let kind = Lookup {
            what: "transactions",
            call: |hash: &B256| Call::transaction(*hash),
            height: |_| None,
            read: |hash: &B256, reply: &Reply<'_>| match reply {
                Reply::Null => Ok(Reported::Missing),
                reply => envelope::read(hash, reply),
            },
            heavy: true,
            may_come: true,
        };
        self.look(hashes, kind).await
    }

    /// The answers to these calls, as far as any endpoint has them, and how many had to be asked for.
    pub(super) async fn contract_answers(&self, calls: &[Question]) -> Result<(Answers, usize), EndpointError> {
        let mut answers = self.remembered.known(calls);
        let unknown: Vec<Question> = calls
            .iter()
            .filter(|call| !answers.contains_key(*call))
            .cloned()
            .collect();
        let kind = Lookup {
            what: "contract calls",
            call: Call::contract,
            height: |call: &Question| call.at,
            read: |_: &Question, reply: &Reply<'_>| answer::read(reply),
            heavy: false,
            may_come: false,
        };
        let new = self.look(&unknown, kind).await?;
        self.remembered.learn(&new);
        answers.extend(new);
        Ok((answers, unknown.len()))
    }

    /// The block that holds a transaction.
    pub(super) async fn block_of(&self, hash: B256) -> Result<Option<BlockRef>, EndpointError> {
        let ask = self.question(vec![Call::transaction(hash)], format!("transaction {hash}"));
        let read = move |bodies: &[Body]| {
            let replies = replies(bodies)?;
            let placed: Placed = replies.first().ok_or(Unread::Absent)?.read()?;
            if placed.hash.0 != hash {
                return Err(Unread::Lie(format!(
                    "asked for transaction {hash}, gave {}",
                    placed.hash.0
                )));
            }
            let place = placed.block_hash.zip(placed.block_number);
            place
                .map(|(hash, number)| BlockRef {
                    number: number.0,
                    hash: hash.0,
                })
                .ok_or(Unread::Absent)
        };
        match self.ask(&ask, read).await {
            Ok(served) => Ok(Some(served.value)),
            Err(Trouble::Absent) => Ok(None),
            Err(trouble) => Err(self.fault(trouble, &ask.what)),
        }
    }

    /// Asks for `keys`, once more elsewhere for those that were not had, and a last time where that may help.
    pub(super) async fn look<K, V>(&self, keys: &[K], kind: Lookup<K, V>) -> Result<FxHashMap<K, V>, EndpointError>
    where
        K: Clone + Eq + Hash + Send + Sync + 'static,
        V: Send + 'static,
    {
        let mut gathered = Gathered {
            found: FxHashMap::default(),
            unproven: FxHashMap::default(),
            lies: FxHashMap::default(),
            failed: false,
        };
        let mut shun = Vec::new();
        let mut left = self.pass(keys, kind, &mut shun, &mut gathered).await?;
        // Asking again helps where another endpoint can answer, or where the first one failed and may not fail twice.
        let others = self.endpoints().iter().any(|endpoint| !shun.contains(&endpoint.id));
        if !left.is_empty() && (others || gathered.failed) {
            left = self.pass(&left, kind, &mut shun, &mut gathered).await?;
        }
        // What can only be had unproven was answered the same by every endpoint that was asked.
        left.retain(|key| !gathered.unproven.contains_key(key));
        if !left.is_empty() && kind.may_come {
            // A node may serve a block a moment before its receipts and transactions.
            sleep(BREATH).await;
            left = self.pass(&left, kind, &mut Vec::new(), &mut gathered).await?;
        }
        let Gathered {
            mut found,
            unproven,
            lies,
            ..
        } = gathered;
        // A proven answer stands above an unproven one, whichever came first.
        for (key, value) in unproven {
            found.entry(key).or_insert(value);
        }
        // Blamed once for a look and not per answer, so that one bad batch does not shut an endpoint out.
        for endpoint in self.endpoints().iter() {
            if let Some(reason) = lies.get(&endpoint.id) {
                self.blame(endpoint, reason);
            }
        }
        if !left.is_empty() {
            debug!(chain = %self.chain, what = kind.what, wanted = keys.len(), without = left.len(), "going on without what no endpoint has");
        }
        Ok(found)
    }

    /// One look at `keys`; gives those that are still to be found.
    async fn pass<K, V>(
        &self,
        keys: &[K],
        kind: Lookup<K, V>,
        shun: &mut Vec<i32>,
        gathered: &mut Gathered<K, V>,
    ) -> Result<Vec<K>, EndpointError>
    where
        K: Clone + Eq + Hash + Send + Sync + 'static,
        V: Send + 'static,
    {
        // As it was before this pass: its batches run side by side and must not exclude each other's endpoints.
        let before = shun.clone();
        let asked: Vec<_> = keys
            .chunks(self.options.batch.max(1))
            .map(|keys| self.batch(keys, kind, before.clone()))
            .collect();
        let mut batches = stream::iter(asked).buffer_unordered(BATCHES_UNDER_WAY);
        let mut left = Vec::new();
        while let Some(parts) = batches
            .try_next()
            .await
            .map_err(|trouble| self.fault(trouble, kind.what))?
        {
            // Who is caught in one answer is not taken at its word in the others of the same batch.
            let caught: Vec<Option<i32>> = parts
                .iter()
                .filter(|part| part.is_false())
                .map(|part| part.by)
                .collect();
            for part in parts {
                shun.extend(part.by);
                let is_caught = caught.contains(&part.by);
                gathered.take(part, is_caught, &mut left);
            }
        }
        Ok(left)
    }

    /// One batch; where its answers fail, its halves, so that one bad key costs no other its answer. Each part names who answered it.
    fn batch<'a, K, V>(
        &'a self,
        keys: &'a [K],
        kind: Lookup<K, V>,
        shun: Vec<i32>,
    ) -> BoxFuture<'a, Result<Vec<Batch<K, V>>, Trouble>>
    where
        K: Clone + Send + Sync + 'static,
        V: Send + 'static,
    {
        let halved = async move {
            match self.ask_batch(keys, kind, shun.clone()).await {
                Ok(batch) => Ok(vec![batch]),
                Err(trouble @ (Trouble::Cancelled | Trouble::NoEndpoints | Trouble::WrongChain(_))) => Err(trouble),
                // Halving finds the one bad key in a number of requests that grows with its logarithm.
                Err(Trouble::Unproven { .. } | Trouble::TooMuch(_) | Trouble::Absent) if keys.len() > 1 => {
                    let (low, high) = keys.split_at(keys.len() / 2);
                    let mut parts = self.batch(low, kind, shun.clone()).await?;
                    parts.extend(self.batch(high, kind, shun).await?);
                    Ok(parts)
                }
                Err(trouble) => {
                    // Where no endpoint answers anything the chain waits; what is merely not to be had is done without.
                    self.is_alive(&trouble).await?;
                    warn!(chain = %self.chain, what = kind.what, ?trouble, "no endpoint gives a usable answer");
                    let reported = keys.iter().map(|key| (key.clone(), Reported::Missing)).collect();
                    Ok(vec![Batch { reported, by: None }])
                }
            }
        };
        halved.boxed()
    }

    async fn ask_batch<K, V>(&self, keys: &[K], kind: Lookup<K, V>, shun: Vec<i32>) -> Result<Batch<K, V>, Trouble>
    where
        K: Clone + Send + Sync + 'static,
        V: Send + 'static,
    {
        let ask = Ask {
            block: keys.iter().filter_map(kind.height).max(),
            heavy: kind.heavy,
            shun,
            each: true,
            ..self.question(
                keys.iter().map(kind.call).collect(),
                format!("{} {}", keys.len(), kind.what),
            )
        };
        let asked = keys.to_vec();
        let read = move |bodies: &[Body]| {
            let replies = replies(bodies)?;
            let reported = asked.iter().zip(&replies).map(|(key, reply)| (kind.read)(key, reply));
            let mut reported: Vec<Result<Reported<V>, Unread>> = reported.collect();
            // One that failed costs the others nothing, unless all did.
            let failed = |reported: &Result<Reported<V>, Unread>| matches!(reported, Err(Unread::Refused(_)));
            if !reported.iter().all(failed) {
                reported
                    .iter_mut()
                    .filter(|reported| failed(reported))
                    .for_each(|reported| *reported = Ok(Reported::Failed));
            }
            reported.into_iter().collect::<Result<Vec<_>, _>>()
        };
        let served = self.ask(&ask, read).await?;
        Ok(Batch {
            reported: keys.iter().cloned().zip(served.value).collect(),
            by: Some(served.by.id),
        })
    }

    /// Whether the endpoints answer other questions: then they cannot answer this one, otherwise none is reachable.
    async fn is_alive(&self, trouble: &Trouble) -> Result<(), Trouble> {
        if !matches!(trouble, Trouble::Unreachable(_)) {
            return Ok(());
        }
        let latest = self.question(vec![Call::header_tagged("latest")], "the head".to_owned());
        let alive = self.ask(&latest, |bodies: &[Body]| {
            replies(bodies)?.first().ok_or(Unread::Absent)?.json().map(drop)
        });
        alive.await.map(drop).map_err(|_| trouble.clone())
    }

    fn fault(&self, trouble: Trouble, what: &str) -> EndpointError {
        match trouble {
            Trouble::Unreachable(causes) => EndpointError::Unreachable {
                chain: self.chain,
                wanted: what.to_owned(),
                causes,
            },
            trouble => self.error(trouble, &Wanted::Number(0)),
        }
    }
}
