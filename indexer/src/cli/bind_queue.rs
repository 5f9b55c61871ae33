//! `indexer bind-queue`: declare a queue for a consumer and bind it to the exchange.

use clap::Args;
use sinks::publisher::queue;
use sinks::publisher::tail::Filter;

use super::context::Context;
use super::tail::{self, FilterArgs};
use crate::error::{Exit, Failure};

pub(super) const EXAMPLES: &str = "\
Declares a durable quorum queue at the broker and binds it to broker.exchange for the messages that
are wanted; without options, for all. Repeat it to bind more kinds, chains or contracts. It never
narrows a queue: one that is bound to all messages gets all, whatever is bound besides.

Examples:
  indexer bind-queue nft
  indexer bind-queue sales --kind sale --chain eip155:1";

/// A broker lists no bindings to a client of the protocol, so an earlier one that lets everything through cannot be seen here, and to
/// unbind it unasked would take messages from a consumer.
const ADDS_UP: &str = ", beside what it was bound to before: bind another queue for these alone";

/// Arguments of `indexer bind-queue`.
#[derive(Clone, Debug, Args)]
pub struct BindQueueArgs {
    /// The queue's name
    #[arg(value_name = "NAME")]
    pub queue: String,
    /// The messages it gets.
    #[command(flatten)]
    pub filter: FilterArgs,
}

/// Runs the command.
pub async fn execute(args: &BindQueueArgs, context: &Context) -> Result<(), Failure> {
    let broker = &context.config.broker;
    let url = broker.url.as_ref().ok_or_else(|| {
        let message = "no broker is configured: set broker.url or AMQP_URL";
        Failure::new(Exit::Config, message)
    })?;
    args.filter.check_with_server(context).await?;
    let filter = args.filter.filter();
    queue::bind(url.expose(), &broker.exchange, &args.queue, &filter)
        .await
        .map_err(|error| tail::broken(&error))?;
    context.writer.line(format_args!(
        "queue {} gets the messages {} of exchange {}{}",
        args.queue,
        filter.binding(),
        broker.exchange,
        if filter == Filter::default() { "" } else { ADDS_UP }
    ))
}
