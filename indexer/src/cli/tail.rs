//! `indexer tail`: print messages as they are published.

use std::pin::pin;
use std::time::Duration;

use alloy_primitives::Address;
use clap::builder::PossibleValuesParser;
use clap::{Args, ValueEnum};
use decoders::block::ChainId;
use futures::{Stream, StreamExt};
use sinks::publisher::tail::{self, Filter, Seen};
use sinks::publisher::{self, PublisherError};
use sinks::store::Store;
use tracing::warn;

use super::context::Context;
use crate::config::DatabaseUrl;
use crate::error::{Exit, Failure};
use crate::{database, registry};

/// How often the outbox is looked at with `--follow`.
const OUTBOX_INTERVAL: Duration = Duration::from_millis(500);

pub(super) const EXAMPLES: &str = "\
One JSON message per line. From the broker: what is published from now on, through a queue of its
own; while no other queue is bound, what is shown here counts as delivered. From the outbox: what is
pending: not yet published.

Examples:
  indexer tail --from outbox
  indexer tail --from broker --kind mint | jq .token_id";

/// Where messages are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TailSource {
    /// The exchange, through a temporary queue.
    Broker,
    /// The outbox table.
    Outbox,
}

/// Which messages are meant.
#[derive(Clone, Debug, Args)]
pub struct FilterArgs {
    /// Only this chain
    #[arg(long, value_name = "CAIP2")]
    pub chain: Option<ChainId>,
    /// Only this kind
    #[arg(long, value_name = "KIND", value_parser = PossibleValuesParser::new(publisher::kinds()))]
    pub kind: Option<String>,
    /// Only this contract
    #[arg(long, value_name = "ADDRESS")]
    pub contract: Option<Address>,
}

/// Arguments of `indexer tail`.
#[derive(Clone, Debug, Args)]
pub struct TailArgs {
    /// Where to read; by default the broker where one is configured, else the outbox
    #[arg(long, value_name = "PLACE")]
    pub from: Option<TailSource>,
    /// Go on until stopped; the broker is always followed
    #[arg(long)]
    pub follow: bool,
    /// Which messages.
    #[command(flatten)]
    pub filter: FilterArgs,
    /// Only outbox rows above this number
    #[arg(long, value_name = "SEQ", default_value_t = 0)]
    pub after: i64,
    /// End after this many messages
    #[arg(long, value_name = "N")]
    pub limit: Option<usize>,
}

/// Runs the command.
pub async fn execute(args: &TailArgs, context: &Context) -> Result<(), Failure> {
    let broker = context.config.broker.url.as_ref();
    let source = args.from.unwrap_or(if broker.is_some() {
        TailSource::Broker
    } else {
        TailSource::Outbox
    });
    match (source, broker) {
        (TailSource::Broker, Some(url)) => {
            let exchange = &context.config.broker.exchange;
            args.filter.check_with_server(context).await?;
            let messages = tail::from_broker(url.expose(), exchange, &args.filter.filter())
                .await
                .map_err(|error| broken(&error))?;
            print(args, context, messages).await
        }
        (TailSource::Broker, None) => {
            let message = "no broker is configured: set broker.url or AMQP_URL, or read with --from outbox";
            Err(Failure::new(Exit::Config, message))
        }
        (TailSource::Outbox, _) => {
            let database = context.opened(database::open(&context.config)).await?;
            let outcome = from_outbox(args, context, &database.store).await;
            database.close().await;
            outcome
        }
    }
}

async fn from_outbox(args: &TailArgs, context: &Context, store: &Store) -> Result<(), Failure> {
    args.filter.check(context, store).await?;
    let follow = args.follow.then_some(OUTBOX_INTERVAL);
    let messages = tail::from_outbox(store.clone(), args.after, args.filter.filter(), follow);
    print(args, context, messages).await
}

impl FilterArgs {
    /// Refuses a chain that is not in the registry: no message of it will ever come.
    async fn check(&self, context: &Context, store: &Store) -> Result<(), Failure> {
        let Some(chain) = self.chain else { return Ok(()) };
        registry::seed(store, &context.config).await?;
        registry::chain(store, chain).await?;
        Ok(())
    }

    /// The same for a command that needs the broker alone: where the database is no server, or cannot be reached, it goes on. The
    /// embedded one is the daemon's, or not there at all.
    pub(super) async fn check_with_server(&self, context: &Context) -> Result<(), Failure> {
        if self.chain.is_none() || context.config.database.url == DatabaseUrl::Embedded {
            return Ok(());
        }
        match Box::pin(context.opened(database::open(&context.config))).await {
            Ok(database) => {
                let known = self.check(context, &database.store).await;
                database.close().await;
                known
            }
            Err(failure) if failure.exit == Exit::Database => {
                warn!(%failure, "failed to look up whether the chain is in the registry, going on without");
                Ok(())
            }
            Err(failure) => Err(failure),
        }
    }

    pub(super) fn filter(&self) -> Filter {
        Filter {
            chain: self.chain,
            kind: self.kind.clone(),
            contract: self.contract,
        }
    }
}

/// Prints messages until there are no more, `--limit` is reached, or the first signal.
async fn print(
    args: &TailArgs,
    context: &Context,
    messages: impl Stream<Item = Result<Seen, PublisherError>>,
) -> Result<(), Failure> {
    let mut messages = pin!(messages.take(args.limit.unwrap_or(usize::MAX)));
    loop {
        let next = tokio::select! {
            () = context.cancel.cancelled() => return Ok(()),
            next = messages.next() => next,
        };
        let Some(seen) = next else { return Ok(()) };
        let body = seen.map_err(|error| broken(&error))?.body;
        context.writer.line(String::from_utf8_lossy(&body))?;
    }
}

pub(super) fn broken(error: &PublisherError) -> Failure {
    let exit = match error {
        PublisherError::Store(_) => Exit::Database,
        PublisherError::Address | PublisherError::Name(_) => Exit::Config,
        _ => Exit::Broker,
    };
    Failure::new(exit, error.to_string())
}
