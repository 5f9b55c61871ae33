//! Filters by position: whether an endpoint honours that a log must have so many topics.
//!
//! By the specification of JSON-RPC a filter that ends in `null` matches no log with fewer topics than it has positions, and geth, reth,
//! Erigon and Nethermind follow it; others cut such an end off, or reject it. So each endpoint is asked once for a part of what it has
//! just answered without, and what it answers is what it is held to do from then on.

use std::slice;
use std::sync::Arc;

use decoders::block::{Log, Proof};
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, stream};
use tracing::debug;

use super::bloom::Checker;
use super::checked_header::CheckedHeader;
use super::endpoint::Endpoint;
use super::endpoint::health::Positions;
use super::error::Wanted;
use super::inner::Inner;
use super::pieces::{Sifted, Suspect};
use super::proof::{Finding, Want, inspect, logs_of_block};
use super::question::Ask;
use super::settings::Filter;
use super::wire::call::Call;
use super::wire::log::Logs;
use super::wire::rejection::Rejection;
use super::wire::{Body, Unread};

/// Blocks that are asked for unsplit in one batch, and batches under way at once.
const TOGETHER: usize = 20;
const BATCHES_UNDER_WAY: usize = 4;
/// Times one endpoint is asked about such blocks: settling all of its answer in other ways costs far more.
const ATTEMPTS: usize = 3;

/// An endpoint that is being asked whether it honours positions. Who stops waiting leaves the question open.
struct Question<'a>(&'a Endpoint);

impl Drop for Question<'_> {
    fn drop(&mut self) {
        let positions = &mut self.0.health().positions;
        if matches!(positions, Positions::Asked(_)) {
            *positions = Positions::Unknown;
        }
    }
}

impl Inner {
    /// Finds out whether `by` honours positions, if that is not known and `logs`, which it has answered, can show it.
    pub(super) async fn find_out(&self, by: &Arc<Endpoint>, logs: &Logs, want: &Arc<Want>) {
        let Some(range) = logs.both_kinds.clone().filter(|_| want.set.is_split()) else {
            return;
        };
        let Some(shared) = want.filter.shared.first() else {
            return;
        };
        if !by.health().positions.begin() {
            return;
        }
        let question = Question(by);
        let is_sole = |log: &Log| log.topic0() == Some(&shared.topic) && log.topics.len() >= shared.topic_count;
        let known = logs
            .logs
            .iter()
            .filter(|log| range.contains(&log.block_number) && is_sole(log));
        let known: Vec<Log> = known.cloned().collect();
        let ask = Ask {
            patience: self.options.logs_timeout,
            ..self.question(
                vec![Call::sole_logs_in(&range, shared)],
                format!("logs by position of {}", Wanted::Range(range.clone())),
            )
        };
        let asked = Arc::clone(want);
        let read = move |bodies: &[Body]| {
            let mut logs = Logs::read(bodies, &asked.set)?;
            logs.check(&range)?;
            Ok(logs)
        };
        let found = match self.attempt_once(by, &ask, &read).await {
            Ok(logs) if !logs.is_unsplit && logs.logs == known => Positions::Honoured,
            Ok(_) => Positions::Ignored,
            Err(refused) => match refused.rejection {
                // No answer to the question: it is put again.
                Rejection::RateLimited(_) | Rejection::Timeout | Rejection::Unavailable => Positions::Unknown,
                Rejection::Failed | Rejection::Malformed => by.health().positions.failed(),
                _ => Positions::Ignored,
            },
        };
        debug!(endpoint = %by.name, ?found, "filters by position");
        question.0.health().positions = found;
    }

    /// Clears blocks of which nothing came that was asked for: where an endpoint shows by other logs that it has the block's, and none
    /// is wanted among them, there is none. What it takes is those other logs, of these blocks alone, from the endpoint that is
    /// doubted: what another has shows nothing about its answers.
    pub(super) async fn clear_unseen(&self, headers: &[CheckedHeader], mut sifted: Sifted, want: &Arc<Want>) -> Sifted {
        let (mut unseen, others): (Vec<Suspect>, _) =
            sifted.suspects.into_iter().partition(|suspect| suspect.is_unseen);
        sifted.suspects = others;
        let by = |suspect: &Suspect| suspect.by.as_ref().map(|by| by.id);
        unseen.sort_by_key(|suspect| (by(suspect), suspect.place));
        let together = TOGETHER.min(self.options.batch.max(1));
        let batches = unseen
            .chunk_by(|one, next| by(one) == by(next))
            .flat_map(|of_one| of_one.chunks(together));
        let batches: Vec<BoxFuture<'_, _>> = batches
            .map(|suspects| {
                let blocks: Vec<_> = suspects.iter().map(|suspect| headers[suspect.place].clone()).collect();
                self.are_seen_empty(suspects[0].by.clone(), blocks, want).boxed()
            })
            .collect();
        let cleared: Vec<Vec<bool>> = stream::iter(batches).buffered(BATCHES_UNDER_WAY).collect().await;
        let still = unseen.into_iter().zip(cleared.into_iter().flatten());
        let still: Vec<Suspect> = still
            .filter(|(_, is_cleared)| !is_cleared)
            .map(|(suspect, _)| suspect)
            .collect();
        // Where one block shows no logs at all, nothing shows that the others of its answer are as empty as they look.
        for answer in &sifted.answers {
            if still.iter().any(|suspect| answer.places.contains(&suspect.place)) {
                let others = answer.unseen.iter().copied();
                let others = others.filter(|place| still.iter().all(|suspect| suspect.place != *place));
                sifted.suspects.extend(others.map(|place| Suspect {
                    place,
                    logs: Vec::new(),
                    by: Some(Arc::clone(&answer.by)),
                    reason: "its endpoint shows no logs of another block either",
                    is_unseen: false,
                }));
            }
        }
        sifted.suspects.extend(still);
        sifted
    }

    /// Whether `by` shows of each of the blocks that it has logs, and none that is wanted.
    async fn are_seen_empty(
        &self,
        by: Option<Arc<Endpoint>>,
        blocks: Vec<CheckedHeader>,
        want: &Arc<Want>,
    ) -> Vec<bool> {
        let count = blocks.len();
        let Some(by) = by else {
            return vec![false; count];
        };
        // Logs of contracts that are wanted whole were asked for unsplit.
        let filter = Filter {
            whole: Vec::new(),
            ..want.filter.clone()
        };
        let calls = blocks
            .iter()
            .flat_map(|checked| Call::logs_of(checked.header.reference(), &filter));
        let ask = Ask {
            block: blocks.iter().map(|checked| checked.header.block.number).max(),
            each: true,
            in_part: true,
            patience: self.options.logs_timeout,
            ..self.question(calls.collect(), format!("the logs of {count} blocks"))
        };
        let want = Arc::clone(want);
        let read = move |bodies: &[Body]| {
            let is_empty = |(checked, body): (&CheckedHeader, &Body)| {
                let logs = Logs::read(slice::from_ref(body), &want.set)?;
                let found = logs_of_block(logs, &checked.header)?;
                let finding = inspect(checked, found.given(), &want, &mut Checker::default());
                Ok::<_, Unread>(found.logs.is_empty() && finding == Finding::Fine(Proof::Bloom))
            };
            // Where filters had to be split the answers are no longer one for each block.
            let is_one_each = bodies.len() == blocks.len();
            let seen = blocks.iter().zip(bodies).map(is_empty);
            Ok(seen.map(|seen| is_one_each && seen.unwrap_or(false)).collect())
        };
        for _ in 0..ATTEMPTS {
            if let Ok(seen) = self.attempt_once(&by, &ask, &read).await {
                return seen;
            }
        }
        // They are settled like any other suspect.
        vec![false; count]
    }

    /// Gives up filters by position: no endpoint has the receipts by which the rest of a transaction is read.
    pub(super) fn without_positions(&self) {
        for endpoint in self.endpoints().iter() {
            endpoint.health().positions = Positions::Ignored;
        }
    }
}
