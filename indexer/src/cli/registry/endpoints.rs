//! `indexer registry endpoints`.

use clap::{Args, Subcommand};
use decoders::block::ChainId;
use sinks::store::Store;

use super::arguments::{ChainListArgs, OrNone, set};
use crate::cli::arguments::EndpointUrlParser;
use crate::cli::context::Context;
use crate::cli::output::cell;
use crate::config::{AuthType, EndpointUrl};
use crate::error::{Exit, Failure};
use crate::registry::{self, Endpoint, RegistryError};

/// What to do with endpoints.
#[derive(Clone, Debug, Subcommand)]
pub enum EndpointsCommand {
    /// Show endpoints, without the secrets in their URLs
    #[command(after_long_help = "Example:\n  indexer registry endpoints list --chain eip155:1")]
    List(ChainListArgs),
    /// Add an endpoint
    #[command(
        after_long_help = "Example:\n  indexer registry endpoints add --chain eip155:1 --url wss://node.example --priority 1"
    )]
    Add(AddArgs),
    /// Change an endpoint
    #[command(after_long_help = "Example:\n  indexer registry endpoints set 3 --active false")]
    Set(SetArgs),
    /// Remove an endpoint
    #[command(after_long_help = "Example:\n  indexer registry endpoints remove 3")]
    Remove(IdArg),
}

/// The endpoint an edit is about.
#[derive(Clone, Copy, Debug, Args)]
pub struct IdArg {
    /// Its id, as the list shows it
    #[arg(value_name = "ID")]
    pub id: i32,
}

/// Arguments of `endpoints add`.
#[derive(Clone, Debug, Args)]
pub struct AddArgs {
    /// The chain
    #[arg(long, value_name = "CAIP2")]
    pub chain: ChainId,
    /// HTTP or WebSocket URL; ${NAME} stands for an environment variable of the daemon
    #[arg(long, value_parser = EndpointUrlParser)]
    pub url: EndpointUrl,
    /// Its settings.
    #[command(flatten)]
    pub settings: SettingArgs,
}

/// Arguments of `endpoints set`.
#[derive(Clone, Debug, Args)]
pub struct SetArgs {
    /// The endpoint.
    #[command(flatten)]
    pub id: IdArg,
    /// HTTP or WebSocket URL; ${NAME} stands for an environment variable of the daemon
    #[arg(long, value_parser = EndpointUrlParser)]
    pub url: Option<EndpointUrl>,
    /// Its settings.
    #[command(flatten)]
    pub settings: SettingArgs,
}

/// What both `add` and `set` take.
#[derive(Clone, Debug, Args)]
pub struct SettingArgs {
    /// Lower is asked first
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(0..=65_535))]
    pub priority: Option<i32>,
    /// Share of the calls among endpoints of equal priority
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..=1_000))]
    pub weight: Option<i32>,
    /// Requests per second at most, or none
    #[arg(long, value_name = "N", value_parser = rate_limit)]
    pub rate_limit: Option<OrNone<i32>>,
    /// Where the URL keeps its secret
    #[arg(long)]
    pub auth_type: Option<AuthType>,
    /// Whether it is asked at all
    #[arg(long, value_name = "BOOL")]
    pub active: Option<bool>,
}

impl SettingArgs {
    fn apply(&self, endpoint: &mut Endpoint) {
        set(&mut endpoint.priority, self.priority);
        set(&mut endpoint.weight, self.weight);
        set(&mut endpoint.rate_limit, self.rate_limit.map(|limit| limit.0));
        set(&mut endpoint.auth_type, self.auth_type);
        set(&mut endpoint.active, self.active);
    }
}

fn rate_limit(text: &str) -> Result<OrNone<i32>, String> {
    let limit: Result<OrNone<i32>, _> = text.parse();
    let allowed = limit
        .ok()
        .filter(|limit| limit.0.is_none_or(|limit| (1..=1_000_000).contains(&limit)));
    allowed.ok_or_else(|| "write 1 to 1000000 or none".to_owned())
}

pub(super) async fn execute(command: &EndpointsCommand, context: &Context, store: &Store) -> Result<(), Failure> {
    match command {
        EndpointsCommand::List(args) => list(*args, context, store).await,
        EndpointsCommand::Add(args) => {
            let added = added(args);
            let id = registry::add_endpoint(store, &added).await?;
            context
                .writer
                .line(format_args!("added endpoint {id}: {} of {}", added.url, added.chain))
        }
        EndpointsCommand::Set(args) => {
            let edited = registry::edit_endpoint(store, args.id.id, |endpoint| {
                set(&mut endpoint.url, args.url.clone());
                args.settings.apply(endpoint);
            });
            let edited = edited.await?;
            context.writer.line(format_args!(
                "changed endpoint {}: {} of {}",
                edited.id, edited.url, edited.chain
            ))
        }
        EndpointsCommand::Remove(IdArg { id }) => remove(*id, context, store).await,
    }
}

fn added(args: &AddArgs) -> Endpoint {
    let mut endpoint = Endpoint {
        id: 0,
        chain: args.chain,
        url: args.url.clone(),
        priority: 0,
        weight: 1,
        rate_limit: None,
        auth_type: AuthType::None,
        active: true,
    };
    args.settings.apply(&mut endpoint);
    endpoint
}

async fn remove(id: i32, context: &Context, store: &Store) -> Result<(), Failure> {
    let found = registry::endpoints(store, None)
        .await?
        .into_iter()
        .find(|endpoint| endpoint.id == id);
    let found = found.ok_or_else(|| RegistryError::unknown_endpoint(id))?;
    if registry::names_endpoint(&context.config, found.chain, &found.url) {
        let text = format!(
            "the configuration names endpoint {id} ({}) and would add it again: take it out there first, or use \
             `indexer registry endpoints set {id} --active false`",
            found.url
        );
        return Err(Failure::new(Exit::Registry, text));
    }
    registry::remove_endpoint(store, id).await?;
    context
        .writer
        .line(format_args!("removed endpoint {id}: {} of {}", found.url, found.chain))
}

async fn list(args: ChainListArgs, context: &Context, store: &Store) -> Result<(), Failure> {
    if let Some(chain) = args.chain {
        registry::chain(store, chain).await?;
    }
    let endpoints = registry::endpoints(store, args.chain).await?;
    if args.json {
        return context.writer.json(&endpoints);
    }
    let rows = endpoints.iter().map(|endpoint| {
        vec![
            endpoint.id.to_string(),
            endpoint.chain.to_string(),
            endpoint.url.to_string(),
            endpoint.priority.to_string(),
            endpoint.weight.to_string(),
            cell(endpoint.rate_limit),
            if endpoint.active { "yes" } else { "no" }.to_owned(),
        ]
    });
    context.writer.table(
        &["id", "chain", "url", "priority", "weight", "per second", "active"],
        rows.collect(),
    )
}
