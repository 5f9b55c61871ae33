//! `testchain serve`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use testchain::faults::Faults;
use testchain::ledger::{Finality, Ledger};
use testchain::playback::playback;
use testchain::server::state::{State, Stateless};
use testchain::server::{self, Server};
use tokio_util::sync::CancellationToken;

use crate::faults::FaultArguments;
use crate::record::open;
use crate::screen::Screen;

/// Serve a recording, or a folder of single blocks, as a JSON-RPC endpoint (HTTP and WebSocket on one port).
///
/// A folder with several chains takes one port per chain, ascending by chain id from the port given.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  testchain serve slice.testchain.zst\n  \
    testchain serve slice.testchain.zst --start 100 --block-time-ms 500 --missing-logs 0.01\n  \
    testchain serve ../shared/fixtures/blocks --listen 127.0.0.1:9000")]
pub(crate) struct Serve {
    /// Recording, or folder of <chainId>-<number>.json.gz files.
    #[arg(value_name = "FILE|DIR")]
    path: PathBuf,
    #[command(flatten)]
    endpoint: EndpointArguments,
    /// Reveal a block every so many milliseconds instead of serving all at once.
    #[arg(long, value_name = "MS")]
    block_time_ms: Option<u64>,
    /// With --block-time-ms: the height to begin at (default: the first block).
    #[arg(long, value_name = "BLOCK", requires = "block_time_ms")]
    start: Option<u64>,
}

/// Where and how a ledger is served.
#[derive(Debug, Args)]
pub(crate) struct EndpointArguments {
    /// Address and port.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8545")]
    pub(crate) listen: SocketAddr,
    /// Heights between the head and the safe block.
    #[arg(long, value_name = "BLOCKS", default_value_t = 0)]
    safe_depth: u64,
    /// Heights between the head and the finalized block.
    #[arg(long, value_name = "BLOCKS", default_value_t = 0)]
    finalized_depth: u64,
    #[command(flatten)]
    pub(crate) faults: FaultArguments,
}

impl EndpointArguments {
    pub(crate) fn finality(&self) -> Finality {
        Finality {
            safe_depth: self.safe_depth,
            finalized_depth: self.finalized_depth,
        }
    }

    /// Serves a ledger, with contracts that answer from `state`, and reports where.
    pub(crate) async fn serve(
        &self,
        ledger: &Ledger,
        state: Arc<dyn State>,
        port_offset: u16,
        screen: &mut Screen,
    ) -> anyhow::Result<Server> {
        let mut listen = self.listen;
        if listen.port() > 0 {
            let port = listen
                .port()
                .checked_add(port_offset)
                .context("not enough ports above the one given")?;
            listen.set_port(port);
        }
        let faults: Arc<Faults> = self.faults.faults();
        let server = server::serve_with_state(ledger.clone(), faults, listen, state)
            .await
            .with_context(|| format!("failed to listen on {listen}"))?;
        let blocks = match (ledger.first(), ledger.head()) {
            (Some(first), Some(head)) => format!("blocks {} to {}", first.number, head.number),
            _ => "no blocks yet".to_owned(),
        };
        screen.line(format!(
            "chain {}: {blocks} on {} and {}",
            ledger.chain_id(),
            server.http_url(),
            server.ws_url()
        ))?;
        Ok(server)
    }
}

impl Serve {
    pub(crate) async fn run(self, screen: &mut Screen) -> anyhow::Result<()> {
        let cancel = CancellationToken::new();
        let mut servers = Vec::new();
        let mut playbacks = tokio::task::JoinSet::new();
        for (recorded, port_offset) in open(&self.path)?.into_iter().zip(0..) {
            let finality = self.endpoint.finality();
            let ledger = match self.block_time_ms {
                Some(interval_ms) => {
                    let (ledger, playback) = playback(recorded, self.start.unwrap_or(0), finality);
                    playbacks.spawn(playback.run(Duration::from_millis(interval_ms), cancel.clone()));
                    ledger
                }
                None => recorded.into_ledger_with(finality),
            };
            let server = self.endpoint.serve(&ledger, Arc::new(Stateless), port_offset, screen);
            servers.push(server.await?);
        }
        screen.line("Ctrl-C stops")?;
        tokio::signal::ctrl_c().await?;
        cancel.cancel();
        for server in servers {
            server.stop().await;
        }
        while playbacks.join_next().await.is_some() {}
        Ok(())
    }
}
