//! A small simulated chain and a server over it.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use testchain::block::{Block, Log};
use testchain::faults::{Faults, Settings};
use testchain::ledger::{Finality, Ledger};
use testchain::server::{self, Server};
use testchain::simulation::{Settings as Traffic, Simulation};

use crate::client::Client;

pub(crate) const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
pub(crate) const FINALITY: Finality = Finality {
    safe_depth: 4,
    finalized_depth: 8,
};

/// A ledger of `blocks` simulated blocks, and what made it.
pub(crate) fn simulated(blocks: u64) -> (Simulation, Ledger) {
    let mut simulation = Simulation::new(Traffic::small(7));
    let ledger = Ledger::new(1, simulation.blocks(blocks), FINALITY);
    (simulation, ledger)
}

pub(crate) struct Endpoint {
    pub(crate) simulation: Simulation,
    pub(crate) ledger: Ledger,
    pub(crate) faults: Arc<Faults>,
    pub(crate) server: Server,
    pub(crate) client: Client,
}

/// A faultless endpoint over forty simulated blocks.
pub(crate) async fn endpoint() -> Endpoint {
    endpoint_with(Settings::default()).await
}

pub(crate) async fn endpoint_with(settings: Settings) -> Endpoint {
    let (simulation, ledger) = simulated(40);
    let faults = Faults::with(11, settings);
    let server = serve(&ledger, &faults).await;
    let client = Client::new(&server.http_url());
    Endpoint {
        simulation,
        ledger,
        faults,
        server,
        client,
    }
}

pub(crate) async fn serve(ledger: &Ledger, faults: &Arc<Faults>) -> Server {
    server::serve(ledger.clone(), faults.clone(), LOOPBACK)
        .await
        .expect("a free port opens")
}

/// Every log of the blocks, with the block it stands in.
pub(crate) fn logs_of(blocks: &[Arc<Block>]) -> Vec<(Arc<Block>, Log)> {
    let each = |block: &Arc<Block>| {
        let logs = block.receipts.iter().flat_map(|receipt| receipt.logs.clone());
        logs.map(|log| (block.clone(), log)).collect::<Vec<_>>()
    };
    blocks.iter().flat_map(each).collect()
}

/// A block of the ledger with at least two logs.
pub(crate) fn busy_block(ledger: &Ledger) -> Arc<Block> {
    let blocks = ledger.range(0, u64::MAX);
    let busy = |block: &&Arc<Block>| logs_of(std::slice::from_ref(block)).len() > 1;
    blocks
        .iter()
        .find(busy)
        .expect("most simulated blocks have logs")
        .clone()
}
