//! The logs of a range: fetched in as many `eth_getLogs` as the endpoints need, then compared with the headers.

use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::sync::Arc;

use decoders::block::{Log, Proof};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use rustc_hash::FxHashSet;
use tokio::time::Instant;

use super::ask::Served;
use super::bloom::Checker;
use super::checked_header::CheckedHeader;
use super::endpoint::Endpoint;
use super::endpoint::health::Available;
use super::error::Wanted;
use super::inner::Inner;
use super::proof::{Finding, Given, Want, inspect, place_behind};
use super::question::{Ask, Trouble};
use super::reach::Horizon;
use super::report::count;
use super::wire::Body;
use super::wire::call::Call;
use super::wire::log::Logs;
use super::wire::rejection::Hint;

/// Ranges of one span under way at once.
const UNDER_WAY: usize = 8;

/// The logs of one `eth_getLogs` range; `None` for a single block whose logs no endpoint sends that way.
pub(super) struct Piece {
    range: RangeInclusive<u64>,
    logs: Option<Logs>,
    by: Option<Arc<Endpoint>>,
}

/// A block whose logs are to be settled.
pub(super) struct Suspect {
    pub(super) place: usize,
    pub(super) logs: Vec<Log>,
    pub(super) by: Option<Arc<Endpoint>>,
    pub(super) reason: &'static str,
    /// Nothing of it came, where only what is wanted was asked for.
    pub(super) is_unseen: bool,
}

/// One answer that was compared with the headers: who gave it, and the headers it is about.
pub(super) struct Compared {
    pub(super) by: Arc<Endpoint>,
    pub(super) places: std::ops::Range<usize>,
    /// It was caught wrong somewhere.
    pub(super) is_wrong: bool,
    /// Headers of blocks nothing came of, whose bloom has no more than a topic that others share.
    pub(super) unseen: Vec<usize>,
}

/// What one pass over a span shows.
pub(super) struct Sifted {
    pub(super) logs: Vec<Log>,
    pub(super) suspects: Vec<Suspect>,
    pub(super) proof: Proof,
    /// Blocks whose transactions are whole.
    pub(super) whole: FxHashSet<u64>,
    pub(super) answers: Vec<Compared>,
}

impl Inner {
    /// Blocks per `eth_getLogs` that the preferred endpoints take at present.
    pub(super) fn log_blocks(&self) -> u64 {
        let now = Instant::now();
        let endpoints = self.askable();
        let usable = |endpoint: &&Arc<Endpoint>| endpoint.health().available(now) == Available::Now;
        let best = endpoints
            .iter()
            .filter(usable)
            .map(|endpoint| endpoint.priority())
            .min();
        let ranges = endpoints
            .iter()
            .filter(usable)
            .filter(|endpoint| Some(endpoint.priority()) == best);
        ranges
            .map(|endpoint| endpoint.health().log_range.blocks())
            .max()
            .unwrap_or(1)
    }

    /// The logs of the range as far as it can be read, in as many `eth_getLogs` as the endpoints need. Refused ranges are split at
    /// once.
    pub(super) async fn pieces(
        &self,
        range: &RangeInclusive<u64>,
        want: &Arc<Want>,
        shun: &[i32],
        reach: &Horizon,
    ) -> Result<Vec<Piece>, Trouble> {
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
                if reach.holds(*now.start()) {
                    under_way.push(self.piece(now, want, shun));
                }
            }
            let Some((asked, answer)) = under_way.next().await else {
                break;
            };
            match answer {
                Ok(piece) => pieces.push(piece),
                Err(Trouble::TooMuch(_) | Trouble::Refused(_) | Trouble::Absent | Trouble::Unproven { .. })
                    // A block that cannot be split further is settled on its own, by receipts or another endpoint.
                    if asked.start() == asked.end() =>
                {
                    pieces.push(Piece {
                        range: asked,
                        logs: None,
                        by: None,
                    });
                }
                // What no endpoint sends, or sends wrong, may be in one block alone: the others are not to want for it.
                Err(
                    trouble @ (Trouble::TooMuch(_) | Trouble::Refused(_) | Trouble::Absent | Trouble::Unproven { .. }),
                ) => {
                    count(&self.counts.splits);
                    let blocks = asked.end() - asked.start() + 1;
                    // A hint of the provider saves the halvings; one that is no shorter than what was refused helps nothing.
                    let size = match trouble {
                        Trouble::TooMuch(Some(Hint::Try(size) | Hint::Limit(size))) if size < blocks => size,
                        _ => blocks / 2,
                    };
                    let (front, back) = cut(&asked, size);
                    if let Some(back) = back {
                        queue.push_front(back);
                    }
                    queue.push_front(front);
                }
                Err(trouble @ Trouble::Unsupported) => return Err(trouble),
                Err(trouble) => reach.end(*asked.start(), trouble)?,
            }
        }
        // They were answered in any order, and are walked beside the headers.
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
                Call::logs_in(&range, &want.filter),
                format!("the logs of {}", Wanted::Range(range.clone())),
            )
        };
        let (within, filter) = (range.clone(), Arc::clone(want));
        let read = move |bodies: &[Body]| {
            let mut logs = Logs::read(bodies, &filter.set)?;
            logs.check(&within)?;
            Ok(logs)
        };
        let answer = match self.ask(&ask, read).await {
            Ok(Served { value: logs, by }) => {
                by.health().log_range.answered(blocks, logs.received);
                self.find_out(&by, &logs, want).await;
                Ok(Piece {
                    range: range.clone(),
                    logs: Some(logs),
                    by: Some(by),
                })
            }
            Err(trouble) => Err(trouble),
        };
        (range, answer)
    }
}

/// The first `size` blocks of a range, and the rest.
pub(super) fn cut(range: &RangeInclusive<u64>, size: u64) -> (RangeInclusive<u64>, Option<RangeInclusive<u64>>) {
    let (start, end) = (*range.start(), *range.end());
    let last = start.saturating_add(size.max(1) - 1).min(end);
    (start..=last, (last < end).then(|| last + 1..=end))
}

/// At level `receipts`: blocks whose proven bloom excludes the filter hold nothing; the others are settled one by one.
pub(super) fn sift_blooms(headers: &[CheckedHeader], want: &Want) -> Sifted {
    let open = |checked: &CheckedHeader| !checked.proven || want.may_match(&checked.header);
    let places = headers.iter().enumerate().filter(|(_, checked)| open(checked));
    let suspect = |(place, _)| Suspect {
        place,
        logs: Vec::new(),
        by: None,
        reason: "its receipts are to be proven",
        is_unseen: false,
    };
    Sifted {
        logs: Vec::new(),
        suspects: places.map(suspect).collect(),
        proof: Proof::Receipts,
        whole: FxHashSet::default(),
        answers: Vec::new(),
    }
}

/// Compares every block's logs with its header.
pub(super) fn sift(headers: &[CheckedHeader], pieces: Vec<Piece>, want: &Want, wanted: Proof) -> Sifted {
    let mut sieve = Sieve {
        headers,
        want,
        wanted,
        checker: Checker::default(),
        at: 0,
        sifted: Sifted {
            logs: Vec::new(),
            suspects: Vec::new(),
            proof: Proof::Receipts,
            whole: FxHashSet::default(),
            answers: Vec::new(),
        },
    };
    for piece in pieces {
        sieve.piece(piece);
    }
    sieve.sifted
}

/// One pass over the headers of a span, in order, beside the pieces of its logs.
struct Sieve<'a> {
    headers: &'a [CheckedHeader],
    want: &'a Want,
    wanted: Proof,
    checker: Checker,
    /// The place of the next header.
    at: usize,
    sifted: Sifted,
}

impl<'a> Sieve<'a> {
    fn piece(&mut self, Piece { range, logs, by }: Piece) {
        let (is_sent, first_place, mut is_wrong) = (logs.is_some(), self.at, false);
        let Logs {
            logs,
            blocks,
            wrong,
            is_unsplit,
            ..
        } = logs.unwrap_or_default();
        let (mut unseen, mut last_seen) = (Vec::new(), first_place);
        let (mut rest, mut named) = (logs.into_iter().peekable(), blocks.into_iter().peekable());
        while let Some(checked) = self.next_within(&range) {
            let number = checked.header.block.number;
            let block = named.next_if(|block| block.number == number);
            let first = self.sifted.logs.len();
            while let Some(log) = rest.next_if(|log| log.block_number == number) {
                self.sifted.logs.push(log);
            }
            while named.next_if(|block| block.number == number).is_some() {}
            place_behind(&mut self.sifted.logs[first..], &checked.header);
            let is_elsewhere = block.is_some_and(|block| block.hash != checked.header.block.hash);
            let finding = if is_elsewhere {
                Finding::Wrong("its logs name another block")
            } else if !is_sent {
                Finding::Wrong("its endpoint does not send its logs")
            } else if let Some(reason) = wrong.get(&number) {
                Finding::Wrong(reason)
            } else {
                let given = Given {
                    logs: &self.sifted.logs[first..],
                    is_named: block.is_some(),
                    is_unsplit: is_unsplit || !self.want.set.is_split(),
                };
                inspect(checked, given, self.want, &mut self.checker)
            };
            if finding == Finding::Unseen {
                unseen.push(self.at);
            } else if block.is_some() {
                last_seen = self.at;
            }
            if is_unsplit {
                self.sifted.whole.insert(number);
            }
            // The chain may have moved between two requests: logs of another block are no lie about this one.
            is_wrong |= is_sent && !is_elsewhere && matches!(finding, Finding::Wrong(_));
            if let Some(reason) = self.accept(&finding) {
                let by = by.clone().filter(|_| !is_elsewhere);
                let is_unseen = !is_unsplit && self.want.set.is_split() && block.is_none() && is_sent;
                self.suspect(first, by, reason, is_unseen);
            }
            self.at += 1;
        }
        // Logs of one block show that an endpoint has those below it. Behind the last one, one block is looked at for all.
        let last = unseen.last().copied().filter(|place| *place >= last_seen);
        if let Some(place) = last.filter(|_| self.wanted > Proof::Chained) {
            self.sifted.suspects.push(Suspect {
                place,
                logs: Vec::new(),
                by: by.clone(),
                reason: "nothing shows that its endpoint has its logs",
                is_unseen: true,
            });
        }
        self.sifted.answers.extend(by.map(|by| Compared {
            by,
            places: first_place..self.at,
            is_wrong,
            unseen,
        }));
    }

    fn next_within(&self, range: &RangeInclusive<u64>) -> Option<&'a CheckedHeader> {
        let next = self.headers.get(self.at);
        next.filter(|checked| range.contains(&checked.header.block.number))
    }

    /// Lowers the span's proof to that of a block whose logs are good enough; the reason why they are not, otherwise.
    fn accept(&mut self, finding: &Finding) -> Option<&'static str> {
        match finding {
            Finding::Fine(proof) => self.sifted.proof = self.sifted.proof.min(*proof),
            Finding::Unseen => self.sifted.proof = self.sifted.proof.min(Proof::Bloom),
            Finding::Inconclusive(_) if self.wanted == Proof::Chained => self.sifted.proof = Proof::Chained,
            Finding::Inconclusive(reason) | Finding::Wrong(reason) => return Some(*reason),
        }
        None
    }

    /// Sets the logs of the current block, from `first` on, aside to be settled.
    fn suspect(&mut self, first: usize, by: Option<Arc<Endpoint>>, reason: &'static str, is_unseen: bool) {
        let logs = self.sifted.logs.split_off(first);
        self.sifted.suspects.push(Suspect {
            place: self.at,
            logs,
            by,
            reason,
            is_unseen,
        });
    }
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
