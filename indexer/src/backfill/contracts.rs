//! Gaps of followed contracts: their logs alone are asked for, or read from the archive where it has them.

use std::ops::RangeInclusive;

use alloy_primitives::Address;
use decoders::block::{Log, Proof};
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use sinks::abis;
use sinks::commit::Move;
use sinks::progress::coverage::{self, Wanted};
use sinks::progress::{checkpoint, intents};
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::LONGEST_SPAN;
use crate::error::Error;
use crate::pipeline::Pipeline;
use crate::retry;
use crate::stored::Origin;
use rpc::Filter;

/// Blocks with the same contracts to do.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Piece {
    range: RangeInclusive<u64>,
    /// Contracts whose logs are to be read from endpoints.
    unread: Vec<Address>,
    /// Contracts whose logs the archive has.
    held: Vec<Address>,
}

/// What one contract misses.
struct Gap {
    contract: Address,
    /// Where its logs are not archived.
    unread: Vec<RangeInclusive<u64>>,
    /// Where they are not read by the ABIs in force; holds `unread`.
    undone: Vec<RangeInclusive<u64>>,
}

/// Fills what followed contracts miss of `range` and returns the number of blocks it was about.
///
/// Blocks that the chain as a whole still misses are left out: who reads those reads the contracts' logs with them. `range` has
/// to be final; from there up to `applied`, the last block applied, only what the archive has is read again.
///
/// # Errors
/// The first error that no further attempt would mend.
pub async fn fill(
    pipeline: &Pipeline,
    range: RangeInclusive<u64>,
    applied: u64,
    proof: Proof,
    workers: usize,
    cancel: &CancellationToken,
) -> Result<u64, Error> {
    if pipeline.stored.followed().is_empty() || range.is_empty() {
        return Ok(0);
    }
    let pieces = retry::persist(cancel, "planning the gaps of contracts", || {
        plan(pipeline, &range, applied)
    })
    .await?;
    let blocks = pieces
        .iter()
        .map(|piece| piece.range.end() - piece.range.start() + 1)
        .sum();
    if blocks == 0 {
        return Ok(0);
    }
    info!(blocks, "reading logs of contracts by their abis");
    // What endpoints answer at once bounds a span; the other bound keeps what a retry repeats small.
    let longest = pipeline.endpoints.suggested_range().clamp(1, LONGEST_SPAN);
    let spans = pieces.iter().flat_map(|piece| spans(piece, longest));
    let work: Vec<BoxFuture<'_, Result<(), Error>>> = spans
        .map(|piece| persist(pipeline, piece, proof, cancel).boxed())
        .collect();
    stream::iter(work)
        .buffer_unordered(workers.max(1))
        .try_collect::<()>()
        .await?;
    Ok(blocks)
}

async fn persist(pipeline: &Pipeline, piece: Piece, proof: Proof, cancel: &CancellationToken) -> Result<(), Error> {
    if cancel.is_cancelled() {
        return Err(Error::Cancelled);
    }
    let read = || take(pipeline, &piece, proof);
    retry::persist_with(&pipeline.endpoints, cancel, "logs of contracts", read).await
}

async fn plan(pipeline: &Pipeline, range: &RangeInclusive<u64>, applied: u64) -> Result<Vec<Piece>, Error> {
    let (store, chain) = (&pipeline.store, pipeline.chain);
    let last_final = *range.end();
    // Above the final blocks only what is archived is read again, which needs no endpoint.
    let range = *range.start()..=applied.max(last_final);
    pipeline.stored.refresh().await?;
    // After the refresh: contracts with an ABI that came meanwhile join a row before their gaps are counted.
    pipeline.gather().await?;
    let unread = coverage::missing(store, chain, &pipeline.wanted, range.clone()).await?;
    let followed = pipeline.stored.followed();
    let wanted = |source: fn(&Address) -> String| -> Vec<Wanted> {
        let wanted = followed.iter().map(|followed| Wanted {
            source: source(&followed.address),
            from: followed.from,
        });
        wanted.collect()
    };
    let unread_of_each = coverage::missing_of_each(store, chain, &wanted(abis::logs_source), &range).await?;
    let undone_of_each = coverage::missing_of_each(store, chain, &wanted(abis::abi_source), &range).await?;
    let each = followed.iter().zip(unread_of_each).zip(undone_of_each);
    let gaps = each.map(|((followed, unread), undone)| Gap {
        contract: followed.address,
        unread,
        undone,
    });
    let gaps: Vec<Gap> = gaps
        .filter(|gap| !gap.unread.is_empty() || !gap.undone.is_empty())
        .collect();
    Ok(pieces(&gaps, &unread, last_final))
}

/// What is missing, cut where the contracts concerned change; `elsewhere` is done by others, and what is above `last_final` is
/// not asked for.
fn pieces(gaps: &[Gap], elsewhere: &[RangeInclusive<u64>], last_final: u64) -> Vec<Piece> {
    let ranges = gaps
        .iter()
        .flat_map(|gap| gap.unread.iter().chain(&gap.undone))
        .chain(elsewhere);
    let mut cuts: Vec<u64> = ranges.flat_map(|range| [*range.start(), range.end() + 1]).collect();
    cuts.push(last_final + 1);
    cuts.sort_unstable();
    cuts.dedup();
    let within = |ranges: &[RangeInclusive<u64>], block: u64| ranges.iter().any(|range| range.contains(&block));
    let piece = |cut: &[u64]| {
        let (first, last) = (*cut.first()?, cut.last()? - 1);
        // Who reads these blocks for the whole chain reads the contracts' logs with them.
        if within(elsewhere, first) {
            return None;
        }
        let undone = gaps
            .iter()
            .filter(|gap| within(&gap.undone, first) || within(&gap.unread, first));
        let (unread, held): (Vec<&Gap>, Vec<&Gap>) = undone.partition(|gap| within(&gap.unread, first));
        let contracts = |gaps: Vec<&Gap>| gaps.iter().map(|gap| gap.contract).collect::<Vec<_>>();
        let piece = Piece {
            range: first..=last,
            unread: if first > last_final {
                Vec::new()
            } else {
                contracts(unread)
            },
            held: contracts(held),
        };
        (!piece.unread.is_empty() || !piece.held.is_empty()).then_some(piece)
    };
    cuts.windows(2).filter_map(piece).collect()
}

fn spans(piece: &Piece, longest: u64) -> Vec<Piece> {
    let mut spans = Vec::new();
    let (mut first, last) = (*piece.range.start(), *piece.range.end());
    while first <= last {
        let end = last.min(first + longest - 1);
        spans.push(Piece {
            range: first..=end,
            ..piece.clone()
        });
        first = end + 1;
    }
    spans
}

async fn take(pipeline: &Pipeline, piece: &Piece, proof: Proof) -> Result<(), Error> {
    // Before anything is read: a rewind from here on refuses the commit.
    let branch = checkpoint::branch(&pipeline.store, pipeline.chain).await?;
    if !piece.unread.is_empty() {
        let filter = Filter::whole_only(&piece.unread);
        let mut rest = piece.range.clone();
        while !rest.is_empty() {
            let longest = pipeline.endpoints.suggested_range().clamp(1, LONGEST_SPAN);
            let next = *rest.start()..=*rest.end().min(&(rest.start() + longest - 1));
            let mut span = pipeline.endpoints.range_span(next, &filter, proof).await?;
            // By what the span turned out to hold; the rest is the next turn's, and memory stays bounded.
            span.shorten(pipeline.span_rows);
            let _holding = pipeline.held.hold(span.rows());
            let step = Move::Backfill { branch };
            let intent = intents::begin(&pipeline.store, pipeline.chain, span.range.clone(), &step).await?;
            // These are some contracts' logs alone, which cannot make good what an earlier writer left half written.
            let intent = intent.for_some_logs();
            let asked = |log: &Log| filter.matches(log);
            let written = pipeline.archive.put_asked(&span, &asked, &intent).await?;
            pipeline.metrics.archive_writes.inc_by(written);
            pipeline
                .interpret(&span, &piece.unread, Origin::Put(&intent), branch)
                .await?;
            rest = span.range.end() + 1..=*rest.end();
        }
    }
    // No endpoint is asked again for what the archive has: another ABI costs a read of the archive.
    if !piece.held.is_empty() {
        let span = pipeline
            .archive
            .read_of(pipeline.chain, piece.range.clone(), &piece.held)
            .await?;
        pipeline.interpret(&span, &piece.held, Origin::Archive, branch).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Address = Address::repeat_byte(1);
    const TWO: Address = Address::repeat_byte(2);

    #[test]
    fn gaps_are_cut_where_the_contracts_concerned_change() {
        let gaps = [
            Gap {
                contract: ONE,
                unread: vec![10..=29],
                undone: vec![10..=49],
            },
            Gap {
                contract: TWO,
                unread: vec![20..=29],
                undone: vec![20..=29],
            },
        ];
        let piece = |range, unread: &[Address], held: &[Address]| Piece {
            range,
            unread: unread.to_vec(),
            held: held.to_vec(),
        };
        assert_eq!(
            pieces(&gaps, std::slice::from_ref(&(45..=60)), 100),
            [
                piece(10..=19, &[ONE], &[]),
                piece(20..=29, &[ONE, TWO], &[]),
                piece(30..=44, &[], &[ONE])
            ]
        );
        // Above the last final block only what the archive has.
        assert_eq!(
            pieces(&gaps, &[], 19),
            [piece(10..=19, &[ONE], &[]), piece(30..=49, &[], &[ONE])]
        );
        let spans: Vec<_> = spans(&piece(10..=19, &[ONE], &[]), 4)
            .into_iter()
            .map(|piece| piece.range)
            .collect();
        assert_eq!(spans, [10..=13, 14..=17, 18..=19]);
    }
}
