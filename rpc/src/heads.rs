//! The chain's tip: several endpoints' views made one, and the wait for the next.

use std::sync::Arc;
use std::time::Duration;

use decoders::block::{BlockRef, ChainId};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::time::{Instant, sleep, sleep_until};
use tracing::{debug, warn};

use super::ask::Served;
use super::branch::Votes;
use super::endpoint::{Endpoint, Refused};
use super::error::{EndpointError, Wanted};
use super::header_rules::Rules;
use super::inner::Inner;
use super::question::{Ask, Reader, Trouble};
use super::settings::Heads;
use super::wire::call::Call;
use super::wire::header::{self, SealedHeader};
use super::wire::{Body, Quantity, Reply, Unread, replies};

/// Endpoints asked for the head at once.
const WITNESSES: usize = 4;
/// How long the others may take once one has answered.
const GRACE: Duration = Duration::from_millis(250);
/// Polls are this much rarer while heads are announced.
const ANNOUNCED: u32 = 5;

/// What one endpoint reports of the tip.
struct Sighting {
    /// The chain it serves, as far as it states so.
    chain: Option<ChainId>,
    latest: SealedHeader,
    safe: Option<BlockRef>,
    finalized: Option<BlockRef>,
}

impl Sighting {
    fn number(&self) -> u64 {
        self.latest.block.number
    }

    /// Whether it is the `last` head or the block on top of it.
    fn follows(&self, last: &Heads) -> bool {
        [self.latest.block.hash, self.latest.parent_hash].contains(&last.latest.hash)
    }

    fn heads(&self) -> Heads {
        // The tags were read a moment after the head and may have overtaken it.
        let capped = |tag: Option<BlockRef>| {
            tag.map(|tag| {
                if tag.number > self.number() {
                    self.latest.reference()
                } else {
                    tag
                }
            })
        };
        Heads {
            latest: self.latest.block,
            latest_parent: self.latest.parent_hash,
            base_fee: self.latest.base_fee,
            safe: capped(self.safe),
            finalized: capped(self.finalized),
        }
    }
}

impl Inner {
    pub(super) async fn heads(&self) -> Result<Heads, EndpointError> {
        let ask = self.head_question();
        let mut edits = self.edited.subscribe();
        let mut sightings = loop {
            tokio::select! {
                biased;
                () = self.cancel.cancelled() => return Err(EndpointError::Cancelled),
                sightings = Box::pin(self.sightings(&ask)) => break sightings,
                // Those that are asked may be gone, and others have come. The sender lives as long as the pool.
                _ = edits.changed() => {}
            }
        };
        if sightings.is_empty() {
            // None available: the long way, with retries.
            let served = self.ask_sealed(&ask, |agreed| reader(&self.rules, agreed)).await;
            let Served { value, by } = served.map_err(|trouble| self.head_error(trouble))?;
            let sighting = self.of_chain(&by, value);
            let wrong = |refused: Refused| Trouble::WrongChain(format!("{} {}", by.name, refused.detail));
            let sighting = sighting.map_err(|refused| self.head_error(wrong(refused)))?;
            sightings.push((by, sighting));
        }
        let last = self.heads.last();
        match (Box::pin(self.choose(sightings, last)).await, last) {
            (Some((by, sighting)), _) => {
                let answers = |id, since| self.answers(id, since);
                Ok(self.heads.remember(by.id, sighting.heads(), answers))
            }
            (None, Some(last)) => Ok(last),
            (None, None) => Err(self.head_error(Trouble::Absent)),
        }
    }

    /// A head is what everything else follows from: that it is this chain's is asked in the same breath.
    fn head_question(&self) -> Ask {
        let tags = ["latest", "safe", "finalized"];
        let tags = tags.iter().map(|tag| Call::header_tagged(tag));
        self.question(tags.chain([Call::chain_id()]).collect(), "the head".to_owned())
    }

    /// Asks one endpoint for its head, for no other purpose than to see whether and where it answers.
    pub(super) async fn probe_head(&self, endpoint: &Arc<Endpoint>) -> Result<(), Refused> {
        let read = reader(&self.rules, true);
        let sighting = self.attempt_once(endpoint, &self.head_question(), &read).await?;
        let number = self.of_chain(endpoint, sighting)?.number();
        let best = self.heads.last().map_or(number, |last| last.latest.number.max(number));
        endpoint.health().saw_head(number, best, self.options.head_tolerance);
        Ok(())
    }

    fn head_error(&self, trouble: Trouble) -> EndpointError {
        let trouble = match trouble {
            // Every chain has a head: an endpoint without one is still starting.
            Trouble::Absent => Trouble::Unreachable("no endpoint has a head yet".to_owned()),
            trouble => trouble,
        };
        let wanted = "its head".to_owned();
        match self.error(trouble, &Wanted::Number(0)) {
            EndpointError::Unreachable { chain, causes, .. } => EndpointError::Unreachable { chain, wanted, causes },
            EndpointError::Unproven { chain, reason, .. } => EndpointError::Unproven { chain, wanted, reason },
            error => error,
        }
    }

    /// The views of the endpoints that answer in time.
    async fn sightings(&self, ask: &Ask) -> Vec<(Arc<Endpoint>, Sighting)> {
        let read = reader(&self.rules, false);
        let mut views: FuturesUnordered<_> = self
            .witnesses(ask)
            .into_iter()
            .map(|endpoint| {
                let read = read.clone();
                async move {
                    let sighting = self.attempt_once(&endpoint, ask, &read).await;
                    let sighting = sighting.and_then(|sighting| self.of_chain(&endpoint, sighting));
                    (endpoint, sighting)
                }
            })
            .collect();
        let mut seen = Vec::new();
        let mut deadline: Option<Instant> = None;
        loop {
            let late = async {
                match deadline {
                    Some(deadline) => sleep_until(deadline).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                view = views.next() => match view {
                    None => return seen,
                    Some((endpoint, Ok(sighting))) => {
                        // Counted from the first answer: where only slow endpoints are left, they are waited for.
                        deadline.get_or_insert_with(|| Instant::now() + GRACE);
                        seen.push((endpoint, sighting));
                    }
                    Some((endpoint, Err(refused))) => debug!(endpoint = %endpoint.name, detail = %refused.detail, "no head"),
                },
                () = late => return seen,
            }
        }
    }

    /// The sighting, unless it is of another chain.
    fn of_chain(&self, by: &Endpoint, sighting: Sighting) -> Result<Sighting, Refused> {
        if let Some(found) = sighting.chain {
            by.serves(found, self.chain).inspect_err(|refused| {
                warn!(chain = %self.chain, endpoint = %by.name, reason = %refused.detail, "an endpoint in use changed its chain");
                by.failed(refused);
            })?;
        }
        Ok(sighting)
    }

    /// The preferred class, and now and then one of the others.
    fn witnesses(&self, ask: &Ask) -> Vec<Arc<Endpoint>> {
        let mut chosen: Vec<Arc<Endpoint>> = Vec::new();
        let mut tried = Vec::new();
        let due = self.heads.is_cross_check_due();
        while chosen.len() < WITNESSES {
            let Some(endpoint) = self.pick(ask, &tried) else { break };
            tried.push(endpoint.id);
            // One that is shunned has no vote beside others; alone it is better than none.
            if !chosen.is_empty() && endpoint.health().is_shunned(Instant::now()) {
                break;
            }
            let same_class = chosen
                .first()
                .is_none_or(|first| first.priority() == endpoint.priority());
            if !same_class && !due {
                break;
            }
            chosen.push(endpoint);
            if !same_class {
                break;
            }
        }
        chosen
    }

    /// The highest view that can be trusted: a head far above the others must know their head as an ancestor's height, and one
    /// that left the branch of the `last` head must not be alone. `None` keeps the last one.
    async fn choose(
        &self,
        mut sightings: Vec<(Arc<Endpoint>, Sighting)>,
        last: Option<Heads>,
    ) -> Option<(Arc<Endpoint>, Sighting)> {
        sightings.sort_by_key(|(_, sighting)| std::cmp::Reverse(sighting.number()));
        let tolerance = self.options.head_tolerance;
        while let [(high, above), (_, below), ..] = sightings.as_slice() {
            // From the top down: a height that is too great is the harmful one, one that is too low is merely late.
            if above.number() - below.number() <= tolerance || self.knows(high, below).await {
                break;
            }
            let reason = format!(
                "its head {} stands far above {} and does not build on it",
                above.number(),
                below.latest.reference()
            );
            warn!(chain = %self.chain, endpoint = %high.name, %reason, "head not trusted");
            high.health().suspect(&reason);
            sightings.remove(0);
        }
        // Measured against the best head that is trusted, so that a liar does not make the others look late.
        let best = sightings.first().map_or(0, |(_, sighting)| sighting.number());
        for (endpoint, sighting) in &sightings {
            endpoint.health().saw_head(sighting.number(), best, tolerance);
        }
        let Some(last) = last.filter(|last| sightings.iter().any(|(_, sighting)| !sighting.follows(last))) else {
            return sightings.into_iter().next();
        };
        self.on_branch(sightings, last).await
    }

    /// The highest view on the branch of the `last` head, unless most endpoints have left it.
    async fn on_branch(
        &self,
        sightings: Vec<(Arc<Endpoint>, Sighting)>,
        last: Heads,
    ) -> Option<(Arc<Endpoint>, Sighting)> {
        let block = last.latest.block_ref();
        let ask = self.question(vec![Call::header_at(block.number)], format!("block {}", block.number));
        let mut standing = None;
        for (by, sighting) in sightings {
            if sighting.follows(&last) || self.hash_at(&by, &ask).await == Some(block.hash) {
                return Some((by, sighting));
            }
            let Votes { same, other } = match standing {
                Some(standing) => standing,
                None => *standing.insert(self.standing(block).await),
            };
            // Two that disagree are decided by height: the higher branch has more behind it.
            let tied = same == other && same > 0 && sighting.number() <= block.number;
            if same <= other && !tied {
                return Some((by, sighting));
            }
            debug!(endpoint = %by.name, head = %sighting.latest.reference(), %block, same, other, "alone on another branch, or behind");
        }
        None
    }

    /// Whether `endpoint` has the head of a lower view at its height.
    async fn knows(&self, endpoint: &Arc<Endpoint>, lower: &Sighting) -> bool {
        let number = lower.number();
        let ask = self.question(vec![Call::header_at(number)], format!("block {number}"));
        let read = |bodies: &[Body]| header::read(replies(bodies)?.first().ok_or(Unread::Absent)?.json()?);
        let header = self.attempt_once(endpoint, &ask, &read).await;
        header.is_ok_and(|header| header.reference() == lower.latest.reference())
    }

    /// Whether the endpoint has shown another head since.
    fn answers(&self, id: i32, since: Instant) -> bool {
        let endpoints = self.endpoints();
        endpoints
            .iter()
            .find(|endpoint| endpoint.id == id)
            .is_none_or(|endpoint| endpoint.health().head_since(since))
    }

    pub(super) async fn next_head(&self) {
        let mut announced = false;
        for endpoint in &self.askable() {
            let Some(socket) = endpoint.socket() else { continue };
            if socket.subscribed().await {
                announced = true;
                continue;
            }
            // Connecting must not hold up the poll that stands in for it.
            let subscribing = tokio::time::timeout(self.options.poll_interval, socket.subscribe());
            announced |= matches!(subscribing.await, Ok(Ok(true)));
        }
        let wait = if announced {
            self.options.poll_interval * ANNOUNCED
        } else {
            self.options.poll_interval
        };
        tokio::select! {
            () = self.cancel.cancelled() => {}
            () = self.announcements.bell.notified() => {}
            () = sleep(wait) => {}
        }
    }
}

fn reader(rules: &Arc<Rules>, agreed: bool) -> impl Reader<Sighting> {
    let rules = Arc::clone(rules);
    move |bodies: &[Body]| {
        let replies = replies(bodies)?;
        let [latest, safe, finalized, chain] = replies.as_slice() else {
            return Err(Unread::Malformed("three tags and the chain were asked for".to_owned()));
        };
        let latest = header::read(latest.json()?)?;
        rules.check(&latest, agreed)?;
        Ok(Sighting {
            chain: chain.read::<Quantity>().ok().map(|chain| ChainId(chain.0)),
            latest,
            safe: tagged(safe, &rules)?,
            finalized: tagged(finalized, &rules)?,
        })
    }
}

/// A tag's block; chains and nodes without the tag answer with an error or `null`.
fn tagged(reply: &Reply<'_>, rules: &Rules) -> Result<Option<BlockRef>, Unread> {
    let Reply::Value(json) = reply else { return Ok(None) };
    let header = header::read(json.get())?;
    rules.check(&header, true)?;
    Ok(Some(header.reference()))
}
