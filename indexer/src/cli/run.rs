//! `indexer run`: follow the chains of the registry.

use std::sync::Arc;

use clap::Args;
use decoders::block::ChainId;
use queries::Readers;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::arguments::EndpointUrlParser;
use super::context::Context;
use crate::config::EndpointUrl;
use crate::daemon::assembly::Assignment;
use crate::daemon::{self, Daemon};
use crate::error::{Exit, Failure};
use crate::health::{Health, server, watch};
use crate::registry;
use crate::stores::Stores;

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
    #[arg(long = "rpc", value_name = "URL", value_parser = EndpointUrlParser, requires = "chains")]
    pub endpoints: Vec<EndpointUrl>,
}

/// Runs the command.
pub async fn execute(args: &RunArgs, context: &Context) -> Result<(), Failure> {
    if !args.endpoints.is_empty() && args.chains.len() != 1 {
        return Err(Failure::new(
            Exit::Usage,
            "--rpc replaces the endpoints of one chain: give exactly one --chain",
        ));
    }
    let listener = server::bind(context.config.api.listen).await?;
    let stores = tokio::select! {
        stores = Stores::open(&context.config) => stores?,
        // A server that is waited for must not keep the process from stopping.
        () = context.cancel.cancelled() => return Ok(()),
    };
    let outcome = Box::pin(run(args, context, &stores, listener)).await;
    stores.close().await;
    outcome
}

async fn run(args: &RunArgs, context: &Context, stores: &Stores, listener: TcpListener) -> Result<(), Failure> {
    let assignments = assignments(args, stores).await?;
    let readers = stores.database.readers(&context.config.api);
    let health = Health::new().reading(readers.board());
    let router = server::router(&health, Some(api::router(readers.clone())));
    let daemon = Daemon {
        config: &context.config,
        stores,
        health: health.clone(),
        progress: Arc::default(),
        holder: daemon::holder(),
    };
    let selected = (!args.chains.is_empty()).then_some(args.chains.as_slice());
    let ended = CancellationToken::new();
    let follow = async {
        let followed = daemon.run(assignments, selected, Some((listener, router)), &context.cancel);
        let outcome = Box::pin(followed).await;
        ended.cancel();
        outcome
    };
    let (outcome, ()) = tokio::join!(follow, watch_stores(stores, &readers, &health, &ended));
    outcome
}

/// Reports whether the stores answer, until `ended`.
async fn watch_stores(stores: &Stores, readers: &Readers, health: &Health, ended: &CancellationToken) {
    let (database, archive) = (health.readiness.task("database"), health.readiness.task("archive"));
    let diagnosis = stores.database.diagnosis();
    tokio::join!(
        watch::database(readers.board(), &diagnosis, database, ended),
        watch::archive(&stores.archive, archive, ended)
    );
}

/// What the command line and the registry together want followed.
async fn assignments(args: &RunArgs, stores: &Stores) -> Result<Vec<Assignment>, Failure> {
    let store = &stores.database.store;
    let chains = if args.chains.is_empty() {
        let enabled = registry::chains(store).await?.into_iter().filter(|chain| chain.enabled);
        enabled.map(|chain| chain.chain).collect()
    } else {
        args.chains.clone()
    };
    if chains.is_empty() {
        let message = "no chain is enabled: add one with `indexer registry chains add`, or enable one in the registry";
        return Err(Failure::new(Exit::Registry, message));
    }
    let mut assignments = Vec::with_capacity(chains.len());
    for chain in chains {
        let entry = registry::load_chain(store, chain).await?;
        assignments.push(Assignment {
            entry,
            endpoints: args.endpoints.clone(),
            until: args.until,
        });
    }
    Ok(assignments)
}
