//! `indexer status`: where every chain stands.

use api::status::ChainStatus;
use clap::Args;
use decoders::block::ChainIdError;
use serde::Serialize;
use serde_json::json;
use sinks::store::Store;

use super::Context;
use super::output::Writer;
use crate::daemon::assembly::Assignment;
use crate::endpoints::EndpointHealth;
use crate::error::{Exit, Failure};
use crate::{database, registry};

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
    let status = api::status::read(&store.pool).await;
    let status = status.map_err(|error| Failure::new(Exit::Database, format!("failed to read the status: {error}")))?;
    let mut chains = Vec::with_capacity(status.chains.len());
    for stored in status.chains {
        let (endpoints, endpoints_error) = match asked(&stored, context, store).await {
            Ok(endpoints) => (endpoints, None),
            Err(failure) => (Vec::new(), Some(failure.message)),
        };
        chains.push(ChainReport {
            stored,
            endpoints,
            endpoints_error,
        });
    }
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

/// What the endpoints of an enabled chain say when asked now.
async fn asked(stored: &ChainStatus, context: &Context, store: &Store) -> Result<Vec<EndpointReport>, Failure> {
    if !stored.enabled {
        return Ok(Vec::new());
    }
    let chain = stored
        .chain
        .parse()
        .map_err(|error: ChainIdError| Failure::new(Exit::Registry, error.to_string()))?;
    let assignment = Assignment {
        entry: registry::load_chain(store, chain).await?,
        endpoints: Vec::new(),
        until: None,
    };
    let health = assignment.probe(&context.config, &context.cancel).await?;
    Ok(health.into_iter().map(EndpointReport::from).collect())
}

impl From<EndpointHealth> for EndpointReport {
    fn from(health: EndpointHealth) -> Self {
        EndpointReport {
            id: health.id,
            url: health.url,
            state: health.state.as_str(),
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
        let gaps = if gaps.is_empty() {
            "no gaps".to_owned()
        } else {
            format!("{} missing: {}{more}", coverage.missing_blocks, gaps.join(", "))
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
