//! One question to one endpoint: in as many requests as it takes. What was answered is kept when a request fails, so that only the
//! rest is asked again.
//!
//! Servers refuse long batches and wide filters in every way there is: in words, with a bare status, by answering a part, or by
//! failing as they fail for other reasons. So a batch that fails is halved whatever the reason, and a filter that is refused is
//! split. The shorter one is remembered when the words are clear, or when shorter ones are answered and longer ones are not.

use std::collections::VecDeque;

use tokio::time::Instant;

use super::health::Positions;
use super::{Endpoint, Failed, Refused};
use crate::question::Ask;
use crate::wire::call::Call;
use crate::wire::rejection::{FilterPosition, Rejection, classify};
use crate::wire::{Body, RpcError};

/// Single calls in a row that may fail before the others are not asked either.
const FAILURES: u32 = 4;

/// How far one endpoint is with the calls of one question.
pub(crate) struct Progress {
    /// Calls without an answer, with their places in the question.
    open: VecDeque<(usize, Call)>,
    done: Vec<(usize, Body)>,
    /// Most calls of the next batch, once a longer one failed.
    most: usize,
    /// The shortest batch that failed since the last answer, and how many did.
    failed: Option<(usize, u32)>,
    /// Most contracts and topics of a filter that was answered.
    widest: (usize, usize),
    /// Something was answered since the last failure.
    moved: bool,
    /// Single calls that failed since the last answer.
    stuck: u32,
    answers: usize,
}

impl Progress {
    pub(crate) fn new(calls: &[Call]) -> Self {
        Progress {
            open: calls.iter().cloned().enumerate().collect(),
            done: Vec::new(),
            most: usize::MAX,
            failed: None,
            widest: (0, 0),
            moved: false,
            stuck: 0,
            answers: 0,
        }
    }

    /// Asks in the form of these calls, unless something was answered in another one.
    pub(crate) fn take_form(&mut self, calls: &[Call]) {
        if self.answers == 0 {
            self.open = calls.iter().cloned().enumerate().collect();
            self.done.clear();
        }
    }

    /// Calls answered so far.
    pub(crate) fn answers(&self) -> usize {
        self.answers
    }

    /// Whether there is something to go on from.
    pub(crate) fn is_worth_keeping(&self) -> bool {
        self.answers > 0 || self.failed.is_some()
    }

    /// The answers in the order of the calls; an error in place of those that never came.
    pub(crate) fn into_bodies(self) -> Vec<Body> {
        let missing = self.open.into_iter().map(|(place, _)| {
            let message = "no answer".to_owned();
            (
                place,
                Body::Error(RpcError {
                    message,
                    ..RpcError::default()
                }),
            )
        });
        let mut bodies: Vec<(usize, Body)> = self.done.into_iter().chain(missing).collect();
        bodies.sort_by_key(|(place, _)| *place);
        bodies.into_iter().map(|(_, body)| body).collect()
    }

    /// The next batch, with filters no wider than `endpoint` takes.
    fn take(&mut self, endpoint: &Endpoint) -> Vec<(usize, Call)> {
        let (filter, positions) = {
            let health = endpoint.health();
            (health.filter.clone(), health.positions)
        };
        let split = |call: Call| match positions {
            Positions::Honoured => call.by_position(),
            _ => vec![call],
        };
        let size = endpoint.batch().min(self.most).max(1);
        let mut taken = Vec::new();
        while taken.len() < size
            && let Some((place, call)) = self.open.pop_front()
        {
            let parts = split(call).into_iter();
            let parts = parts.flat_map(|part| part.within(filter.addresses.count(), filter.topics.count()));
            let mut parts = parts.map(|part| (place, part));
            taken.extend(parts.by_ref().take(size - taken.len()));
            self.put_back(parts.collect());
        }
        taken
    }

    fn put_back(&mut self, calls: Vec<(usize, Call)>) {
        for call in calls.into_iter().rev() {
            self.open.push_front(call);
        }
    }

    fn answered(&mut self, place: usize, body: Body) {
        self.done.push((place, body));
        self.answers += 1;
        self.moved = true;
        self.stuck = 0;
    }
}

impl Endpoint {
    /// Asks for what is left of a question until everything is answered.
    pub(crate) async fn advance(&self, progress: &mut Progress, ask: &Ask) -> Result<(), Refused> {
        while !progress.open.is_empty() {
            let calls = progress.take(self);
            match self.request(&calls, ask).await {
                Ok(bodies) => {
                    self.keep(progress, calls, bodies, ask).await?;
                    // However long the rest takes.
                    self.health().readable();
                }
                Err(failed) => self.fall_back(progress, calls, failed, ask).await?,
            }
        }
        self.health().filter.answered(progress.widest);
        Ok(())
    }

    /// Keeps what came of a batch.
    async fn keep(
        &self,
        progress: &mut Progress,
        calls: Vec<(usize, Call)>,
        bodies: Vec<Option<Body>>,
        ask: &Ask,
    ) -> Result<(), Refused> {
        let size = calls.len();
        let (mut open, mut answered, mut missing, mut refused) = (Vec::new(), Vec::new(), false, None);
        // Whether everything up to the first call without an answer was answered, and nothing behind it.
        let mut in_front = true;
        for ((place, call), body) in calls.into_iter().zip(bodies) {
            match body {
                Some(Body::Error(error)) if size > 1 && !classify(call.method, &error, 200).is_final() => {
                    refused.get_or_insert_with(|| self.refused_by(call.method, &error, 200));
                    open.push((place, call));
                }
                Some(body) => {
                    in_front &= open.is_empty();
                    answered.push((place, call, body));
                }
                None => {
                    missing = true;
                    open.push((place, call));
                }
            }
        }
        // A batch that brought nothing shows something about its size; one that brought a part is cut to what it brought.
        if answered.is_empty() {
            let refused = refused.unwrap_or_else(|| self.refused(Rejection::Malformed, "a batch without answers"));
            if ask.is_too_wide(&refused.rejection) {
                progress.put_back(open);
                return Err(refused);
            }
            // One call is enough to find the width, which then holds for the others.
            if matches!(refused.rejection, Rejection::FilterTooLarge(_)) {
                let first = open.remove(0);
                progress.put_back(open);
                return self.narrow(progress, first, refused, ask).await;
            }
            return self.fall_back(progress, open, refused.by_size(true), ask).await;
        }
        self.learn(progress, size, &answered, open.is_empty());
        let count = answered.len();
        for (place, _, body) in answered {
            progress.answered(place, body);
        }
        progress.put_back(open);
        if progress.open.is_empty() || (refused.is_none() && !missing) {
            return Ok(());
        }
        let refused = refused.filter(|_| !missing);
        self.shorten(progress, (size, count), in_front, refused, ask)
    }

    /// A batch was answered in part, for this reason or because answers are missing: the next one is as short as that part, if that
    /// may be why.
    fn shorten(
        &self,
        progress: &mut Progress,
        (size, count): (usize, usize),
        in_front: bool,
        refused: Option<Refused>,
        ask: &Ask,
    ) -> Result<(), Refused> {
        let refused = match refused {
            Some(refused) if refused.rejection != Rejection::BatchTooLarge => refused,
            _ => {
                progress.most = count;
                self.health().batch.refused(wide(size), wide(count));
                return Ok(());
            }
        };
        // Neither is about the length of the batch: the first is waited for, the second split by the caller.
        if matches!(refused.rejection, Rejection::RateLimited(_)) || ask.is_too_wide(&refused.rejection) {
            return Err(refused);
        }
        // A server that runs out of time or of budget answers the first calls; holes between answers have another cause.
        if in_front {
            progress.most = count;
            self.health().batch.suspect(wide(size), wide(count), 1);
        } else {
            self.health().stumbled(&refused.detail);
        }
        Ok(())
    }

    /// Remembers what sizes were answered, and what that shows of those that were not.
    fn learn(&self, progress: &mut Progress, size: usize, answered: &[(usize, Call, Body)], whole: bool) {
        let mut health = self.health();
        // A question of many requests is not over yet, but the endpoint is well.
        health.healthy();
        if whole {
            if let Some((shortest, times)) = progress.failed.take() {
                health.batch.suspect(wide(shortest), wide(size), times);
            }
            health.batch.answered(wide(size));
            progress.most = progress.most.saturating_mul(2);
        }
        for (_, call, _) in answered {
            let (addresses, topics) = call.values();
            progress.widest.0 = progress.widest.0.max(addresses);
            progress.widest.1 = progress.widest.1.max(topics);
        }
    }

    /// A request failed: the next one is smaller, or there is none.
    async fn fall_back(
        &self,
        progress: &mut Progress,
        mut calls: Vec<(usize, Call)>,
        failed: Failed,
        ask: &Ask,
    ) -> Result<(), Refused> {
        // Size first: it costs one more request to find out, and the answer serves every later batch.
        if calls.len() > 1 {
            return self.halve(progress, calls, failed);
        }
        let Some((place, call)) = calls.pop() else {
            return Ok(());
        };
        let Failed { refused, by_size } = failed;
        let (addresses, topics) = call.values();
        let is_hopeless = refused.rejection == Rejection::Failed && self.health().filter.is_in_vain(Instant::now());
        let may_be_narrower = is_about_width(&refused.rejection) && addresses.max(topics) > 1 && !is_hopeless;
        if may_be_narrower && !ask.is_too_wide(&refused.rejection) {
            return self.narrow(progress, (place, call), refused, ask).await;
        }
        let passing = matches!(
            refused.rejection,
            Rejection::Failed | Rejection::Malformed | Rejection::Unavailable
        );
        if by_size && passing && std::mem::take(&mut progress.moved) {
            // An endpoint that answered a moment ago is asked again at once.
            self.health().stumbled(&refused.detail);
            progress.put_back(vec![(place, call)]);
            return Ok(());
        }
        let others = progress.answers > 0 || !progress.open.is_empty();
        // Each answer of such a question is used on its own, so one call that fails must not cost the others theirs.
        if ask.each && by_size && passing && others && progress.stuck < FAILURES {
            self.health().stumbled(&refused.detail);
            progress.stuck += 1;
            let message = refused.detail;
            let error = RpcError {
                message,
                ..RpcError::default()
            };
            progress.done.push((place, Body::Error(error)));
            return Ok(());
        }
        progress.put_back(vec![(place, call)]);
        Err(refused)
    }

    /// A batch failed as a whole.
    fn halve(&self, progress: &mut Progress, calls: Vec<(usize, Call)>, failed: Failed) -> Result<(), Refused> {
        let size = calls.len();
        progress.put_back(calls);
        let Failed { refused, by_size } = failed;
        if !by_size {
            return Err(refused);
        }
        let times = progress.failed.map_or(0, |(_, times)| times);
        progress.failed = Some((size, times + 1));
        progress.most = size / 2;
        match refused.rejection {
            Rejection::BatchTooLarge => self.health().batch.refused(wide(size), wide(size / 2)),
            Rejection::Timeout => return Err(refused),
            Rejection::RateLimited(_) => {
                // Each attempt costs a pause.
                progress.most = (size / 8).max(1);
                return Err(refused);
            }
            _ => {}
        }
        Ok(())
    }

    /// Looks for the widest filter that is answered where `call` was refused, and goes on with filters of that width.
    async fn narrow(
        &self,
        progress: &mut Progress,
        (place, call): (usize, Call),
        refused: Refused,
        ask: &Ask,
    ) -> Result<(), Refused> {
        let full = call.values();
        let (mut failed, mut times) = (full, 1);
        // Found once and remembered by the endpoint's health, so that the search is not made for every range.
        for width in narrower(full, refused.rejection) {
            let mut parts = call.clone().within(width.0, width.1).into_iter();
            let Some(part) = parts.next() else { break };
            let part = [(place, part)];
            let answer = match self.request(&part, ask).await {
                Ok(bodies) => bodies.into_iter().flatten().next(),
                Err(other) if is_about_width(&other.refused.rejection) => {
                    (failed, times) = (width, times + 1);
                    continue;
                }
                Err(other) => {
                    progress.put_back(vec![(place, call)]);
                    return Err(other.refused);
                }
            };
            // The answer of the probe is a part of what was asked: it is kept, and the rest of the filter is asked for beside it.
            let body = answer.unwrap_or(Body::Null);
            progress.put_back(parts.map(|part| (place, part)).collect());
            progress.answered(place, body);
            // What was refused on another way down shows nothing about this one.
            let way = |width: (usize, usize)| (width.0 < full.0, width.1 < full.1);
            if way(failed) != way(width) {
                failed = full;
            }
            let is_stated = matches!(refused.rejection, Rejection::FilterTooLarge(_));
            self.health().filter.settle(failed, width, is_stated, times);
            return Ok(());
        }
        self.health().filter.was_in_vain(Instant::now());
        progress.put_back(vec![(place, call)]);
        Err(refused)
    }
}

/// Whether a filter may have been refused because it asks for too much.
fn is_about_width(rejection: &Rejection) -> bool {
    matches!(
        rejection,
        Rejection::FilterTooLarge(_) | Rejection::TooMuch(_) | Rejection::Failed
    )
}

/// Widths to try after a filter of `full` width was refused: fewer contracts, fewer topics, and fewer of both.
fn narrower(full: (usize, usize), rejection: Rejection) -> Vec<(usize, usize)> {
    let halves =
        |count: usize| std::iter::successors(Some(count / 2), |half| Some(half / 2)).take_while(|half| *half > 0);
    let (addresses, topics) = full;
    let fewer_addresses = halves(addresses).map(|addresses| (addresses, topics));
    let fewer_topics = halves(topics).map(|topics| (addresses, topics));
    let longest = addresses.max(topics);
    let both = halves(longest).map(|half| (half.min(addresses), half.min(topics)));
    let both = both.filter(|_| addresses > 1 && topics > 1);
    match rejection {
        Rejection::FilterTooLarge(FilterPosition::Addresses) => fewer_addresses.chain(both).collect(),
        Rejection::FilterTooLarge(FilterPosition::Topics) => fewer_topics.chain(both).collect(),
        _ => fewer_addresses.chain(fewer_topics).chain(both).collect(),
    }
}

/// A count in memory as a size.
fn wide(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
