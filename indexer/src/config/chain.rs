//! `[[chains]]`: what seeds the registry.

use std::path::PathBuf;

use decoders::block::{ChainId, Proof};
use serde::{Deserialize, Serialize};

use super::endpoint_url::{AuthType, EndpointUrl};
use super::value;

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
