//! `indexer status`: where every chain stands.

use clap::Args;

use super::Context;
use crate::error::{Exit, Failure};

pub(super) const EXAMPLES: &str = "\
Per chain: head, checkpoint, lag, finalized block, coverage gaps, health of the endpoints. The embedded
database belongs to the process that runs it: ask that one's API (GET /v1/status) instead.

Examples:
  indexer status
  indexer status --json | jq '.chains[].lag_blocks'";

/// Arguments of `indexer status`.
#[derive(Clone, Debug, Args)]
pub struct StatusArgs {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Runs the command.
pub async fn execute(_args: &StatusArgs, _context: &Context) -> Result<(), Failure> {
    Err(Failure::new(Exit::Internal, "status is not built yet"))
}
