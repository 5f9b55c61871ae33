//! `indexer registry chains`.

use clap::{Args, Subcommand};
use decoders::block::{ChainId, Proof};
use sinks::store::Store;

use super::arguments::{self, ListArgs, OrNone, set};
use crate::cli::context::Context;
use crate::cli::output::cell;
use crate::config::{HeaderHash, Scope};
use crate::error::{Exit, Failure};
use crate::registry::{self, Chain, ChainSettings};

/// What to do with chains.
#[derive(Clone, Debug, Subcommand)]
pub enum ChainsCommand {
    /// Show every chain
    #[command(after_long_help = "Example:\n  indexer registry chains list --json")]
    List(ListArgs),
    /// Add a chain
    #[command(
        after_long_help = "Example:\n  indexer registry chains add eip155:10 --name Optimism --start-block 4061224"
    )]
    Add(AddArgs),
    /// Change a chain
    #[command(
        after_long_help = "Example:\n  indexer registry chains set eip155:10 --enabled false --finality-depth none"
    )]
    Set(SetArgs),
    /// Remove a chain with its endpoints and contracts; its facts stay
    #[command(after_long_help = "Example:\n  indexer registry chains remove eip155:10")]
    Remove(ChainArg),
}

/// The chain an edit is about.
#[derive(Clone, Copy, Debug, Args)]
pub struct ChainArg {
    /// CAIP-2 name
    #[arg(value_name = "CAIP2")]
    pub chain: ChainId,
}

/// Arguments of `chains add`.
#[derive(Clone, Debug, Args)]
pub struct AddArgs {
    /// The chain.
    #[command(flatten)]
    pub chain: ChainArg,
    /// Display name
    #[arg(long, value_parser = arguments::name)]
    pub name: String,
    /// Symbol of the native currency
    #[arg(long, value_name = "SYMBOL", default_value = "ETH", value_parser = arguments::name)]
    pub native_symbol: String,
    /// Its settings.
    #[command(flatten)]
    pub settings: SettingArgs,
}

/// Arguments of `chains set`.
#[derive(Clone, Debug, Args)]
pub struct SetArgs {
    /// The chain.
    #[command(flatten)]
    pub chain: ChainArg,
    /// Display name
    #[arg(long, value_parser = arguments::name)]
    pub name: Option<String>,
    /// Symbol of the native currency
    #[arg(long, value_name = "SYMBOL", value_parser = arguments::name)]
    pub native_symbol: Option<String>,
    /// Its settings.
    #[command(flatten)]
    pub settings: SettingArgs,
}

/// What both `add` and `set` take.
#[derive(Clone, Debug, Args)]
pub struct SettingArgs {
    /// Decimals of the native currency
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(0..=77))]
    pub decimals: Option<i32>,
    /// Block explorer, or none
    #[arg(long, value_name = "URL")]
    pub explorer_url: Option<OrNone<url::Url>>,
    /// Whether daemons follow it
    #[arg(long, value_name = "BOOL")]
    pub enabled: Option<bool>,
    /// Lowest block wanted
    #[arg(long, value_name = "BLOCK")]
    pub start_block: Option<u64>,
    /// Which logs are followed
    #[arg(long)]
    pub scope: Option<Scope>,
    /// Blocks behind the head that count as final where nodes serve no `finalized` tag, or none
    #[arg(long, value_name = "BLOCKS")]
    pub finality_depth: Option<OrNone<u64>>,
    /// Check at the head instead of pipeline.integrity_head: chained, bloom, receipts or none
    #[arg(long, value_name = "PROOF", value_parser = arguments::proof)]
    pub integrity_head: Option<OrNone<Proof>>,
    /// Check of final blocks instead of pipeline.integrity_backfill: chained, bloom, receipts or none
    #[arg(long, value_name = "PROOF", value_parser = arguments::proof)]
    pub integrity_backfill: Option<OrNone<Proof>>,
    /// Whether header hashes can be recomputed
    #[arg(long)]
    pub header_hash: Option<HeaderHash>,
    /// How often a new head is looked for where no WebSocket announces it
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u64).range(50..=600_000))]
    pub poll_interval_ms: Option<u64>,
}

impl SettingArgs {
    fn apply(&self, chain: &mut Chain) {
        set(&mut chain.decimals, self.decimals);
        set(
            &mut chain.explorer_url,
            self.explorer_url
                .as_ref()
                .map(|url| url.0.as_ref().map(ToString::to_string)),
        );
        set(&mut chain.enabled, self.enabled);
        set(&mut chain.start_block, self.start_block);
        set(&mut chain.scope, self.scope);
        let settings = &mut chain.settings;
        set(&mut settings.finality_depth, self.finality_depth.map(|depth| depth.0));
        set(&mut settings.head_proof, self.integrity_head.map(|proof| proof.0));
        set(
            &mut settings.backfill_proof,
            self.integrity_backfill.map(|proof| proof.0),
        );
        set(&mut settings.header_hash, self.header_hash);
        set(&mut settings.poll_interval_ms, self.poll_interval_ms);
    }
}

pub(super) async fn execute(command: &ChainsCommand, context: &Context, store: &Store) -> Result<(), Failure> {
    match command {
        ChainsCommand::List(args) => list(*args, context, store).await,
        ChainsCommand::Add(args) => {
            let added = added(args);
            registry::add_chain(store, &added).await?;
            context.writer.line(format_args!(
                "added {}: give it an endpoint with `indexer registry endpoints add`",
                added.chain
            ))
        }
        ChainsCommand::Set(args) => {
            let edited = registry::edit_chain(store, args.chain.chain, |chain| {
                set(&mut chain.name, args.name.clone());
                set(&mut chain.native_symbol, args.native_symbol.clone());
                args.settings.apply(chain);
            });
            context.writer.line(format_args!("changed {}", edited.await?.chain))
        }
        ChainsCommand::Remove(ChainArg { chain }) => {
            if registry::names_chain(&context.config, *chain) {
                let text = format!(
                    "the configuration names {chain} and would add it again: take it out there first, or use \
                     `indexer registry chains set {chain} --enabled false`"
                );
                return Err(Failure::new(Exit::Registry, text));
            }
            registry::remove_chain(store, *chain).await?;
            context.writer.line(format_args!(
                "removed {chain}, its endpoints and its contracts; its facts stay"
            ))
        }
    }
}

fn added(args: &AddArgs) -> Chain {
    let mut chain = Chain {
        id: 0,
        chain: args.chain.chain,
        name: args.name.clone(),
        native_symbol: args.native_symbol.clone(),
        decimals: 18,
        explorer_url: None,
        enabled: true,
        start_block: 0,
        scope: Scope::All,
        settings: ChainSettings::default(),
    };
    args.settings.apply(&mut chain);
    chain
}

async fn list(args: ListArgs, context: &Context, store: &Store) -> Result<(), Failure> {
    let chains = registry::chains(store).await?;
    if args.json {
        return context.writer.json(&chains);
    }
    let rows = chains.iter().map(|chain| {
        vec![
            chain.chain.to_string(),
            chain.name.clone(),
            chain.native_symbol.clone(),
            if chain.enabled { "yes" } else { "no" }.to_owned(),
            chain.start_block.to_string(),
            if chain.scope == Scope::All { "all" } else { "contracts" }.to_owned(),
            cell(chain.settings.finality_depth),
            cell(chain.settings.head_proof.map(Proof::as_str)),
            cell(chain.settings.backfill_proof.map(Proof::as_str)),
        ]
    });
    let header = [
        "chain",
        "name",
        "symbol",
        "enabled",
        "start block",
        "scope",
        "finality depth",
        "head",
        "backfill",
    ];
    context.writer.table(&header, rows.collect())
}
