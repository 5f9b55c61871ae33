//! Spans: headers and logs of one block or a range, checked against each other and put together.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use decoders::block::{BlockRef, Context, Log, Proof, Span};
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use rustc_hash::{FxHashMap, FxHashSet};
use tokio::time::Instant;
use tracing::debug;

use super::ask::Served;
use super::bloom::Checker;
use super::branch::Broken;
use super::checked_header::CheckedHeader;
use super::endpoint::Endpoint;
use super::error::{EndpointError, Wanted};
use super::header_rules::Rules;
use super::inner::Inner;
use super::pieces::{Compared, Piece, Sifted, Suspect, sift, sift_blooms};
use super::proof::{BlockLogs, Corrected, Finding, Settled, Want, inspect, logs_of_block, read_receipts};
use super::question::{Ask, Trouble};
use super::reach::Horizon;
use super::report::count;
use super::settings::Filter;
use super::wire::call::Call;
use super::wire::header;
use super::wire::log::Logs;
use super::wire::{Body, Reply, Unread, replies};

/// Single blocks of one span under way at once.
const BLOCKS_UNDER_WAY: usize = 16;
/// Blocks whose receipts are asked for in one batch: a busy one's weigh a megabyte. And batches under way at once.
const RECEIPTS_TOGETHER: usize = 8;
const BATCHES_UNDER_WAY: usize = 4;
/// Fresh starts of a span after its endpoints were found on different branches.
const RESTARTS: usize = 3;

/// A range as it was read.
struct Ranged {
    span: Span,
    headers: Arc<Vec<CheckedHeader>>,
    /// Blocks whose transactions are whole.
    whole: FxHashSet<u64>,
}

impl Inner {
    pub(super) async fn block_span(
        &self,
        block: BlockRef,
        filter: &Filter,
        wanted: Proof,
    ) -> Result<Span, EndpointError> {
        let want = Want::new(self.chain, filter, self.options.state_sync_logs);
        let (checked, settled) = self
            .block(block, &want, wanted)
            .await
            .map_err(|trouble| self.error(trouble, &Wanted::Hash(block.hash)))?;
        let block = checked.header.block;
        let (parent_hash, number) = (checked.header.parent_hash, block.number);
        let mut span = Span {
            chain: self.chain,
            range: number..=number,
            parent_hash: Some(parent_hash),
            blocks: vec![block],
            logs: settled.logs,
            proof: settled.proof.min(wanted),
            context: Context::default(),
        };
        let whole = settled.whole.then_some(number).into_iter().collect();
        span.context.whole = self.add_siblings(&[checked], &mut span.logs, &whole, &want).await?;
        Ok(span)
    }

    async fn block(
        &self,
        block: BlockRef,
        want: &Arc<Want>,
        wanted: Proof,
    ) -> Result<(CheckedHeader, Settled), Trouble> {
        let mut liars = Vec::new();
        // Receipts prove nothing under a header that cannot be recomputed, so they are not asked for there.
        if wanted == Proof::Receipts && !self.rules.opaque() && self.receipts_known() {
            match self.with_receipts(block, want).await {
                Ok((checked, Ok(settled))) => return Ok((checked, settled)),
                Ok((checked, Err(_))) => {
                    let settled = self.settle(&checked, want, None).await?;
                    return Ok((checked, settled));
                }
                Err(Trouble::Unproven { liars: caught, .. }) => liars = caught,
                Err(trouble @ (Trouble::Cancelled | Trouble::NoEndpoints | Trouble::WrongChain(_))) => {
                    return Err(trouble);
                }
                Err(_) => {}
            }
        }
        let (checked, found, by) = match self.with_logs(block, want, liars.clone()).await {
            Ok(Served {
                value: (checked, found),
                by,
            }) => (checked, found, by),
            Err(trouble @ (Trouble::Cancelled | Trouble::NoEndpoints | Trouble::WrongChain(_))) => return Err(trouble),
            // The first trouble is reported: the last resort failing shows less about the endpoints.
            Err(trouble) => return self.dense(block, want).await.map_err(|_| trouble),
        };
        self.trusted(&by, &liars)?;
        match inspect(&checked, found.given(), want, &mut Checker::default()) {
            Finding::Fine(proof) => Ok((checked, Settled::unsplit(found.logs, proof, want))),
            Finding::Unseen | Finding::Inconclusive(_) if wanted == Proof::Chained => {
                Ok((checked, Settled::unsplit(found.logs, Proof::Chained, want)))
            }
            Finding::Unseen | Finding::Inconclusive(_) | Finding::Wrong(_) => {
                count(&self.counts.suspects);
                let settled = self.settle(&checked, want, Some((&found.logs, &by))).await?;
                // Places may differ between nodes; logs that were left out or added are what an endpoint is blamed for.
                if settled.corrected == Corrected::Content {
                    self.blame_for_logs(&by, &[checked.header.block.number]);
                }
                Ok((checked, settled))
            }
        }
    }

    /// Header and receipts in one request, so that a live block takes one round trip. A header without its receipts is a header.
    async fn with_receipts(
        &self,
        block: BlockRef,
        want: &Arc<Want>,
    ) -> Result<(CheckedHeader, Result<Settled, Unread>), Trouble> {
        let ask = Ask {
            receipts: true,
            patience: self.options.logs_timeout,
            ..self.question(
                vec![Call::header_of_block(block), Call::receipts_of(block)],
                format!("block {block}"),
            )
        };
        let served = self
            .ask_sealed(&ask, |agreed| {
                let (rules, want) = (Arc::clone(&self.rules), Arc::clone(want));
                move |bodies: &[Body]| {
                    let replies = replies(bodies)?;
                    let [header, receipts] = replies.as_slice() else {
                        return Err(Unread::Absent);
                    };
                    let checked = sealed(header, block, &rules, agreed)?;
                    let settled = match receipts.json().and_then(|json| read_receipts(json, &checked, &want)) {
                        Ok(settled) => Ok(settled),
                        Err(lie @ (Unread::Lie(_) | Unread::Unprovable(_) | Unread::Elsewhere(_))) => return Err(lie),
                        Err(unread) => Err(unread),
                    };
                    Ok((checked, settled))
                }
            })
            .await?;
        let (checked, settled) = served.value;
        if settled.is_ok() {
            served.by.health().had_receipts();
        }
        if settled.as_ref().is_ok_and(|settled| settled.proof < Proof::Receipts) {
            count(if checked.proven {
                &self.counts.unprovable
            } else {
                &self.counts.opaque
            });
        }
        Ok((checked, settled))
    }

    /// Header and matching logs in one request.
    async fn with_logs(
        &self,
        block: BlockRef,
        want: &Arc<Want>,
        shun: Vec<i32>,
    ) -> Result<Served<(CheckedHeader, BlockLogs)>, Trouble> {
        let mut calls = vec![Call::header_of_block(block)];
        calls.extend(Call::logs_of(block, &want.filter));
        let ask = Ask {
            shun,
            patience: self.options.logs_timeout,
            ..self.question(calls, format!("block {block}"))
        };
        let served = self
            .ask_sealed(&ask, |agreed| {
                let (rules, want) = (Arc::clone(&self.rules), Arc::clone(want));
                move |bodies: &[Body]| {
                    let replies = replies(bodies)?;
                    let [header, logs @ ..] = replies.as_slice() else {
                        return Err(Unread::Absent);
                    };
                    let checked = sealed(header, block, &rules, agreed)?;
                    let logs = Logs::joined(logs, &want.set)?;
                    let found = logs_of_block(logs, &checked.header)?;
                    Ok((checked, found))
                }
            })
            .await?;
        if !served.value.0.proven {
            count(&self.counts.opaque);
        }
        Ok(served)
    }

    /// A block whose logs no endpoint sends together with its header.
    async fn dense(&self, block: BlockRef, want: &Arc<Want>) -> Result<(CheckedHeader, Settled), Trouble> {
        let ask = self.question(vec![Call::header_of_block(block)], format!("block {block}"));
        let served = self
            .ask_sealed(&ask, |agreed| {
                let rules = Arc::clone(&self.rules);
                move |bodies: &[Body]| {
                    let replies = replies(bodies)?;
                    sealed(replies.first().ok_or(Unread::Absent)?, block, &rules, agreed)
                }
            })
            .await?;
        let checked = served.value;
        let settled = self.settle(&checked, want, None).await?;
        Ok((checked, settled))
    }

    pub(super) async fn range_span(
        &self,
        range: RangeInclusive<u64>,
        filter: &Filter,
        wanted: Proof,
    ) -> Result<Span, EndpointError> {
        let (start, end) = (*range.start(), *range.end());
        if start > end {
            return Err(EndpointError::BadRange { start, end });
        }
        let want = Want::new(self.chain, filter, self.options.state_sync_logs);
        // Grows from restart to restart: who was found on another branch is not asked for this range again.
        let mut shun = Vec::new();
        for _ in 0..RESTARTS {
            match Box::pin(self.range(&range, &want, wanted, &shun)).await {
                Ok(Ranged {
                    mut span,
                    headers,
                    whole,
                }) => {
                    span.context.whole = self.add_siblings(&headers, &mut span.logs, &whole, &want).await?;
                    self.density.learn_logs(span.blocks.len(), span.logs.len());
                    return Ok(span);
                }
                Err(Broken::Trouble(trouble)) => return Err(self.error(trouble, &Wanted::Range(range))),
                Err(Broken::Branch(ids)) => shun.extend(ids),
            }
        }
        let reason = "its endpoints keep changing branches".to_owned();
        let liars = Vec::new();
        Err(self.error(Trouble::Unproven { reason, liars }, &Wanted::Range(range)))
    }

    async fn range(
        &self,
        range: &RangeInclusive<u64>,
        want: &Arc<Want>,
        wanted: Proof,
        shun: &[i32],
    ) -> Result<Ranged, Broken> {
        let reach = Horizon::default();
        let by_receipts = wanted == Proof::Receipts && !self.rules.opaque() && self.receipts_known();
        let (mut headers, pieces) = if by_receipts {
            (self.headers(range, shun, &reach).await?, None)
        } else {
            let pieces = async {
                match self.pieces(range, want, shun, &reach).await {
                    // Where no endpoint knows `eth_getLogs`, receipts have to do.
                    Err(Trouble::Unsupported) => Ok(None),
                    pieces => pieces.map(Some).map_err(Broken::from),
                }
            };
            // Side by side: both are long, and logs are compared with headers only when both are there.
            futures::try_join!(self.headers(range, shun, &reach), pieces)?
        };
        headers.retain(|checked| reach.holds(checked.header.block.number));
        let unproven = headers.iter().filter(|checked| !checked.proven).count();
        self.counts
            .opaque
            .fetch_add(u64::try_from(unproven).unwrap_or(0), Ordering::Relaxed);
        let headers = Arc::new(headers);
        let blooms = || sift_blooms(&headers, want);
        let sifted = match pieces {
            Some(pieces) => self.sifted(&headers, pieces, want, wanted).await?,
            None => match self.prove_together(&headers, blooms(), want, by_receipts).await {
                // By their logs then, many blocks at a time, or else block by block.
                Err(Trouble::Unsupported) => match self.pieces(range, want, shun, &reach).await {
                    Ok(pieces) => self.sifted(&headers, pieces, want, wanted).await?,
                    Err(Trouble::Unsupported) => self.prove_together(&headers, blooms(), want, false).await?,
                    Err(trouble) => return Err(trouble.into()),
                },
                sifted => sifted?,
            },
        };
        let settled = self.settle_all(&headers, sifted, want, &reach).await?;
        self.as_far_as_read(range, (headers, settled), &reach, wanted)
    }

    async fn sifted(
        &self,
        headers: &Arc<Vec<CheckedHeader>>,
        pieces: Vec<Piece>,
        want: &Arc<Want>,
        wanted: Proof,
    ) -> Result<Sifted, Trouble> {
        let (headers, want) = (Arc::clone(headers), Arc::clone(want));
        let (all, asked) = (Arc::clone(&headers), Arc::clone(&want));
        let sifting = tokio::task::spawn_blocking(move || sift(&headers, pieces, &want, wanted));
        let sifted = sifting.await.map_err(|error| Trouble::Unreachable(error.to_string()))?;
        Ok(self.clear_unseen(&all, sifted, &asked).await)
    }

    /// The span, up to the first block that could not be read.
    fn as_far_as_read(
        &self,
        range: &RangeInclusive<u64>,
        (mut headers, (settled, mut whole)): (Arc<Vec<CheckedHeader>>, (Settled, FxHashSet<u64>)),
        reach: &Horizon,
        wanted: Proof,
    ) -> Result<Ranged, Broken> {
        let Settled { mut logs, proof, .. } = settled;
        let (start, mut end) = (*range.start(), *range.end());
        if let Some((first, trouble)) = reach.ended() {
            if first <= start {
                return Err(trouble.into());
            }
            debug!(chain = %self.chain, start, first, end, ?trouble, "a span is read in part");
            end = first - 1;
            Arc::make_mut(&mut headers).retain(|checked| checked.header.block.number <= end);
            logs.retain(|log| log.block_number <= end);
            whole.retain(|number| *number <= end);
        }
        let span = Span {
            chain: self.chain,
            range: start..=end,
            parent_hash: headers.first().map(|checked| checked.header.parent_hash),
            blocks: headers.iter().map(|checked| checked.header.block).collect(),
            logs,
            proof: proof.min(wanted),
            context: Context::default(),
        };
        Ok(Ranged { span, headers, whole })
    }

    /// Whether an endpoint may know `eth_getBlockReceipts`.
    fn receipts_known(&self) -> bool {
        let (endpoints, now) = (self.endpoints(), Instant::now());
        let mut knowing = endpoints
            .iter()
            .filter(|endpoint| !endpoint.health().spares_receipts(now));
        // One that fails is not waited for where another answers without.
        let answers = |endpoint: &Arc<Endpoint>| !endpoint.health().failing(now);
        knowing.any(answers) || !endpoints.iter().any(answers)
    }

    /// Asks for the receipts of many blocks in batches. Where a batch fails, each of its blocks is left to be settled on its own.
    async fn prove_together(
        &self,
        headers: &[CheckedHeader],
        sifted: Sifted,
        want: &Arc<Want>,
        or_logs: bool,
    ) -> Result<Sifted, Trouble> {
        let (mut together, mut alone) = (Vec::new(), Vec::new());
        for suspect in sifted.suspects {
            // Receipts under a header that is not proven are not worth a place in a batch.
            let is_provable = headers[suspect.place].proven;
            (if is_provable { &mut together } else { &mut alone }).push(suspect);
        }
        let batches = together.chunks(RECEIPTS_TOGETHER.min(self.options.batch.max(1)));
        let batches: Vec<BoxFuture<'_, _>> = batches
            .map(|suspects| {
                let blocks: Vec<CheckedHeader> =
                    suspects.iter().map(|suspect| headers[suspect.place].clone()).collect();
                async move { (suspects, self.all_by_receipts(&blocks, want).await) }.boxed()
            })
            .collect();
        let mut proven = Sifted {
            suspects: Vec::new(),
            ..sifted
        };
        let mut batches = stream::iter(batches).buffer_unordered(BATCHES_UNDER_WAY);
        let mut failed = Vec::new();
        while let Some((suspects, answer)) = batches.next().await {
            match answer {
                Ok(settled) => {
                    for (suspect, block) in suspects.iter().zip(settled) {
                        let Some(block) = block else {
                            failed.push(suspect.place);
                            continue;
                        };
                        proven.whole.insert(headers[suspect.place].header.block.number);
                        // A span is as proven as its weakest block.
                        proven.proof = proven.proof.min(block.proof);
                        proven.logs.extend(block.logs);
                    }
                }
                Err(trouble @ (Trouble::Cancelled | Trouble::NoEndpoints | Trouble::WrongChain(_))) => {
                    return Err(trouble);
                }
                Err(trouble @ Trouble::Unsupported) if or_logs => return Err(trouble),
                Err(_) => failed.extend(suspects.iter().map(|suspect| suspect.place)),
            }
        }
        drop(batches);
        together.retain(|suspect| failed.contains(&suspect.place));
        proven.suspects = together;
        proven.suspects.append(&mut alone);
        proven.logs.sort_by_key(|log| (log.block_number, log.log_index));
        Ok(proven)
    }

    /// Settles what the sifting left unproven, and puts the results in their places; gives the blocks that are whole then, too.
    ///
    /// An answer that was wrong about one block may be wrong about others in ways that no bloom shows: all of it is settled.
    async fn settle_all(
        &self,
        headers: &[CheckedHeader],
        sifted: Sifted,
        want: &Arc<Want>,
        reach: &Horizon,
    ) -> Result<(Settled, FxHashSet<u64>), Trouble> {
        let Sifted {
            mut logs,
            mut suspects,
            mut proof,
            mut whole,
            mut answers,
        } = sifted;
        let mut done = FxHashSet::default();
        let mut wrong: BTreeMap<i32, (Arc<Endpoint>, Vec<u64>)> = BTreeMap::new();
        // Settling one block may show that an answer was wrong, whose other blocks then are suspect too. Each is settled once, so
        // it ends.
        while !suspects.is_empty() {
            done.extend(suspects.iter().map(|suspect| suspect.place));
            for (place, by, block) in self.settle_each(headers, suspects, want, reach).await? {
                let number = headers[place].header.block.number;
                let is_wrong = by.is_some() && block.corrected != Corrected::No;
                for answer in answers.iter_mut().filter(|answer| answer.places.contains(&place)) {
                    answer.is_wrong |= is_wrong;
                }
                if let Some(by) = by.filter(|_| block.corrected == Corrected::Content) {
                    wrong.entry(by.id).or_insert_with(|| (by, Vec::new())).1.push(number);
                }
                proof = proof.min(block.proof);
                whole.extend(block.whole.then_some(number));
                logs.extend(block.logs);
            }
            logs.sort_by_key(|log| (log.block_number, log.log_index));
            suspects = rest_of_wrong(&mut answers, &done, headers, &mut logs, want);
        }
        for (by, blocks) in wrong.into_values() {
            self.blame_for_logs(&by, &blocks);
        }
        Ok((Settled::new(logs, proof), whole))
    }

    async fn settle_each(
        &self,
        headers: &[CheckedHeader],
        suspects: Vec<Suspect>,
        want: &Arc<Want>,
        reach: &Horizon,
    ) -> Result<Vec<(usize, Option<Arc<Endpoint>>, Settled)>, Trouble> {
        let settling = suspects.into_iter().map(|suspect| {
            let checked = &headers[suspect.place];
            async move {
                let number = checked.header.block.number;
                if !reach.holds(number) {
                    return Ok(None);
                }
                if suspect.by.is_some() {
                    count(&self.counts.suspects);
                    debug!(chain = %self.chain, block = %checked.header.reference(), reason = suspect.reason, "logs are asked for again");
                }
                let first = suspect.by.as_ref().map(|by| (suspect.logs.as_slice(), by));
                match self.settle(checked, want, first).await {
                    Ok(settled) => Ok(Some((suspect.place, suspect.by, settled))),
                    Err(trouble) => reach.end(number, trouble).map(|()| None),
                }
            }
        });
        let settling: Vec<BoxFuture<'_, _>> = settling.map(FutureExt::boxed).collect();
        let settled: Vec<Option<_>> = stream::iter(settling)
            // Bounded: after a bad answer about a long range every block of it may be suspect.
            .buffer_unordered(BLOCKS_UNDER_WAY)
            .try_collect()
            .await?;
        Ok(settled.into_iter().flatten().collect())
    }

    /// One answer, one blame, however many blocks it was wrong about.
    fn blame_for_logs(&self, by: &Endpoint, blocks: &[u64]) {
        let (first, last) = (blocks.iter().min().copied(), blocks.iter().max().copied());
        let (Some(first), Some(last)) = (first, last) else {
            return;
        };
        let repaired = u64::try_from(blocks.len()).unwrap_or(u64::MAX);
        self.counts.repaired.fetch_add(repaired, Ordering::Relaxed);
        let (count, noun) = (blocks.len(), if blocks.len() == 1 { "block" } else { "blocks" });
        self.blame(
            by,
            &format!("its logs of {count} {noun} from {first} to {last} were wrong"),
        );
    }
}

/// What else is in the answers that turned out wrong and has not been settled, taken out of `logs`. Where the bloom excludes every
/// log that was asked for, nothing is uncertain.
fn rest_of_wrong(
    answers: &mut Vec<Compared>,
    done: &FxHashSet<usize>,
    headers: &[CheckedHeader],
    logs: &mut Vec<Log>,
    want: &Want,
) -> Vec<Suspect> {
    let mut rest = Vec::new();
    for answer in answers.extract_if(.., |answer| answer.is_wrong) {
        for place in answer.places.filter(|place| !done.contains(place)) {
            let checked = &headers[place];
            if checked.proven && !want.may_match(&checked.header) {
                continue;
            }
            rest.push(Suspect {
                place,
                logs: Vec::new(),
                by: Some(Arc::clone(&answer.by)),
                reason: "the same answer was wrong about another block",
                is_unseen: false,
            });
        }
    }
    let place_of: FxHashMap<u64, usize> = (0..)
        .zip(&rest)
        .map(|(at, suspect)| (headers[suspect.place].header.block.number, at))
        .collect();
    logs.retain(|log| match place_of.get(&log.block_number) {
        Some(at) => {
            rest[*at].logs.push(log.clone());
            false
        }
        None => true,
    });
    rest
}

/// The header of `block` in an answer, and whether it is proven.
fn sealed(reply: &Reply<'_>, block: BlockRef, rules: &Rules, agreed: bool) -> Result<CheckedHeader, Unread> {
    let header = header::read(reply.json()?)?;
    if header.block.hash != block.hash {
        return Err(Unread::Elsewhere(format!(
            "asked for block {block}, gave block {}",
            header.reference()
        )));
    }
    Ok(CheckedHeader {
        proven: rules.check(&header, agreed)?,
        header,
    })
}
