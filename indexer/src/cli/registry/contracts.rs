//! `indexer registry contracts`.

use std::path::PathBuf;

use alloy_primitives::Address;
use clap::{Args, Subcommand};
use decoders::block::ChainId;
use sinks::abis;
use sinks::store::Store;

use super::arguments::{self, ChainListArgs, OrNone, set};
use crate::cli::context::Context;
use crate::cli::output::cell;
use crate::error::{Error, Exit, Failure};
use crate::registry::{self, Abi, Contract};

/// What to do with contracts.
#[derive(Clone, Debug, Subcommand)]
pub enum ContractsCommand {
    /// Show contracts
    #[command(after_long_help = "Example:\n  indexer registry contracts list --chain eip155:1")]
    List(ChainListArgs),
    /// Add a contract
    #[command(
        after_long_help = "Example:\n  indexer registry contracts add --chain eip155:1 \\\n    \
        --address 0xb47e3cd837ddf8e4c57f05d70ab865de6e193bbb --name CryptoPunks --standard cryptopunks --start-block 3914495"
    )]
    Add(AddArgs),
    /// Change a contract
    #[command(
        after_long_help = "Example:\n  indexer registry contracts set --chain eip155:1 \\\n    \
        --address 0xb47e3cd837ddf8e4c57f05d70ab865de6e193bbb --abi abis/cryptopunks.json"
    )]
    Set(SetArgs),
    /// Remove a contract; its ABI and its facts stay
    #[command(
        after_long_help = "Example:\n  indexer registry contracts remove --chain eip155:1 \\\n    \
        --address 0xb47e3cd837ddf8e4c57f05d70ab865de6e193bbb"
    )]
    Remove(Key),
}

/// The contract an edit is about.
#[derive(Clone, Copy, Debug, Args)]
pub struct Key {
    /// The chain
    #[arg(long, value_name = "CAIP2")]
    pub chain: ChainId,
    /// The contract
    #[arg(long)]
    pub address: Address,
}

/// Arguments of `contracts add`.
#[derive(Clone, Debug, Args)]
pub struct AddArgs {
    /// The contract.
    #[command(flatten)]
    pub key: Key,
    /// Display name
    #[arg(long, value_parser = arguments::name)]
    pub name: String,
    /// Standard it follows: erc721, erc1155, erc20, cryptopunks, proxy, custom, or another lower-case name
    #[arg(long, value_parser = arguments::standard)]
    pub standard: String,
    /// Its settings.
    #[command(flatten)]
    pub settings: SettingArgs,
}

/// Arguments of `contracts set`.
#[derive(Clone, Debug, Args)]
pub struct SetArgs {
    /// The contract.
    #[command(flatten)]
    pub key: Key,
    /// Display name
    #[arg(long, value_parser = arguments::name)]
    pub name: Option<String>,
    /// Standard it follows
    #[arg(long, value_parser = arguments::standard)]
    pub standard: Option<String>,
    /// Its settings.
    #[command(flatten)]
    pub settings: SettingArgs,
}

/// What both `add` and `set` take.
#[derive(Clone, Debug, Args)]
pub struct SettingArgs {
    /// Block of its deployment, or the lowest one of interest
    #[arg(long, value_name = "BLOCK")]
    pub start_block: Option<u64>,
    /// Implementation behind a proxy until the chain names another, or none
    #[arg(long, visible_alias = "impl", value_name = "ADDRESS")]
    pub implementation: Option<OrNone<Address>>,
    /// With --implementation: the block from which it is the one, for proxies that emit no Upgraded
    #[arg(long, value_name = "BLOCK", requires = "implementation")]
    pub from_block: Option<u64>,
    /// ABI as a JSON file: an array of entries, or a compiler's artifact
    #[arg(long, value_name = "FILE", conflicts_with = "abi_sha256")]
    pub abi: Option<PathBuf>,
    /// An ABI of the registry by its SHA-256, or none
    #[arg(long, value_name = "SHA256")]
    pub abi_sha256: Option<OrNone<String>>,
}

impl SettingArgs {
    fn apply(&self, contract: &mut Contract) {
        set(&mut contract.start_block, self.start_block);
        if self.from_block.is_none() {
            set(&mut contract.impl_address, self.implementation.map(|address| address.0));
        }
        set(
            &mut contract.abi_sha256,
            self.abi_sha256.as_ref().map(|sha256| sha256.0.clone()),
        );
    }

    /// Keeps since when an implementation is the one, where that is given.
    async fn tell_since(&self, store: &Store, key: Key) -> Result<(), Failure> {
        let (Some(from), Some(OrNone(Some(implementation)))) = (self.from_block, self.implementation) else {
            return Ok(());
        };
        abis::add_change(store, key.chain, key.address, from, implementation)
            .await
            .map_err(Error::from)?;
        Ok(())
    }

    fn read_abi(&self) -> Result<Option<Abi>, Failure> {
        self.abi.as_deref().map(Abi::read).transpose().map_err(Failure::from)
    }
}

pub(super) async fn execute(command: &ContractsCommand, context: &Context, store: &Store) -> Result<(), Failure> {
    match command {
        ContractsCommand::List(args) => list(*args, context, store).await,
        ContractsCommand::Add(args) => {
            let added = added(args);
            registry::add_contract(store, &added, args.settings.read_abi()?.as_ref()).await?;
            args.settings.tell_since(store, args.key).await?;
            context
                .writer
                .line(format_args!("added contract {:#x} of {}", added.address, added.chain))
        }
        ContractsCommand::Set(args) => {
            let abi = args.settings.read_abi()?;
            let edited = registry::edit_contract(store, (args.key.chain, args.key.address), abi.as_ref(), |contract| {
                set(&mut contract.name, args.name.clone().map(Some));
                set(&mut contract.standard, args.standard.clone().map(Some));
                args.settings.apply(contract);
            });
            let edited = edited.await?;
            args.settings.tell_since(store, args.key).await?;
            context.writer.line(format_args!(
                "changed contract {:#x} of {}",
                edited.address, edited.chain
            ))
        }
        ContractsCommand::Remove(key) => remove(*key, context, store).await,
    }
}

fn added(args: &AddArgs) -> Contract {
    let mut contract = Contract {
        chain: args.key.chain,
        address: args.key.address,
        name: Some(args.name.clone()),
        standard: Some(args.standard.clone()),
        start_block: 0,
        abi_sha256: None,
        impl_address: None,
    };
    args.settings.apply(&mut contract);
    contract
}

async fn remove(key: Key, context: &Context, store: &Store) -> Result<(), Failure> {
    let Key { chain, address } = key;
    if registry::names_contract(&context.config, chain, address) {
        let text =
            format!("the configuration names contract {address:#x} and would add it again: take it out there first");
        return Err(Failure::new(Exit::Registry, text));
    }
    registry::remove_contract(store, chain, address).await?;
    context.writer.line(format_args!(
        "removed contract {address:#x} of {chain}; its ABI and its facts stay"
    ))
}

async fn list(args: ChainListArgs, context: &Context, store: &Store) -> Result<(), Failure> {
    if let Some(chain) = args.chain {
        registry::chain(store, chain).await?;
    }
    let contracts = registry::contracts(store, args.chain).await?;
    if args.json {
        return context.writer.json(&contracts);
    }
    let rows = contracts.iter().map(|contract| {
        vec![
            contract.chain.to_string(),
            format!("{:#x}", contract.address),
            cell(contract.name.clone()),
            cell(contract.standard.clone()),
            contract.start_block.to_string(),
            cell(
                contract
                    .abi_sha256
                    .as_ref()
                    .map(|sha256| sha256.chars().take(12).collect::<String>()),
            ),
        ]
    });
    context.writer.table(
        &["chain", "address", "name", "standard", "start block", "abi"],
        rows.collect(),
    )
}
