//! `indexer registry`: list and edit chains, endpoints, contracts, ABIs and currencies.

mod abis;
mod arguments;
mod chains;
mod contracts;
mod currencies;
mod endpoints;

use clap::{Args, Subcommand};

use super::context::Context;
use crate::database::{self, Database};
use crate::error::Failure;
use crate::registry;

pub(super) const EXAMPLES: &str = "\
config.toml seeds the registry with what is missing there; after that the tables are the truth. A
running daemon follows an edit within a second. The embedded database belongs to the process that
runs it: stop that one to edit.

Examples:
  indexer registry chains list
  indexer registry chains set eip155:1 --enabled false
  indexer registry endpoints add --chain eip155:1 --rate-limit 25 \\
    --url 'https://mainnet.example/v3/${NODE_KEY}'
  indexer registry contracts add --chain eip155:1 --address 0x… --name Punks \\
    --standard cryptopunks --abi punks.json
  indexer registry abis list";

/// Arguments of `indexer registry`.
#[derive(Clone, Debug, Args)]
pub struct RegistryArgs {
    /// What to list or edit.
    #[command(subcommand)]
    pub part: Part,
}

/// The registry's parts.
#[derive(Clone, Debug, Subcommand)]
pub enum Part {
    /// Chains the daemons follow
    #[command(subcommand)]
    Chains(chains::ChainsCommand),
    /// Where chains are read
    #[command(subcommand)]
    Endpoints(endpoints::EndpointsCommand),
    /// Contracts with a name, an ABI or a source of their own
    #[command(subcommand)]
    Contracts(contracts::ContractsCommand),
    /// Add a contract: short for `contracts add`
    #[command(hide = true)]
    AddContract(contracts::AddArgs),
    /// ABIs, kept by the SHA-256 of their canonical JSON
    #[command(subcommand)]
    Abis(abis::AbisCommand),
    /// What prices are stated in
    #[command(subcommand)]
    Currencies(currencies::CurrenciesCommand),
}

/// Runs the command.
pub async fn execute(args: &RegistryArgs, context: &Context) -> Result<(), Failure> {
    let database = database::open(&context.config).await?;
    let outcome = edit(args, context, &database).await;
    database.close().await;
    outcome
}

async fn edit(args: &RegistryArgs, context: &Context, database: &Database) -> Result<(), Failure> {
    let store = &database.store;
    registry::seed(store, &context.config).await?;
    match &args.part {
        Part::Chains(command) => chains::execute(command, context, store).await,
        Part::Endpoints(command) => endpoints::execute(command, context, store).await,
        Part::Contracts(command) => contracts::execute(command, context, store).await,
        Part::AddContract(args) => {
            contracts::execute(&contracts::ContractsCommand::Add(args.clone()), context, store).await
        }
        Part::Abis(command) => abis::execute(command, context, store).await,
        Part::Currencies(command) => currencies::execute(command, context, store).await,
    }
}
