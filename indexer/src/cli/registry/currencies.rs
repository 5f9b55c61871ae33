//! `indexer registry currencies`.

use alloy_primitives::Address;
use clap::{ArgAction, Args, Subcommand};
use decoders::block::ChainId;
use sinks::currencies::{self, Currency};
use sinks::store::Store;

use super::arguments::{self, ChainListArgs};
use crate::cli::context::Context;
use crate::cli::output::cell;
use crate::error::{Error, Failure};

/// What to do with currencies.
#[derive(Clone, Debug, Subcommand)]
pub enum CurrenciesCommand {
    /// Show currencies
    #[command(after_long_help = "Example:\n  indexer registry currencies list --chain eip155:1")]
    List(ChainListArgs),
    /// Add a currency or change it: prices stated in it are shown with its decimals from then on
    #[command(
        after_long_help = "Example:\n  indexer registry currencies set --chain eip155:1 \\\n    \
        --address 0xc02aaa39b223fe8d0a0e5c4f27ead9083c756cc2 --symbol WETH --decimals 18 --pegged true"
    )]
    Set(SetArgs),
}

/// Arguments of `currencies set`.
#[derive(Clone, Debug, Args)]
pub struct SetArgs {
    /// The chain
    #[arg(long, value_name = "CAIP2")]
    pub chain: ChainId,
    /// The ERC-20 contract
    #[arg(long)]
    pub address: Address,
    /// Symbol
    #[arg(long, value_parser = arguments::name)]
    pub symbol: String,
    /// Digits after the point of one whole unit
    #[arg(long, value_parser = clap::value_parser!(u8).range(..=77))]
    pub decimals: u8,
    /// Whether one of it is worth one of the native currency, so that it adds to volumes and floors
    #[arg(long, default_value_t = false, action = ArgAction::Set)]
    pub pegged: bool,
}

pub(super) async fn execute(command: &CurrenciesCommand, context: &Context, store: &Store) -> Result<(), Failure> {
    match command {
        CurrenciesCommand::List(args) => list(args, context, store).await,
        CurrenciesCommand::Set(args) => set(args, context, store).await,
    }
}

async fn set(args: &SetArgs, context: &Context, store: &Store) -> Result<(), Failure> {
    crate::registry::chain(store, args.chain).await?;
    let currency = Currency {
        address: args.address,
        symbol: args.symbol.clone(),
        decimals: Some(args.decimals),
        pegged: args.pegged,
    };
    currencies::set(store, args.chain, &currency)
        .await
        .map_err(Error::from)?;
    context
        .writer
        .line(format_args!("{} on {} is {:#x}", args.symbol, args.chain, args.address))
}

async fn list(args: &ChainListArgs, context: &Context, store: &Store) -> Result<(), Failure> {
    if let Some(chain) = args.chain {
        crate::registry::chain(store, chain).await?;
    }
    let listed = queries::currencies::list(&store.pool, args.chain).await?;
    if args.json {
        return context.writer.json(&listed);
    }
    let rows = listed.into_iter().map(|one| {
        let pegged = if one.pegged { "yes" } else { "no" };
        vec![
            one.chain_id,
            one.address,
            cell(one.symbol),
            cell(one.decimals),
            pegged.to_owned(),
            one.source,
        ]
    });
    let columns = ["chain", "address", "symbol", "decimals", "pegged", "source"];
    context.writer.table(&columns, rows.collect())
}
