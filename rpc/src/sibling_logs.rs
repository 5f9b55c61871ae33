//! Sibling logs: what other contracts emitted in the transactions of a span that was asked for the logs of some contracts only.
//!
//! They are read from the receipts of those transactions, one by one and in batches; a block whose receipts were read anyway
//! holds them already. What no endpoint has is done without.

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use alloy_primitives::B256;
use decoders::block::{Log, Span};
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use rustc_hash::{FxHashMap, FxHashSet};
use tracing::warn;

use super::bloom::Checker;
use super::branch::Broken;
use super::checked_header::CheckedHeader;
use super::error::{EndpointError, Wanted};
use super::inner::Inner;
use super::lookup::{Lookup, Reported};
use super::proof::Want;
use super::reach::Horizon;
use super::settings::Filter;
use super::wire::call::Call;
use super::wire::log::check_order;
use super::wire::receipt;
use super::wire::{Reply, Unread};

/// Blocks read once more at once, where receipts of their transactions are not to be had.
const BLOCKS_UNDER_WAY: usize = 16;

/// A transaction whose every log is wanted, with what its receipt has to agree with.
#[derive(Clone)]
struct Drawn {
    tx_hash: B256,
    block: Arc<CheckedHeader>,
    /// The logs of it that are held; at least one.
    held: Arc<[Log]>,
    /// Index of the last log held of the block before them, and of the first one after them.
    below: Option<u32>,
    above: Option<u32>,
    want: Arc<Want>,
}

impl PartialEq for Drawn {
    fn eq(&self, other: &Self) -> bool {
        self.tx_hash == other.tx_hash
    }
}

impl Eq for Drawn {}

impl Hash for Drawn {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.tx_hash.hash(state);
    }
}

impl Inner {
    /// Adds to an archived span what its logs draw after them, as far as its blocks are still the chain's.
    pub(super) async fn add_sibling_logs(&self, span: &mut Span, filter: &Filter) -> Result<(), EndpointError> {
        let want = Want::new(self.chain, filter, self.options.state_sync_logs);
        if want.filter.draws.is_none() || span.logs.is_empty() {
            return Ok(());
        }
        let reach = Horizon::default();
        let mut headers = match self.headers(&span.range, &[], &reach).await {
            Ok(headers) => headers,
            Err(Broken::Trouble(trouble)) => return Err(self.error(trouble, &Wanted::Range(span.range.clone()))),
            // They do not agree what these blocks are.
            Err(Broken::Branch(_)) => return Ok(()),
        };
        if let Some((_, trouble)) = reach.ended() {
            return Err(self.error(trouble, &Wanted::Range(span.range.clone())));
        }
        headers.retain(|checked| span.block(checked.header.block.number) == Some(&checked.header.block));
        span.context.whole = self
            .add_siblings(&headers, &mut span.logs, &FxHashSet::default(), &want)
            .await?;
        Ok(())
    }

    /// Adds to `logs`, which are those of the blocks of `headers`, what they draw after them, and gives the transactions that are
    /// whole then. Blocks in `whole` and transactions with logs that were not asked for hold it already.
    pub(super) async fn add_siblings(
        &self,
        headers: &[CheckedHeader],
        logs: &mut Vec<Log>,
        whole: &FxHashSet<u64>,
        want: &Arc<Want>,
    ) -> Result<FxHashSet<B256>, EndpointError> {
        if want.filter.draws.is_none() {
            return Ok(FxHashSet::default());
        }
        let (mut complete, mut asked) = (FxHashSet::default(), Vec::new());
        for block in logs.chunk_by(|one, next| one.block_number == next.block_number) {
            let mut drawn = drawn(block, want);
            drawn.retain(|at| {
                let transaction = &block[at.clone()];
                // Read whole already: by all receipts of its block, or because logs that were not asked for stand in it.
                let is_whole =
                    whole.contains(&block[0].block_number) || transaction.iter().any(|log| want.set.is_extra(log));
                complete.extend(is_whole.then_some(transaction[0].tx_hash));
                !is_whole
            });
            let header = headers.binary_search_by_key(&block[0].block_number, |checked| checked.header.block.number);
            if let Some(checked) = header.ok().and_then(|place| headers.get(place)) {
                let checked = Arc::new(checked.clone());
                asked.extend(drawn.into_iter().map(|at| Drawn {
                    tx_hash: block[at.start].tx_hash,
                    block: Arc::clone(&checked),
                    held: block[at.clone()].into(),
                    // Neighbours in the block bound where the transaction's logs can be: a receipt that reaches past them is
                    // false.
                    below: at.start.checked_sub(1).map(|place| block[place].log_index),
                    above: block.get(at.end).map(|log| log.log_index),
                    want: Arc::clone(want),
                }));
            }
        }
        if asked.is_empty() {
            return Ok(complete);
        }
        let kind = Lookup {
            what: "receipts",
            call: |drawn: &Drawn| Call::receipt(drawn.tx_hash),
            height: |drawn| Some(drawn.block.header.block.number),
            read,
            heavy: true,
            may_come: true,
        };
        let found = self.look(&asked, kind).await?;
        self.counts
            .receipts
            .fetch_add(u64::try_from(found.len()).unwrap_or(0), Ordering::Relaxed);
        let mut reread = FxHashMap::default();
        if found.len() < asked.len() && want.set.is_split() {
            if found.is_empty() {
                self.without_positions();
            }
            reread = self
                .reread(asked.iter().filter(|drawn| !found.contains_key(*drawn)), want)
                .await?;
        } else if found.len() < asked.len() {
            warn!(chain = %self.chain, transactions = asked.len(), without = asked.len() - found.len(), "no endpoint has the receipts of some transactions: sales in them are not decoded");
        }
        let found = found.into_iter().map(|(drawn, logs)| (drawn.tx_hash, logs)).collect();
        *logs = self.merged(logs, found, &reread, &mut complete);
        Ok(complete)
    }

    /// The logs of the blocks of these transactions, asked for unsplit.
    async fn reread(
        &self,
        missing: impl Iterator<Item = &Drawn>,
        want: &Arc<Want>,
    ) -> Result<FxHashMap<u64, Vec<Log>>, EndpointError> {
        let blocks: BTreeMap<u64, &Arc<CheckedHeader>> = missing
            .map(|drawn| (drawn.block.header.block.number, &drawn.block))
            .collect();
        let read = blocks.into_iter().map(|(number, checked)| {
            let settled = async move {
                match self.settle(checked, want, None).await {
                    Ok(settled) => Ok((number, settled.logs)),
                    Err(trouble) => Err(self.error(trouble, &Wanted::Number(number))),
                }
            };
            settled.boxed()
        });
        let read: Vec<BoxFuture<'_, _>> = read.collect();
        stream::iter(read)
            .buffer_unordered(BLOCKS_UNDER_WAY)
            .try_collect()
            .await
    }

    /// The logs with the transactions of `found` whole, block by block; a block whose logs would contradict each other stays
    /// as it is.
    fn merged(
        &self,
        logs: &[Log],
        mut found: FxHashMap<B256, Vec<Log>>,
        reread: &FxHashMap<u64, Vec<Log>>,
        complete: &mut FxHashSet<B256>,
    ) -> Vec<Log> {
        let mut merged = Vec::with_capacity(logs.len() + found.values().map(Vec::len).sum::<usize>());
        for block in logs.chunk_by(|one, next| one.block_number == next.block_number) {
            if let Some(whole) = reread.get(&block[0].block_number) {
                complete.extend(whole.iter().map(|log| log.tx_hash));
                merged.extend_from_slice(whole);
                continue;
            }
            let (first, mut taken) = (merged.len(), Vec::new());
            for transaction in block.chunk_by(|one, next| one.tx_hash == next.tx_hash) {
                let tx_hash = transaction[0].tx_hash;
                match found.remove(&tx_hash) {
                    Some(whole) => {
                        merged.extend(whole);
                        taken.push(tx_hash);
                    }
                    None => merged.extend_from_slice(transaction),
                }
            }
            if let Err(contradiction) = check_order(&merged[first..]) {
                warn!(chain = %self.chain, block = block[0].block_number, ?contradiction, "receipts contradict each other, going on without them");
                merged.truncate(first);
                merged.extend_from_slice(block);
            } else {
                complete.extend(taken);
            }
        }
        merged
    }
}

/// Where the transactions stand among the logs of a block whose every log is wanted.
fn drawn(block: &[Log], want: &Want) -> Vec<std::ops::Range<usize>> {
    let transactions = block.chunk_by(|one, next| one.tx_hash == next.tx_hash);
    let placed = transactions.scan(0, |start, logs| {
        let at = *start..*start + logs.len();
        *start = at.end;
        Some((at, logs))
    });
    placed.filter(|(_, logs)| want.drawn(logs)).map(|(at, _)| at).collect()
}

/// Reads a receipt and checks it against the logs that are held of its block, and against the block's bloom.
///
/// One that knows of more logs that were asked for than were given, or whose logs are not numbered without a gap, is taken when
/// every endpoint serves it so.
fn read(drawn: &Drawn, reply: &Reply<'_>) -> Result<Reported<Vec<Log>>, Unread> {
    if matches!(reply, Reply::Null) {
        return Ok(Reported::Missing);
    }
    let CheckedHeader { header, proven } = &*drawn.block;
    let lie = |what: &str| {
        Ok(Reported::False(format!(
            "the receipt of transaction {} {what}",
            drawn.tx_hash
        )))
    };
    let logs = match receipt::read_logs(reply.json()?, header) {
        Ok(Some(logs)) => logs,
        Ok(None) => return Ok(Reported::Missing),
        Err(Unread::Lie(reason)) => return Ok(Reported::False(reason)),
        Err(unread) => return Err(unread),
    };
    let asked: Vec<&Log> = logs.iter().filter(|log| drawn.want.set.matches(log)).collect();
    let held: Vec<&Log> = drawn.held.iter().filter(|log| drawn.want.set.matches(log)).collect();
    let is_held = asked == held;
    if !is_held && !held.iter().all(|held| asked.contains(held)) {
        return lie("misses logs of it");
    }
    let (first, last) = (logs.first(), logs.last());
    let reaches_down = drawn
        .below
        .zip(first)
        .is_some_and(|(below, first)| first.log_index <= below);
    let reaches_up = drawn
        .above
        .zip(last)
        .is_some_and(|(above, last)| last.log_index >= above);
    if reaches_down || reaches_up {
        return lie("takes the place of other transactions");
    }
    // Logs of a transaction are numbered without a gap: a hole shows that some were left out, which the bloom cannot show.
    let is_dense = logs.windows(2).all(|pair| pair[0].log_index + 1 == pair[1].log_index);
    let logs = drawn.want.wanted(logs);
    let committed = *proven && drawn.want.uncommitted(&header.reference()) != Some(drawn.tx_hash);
    let mut checker = Checker::default();
    if committed && !logs.iter().all(|log| checker.holds(&header.bloom, log)) {
        return lie("holds a log that is not in the header's bloom");
    }
    let is_sure = is_held && is_dense;
    Ok(if is_sure {
        Reported::Sure(logs)
    } else {
        Reported::Unproven(logs)
    })
}
