//! The pool: its endpoints, what it remembers of the chain, and its public face.

use std::ops::RangeInclusive;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};
use std::time::Duration;

use alloy_primitives::B256;
use backon::{BackoffBuilder, ExponentialBuilder};
use decoders::block::{self, Answers, BlockRef, ChainId, Context, Envelopes, Proof, Span};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::answer::Remembered;
use super::ask::{Ask, Counts, Trouble};
use super::branch::Votes;
use super::call::Call;
use super::choice::wrong_chain;
use super::endpoint::Endpoint;
use super::error::{EndpointError, Wanted};
use super::header::{self, SealedHeader};
use super::header_rules::Rules;
use super::heads::HeadMemory;
use super::health::{Available, ChainCheck};
use super::rejection::Rejection;
use super::report::{EndpointHealth, PoolCounters};
use super::settings::{EndpointSettings, Filter, Header, HeaderHash, Heads, PoolOptions};
use super::socket::Announcements;
use super::transport;
use super::wire::{Body, Unread, replies};

/// Looks at unreachable endpoints before [`Pool::connect`] gives up.
const CONNECT_TRIES: usize = 3;
/// Longest wait for the first block of the chain, which is only asked for to learn the header rule.
const PROBE: Duration = Duration::from_secs(2);
/// How long the other endpoints may take to state their chain once one has.
const CONNECT_GRACE: Duration = Duration::from_secs(2);
/// Calldata that weighs as much as a log.
const LOG_BYTES: usize = 500;
/// Ranges of one span under way at once, as far as suggestions to planners go.
const RANGES: u64 = 4;

/// The endpoints of one chain, asked as one. Cheap to clone.
#[derive(Clone)]
pub struct Pool {
    inner: Arc<Inner>,
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool")
            .field("chain", &self.inner.chain)
            .field("health", &self.health())
            .finish()
    }
}

pub(super) struct Inner {
    /// For tasks beside the questions, which end with the pool.
    pub(super) me: Weak<Inner>,
    pub(super) chain: ChainId,
    pub(super) options: PoolOptions,
    pub(super) cancel: CancellationToken,
    pub(super) rules: Arc<Rules>,
    pub(super) counts: Counts,
    pub(super) announcements: Arc<Announcements>,
    pub(super) heads: HeadMemory,
    pub(super) remembered: Remembered,
    /// What a block holds lately, for suggestions.
    density: Mutex<Density>,
    client: reqwest::Client,
    endpoints: RwLock<Arc<[Arc<Endpoint>]>>,
    /// Announces that endpoints have come or gone.
    pub(super) edited: watch::Sender<()>,
}

/// What a block holds, smoothed over the last spans.
#[derive(Default)]
struct Density {
    logs: Option<f64>,
    /// What was read beside the logs, as so many logs of usual length.
    context: f64,
}

impl Pool {
    /// Opens the pool and asks every endpoint for its chain id.
    ///
    /// # Errors
    /// [`EndpointError::WrongChain`] when those that answer serve other chains, [`EndpointError::Unreachable`] when none
    /// answers. One right endpoint is enough; the others are quarantined, or checked again when they are first asked.
    pub async fn connect(
        chain: ChainId,
        endpoints: Vec<EndpointSettings>,
        options: PoolOptions,
        cancel: CancellationToken,
    ) -> Result<Pool, EndpointError> {
        let announcements = Arc::new(Announcements::default());
        let client = transport::client()?;
        let new = |settings: EndpointSettings| {
            Endpoint::new(&settings, &options, &client, Arc::clone(&announcements)).map(Arc::new)
        };
        let all = endpoints.into_iter().map(new).collect::<Result<Vec<_>, _>>()?;
        // Checks that outlive their question need the pool, and must not keep it alive.
        let inner = Arc::new_cyclic(|me| Inner {
            me: me.clone(),
            chain,
            rules: Arc::new(Rules::new(options.header_hash)),
            counts: Counts::default(),
            heads: HeadMemory::default(),
            remembered: Remembered::default(),
            density: Mutex::default(),
            endpoints: RwLock::new(all.into()),
            announcements,
            client,
            options,
            cancel,
            edited: watch::Sender::default(),
        });
        let pool = Pool { inner };
        let cancelled = pool.inner.cancel.clone();
        tokio::select! {
            biased;
            () = cancelled.cancelled() => return Err(EndpointError::Cancelled),
            checked = Box::pin(pool.inner.check_chains()) => checked?,
        }
        // A chain whose first block recomputes follows Ethereum's rule throughout.
        if pool.inner.options.header_hash == HeaderHash::Auto {
            drop(timeout(PROBE, Box::pin(pool.header_at(1))).await);
        }
        Ok(pool)
    }

    /// The chain.
    pub fn chain(&self) -> ChainId {
        self.inner.chain
    }

    /// The chain's tip, cross-checked between the preferred endpoints.
    ///
    /// # Errors
    /// [`EndpointError`]; transient ones are worth another try.
    pub async fn heads(&self) -> Result<Heads, EndpointError> {
        Box::pin(self.inner.heads()).await
    }

    /// The header at a height, `None` when no endpoint has it.
    ///
    /// # Errors
    /// [`EndpointError`]; transient ones are worth another try.
    pub async fn header_at(&self, number: u64) -> Result<Option<Header>, EndpointError> {
        self.inner.header(Wanted::Number(number)).await
    }

    /// The header with a hash, `None` when no endpoint has it.
    ///
    /// # Errors
    /// [`EndpointError`]; transient ones are worth another try.
    pub async fn header_of(&self, hash: B256) -> Result<Option<Header>, EndpointError> {
        self.inner.header(Wanted::Hash(hash)).await
    }

    /// How the endpoints that answer stand to `block`; none of them may.
    pub async fn votes(&self, block: BlockRef) -> Votes {
        let cancelled = self.inner.cancel.cancelled();
        tokio::select! {
            votes = Box::pin(self.inner.votes(block)) => votes,
            () = cancelled => Votes::default(),
        }
    }

    /// The one block with this hash, at this height, with its matching logs, proven as far as `wanted` and the chain allow.
    ///
    /// # Errors
    /// [`EndpointError::NotFound`] when no endpoint has the block (any more).
    pub async fn block_span(&self, block: BlockRef, filter: &Filter, wanted: Proof) -> Result<Span, EndpointError> {
        Box::pin(self.inner.block_span(block, filter, wanted)).await
    }

    /// The blocks of a range with their matching logs, proven as far as `wanted` and the chain allow. Where a part of the range
    /// cannot be read, the span ends before it: the rest is to be asked for again.
    ///
    /// # Errors
    /// [`EndpointError::NotFound`] when a block of the range is not there yet; others when the first block cannot be read.
    pub async fn range_span(
        &self,
        range: RangeInclusive<u64>,
        filter: &Filter,
        wanted: Proof,
    ) -> Result<Span, EndpointError> {
        Box::pin(self.inner.range_span(range, filter, wanted)).await
    }

    /// The envelopes of these transactions. Where Ethereum knows a transaction's type, its hash and its signature were checked.
    ///
    /// A transaction that no endpoint has, or that each serves in a form that fails its checks, is left out.
    ///
    /// # Errors
    /// [`EndpointError`] when no endpoint answers at all.
    pub async fn envelopes(&self, hashes: &[B256]) -> Result<Envelopes, EndpointError> {
        Box::pin(self.inner.envelopes(hashes)).await
    }

    /// The block that holds a transaction; `None` when no endpoint knows it, or it waits to be mined.
    ///
    /// # Errors
    /// [`EndpointError`]; transient ones are worth another try.
    pub async fn block_of(&self, tx_hash: B256) -> Result<Option<BlockRef>, EndpointError> {
        Box::pin(self.inner.block_of(tx_hash)).await
    }

    /// What contracts answer to `calls`, and how many of them had to be asked for: answers that never change are remembered.
    ///
    /// A call about a state that no endpoint has (any more) is left out.
    ///
    /// # Errors
    /// [`EndpointError`] when no endpoint answers at all.
    pub async fn answers(&self, calls: &[block::Call]) -> Result<(Answers, usize), EndpointError> {
        Box::pin(self.inner.contract_answers(calls)).await
    }

    /// Blocks a span should have at present: as many as a few requests bring, and few enough to hold in memory.
    pub fn suggested_range(&self) -> u64 {
        let inner = &self.inner;
        let ranges = inner.log_blocks().saturating_mul(RANGES);
        let density = inner.density.lock().unwrap_or_else(PoisonError::into_inner).held();
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "counts far below 2^53, and casts saturate"
        )]
        let holding = density.map_or(u64::MAX, |density| {
            (inner.options.span_logs as f64 / density.max(1e-6)) as u64
        });
        ranges.min(holding).clamp(1, inner.options.span_blocks.max(1))
    }

    /// Remembers what a span holds beside its logs, so that the next ones hold no more than they should.
    pub fn learn_context(&self, span: &Span) {
        let Context { envelopes, answers, .. } = &span.context;
        let calldata: usize = envelopes.values().map(|envelope| envelope.input.len()).sum();
        let logs = envelopes.len() + answers.len() + calldata / LOG_BYTES;
        let mut density = self.inner.density.lock().unwrap_or_else(PoisonError::into_inner);
        density.context = smoothed(density.context, per_block(span.blocks.len(), logs));
    }

    /// Returns when a newer head may exist: one was announced, or it is time to look.
    pub async fn next_head(&self) {
        Box::pin(self.inner.next_head()).await;
    }

    /// Announces, from now on, that endpoints have come or gone: what failed may succeed.
    pub fn edits(&self) -> watch::Receiver<()> {
        self.inner.edited.subscribe()
    }

    /// Takes over an edited registry. Endpoints that stay keep their history; new ones have to answer before anything waits for
    /// them, unless none of the others does. Questions under way are asked anew.
    pub fn replace_endpoints(&self, endpoints: Vec<EndpointSettings>) {
        let inner = &self.inner;
        let old = inner.endpoints();
        let mut new = Vec::with_capacity(endpoints.len());
        for settings in endpoints {
            // Same id and address: what is known of its ranges, trust and speed stays true.
            if let Some(kept) = old.iter().find(|old| old.id == settings.id && old.url == settings.url) {
                kept.tune(&settings);
                new.push(Arc::clone(kept));
                continue;
            }
            match Endpoint::new(
                &settings,
                &inner.options,
                &inner.client,
                Arc::clone(&inner.announcements),
            ) {
                Ok(endpoint) => new.push(Arc::new(endpoint)),
                Err(error) => warn!(chain = %inner.chain, %error, "endpoint left out"),
            }
        }
        info!(chain = %inner.chain, endpoints = new.len(), "endpoints replaced");
        let stays = |endpoint: &Arc<Endpoint>, others: &[Arc<Endpoint>]| {
            others.iter().any(|other| Arc::ptr_eq(other, endpoint))
        };
        let is_other = old.len() != new.len() || !old.iter().all(|endpoint| stays(endpoint, &new));
        *inner.endpoints.write().unwrap_or_else(PoisonError::into_inner) = new.into();
        if is_other {
            inner.edited.send_replace(());
        }
        inner.announcements.bell.notify_one();
    }

    /// How each endpoint stands.
    pub fn health(&self) -> Vec<EndpointHealth> {
        self.inner
            .endpoints()
            .iter()
            .map(|endpoint| endpoint.report())
            .collect()
    }

    /// Adds to an archived span, whose logs are those `filter` asks for, what they draw after them and it does not hold. What no
    /// endpoint has is done without.
    ///
    /// # Errors
    /// [`EndpointError`]; transient ones are worth another try.
    pub async fn add_siblings(&self, span: &mut Span, filter: &Filter) -> Result<(), EndpointError> {
        Box::pin(self.inner.add_sibling_logs(span, filter)).await
    }

    /// Receipts of single transactions read since this was asked last.
    pub fn take_receipts(&self) -> u64 {
        self.inner.counts.receipts.swap(0, Ordering::Relaxed)
    }

    /// What the pool has counted so far.
    pub fn counters(&self) -> PoolCounters {
        let counts = &self.inner.counts;
        PoolCounters {
            hedges: counts.hedges.load(Ordering::Relaxed),
            retries: counts.retries.load(Ordering::Relaxed),
            splits: counts.splits.load(Ordering::Relaxed),
            lies: counts.lies.load(Ordering::Relaxed),
            suspects: counts.suspects.load(Ordering::Relaxed),
            repaired: counts.repaired.load(Ordering::Relaxed),
            unprovable: counts.unprovable.load(Ordering::Relaxed),
            opaque: counts.opaque.load(Ordering::Relaxed),
            announced: self.inner.announcements.count.load(Ordering::Relaxed),
        }
    }
}

impl Inner {
    pub(super) fn endpoints(&self) -> Arc<[Arc<Endpoint>]> {
        Arc::clone(&self.endpoints.read().unwrap_or_else(PoisonError::into_inner))
    }

    async fn check_chains(&self) -> Result<(), EndpointError> {
        let chain = self.chain;
        let endpoints = self.endpoints();
        if endpoints.is_empty() {
            return Err(EndpointError::NoEndpoints { chain });
        }
        let mut waits = ExponentialBuilder::new()
            .with_jitter()
            .with_min_delay(Duration::from_millis(200))
            .with_max_times(CONNECT_TRIES - 1)
            .build();
        loop {
            let failed = self.check_all(&endpoints).await;
            if endpoints
                .iter()
                .any(|endpoint| matches!(endpoint.health().chain, ChainCheck::Right { .. }))
            {
                for (endpoint, reason) in failed {
                    warn!(%chain, %endpoint, %reason, "endpoint cannot be used at present");
                }
                return Ok(());
            }
            // Only where all of them answered for another chain is that the cause; a silent one may still be right.
            let wrong: Vec<String> = endpoints.iter().filter_map(wrong_chain).collect();
            if wrong.len() == endpoints.len() {
                return Err(EndpointError::WrongChain {
                    chain,
                    found: wrong.join("; "),
                });
            }
            let Some(wait) = waits.next() else {
                return Err(EndpointError::Unreachable {
                    chain,
                    wanted: "its chain id".to_owned(),
                    causes: named(&failed),
                });
            };
            sleep(wait).await;
        }
    }

    /// Asks every endpoint which chain it serves, and returns the names of those that cannot be used, and why. Once one can, the
    /// others have a moment: they are probed later. While none answers, a warning is logged soon.
    async fn check_all(&self, endpoints: &[Arc<Endpoint>]) -> Vec<(String, String)> {
        let (began, chain) = (Instant::now(), self.chain);
        let (mut failed, mut is_logged) = (Vec::new(), false);
        let mut until: Option<Instant> = None;
        let mut checks: FuturesUnordered<_> = endpoints.iter().map(|endpoint| self.check(endpoint)).collect();
        loop {
            let limit = until.unwrap_or(began + self.options.request_timeout / 3);
            tokio::select! {
                biased;
                checked = checks.next() => match checked {
                    None => return failed,
                    Some(Ok(())) => {
                        until.get_or_insert_with(|| Instant::now() + CONNECT_GRACE);
                    }
                    Some(Err(cause)) => failed.push(cause),
                },
                // An operator who waits for a start should soon see why, long before the last attempt ends.
                () = sleep_until(limit), if until.is_some() || !is_logged => {
                    if until.is_some() {
                        return failed;
                    }
                    is_logged = true;
                    let silent = endpoints.iter().filter(|endpoint| !failed.iter().any(|(name, _)| *name == endpoint.name));
                    let silent = silent.map(|endpoint| (endpoint.name.clone(), "has not answered yet".to_owned()));
                    let causes = named(&silent.chain(failed.iter().cloned()).collect::<Vec<_>>());
                    warn!(%chain, endpoints = %causes, "no endpoint answers; correct one, or add another, with `indexer registry endpoints`");
                }
            }
        }
    }

    async fn check(&self, endpoint: &Endpoint) -> Result<(), (String, String)> {
        let checked = endpoint.check_chain(self.chain, self.options.request_timeout).await;
        match checked {
            Ok(()) => {
                endpoint.health().healthy();
                Ok(())
            }
            Err(refused) => {
                endpoint.failed(&refused);
                Err((endpoint.name.clone(), refused.detail))
            }
        }
    }

    /// A question of the ordinary kind.
    pub(super) fn question(&self, calls: Vec<Call>, what: String) -> Ask {
        Ask::of(calls, what, self.options.request_timeout)
    }

    /// Asks with `read(false)`; when every answer fails its checks, and the chain's header rule may be the cause, asks
    /// again with `read(true)`, which takes headers that cannot be recomputed.
    pub(super) async fn ask_sealed<T, M, R>(&self, ask: &Ask, read: M) -> Result<super::ask::Served<T>, Trouble>
    where
        T: Send + 'static,
        M: Fn(bool) -> R,
        R: Fn(&[Body]) -> Result<T, Unread> + Clone + Send + Sync + 'static,
    {
        match self.ask(ask, read(false)).await {
            Err(Trouble::Unproven { reason, .. }) if self.rules.may_agree() => {
                info!(chain = %self.chain, ask = %ask.what, %reason, "asking again without proof of the header");
                self.ask(ask, read(true)).await
            }
            answer => answer,
        }
    }

    async fn header(&self, wanted: Wanted) -> Result<Option<Header>, EndpointError> {
        match self.sealed_header(&wanted, Vec::new()).await {
            Ok((header, _)) => Ok(Some(header.brief())),
            Err(Trouble::Absent) => Ok(None),
            Err(trouble) => Err(self.error(trouble, &wanted)),
        }
    }

    /// A header that passed its checks, and who gave it.
    pub(super) async fn sealed_header(
        &self,
        wanted: &Wanted,
        shun: Vec<i32>,
    ) -> Result<(SealedHeader, Arc<Endpoint>), Trouble> {
        // By hash where one is known: that cannot be of another branch.
        let (call, block) = match wanted {
            Wanted::Hash(hash) => (Call::header_of(*hash), None),
            Wanted::Number(number) => (Call::header_at(*number), Some(*number)),
            Wanted::Range(range) => (Call::header_at(*range.end()), Some(*range.end())),
        };
        let ask = Ask {
            block,
            shun,
            ..self.question(vec![call], wanted.to_string())
        };
        let rules = &self.rules;
        let served = self
            .ask_sealed(&ask, |agreed| {
                let (rules, wanted) = (Arc::clone(rules), wanted.clone());
                move |bodies: &[Body]| {
                    let header = header::read(replies(bodies)?.first().ok_or(Unread::Absent)?.json()?)?;
                    check_wanted(&header, &wanted)?;
                    rules.check(&header, agreed)?;
                    Ok(header)
                }
            })
            .await?;
        Ok((served.value, served.by))
    }

    /// The trouble as callers see it.
    pub(super) fn error(&self, trouble: Trouble, wanted: &Wanted) -> EndpointError {
        let chain = self.chain;
        match trouble {
            Trouble::Absent => EndpointError::NotFound {
                chain,
                wanted: wanted.clone(),
            },
            Trouble::Unproven { reason, .. } => EndpointError::Unproven {
                chain,
                wanted: wanted.to_string(),
                reason,
            },
            Trouble::NoEndpoints => EndpointError::NoEndpoints { chain },
            Trouble::Cancelled => EndpointError::Cancelled,
            // An endpoint that changed its chain while in use may change back.
            Trouble::WrongChain(found) if !self.endpoints().iter().any(|endpoint| endpoint.health().was_right) => {
                EndpointError::WrongChain { chain, found }
            }
            Trouble::Unreachable(causes) | Trouble::Refused(causes) | Trouble::WrongChain(causes) => {
                EndpointError::Unreachable {
                    chain,
                    wanted: wanted.to_string(),
                    causes,
                }
            }
            Trouble::TooMuch(_) => self.error(
                Trouble::Unreachable("every answer is too long for its endpoint".to_owned()),
                wanted,
            ),
            Trouble::Unsupported => self.error(Trouble::Unreachable("no endpoint knows the method".to_owned()), wanted),
        }
    }

    /// Records a lie that came to light after the answer was accepted.
    pub(super) fn blame(&self, endpoint: &Endpoint, reason: &str) {
        warn!(chain = %self.chain, endpoint = %endpoint.name, %reason, "an endpoint's answer was wrong");
        super::ask::count(&self.counts.lies);
        endpoint.failed(&endpoint.refused(Rejection::Lie, reason));
    }

    /// Blocks per `eth_getLogs` that the preferred endpoints take at present.
    pub(super) fn log_blocks(&self) -> u64 {
        let now = Instant::now();
        let endpoints = self.askable();
        let usable = |endpoint: &&Arc<Endpoint>| endpoint.health().available(now) == Available::Now;
        let best = endpoints
            .iter()
            .filter(usable)
            .map(|endpoint| endpoint.priority())
            .min();
        let ranges = endpoints
            .iter()
            .filter(usable)
            .filter(|endpoint| Some(endpoint.priority()) == best);
        ranges
            .map(|endpoint| endpoint.health().log_range.blocks())
            .max()
            .unwrap_or(1)
    }

    /// Remembers how many logs the blocks of a span had.
    pub(super) fn learn_density(&self, blocks: usize, logs: usize) {
        if blocks == 0 {
            return;
        }
        let seen = per_block(blocks, logs);
        let mut density = self.density.lock().unwrap_or_else(PoisonError::into_inner);
        density.logs = Some(density.logs.map_or(seen, |known| smoothed(known, seen)));
    }
}

impl Density {
    /// Logs per block, with what is read beside them.
    fn held(&self) -> Option<f64> {
        self.logs.map(|logs| logs + self.context)
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^53")]
fn per_block(blocks: usize, logs: usize) -> f64 {
    logs as f64 / blocks.max(1) as f64
}

fn smoothed(known: f64, seen: f64) -> f64 {
    known * 0.7 + seen * 0.3
}

/// Endpoints with what each is blamed for.
fn named(causes: &[(String, String)]) -> String {
    let causes = causes.iter().map(|(name, cause)| format!("{name}: {cause}"));
    causes.collect::<Vec<_>>().join("; ")
}

/// The header is the one asked for.
pub(super) fn check_wanted(header: &SealedHeader, wanted: &Wanted) -> Result<(), Unread> {
    let right = match wanted {
        Wanted::Hash(hash) => header.block.hash == *hash,
        Wanted::Number(number) => header.block.number == *number,
        Wanted::Range(range) => range.contains(&header.block.number),
    };
    if right {
        Ok(())
    } else {
        Err(Unread::Lie(format!(
            "asked for {wanted}, gave block {}",
            header.reference()
        )))
    }
}
