//! `indexer backfill`: index a range of final blocks.

use clap::Args;
use decoders::block::ChainId;

use super::{BlockRange, Context};
use crate::config::EndpointUrl;
use crate::error::{Exit, Failure};

pub(super) const EXAMPLES: &str = "\
Only what coverage says is missing is read, so the command resumes where a killed one stopped and
does nothing when repeated. Blocks above the finalized one are refused.

Examples:
  indexer backfill --chain eip155:1 --from 12287507 --to 12387507
  indexer backfill --chain eip155:1 --from 12287507 --to 12387507 --workers 4 --rpc http://127.0.0.1:8545";

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
    #[arg(long = "rpc", value_name = "URL")]
    pub endpoints: Vec<EndpointUrl>,
}

/// Runs the command.
pub async fn execute(args: &BackfillArgs, _context: &Context) -> Result<(), Failure> {
    let _range = args.range.checked()?;
    Err(Failure::new(Exit::Internal, "backfill is not built yet"))
}
