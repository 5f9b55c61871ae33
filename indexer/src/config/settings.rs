//! The file's sections and keys, and what each is where the file leaves it out.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use decoders::block::Proof;
use serde::{Deserialize, Serialize};
use sinks::publisher::Unroutable;

use super::chain::ChainConfig;
use super::value::{self, DatabaseUrl, ServiceUrl};

/// Full spans that may wait for a writer of a backfill, for each of them.
pub const SPANS_AHEAD: usize = 3;

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
    /// The file it was read from; none where defaults stand for one.
    #[serde(skip)]
    pub file: Option<PathBuf>,
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
    /// Spans applied at once by a backfill; others are read meanwhile.
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
    /// How many logs, and as many facts again, one span may hold: the head and every worker have one, and some wait for each worker.
    pub fn span_rows(&self) -> u64 {
        let workers = u64::from(self.backfill_workers);
        let shares = 2 * (workers + 1) + workers * SPANS_AHEAD as u64;
        (self.max_logs_held / shares).max(1)
    }
}

impl Config {
    /// `path` as the file means it: relative paths start from the file's folder.
    pub fn resolve(&self, path: &Path) -> PathBuf {
        let folder = self.file.as_deref().and_then(Path::parent);
        folder.unwrap_or(Path::new("")).join(path)
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
