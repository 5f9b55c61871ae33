//! What a pool is given and what it gives back, apart from spans.

use std::fmt;
use std::time::Duration;

use alloy_primitives::{Address, B256};
use decoders::SharedTopic;
use decoders::block::{Block, BlockRef, ChainId, Log, Span};
use url::Url;

use super::redact::redacted;

/// One row of `chain_endpoints`.
#[derive(Clone, PartialEq, Eq)]
pub struct EndpointSettings {
    /// The row's number; an endpoint keeps its history while number and URL stay the same.
    pub id: i32,
    /// `http`, `https`, `ws` or `wss`. May hold secrets: never shown, see [`redacted`].
    pub url: Url,
    /// Class of preference: endpoints with a higher number are asked only when none with a lower one can answer.
    pub priority: i32,
    /// Share of the requests inside the class; at least one.
    pub weight: i32,
    /// Requests per second the operator allows; a batch of ten counts as ten.
    pub rate_limit: Option<u32>,
}

impl fmt::Debug for EndpointSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EndpointSettings")
            .field("id", &self.id)
            .field("url", &redacted(&self.url))
            .field("priority", &self.priority)
            .field("weight", &self.weight)
            .field("rate_limit", &self.rate_limit)
            .finish()
    }
}

/// Whether a chain's block hashes are the hashes of its Ethereum-style headers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HeaderHash {
    /// They are, everywhere: a header that does not recompute is a lie.
    Ethereum,
    /// They are not (Cronos, Avalanche): nothing above `chained` can be proven.
    Opaque,
    /// Found out block by block. Once one header recomputes, every later one has to; an earlier one, or one with fields
    /// this program does not know, is taken at `chained` when every endpoint serves it so.
    #[default]
    Auto,
}

/// How a pool behaves. The defaults suit public providers.
#[derive(Clone, Debug)]
pub struct PoolOptions {
    /// Rule of the chain's block hashes.
    pub header_hash: HeaderHash,
    /// The chain emits logs in state-sync transactions that no header commits to (Bor: Polygon PoS).
    pub state_sync_logs: bool,
    /// Time between two looks at the head when no WebSocket announces it.
    pub poll_interval: Duration,
    /// Time an ordinary request may take.
    pub request_timeout: Duration,
    /// Time an `eth_getLogs` or receipts request may take before its range is split.
    pub logs_timeout: Duration,
    /// Rounds over all endpoints before a request fails as transient.
    pub rounds: usize,
    /// Whether slow requests are asked a second time elsewhere.
    pub hedge: bool,
    /// Most calls in one JSON-RPC batch.
    pub batch: usize,
    /// Most requests in flight per endpoint.
    pub concurrency: usize,
    /// Most bytes of one answer; a longer one counts as too much and is split.
    pub response_bytes: usize,
    /// Blocks a head may stand above every other endpoint's before it is suspected.
    pub head_tolerance: u64,
    /// Most blocks of one `eth_getLogs` request.
    pub log_range: u64,
    /// Logs a span suggested to planners should hold.
    pub span_logs: u64,
    /// Most blocks of a span suggested to planners.
    pub span_blocks: u64,
}

impl Default for PoolOptions {
    fn default() -> Self {
        PoolOptions {
            header_hash: HeaderHash::Auto,
            state_sync_logs: false,
            poll_interval: Duration::from_secs(2),
            request_timeout: Duration::from_secs(10),
            logs_timeout: Duration::from_secs(30),
            rounds: 6,
            hedge: true,
            batch: 100,
            concurrency: 32,
            response_bytes: 64 << 20,
            head_tolerance: 64,
            log_range: 10_000,
            span_logs: 50_000,
            span_blocks: 5_000,
        }
    }
}

impl PoolOptions {
    /// The defaults, with what is known to be odd about `chain`.
    pub fn of(chain: ChainId) -> Self {
        PoolOptions {
            state_sync_logs: matches!(chain.0, 137 | 80002),
            ..PoolOptions::default()
        }
    }
}

/// Which logs a span holds.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// First topics to ask for, any of them; empty asks for every log.
    pub topics: Vec<B256>,
    /// Emitting contracts, any of them; empty asks for every contract.
    pub addresses: Vec<Address>,
    /// Contracts whose every log is asked for as well, whatever its topics.
    pub whole: Vec<Address>,
    /// Which of the logs asked for draw after them what every other contract emitted in their transaction, of the same first
    /// topics; none where absent.
    pub draws: Option<fn(ChainId, &Log) -> bool>,
    /// First topics of which only the logs that stand for themselves are asked for, and those of some contracts.
    pub shared: Vec<SharedTopic>,
    /// In whose transactions the other logs of `shared` are held; in none where absent.
    pub holds: Option<fn(ChainId, &Log) -> bool>,
}

impl Filter {
    /// Every log of these contracts and no other.
    pub fn whole_only(contracts: &[Address]) -> Self {
        Filter {
            addresses: contracts.to_vec(),
            ..Filter::default()
        }
    }

    /// Whether a span asked for with this filter may hold the log.
    pub fn matches(&self, log: &Log) -> bool {
        let address = self.addresses.is_empty() || self.addresses.contains(&log.address);
        (address && self.of_topics(log)) || self.whole.contains(&log.address)
    }

    /// Whether `span`, asked for with this filter, holds everything there is to know of the log: holds it, or shows that there
    /// is none, or none that is wanted.
    pub fn settles(&self, span: &Span, log: &Log) -> bool {
        self.is_by_topic(span, log) || self.whole.contains(&log.address)
    }

    /// The same, for another reason than that every log of its contract is asked for.
    pub fn is_by_topic(&self, span: &Span, log: &Log) -> bool {
        let address = self.addresses.is_empty() || self.addresses.contains(&log.address);
        (address || span.context.whole.contains(&log.tx_hash)) && self.of_topics(log)
    }

    fn of_topics(&self, log: &Log) -> bool {
        self.topics.is_empty() || log.topic0().is_some_and(|topic| self.topics.contains(topic))
    }
}

/// The chain's tip as the endpoints see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heads {
    /// Highest block.
    pub latest: Block,
    /// Hash of the block below it.
    pub latest_parent: B256,
    /// What a transaction of the highest block paid per unit of gas at least, in wei; none before EIP-1559.
    pub base_fee: Option<u64>,
    /// Block the chain calls safe; `None` when it has no such tag.
    pub safe: Option<BlockRef>,
    /// Block the chain calls final; `None` when it has no such tag.
    pub finalized: Option<BlockRef>,
}

/// A verified header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Height, hash and time.
    pub block: Block,
    /// Hash of the block below.
    pub parent_hash: B256,
}
