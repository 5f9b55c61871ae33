//! A simulated chain behind several endpoints, each with faults of its own.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::{B256, b256};
use decoders::block::{BlockRef, ChainId, Log};
use rpc::{EndpointError, EndpointHealth, EndpointSettings, Filter, HeaderHash, Pool, PoolOptions};
use testchain::faults::{Faults, Settings as FaultSettings};
use testchain::ledger::{Finality, Ledger};
use testchain::server::{Server, serve};
use testchain::simulation::{Settings, Simulation};
use tokio_util::sync::CancellationToken;

pub(crate) const TRANSFER: B256 = b256!("ddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef");
pub(crate) const SINGLE: B256 = b256!("c3d58168c5ae7397731d063d5bbf3d657854427343f4c083240f7aacaa2d0f62");
pub(crate) const BATCH: B256 = b256!("4a39dc06d4c0dbc64b70af90fd698a233a518aa5d07e595d983b8c0526c8f7fb");

/// Any free port of this machine.
pub(crate) const LOOPBACK: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// The endpoints of one chain.
pub(crate) struct World {
    pub(crate) ledger: Ledger,
    pub(crate) simulation: Simulation,
    pub(crate) servers: Vec<(Server, Arc<Faults>)>,
}

impl World {
    /// A simulated chain of `blocks` blocks behind `endpoints` faultless endpoints.
    pub(crate) async fn new(blocks: u64, endpoints: usize) -> Self {
        // `RUST_LOG=rpc=debug` shows what the pool does when a test fails.
        let filter = tracing_subscriber::EnvFilter::from_default_env();
        tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_test_writer()
            .try_init()
            .ok();
        World::of(Settings::small(7), blocks, endpoints).await
    }

    /// The same, made from these settings.
    pub(crate) async fn of(settings: Settings, blocks: u64, endpoints: usize) -> Self {
        let mut simulation = Simulation::new(settings);
        let finality = Finality {
            safe_depth: 2,
            finalized_depth: 4,
        };
        let ledger = Ledger::new(1, simulation.blocks(blocks), finality);
        let mut world = World {
            ledger,
            simulation,
            servers: Vec::new(),
        };
        for _ in 0..endpoints {
            world.add(FaultSettings::default()).await;
        }
        world
    }

    /// One more endpoint.
    pub(crate) async fn add(&mut self, settings: FaultSettings) -> Arc<Faults> {
        let faults = Faults::with(self.servers.len() as u64 + 1, settings);
        let server = serve(self.ledger.clone(), faults.clone(), LOOPBACK)
            .await
            .expect("a free port");
        self.servers.push((server, faults.clone()));
        faults
    }

    pub(crate) fn change(&self, endpoint: usize, edit: impl FnOnce(&mut FaultSettings)) {
        self.servers[endpoint].1.change(edit);
    }

    /// Settings of the endpoints, all of one class.
    pub(crate) fn settings(&self) -> Vec<EndpointSettings> {
        let settings = |(id, (server, _)): (usize, &(Server, Arc<Faults>))| setting(id as i32, &server.http_url());
        self.servers.iter().enumerate().map(settings).collect()
    }

    pub(crate) async fn pool(&self) -> Pool {
        self.pool_with(|_| {}).await.expect("a healthy endpoint")
    }

    pub(crate) async fn pool_with(&self, edit: impl FnOnce(&mut PoolOptions)) -> Result<Pool, EndpointError> {
        let mut options = options();
        edit(&mut options);
        Pool::connect(ChainId(1), self.settings(), options, CancellationToken::new()).await
    }

    /// What a faultless reader would find.
    pub(crate) fn truth(&self, range: RangeInclusive<u64>, filter: &Filter) -> Vec<Log> {
        let mut logs = Vec::new();
        for block in self.ledger.range(*range.start(), *range.end()) {
            for (place, receipt) in block.receipts.iter().enumerate() {
                for log in &receipt.logs {
                    let wanted =
                        filter.topics.is_empty() || log.topics.first().is_some_and(|t| filter.topics.contains(t));
                    if wanted && (filter.addresses.is_empty() || filter.addresses.contains(&log.address)) {
                        logs.push(Log {
                            block_number: block.number,
                            log_index: log.log_index,
                            tx_index: place as u32,
                            tx_hash: block.transactions[place].hash,
                            address: log.address,
                            topics: log.topics.iter().copied().collect(),
                            data: log.data.clone(),
                        });
                    }
                }
            }
        }
        logs
    }
}

/// Longer than any test.
pub(crate) const FOREVER: Duration = Duration::from_secs(3_600);
/// How long anything may take on a loaded machine before a test gives up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(100);

pub(crate) fn reference(block: &testchain::block::Block) -> BlockRef {
    BlockRef {
        number: block.number,
        hash: block.hash,
    }
}

pub(crate) fn options() -> PoolOptions {
    PoolOptions {
        header_hash: HeaderHash::Ethereum,
        // Longer than any answer takes on a loaded machine: tests of time-outs choose shorter ones.
        request_timeout: Duration::from_secs(20),
        logs_timeout: Duration::from_secs(20),
        poll_interval: Duration::from_millis(50),
        rounds: 4,
        ..PoolOptions::default()
    }
}

pub(crate) fn setting(id: i32, url: &str) -> EndpointSettings {
    EndpointSettings {
        id,
        url: url.parse().expect("a URL"),
        priority: 0,
        weight: 1,
        rate_limit: None,
    }
}

pub(crate) fn nft() -> Filter {
    Filter {
        topics: vec![TRANSFER, SINGLE, BATCH],
        ..Filter::default()
    }
}

pub(crate) fn health(pool: &Pool, id: i32) -> EndpointHealth {
    pool.health()
        .into_iter()
        .find(|health| health.id == id)
        .expect("an endpoint of the pool")
}
