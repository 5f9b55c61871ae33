//! `indexer tail`: print messages as they are published.

use clap::{Args, ValueEnum};

use super::Context;
use crate::error::{Exit, Failure};

pub(super) const EXAMPLES: &str = "\
One JSON message per line. From the broker: what is published from now on, through a queue of its own.
From the outbox: what is owed and not yet published.

Examples:
  indexer tail --from outbox
  indexer tail --from broker --follow | jq .kind";

/// Where messages are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TailSource {
    /// The exchange, through a temporary queue.
    Broker,
    /// The outbox table.
    Outbox,
}

/// Arguments of `indexer tail`.
#[derive(Clone, Debug, Args)]
pub struct TailArgs {
    /// Where to read; by default the broker where one is configured, else the outbox
    #[arg(long, value_name = "PLACE")]
    pub from: Option<TailSource>,
    /// Go on until stopped
    #[arg(long)]
    pub follow: bool,
}

/// Runs the command.
pub async fn execute(_args: &TailArgs, _context: &Context) -> Result<(), Failure> {
    Err(Failure::new(Exit::Internal, "tail is not built yet"))
}
