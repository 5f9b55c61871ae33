//! `indexer replay`: rebuild a range of blocks from the archive.

use std::ops::RangeInclusive;

use clap::Args;
use decoders::block::ChainId;
use sinks::progress::{checkpoint, coverage};
use sinks::store::Store;
use tracing::info;

use super::arguments::{BlockRange, EndpointUrlParser};
use super::context::Context;
use super::output::Writer;
use crate::config::EndpointUrl;
use crate::daemon::assembly::Assignment;
use crate::error::{Error, Exit, Failure};
use crate::pipeline::{ARCHIVE_SOURCE, Rewriter};
use crate::stores::Stores;
use crate::{registry, retry};

pub(super) const EXAMPLES: &str = "\
Reads raw events from the archive, decodes them with this version's decoders and replaces the
facts of the range. Blocks that the archive does not cover, or that are not final yet, are left as
they are, and so is what a decoder or contract is not covered for. No endpoint is asked,
except with --fetch, and then only for the transactions and contracts' answers that this version's
decoders want and the archive misses; they are archived. On a chain that follows its registered
contracts, these include the rest of transactions of which only their logs are archived.

Examples:
  indexer replay --chain eip155:1 --from 12287507 --to 12387507
  indexer replay --chain eip155:1 --from 12287507 --to 12387507 --fetch";

/// Arguments of `indexer replay`.
#[derive(Clone, Debug, Args)]
pub struct ReplayArgs {
    /// The chain
    #[arg(long, value_name = "CAIP2")]
    pub chain: ChainId,
    /// The blocks.
    #[command(flatten)]
    pub range: BlockRange,
    /// Ask the chain's endpoints for what decoders want and the archive misses
    #[arg(long)]
    pub fetch: bool,
    /// With --fetch: endpoints to ask instead of the registry's
    #[arg(long, value_name = "URL", requires = "fetch", value_parser = EndpointUrlParser)]
    pub rpc: Vec<EndpointUrl>,
}

/// Blocks replaced in one transaction.
const SPAN_BLOCKS: u64 = 500;

/// Runs the command.
pub async fn execute(args: &ReplayArgs, context: &Context) -> Result<(), Failure> {
    let range = args.range.checked()?;
    let stores = context.opened(Stores::open(&context.config)).await?;
    let outcome = Box::pin(replay(args, context, &stores, range)).await;
    stores.close().await;
    outcome
}

async fn replay(
    args: &ReplayArgs,
    context: &Context,
    stores: &Stores,
    range: RangeInclusive<u64>,
) -> Result<(), Failure> {
    let chain = args.chain;
    let store = &stores.database.store;
    let assignment = Assignment {
        entry: registry::load_chain(store, chain).await?,
        endpoints: args.rpc.clone(),
        until: None,
    };
    let endpoints = if args.fetch {
        Some(assignment.pool(&context.config, &context.cancel).await?)
    } else {
        None
    };
    let range = final_part(store, chain, range).await?;
    let contracts = assignment.contracts();
    // A contract read for itself is archived with its facts; what was read for all has a coverage of its own.
    let archived = if contracts.is_empty() {
        vec![ARCHIVE_SOURCE.to_owned()]
    } else {
        let wanted = assignment.wanted().into_iter();
        wanted.map(|wanted| wanted.source).collect()
    };
    let held = coverage::covered(store, chain, &archived, &range)
        .await
        .map_err(Error::from)?;
    if held.is_empty() {
        let message = format!(
            "the archive holds nothing of blocks {} to {} of {chain}: backfill them first",
            range.start(),
            range.end()
        );
        return Err(Failure::new(Exit::BadRange, message));
    }
    let rewriter = Rewriter {
        store,
        archive: &stores.archive,
        chain,
        contracts: &contracts,
        endpoints: endpoints.as_ref(),
        lease: None,
    };
    let mut total = Replayed::default();
    for span in held.iter().flat_map(spans) {
        if context.cancel.is_cancelled() {
            return Err(Failure::new(
                Exit::Interrupted,
                format!("stopped before block {}: start it again from there", span.start()),
            ));
        }
        let rewritten = retry::persist(&context.cancel, "a replay span", || rewriter.rewrite(span.clone())).await?;
        let replaced = rewritten.replaced;
        total.blocks += span.end() - span.start() + 1;
        total.missing += rewritten.missing;
        total.retracted += replaced.retracted;
        total.announced += replaced.announced;
        total.kept += replaced.kept;
    }
    total.print(context.writer, args.fetch)
}

#[derive(Default)]
struct Replayed {
    blocks: u64,
    retracted: u64,
    announced: u64,
    kept: u64,
    missing: usize,
}

impl Replayed {
    fn print(&self, writer: Writer, fetched: bool) -> Result<(), Failure> {
        let Replayed {
            blocks,
            retracted,
            announced,
            kept,
            missing,
        } = self;
        writer.line(format_args!(
            "{blocks} blocks replayed: {kept} facts as before, {announced} new, {retracted} retracted"
        ))?;
        match (missing, fetched) {
            (0, _) => Ok(()),
            (_, false) => writer.line(format_args!(
                "{missing} transactions and answers that decoders want are not in the archive: with --fetch they are read"
            )),
            (_, true) => writer.line(format_args!(
                "{missing} transactions and answers that decoders want were had from no endpoint"
            )),
        }
    }
}

/// The part of `range` that is final: what lies above it is the follower's, which alone knows on which branch it stands.
async fn final_part(store: &Store, chain: ChainId, range: RangeInclusive<u64>) -> Result<RangeInclusive<u64>, Failure> {
    let last_final = checkpoint::last_final(store, chain).await.map_err(Error::from)?;
    if *range.start() > last_final {
        let message = format!(
            "block {} is above the finalized block {last_final} of {chain}: only final blocks are replayed",
            range.start()
        );
        return Err(Failure::new(Exit::BadRange, message));
    }
    if *range.end() > last_final {
        info!(%chain, from = last_final + 1, to = range.end(), "blocks that are not final yet are left as they are");
    }
    Ok(*range.start()..=last_final.min(*range.end()))
}

fn spans(range: &RangeInclusive<u64>) -> impl Iterator<Item = RangeInclusive<u64>> + use<> {
    let last = *range.end();
    let width = usize::try_from(SPAN_BLOCKS).expect("a span's width fits any pointer");
    range
        .clone()
        .step_by(width)
        .map(move |from| from..=last.min(from + SPAN_BLOCKS - 1))
}
