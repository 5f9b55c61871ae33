//! `config.toml`: what one daemon is configured with before it opens a socket.
//!
//! The committed file names every key; unknown keys and values out of range end the process with the file and the line.
//! The chains in it only seed the registry tables, which are the truth afterwards.

mod endpoint_url;
mod load;
mod value;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use decoders::block::{ChainId, Proof};
use serde::{Deserialize, Serialize};
use sinks::publisher::Unroutable;

pub use endpoint_url::{EndpointUrl, EndpointUrlError};
pub use load::{ARCHIVE_VARIABLE, BROKER_VARIABLE, DATABASE_VARIABLE, Environment};
pub use value::{DatabaseUrl, Service, ServiceUrl, check_name};

/// A whole configuration; every key has a default except what names a chain.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where the tables are.
    pub database: DatabaseConfig,
    /// Where raw events are.
    pub archive: ArchiveConfig,
    /// Where messages go.
    pub broker: BrokerConfig,
    /// The HTTP server for the API, health and metrics.
    pub api: ApiConfig,
    /// What is logged and how.
    pub log: LogConfig,
    /// Bounds and levels of the way from endpoint to tables.
    pub pipeline: PipelineConfig,
    /// Chains to seed the registry with.
    pub chains: Vec<ChainConfig>,
    /// Folder of the file, which relative paths in it start from.
    #[serde(skip)]
    folder: PathBuf,
}

/// `[database]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DatabaseConfig {
    /// `embedded`, or the URL of a PostgreSQL server.
    pub url: DatabaseUrl,
    /// Folder of the embedded database.
    pub data_dir: PathBuf,
    /// Connections of the pool; the embedded database always has one.
    #[serde(deserialize_with = "value::within::<_, _, 1, 100>")]
    pub max_connections: u32,
    /// How long to wait for a server that does not answer yet.
    #[serde(deserialize_with = "value::within::<_, _, 0, 600_000>")]
    pub connect_timeout_ms: u64,
}

/// `[archive]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ArchiveConfig {
    /// A MongoDB URL; without one raw events go to a PostgreSQL table.
    #[serde(deserialize_with = "value::mongodb", serialize_with = "value::show_optional")]
    pub url: Option<ServiceUrl>,
    /// MongoDB database name.
    #[serde(deserialize_with = "value::name")]
    pub database: String,
}

/// `[broker]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BrokerConfig {
    /// A RabbitMQ URL; without one the outbox is kept.
    #[serde(deserialize_with = "value::amqp", serialize_with = "value::show_optional")]
    pub url: Option<ServiceUrl>,
    /// Topic exchange that messages are published to.
    #[serde(deserialize_with = "value::name")]
    pub exchange: String,
    /// What to do with a message that no queue asks for: `hold` or `drop`.
    pub unroutable: Unroutable,
    /// How long messages are kept in the outbox while there is no broker; zero keeps them for good.
    pub retention_hours: u32,
}

impl BrokerConfig {
    /// How long messages are kept while there is no broker, in words; nothing with one, which has them all.
    pub fn retention(&self) -> Option<String> {
        match (&self.url, self.retention_hours) {
            (Some(_), _) => None,
            (None, 0) => Some("kept in the outbox for good".to_owned()),
            (None, hours) => Some(format!("kept in the outbox for {hours} h")),
        }
    }
}

/// `[api]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ApiConfig {
    /// Address and port to listen on; port 0 takes a free one.
    #[serde(deserialize_with = "value::listen")]
    pub listen: SocketAddr,
    /// Database connections that requests read through; on the embedded database they take turns on the one there is.
    #[serde(deserialize_with = "value::within::<_, _, 1, 100>")]
    pub max_connections: u32,
    /// Requests answered at once, those that wait for a connection included; further ones get 503.
    #[serde(deserialize_with = "value::within::<_, _, 1, 10_000>")]
    pub max_requests: u32,
    /// How long a request may take.
    #[serde(deserialize_with = "value::within::<_, _, 100, 600_000>")]
    pub request_timeout_ms: u64,
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Human,
    /// One JSON object per line.
    Json,
}

/// `[log]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogConfig {
    /// Filter directives such as `info` or `warn,indexer::follower=debug`.
    #[serde(deserialize_with = "value::log_level")]
    pub level: String,
    /// Human or JSON.
    pub format: LogFormat,
}

/// `[pipeline]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PipelineConfig {
    /// Logs held in memory at once, over all workers of one chain.
    #[serde(deserialize_with = "value::within::<_, _, 1_000, 100_000_000>")]
    pub max_logs_held: u64,
    /// Spans fetched and applied at once by a backfill.
    #[serde(deserialize_with = "value::within::<_, _, 1, 64>")]
    pub backfill_workers: u32,
    /// Check of blocks at the head.
    pub integrity_head: Proof,
    /// Check of final blocks.
    pub integrity_backfill: Proof,
    /// Whether the daemon fills coverage gaps while it follows the head.
    pub fill_gaps: bool,
    /// How long a silent daemon keeps its chains before another takes them.
    #[serde(deserialize_with = "value::within::<_, _, 1_000, 600_000>")]
    pub lease_ttl_ms: u64,
    /// How long a stopping daemon may take to finish what it has begun.
    #[serde(deserialize_with = "value::within::<_, _, 100, 600_000>")]
    pub stop_deadline_ms: u64,
}

impl PipelineConfig {
    /// How many logs, and as many facts again, one span may hold: the head and every worker have one.
    pub fn span_rows(&self) -> u64 {
        let spans = u64::from(self.backfill_workers) + 1;
        (self.max_logs_held / spans / 2).max(1)
    }
}

/// Which logs of a chain are followed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Everything the decoders know.
    #[default]
    All,
    /// Only the registered contracts.
    Contracts,
}

/// Whether a chain's header hashes can be recomputed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum HeaderHash {
    /// Found out from the first header.
    #[default]
    Auto,
    /// Headers follow Ethereum's rules.
    Ethereum,
    /// They do not; nothing stronger than `chained` is ever proven.
    Opaque,
}

/// `[[chains]]`: one chain to seed the registry with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChainConfig {
    /// CAIP-2 name, such as `eip155:1`.
    pub caip2: ChainId,
    /// Display name.
    #[serde(deserialize_with = "value::name")]
    pub name: String,
    /// Symbol of the native currency.
    #[serde(deserialize_with = "value::name")]
    pub native_symbol: String,
    /// Decimals of the native currency.
    #[serde(default = "eighteen", deserialize_with = "value::within::<_, _, 0, 77>")]
    pub decimals: u8,
    /// Block explorer.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "value::page")]
    pub explorer_url: Option<url::Url>,
    /// Whether the daemon follows the chain.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Lowest block wanted.
    #[serde(default, deserialize_with = "value::within::<_, _, 0, { decoders::id::MAX_BLOCK }>")]
    pub start_block: u64,
    /// Which logs are followed.
    #[serde(default)]
    pub scope: Scope,
    /// Blocks behind the head that count as final, for chains whose nodes serve no `finalized` tag.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "value::some_within::<_, _, 0, { decoders::id::MAX_BLOCK }>"
    )]
    pub finality_depth: Option<u64>,
    /// Check of blocks at the head, when it differs from `[pipeline]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub integrity_head: Option<Proof>,
    /// Check of final blocks, when it differs from `[pipeline]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub integrity_backfill: Option<Proof>,
    /// Whether header hashes can be recomputed.
    #[serde(default)]
    pub header_hash: HeaderHash,
    /// How often a new head is looked for where no WebSocket announces it.
    #[serde(default = "two_seconds", deserialize_with = "value::within::<_, _, 50, 600_000>")]
    pub poll_interval_ms: u64,
    /// What transactions on the chain may pay, for the services that send them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gas_policy: Option<GasPolicyConfig>,
    /// Where the chain is read from.
    #[serde(default)]
    pub endpoints: Vec<EndpointConfig>,
    /// Contracts worth a name, an ABI or a source of their own.
    #[serde(default)]
    pub contracts: Vec<ContractConfig>,
    /// What prices are stated in beside the native currency.
    #[serde(default)]
    pub currencies: Vec<CurrencyConfig>,
}

/// `[chains.gas_policy]`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GasPolicyConfig {
    /// Highest fee per gas, in gwei.
    #[serde(deserialize_with = "value::positive")]
    pub max_fee_gwei: f64,
    /// Priority fee per gas, in gwei.
    #[serde(deserialize_with = "value::positive")]
    pub priority_fee_gwei: f64,
    /// Factor on the last base fee.
    #[serde(deserialize_with = "value::positive")]
    pub multiplier: f64,
}

/// `[[chains.endpoints]]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EndpointConfig {
    /// HTTP or WebSocket URL; `${NAME}` stands for an environment variable.
    pub url: EndpointUrl,
    /// Lower is asked first.
    #[serde(default)]
    pub priority: u16,
    /// Share of the calls among endpoints of equal priority.
    #[serde(default = "one", deserialize_with = "value::within::<_, _, 1, 1_000>")]
    pub weight: u16,
    /// Requests per second.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "value::some_within::<_, _, 1, 1_000_000>"
    )]
    pub rate_limit: Option<u32>,
    /// Where the URL keeps its secret.
    #[serde(default)]
    pub auth_type: AuthType,
}

/// Where an endpoint's URL keeps its secret.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum AuthType {
    /// It has none.
    #[default]
    None,
    /// A key in the path or query.
    Url,
    /// User and password before the host.
    Basic,
}

/// `[[chains.contracts]]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContractConfig {
    /// Display name.
    #[serde(deserialize_with = "value::name")]
    pub name: String,
    /// Contract address.
    #[serde(deserialize_with = "value::address")]
    pub address: alloy_primitives::Address,
    /// Standard it follows, such as `erc721`.
    #[serde(deserialize_with = "value::standard")]
    pub standard: String,
    /// Block of its deployment, or the lowest one of interest.
    #[serde(default, deserialize_with = "value::within::<_, _, 0, { decoders::id::MAX_BLOCK }>")]
    pub start_block: u64,
    /// ABI as a JSON file, relative to the configuration file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub abi: Option<PathBuf>,
}

/// `[[chains.currencies]]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CurrencyConfig {
    /// Symbol, such as `WETH`.
    #[serde(deserialize_with = "value::name")]
    pub symbol: String,
    /// The ERC-20 contract.
    #[serde(deserialize_with = "value::address")]
    pub address: alloy_primitives::Address,
    /// Digits after the point of one whole unit.
    #[serde(deserialize_with = "value::within::<_, _, 0, 77>")]
    pub decimals: u8,
    /// Whether one of it is worth one of the native currency.
    #[serde(default)]
    pub pegged: bool,
}

impl Config {
    /// `path` as the file means it: relative paths start from the file's folder.
    pub fn resolve(&self, path: &Path) -> PathBuf {
        self.folder.join(path)
    }
}

impl Default for DatabaseConfig {
    fn default() -> Self {
        let (url, data_dir) = (DatabaseUrl::Embedded, PathBuf::from("data/postgres"));
        DatabaseConfig {
            url,
            data_dir,
            max_connections: 8,
            connect_timeout_ms: 5_000,
        }
    }
}

impl Default for ArchiveConfig {
    fn default() -> Self {
        ArchiveConfig {
            url: None,
            database: "indexer".to_owned(),
        }
    }
}

impl Default for BrokerConfig {
    fn default() -> Self {
        BrokerConfig {
            url: None,
            exchange: "indexer.events".to_owned(),
            unroutable: Unroutable::default(),
            retention_hours: 168,
        }
    }
}

impl Default for ApiConfig {
    fn default() -> Self {
        ApiConfig {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            max_connections: 4,
            max_requests: 64,
            request_timeout_ms: 5_000,
        }
    }
}

impl Default for LogConfig {
    fn default() -> Self {
        LogConfig {
            level: "info".to_owned(),
            format: LogFormat::Human,
        }
    }
}

impl Default for PipelineConfig {
    fn default() -> Self {
        PipelineConfig {
            max_logs_held: 200_000,
            backfill_workers: 2,
            integrity_head: Proof::Receipts,
            integrity_backfill: Proof::Bloom,
            fill_gaps: true,
            lease_ttl_ms: 10_000,
            stop_deadline_ms: 20_000,
        }
    }
}

fn eighteen() -> u8 {
    18
}

fn yes() -> bool {
    true
}

fn one() -> u16 {
    1
}

fn two_seconds() -> u64 {
    2_000
}
