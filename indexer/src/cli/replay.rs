//! `indexer replay`: rebuild a range of blocks from the archive.

use clap::Args;
use decoders::block::ChainId;

use super::{BlockRange, Context};
use crate::error::{Exit, Failure};

pub(super) const EXAMPLES: &str = "\
Reads raw events from the archive, decodes them with this version's decoders and replaces the facts
of the range. No endpoint is asked; blocks the archive does not cover are left as they are.

Example:
  indexer replay --chain eip155:1 --from 12287507 --to 12387507";

/// Arguments of `indexer replay`.
#[derive(Clone, Debug, Args)]
pub struct ReplayArgs {
    /// The chain
    #[arg(long, value_name = "CAIP2")]
    pub chain: ChainId,
    /// The blocks.
    #[command(flatten)]
    pub range: BlockRange,
}

/// Runs the command.
pub async fn execute(args: &ReplayArgs, _context: &Context) -> Result<(), Failure> {
    let _range = args.range.checked()?;
    Err(Failure::new(Exit::Internal, "replay is not built yet"))
}
