//! How much one endpoint is asked for at once: blocks per `eth_getLogs`, calls per batch, addresses and topics per filter. Each has
//! a pace of its own, because each is refused for its own reasons.

use crate::wire::rejection::Hint;

/// Blocks of the first `eth_getLogs` to an endpoint nothing is known about.
const FIRST_RANGE: u64 = 500;
/// Full-sized answers after which a size once refused is tried again.
const WALL_PATIENCE: u32 = 64;
/// Refusals without a clear word, none of that size answered in between, after which the size is what is refused. Fewer may be the
/// failures that every endpoint has now and then.
const EVIDENCE: u32 = 3;
/// Logs in one answer from which on the range grows no further.
const ENOUGH_LOGS: usize = 10_000;

/// A size that adapts to what an endpoint takes.
#[derive(Clone, Debug)]
pub(crate) struct Pace {
    current: f64,
    /// A limit the endpoint stated, or the pool's.
    ceiling: u64,
    /// The smallest size refused lately: not tried again for a while.
    wall: Option<u64>,
    /// Full-sized answers since the last refusal.
    answers: u32,
    /// The smallest size that may have been refused, and how often.
    suspected: Option<(u64, u32)>,
}

impl Pace {
    pub(crate) fn new(first: u64, ceiling: u64) -> Self {
        let ceiling = ceiling.max(1);
        Pace {
            current: float(first.clamp(1, ceiling)),
            ceiling,
            wall: None,
            answers: 0,
            suspected: None,
        }
    }

    /// What to ask for next.
    pub(crate) fn size(&self) -> u64 {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "clamped to a positive 64-bit range"
        )]
        let size = self.current as u64;
        size.clamp(1, self.ceiling)
    }

    /// The same for what is counted in memory.
    pub(crate) fn count(&self) -> usize {
        usize::try_from(self.size()).unwrap_or(usize::MAX)
    }

    /// A question of this size was answered.
    pub(crate) fn answered(&mut self, size: u64) {
        self.suspected = self.suspected.filter(|(suspect, _)| size < *suspect);
        if size >= self.size() {
            self.grow();
        }
    }

    /// Doubles until the first refusal; afterwards grows slowly, and over a refused size only after many answers.
    fn grow(&mut self) {
        self.answers += 1;
        if self.answers >= WALL_PATIENCE {
            self.wall = None;
        }
        let most = self
            .wall
            .map_or(self.ceiling, |wall| self.ceiling.min(wall.saturating_sub(1).max(1)));
        let slow = self.wall.is_some() || self.answers >= WALL_PATIENCE;
        let grown = if slow {
            self.current * 1.05 + 1.0
        } else {
            self.current * 2.0
        };
        self.current = grown.min(float(most)).max(self.current.min(float(most)));
    }

    /// `size` was refused; `next` may fit.
    pub(crate) fn refused(&mut self, size: u64, next: u64) {
        self.answers = 0;
        self.suspected = None;
        self.wall = Some(self.wall.map_or(size, |wall| wall.min(size)));
        self.current = self.current.min(float(next.max(1)));
    }

    /// Questions of `size` and more failed so many `times` without a word about their size, and `next` may fit.
    pub(crate) fn suspect(&mut self, size: u64, next: u64, times: u32) {
        // What was sent before the last refusal was known shows nothing new.
        if size > self.size() {
            return;
        }
        let before = self.suspected.map_or(0, |(_, times)| times);
        let times = before.saturating_add(times);
        if times < EVIDENCE {
            self.suspected = Some((size, times));
        } else {
            self.refused(size, next);
        }
    }

    /// At most this from now on.
    fn limit(&mut self, limit: u64) {
        self.ceiling = self.ceiling.min(limit.max(1));
    }
}

/// The blocks per `eth_getLogs` of one endpoint.
#[derive(Clone, Debug)]
pub(crate) struct LogRange(Pace);

impl LogRange {
    pub(crate) fn new(ceiling: u64) -> Self {
        LogRange(Pace::new(FIRST_RANGE, ceiling))
    }

    /// Blocks to ask for next.
    pub(crate) fn blocks(&self) -> u64 {
        self.0.size()
    }

    /// `blocks` were answered with `logs`.
    pub(crate) fn answered(&mut self, blocks: u64, logs: usize) {
        if logs > ENOUGH_LOGS * 2 {
            let share = ENOUGH_LOGS as f64 * 1.5 / logs as f64;
            self.0.current = self.0.current.min((float(blocks) * share).max(1.0));
        } else if logs < ENOUGH_LOGS {
            self.0.answered(blocks);
        }
    }

    /// `blocks` were refused: the size to try next, smaller than `blocks` unless that was one.
    pub(crate) fn refused(&mut self, blocks: u64, hint: Option<Hint>) -> u64 {
        let next = match hint {
            Some(Hint::Limit(limit)) if limit < blocks => {
                self.0.limit(limit);
                limit
            }
            Some(Hint::Try(size)) if size < blocks => size,
            _ => {
                let half = (blocks / 2).max(1);
                self.0.suspect(blocks, half, 1);
                return half;
            }
        }
        .max(1);
        self.0.refused(blocks, next);
        next
    }
}

fn float(number: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "sizes are far below 2^53, or without limit")]
    let float = number as f64;
    float
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_range_doubles_until_refused_then_grows_slowly() {
        let mut range = LogRange::new(10_000);
        assert_eq!(range.blocks(), 500);
        range.answered(500, 10);
        range.answered(1_000, 10);
        assert_eq!(range.blocks(), 2_000);
        assert_eq!(range.refused(2_000, Some(Hint::Try(1_000))), 1_000);
        range.answered(1_000, 10);
        assert_eq!(range.blocks(), 1_051);
    }

    #[test]
    fn stated_limits_hold_and_suggestions_pass() {
        let mut range = LogRange::new(10_000);
        assert_eq!(range.refused(500, Some(Hint::Limit(10))), 10);
        for _ in 0..100 {
            range.answered(10, 0);
        }
        assert_eq!(range.blocks(), 10);

        let mut range = LogRange::new(10_000);
        assert_eq!(range.refused(500, Some(Hint::Try(300))), 300);
        for _ in 0..40 {
            range.answered(range.blocks(), 0);
        }
        assert_eq!(range.blocks(), 499);
        for _ in 0..100 {
            range.answered(range.blocks(), 0);
        }
        assert_eq!(range.blocks(), 10_000);
    }

    #[test]
    fn refusals_without_a_word_halve_once_they_are_more_than_chance() {
        let mut range = LogRange::new(10_000);
        assert_eq!(range.refused(500, Some(Hint::Limit(500))), 250);
        assert_eq!((range.refused(250, None), range.blocks()), (125, 500));
        assert_eq!((range.refused(125, None), range.blocks()), (62, 62));
        assert_eq!(range.refused(1, None), 1);
        assert_eq!(range.refused(0, Some(Hint::Limit(0))), 1);
    }

    #[test]
    fn failures_between_answers_of_the_same_size_shrink_nothing() {
        let mut pace = Pace::new(100, 100);
        for _ in 0..50 {
            pace.suspect(100, 50, 2);
            pace.answered(50);
            pace.answered(100);
            assert_eq!(pace.size(), 100);
        }
        // Smaller answers are no evidence for the larger size.
        for _ in 0..EVIDENCE {
            pace.suspect(100, 50, 1);
            pace.answered(50);
        }
        assert_eq!(pace.size(), 50 + 3);
        for _ in 0..WALL_PATIENCE * 2 {
            pace.answered(pace.size());
        }
        assert_eq!(pace.size(), 100);
    }

    #[test]
    fn big_answers_shrink_the_range() {
        let mut range = LogRange::new(10_000);
        range.answered(500, 150_000);
        assert_eq!(range.blocks(), 50);
    }

    proptest! {
        #[test]
        fn whatever_happens_the_size_stays_within_its_limits_and_recovers(
            events in proptest::collection::vec((0_u8..3, 1_u64..200, 0_u32..5), 0..60),
        ) {
            let mut pace = Pace::new(100, 100);
            for (event, size, times) in events {
                match event {
                    0 => pace.answered(size),
                    1 => pace.refused(size, size / 2),
                    _ => pace.suspect(size, size / 2, times),
                }
                prop_assert!((1..=100).contains(&pace.size()));
            }
            for _ in 0..200 {
                pace.answered(pace.size());
            }
            prop_assert_eq!(pace.size(), 100);
        }
    }
}
