//! `indexer bench backfill`: a whole backfill, as it is run by an operator.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use clap::Args;
use serde::{Deserialize, Serialize};

use super::super::context::Context;
use super::chain::{assignment, configured};
use super::machine;
use super::node::{Node, NodeArgs, Served};
use crate::backfill::{self, Progress};
use crate::config::Config;
use crate::daemon::assembly::Assignment;
use crate::error::Failure;
use crate::health::Metrics;
use crate::pipeline::{Pipeline, Rewriter};
use crate::retry;
use crate::stores::Stores;

/// Blocks replaced in one transaction, as `indexer replay` does.
const REPLAY_BLOCKS: usize = 500;

/// Arguments of `indexer bench backfill`.
#[derive(Clone, Debug, Args)]
pub struct BackfillArgs {
    /// The chain and its endpoint.
    #[command(flatten)]
    pub node: NodeArgs,
    /// Spans applied at once, instead of pipeline.backfill_workers
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
    pub workers: Option<u32>,
    /// Replay everything behind the backfill, and time that too
    #[arg(long)]
    pub replay: bool,
    /// Keep raw events in PostgreSQL, whatever archive.url has
    #[arg(long, conflicts_with = "archive_database")]
    pub archive_in_postgresql: bool,
    /// MongoDB database of the archive, instead of archive.database
    #[arg(long, value_name = "NAME")]
    pub archive_database: Option<String>,
    /// Print the figures as JSON
    #[arg(long)]
    pub json: bool,
}

/// What was measured. Times are in seconds; those of stages are summed over everything that ran side by side.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct BackfillFigures {
    pub(super) blocks: u64,
    pub(super) logs: u64,
    pub(super) facts: String,
    /// Transfers and sales.
    pub(super) items: u64,
    pub(super) transfers: u64,
    pub(super) seconds: f64,
    pub(super) read_seconds: f64,
    pub(super) archive_seconds: f64,
    pub(super) commit_seconds: f64,
    pub(super) replay_seconds: Option<f64>,
    /// Processor time of this process and of the server's, each without the replay.
    pub(super) cpu_seconds: Option<f64>,
    pub(super) server_cpu_seconds: Option<f64>,
    pub(super) peak_memory_mb: Option<u64>,
    pub(super) served: Served,
    pub(super) workers: usize,
    pub(super) proof: String,
    pub(super) archive: String,
    pub(super) rows_held: usize,
    pub(super) rows_held_at_most: u64,
}

impl BackfillFigures {
    /// `amount` for every thousand blocks.
    #[expect(clippy::cast_precision_loss, reason = "a figure of a benchmark")]
    pub(super) fn per_thousand_blocks(&self, amount: u64) -> f64 {
        amount as f64 * 1_000.0 / self.blocks.max(1) as f64
    }

    /// Items per second of the whole run.
    #[expect(clippy::cast_precision_loss, reason = "a figure of a benchmark")]
    pub(super) fn items_per_second(&self) -> f64 {
        self.items as f64 / self.seconds
    }

    /// Microseconds per item.
    #[expect(clippy::cast_precision_loss, reason = "a figure of a benchmark")]
    pub(super) fn micros_per_item(&self, seconds: f64) -> f64 {
        seconds * 1_000_000.0 / self.items.max(1) as f64
    }
}

pub(super) async fn execute(args: &BackfillArgs, context: &Context) -> Result<(), Failure> {
    let mut config = configured(context, args.node.traffic().chain_id)?;
    config.pipeline.backfill_workers = args.workers.unwrap_or(config.pipeline.backfill_workers);
    if args.archive_in_postgresql {
        config.archive.url = None;
    }
    if let Some(name) = &args.archive_database {
        config.archive.database.clone_from(name);
    }
    let stores = context.opened(Stores::open(&config)).await?;
    let outcome = Box::pin(measure(args, context, &config, &stores)).await;
    stores.close().await;
    let figures = outcome?;
    if args.json {
        return context.writer.json(&figures);
    }
    print(&figures, context)
}

async fn measure(
    args: &BackfillArgs,
    context: &Context,
    config: &Config,
    stores: &Stores,
) -> Result<BackfillFigures, Failure> {
    let mut node = Node::spawn(&args.node).await?;
    let assignment = assignment(config, stores, &node.url, None).await?;
    let pipeline = assignment
        .pipeline(config, stores, &Metrics::new(), &context.cancel)
        .await?;
    let workers = config.pipeline.backfill_workers as usize;
    let proof = config.pipeline.integrity_backfill;
    let progress = Arc::<Progress>::default();
    let range = 0..=args.node.blocks.saturating_sub(1);
    let (began, spent) = (Instant::now(), machine::cpu_seconds());
    let fill = backfill::load(&pipeline, range, proof, workers, &progress, &context.cancel);
    context.terminal.shown(&progress, fill).await?;
    let seconds = began.elapsed().as_secs_f64();
    let cpu_seconds = machine::cpu_seconds().zip(spent).map(|(now, before)| now - before);
    let server_cpu_seconds = machine::server_cpu_seconds(&stores.database.store.pool).await;
    let peak_memory_mb = machine::peak_memory_mb();
    let served = node.served().await?;
    node.stop().await?;
    let replay_seconds = if args.replay {
        Some(replay(args, context, stores, &pipeline, &assignment).await?)
    } else {
        None
    };
    let facts = progress.facts();
    Ok(BackfillFigures {
        blocks: args.node.blocks,
        logs: progress.logs.load(Ordering::Relaxed),
        facts: facts.to_string(),
        items: facts.transfers + facts.sales,
        transfers: facts.transfers,
        seconds,
        read_seconds: pipeline.metrics.fetch_seconds.get_sample_sum(),
        archive_seconds: pipeline.metrics.archive_seconds.get_sample_sum(),
        commit_seconds: pipeline.metrics.commit_seconds.get_sample_sum(),
        replay_seconds,
        cpu_seconds,
        server_cpu_seconds,
        peak_memory_mb,
        served,
        workers,
        proof: proof.as_str().to_owned(),
        archive: stores.archive.name().to_owned(),
        rows_held: pipeline.held.most(),
        rows_held_at_most: config.pipeline.max_logs_held,
    })
}

/// Replays everything, and gives the seconds it took.
async fn replay(
    args: &BackfillArgs,
    context: &Context,
    stores: &Stores,
    pipeline: &Pipeline,
    assignment: &Assignment,
) -> Result<f64, Failure> {
    let contracts = assignment.contracts();
    let rewriter = Rewriter {
        store: &stores.database.store,
        archive: &stores.archive,
        chain: pipeline.chain,
        contracts: &contracts,
        endpoints: None,
        lease: None,
    };
    let began = Instant::now();
    for first in (0..args.node.blocks).step_by(REPLAY_BLOCKS) {
        let last = (first + REPLAY_BLOCKS as u64).min(args.node.blocks) - 1;
        retry::persist(&context.cancel, "a replay span", || rewriter.rewrite(first..=last)).await?;
    }
    Ok(began.elapsed().as_secs_f64())
}

fn print(figures: &BackfillFigures, context: &Context) -> Result<(), Failure> {
    let BackfillFigures {
        blocks,
        logs,
        facts,
        seconds,
        workers,
        proof,
        archive,
        rows_held,
        rows_held_at_most,
        ..
    } = figures;
    let writer = context.writer;
    writer.line(format_args!(
        "{blocks} blocks, {logs} logs, {facts} in {seconds:.1} s with {workers} workers: {:.0} items/s; proof {proof}, archive {archive}",
        figures.items_per_second(),
    ))?;
    writer.line(format_args!(
        "stages, summed: reading {:.1} s, archive {:.1} s, commits {:.1} s{}",
        figures.read_seconds,
        figures.archive_seconds,
        figures.commit_seconds,
        figures
            .replay_seconds
            .map_or_else(String::new, |seconds| format!("; replay {seconds:.1} s")),
    ))?;
    let micros = |seconds: Option<f64>| {
        seconds.map_or_else(
            || "not known".to_owned(),
            |seconds| format!("{:.1} µs", figures.micros_per_item(seconds)),
        )
    };
    writer.line(format_args!(
        "processor time per item: own {}, PostgreSQL {}; peak memory {} MB, held {rows_held} of {rows_held_at_most} rows",
        micros(figures.cpu_seconds),
        micros(figures.server_cpu_seconds),
        super::super::output::cell(figures.peak_memory_mb),
    ))?;
    let Served { requests, calls, bytes } = figures.served;
    writer.line(format_args!(
        "per 1,000 blocks: {:.1} requests, {:.1} calls, {:.2} MB",
        figures.per_thousand_blocks(requests),
        figures.per_thousand_blocks(calls),
        figures.per_thousand_blocks(bytes) / 1_000_000.0,
    ))
}
