//! `config.toml`: what one daemon is configured with before it opens a socket.
//!
//! The committed file names every key; unknown keys and values out of range end the process with the file and the line.
//! The chains in it only seed the registry tables, which are the truth afterwards.

mod chain;
mod endpoint_url;
mod load;
mod settings;
mod value;

pub use chain::{ChainConfig, ContractConfig, CurrencyConfig, EndpointConfig, GasPolicyConfig, HeaderHash, Scope};
pub use endpoint_url::{AuthType, EndpointUrl, EndpointUrlError};
pub use load::{ARCHIVE_VARIABLE, BROKER_VARIABLE, DATABASE_VARIABLE, Environment};
pub use settings::{
    ApiConfig, ArchiveConfig, BrokerConfig, Config, DatabaseConfig, LogConfig, LogFormat, PipelineConfig, SPANS_AHEAD,
};
pub use value::{DatabaseUrl, Service, ServiceUrl, check_name, check_standard};
