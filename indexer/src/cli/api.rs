//! `indexer api`: serve what the tables hold, without indexing.

use std::net::SocketAddr;

use clap::Args;

use super::context::Context;
use crate::database;
use crate::error::Failure;
use crate::health::{Health, server, watch};

pub(super) const EXAMPLES: &str = "\
Serves /v1/status, /v1/collections, /v1/tokens and /v1/transfers from the tables, with /healthz,
/readyz and /metrics. Any number of these may run beside the daemons.

Examples:
  indexer api
  indexer api --listen 0.0.0.0:8080";

/// Arguments of `indexer api`.
#[derive(Clone, Copy, Debug, Args)]
pub struct ApiArgs {
    /// Address and port, instead of api.listen
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<SocketAddr>,
}

/// Runs the command.
pub async fn execute(args: &ApiArgs, context: &Context) -> Result<(), Failure> {
    let listener = server::bind(args.listen.unwrap_or(context.config.api.listen)).await?;
    let database = tokio::select! {
        database = database::open(&context.config) => database?,
        // A server that is waited for must not keep the process from stopping.
        () = context.cancel.cancelled() => return Ok(()),
    };
    let readers = database.readers(&context.config.api);
    let health = Health::new().reading(readers.board());
    let (probe, diagnosis) = (health.readiness.task("database"), database.diagnosis());
    let router = server::router(&health, Some(api::router(readers.clone())));
    tokio::join!(
        server::serve(listener, router, context.cancel.clone()),
        watch::database(readers.board(), &diagnosis, probe, &context.cancel)
    );
    database.close().await;
    Ok(())
}
