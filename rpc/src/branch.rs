//! The headers of a range: linked, and on the branch that more than one endpoint knows.

use std::collections::{BTreeMap, VecDeque};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::B256;
use decoders::block::BlockRef;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::time::{Instant, timeout};
use tracing::warn;

use super::checked_header::{CheckedHeader, check_wanted};
use super::endpoint::Endpoint;
use super::endpoint::health::Available;
use super::error::Wanted;
use super::header_rules::Rules;
use super::inner::Inner;
use super::pieces::cut;
use super::question::{Ask, Trouble};
use super::reach::Horizon;
use super::wire::call::Call;
use super::wire::header;
use super::wire::{Body, Reply, Unread, replies};

/// Header batches of one span under way at once.
const UNDER_WAY: usize = 4;

/// How long endpoints may take to vote once one has.
const VOTE_GRACE: Duration = Duration::from_secs(3);

/// How many endpoints have a block at its height, and how many another one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Votes {
    /// Those that have it.
    pub same: usize,
    /// Those that have another one.
    pub other: usize,
}

impl Votes {
    fn of(hashes: &[(Arc<Endpoint>, B256)], block: BlockRef) -> Self {
        let same = hashes.iter().filter(|(_, hash)| *hash == block.hash).count();
        Votes {
            same,
            other: hashes.len() - same,
        }
    }
}

/// Headers that came in one answer.
struct Run {
    headers: Vec<CheckedHeader>,
    by: Arc<Endpoint>,
}

/// How reading a range failed.
pub(super) enum Broken {
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
    /// The headers of the range as far as it can be read, linked; and the last one known to a second endpoint.
    pub(super) async fn headers(
        &self,
        range: &RangeInclusive<u64>,
        shun: &[i32],
        reach: &Horizon,
    ) -> Result<Vec<CheckedHeader>, Broken> {
        let mut runs = self.runs(range, shun, reach).await?;
        runs.sort_by_key(|run| run.headers.first().map(|checked| checked.header.block.number));
        for run in &mut runs {
            run.headers.retain(|checked| reach.holds(checked.header.block.number));
        }
        runs.retain(|run| !run.headers.is_empty());
        for pair in runs.windows(2) {
            let [below, above] = pair else { continue };
            let (Some(last), Some(first)) = (below.headers.last(), above.headers.first()) else {
                continue;
            };
            // Runs come from several endpoints and moments; only the link shows that they are of one branch.
            if first.header.parent_hash != last.header.block.hash {
                return Err(self.torn((last, &below.by), &above.by).await);
            }
        }
        if let Some(Run { headers, by }) = runs.last() {
            let last = headers.last().ok_or(Trouble::Absent)?;
            // The last header vouches for all below it, so one witness is enough for the range.
            self.witness(last, by, shun).await?;
        }
        Ok(runs.into_iter().flat_map(|run| run.headers).collect())
    }

    /// The headers in as many answers as it takes. What is missing of an answer is asked for again on its own.
    async fn runs(&self, range: &RangeInclusive<u64>, shun: &[i32], reach: &Horizon) -> Result<Vec<Run>, Trouble> {
        let size = u64::try_from(self.options.batch.max(1)).unwrap_or(1);
        let mut queue: VecDeque<RangeInclusive<u64>> = VecDeque::from([range.clone()]);
        let mut under_way = FuturesUnordered::new();
        let mut runs = Vec::new();
        loop {
            while under_way.len() < UNDER_WAY {
                let Some(next) = queue.pop_front() else { break };
                let (part, rest) = cut(&next, size);
                if let Some(rest) = rest {
                    // In front, so that the lowest blocks come first: a span that cannot be read whole ends where the first one
                    // is missing.
                    queue.push_front(rest);
                }
                if reach.holds(*part.start()) {
                    under_way.push(self.run(part, shun));
                }
            }
            let Some((part, answer)) = under_way.next().await else {
                return Ok(runs);
            };
            let blocks = part.end() - part.start() + 1;
            match answer {
                Ok(read) => {
                    for hole in holes(&part, &read).into_iter().rev() {
                        queue.push_front(hole);
                    }
                    runs.extend(read);
                }
                // One header that no endpoint can prove is no reason to do without those below it.
                Err(Trouble::Unproven { .. }) if blocks > 1 => {
                    let (front, back) = cut(&part, blocks / 2);
                    back.into_iter().for_each(|back| queue.push_front(back));
                    queue.push_front(front);
                }
                // The range ends above the chain: the caller's mistake, or the endpoints are behind.
                Err(trouble @ Trouble::Absent) => return Err(trouble),
                Err(trouble) => reach.end(*part.start(), trouble)?,
            }
        }
    }

    async fn run(&self, part: RangeInclusive<u64>, shun: &[i32]) -> (RangeInclusive<u64>, Result<Vec<Run>, Trouble>) {
        let ask = Ask {
            block: Some(*part.end()),
            shun: shun.to_vec(),
            each: true,
            in_part: true,
            ..self.question(
                part.clone().map(Call::header_at).collect(),
                Wanted::Range(part.clone()).to_string(),
            )
        };
        let served = self.ask_sealed(&ask, |agreed| {
            let (rules, part) = (Arc::clone(&self.rules), part.clone());
            move |bodies: &[Body]| {
                let replies = replies(bodies)?;
                // Headers without a gap between them.
                // An answer with holes is used as far as it goes: the holes alone are asked for again.
                let mut runs: Vec<Vec<CheckedHeader>> = Vec::new();
                let mut cause = Unread::Absent;
                for (number, reply) in part.clone().zip(&replies) {
                    let run = runs.last_mut().filter(|run| follows(run, number));
                    match linked(number, reply, run.as_deref().and_then(|run| run.last()), &rules, agreed) {
                        Ok(checked) => match run {
                            Some(run) => run.push(checked),
                            None => runs.push(vec![checked]),
                        },
                        Err(unread @ (Unread::Refused(_) | Unread::Absent | Unread::Malformed(_))) => cause = unread,
                        Err(unread) => return Err(unread),
                    }
                }
                if runs.is_empty() { Err(cause) } else { Ok(runs) }
            }
        });
        let runs = served.await.map(|served| {
            let run = |headers| Run {
                headers,
                by: Arc::clone(&served.by),
            };
            served.value.into_iter().map(run).collect()
        });
        (part, runs)
    }

    /// Asks a second endpoint, none of `shun`, for the hash of the last block, so that one endpoint alone on its branch is noticed.
    async fn witness(&self, last: &CheckedHeader, by: &Arc<Endpoint>, shun: &[i32]) -> Result<(), Broken> {
        let number = last.header.block.number;
        let ask = Ask {
            block: Some(number),
            ..self.question(vec![Call::header_at(number)], format!("block {number}"))
        };
        // Who does not answer is no witness, nor who was left out for what it sent.
        let mut tried = [&[by.id], shun].concat();
        let now = Instant::now();
        while let Some(other) = self.pick(&ask, &tried).filter(|other| !other.health().failing(now)) {
            tried.push(other.id);
            // Its answer only confirms: a slow endpoint must not hold up a span that is complete.
            let Ok(hash) = timeout(VOTE_GRACE, self.hash_at(&other, &ask)).await else {
                other.health().overtaken(VOTE_GRACE, Instant::now());
                continue;
            };
            match hash {
                Some(hash) if hash == last.header.block.hash => return Ok(()),
                Some(_) => {
                    // Two that differ decide nothing: the majority does, or the chain is moving.
                    let agreed = self.vote(number, [by, &other]).await?;
                    let is_alone = agreed.is_some_and(|hash| hash != last.header.block.hash);
                    // Where they agree by now, the chain moved between two requests.
                    return Err(Broken::Branch(is_alone.then_some(by.id).into_iter().collect()));
                }
                None => {}
            }
        }
        Ok(())
    }

    /// How many endpoints have `block` at its height now, and how many another one, as soon as most of them agree.
    pub(super) async fn standing(&self, block: BlockRef) -> Votes {
        let voters = self.voters();
        let half = voters.len() / 2;
        let is_enough = |hashes: &[(Arc<Endpoint>, B256)]| {
            let votes = Votes::of(hashes, block);
            votes.same > half || votes.other > half
        };
        Votes::of(&self.hashes_at(block.number, &voters, is_enough).await, block)
    }

    /// How every endpoint that answers soon enough stands to `block`.
    pub(super) async fn votes(&self, block: BlockRef) -> Votes {
        Votes::of(&self.hashes_at(block.number, &self.voters(), |_| false).await, block)
    }

    /// The endpoints that can be asked now.
    fn voters(&self) -> Vec<Arc<Endpoint>> {
        let now = Instant::now();
        let mut voters = self.askable();
        voters.retain(|endpoint| endpoint.health().available(now) == Available::Now);
        voters
    }

    /// What the endpoints have at a height, until those known are enough: once one has answered, the others have a while.
    async fn hashes_at(
        &self,
        number: u64,
        endpoints: &[Arc<Endpoint>],
        is_enough: impl Fn(&[(Arc<Endpoint>, B256)]) -> bool,
    ) -> Vec<(Arc<Endpoint>, B256)> {
        let ask = self.question(vec![Call::header_at(number)], format!("block {number}"));
        let ask = &ask;
        let asked = |endpoint: &Arc<Endpoint>| {
            let endpoint = Arc::clone(endpoint);
            async move { (Arc::clone(&endpoint), self.hash_at(&endpoint, ask).await) }
        };
        let mut answers: FuturesUnordered<_> = endpoints.iter().map(asked).collect();
        let mut hashes = Vec::new();
        let mut deadline: Option<Instant> = None;
        while !is_enough(&hashes) {
            let late = async {
                match deadline {
                    Some(deadline) => tokio::time::sleep_until(deadline).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                answer = answers.next() => match answer {
                    None => break,
                    Some((_, None)) => {}
                    Some((endpoint, Some(hash))) => {
                        // From the first answer on, so that slow endpoints are waited for only where no other has answered.
                        deadline.get_or_insert_with(|| Instant::now() + VOTE_GRACE);
                        hashes.push((endpoint, hash));
                    }
                },
                () = late => break,
            }
        }
        hashes
    }

    pub(super) async fn hash_at(&self, endpoint: &Arc<Endpoint>, ask: &Ask) -> Option<B256> {
        let rules = Arc::clone(&self.rules);
        let read = move |bodies: &[Body]| {
            let header = header::read(replies(bodies)?.first().ok_or(Unread::Absent)?.json()?)?;
            rules.check(&header, true)?;
            Ok(header.block.hash)
        };
        self.attempt_once(endpoint, ask, &read).await.ok()
    }

    /// Two answers do not meet: which endpoint to leave out. Where all agree on the block below the seam, who sent another one
    /// stands alone, or else who sent a block above it that does not build on it: it may state one thing in a list and another of
    /// a single block.
    async fn torn(&self, below: (&CheckedHeader, &Arc<Endpoint>), above: &Arc<Endpoint>) -> Broken {
        let (last, by) = below;
        let block = last.header.block;
        match self.vote(block.number, [by, above]).await {
            Ok(Some(agreed)) if agreed != block.hash => Broken::Branch(vec![by.id]),
            Ok(Some(_)) => Broken::Branch(vec![above.id]),
            Ok(None) => Broken::Branch(Vec::new()),
            Err(broken) => broken,
        }
    }

    /// The hash of a block that all endpoints agree on; none where none answers. Where they disagree the majority is right, and
    /// without one none is trusted.
    async fn vote(&self, number: u64, between: [&Arc<Endpoint>; 2]) -> Result<Option<B256>, Broken> {
        let votes = self.hashes_at(number, &self.askable(), |_| false).await;
        let mut tally: BTreeMap<B256, usize> = BTreeMap::new();
        for (_, hash) in &votes {
            *tally.entry(*hash).or_default() += 1;
        }
        if tally.len() < 2 {
            return Ok(tally.into_keys().next());
        }
        let most = tally.values().copied().max().unwrap_or(0);
        let mut leaders = tally.iter().filter(|(_, count)| **count == most).map(|(hash, _)| *hash);
        if let (Some(right), None) = (leaders.next(), leaders.next()) {
            let wrong = votes.iter().filter(|(_, hash)| *hash != right).map(|(by, _)| by);
            let reason = format!("it stands on another branch at block {number} than the majority");
            wrong.clone().for_each(|endpoint| self.blame(endpoint, &reason));
            return Err(Broken::Branch(wrong.map(|endpoint| endpoint.id).collect()));
        }
        let [one, other] = between.map(|endpoint| endpoint.name.as_str());
        let reason = format!("{one} and {other} disagree about block {number}, and no majority decides");
        warn!(chain = %self.chain, %reason, "endpoints disagree");
        let liars = Vec::new();
        Err(Broken::Trouble(Trouble::Unproven { reason, liars }))
    }
}

/// Whether the block stands on top of the run.
fn follows(run: &[CheckedHeader], number: u64) -> bool {
    run.last().is_some_and(|last| last.header.block.number + 1 == number)
}

/// The blocks of `part` that are in none of its runs, which are in order.
fn holes(part: &RangeInclusive<u64>, runs: &[Run]) -> Vec<RangeInclusive<u64>> {
    let (mut next, mut holes) = (*part.start(), Vec::new());
    let ends = runs
        .iter()
        .filter_map(|run| run.headers.first().zip(run.headers.last()));
    for (first, last) in ends.map(|(first, last)| (first.header.block.number, last.header.block.number)) {
        if next < first {
            holes.push(next..=first - 1);
        }
        next = last + 1;
    }
    if next <= *part.end() {
        holes.push(next..=*part.end());
    }
    holes
}

fn linked(
    number: u64,
    reply: &Reply<'_>,
    below: Option<&CheckedHeader>,
    rules: &Rules,
    agreed: bool,
) -> Result<CheckedHeader, Unread> {
    let header = header::read(reply.json()?)?;
    check_wanted(&header, &Wanted::Number(number))?;
    let proven = rules.check(&header, agreed)?;
    match below {
        Some(below) if below.header.block.hash != header.parent_hash => Err(Unread::Lie(format!(
            "block {number} does not build on the block below it"
        ))),
        _ => Ok(CheckedHeader { header, proven }),
    }
}
