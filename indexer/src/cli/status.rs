//! `indexer status`: where every chain stands.

use std::collections::BTreeMap;

use clap::Args;
use decoders::block::ChainId;
use futures::future::join_all;
use queries::status::{self, ChainStatus};
use serde::Serialize;
use serde_json::json;
use sinks::store::Store;

use super::context::Context;
use super::output::Writer;
use crate::daemon::assembly::Assignment;
use crate::error::{Exit, Failure};
use crate::{database, registry};
use rpc::EndpointHealth;

/// Gaps named per source.
const SHOWN_GAPS: usize = 5;

pub(super) const EXAMPLES: &str = "\
Per chain: head, checkpoint, lag, finalized block, coverage gaps, health of the endpoints. The
embedded database belongs to the process that runs it: ask that one's API (GET /v1/status) instead.

Examples:
  indexer status
  indexer status --json | jq '.chains[].lag_blocks'";

/// Arguments of `indexer status`.
#[derive(Clone, Debug, Args)]
pub struct StatusArgs {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Runs the command.
pub async fn execute(args: &StatusArgs, context: &Context) -> Result<(), Failure> {
    let database = database::open(&context.config).await?;
    let outcome = report(args, context, &database.store).await;
    database.close().await;
    outcome
}

/// One chain as the tables and its endpoints show it.
#[derive(Serialize)]
struct ChainReport {
    #[serde(flatten)]
    stored: ChainStatus,
    endpoints: Vec<EndpointReport>,
    /// Why no endpoint could be asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    endpoints_error: Option<String>,
}

#[derive(Serialize)]
struct EndpointReport {
    id: i32,
    url: String,
    state: &'static str,
    head: Option<u64>,
    latency_ms: Option<u128>,
    reason: Option<String>,
}

async fn report(args: &StatusArgs, context: &Context, store: &Store) -> Result<(), Failure> {
    registry::seed(store, &context.config).await?;
    let entries = registry::chains(store).await?;
    let enabled: Vec<ChainId> = entries
        .iter()
        .filter(|entry| entry.enabled)
        .map(|entry| entry.chain)
        .collect();
    let mut seen: BTreeMap<String, Result<Seen, Failure>> = BTreeMap::new();
    let mut finalized: BTreeMap<String, i64> = BTreeMap::new();
    let asked = enabled.iter().map(|chain| asked(*chain, context, store));
    for (chain, asked) in enabled.iter().zip(join_all(asked).await) {
        if let Ok(seen) = &asked {
            finalized.insert(chain.to_string(), seen.finalized);
        }
        seen.insert(chain.to_string(), asked);
    }
    let status = status::read(&store.pool, &finalized).await;
    let status = status.map_err(|error| Failure::new(Exit::Database, format!("failed to read the status: {error}")))?;
    let report = |stored: ChainStatus| {
        let seen = seen.remove(&stored.chain);
        ChainReport::of(stored, seen)
    };
    let chains: Vec<ChainReport> = status.chains.into_iter().map(report).collect();
    if args.json {
        let broker = &context.config.broker;
        let retention = broker.url.is_none().then_some(broker.retention_hours);
        return context
            .writer
            .json(&json!({ "chains": chains, "outbox_retention_hours": retention }));
    }
    let retention = context.config.broker.retention();
    chains
        .iter()
        .try_for_each(|chain| show(context.writer, chain, retention.as_deref()))
}

/// What the endpoints of a chain answer when asked now.
struct Seen {
    endpoints: Vec<EndpointReport>,
    head: i64,
    finalized: i64,
}

impl ChainReport {
    /// What is stored of a chain, with a head of now where one was `seen`: a daemon that stopped stored none since.
    fn of(mut stored: ChainStatus, seen: Option<Result<Seen, Failure>>) -> ChainReport {
        let (endpoints, endpoints_error) = match seen {
            Some(Ok(seen)) => {
                stored.head = stored.head.max(Some(seen.head));
                (seen.endpoints, None)
            }
            Some(Err(failure)) => (Vec::new(), Some(failure.message)),
            None => (Vec::new(), None),
        };
        let checkpoint = stored.checkpoint.as_ref().map(|block| block.number);
        let lag = stored.head.zip(checkpoint).map(|(head, block)| (head - block).max(0));
        stored.lag_blocks = lag;
        ChainReport {
            stored,
            endpoints,
            endpoints_error,
        }
    }
}

async fn asked(chain: ChainId, context: &Context, store: &Store) -> Result<Seen, Failure> {
    let assignment = Assignment {
        entry: registry::load_chain(store, chain).await?,
        endpoints: Vec::new(),
        until: None,
    };
    if !assignment.entry.endpoints.iter().any(|endpoint| endpoint.active) {
        let message = format!(
            "no endpoint is active: add one with `indexer registry endpoints add --chain {chain} --url URL`, or activate one of \
             `indexer registry endpoints list`"
        );
        return Err(Failure::new(Exit::Endpoint, message));
    }
    let (heads, health) = Box::pin(assignment.probe(&context.config, &context.cancel)).await?;
    let depth = assignment.follower_settings(&context.config).finality_depth;
    let by_depth = heads.latest.number.saturating_sub(depth);
    let finalized = heads.finalized.map_or(by_depth, |block| block.number);
    Ok(Seen {
        endpoints: health.into_iter().map(EndpointReport::from).collect(),
        head: i64::try_from(heads.latest.number).unwrap_or(i64::MAX),
        finalized: i64::try_from(finalized).unwrap_or(i64::MAX),
    })
}

impl From<EndpointHealth> for EndpointReport {
    fn from(health: EndpointHealth) -> Self {
        EndpointReport {
            id: health.id,
            url: health.url,
            // One exchange shows no more than whether there was an answer.
            state: if health.failing {
                "unreachable"
            } else {
                health.state.as_str()
            },
            head: health.head,
            latency_ms: health.latency_p50.map(|latency| latency.as_millis()),
            reason: health.reason,
        }
    }
}

fn show(writer: Writer, chain: &ChainReport, retention: Option<&str>) -> Result<(), Failure> {
    let stored = &chain.stored;
    let number = |block: Option<i64>| block.map_or_else(|| "-".to_owned(), |block| block.to_string());
    let checkpoint = stored.checkpoint.as_ref().map(|block| block.number);
    writer.line(format_args!(
        "{} {}{}",
        stored.chain,
        stored.name,
        if stored.enabled { "" } else { " (disabled)" }
    ))?;
    writer.line(format_args!(
        "  head {}  checkpoint {}  lag {}  finalized {}  messages pending {}{}",
        number(stored.head),
        number(checkpoint),
        number(stored.lag_blocks),
        number(stored.finalized),
        stored.outbox,
        retention.map_or_else(String::new, |kept| format!(
            " ({kept}, {} dropped)",
            stored.outbox_expired
        ))
    ))?;
    for (source, coverage) in &stored.coverage {
        let gaps: Vec<String> = coverage
            .gaps
            .iter()
            .take(SHOWN_GAPS)
            .map(|gap| format!("{}-{}", gap.from, gap.to))
            .collect();
        let more = if coverage.gaps.len() > SHOWN_GAPS { ", …" } else { "" };
        let gaps = match coverage.missing_blocks {
            None => "gaps not known: no head was seen yet".to_owned(),
            Some(0) => "no gaps".to_owned(),
            Some(missing) => format!("{missing} missing: {}{more}", gaps.join(", ")),
        };
        writer.line(format_args!("  {source}: {} blocks, {gaps}", coverage.covered_blocks))?;
    }
    if let Some(error) = &chain.endpoints_error {
        writer.line(format_args!("  endpoints: {error}"))?;
    }
    for endpoint in &chain.endpoints {
        let head = endpoint.head.map_or_else(|| "-".to_owned(), |head| head.to_string());
        let latency = endpoint
            .latency_ms
            .map_or_else(String::new, |latency| format!(", {latency} ms"));
        let reason = endpoint
            .reason
            .as_ref()
            .map_or_else(String::new, |reason| format!(": {reason}"));
        writer.line(format_args!(
            "  endpoint {} {}: {}, head {head}{latency}{reason}",
            endpoint.id, endpoint.url, endpoint.state
        ))?;
    }
    Ok(())
}
