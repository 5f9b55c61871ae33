//! How much one endpoint is asked for at once: blocks per `eth_getLogs`, calls per batch.

use super::refusal::Hint;

/// Blocks of the first `eth_getLogs` to an endpoint nothing is known about.
const FIRST_RANGE: f64 = 500.0;
/// Full-sized answers after which a size once refused is tried again.
const WALL_PATIENCE: u32 = 64;
/// Logs in one answer from which on the range grows no further.
const ENOUGH_LOGS: usize = 10_000;

/// The adaptive `eth_getLogs` range of one endpoint.
#[derive(Clone, Debug)]
pub(super) struct LogRange {
    current: f64,
    /// A limit the endpoint stated, or the pool's.
    ceiling: u64,
    /// The smallest size refused lately: not tried again for a while.
    wall: Option<u64>,
    /// Full-sized answers since the last refusal.
    answers: u32,
}

impl LogRange {
    pub(super) fn new(ceiling: u64) -> Self {
        let ceiling = ceiling.max(1);
        LogRange {
            current: FIRST_RANGE.min(float(ceiling)),
            ceiling,
            wall: None,
            answers: 0,
        }
    }

    /// Blocks to ask for next.
    pub(super) fn blocks(&self) -> u64 {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "clamped to a positive 64-bit range"
        )]
        let blocks = self.current as u64;
        blocks.clamp(1, self.ceiling)
    }

    /// `blocks` were answered with `logs`.
    pub(super) fn answered(&mut self, blocks: u64, logs: usize) {
        if logs > ENOUGH_LOGS * 2 {
            let share = ENOUGH_LOGS as f64 * 1.5 / logs as f64;
            self.current = self.current.min((float(blocks) * share).max(1.0));
        } else if logs < ENOUGH_LOGS && blocks >= self.blocks() {
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

    /// `blocks` were refused: the size to try next, smaller than `blocks` unless that was one.
    pub(super) fn refused(&mut self, blocks: u64, hint: Option<Hint>) -> u64 {
        self.answers = 0;
        self.wall = Some(self.wall.map_or(blocks, |wall| wall.min(blocks)));
        let next = match hint {
            Some(Hint::Limit(limit)) if limit < blocks => {
                self.ceiling = self.ceiling.min(limit.max(1));
                limit
            }
            Some(Hint::Try(size)) if size < blocks => size,
            _ => blocks / 2,
        }
        .max(1);
        self.current = self.current.min(float(next));
        next
    }
}

fn float(number: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "ranges are far below 2^53")]
    let float = number as f64;
    float
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_range_doubles_until_refused_then_grows_slowly() {
        let mut range = LogRange::new(10_000);
        assert_eq!(range.blocks(), 500);
        range.answered(500, 10);
        range.answered(1_000, 10);
        assert_eq!(range.blocks(), 2_000);
        assert_eq!(range.refused(2_000, None), 1_000);
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
    fn useless_hints_halve() {
        let mut range = LogRange::new(10_000);
        assert_eq!(range.refused(500, Some(Hint::Limit(500))), 250);
        assert_eq!(range.refused(250, Some(Hint::Try(9_000))), 125);
        assert_eq!(range.refused(1, None), 1);
        assert_eq!(range.refused(0, Some(Hint::Limit(0))), 1);
    }

    #[test]
    fn big_answers_shrink_the_range() {
        let mut range = LogRange::new(10_000);
        range.answered(500, 150_000);
        assert_eq!(range.blocks(), 50);
    }
}
