//! From a chain's registry entry and the configuration to the parts that read and follow it.

use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::Address;
use sinks::progress::coverage::Wanted;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::config::{self, Config, EndpointUrl, Scope};
use crate::error::{Error, Exit, Failure};
use crate::follower::FollowerSettings;
use crate::health::Metrics;
use crate::pipeline::{self, Pipeline};
use crate::registry::ChainEntry;
use crate::stored::Interpreter;
use crate::stores::Stores;
use rpc::{EndpointHealth, EndpointSettings, Filter, Heads, Pool, PoolOptions};

/// Blocks below the head that count as final where neither the chain nor the registry states it.
const DEFAULT_FINALITY_DEPTH: u64 = 64;
/// A head that stands still for this long is a stall.
const STALL_AFTER: Duration = Duration::from_secs(120);

/// Time an endpoint has to answer `indexer status`.
const PROBE_TIMEOUT: Duration = Duration::from_secs(3);

/// One chain's registry entry, and what the command line states instead of it.
#[derive(Clone, Debug)]
pub struct Assignment {
    /// What the registry states.
    pub entry: ChainEntry,
    /// Endpoints that replace the registry's for this run.
    pub endpoints: Vec<EndpointUrl>,
    /// Stop once this block is reached.
    pub until: Option<u64>,
}

impl Assignment {
    /// Endpoints to read from.
    ///
    /// # Errors
    /// A chain without a usable endpoint, or a URL whose variable is not set.
    pub fn endpoint_settings(&self) -> Result<Vec<EndpointSettings>, Failure> {
        let chain = self.entry.chain.chain;
        let settings: Vec<EndpointSettings> = if self.endpoints.is_empty() {
            let active = self.entry.endpoints.iter().filter(|endpoint| endpoint.active);
            active.map(registered).collect::<Result<_, Failure>>()?
        } else {
            listed(&self.endpoints)?
        };
        if settings.is_empty() {
            let message = format!(
                "{chain} has no active endpoint: add one with `indexer registry endpoints add`, or give --rpc URL"
            );
            return Err(Failure::new(Exit::Endpoint, message));
        }
        Ok(settings)
    }

    /// Which logs the chain's scope asks for.
    ///
    /// # Errors
    /// A chain that follows only registered contracts and has none.
    pub fn filter(&self) -> Result<Filter, Failure> {
        let addresses = self.contracts();
        if self.entry.chain.scope == Scope::Contracts && addresses.is_empty() {
            let chain = self.entry.chain.chain;
            let message = format!(
                "{chain} follows its registered contracts and has none: add one with `indexer registry contracts add`"
            );
            return Err(Failure::new(Exit::Registry, message));
        }
        Ok(Filter {
            whole: self.entry.followed().iter().map(|followed| followed.address).collect(),
            ..pipeline::filter_of(self.entry.chain.chain, addresses)
        })
    }

    /// The contracts the chain is read for; empty when it is read for all.
    pub fn contracts(&self) -> Vec<Address> {
        match self.entry.chain.scope {
            Scope::All => Vec::new(),
            Scope::Contracts => self.entry.contracts.iter().map(|contract| contract.address).collect(),
        }
    }

    /// What coverage is to be complete of: a contract registered later is a gap of its own.
    pub fn wanted(&self) -> Vec<Wanted> {
        match self.entry.chain.scope {
            Scope::All => pipeline::everything(),
            Scope::Contracts => {
                let contracts = self.entry.contracts.iter();
                contracts
                    .map(|contract| pipeline::wanted(&contract.address, contract.start_block))
                    .collect()
            }
        }
    }

    fn pool_options(&self, config: &Config) -> PoolOptions {
        let settings = &self.entry.chain.settings;
        PoolOptions {
            header_hash: match settings.header_hash {
                config::HeaderHash::Auto => rpc::HeaderHash::Auto,
                config::HeaderHash::Ethereum => rpc::HeaderHash::Ethereum,
                config::HeaderHash::Opaque => rpc::HeaderHash::Opaque,
            },
            poll_interval: Duration::from_millis(settings.poll_interval_ms),
            span_logs: config.pipeline.span_rows(),
            ..PoolOptions::of(self.entry.chain.chain)
        }
    }

    /// How the head is followed.
    pub fn follower_settings(&self, config: &Config) -> FollowerSettings {
        let settings = &self.entry.chain.settings;
        FollowerSettings {
            start_block: self.entry.chain.start_block,
            finality_depth: settings.finality_depth.unwrap_or(DEFAULT_FINALITY_DEPTH),
            proof: settings.head_proof.unwrap_or(config.pipeline.integrity_head),
            lease_ttl: Duration::from_millis(config.pipeline.lease_ttl_ms),
            stall_after: STALL_AFTER,
            until: self.until,
        }
    }

    /// Asks every endpoint of the chain once, quickly, and reports how each stands.
    ///
    /// # Errors
    /// No endpoint answers, or they serve another chain.
    pub async fn probe(
        &self,
        config: &Config,
        cancel: &CancellationToken,
    ) -> Result<(Heads, Vec<EndpointHealth>), Failure> {
        let options = PoolOptions {
            rounds: 1,
            hedge: false,
            request_timeout: PROBE_TIMEOUT,
            ..self.pool_options(config)
        };
        let pool = Pool::connect(
            self.entry.chain.chain,
            self.endpoint_settings()?,
            options,
            cancel.clone(),
        );
        let pool = pool.await.map_err(Error::from)?;
        let heads = pool.heads().await.map_err(Error::from)?;
        Ok((heads, pool.health()))
    }

    /// The reader of the chain's contracts with stored ABIs.
    pub fn interpreter(&self, stores: &Stores) -> Arc<Interpreter> {
        let (store, archive) = (stores.database.store.clone(), Arc::clone(&stores.archive));
        Arc::new(Interpreter::new(
            self.entry.chain.chain,
            store,
            archive,
            self.entry.followed(),
        ))
    }

    /// Connects the chain's endpoints.
    ///
    /// # Errors
    /// No endpoint answers, or they serve another chain.
    pub async fn pool(&self, config: &Config, cancel: &CancellationToken) -> Result<Pool, Failure> {
        let chain = self.entry.chain.chain;
        let options = self.pool_options(config);
        let pool = Pool::connect(chain, self.endpoint_settings()?, options, cancel.clone());
        Ok(pool.await.map_err(Error::from)?)
    }

    /// Connects the chain's endpoints and puts its parts together.
    ///
    /// # Errors
    /// No endpoint answers, or they serve another chain.
    pub async fn pipeline(
        &self,
        config: &Config,
        stores: &Stores,
        metrics: &Metrics,
        cancel: &CancellationToken,
    ) -> Result<Pipeline, Failure> {
        let chain = self.entry.chain.chain;
        let filter = Arc::new(self.filter()?);
        Ok(Pipeline {
            chain,
            endpoints: Arc::new(self.pool(config, cancel).await?),
            archive: Arc::clone(&stores.archive),
            store: stores.database.store.clone(),
            metrics: metrics.chain(chain),
            filter,
            wanted: self.wanted().into(),
            stored: self.interpreter(stores),
            committed: Arc::clone(&stores.committed),
            span_rows: usize::try_from(config.pipeline.span_rows()).unwrap_or(usize::MAX),
            held: Arc::default(),
        })
    }
}

/// Endpoints given on a command line: they are in no registry and equal to each other.
///
/// # Errors
/// A URL whose variable is not set.
pub fn listed(urls: &[EndpointUrl]) -> Result<Vec<EndpointSettings>, Failure> {
    let setting = |(index, url): (usize, &EndpointUrl)| {
        Ok(EndpointSettings {
            id: -1 - i32::try_from(index).unwrap_or(0),
            url: expanded(url)?,
            priority: 0,
            weight: 1,
            rate_limit: None,
        })
    };
    urls.iter().enumerate().map(setting).collect()
}

fn registered(endpoint: &crate::registry::Endpoint) -> Result<EndpointSettings, Failure> {
    Ok(EndpointSettings {
        id: endpoint.id,
        url: expanded(&endpoint.url)?,
        priority: endpoint.priority,
        weight: endpoint.weight,
        rate_limit: endpoint.rate_limit.and_then(|limit| u32::try_from(limit).ok()),
    })
}

fn expanded(url: &EndpointUrl) -> Result<Url, Failure> {
    url.expand(&|name| std::env::var(name).ok())
        .map_err(|error| Failure::new(Exit::Config, format!("endpoint {url}: {error}")))
}
