//! `indexer bench`: the figures of docs/PERFORMANCE.md, for anyone to repeat.

mod backfill;
mod ceilings;
mod chain;
mod head;
mod machine;
mod node;
mod report;
mod scratch;

use clap::{Args, Subcommand};

use self::node::NodeArgs;
use super::context::Context;
use crate::error::Failure;

pub(super) const EXAMPLES: &str = "\
Simulates the benchmark chain (50 logs a block, 57 % of them NFT events), serves it over JSON-RPC on
loopback and indexes it into the configured stores, which must not hold the chain yet: use a scratch
database. The report makes scratch databases itself, on the configured server, and drops them.

Examples:
  DATABASE_URL=postgres://127.0.0.1/scratch indexer bench backfill --blocks 20000
  DATABASE_URL=postgres://127.0.0.1/scratch indexer bench backfill --blocks 2000 --latency-ms 50
  indexer bench head --blocks 300 --interval-ms 100
  DATABASE_URL=postgres://127.0.0.1/postgres indexer bench report --blocks 8000";

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
    /// Backfill a simulated history: items per second, requests and memory
    Backfill(backfill::BackfillArgs),
    /// Follow a simulated head: time from a block's appearing to its commit
    Head(head::HeadArgs),
    /// Everything in one run, beside what the stores can do at best
    Report(report::ReportArgs),
    /// Serve the history, in a process of its own so that its memory is not counted
    #[command(hide = true)]
    Endpoint(NodeArgs),
}

/// Runs the command.
pub async fn execute(args: &BenchArgs, context: &Context) -> Result<(), Failure> {
    match &args.workload {
        Workload::Backfill(args) => Box::pin(backfill::execute(args, context)).await,
        Workload::Head(args) => Box::pin(head::execute(args, context)).await,
        Workload::Report(args) => Box::pin(report::execute(args, context)).await,
        Workload::Endpoint(args) => node::serve_until_stopped(args, context).await,
    }
}
