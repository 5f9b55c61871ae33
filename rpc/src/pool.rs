//! The pool: the public face of the crate.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use alloy_primitives::B256;
use decoders::block::{self, Answers, BlockRef, ChainId, Envelopes, Proof, Span};
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::branch::Votes;
use super::error::{EndpointError, Wanted};
use super::inner::Inner;
use super::report::{EndpointHealth, PoolCounters};
use super::settings::{EndpointSettings, Filter, Header, HeaderHash, Heads, PoolOptions};

/// Longest wait for the first block of the chain, which is only asked for to learn the header rule.
const PROBE: Duration = Duration::from_secs(2);
/// Ranges of one span, as far as suggestions to planners go.
const RANGES: u64 = 16;
/// Logs a block is taken to hold before any was read: as many as one of Ethereum does.
const FIRST_DENSITY: f64 = 200.0;

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
        let pool = Pool {
            inner: Inner::new(chain, endpoints, options, cancel)?,
        };
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
        let density = inner.density.held().unwrap_or(FIRST_DENSITY);
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "counts far below 2^53, and casts saturate"
        )]
        let holding = (inner.options.span_logs as f64 / density.max(1e-6)) as u64;
        ranges.min(holding).clamp(1, inner.options.span_blocks.max(1))
    }

    /// Remembers what a span holds beside its logs, so that the next ones hold no more than they should.
    pub fn learn_context(&self, span: &Span) {
        self.inner.density.learn_context(span);
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
        self.inner.replace_endpoints(endpoints);
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
        let announced = self.inner.announcements.count.load(Ordering::Relaxed);
        self.inner.counts.counters(announced)
    }
}
