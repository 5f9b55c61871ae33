//! `indexer check-config`: read the configuration and show what it amounts to.

use clap::Args;

use super::context::Context;
use crate::config::Config;
use crate::error::{Exit, Failure};
use crate::registry;

pub(super) const EXAMPLES: &str = "\
Checks keys, values, ABI files and the environment variables that enabled chains' endpoints name.
Opens no socket. --show prints the whole configuration, defaults included, without secrets.

Examples:
  indexer check-config
  indexer --config /etc/indexer.toml check-config --show";

/// Arguments of `indexer check-config`.
#[derive(Clone, Copy, Debug, Args)]
pub struct CheckConfigArgs {
    /// Print the configuration in effect
    #[arg(long)]
    pub show: bool,
}

/// Runs the command.
pub async fn execute(args: &CheckConfigArgs, context: &Context) -> Result<(), Failure> {
    let config = &context.config;
    check(config)?;
    if args.show {
        let text = toml::to_string(config)
            .map_err(|error| Failure::new(Exit::Internal, format!("failed to write the configuration: {error}")))?;
        return context.writer.line(text.trim_end());
    }
    let enabled = config.chains.iter().filter(|chain| chain.enabled).count();
    let writer = context.writer;
    writer.line("the configuration is good")?;
    writer.line(format_args!("database: {}", config.database.url))?;
    let archive = config.archive.url.as_ref().map_or_else(
        || "a table of the database".to_owned(),
        |url| format!("{}, database {}", url.server(), config.archive.database),
    );
    writer.line(format_args!("archive:  {archive}"))?;
    let broker = config.broker.url.as_ref().map_or_else(
        || format!("none, messages are {}", config.broker.retention().unwrap_or_default()),
        ToString::to_string,
    );
    writer.line(format_args!("broker:   {broker}"))?;
    writer.line(format_args!("api:      http://{}", config.api.listen))?;
    writer.line(format_args!("chains:   {}, {enabled} enabled", config.chains.len()))
}

/// What the parser cannot see: files and variables.
fn check(config: &Config) -> Result<(), Failure> {
    for chain in &config.chains {
        for contract in &chain.contracts {
            if let Some(path) = &contract.abi {
                let abi = registry::Abi::read(&config.resolve(path));
                abi.map_err(|error| Failure::new(Exit::Config, format!("chain {}: {error}", chain.caip2)))?;
            }
        }
        for endpoint in chain.endpoints.iter().filter(|_| chain.enabled) {
            let variable = |name: &str| std::env::var(name).ok();
            let url = endpoint.url.expand(&variable);
            url.map_err(|error| Failure::new(Exit::Config, format!("chains.endpoints of {}: {error}", chain.caip2)))?;
        }
    }
    Ok(())
}
