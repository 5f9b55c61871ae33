//! Spans: headers and logs of one block or a range, checked against each other and put together.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use alloy_primitives::B256;
use decoders::block::{Block, Context, Log, Proof, Span};
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use rustc_hash::FxHashSet;
use tracing::debug;

use super::ask::{Ask, Served, Trouble, count};
use super::bloom::Checker;
use super::branch::Broken;
use super::call::Call;
use super::endpoint::Endpoint;
use super::error::{EndpointError, Wanted};
use super::header;
use super::log::Logs;
use super::pieces::{Sifted, sift, sift_blooms};
use super::pool::{Inner, check_wanted};
use super::proof::{Finding, Judged, Settled, Want, inspect, logs_of_block, read_receipts};
use super::settings::Filter;
use super::wire::{Body, Unread, replies};

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
    headers: Arc<Vec<Judged>>,
    /// Blocks whose transactions are whole.
    whole: FxHashSet<u64>,
}

impl Inner {
    pub(super) async fn block_span(&self, hash: B256, filter: &Filter, wanted: Proof) -> Result<Span, EndpointError> {
        let want = Want::new(self.chain, filter, self.options.state_sync_logs);
        let (judged, settled) = self
            .block(hash, &want, wanted)
            .await
            .map_err(|trouble| self.error(trouble, &Wanted::Hash(hash)))?;
        let block = judged.header.block;
        let (parent_hash, number) = (judged.header.parent_hash, block.number);
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
        span.context.whole = self.accompany(&[judged], &mut span.logs, &whole, &want).await?;
        Ok(span)
    }

    async fn block(&self, hash: B256, want: &Arc<Want>, wanted: Proof) -> Result<(Judged, Settled), Trouble> {
        let mut liars = Vec::new();
        if wanted == Proof::Receipts && !self.rules.opaque() {
            match self.with_receipts(hash, want).await {
                Ok(block) => return Ok(block),
                Err(Trouble::Unproven { liars: caught, .. }) => liars = caught,
                Err(Trouble::Unsupported | Trouble::TooMuch(_)) => {}
                Err(trouble) => return Err(trouble),
            }
        }
        let (judged, logs, by) = match self.with_logs(hash, want, liars.clone()).await {
            Ok(Served {
                value: (judged, logs),
                by,
            }) => (judged, logs, by),
            Err(Trouble::TooMuch(_)) => return self.dense(hash, want).await,
            Err(trouble) => return Err(trouble),
        };
        self.trusted(&by, &liars)?;
        match inspect(&judged, &logs, want, &mut Checker::default()) {
            Finding::Fine(proof) => Ok((judged, Settled::new(logs, proof))),
            Finding::Doubtful if wanted == Proof::Chained => Ok((judged, Settled::new(logs, Proof::Chained))),
            Finding::Doubtful | Finding::Wrong(_) => {
                count(&self.counts.suspects);
                let settled = self.settle(&judged, want, Some((&logs, &by))).await?;
                if settled.corrected {
                    self.blame_for_logs(&by, &[judged.header.block.number]);
                }
                Ok((judged, settled))
            }
        }
    }

    /// Header and receipts in one request, so that a live block takes one round trip.
    async fn with_receipts(&self, hash: B256, want: &Arc<Want>) -> Result<(Judged, Settled), Trouble> {
        let ask = Ask {
            receipts: true,
            patience: self.options.logs_timeout,
            ..self.question(
                vec![Call::header_of(hash), Call::receipts_of(hash)],
                format!("block {hash}"),
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
                    let header = header::read(header.json()?)?;
                    check_wanted(&header, &Wanted::Hash(hash))?;
                    let judged = Judged {
                        proven: rules.judge(&header, agreed)?,
                        header,
                    };
                    let settled = read_receipts(receipts.json()?, &judged, &want)?;
                    Ok((judged, settled))
                }
            })
            .await?;
        let (judged, settled) = served.value;
        if settled.proof < Proof::Receipts {
            count(if judged.proven {
                &self.counts.unprovable
            } else {
                &self.counts.opaque
            });
        }
        Ok((judged, settled))
    }

    /// Header and matching logs in one request.
    async fn with_logs(
        &self,
        hash: B256,
        want: &Arc<Want>,
        shun: Vec<i32>,
    ) -> Result<Served<(Judged, Vec<Log>)>, Trouble> {
        let mut calls = vec![Call::header_of(hash)];
        calls.extend(Call::logs_of(hash, &want.filter));
        let ask = Ask {
            shun,
            patience: self.options.logs_timeout,
            ..self.question(calls, format!("block {hash}"))
        };
        let served = self
            .ask_sealed(&ask, |agreed| {
                let (rules, want) = (Arc::clone(&self.rules), Arc::clone(want));
                move |bodies: &[Body]| {
                    let replies = replies(bodies)?;
                    let [header, logs @ ..] = replies.as_slice() else {
                        return Err(Unread::Absent);
                    };
                    let header = header::read(header.json()?)?;
                    check_wanted(&header, &Wanted::Hash(hash))?;
                    let judged = Judged {
                        proven: rules.judge(&header, agreed)?,
                        header,
                    };
                    let logs = logs_of_block(Logs::joined(logs)?, &judged.header, &want)?;
                    Ok((judged, logs))
                }
            })
            .await?;
        if !served.value.0.proven {
            count(&self.counts.opaque);
        }
        Ok(served)
    }

    /// A block whose logs no endpoint sends by `eth_getLogs`.
    async fn dense(&self, hash: B256, want: &Arc<Want>) -> Result<(Judged, Settled), Trouble> {
        let (header, _) = self.sealed_header(&Wanted::Hash(hash), Vec::new()).await?;
        let judged = Judged {
            proven: self.rules.judge(&header, true).unwrap_or(false),
            header,
        };
        let settled = self.settle(&judged, want, None).await?;
        Ok((judged, settled))
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
        let mut shun = Vec::new();
        for _ in 0..RESTARTS {
            match Box::pin(self.range(&range, &want, wanted, &shun)).await {
                Ok(Ranged {
                    mut span,
                    headers,
                    whole,
                }) => {
                    span.context.whole = self.accompany(&headers, &mut span.logs, &whole, &want).await?;
                    self.learn_density(span.blocks.len(), span.logs.len());
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
        let by_receipts = wanted == Proof::Receipts && !self.rules.opaque() && self.receipts_known();
        let (headers, pieces) = if by_receipts {
            (self.headers(range, shun).await?, Vec::new())
        } else {
            let pieces = async { self.pieces(range, want, shun).await.map_err(Broken::from) };
            futures::try_join!(self.headers(range, shun), pieces)?
        };
        let blocks: Vec<Block> = headers.iter().map(|judged| judged.header.block).collect();
        let parent_hash = headers.first().map(|judged| judged.header.parent_hash);
        let unproven = headers.iter().filter(|judged| !judged.proven).count();
        self.counts
            .opaque
            .fetch_add(u64::try_from(unproven).unwrap_or(0), Ordering::Relaxed);
        let headers = Arc::new(headers);
        let sifted = if by_receipts {
            self.prove_together(&headers, sift_blooms(&headers, want), want).await?
        } else {
            let (headers, want) = (Arc::clone(&headers), Arc::clone(want));
            let sifting = tokio::task::spawn_blocking(move || sift(&headers, pieces, &want, wanted));
            sifting.await.map_err(|error| Trouble::Unreachable(error.to_string()))?
        };
        let (Settled { logs, proof, .. }, whole) = self.settle_all(&headers, sifted, want).await?;
        let span = Span {
            chain: self.chain,
            range: range.clone(),
            parent_hash,
            blocks,
            logs,
            proof: proof.min(wanted),
            context: Context::default(),
        };
        Ok(Ranged { span, headers, whole })
    }

    /// Whether an endpoint may know `eth_getBlockReceipts`.
    fn receipts_known(&self) -> bool {
        self.endpoints().iter().any(|endpoint| !endpoint.vitals().no_receipts)
    }

    /// Asks for the receipts of many blocks in batches. Where a batch fails, each of its blocks is left to be settled by itself.
    async fn prove_together(&self, headers: &[Judged], sifted: Sifted, want: &Arc<Want>) -> Result<Sifted, Trouble> {
        let (mut together, mut alone) = (Vec::new(), Vec::new());
        for suspect in sifted.suspects {
            let is_provable = headers[suspect.place].proven;
            (if is_provable { &mut together } else { &mut alone }).push(suspect);
        }
        let batches = together.chunks(RECEIPTS_TOGETHER.min(self.options.batch.max(1)));
        let batches: Vec<BoxFuture<'_, _>> = batches
            .map(|suspects| {
                let blocks: Vec<Judged> = suspects.iter().map(|suspect| headers[suspect.place].clone()).collect();
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
                        proven.whole.insert(headers[suspect.place].header.block.number);
                        proven.proof = proven.proof.min(block.proof);
                        proven.logs.extend(block.logs);
                    }
                }
                Err(trouble @ (Trouble::Cancelled | Trouble::NoEndpoints | Trouble::WrongChain(_))) => {
                    return Err(trouble);
                }
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

    /// Settles what the sifting left in doubt, and puts the results in their places; gives the blocks that are whole then, too.
    async fn settle_all(
        &self,
        headers: &[Judged],
        sifted: Sifted,
        want: &Arc<Want>,
    ) -> Result<(Settled, FxHashSet<u64>), Trouble> {
        let Sifted {
            mut logs,
            suspects,
            mut proof,
            mut whole,
        } = sifted;
        if suspects.is_empty() {
            return Ok((Settled::new(logs, proof), whole));
        }
        let settling = suspects.into_iter().map(|suspect| {
            let judged = &headers[suspect.place];
            async move {
                if suspect.by.is_some() {
                    count(&self.counts.suspects);
                    debug!(chain = %self.chain, block = %judged.header.reference(), reason = suspect.reason, "logs are asked for again");
                }
                let first = suspect.by.as_ref().map(|by| (suspect.logs.as_slice(), by));
                let settled = self.settle(judged, want, first).await?;
                Ok::<_, Trouble>((judged.header.block.number, settled, suspect.by))
            }
        });
        let settled: Vec<(u64, Settled, Option<Arc<Endpoint>>)> = stream::iter(settling)
            .buffer_unordered(BLOCKS_UNDER_WAY)
            .try_collect()
            .await?;
        let mut added = false;
        let mut wrong: BTreeMap<i32, (Arc<Endpoint>, Vec<u64>)> = BTreeMap::new();
        for (number, block, by) in settled {
            if let Some(by) = by.filter(|_| block.corrected) {
                wrong.entry(by.id).or_insert_with(|| (by, Vec::new())).1.push(number);
            }
            proof = proof.min(block.proof);
            added |= !block.logs.is_empty();
            whole.extend(block.whole.then_some(number));
            logs.extend(block.logs);
        }
        for (by, blocks) in wrong.into_values() {
            self.blame_for_logs(&by, &blocks);
        }
        if added {
            logs.sort_by_key(|log| (log.block_number, log.log_index));
        }
        Ok((Settled::new(logs, proof), whole))
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
