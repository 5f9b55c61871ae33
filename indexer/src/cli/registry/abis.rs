//! `indexer registry abis`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use sinks::store::Store;

use super::arguments::{self, ListArgs};
use crate::cli::context::Context;
use crate::cli::output::cell;
use crate::error::Failure;
use crate::registry::{self, Abi};

/// What to do with ABIs.
#[derive(Clone, Debug, Subcommand)]
pub enum AbisCommand {
    /// Show ABIs
    #[command(after_long_help = "Example:\n  indexer registry abis list")]
    List(ListArgs),
    /// Add an ABI; adding the same one again does nothing
    #[command(
        after_long_help = "Example:\n  indexer registry abis add abis/erc721.json --name ERC721 --standard erc721"
    )]
    Add(AddArgs),
    /// Print an ABI's JSON
    #[command(after_long_help = "Example:\n  indexer registry abis show 4b1c…")]
    Show(KeyArg),
    /// Remove an ABI that no contract uses
    #[command(after_long_help = "Example:\n  indexer registry abis remove 4b1c…")]
    Remove(KeyArg),
}

/// The ABI an edit is about.
#[derive(Clone, Debug, Args)]
pub struct KeyArg {
    /// Its SHA-256, whole, as the list shows it
    #[arg(value_name = "SHA256")]
    pub sha256: String,
}

/// Arguments of `abis add`.
#[derive(Clone, Debug, Args)]
pub struct AddArgs {
    /// JSON file: an array of entries, or a compiler's artifact
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Contract it was made for
    #[arg(long, value_parser = arguments::name)]
    pub name: Option<String>,
    /// Standard it describes
    #[arg(long, value_parser = arguments::standard)]
    pub standard: Option<String>,
}

pub(super) async fn execute(command: &AbisCommand, context: &Context, store: &Store) -> Result<(), Failure> {
    let writer = context.writer;
    match command {
        AbisCommand::List(args) => list(*args, context, store).await,
        AbisCommand::Add(args) => {
            let abi = Abi::read(&args.file)?;
            registry::add_abi(store, &abi, args.name.as_deref(), args.standard.as_deref()).await?;
            writer.line(format_args!(
                "added ABI {} with {} events and {} functions",
                abi.sha256, abi.events, abi.functions
            ))
        }
        AbisCommand::Show(KeyArg { sha256 }) => writer.json(&registry::abi_json(store, sha256).await?),
        AbisCommand::Remove(KeyArg { sha256 }) => {
            registry::remove_abi(store, sha256).await?;
            writer.line(format_args!("removed ABI {sha256}"))
        }
    }
}

async fn list(args: ListArgs, context: &Context, store: &Store) -> Result<(), Failure> {
    let abis = registry::abis(store).await?;
    if args.json {
        return context.writer.json(&abis);
    }
    let rows = abis.iter().map(|abi| {
        vec![
            abi.sha256.clone(),
            cell(abi.contract_name.clone()),
            cell(abi.standard.clone()),
            abi.size_bytes.to_string(),
            abi.contracts.to_string(),
        ]
    });
    context
        .writer
        .table(&["sha256", "name", "standard", "bytes", "contracts"], rows.collect())
}
