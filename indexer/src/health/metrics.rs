//! Every number a running process reports, by the names docs/METRICS.md explains.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, Utc};
use decoders::block::ChainId;
use prometheus::core::{Collector, MetricVec, MetricVecBuilder};
use prometheus::process_collector::ProcessCollector;
use prometheus::{
    GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGaugeVec, Opts, Registry,
    TextEncoder,
};
use queries::status::ChainStatus;

/// Seconds a commit or a fetch may take, from a block on loopback to a large span far away.
const SECONDS: &[f64] = &[
    0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
];

/// All metrics of one process. Each process, and each test, has its own registry.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// Held while what is stored is set and read: chains that are gone leave no numbers behind.
    scrape: Mutex<()>,
    /// Endpoints that were recorded last.
    shown: Mutex<BTreeSet<(ChainId, i32)>>,
    chain: ChainFamilies,
    endpoint: EndpointFamilies,
    publisher_confirmed: IntCounter,
    publisher_failed: IntCounter,
}

/// Families with a `chain` label.
#[derive(Debug)]
struct ChainFamilies {
    stored: StoredFamilies,
    events: IntCounterVec,
    blocks: IntCounterVec,
    reorgs: IntCounterVec,
    rewound_blocks: IntCounterVec,
    faults: IntCounterVec,
    commit_seconds: HistogramVec,
    fetch_seconds: HistogramVec,
    archive_seconds: HistogramVec,
    archive_writes: IntCounterVec,
    transactions: IntCounterVec,
    calls: IntCounterVec,
    receipts: IntCounterVec,
}

/// Families with a `chain` label that name what is stored: whichever daemon leads the chain, and however long nothing was stored.
#[derive(Debug)]
struct StoredFamilies {
    head: IntGaugeVec,
    checkpoint: IntGaugeVec,
    finalized: IntGaugeVec,
    lag_blocks: IntGaugeVec,
    lag_seconds: GaugeVec,
    observed_seconds: GaugeVec,
    outbox_depth: IntGaugeVec,
}

/// Families with the labels `chain` and `endpoint`.
#[derive(Debug)]
struct EndpointFamilies {
    state: IntGaugeVec,
    head: IntGaugeVec,
    latency: GaugeVec,
    requests: IntCounterVec,
    failures: IntCounterVec,
    lies: IntCounterVec,
}

/// How the pool classifies an endpoint, as the value of `indexer_endpoint_state`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum EndpointState {
    /// Serves another chain.
    Quarantined = 0,
    /// Failed repeatedly and is left alone for a while.
    Open = 1,
    /// Answers, but fails often, is rate limited, lags behind or has lied.
    Degraded = 2,
    /// Answers.
    Ok = 3,
}

/// One endpoint as its pool sees it; counts are totals since the pool began.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EndpointSample {
    /// Registry id, or a number below zero for an endpoint of the command line: URLs hold keys and are no label.
    pub id: i32,
    /// How it stands.
    pub state: EndpointState,
    /// Highest block it reported having.
    pub head: Option<u64>,
    /// Median seconds of its recent answers.
    pub latency_seconds: Option<f64>,
    /// Requests sent.
    pub requests: u64,
    /// Requests that failed.
    pub failures: u64,
    /// Answers that failed a check.
    pub lies: u64,
}

/// The metrics of one chain, looked up once.
#[derive(Clone, Debug)]
pub struct ChainMetrics {
    /// `indexer_blocks_applied_total`.
    pub blocks: IntCounter,
    /// `indexer_reorgs_total`.
    pub reorgs: IntCounter,
    /// `indexer_rewound_blocks_total`.
    pub rewound_blocks: IntCounter,
    /// `indexer_commit_seconds`.
    pub commit_seconds: Histogram,
    /// `indexer_fetch_seconds`.
    pub fetch_seconds: Histogram,
    /// `indexer_archive_seconds`.
    pub archive_seconds: Histogram,
    /// `indexer_archive_writes_total`.
    pub archive_writes: IntCounter,
    /// `indexer_transactions_fetched_total`.
    pub transactions: IntCounter,
    /// `indexer_contract_calls_total`.
    pub calls: IntCounter,
    /// `indexer_receipts_fetched_total`.
    pub receipts: IntCounter,
    events: IntCounterVec,
    faults: IntCounterVec,
    chain: String,
}

impl ChainMetrics {
    /// Counts `count` events of `kind`, a name of a kind of fact (`decoders::fact::KINDS`), in `indexer_events_total`.
    pub fn events(&self, kind: &str, count: u64) {
        self.events
            .with_label_values(&[self.chain.as_str(), kind])
            .inc_by(count);
    }

    /// Counts a refused log of `source` in `indexer_faults_total`.
    pub fn fault(&self, source: &str, reason: &str) {
        self.faults
            .with_label_values(&[self.chain.as_str(), source, reason])
            .inc();
    }
}

impl Metrics {
    /// Every family at zero.
    pub fn new() -> Self {
        let registry = Registry::new();
        let chain = ChainFamilies::register(&registry);
        let build = gauges(
            &registry,
            "build_info",
            "The program that runs; always 1",
            &["version", "embedded"],
        );
        let embedded = if cfg!(feature = "embedded") { "yes" } else { "no" };
        build.with_label_values(&[env!("CARGO_PKG_VERSION"), embedded]).set(1);
        registry
            .register(Box::new(ProcessCollector::for_self()))
            .expect("names of process metrics differ from ours");
        Metrics {
            chain,
            endpoint: EndpointFamilies::register(&registry),
            publisher_confirmed: kept(
                &registry,
                IntCounter::with_opts(opts("publisher_confirmed_total", "Messages the broker confirmed")),
            ),
            publisher_failed: kept(
                &registry,
                IntCounter::with_opts(opts(
                    "publisher_failed_total",
                    "Messages the broker refused or returned",
                )),
            ),
            scrape: Mutex::default(),
            shown: Mutex::default(),
            registry,
        }
    }

    /// The metrics of `chain`; asking again gives the same ones.
    pub fn chain(&self, chain: ChainId) -> ChainMetrics {
        let families = &self.chain;
        let chain = chain.to_string();
        let label = [chain.as_str()];
        ChainMetrics {
            blocks: families.blocks.with_label_values(&label),
            reorgs: families.reorgs.with_label_values(&label),
            rewound_blocks: families.rewound_blocks.with_label_values(&label),
            commit_seconds: families.commit_seconds.with_label_values(&label),
            fetch_seconds: families.fetch_seconds.with_label_values(&label),
            archive_seconds: families.archive_seconds.with_label_values(&label),
            archive_writes: families.archive_writes.with_label_values(&label),
            transactions: families.transactions.with_label_values(&label),
            calls: families.calls.with_label_values(&label),
            receipts: families.receipts.with_label_values(&label),
            events: families.events.clone(),
            faults: families.faults.clone(),
            chain,
        }
    }

    /// Records what pools report of their endpoints, by chain. No other endpoint is shown any more.
    pub fn endpoints(&self, present: &BTreeMap<ChainId, Vec<EndpointSample>>) {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let ids = |(chain, samples): (&ChainId, &Vec<EndpointSample>)| {
            let chain = *chain;
            samples.iter().map(move |sample| (chain, sample.id)).collect::<Vec<_>>()
        };
        let now: BTreeSet<(ChainId, i32)> = present.iter().flat_map(ids).collect();
        shown
            .difference(&now)
            .for_each(|(chain, id)| self.forget_endpoint(*chain, *id));
        *shown = now;
        for (chain, samples) in present {
            samples.iter().for_each(|sample| self.endpoint(*chain, sample));
        }
    }

    fn endpoint(&self, chain: ChainId, sample: &EndpointSample) {
        let (chain, id) = (chain.to_string(), label(sample.id));
        let labels = [chain.as_str(), id.as_str()];
        let families = &self.endpoint;
        families
            .state
            .with_label_values(&labels)
            .set(i64::from(sample.state as u8));
        // What is not known of it, as after an edit of its URL, is not shown.
        match sample.head {
            Some(head) => families.head.with_label_values(&labels).set(gauge(head)),
            None => drop(families.head.remove_label_values(&labels)),
        }
        match sample.latency_seconds {
            Some(seconds) => families.latency.with_label_values(&labels).set(seconds),
            None => drop(families.latency.remove_label_values(&labels)),
        }
        raise(&families.requests.with_label_values(&labels), sample.requests);
        raise(&families.failures.with_label_values(&labels), sample.failures);
        raise(&families.lies.with_label_values(&labels), sample.lies);
    }

    /// Shows nothing of chains other than these any more. A chain that is started again counts anew.
    pub fn keep_chains(&self, chains: &BTreeSet<ChainId>) {
        let kept: BTreeSet<String> = chains.iter().map(ChainId::to_string).collect();
        let families = &self.chain;
        for counters in [
            &families.events,
            &families.blocks,
            &families.reorgs,
            &families.rewound_blocks,
            &families.faults,
            &families.archive_writes,
            &families.transactions,
            &families.calls,
            &families.receipts,
        ] {
            keep(counters, &kept);
        }
        keep(&families.commit_seconds, &kept);
        keep(&families.fetch_seconds, &kept);
        keep(&families.archive_seconds, &kept);
    }

    fn forget_endpoint(&self, chain: ChainId, id: i32) {
        let (chain, id) = (chain.to_string(), label(id));
        let labels = [chain.as_str(), id.as_str()];
        let families = &self.endpoint;
        // An endpoint that was never recorded has nothing to forget.
        for removed in [
            families.state.remove_label_values(&labels),
            families.head.remove_label_values(&labels),
            families.latency.remove_label_values(&labels),
            families.requests.remove_label_values(&labels),
            families.failures.remove_label_values(&labels),
            families.lies.remove_label_values(&labels),
        ] {
            drop(removed);
        }
    }

    /// The text Prometheus reads, with where `chains` stand by the tables, seen at `now`. What is not known is not shown.
    ///
    /// # Errors
    /// None that a process of ours has seen: what is registered can be encoded.
    pub fn render(&self, chains: &[ChainStatus], now: DateTime<Utc>) -> Result<String, prometheus::Error> {
        let _scrape = self.scrape.lock().unwrap_or_else(PoisonError::into_inner);
        self.chain.stored.forget();
        for chain in chains.iter().filter(|chain| chain.enabled) {
            self.stored(chain, now);
        }
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }

    fn stored(&self, chain: &ChainStatus, now: DateTime<Utc>) {
        let families = &self.chain.stored;
        let label = [chain.chain.as_str()];
        let checkpoint = chain.checkpoint.as_ref();
        let heights = [
            (&families.head, chain.head),
            (&families.checkpoint, checkpoint.map(|block| block.number)),
            (&families.finalized, chain.finalized),
            (&families.lag_blocks, chain.lag_blocks),
            (&families.outbox_depth, Some(chain.outbox)),
        ];
        for (family, height) in heights {
            if let Some(height) = height {
                family.with_label_values(&label).set(height);
            }
        }
        // The block's own time is kept as long as it can be undone, and where nothing was applied after it.
        let applied = checkpoint.map(|block| block.time.unwrap_or(block.updated_at));
        for (family, since) in [
            (&families.lag_seconds, applied),
            (&families.observed_seconds, chain.observed_at),
        ] {
            if let Some(since) = since {
                family.with_label_values(&label).set(seconds_between(since, now));
            }
        }
    }

    /// Counts messages the broker confirmed.
    pub fn confirmed(&self, messages: u64) {
        self.publisher_confirmed.inc_by(messages);
    }

    /// Counts messages the broker refused or returned.
    pub fn publish_failed(&self, messages: u64) {
        self.publisher_failed.inc_by(messages);
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Metrics::new()
    }
}

impl EndpointFamilies {
    fn register(registry: &Registry) -> Self {
        let labels = ["chain", "endpoint"];
        let latency = GaugeVec::new(
            opts(
                "endpoint_latency_seconds",
                "Median time of an endpoint's recent answers",
            ),
            &labels,
        );
        EndpointFamilies {
            state: gauges(
                registry,
                "endpoint_state",
                "0 another chain, 1 left alone, 2 degraded, 3 ok",
                &labels,
            ),
            head: gauges(
                registry,
                "endpoint_head_block",
                "Highest block an endpoint reported",
                &labels,
            ),
            latency: kept(registry, latency),
            requests: counters(
                registry,
                "endpoint_requests_total",
                "Requests sent to an endpoint",
                &labels,
            ),
            failures: counters(
                registry,
                "endpoint_failures_total",
                "Requests an endpoint failed",
                &labels,
            ),
            lies: counters(
                registry,
                "endpoint_lies_total",
                "Answers of an endpoint that failed a check",
                &labels,
            ),
        }
    }
}

/// Removes from a family what belongs to other chains than those `kept`.
fn keep<B: MetricVecBuilder>(family: &MetricVec<B>, kept: &BTreeSet<String>) {
    let families = family.collect();
    for metric in families.iter().flat_map(|family| family.get_metric()) {
        let labels: HashMap<&str, &str> = metric
            .get_label()
            .iter()
            .map(|label| (label.name(), label.value()))
            .collect();
        if labels.get("chain").is_some_and(|chain| !kept.contains(*chain)) {
            // Another call may have removed it already.
            drop(family.remove(&labels));
        }
    }
}

/// Raises a counter to a total kept elsewhere. A total below the counter began anew, and so does the counter.
fn raise(counter: &IntCounter, total: u64) {
    if total < counter.get() {
        counter.reset();
    }
    counter.inc_by(total - counter.get());
}

impl ChainFamilies {
    fn register(registry: &Registry) -> Self {
        let chain = ["chain"];
        ChainFamilies {
            stored: StoredFamilies::register(registry),
            events: counters(registry, "events_total", "Events applied, by kind", &["chain", "kind"]),
            blocks: counters(registry, "blocks_applied_total", "Blocks applied", &chain),
            reorgs: counters(
                registry,
                "reorgs_total",
                "Times the chain left a branch that was applied",
                &chain,
            ),
            rewound_blocks: counters(registry, "rewound_blocks_total", "Blocks undone", &chain),
            faults: counters(
                registry,
                "faults_total",
                "Logs refused by a decoder",
                &["chain", "source", "reason"],
            ),
            commit_seconds: seconds(registry, "commit_seconds", "Time one span's transaction took", &chain),
            fetch_seconds: seconds(
                registry,
                "fetch_seconds",
                "Time one span took to read and check",
                &chain,
            ),
            archive_seconds: seconds(
                registry,
                "archive_seconds",
                "Time the raw events of one span took to be archived",
                &chain,
            ),
            archive_writes: counters(
                registry,
                "archive_writes_total",
                "Raw events written to the archive",
                &chain,
            ),
            transactions: counters(
                registry,
                "transactions_fetched_total",
                "Transactions read because a decoder wants more than their logs",
                &chain,
            ),
            calls: counters(
                registry,
                "contract_calls_total",
                "Questions to contracts that a decoder wants answered",
                &chain,
            ),
            receipts: counters(
                registry,
                "receipts_fetched_total",
                "Receipts of single transactions read for the sales in them",
                &chain,
            ),
        }
    }
}

impl StoredFamilies {
    fn register(registry: &Registry) -> Self {
        let chain = ["chain"];
        let seconds = |name, help| kept(registry, GaugeVec::new(opts(name, help), &chain));
        StoredFamilies {
            head: gauges(
                registry,
                "head_block",
                "Highest block that endpoints were last seen to have",
                &chain,
            ),
            checkpoint: gauges(registry, "checkpoint_block", "Block the follower stands on", &chain),
            finalized: gauges(
                registry,
                "finalized_block",
                "Highest block that cannot be undone",
                &chain,
            ),
            lag_blocks: gauges(registry, "lag_blocks", "Head minus checkpoint", &chain),
            lag_seconds: seconds("lag_seconds", "Age of the checkpoint's block"),
            observed_seconds: seconds("head_observed_seconds", "Time since a head was last stored"),
            outbox_depth: gauges(registry, "outbox_depth", "Messages not published yet", &chain),
        }
    }
}

impl StoredFamilies {
    /// Shows no chain any more.
    fn forget(&self) {
        for heights in [
            &self.head,
            &self.checkpoint,
            &self.finalized,
            &self.lag_blocks,
            &self.outbox_depth,
        ] {
            heights.reset();
        }
        for seconds in [&self.lag_seconds, &self.observed_seconds] {
            seconds.reset();
        }
    }
}

/// Seconds from `since` to `now`; zero where clocks disagree.
fn seconds_between(since: DateTime<Utc>, now: DateTime<Utc>) -> f64 {
    (now - since).to_std().unwrap_or_default().as_secs_f64()
}

/// A height as a gauge holds it.
/// An endpoint's label: its id in the registry, or `rpc-1` for the first that the command line names, which has a number below zero.
fn label(id: i32) -> String {
    if id < 0 { format!("rpc{id}") } else { id.to_string() }
}

fn gauge(height: u64) -> i64 {
    i64::try_from(height).unwrap_or(i64::MAX)
}

fn opts(name: &str, help: &str) -> Opts {
    Opts::new(name, help).namespace("indexer")
}

fn gauges(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
    kept(registry, IntGaugeVec::new(opts(name, help), labels))
}

fn counters(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
    kept(registry, IntCounterVec::new(opts(name, help), labels))
}

fn seconds(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> HistogramVec {
    let opts = HistogramOpts::new(name, help)
        .namespace("indexer")
        .buckets(SECONDS.to_vec());
    kept(registry, HistogramVec::new(opts, labels))
}

/// Registers a collector and keeps a handle on it.
fn kept<C: Collector + Clone + 'static>(registry: &Registry, made: prometheus::Result<C>) -> C {
    let collector = made.expect("names and labels of metrics are constants a test has seen to be valid");
    registry
        .register(Box::new(collector.clone()))
        .expect("every metric has a name of its own");
    collector
}
