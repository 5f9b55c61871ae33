//! `indexer demo`: the main job on a recording of a real chain, with nothing to set up.

use std::path::PathBuf;

use clap::Args;

use super::Context;
use crate::error::{Exit, Failure};

pub(super) const EXAMPLES: &str = "\
Indexes the recording that lives in the repository into an embedded PostgreSQL, prints a summary, and
serves the API and metrics until Ctrl-C. A second start resumes from the state the first one kept.

Examples:
  indexer demo
  indexer demo --once --data-dir /tmp/demo";

/// Arguments of `indexer demo`.
#[derive(Clone, Debug, Args)]
pub struct DemoArgs {
    /// End after the summary
    #[arg(long)]
    pub once: bool,
    /// Folder of the demo's database
    #[arg(long, value_name = "FOLDER", default_value = "data/demo")]
    pub data_dir: PathBuf,
}

/// Runs the command.
pub async fn execute(_args: &DemoArgs, _context: &Context) -> Result<(), Failure> {
    Err(Failure::new(Exit::Internal, "demo is not built yet"))
}
