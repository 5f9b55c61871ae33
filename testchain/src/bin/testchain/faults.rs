//! Faults by command line flags.

use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueEnum};
use testchain::faults::{Failure, Faults, LogFaults, Settings};
use testchain::limits::{BatchRefusal, Limits, Wording};

/// What the endpoint does wrong. Rates are probabilities from 0 to 1.
#[derive(Debug, Args)]
#[command(next_help_heading = "Faults")]
pub(crate) struct FaultArguments {
    /// Seed of every decision about faults.
    #[arg(long, default_value_t = 0)]
    fault_seed: u64,
    /// Milliseconds added to every answer.
    #[arg(long, value_name = "MS", default_value_t = 0)]
    latency_ms: u64,
    /// At most this many milliseconds more.
    #[arg(long, value_name = "MS", default_value_t = 0)]
    jitter_ms: u64,
    /// Requests answered with an internal error.
    #[arg(long, value_name = "RATE", value_parser = rate, allow_negative_numbers = true, default_value_t = 0.0)]
    error_rate: f64,
    /// Calls answered with an internal error, each on its own, also inside a batch.
    #[arg(long, value_name = "RATE", value_parser = rate, allow_negative_numbers = true, default_value_t = 0.0)]
    call_error_rate: f64,
    /// Answer every so-and-so-many-th request with an internal error.
    #[arg(long, value_name = "REQUESTS")]
    fail_every: Option<u64>,
    /// Answer this method with an internal error, always. May be repeated.
    #[arg(long, value_name = "METHOD")]
    failing_method: Vec<String>,
    /// Answer that this method does not exist. May be repeated.
    #[arg(long, value_name = "METHOD")]
    missing_method: Vec<String>,
    /// Answer the calls of a batch in another order.
    #[arg(long)]
    shuffle_batches: bool,
    /// Requests never answered.
    #[arg(long, value_name = "RATE", value_parser = rate, allow_negative_numbers = true, default_value_t = 0.0)]
    timeout_rate: f64,
    /// Requests answered with HTTP 429.
    #[arg(long, value_name = "RATE", value_parser = rate, allow_negative_numbers = true, default_value_t = 0.0)]
    too_many_requests_rate: f64,
    /// Requests answered with JSON-RPC error -32005.
    #[arg(long, value_name = "RATE", value_parser = rate, allow_negative_numbers = true, default_value_t = 0.0)]
    rate_limit_rate: f64,
    /// Requests answered with HTTP 503.
    #[arg(long, value_name = "RATE", value_parser = rate, allow_negative_numbers = true, default_value_t = 0.0)]
    server_error_rate: f64,
    /// Answers cut off in the middle.
    #[arg(long, value_name = "RATE", value_parser = rate, allow_negative_numbers = true, default_value_t = 0.0)]
    malformed_rate: f64,
    /// Calls per second before HTTP 429.
    #[arg(long, value_name = "CALLS")]
    calls_per_second: Option<u32>,
    /// Logs left out of eth_getLogs.
    #[arg(long, value_name = "RATE", value_parser = rate, allow_negative_numbers = true, default_value_t = 0.0)]
    missing_logs: f64,
    /// Logs altered in eth_getLogs.
    #[arg(long, value_name = "RATE", value_parser = rate, allow_negative_numbers = true, default_value_t = 0.0)]
    wrong_logs: f64,
    /// Logs left out of receipts.
    #[arg(long, value_name = "RATE", value_parser = rate, allow_negative_numbers = true, default_value_t = 0.0)]
    missing_receipt_logs: f64,
    /// eth_getLogs answers that come back empty.
    #[arg(long, value_name = "RATE", value_parser = rate, allow_negative_numbers = true, default_value_t = 0.0)]
    empty_logs: f64,
    /// Blocks to lag behind.
    #[arg(long, value_name = "BLOCKS", default_value_t = 0)]
    stale_by: u64,
    /// Stand on another branch from this height on.
    #[arg(long, value_name = "BLOCK")]
    branch_from: Option<u64>,
    /// Blocks answered with a wrong hash.
    #[arg(long, value_name = "RATE", value_parser = rate, allow_negative_numbers = true, default_value_t = 0.0)]
    wrong_hash: f64,
    /// Blocks answered with a wrong parent.
    #[arg(long, value_name = "RATE", value_parser = rate, allow_negative_numbers = true, default_value_t = 0.0)]
    wrong_parent: f64,
    /// Blocks answered with null.
    #[arg(long, value_name = "RATE", value_parser = rate, allow_negative_numbers = true, default_value_t = 0.0)]
    null_blocks: f64,
    /// Answers that may hold lies at all.
    #[arg(long, value_name = "RATE", value_parser = rate, allow_negative_numbers = true, default_value_t = 1.0)]
    lie_rate: f64,
    /// Chain id to claim.
    #[arg(long, value_name = "ID")]
    claim_chain_id: Option<u64>,
    /// Messages after which a WebSocket is dropped.
    #[arg(long, value_name = "RATE", value_parser = rate, allow_negative_numbers = true, default_value_t = 0.0)]
    socket_drop_rate: f64,
    /// Most blocks per eth_getLogs.
    #[arg(long, value_name = "BLOCKS")]
    max_block_range: Option<u64>,
    /// Most logs per eth_getLogs.
    #[arg(long, value_name = "LOGS")]
    max_results: Option<usize>,
    /// Most bytes of a request.
    #[arg(long, value_name = "BYTES")]
    max_body_bytes: Option<usize>,
    /// Most calls in a batch.
    #[arg(long, value_name = "CALLS")]
    max_batch: Option<usize>,
    /// How a longer batch is refused.
    #[arg(long, value_enum, default_value = "stated")]
    batch_refusal: BatchRefusal,
    /// Most addresses in the filter of one eth_getLogs.
    #[arg(long, value_name = "ADDRESSES")]
    max_addresses: Option<usize>,
    /// Most topics at one position of the filter of one eth_getLogs.
    #[arg(long, value_name = "TOPICS")]
    max_topics: Option<usize>,
    /// Whose words limits are refused in.
    #[arg(long, value_enum, default_value = "infura")]
    limit_wording: LimitWording,
}

/// A probability.
fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse().ok().filter(|rate| (0.0..=1.0).contains(rate));
    rate.ok_or_else(|| "a rate is a number from 0 to 1, such as 0.05 for one in twenty".to_owned())
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum LimitWording {
    Infura,
    Alchemy,
    Ankr,
    Quicknode,
    Reth,
    Cloudflare,
    Bsc,
    Tenderly,
    Timeout,
}

impl From<LimitWording> for Wording {
    fn from(wording: LimitWording) -> Self {
        match wording {
            LimitWording::Infura => Self::Infura,
            LimitWording::Alchemy => Self::Alchemy,
            LimitWording::Ankr => Self::Ankr,
            LimitWording::Quicknode => Self::QuickNode,
            LimitWording::Reth => Self::Reth,
            LimitWording::Cloudflare => Self::Cloudflare,
            LimitWording::Bsc => Self::Bsc,
            LimitWording::Tenderly => Self::Tenderly,
            LimitWording::Timeout => Self::Timeout,
        }
    }
}

impl FaultArguments {
    pub(crate) fn faults(&self) -> Arc<Faults> {
        let limits = Limits {
            wording: self.limit_wording.into(),
            block_range: self.max_block_range,
            results: self.max_results,
            response_bytes: None,
            body_bytes: self.max_body_bytes,
            batch: self.max_batch,
            batch_refusal: self.batch_refusal,
            addresses: self.max_addresses,
            topics: self.max_topics,
        };
        let settings = Settings {
            latency: Duration::from_millis(self.latency_ms),
            jitter: Duration::from_millis(self.jitter_ms),
            error_rate: self.error_rate,
            call_error_rate: self.call_error_rate,
            fail_every: self.fail_every.map(|every| (every, Failure::Internal)),
            failing_methods: self.failing_method.clone(),
            missing_methods: self.missing_method.clone(),
            shuffle_batches: self.shuffle_batches,
            timeout_rate: self.timeout_rate,
            too_many_requests_rate: self.too_many_requests_rate,
            rate_limit_rate: self.rate_limit_rate,
            server_error_rate: self.server_error_rate,
            malformed_rate: self.malformed_rate,
            calls_per_second: self.calls_per_second,
            limits,
            logs: LogFaults {
                missing_rate: self.missing_logs,
                wrong_rate: self.wrong_logs,
            },
            receipts: LogFaults {
                missing_rate: self.missing_receipt_logs,
                wrong_rate: 0.0,
            },
            empty_logs_rate: self.empty_logs,
            stale_by: self.stale_by,
            branch_from: self.branch_from,
            wrong_hash_rate: self.wrong_hash,
            wrong_parent_rate: self.wrong_parent,
            null_block_rate: self.null_blocks,
            lie_rate: self.lie_rate,
            chain_id: self.claim_chain_id,
            socket_drop_rate: self.socket_drop_rate,
            ..Settings::default()
        };
        Faults::with(self.fault_seed, settings)
    }
}
