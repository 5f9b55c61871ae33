//! `indexer backfill`: index a range of final blocks.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use clap::Args;
use decoders::block::ChainId;
use sinks::progress::{checkpoint, lease};
use tracing::warn;

use super::arguments::{BlockRange, EndpointUrlParser};
use super::context::Context;
use crate::backfill::{self, Progress, contracts};
use crate::config::EndpointUrl;
use crate::currencies;
use crate::daemon;
use crate::daemon::assembly::Assignment;
use crate::error::{Error, Exit, Failure};
use crate::follower::{FollowerSettings, ancestor};
use crate::health::Metrics;
use crate::pipeline::Pipeline;
use crate::registry;
use crate::stores::Stores;
use decoders::failure::Class;

pub(super) const EXAMPLES: &str = "\
Only what coverage misses is read, so the command resumes where a killed one stopped and
does nothing when repeated. Blocks above the finalized one are refused.

Examples:
  indexer backfill --chain eip155:1 --from 12287507 --to 12387507
  indexer backfill --chain eip155:1 --from 12287507 --to 12387507 --workers 4 \\
    --rpc http://127.0.0.1:8545";

/// Arguments of `indexer backfill`.
#[derive(Clone, Debug, Args)]
pub struct BackfillArgs {
    /// The chain
    #[arg(long, value_name = "CAIP2")]
    pub chain: ChainId,
    /// The blocks.
    #[command(flatten)]
    pub range: BlockRange,
    /// Spans fetched and applied at once, instead of pipeline.backfill_workers
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
    pub workers: Option<u32>,
    /// Read from this endpoint instead of the registry's (repeatable)
    #[arg(long = "rpc", value_name = "URL", value_parser = EndpointUrlParser)]
    pub endpoints: Vec<EndpointUrl>,
}

/// Runs the command.
pub async fn execute(args: &BackfillArgs, context: &Context) -> Result<(), Failure> {
    let range = args.range.checked()?;
    let stores = context.opened(Stores::open(&context.config)).await?;
    let outcome = Box::pin(backfill(args, context, &stores, range)).await;
    stores.close().await;
    outcome
}

async fn backfill(
    args: &BackfillArgs,
    context: &Context,
    stores: &Stores,
    range: RangeInclusive<u64>,
) -> Result<(), Failure> {
    let entry = registry::load_chain(&stores.database.store, args.chain).await?;
    let proof = entry
        .chain
        .settings
        .backfill_proof
        .unwrap_or(context.config.pipeline.integrity_backfill);
    let assignment = Assignment {
        entry,
        endpoints: args.endpoints.clone(),
        until: None,
    };
    // Workers share the bound of memory, however many the command line asks for.
    let mut config = context.config.clone();
    config.pipeline.backfill_workers = args.workers.unwrap_or(config.pipeline.backfill_workers);
    let settings = assignment.follower_settings(&config);
    let pipeline = assignment
        .pipeline(&config, stores, &Metrics::new(), &context.cancel)
        .await?;
    check_final(&pipeline, settings.finality_depth, &range).await?;

    let workers = config.pipeline.backfill_workers as usize;
    let progress = Arc::<Progress>::default();
    let began = Instant::now();
    let fill = async {
        loop {
            let load = backfill::load(&pipeline, range.clone(), proof, workers, &progress, &context.cancel);
            match load.await {
                Err(error) if error.class() == Class::Reorg => mend(&pipeline, &settings, &error).await?,
                outcome => return outcome,
            }
        }
    };
    let filled = context.terminal.shown(&progress, fill).await;
    filled.map_err(|error| stopped(error, &progress))?;
    contracts::fill(&pipeline, range.clone(), *range.end(), proof, workers, &context.cancel).await?;
    let took = began.elapsed();
    currencies::store_metadata(&pipeline).await?;
    context.writer.line(summary(&progress, &range, took))
}

/// Decides which of two branches is the chain's where no daemon follows it that would: takes what is stored of the other one back.
async fn mend(pipeline: &Pipeline, settings: &FollowerSettings, torn: &Error) -> Result<(), Error> {
    let (store, chain) = (&pipeline.store, pipeline.chain);
    warn!(error = %torn, "the blocks read do not fit those stored");
    let Some(lease) = lease::acquire(store, chain, &daemon::holder(), settings.lease_ttl).await? else {
        // Who holds the lease has been notified by the warning that is stored.
        tokio::time::sleep(settings.lease_ttl / 3).await;
        return Ok(());
    };
    let mended = match checkpoint::stand(store, chain).await?.suspect {
        Some(suspect) => ancestor::mend(pipeline, suspect, settings.start_block, &lease).await,
        None => Ok(()),
    };
    lease::release(store, &lease).await?;
    mended
}

/// Refuses blocks that a reorg could still undo.
async fn check_final(pipeline: &Pipeline, depth: u64, range: &RangeInclusive<u64>) -> Result<(), Failure> {
    let heads = pipeline.endpoints.heads().await.map_err(Error::from)?;
    let finalized = heads
        .finalized
        .map_or(heads.latest.number.saturating_sub(depth), |block| block.number);
    if *range.end() > finalized {
        let message = format!(
            "--to {} is above the finalized block {finalized} of {}: use --to {finalized} or lower, `indexer run` follows the rest",
            range.end(),
            pipeline.chain
        );
        return Err(Failure::new(Exit::BadRange, message));
    }
    Ok(())
}

/// The failure that `error` is, with how far the command got where it was asked to stop.
fn stopped(error: Error, progress: &Progress) -> Failure {
    if matches!(error, Error::Cancelled) {
        let (done, planned) = progress.blocks();
        let message = format!("stopped on request after {done} of {planned} blocks: run it again to go on");
        return Failure::new(Exit::Interrupted, message);
    }
    error.into()
}

fn summary(progress: &Progress, range: &RangeInclusive<u64>, took: Duration) -> String {
    let (done, planned) = progress.blocks();
    let (from, to) = (range.start(), range.end());
    if planned == 0 {
        return format!("nothing to do: blocks {from} to {to} are covered");
    }
    let facts = progress.facts();
    let logs = progress.logs.load(Ordering::Relaxed);
    let (seconds, rate) = (took.as_secs_f64(), progress.transfers_per_second(took));
    format!("{done} blocks, {logs} logs, {facts} in {seconds:.1} s ({rate:.0} transfers/s)")
}
