//! `indexer demo`: the main job on a recording of a real chain, with nothing to set up.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use sinks::progress::checkpoint;
use testchain::faults::Faults;
use testchain::ledger::Finality;
use testchain::recording::{self, Recorded};
use tokio_util::sync::CancellationToken;

use super::context::Context;
use super::output::Writer;
use super::progress::Terminal;
use super::summary;
use crate::config::{Config, EndpointUrl};
use crate::daemon::assembly::Assignment;
use crate::daemon::{self, Daemon};
use crate::error::{Error, Exit, Failure};
use crate::health::{Health, server};
use crate::registry;
use crate::stores::Stores;

pub(super) const EXAMPLES: &str = "\
Indexes the recording that lives in the repository into an embedded PostgreSQL, prints a summary,
and serves the API and metrics until Ctrl-C. A second start resumes from the state the first kept.

Examples:
  indexer demo
  indexer demo --once --data-dir /tmp/demo";

/// Arguments of `indexer demo`.
#[derive(Clone, Debug, Args)]
pub struct DemoArgs {
    /// End after the summary
    #[arg(long)]
    pub once: bool,
    /// Folder of the demo's database
    #[arg(long, value_name = "FOLDER", default_value = "data/demo")]
    pub data_dir: PathBuf,
}

/// The recording, made by `scripts/record-market` from a real node.
const RECORDING: &[u8] = include_bytes!("../../../recordings/market.zst");
/// Configuration of the demo.
const CONFIG: &str = include_str!("demo.toml");
/// Blocks that appear one by one, so that the demo follows a head as well as it fills history.
const LIVE_BLOCKS: u64 = 100;
/// Time between two of them.
const BLOCK_INTERVAL: Duration = Duration::from_millis(20);

/// Runs the command.
pub async fn execute(args: &DemoArgs, context: &Context) -> Result<(), Failure> {
    let recorded = recording::read_from(RECORDING).map_err(|error| unserved(&error))?;
    let mut config = Config::parse(CONFIG, "demo.toml")?;
    config.database.data_dir.clone_from(&args.data_dir);
    config.api = context.config.api.clone();
    let stores = Stores::open(&config).await?;
    let outcome = Box::pin(play(args, context, &config, &stores, recorded)).await;
    stores.close().await;
    outcome
}

/// Serves the recording and indexes it meanwhile.
async fn play(
    args: &DemoArgs,
    context: &Context,
    config: &Config,
    stores: &Stores,
    recorded: Recorded,
) -> Result<(), Failure> {
    let last = recorded.blocks.last().map_or(0, |block| block.number);
    // The head has never been seen below what a first run left behind.
    let kept = kept(config, stores).await?.unwrap_or(0);
    let start = last.saturating_sub(LIVE_BLOCKS).max(kept);
    let (ledger, playback) = testchain::playback::playback(recorded, start, Finality::default());
    let listen = SocketAddr::from(([127, 0, 0, 1], 0));
    let node = testchain::server::serve(ledger, Faults::new(0), listen)
        .await
        .map_err(|error| unserved(&error))?;
    let endpoint = EndpointUrl::parse(&node.http_url()).map_err(|error| unserved(&error))?;
    let demo = Demo {
        config,
        stores,
        endpoint,
        last,
        writer: context.writer,
        terminal: context.terminal.clone(),
    };
    let live = playback.run(BLOCK_INTERVAL, context.cancel.clone());
    let (outcome, ()) = tokio::join!(Box::pin(demo.run(args.once, &context.cancel)), live);
    node.stop().await;
    outcome
}

/// Height of the checkpoint that an earlier run left.
async fn kept(config: &Config, stores: &Stores) -> Result<Option<u64>, Failure> {
    let Some(chain) = config.chains.first() else {
        return Ok(None);
    };
    let stored = checkpoint::read(&stores.database.store, chain.caip2).await;
    Ok(stored.map_err(Error::from)?.map(|stored| stored.block.number))
}

fn unserved(error: &dyn std::fmt::Display) -> Failure {
    Failure::new(Exit::Internal, format!("failed to serve the recording: {error}"))
}

struct Demo<'a> {
    config: &'a Config,
    stores: &'a Stores,
    endpoint: EndpointUrl,
    last: u64,
    writer: Writer,
    terminal: Terminal,
}

impl Demo<'_> {
    async fn run(&self, once: bool, cancel: &CancellationToken) -> Result<(), Failure> {
        let readers = self.stores.database.readers(&self.config.api);
        let health = Health::new().reading(readers.board());
        let index = self.index(health.clone(), cancel);
        if once {
            return index.await;
        }
        let listener = match server::bind(self.config.api.listen).await {
            Ok(listener) => listener,
            // Somebody else's server is no reason to show nothing.
            Err(_) => server::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?,
        };
        let address = listener.local_addr().unwrap_or(self.config.api.listen);
        let router = server::router(&health, Some(api::router(readers)));
        let index = async {
            index.await?;
            self.writer.line(format_args!(
                "\nserving http://{address}/v1/status and http://{address}/metrics until Ctrl-C"
            ))
        };
        let serve = async {
            server::serve(listener, router, cancel.clone()).await;
            Ok(())
        };
        tokio::try_join!(serve, index).map(|((), ())| ())
    }

    /// Indexes what the recording still has to give, then prints what there is.
    async fn index(&self, health: Health, cancel: &CancellationToken) -> Result<(), Failure> {
        let store = &self.stores.database.store;
        let entry = self.entry().await?;
        let chain = entry.chain.chain;
        match checkpoint::read(store, chain).await.map_err(Error::from)? {
            Some(stored) => self.writer.line(format_args!(
                "resuming after block {} of {}",
                stored.block.number, self.last
            ))?,
            None => self.writer.line(format_args!(
                "indexing {} blocks of a recorded chain into {}",
                self.last + 1,
                self.config.database.data_dir.display()
            ))?,
        }
        let progress = Arc::default();
        let daemon = Daemon {
            config: self.config,
            stores: self.stores,
            health,
            progress: Arc::clone(&progress),
            holder: daemon::holder(),
        };
        let assignment = Assignment {
            entry,
            endpoints: vec![self.endpoint.clone()],
            until: Some(self.last),
        };
        let began = Instant::now();
        let chains = [chain];
        let run = daemon.run(vec![assignment], Some(&chains), None, cancel);
        self.terminal.shown(&progress, run).await?;
        if cancel.is_cancelled() {
            return Ok(());
        }
        self.writer.line(format_args!(
            "indexed up to block {} in {:.1} s",
            self.last,
            began.elapsed().as_secs_f64()
        ))?;
        summary::print(self.writer, store, chain).await
    }

    async fn entry(&self) -> Result<registry::ChainEntry, Failure> {
        let chain = self.config.chains.first().map(|chain| chain.caip2);
        let chain = chain.ok_or_else(|| Failure::new(Exit::Internal, "the demo's configuration names no chain"))?;
        Ok(registry::load_chain(&self.stores.database.store, chain).await?)
    }
}
