//! `indexer faults`: the logs that could not be decoded, or not without a warning, and another try for them.

use alloy_primitives::Address;
use chrono::{DateTime, Utc};
use clap::{Args, Subcommand};
use decoders::block::ChainId;
use queries::faults::{Fault, FaultFilter, FaultKey};
use queries::page::{Cursor, PageRequest};
use serde_json::json;
use sinks::facts::faults;
use uuid::Uuid;

use super::context::Context;
use crate::daemon::assembly::Assignment;
use crate::database;
use crate::error::{Error, Exit, Failure};
use crate::faults::{Retried, RetryContext};
use crate::stores::Stores;
use crate::{registry, retry};

pub(super) const EXAMPLES: &str = "\
A fault is a log that is not what it claims to be: malformed, hostile, or of an event that the ABI of
its contract does not have. Reasons are listed in docs/PROTOCOLS.md.

Examples:
  indexer faults list --chain eip155:1 --reason abi_unknown
  indexer faults list --contract 0xb47e3cd837ddf8e4c57f05d70ab865de6e193bbb --since 24h --json
  indexer faults retry --chain eip155:1";

/// Faults read from the table at a time while they are tried again.
const PAGE: i64 = 1_000;

/// Arguments of `indexer faults`.
#[derive(Clone, Debug, Args)]
pub struct FaultsArgs {
    /// What to do with them.
    #[command(subcommand)]
    pub command: FaultsCommand,
}

/// What to do with faults.
#[derive(Clone, Debug, Subcommand)]
pub enum FaultsCommand {
    /// Show faults by chain and position
    #[command(after_long_help = "Example:\n  indexer faults list --chain eip155:1 --since 24h --limit 20")]
    List(ListArgs),
    /// Decode the blocks of faults once more from the archive, by today's decoders and ABIs
    #[command(
        after_long_help = "Asks no endpoint. Prints how many faults are mended and how many remain.\n\n\
        Example:\n  indexer faults retry --chain eip155:1 --reason abi_unknown"
    )]
    Retry(Which),
}

/// Which faults are meant.
#[derive(Clone, Debug, Args)]
pub struct Which {
    /// Only of this chain
    #[arg(long, value_name = "CAIP2")]
    pub chain: Option<ChainId>,
    /// Only of this contract
    #[arg(long, value_name = "ADDRESS")]
    pub contract: Option<Address>,
    /// Only for this reason, such as abi_unknown or data_too_short
    #[arg(long, value_name = "REASON")]
    pub reason: Option<String>,
    /// Only recorded since: a time such as 2026-01-31T12:00:00Z, or how long ago, such as 30m, 24h or 7d
    #[arg(long, value_name = "TIME", value_parser = since)]
    pub since: Option<DateTime<Utc>>,
}

/// Arguments of `faults list`.
#[derive(Clone, Debug, Args)]
pub struct ListArgs {
    /// Which ones.
    #[command(flatten)]
    pub which: Which,
    /// Show at most this many
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(i64).range(1..=10_000))]
    pub limit: i64,
    /// Begin behind this one: the place the page before named
    #[arg(long, value_name = "PLACE")]
    pub after: Option<Cursor<FaultKey>>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

fn since(text: &str) -> Result<DateTime<Utc>, String> {
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Ok(time.to_utc());
    }
    let wrong =
        || format!("{text:?} is neither a time such as 2026-01-31T12:00:00Z nor a length such as 30m, 24h or 7d");
    let seconds = [('s', 1), ('m', 60), ('h', 3_600), ('d', 86_400)];
    let ago = seconds.iter().find_map(|(unit, seconds)| {
        let number: i64 = text.strip_suffix(*unit)?.parse().ok().filter(|number| *number >= 0)?;
        chrono::TimeDelta::try_seconds(number.checked_mul(*seconds)?)
    });
    Utc::now().checked_sub_signed(ago.ok_or_else(wrong)?).ok_or_else(wrong)
}

impl Which {
    fn filter(&self) -> FaultFilter {
        FaultFilter {
            chain: self.chain,
            contract: self.contract,
            reason: self.reason.clone(),
            since: self.since,
        }
    }
}

/// Runs the command.
pub async fn execute(args: &FaultsArgs, context: &Context) -> Result<(), Failure> {
    match &args.command {
        FaultsCommand::List(args) => {
            let database = context.opened(database::open(&context.config)).await?;
            let outcome = list(args, context, &database.store).await;
            database.close().await;
            outcome
        }
        FaultsCommand::Retry(which) => {
            let stores = context.opened(Stores::open(&context.config)).await?;
            let outcome = Box::pin(retry_all(which, context, &stores)).await;
            stores.close().await;
            outcome
        }
    }
}

async fn list(args: &ListArgs, context: &Context, store: &sinks::store::Store) -> Result<(), Failure> {
    let writer = context.writer;
    if let Some(chain) = args.which.chain {
        registry::seed(store, &context.config).await?;
        registry::chain(store, chain).await?;
    }
    let page = PageRequest {
        after: args.after.clone(),
        limit: args.limit,
    };
    let found = queries::faults::page(&store.pool, &args.which.filter(), &page).await?;
    if args.json {
        return writer.json(&json!({ "faults": found.rows, "next": found.next }));
    }
    if found.rows.is_empty() {
        return writer.line("no faults");
    }
    writer.table(
        &[
            "chain",
            "block",
            "log",
            "contract",
            "source",
            "reason",
            "topic0",
            "transaction",
            "recorded",
        ],
        found.rows.iter().map(row).collect(),
    )?;
    found
        .next
        .map_or(Ok(()), |next| writer.line(format_args!("more: --after {next}")))
}

fn row(fault: &Fault) -> Vec<String> {
    vec![
        fault.chain_id.clone(),
        fault.block_number.to_string(),
        fault.log_index.to_string(),
        fault.contract.clone(),
        fault.source.clone(),
        fault.reason.clone(),
        fault.topic0.clone().unwrap_or_else(|| "-".to_owned()),
        fault.tx_hash.clone(),
        fault.recorded_at.format("%FT%TZ").to_string(),
    ]
}

/// Makes every fault that is meant due at once, before all others, and works through them.
async fn retry_all(which: &Which, context: &Context, stores: &Stores) -> Result<(), Failure> {
    let store = &stores.database.store;
    let chains = match which.chain {
        Some(chain) => vec![chain],
        None => registry::chains(store)
            .await?
            .into_iter()
            .map(|chain| chain.chain)
            .collect(),
    };
    let (mut tried, mut remaining) = (0_u64, 0_u64);
    for chain in chains {
        let entry = registry::load_chain(store, chain).await?;
        let assignment = Assignment {
            entry,
            endpoints: Vec::new(),
            until: None,
        };
        let retries = RetryContext {
            chain,
            store: store.clone(),
            archive: std::sync::Arc::clone(&stores.archive),
            contracts: assignment.contracts(),
            endpoints: None,
            stored: assignment.interpreter(stores),
        };
        let meant = FaultFilter {
            chain: Some(chain),
            ..which.filter()
        };
        let mut request = PageRequest::first(PAGE);
        loop {
            let page = queries::faults::page(&store.pool, &meant, &request).await?;
            if page.rows.is_empty() {
                break;
            }
            remaining += try_page(&retries, &page.rows, context).await?;
            tried += page.rows.len() as u64;
            let Some(next) = page.next else { break };
            request.after = Some(next);
        }
    }
    let mended = tried - remaining;
    context.writer.line(format_args!(
        "{tried} faults tried again: {mended} mended, {remaining} remain"
    ))
}

/// Tries one page and returns how many of its faults remain.
async fn try_page(retries: &RetryContext, page: &[Fault], context: &Context) -> Result<u64, Failure> {
    let mut ids: Vec<Uuid> = page.iter().map(|fault| fault.id).collect();
    ids.dedup();
    faults::urge(&retries.store, retries.chain, &ids)
        .await
        .map_err(Error::from)?;
    loop {
        if context.cancel.is_cancelled() {
            return Err(Failure::new(
                Exit::Interrupted,
                "stopped: what was not tried yet is tried by the daemon",
            ));
        }
        let tried = retry::persist(&context.cancel, "a retry of faults", || retries.drain(None)).await?;
        if tried == Retried::default() {
            break;
        }
    }
    // What a daemon took meanwhile it tries too; tried twice is tried.
    retries.retry(&ids).await?;
    let left = faults::remaining(&retries.store, retries.chain, &ids)
        .await
        .map_err(Error::from)?;
    let still = |fault: &&Fault| {
        left.iter()
            .any(|left| left.id == fault.id && left.sources.contains(&fault.source))
    };
    Ok(page.iter().filter(still).count() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_may_be_said_in_two_ways() {
        assert_eq!(
            since("2026-01-31T12:00:00Z").unwrap().to_rfc3339(),
            "2026-01-31T12:00:00+00:00"
        );
        let ago = Utc::now() - since("2h").unwrap();
        assert!((7_190..7_210).contains(&ago.num_seconds()));
        for wrong in [
            "",
            "h",
            "-1h",
            "1y",
            "yesterday",
            "99999999999999999999d",
            "9223372036854775807d",
        ] {
            assert!(since(wrong).is_err(), "{wrong}");
        }
    }
}
