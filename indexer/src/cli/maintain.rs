//! `indexer maintain`: delete what is past its time, and make partitions ahead of it.

use std::time::Duration;

use clap::Args;
use sinks::maintenance::{self, Action};

use super::context::Context;
use crate::daemon;
use crate::database;
use crate::error::{Error, Exit, Failure};

pub(super) const EXAMPLES: &str = "\
Daemons do this by themselves, one at a time, when they start and every hour. What is kept, and for
how long, stands in docs/RUNBOOK.md and under [maintenance] in the configuration.

Examples:
  indexer maintain --dry-run
  indexer maintain";

/// Arguments of `indexer maintain`.
#[derive(Clone, Copy, Debug, Args)]
pub struct MaintainArgs {
    /// Show what would be done, and do nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// Runs the command.
pub async fn execute(args: &MaintainArgs, context: &Context) -> Result<(), Failure> {
    let database = context.opened(database::open(&context.config)).await?;
    let (store, kept) = (&database.store, context.config.maintenance.kept());
    let outcome = async {
        if args.dry_run {
            return Ok(Some(maintenance::preview(store, &kept).await?));
        }
        // Asked for by name: that it was done a moment ago is no reason to leave it.
        match maintenance::take(store, &daemon::holder(), Duration::ZERO).await? {
            Some(turn) => Ok(Some(maintenance::run(store, &kept, &turn, &context.cancel).await?)),
            None => Ok(None),
        }
    };
    let outcome: Result<Option<Vec<Action>>, sinks::error::SinkError> = outcome.await;
    database.close().await;
    let Some(actions) = outcome.map_err(Error::from)? else {
        let message = "another process looks after the database at this moment: try again when it is done";
        return Err(Failure::new(Exit::Database, message));
    };
    print(&actions, context)?;
    if context.cancel.is_cancelled() {
        let message = "stopped before everything was done: start it again for the rest";
        return Err(Failure::new(Exit::Interrupted, message));
    }
    Ok(())
}

fn print(actions: &[Action], context: &Context) -> Result<(), Failure> {
    if actions.is_empty() {
        return context.writer.line("nothing is due");
    }
    let rows = actions
        .iter()
        .map(|action| vec![action.table.clone(), action.action.to_owned(), action.rows.to_string()]);
    context.writer.table(&["table", "action", "rows"], rows.collect())
}
