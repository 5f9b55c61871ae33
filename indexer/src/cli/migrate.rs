//! `indexer migrate`: bring the schema up to date.

use clap::Args;

use super::context::Context;
use crate::database;
use crate::error::Failure;

pub(super) const EXAMPLES: &str = "\
Every command that opens the database does the same first; this one does nothing else. Migrations
only go forward and may be repeated.

Example:
  DATABASE_URL=postgres://indexer@db.example/nft indexer migrate";

/// Arguments of `indexer migrate`.
#[derive(Clone, Copy, Debug, Args)]
pub struct MigrateArgs {}

/// Runs the command.
pub async fn execute(_args: &MigrateArgs, context: &Context) -> Result<(), Failure> {
    let database = database::open(&context.config).await?;
    database.close().await;
    context.writer.line(format_args!(
        "the schema at {} is up to date",
        context.config.database.url
    ))
}
