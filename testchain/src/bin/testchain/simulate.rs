//! `testchain simulate`.

use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use clap::{Args, ValueEnum};
use testchain::ledger::Ledger;
use testchain::recording::Writer;
use testchain::simulation::{Settings, Simulation, Step, schedule};

use crate::screen::Screen;
use crate::serve::EndpointArguments;

/// Steps drawn ahead for a chain that goes on until stopped.
const SCHEDULE: u64 = 10_000;

/// Simulate a chain from a seed and serve it, or write it into a recording.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  testchain simulate --seed 7 --blocks 1000\n  \
    testchain simulate --seed 7 --blocks 100 --block-time-ms 1000 --reorgs 5\n  \
    testchain simulate --seed 7 --blocks 20000 --traffic benchmark --out million.testchain.zst")]
pub(crate) struct Simulate {
    /// Where all chance comes from; equal seeds make equal chains.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Blocks made before serving begins.
    #[arg(long, default_value_t = 1_000)]
    blocks: u64,
    /// How dense and how mixed the traffic is.
    #[arg(long, value_enum, default_value = "demo")]
    traffic: Traffic,
    /// Claim another chain id than the traffic's own; CryptoPunks and the like live on chain 1 only.
    #[arg(long, value_name = "ID")]
    chain_id: Option<u64>,
    /// Let the chain grow by a block every so many milliseconds.
    #[arg(long, value_name = "MS")]
    block_time_ms: Option<u64>,
    /// With --block-time-ms: reorganise now and then, by at most this many blocks.
    #[arg(long, value_name = "DEPTH", requires = "block_time_ms")]
    reorgs: Option<u64>,
    /// Write a recording instead of serving.
    #[arg(long, value_name = "FILE", conflicts_with = "block_time_ms")]
    out: Option<PathBuf>,
    #[command(flatten)]
    endpoint: EndpointArguments,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Traffic {
    /// A dozen logs a block among a few accounts, malformed ones too.
    Small,
    /// The same with markets: sales, listings and offers.
    Market,
    /// Dozens of contracts, thousands of accounts.
    Demo,
    /// Fifty logs a block, the workload of the performance figures.
    Benchmark,
}

impl Simulate {
    pub(crate) async fn run(self, screen: &mut Screen) -> anyhow::Result<()> {
        let mut settings = match self.traffic {
            Traffic::Small => Settings::small(self.seed),
            Traffic::Market => Settings::market(self.seed),
            Traffic::Demo => Settings::demo(self.seed),
            Traffic::Benchmark => Settings::benchmark(self.seed),
        };
        if let Some(chain_id) = self.chain_id {
            settings.chain_id = chain_id;
        }
        let chain_id = settings.chain_id;
        let mut simulation = Simulation::new(settings);
        if let Some(path) = &self.out {
            return write(&mut simulation, self.blocks, path, screen);
        }
        let ledger = Ledger::new(chain_id, simulation.blocks(self.blocks), self.endpoint.finality());
        let server = self.endpoint.serve(&ledger, simulation.answers(), 0, screen).await?;
        screen.line("Ctrl-C stops")?;
        tokio::select! {
            stopped = tokio::signal::ctrl_c() => stopped?,
            ended = self.live(&mut simulation, &ledger, screen) => ended?,
        }
        server.stop().await;
        Ok(())
    }

    /// Lets the chain go on, one block at a time.
    async fn live(&self, simulation: &mut Simulation, ledger: &Ledger, screen: &mut Screen) -> anyhow::Result<()> {
        let Some(interval_ms) = self.block_time_ms else {
            return std::future::pending().await;
        };
        let interval = Duration::from_millis(interval_ms);
        let steps = self
            .reorgs
            .map(|deepest| schedule(self.seed, SCHEDULE, deepest))
            .unwrap_or_default();
        for step in steps {
            match step {
                Step::Advance { blocks } => {
                    for _ in 0..blocks {
                        tokio::time::sleep(interval).await;
                        simulation.play(Step::Advance { blocks: 1 }, ledger);
                    }
                }
                Step::Reorg { depth, .. } => {
                    tokio::time::sleep(interval).await;
                    simulation.play(step, ledger);
                    let head = ledger.head().map_or(0, |head| head.number);
                    screen.line(format!("reorganised {depth} blocks, head {head}"))?;
                }
            }
        }
        loop {
            tokio::time::sleep(interval).await;
            simulation.play(Step::Advance { blocks: 1 }, ledger);
        }
    }
}

fn write(simulation: &mut Simulation, blocks: u64, path: &Path, screen: &mut Screen) -> anyhow::Result<()> {
    let file = File::create(path).with_context(|| format!("failed to create {}", path.display()))?;
    let mut writer = Writer::new(BufWriter::new(file), simulation.settings().chain_id)?;
    for _ in 0..blocks {
        writer.write(&simulation.next_block())?;
    }
    writer.finish()?;
    screen.line(format!(
        "{blocks} blocks, {} bytes in {}",
        std::fs::metadata(path)?.len(),
        path.display()
    ))?;
    Ok(())
}
