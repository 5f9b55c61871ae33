//! Spans: headers and logs of one block or a range, fetched, checked against each other, and put together.

use std::collections::{BTreeMap, VecDeque};
use std::ops::RangeInclusive;
use std::sync::Arc;

use alloy_primitives::B256;
use decoders::block::{Block, Log, Proof, Span};
use futures::stream::{self, FuturesUnordered};
use futures::{StreamExt, TryStreamExt};
use tracing::{debug, warn};

use super::ask::{Ask, Served, Trouble, count};
use super::bloom::Checker;
use super::call::Call;
use super::endpoint::Endpoint;
use super::error::{EndpointError, Wanted};
use super::header;
use super::log::Logs;
use super::pool::{Inner, check_wanted};
use super::proof::{Finding, Judged, Settled, Want, inspect, logs_of_block, read_receipts};
use super::refusal::Hint;
use super::settings::Filter;
use super::wire::{Body, Reply, Unread, replies, single};

/// Header batches, and `eth_getLogs` ranges, of one span under way at once.
const UNDER_WAY: usize = 4;
/// Single blocks of one span under way at once.
const BLOCKS_UNDER_WAY: usize = 16;
/// Fresh starts of a span after its endpoints were found on different branches.
const RESTARTS: usize = 3;

/// The logs of one `eth_getLogs` range; `None` for a single block with more logs than any endpoint sends that way.
struct Piece {
    range: RangeInclusive<u64>,
    logs: Option<Logs>,
    by: Option<Arc<Endpoint>>,
}

/// Headers that came in one answer.
struct Run {
    headers: Vec<Judged>,
    by: Arc<Endpoint>,
}

/// A block whose logs are to be settled.
struct Suspect {
    place: usize,
    logs: Vec<Log>,
    by: Option<Arc<Endpoint>>,
    reason: &'static str,
}

/// What one pass over a span shows.
struct Sifted {
    logs: Vec<Log>,
    suspects: Vec<Suspect>,
    proof: Proof,
}

/// How reading a range failed.
enum Broken {
    Trouble(Trouble),
    /// These endpoints stand on another branch than the others: start again without them.
    Branch(Vec<i32>),
}

impl From<Trouble> for Broken {
    fn from(trouble: Trouble) -> Self {
        Broken::Trouble(trouble)
    }
}

impl Inner {
    pub(super) async fn block_span(&self, hash: B256, filter: &Filter, wanted: Proof) -> Result<Span, EndpointError> {
        let want = Want::new(filter, self.options.state_sync_logs);
        let (judged, settled) = self
            .block(hash, &want, wanted)
            .await
            .map_err(|trouble| self.error(trouble, &Wanted::Hash(hash)))?;
        let number = judged.header.block.number;
        Ok(Span {
            chain: self.chain,
            range: number..=number,
            parent_hash: Some(judged.header.parent_hash),
            blocks: vec![judged.header.block],
            logs: settled.logs,
            proof: settled.proof.min(wanted),
        })
    }

    async fn block(&self, hash: B256, want: &Arc<Want>, wanted: Proof) -> Result<(Judged, Settled), Trouble> {
        if wanted == Proof::Receipts && !self.rules.opaque() {
            match self.with_receipts(hash, want).await {
                Ok(block) => return Ok(block),
                Err(Trouble::Unsupported | Trouble::Unproven(_) | Trouble::TooMuch(_)) => {}
                Err(trouble) => return Err(trouble),
            }
        }
        let (judged, logs, by) = match self.with_logs(hash, want).await {
            Ok(Served {
                value: (judged, logs),
                by,
            }) => (judged, logs, by),
            Err(Trouble::TooMuch(_)) => return self.dense(hash, want).await,
            Err(trouble) => return Err(trouble),
        };
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
    async fn with_logs(&self, hash: B256, want: &Arc<Want>) -> Result<Served<(Judged, Vec<Log>)>, Trouble> {
        let calls = vec![Call::header_of(hash), Call::logs_of(hash, &want.filter)];
        let ask = Ask {
            patience: self.options.logs_timeout,
            ..self.question(calls, format!("block {hash}"))
        };
        let served = self
            .ask_sealed(&ask, |agreed| {
                let (rules, want) = (Arc::clone(&self.rules), Arc::clone(want));
                move |bodies: &[Body]| {
                    let replies = replies(bodies)?;
                    let [header, logs] = replies.as_slice() else {
                        return Err(Unread::Absent);
                    };
                    let header = header::read(header.json()?)?;
                    check_wanted(&header, &Wanted::Hash(hash))?;
                    let judged = Judged {
                        proven: rules.judge(&header, agreed)?,
                        header,
                    };
                    let logs = logs_of_block(logs.read()?, &judged.header, &want)?;
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
        let want = Want::new(filter, self.options.state_sync_logs);
        let mut shun = Vec::new();
        for _ in 0..RESTARTS {
            match Box::pin(self.range(&range, &want, wanted, &shun)).await {
                Ok(span) => {
                    self.learn_density(span.blocks.len(), span.logs.len());
                    return Ok(span);
                }
                Err(Broken::Trouble(trouble)) => return Err(self.error(trouble, &Wanted::Range(range))),
                Err(Broken::Branch(ids)) => shun.extend(ids),
            }
        }
        let reason = "its endpoints keep changing branches".to_owned();
        Err(self.error(Trouble::Unproven(reason), &Wanted::Range(range)))
    }

    async fn range(
        &self,
        range: &RangeInclusive<u64>,
        want: &Arc<Want>,
        wanted: Proof,
        shun: &[i32],
    ) -> Result<Span, Broken> {
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
        self.counts.opaque.fetch_add(
            u64::try_from(unproven).unwrap_or(0),
            std::sync::atomic::Ordering::Relaxed,
        );
        let headers = Arc::new(headers);
        let sifted = if by_receipts {
            sift_blooms(&headers, want)
        } else {
            let (headers, want) = (Arc::clone(&headers), Arc::clone(want));
            let sifting = tokio::task::spawn_blocking(move || sift(&headers, pieces, &want, wanted));
            sifting.await.map_err(|error| Trouble::Unreachable(error.to_string()))?
        };
        let (logs, proof) = self.settle_all(&headers, sifted, want).await?;
        Ok(Span {
            chain: self.chain,
            range: range.clone(),
            parent_hash,
            blocks,
            logs,
            proof: proof.min(wanted),
        })
    }

    /// Whether an endpoint may know `eth_getBlockReceipts`.
    fn receipts_known(&self) -> bool {
        self.endpoints().iter().any(|endpoint| !endpoint.vitals().no_receipts)
    }

    /// Settles what the sifting left in doubt, and puts the results in their places.
    async fn settle_all(
        &self,
        headers: &[Judged],
        sifted: Sifted,
        want: &Arc<Want>,
    ) -> Result<(Vec<Log>, Proof), Trouble> {
        let Sifted {
            mut logs,
            suspects,
            mut proof,
        } = sifted;
        if suspects.is_empty() {
            return Ok((logs, proof));
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
            logs.extend(block.logs);
        }
        for (by, blocks) in wrong.into_values() {
            self.blame_for_logs(&by, &blocks);
        }
        if added {
            logs.sort_by_key(|log| (log.block_number, log.log_index));
        }
        Ok((logs, proof))
    }

    /// One answer, one blame, however many blocks it was wrong about.
    fn blame_for_logs(&self, by: &Endpoint, blocks: &[u64]) {
        let (first, last) = (blocks.iter().min().copied(), blocks.iter().max().copied());
        let (Some(first), Some(last)) = (first, last) else {
            return;
        };
        let repaired = u64::try_from(blocks.len()).unwrap_or(u64::MAX);
        self.counts
            .repaired
            .fetch_add(repaired, std::sync::atomic::Ordering::Relaxed);
        let (count, noun) = (blocks.len(), if blocks.len() == 1 { "block" } else { "blocks" });
        self.blame(
            by,
            &format!("its logs of {count} {noun} from {first} to {last} were wrong"),
        );
    }

    /// Every header of the range, linked; and the last one known to a second endpoint.
    async fn headers(&self, range: &RangeInclusive<u64>, shun: &[i32]) -> Result<Vec<Judged>, Broken> {
        let size = u64::try_from(self.options.batch.max(1)).unwrap_or(1);
        let (start, end) = (*range.start(), *range.end());
        let count = (end - start) / size + 1;
        let parts = (0..count).map(|part| {
            let first = start + part * size;
            first..=end.min(first.saturating_add(size - 1))
        });
        let runs: Vec<Run> = stream::iter(parts)
            .map(|part| self.run(part, shun))
            .buffered(UNDER_WAY)
            .try_collect()
            .await?;
        for pair in runs.windows(2) {
            let [below, above] = pair else { continue };
            let (Some(last), Some(first)) = (below.headers.last(), above.headers.first()) else {
                continue;
            };
            if first.header.parent_hash != last.header.block.hash {
                return Err(self.vote(last, &[&below.by, &above.by]).await);
            }
        }
        if let Some(Run { headers, by }) = runs.last() {
            let last = headers.last().ok_or(Trouble::Absent)?;
            self.witness(last, by).await?;
        }
        Ok(runs.into_iter().flat_map(|run| run.headers).collect())
    }

    async fn run(&self, part: RangeInclusive<u64>, shun: &[i32]) -> Result<Run, Trouble> {
        let ask = Ask {
            block: Some(*part.end()),
            shun: shun.to_vec(),
            ..self.question(
                part.clone().map(Call::header_at).collect(),
                Wanted::Range(part.clone()).to_string(),
            )
        };
        let served = self
            .ask_sealed(&ask, |agreed| {
                let (rules, part) = (Arc::clone(&self.rules), part.clone());
                move |bodies: &[Body]| {
                    let replies = replies(bodies)?;
                    let mut headers: Vec<Judged> = Vec::with_capacity(replies.len());
                    for (number, reply) in part.clone().zip(&replies) {
                        headers.push(linked(number, reply, headers.last(), &rules, agreed)?);
                    }
                    Ok(headers)
                }
            })
            .await?;
        Ok(Run {
            headers: served.value,
            by: served.by,
        })
    }

    /// Asks a second endpoint for the hash of the last block, so that one endpoint alone on its branch is noticed.
    async fn witness(&self, last: &Judged, by: &Arc<Endpoint>) -> Result<(), Broken> {
        let number = last.header.block.number;
        let ask = Ask {
            block: Some(number),
            ..self.question(vec![Call::header_at(number)], format!("block {number}"))
        };
        let Some(other) = self.pick(&ask, &[by.id]) else {
            return Ok(());
        };
        match self.hash_at(&other, &ask).await {
            Some(hash) if hash != last.header.block.hash => Err(self.vote(last, &[by, &other]).await),
            _ => Ok(()),
        }
    }

    async fn hash_at(&self, endpoint: &Arc<Endpoint>, ask: &Ask) -> Option<B256> {
        let rules = Arc::clone(&self.rules);
        let read = move |bodies: &[Body]| {
            let header = header::read(replies(bodies)?.first().ok_or(Unread::Absent)?.json()?)?;
            rules.judge(&header, true)?;
            Ok(header.block.hash)
        };
        self.attempt_once(endpoint, ask, &read).await.ok()
    }

    /// Two endpoints disagree about a final block: the majority of all is right; without one nobody is believed.
    async fn vote(&self, disputed: &Judged, between: &[&Arc<Endpoint>]) -> Broken {
        let number = disputed.header.block.number;
        let ask = self.question(vec![Call::header_at(number)], format!("block {number}"));
        let endpoints = self.endpoints();
        let asked = endpoints.iter().map(|endpoint| {
            let ask = &ask;
            async move { Some((Arc::clone(endpoint), self.hash_at(endpoint, ask).await?)) }
        });
        let votes: Vec<(Arc<Endpoint>, B256)> = futures::future::join_all(asked).await.into_iter().flatten().collect();
        let mut tally: BTreeMap<B256, usize> = BTreeMap::new();
        for (_, hash) in &votes {
            *tally.entry(*hash).or_default() += 1;
        }
        let most = tally.values().copied().max().unwrap_or(0);
        let mut leaders = tally.iter().filter(|(_, count)| **count == most).map(|(hash, _)| *hash);
        match (leaders.next(), leaders.next()) {
            (Some(right), None) if tally.len() > 1 => {
                let wrong: Vec<&Arc<Endpoint>> = votes
                    .iter()
                    .filter(|(_, hash)| *hash != right)
                    .map(|(by, _)| by)
                    .collect();
                for endpoint in &wrong {
                    self.blame(
                        endpoint,
                        &format!("it stands on another branch at block {number} than the majority"),
                    );
                }
                Broken::Branch(wrong.iter().map(|endpoint| endpoint.id).collect())
            }
            // They agree by now: the chain moved between two requests.
            (_, None) => Broken::Branch(Vec::new()),
            _ => {
                let names: Vec<&str> = between.iter().map(|endpoint| endpoint.name.as_str()).collect();
                let reason = format!(
                    "{} disagree about block {number}, and no majority decides",
                    names.join(" and ")
                );
                warn!(chain = %self.chain, %reason, "endpoints disagree");
                Broken::Trouble(Trouble::Unproven(reason))
            }
        }
    }

    /// The logs of the range, in as many `eth_getLogs` as the endpoints need. Refused ranges are split at once.
    async fn pieces(&self, range: &RangeInclusive<u64>, want: &Arc<Want>, shun: &[i32]) -> Result<Vec<Piece>, Trouble> {
        let mut queue = VecDeque::from([range.clone()]);
        let mut under_way = FuturesUnordered::new();
        let mut pieces = Vec::new();
        loop {
            while under_way.len() < UNDER_WAY {
                let Some(next) = queue.pop_front() else { break };
                let (now, rest) = cut(&next, self.log_blocks());
                if let Some(rest) = rest {
                    queue.push_front(rest);
                }
                under_way.push(self.piece(now, want, shun));
            }
            let Some((asked, answer)) = under_way.next().await else {
                break;
            };
            match answer {
                Ok(piece) => pieces.push(piece),
                Err(Trouble::TooMuch(_)) if asked.start() == asked.end() => {
                    pieces.push(Piece {
                        range: asked,
                        logs: None,
                        by: None,
                    });
                }
                Err(Trouble::TooMuch(hint)) => {
                    count(&self.counts.splits);
                    let blocks = asked.end() - asked.start() + 1;
                    let size = match hint {
                        Some(Hint::Try(size) | Hint::Limit(size)) if size < blocks => size,
                        _ => blocks / 2,
                    };
                    let (front, back) = cut(&asked, size);
                    if let Some(back) = back {
                        queue.push_front(back);
                    }
                    queue.push_front(front);
                }
                Err(trouble) => return Err(trouble),
            }
        }
        pieces.sort_by_key(|piece| *piece.range.start());
        Ok(pieces)
    }

    async fn piece(
        &self,
        range: RangeInclusive<u64>,
        want: &Arc<Want>,
        shun: &[i32],
    ) -> (RangeInclusive<u64>, Result<Piece, Trouble>) {
        let blocks = range.end() - range.start() + 1;
        let ask = Ask {
            block: Some(*range.end()),
            span: Some(blocks),
            patience: self.options.logs_timeout,
            shun: shun.to_vec(),
            ..self.question(
                vec![Call::logs_in(&range, &want.filter)],
                format!("the logs of {}", Wanted::Range(range.clone())),
            )
        };
        let (within, filter) = (range.clone(), Arc::clone(want));
        let read = move |bodies: &[Body]| {
            let mut logs: Logs = single(&bodies.first().ok_or(Unread::Absent)?.bytes)?;
            logs.check(&within, &filter.set)?;
            Ok(logs)
        };
        let answer = self.ask(&ask, read).await.map(|Served { value, by }| {
            by.vitals().log_range.answered(blocks, value.logs.len());
            Piece {
                range: range.clone(),
                logs: Some(value),
                by: Some(by),
            }
        });
        (range, answer)
    }
}

/// The first `size` blocks of a range, and the rest.
fn cut(range: &RangeInclusive<u64>, size: u64) -> (RangeInclusive<u64>, Option<RangeInclusive<u64>>) {
    let (start, end) = (*range.start(), *range.end());
    let last = start.saturating_add(size.max(1) - 1).min(end);
    (start..=last, (last < end).then(|| last + 1..=end))
}

fn linked(
    number: u64,
    reply: &Reply<'_>,
    below: Option<&Judged>,
    rules: &super::seal::Rules,
    agreed: bool,
) -> Result<Judged, Unread> {
    let header = header::read(reply.json()?)?;
    check_wanted(&header, &Wanted::Number(number))?;
    let proven = rules.judge(&header, agreed)?;
    match below {
        Some(below) if below.header.block.hash != header.parent_hash => Err(Unread::Lie(format!(
            "block {number} does not build on the block below it"
        ))),
        _ => Ok(Judged { header, proven }),
    }
}

/// At level `receipts`: blocks whose proven bloom excludes the filter hold nothing; the others are settled one by one.
fn sift_blooms(headers: &[Judged], want: &Want) -> Sifted {
    let open = |judged: &Judged| !judged.proven || want.may_match(&judged.header);
    let places = headers.iter().enumerate().filter(|(_, judged)| open(judged));
    let suspect = |(place, _)| Suspect {
        place,
        logs: Vec::new(),
        by: None,
        reason: "its receipts are to be proven",
    };
    Sifted {
        logs: Vec::new(),
        suspects: places.map(suspect).collect(),
        proof: Proof::Receipts,
    }
}

/// Compares every block's logs with its header.
fn sift(headers: &[Judged], pieces: Vec<Piece>, want: &Want, wanted: Proof) -> Sifted {
    let mut sifted = Sifted {
        logs: Vec::new(),
        suspects: Vec::new(),
        proof: Proof::Receipts,
    };
    let mut checker = Checker::default();
    let mut at = 0;
    for Piece { range, logs, by } in pieces {
        let whole = logs.is_some();
        let Logs { logs, blocks } = logs.unwrap_or_default();
        let (mut rest, mut named) = (logs.into_iter().peekable(), blocks.into_iter().peekable());
        while let Some(judged) = headers
            .get(at)
            .filter(|judged| range.contains(&judged.header.block.number))
        {
            let number = judged.header.block.number;
            let block = named.next_if(|block| block.number == number);
            let first = sifted.logs.len();
            while let Some(log) = rest.next_if(|log| log.block_number == number) {
                sifted.logs.push(log);
            }
            let finding = if block.is_some_and(|block| block.hash != judged.header.block.hash) {
                Finding::Wrong("its logs name another block")
            } else if whole {
                inspect(judged, &sifted.logs[first..], want, &mut checker)
            } else {
                Finding::Wrong("its logs are more than its endpoint sends")
            };
            let reason = match finding {
                Finding::Fine(proof) => {
                    sifted.proof = sifted.proof.min(proof);
                    at += 1;
                    continue;
                }
                Finding::Doubtful if wanted == Proof::Chained => {
                    sifted.proof = Proof::Chained;
                    at += 1;
                    continue;
                }
                Finding::Doubtful => "its bloom promises logs, but none came",
                Finding::Wrong(reason) => reason,
            };
            let logs = sifted.logs.split_off(first);
            sifted.suspects.push(Suspect {
                place: at,
                logs,
                by: by.clone(),
                reason,
            });
            at += 1;
        }
    }
    sifted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_cut_without_loss() {
        assert_eq!(cut(&(5..=9), 2), (5..=6, Some(7..=9)));
        assert_eq!(cut(&(5..=9), 5), (5..=9, None));
        assert_eq!(cut(&(5..=9), 0), (5..=5, Some(6..=9)));
        assert_eq!(
            cut(&(u64::MAX - 1..=u64::MAX), u64::MAX),
            (u64::MAX - 1..=u64::MAX, None)
        );
    }
}
