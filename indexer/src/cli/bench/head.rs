//! `indexer bench head`: from a block's appearing to its commit.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use futures::future::{Either, select};
use serde::{Deserialize, Serialize};
use testchain::ledger::{Finality, Ledger};
use testchain::simulation::{Settings, Simulation};

use super::super::context::Context;
use super::chain::{assignment, configured};
use super::node::{self, SEED};
use crate::config::Config;
use crate::daemon::{self, Daemon};
use crate::error::{Exit, Failure};
use crate::health::Health;
use crate::stores::Stores;

/// Blocks that are there before the first is timed.
const HISTORY: u64 = 100;

/// Arguments of `indexer bench head`.
#[derive(Clone, Debug, Args)]
pub struct HeadArgs {
    /// Blocks that appear
    #[arg(long, value_name = "N", default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..))]
    pub blocks: u64,
    /// Time between two of them
    #[arg(long, value_name = "MS", default_value_t = 100)]
    pub interval_ms: u64,
    /// Print the figures as JSON
    #[arg(long)]
    pub json: bool,
}

/// What was measured, in milliseconds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct HeadFigures {
    pub(super) blocks: u64,
    pub(super) p50_ms: f64,
    pub(super) p99_ms: f64,
    pub(super) longest_ms: f64,
    pub(super) proof: String,
    pub(super) archive: String,
}

pub(super) async fn execute(args: &HeadArgs, context: &Context) -> Result<(), Failure> {
    let config = configured(context, Settings::benchmark(SEED).chain_id)?;
    let stores = Stores::open(&config).await?;
    let outcome = Box::pin(follow(args, context, &config, &stores)).await;
    stores.close().await;
    let figures = outcome?;
    if args.json {
        return context.writer.json(&figures);
    }
    let HeadFigures {
        blocks,
        p50_ms,
        p99_ms,
        longest_ms,
        proof,
        archive,
    } = figures;
    context.writer.line(format_args!(
        "{blocks} blocks: appearing to commit p50 {p50_ms:.1} ms, p99 {p99_ms:.1} ms, longest {longest_ms:.1} ms; \
         proof {proof}, archive {archive}"
    ))
}

async fn follow(args: &HeadArgs, context: &Context, config: &Config, stores: &Stores) -> Result<HeadFigures, Failure> {
    let (blocks, interval) = (args.blocks, Duration::from_millis(args.interval_ms));
    let mut simulation = Simulation::new(Settings::benchmark(SEED));
    let history = simulation.blocks(HISTORY);
    let ledger = Ledger::new(simulation.settings().chain_id, history, Finality::default());
    let server = node::serve(ledger.clone(), node::faultless()).await?;
    let assignment = assignment(config, stores, &server.ws_url(), Some(HISTORY - 1 + blocks)).await?;
    let chain = assignment.entry.chain.chain;
    let health = Health::new();
    // Blocks 0 to N are N + 1: none is applied twice on a chain that never reorganises.
    let applied = health.metrics.chain(chain).blocks;
    let daemon = Daemon {
        config,
        stores,
        health,
        progress: Arc::default(),
        holder: daemon::holder(),
    };
    let selected = [chain];
    let follow = daemon.run(vec![assignment], Some(&selected), None, &context.cancel);
    let watch = async {
        let mut taken = Vec::new();
        reached(&applied, HISTORY).await;
        for number in HISTORY..HISTORY + blocks {
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
    let (follow, watch) = (pin!(follow), pin!(watch));
    let outcome = match select(follow, watch).await {
        // Everything was applied, unless it was stopped before.
        Either::Left((followed, watch)) => match followed {
            Ok(()) if context.cancel.is_cancelled() => Err(Failure::new(Exit::Interrupted, "stopped on request")),
            Ok(()) => Ok(watch.await),
            Err(failure) => Err(failure),
        },
        Either::Right((taken, follow)) => follow.await.map(|()| taken),
    };
    server.stop().await;
    let mut taken = outcome?;
    taken.sort_unstable();
    let at = |share: usize| taken[(taken.len() - 1) * share / 100].as_secs_f64() * 1_000.0;
    Ok(HeadFigures {
        blocks,
        p50_ms: at(50),
        p99_ms: at(99),
        longest_ms: at(100),
        proof: config.pipeline.integrity_head.as_str().to_owned(),
        archive: stores.archive.name().to_owned(),
    })
}

/// Waits until `blocks` are applied; a millisecond is finer than any commit.
async fn reached(applied: &prometheus::IntCounter, blocks: u64) {
    while applied.get() < blocks {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
