//! `indexer replay`: rebuild a range of blocks from the archive.

use std::ops::RangeInclusive;

use clap::Args;
use decoders::block::ChainId;
use sinks::coverage::{self, Wanted};

use super::{BlockRange, Context};
use crate::daemon::assembly::Assignment;
use crate::error::{Error, Exit, Failure};
use crate::pipeline::{self, ARCHIVE_SOURCE};
use crate::stores::Stores;
use crate::{registry, retry};

pub(super) const EXAMPLES: &str = "\
Reads raw events from the archive, decodes them with this version's decoders and replaces the
facts of the range. No endpoint is asked; blocks the archive does not cover are left as they are.

Example:
  indexer replay --chain eip155:1 --from 12287507 --to 12387507";

/// Arguments of `indexer replay`.
#[derive(Clone, Debug, Args)]
pub struct ReplayArgs {
    /// The chain
    #[arg(long, value_name = "CAIP2")]
    pub chain: ChainId,
    /// The blocks.
    #[command(flatten)]
    pub range: BlockRange,
}

/// Blocks replaced in one transaction.
const SPAN_BLOCKS: u64 = 500;

/// Runs the command.
pub async fn execute(args: &ReplayArgs, context: &Context) -> Result<(), Failure> {
    let range = args.range.checked()?;
    let stores = Stores::open(&context.config).await?;
    let outcome = Box::pin(replay(args.chain, context, &stores, range)).await;
    stores.close().await.and(outcome)
}

async fn replay(chain: ChainId, context: &Context, stores: &Stores, range: RangeInclusive<u64>) -> Result<(), Failure> {
    let store = &stores.database.store;
    let assignment = Assignment {
        entry: registry::load_chain(store, chain).await?,
        endpoints: Vec::new(),
        until: None,
    };
    let contracts = assignment.contracts();
    // A contract read for itself is archived with its facts; what was read for all has a coverage of its own.
    let archived = if contracts.is_empty() {
        vec![Wanted {
            source: ARCHIVE_SOURCE.to_owned(),
            from: 0,
        }]
    } else {
        assignment.wanted()
    };
    let held = held(stores, chain, &archived, &range).await?;
    if held.is_empty() {
        let message = format!(
            "the archive holds nothing of blocks {} to {} of {chain}: backfill them first",
            range.start(),
            range.end()
        );
        return Err(Failure::new(Exit::BadRange, message));
    }
    let mut total = Replayed::default();
    for span in held.iter().flat_map(spans) {
        if context.cancel.is_cancelled() {
            return Err(Failure::new(
                Exit::Interrupted,
                format!("stopped before block {}: start it again from there", span.start()),
            ));
        }
        let replaced = retry::persist(&context.cancel, "a replay span", || {
            pipeline::rewrite(store, &stores.archive, chain, span.clone(), &contracts)
        })
        .await?;
        total.blocks += span.end() - span.start() + 1;
        total.retracted += replaced.retracted;
        total.announced += replaced.announced;
        total.kept += replaced.kept;
    }
    let Replayed {
        blocks,
        retracted,
        announced,
        kept,
    } = total;
    context.writer.line(format_args!(
        "{blocks} blocks replayed: {kept} transfers as before, {announced} new, {retracted} retracted"
    ))
}

#[derive(Default)]
struct Replayed {
    blocks: u64,
    retracted: u64,
    announced: u64,
    kept: u64,
}

/// The parts of `range` that the archive holds completely.
async fn held(
    stores: &Stores,
    chain: ChainId,
    archived: &[Wanted],
    range: &RangeInclusive<u64>,
) -> Result<Vec<RangeInclusive<u64>>, Error> {
    let missing = coverage::missing(&stores.database.store, chain, archived, range.clone()).await?;
    let mut held = Vec::new();
    let mut next = *range.start();
    for gap in missing {
        if next < *gap.start() {
            held.push(next..=gap.start() - 1);
        }
        next = gap.end() + 1;
    }
    if next <= *range.end() {
        held.push(next..=*range.end());
    }
    Ok(held)
}

fn spans(range: &RangeInclusive<u64>) -> impl Iterator<Item = RangeInclusive<u64>> + use<> {
    let last = *range.end();
    let width = usize::try_from(SPAN_BLOCKS).expect("a span's width fits any pointer");
    range
        .clone()
        .step_by(width)
        .map(move |from| from..=last.min(from + SPAN_BLOCKS - 1))
}
