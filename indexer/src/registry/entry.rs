//! What the registry states of a chain: its rows as values.

use alloy_primitives::Address;
use decoders::block::{ChainId, Proof};
use serde::{Deserialize, Serialize};

use crate::config::{AuthType, EndpointUrl, HeaderHash, Scope};

/// One chain: a row of `chains`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Chain {
    /// Row id, which endpoints and contracts refer to; zero before it is added.
    pub id: i32,
    /// The chain.
    pub chain: ChainId,
    /// Display name.
    pub name: String,
    /// Symbol of the native currency.
    pub native_symbol: String,
    /// Decimals of the native currency.
    pub decimals: i32,
    /// Block explorer.
    pub explorer_url: Option<String>,
    /// Whether daemons follow it.
    pub enabled: bool,
    /// Lowest block wanted.
    pub start_block: u64,
    /// Which logs are followed.
    pub scope: Scope,
    /// What the daemon needs beside the columns.
    pub settings: ChainSettings,
}

/// The daemon's part of `chains.features_json`; keys of other services are left alone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ChainSettings {
    /// Whether header hashes can be recomputed.
    pub header_hash: HeaderHash,
    /// Check of blocks at the head, when it differs from the daemon's.
    pub head_proof: Option<Proof>,
    /// Check of final blocks, when it differs from the daemon's.
    pub backfill_proof: Option<Proof>,
    /// Blocks behind the head that count as final, where nodes serve no `finalized` tag.
    pub finality_depth: Option<u64>,
    /// How often a new head is looked for where no WebSocket announces it.
    pub poll_interval_ms: u64,
}

impl Default for ChainSettings {
    fn default() -> Self {
        let header_hash = HeaderHash::Auto;
        ChainSettings {
            header_hash,
            head_proof: None,
            backfill_proof: None,
            finality_depth: None,
            poll_interval_ms: 2_000,
        }
    }
}

/// One place a chain is read: a row of `chain_endpoints`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Endpoint {
    /// Row id; zero before it is added.
    pub id: i32,
    /// The chain.
    pub chain: ChainId,
    /// The URL as written; its variables are replaced where the daemon connects.
    pub url: EndpointUrl,
    /// Lower is asked first.
    pub priority: i32,
    /// Share of the calls among equal priorities.
    pub weight: i32,
    /// Requests per second.
    pub rate_limit: Option<i32>,
    /// Where the URL keeps its secret.
    pub auth_type: AuthType,
    /// Whether it is asked at all.
    pub active: bool,
}

/// One contract with a name, an ABI or a source of its own: a row of `chain_contracts`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Contract {
    /// The chain.
    pub chain: ChainId,
    /// Its address.
    pub address: Address,
    /// Display name.
    pub name: Option<String>,
    /// Standard it follows, such as `erc721`.
    pub standard: Option<String>,
    /// Block of its deployment, or the lowest one of interest.
    pub start_block: u64,
    /// Key of its ABI in `abi_blobs`.
    pub abi_sha256: Option<String>,
    /// Implementation behind a proxy.
    pub impl_address: Option<Address>,
}

/// What transactions on a chain may pay: a row of `chain_gas_policy`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct GasPolicy {
    /// Highest fee per gas, in gwei.
    pub max_fee_gwei: Option<f64>,
    /// Priority fee per gas, in gwei.
    pub priority_fee_gwei: Option<f64>,
    /// Factor on the last base fee.
    pub multiplier: f64,
    /// Base fee of the newest block seen, in gwei.
    pub last_observed_base_fee_gwei: Option<f64>,
}

/// One line of `abi_blobs`, without the ABI itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AbiBlob {
    /// Key.
    pub sha256: String,
    /// Length of the canonical JSON.
    pub size_bytes: i32,
    /// Contract the ABI was made for.
    pub contract_name: Option<String>,
    /// Standard it describes.
    pub standard: Option<String>,
    /// Contracts that use it.
    pub contracts: i64,
}

/// Everything the registry states about one chain, read at one moment.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ChainEntry {
    /// The chain.
    pub chain: Chain,
    /// All its endpoints, the inactive ones too, those asked first in front.
    pub endpoints: Vec<Endpoint>,
    /// Its contracts by address.
    pub contracts: Vec<Contract>,
    /// Its gas policy.
    pub gas_policy: Option<GasPolicy>,
    /// Beacons that its contracts ask for their implementation.
    pub beacons: Vec<Address>,
}

impl ChainEntry {
    /// The contracts whose every log is archived and read by a stored ABI: those with an ABI of their own or behind them, and
    /// the beacons they ask.
    pub fn followed(&self) -> Vec<Followed> {
        let has_abi = |contract: &&Contract| {
            let is_proxy = contract.impl_address.is_some() || contract.standard.as_deref() == Some("proxy");
            contract.abi_sha256.is_some() || is_proxy
        };
        let contracts = self.contracts.iter().filter(has_abi).map(|contract| Followed {
            address: contract.address,
            from: contract.start_block,
        });
        let mut followed: Vec<Followed> = contracts.collect();
        for beacon in &self.beacons {
            if followed.iter().all(|known| known.address != *beacon) {
                // It may have named an implementation long before anyone asked it.
                followed.push(Followed {
                    address: *beacon,
                    from: 0,
                });
            }
        }
        followed.sort_unstable();
        followed
    }
}

/// A contract whose every log is archived and read by stored ABIs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Followed {
    /// The contract.
    pub address: Address,
    /// The lowest block of interest.
    pub from: u64,
}
