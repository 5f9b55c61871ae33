//! `indexer bench`: the figures of the closing notes, for anyone to repeat.

use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use clap::{Args, Subcommand};
use decoders::block::ChainId;
use sinks::progress::coverage;
use testchain::faults::Faults;
use testchain::ledger::{Finality, Ledger};
use testchain::simulation::{Settings, Simulation};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, Command};

use super::context::Context;
use crate::backfill::{self, Progress};
use crate::config::{Config, EndpointUrl};
use crate::daemon::assembly::Assignment;
use crate::daemon::{self, Daemon};
use crate::error::{Error, Exit, Failure};
use crate::health::{Health, Metrics};
use crate::registry;
use crate::stores::Stores;

pub(super) const EXAMPLES: &str = "\
Simulates the benchmark chain (50 logs a block, 57 % of them NFT events), serves it over JSON-RPC on
loopback and indexes it into the configured stores, which must not hold the chain yet: use a scratch
database.

Examples:
  DATABASE_URL=postgres://127.0.0.1/scratch indexer bench backfill --blocks 20000
  DATABASE_URL=postgres://127.0.0.1/scratch indexer bench backfill --blocks 2000 --trades 20
  indexer bench head --blocks 300 --interval-ms 100";

/// Configuration that names the simulated chain.
const CHAIN: &str = include_str!("bench.toml");
const SEED: u64 = 1;

/// Arguments of `indexer bench`.
#[derive(Clone, Debug, Args)]
pub struct BenchArgs {
    /// What to measure.
    #[command(subcommand)]
    pub workload: Workload,
}

/// What is measured.
#[derive(Clone, Debug, Subcommand)]
pub enum Workload {
    /// Backfill a simulated history: items per second and peak memory
    Backfill {
        /// Blocks of the history
        #[arg(long, value_name = "N", default_value_t = 20_000)]
        blocks: u64,
        /// Spans fetched and applied at once, instead of pipeline.backfill_workers
        #[arg(long, value_name = "N")]
        workers: Option<u32>,
        /// Trades per block on the markets of Ethereum, each a transaction beside the usual logs
        #[arg(long, value_name = "N", default_value_t = 0)]
        trades: u32,
    },
    /// Follow a simulated head: time from a block's appearing to its commit
    Head {
        /// Blocks that appear
        #[arg(long, value_name = "N", default_value_t = 300)]
        blocks: u64,
        /// Time between two of them
        #[arg(long, value_name = "MS", default_value_t = 100)]
        interval_ms: u64,
    },
    /// Serve the history, in a process of its own so that its memory is not counted
    #[command(hide = true)]
    Endpoint {
        /// Blocks of the history
        #[arg(long)]
        blocks: u64,
        /// Trades per block
        #[arg(long)]
        trades: u32,
    },
}

/// Runs the command.
pub async fn execute(args: &BenchArgs, context: &Context) -> Result<(), Failure> {
    if let Workload::Endpoint { blocks, trades } = args.workload {
        return endpoint(blocks, trades, context).await;
    }
    let mut config = context.config.clone();
    config.chains = Config::parse(CHAIN, "bench.toml")?.chains;
    if let Workload::Backfill { trades, workers, .. } = args.workload {
        config.pipeline.backfill_workers = workers.unwrap_or(config.pipeline.backfill_workers);
        for chain in &mut config.chains {
            chain.caip2 = ChainId(traffic(trades).chain_id);
        }
    }
    let stores = Stores::open(&config).await?;
    let bench = Bench {
        context,
        config: &config,
        stores: &stores,
    };
    let outcome = match args.workload {
        Workload::Backfill { blocks, trades, .. } => Box::pin(bench.backfill(blocks, trades)).await,
        Workload::Head { blocks, interval_ms } => {
            Box::pin(bench.head(blocks, Duration::from_millis(interval_ms))).await
        }
        Workload::Endpoint { .. } => Ok(()),
    };
    stores.close().await;
    outcome
}

/// What the simulated chain is made from. Markets stand where they stand on Ethereum.
fn traffic(trades: u32) -> Settings {
    let usual = Settings::benchmark(SEED);
    Settings {
        trades_per_block: trades,
        chain_id: if trades > 0 { 1 } else { usual.chain_id },
        ..usual
    }
}

/// Serves `blocks` simulated blocks, all final, and prints where on standard output.
async fn endpoint(blocks: u64, trades: u32, context: &Context) -> Result<(), Failure> {
    let mut simulation = Simulation::new(traffic(trades));
    let chain = simulation.settings().chain_id;
    let all_final = Finality {
        safe_depth: 0,
        finalized_depth: 0,
    };
    let ledger = Ledger::new(chain, simulation.blocks(blocks), all_final);
    drop(simulation);
    let server = serve(ledger).await?;
    context.writer.line(server.http_url())?;
    context.cancel.cancelled().await;
    server.stop().await;
    Ok(())
}

async fn serve(ledger: Ledger) -> Result<testchain::server::Server, Failure> {
    let served = testchain::server::serve(ledger, Faults::new(SEED), SocketAddr::from(([127, 0, 0, 1], 0))).await;
    served.map_err(|error| Failure::new(Exit::Internal, format!("failed to serve the simulated chain: {error}")))
}

struct Bench<'a> {
    context: &'a Context,
    config: &'a Config,
    stores: &'a Stores,
}

impl Bench<'_> {
    async fn backfill(&self, blocks: u64, trades: u32) -> Result<(), Failure> {
        let (mut node, url) = spawn_endpoint(blocks, trades).await?;
        let assignment = self.assignment(&url, None).await?;
        let pipeline = assignment
            .pipeline(self.config, self.stores, &Metrics::new(), &self.context.cancel)
            .await?;
        let workers = self.config.pipeline.backfill_workers as usize;
        let proof = self.config.pipeline.integrity_backfill;
        let progress = Arc::<Progress>::default();
        let began = Instant::now();
        let fill = backfill::load(
            &pipeline,
            0..=blocks.saturating_sub(1),
            proof,
            workers,
            &progress,
            &self.context.cancel,
        );
        let outcome = self.context.terminal.shown(&progress, fill).await;
        let seconds = began.elapsed().as_secs_f64();
        node.kill()
            .await
            .map_err(|error| Failure::new(Exit::Internal, format!("failed to stop the endpoint: {error}")))?;
        outcome?;
        let (logs, facts) = (progress.logs.load(Ordering::Relaxed), progress.facts());
        let requests: u64 = pipeline
            .endpoints
            .health()
            .iter()
            .map(|endpoint| endpoint.requests)
            .sum();
        self.context.writer.line(format_args!(
            "{blocks} blocks, {logs} logs, {facts} in {seconds:.1} s with {workers} workers: {:.0} logs/s, {:.0} transfers/s; \
             proof {}, {requests} requests, peak memory {} MB, held {} of {} rows, archive {}",
            logs as f64 / seconds,
            facts.transfers as f64 / seconds,
            proof.as_str(),
            peak_memory_mb(),
            pipeline.held.most(),
            self.config.pipeline.max_logs_held,
            self.stores.archive.name(),
        ))
    }

    async fn head(&self, blocks: u64, interval: Duration) -> Result<(), Failure> {
        let mut simulation = Simulation::new(Settings::benchmark(SEED));
        let history = simulation.blocks(100);
        let ledger = Ledger::new(simulation.settings().chain_id, history, Finality::default());
        let server = serve(ledger.clone()).await?;
        let assignment = self.assignment(&server.ws_url(), Some(99 + blocks)).await?;
        let chain = assignment.entry.chain.chain;
        let health = Health::new();
        // Blocks 0 to N are N + 1: none is applied twice on a chain that never reorganises.
        let applied = health.metrics.chain(chain).blocks;
        let daemon = Daemon {
            config: self.config,
            stores: self.stores,
            health,
            progress: Arc::default(),
            holder: daemon::holder(),
        };
        let selected = [chain];
        let follow = daemon.run(vec![assignment], Some(&selected), None, &self.context.cancel);
        let watch = async {
            let mut taken = Vec::new();
            reached(&applied, 100).await;
            for number in 100..100 + blocks {
                let next = simulation.next_block();
                let due = Instant::now() + interval;
                let appeared = Instant::now();
                ledger.extend(vec![next]);
                reached(&applied, number + 1).await;
                taken.push(appeared.elapsed());
                tokio::time::sleep_until(due.into()).await;
            }
            taken
        };
        let (followed, mut taken) = tokio::join!(follow, watch);
        server.stop().await;
        followed?;
        taken.sort_unstable();
        let at = |share: usize| taken[(taken.len() - 1) * share / 100].as_secs_f64() * 1_000.0;
        self.context.writer.line(format_args!(
            "{blocks} blocks: appearing to commit p50 {:.1} ms, p99 {:.1} ms, longest {:.1} ms; proof {}, archive {}",
            at(50),
            at(99),
            at(100),
            self.config.pipeline.integrity_head.as_str(),
            self.stores.archive.name()
        ))
    }

    /// The simulated chain, read from `url`; refused where the stores hold it already.
    async fn assignment(&self, url: &str, until: Option<u64>) -> Result<Assignment, Failure> {
        let store = &self.stores.database.store;
        let chain = self.config.chains.first().map(|chain| chain.caip2);
        let chain = chain.ok_or_else(|| Failure::new(Exit::Internal, "bench.toml names no chain"))?;
        if !coverage::read(store, chain).await.map_err(Error::from)?.is_empty() {
            let message = format!("the database holds {chain} already: name a scratch database with DATABASE_URL");
            return Err(Failure::new(Exit::Database, message));
        }
        let endpoint = EndpointUrl::parse(url).map_err(|error| Failure::new(Exit::Internal, error.to_string()))?;
        Ok(Assignment {
            entry: registry::load_chain(store, chain).await?,
            endpoints: vec![endpoint],
            until,
        })
    }
}

/// Waits until `blocks` are applied; a millisecond is finer than any commit.
async fn reached(applied: &prometheus::IntCounter, blocks: u64) {
    while applied.get() < blocks {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Starts this program again as the endpoint; it ends with this process.
async fn spawn_endpoint(blocks: u64, trades: u32) -> Result<(Child, String), Failure> {
    let failed =
        |error: &dyn std::fmt::Display| Failure::new(Exit::Internal, format!("failed to start the endpoint: {error}"));
    let program = std::env::current_exe().map_err(|error| failed(&error))?;
    let mut child = Command::new(program)
        .args(["bench", "endpoint", "--blocks", &blocks.to_string()])
        .args(["--trades", &trades.to_string()])
        // Its log would fill a pipe that is only read when it fails.
        .env("RUST_LOG", "error")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| failed(&error))?;
    let stdout = child.stdout.take().ok_or_else(|| failed(&"it has no output"))?;
    let mut lines = BufReader::new(stdout).lines();
    let line = lines.next_line().await.map_err(|error| failed(&error))?;
    match line {
        Some(url) => Ok((child, url)),
        None => Err(failed(&last_words(&mut child).await)),
    }
}

/// The last line of a child that ended at once.
async fn last_words(child: &mut Child) -> String {
    let mut stderr_text = String::new();
    if let Some(stderr) = &mut child.stderr {
        // What cannot be read is missing from the message, which stands without it.
        stderr.read_to_string(&mut stderr_text).await.ok();
    }
    match stderr_text.lines().last() {
        Some(line) => format!("it ended at once: {}", line.trim_start_matches("error: ")),
        None => "it ended at once".to_owned(),
    }
}

/// The most memory this process ever held, in megabytes; zero where the system does not report it.
fn peak_memory_mb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.trim().split(' ').next()?.parse::<u64>().ok());
    kilobytes.unwrap_or(0) / 1024
}
