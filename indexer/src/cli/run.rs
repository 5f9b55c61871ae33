//! `indexer run`: follow the chains of the registry.

use clap::Args;
use decoders::block::ChainId;

use super::Context;
use crate::config::EndpointUrl;
use crate::error::{Exit, Failure};

pub(super) const EXAMPLES: &str = "\
Follows every enabled chain of the registry: fills what is missing below the finalized block, then
indexes each new block, publishes, and serves the API, /healthz, /readyz and /metrics. The first
SIGINT or SIGTERM finishes what is begun, the second ends at once.

Examples:
  indexer run
  indexer run --chain eip155:1 --until 20000000
  indexer run --chain eip155:31337 --rpc http://127.0.0.1:8545 --rpc ws://127.0.0.1:8545";

/// Arguments of `indexer run`.
#[derive(Clone, Debug, Args)]
pub struct RunArgs {
    /// Follow only this chain (repeatable)
    #[arg(long = "chain", value_name = "CAIP2")]
    pub chains: Vec<ChainId>,
    /// Stop when every chain has reached this block
    #[arg(long, value_name = "BLOCK")]
    pub until: Option<u64>,
    /// Read from this endpoint instead of the registry's (repeatable; needs exactly one --chain)
    #[arg(long = "rpc", value_name = "URL", requires = "chains")]
    pub endpoints: Vec<EndpointUrl>,
}

/// Runs the command.
pub async fn execute(_args: &RunArgs, _context: &Context) -> Result<(), Failure> {
    Err(Failure::new(Exit::Internal, "run is not built yet"))
}
