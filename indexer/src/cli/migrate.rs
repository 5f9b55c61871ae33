//! `indexer migrate`: bring the schema up to date.

use clap::Args;

use super::context::Context;
use crate::database;
use crate::error::{Error, Failure};

pub(super) const EXAMPLES: &str = "\
Every command that opens the database does the same first. Migrations only go forward and may be
repeated. This one gives the roles of services their rights, too, and names those that it may not make.

Example:
  DATABASE_URL=postgres://indexer@db.example/nft indexer migrate";

/// Arguments of `indexer migrate`.
#[derive(Clone, Copy, Debug, Args)]
pub struct MigrateArgs {}

/// Runs the command.
pub async fn execute(_args: &MigrateArgs, context: &Context) -> Result<(), Failure> {
    let database = database::open(&context.config).await?;
    let missing = database.store.ensure_roles().await;
    database.close().await;
    context.writer.line(format_args!(
        "the schema at {} is up to date",
        context.config.database.url
    ))?;
    let missing = missing.map_err(Error::from)?;
    if !missing.is_empty() {
        context.writer.line(format_args!(
            "roles are missing that this log-in may not make; have it run, then migrate again:\n{}",
            missing.join("\n")
        ))?;
    }
    Ok(())
}
