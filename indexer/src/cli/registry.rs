//! `indexer registry`: list and edit chains, endpoints, contracts and ABIs.

use clap::Args;

use super::Context;
use crate::error::{Exit, Failure};

pub(super) const EXAMPLES: &str = "Example:
  indexer registry chains list";

/// Arguments of `indexer registry`.
#[derive(Clone, Debug, Args)]
pub struct RegistryArgs {}

/// Runs the command.
pub async fn execute(_args: &RegistryArgs, _context: &Context) -> Result<(), Failure> {
    Err(Failure::new(Exit::Internal, "registry is not built yet"))
}
