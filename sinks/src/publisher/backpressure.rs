//! One chain's way through the publisher: how much it may send, whether it is held up, what a batch came to.

use std::time::{Duration, Instant};

use super::broker::Verdict;
use super::options::Unroutable;
use super::pending::Receipt;
use crate::message::Message;

/// A new or held-up lane sends one message to see whether a queue takes it, then this many times more with each success.
const GROWTH: usize = 16;
/// Shortest and longest pause after a message no queue asks for.
const HOLD: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// What the publisher remembers of one chain.
#[derive(Debug)]
pub(super) struct Backpressure {
    window: usize,
    held_until: Option<Instant>,
    hold: Duration,
}

impl Default for Backpressure {
    fn default() -> Self {
        Backpressure {
            window: 1,
            held_until: None,
            hold: HOLD.0,
        }
    }
}

impl Backpressure {
    /// Starts over on a new connection.
    pub(super) fn restart(&mut self) {
        (self.window, self.held_until, self.hold) = (1, None, HOLD.0);
    }

    /// Whether the lane is held up and its next attempt is not due.
    pub(super) fn waits(&self) -> bool {
        self.held_until.is_some_and(|until| Instant::now() < until)
    }

    /// Rows to read now, at most `most`.
    pub(super) fn window(&self, most: usize) -> usize {
        self.window.min(most).max(1)
    }

    /// Notes how a batch ended: `rows` paid, and whether a message no queue asks for holds the chain up.
    pub(super) fn published(&mut self, rows: usize, held: bool) {
        if rows > 0 {
            self.hold = HOLD.0;
        }
        if held {
            (self.window, self.held_until) = (1, Some(Instant::now() + self.hold));
            self.hold = (self.hold * 2).min(HOLD.1);
        } else if rows > 0 {
            self.window = self.window.saturating_mul(GROWTH);
            self.held_until = None;
        }
    }
}

/// What a batch came to: the paid rows at its front, and what stopped it there.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// Rows at the front of the batch that are paid. What follows is sent again, to keep the order.
    pub(super) rows: usize,
    pub(super) receipt: Receipt,
    /// Routing key of the message no queue asks for, at which the batch stopped.
    pub(super) held: Option<String>,
    /// Routing key of the message a queue refused, at which the batch stopped.
    pub(super) refused: Option<String>,
}

/// Reads the broker's `verdicts`, one per message of `rows` that has one.
pub(super) fn outcome(rows: &[Option<Message>], verdicts: &[Verdict], unroutable: Unroutable) -> Outcome {
    let mut outcome = Outcome::default();
    let mut verdicts = verdicts.iter();
    for row in rows {
        let Some(message) = row else {
            (outcome.rows, outcome.receipt.skipped) = (outcome.rows + 1, outcome.receipt.skipped + 1);
            continue;
        };
        match verdicts.next() {
            Some(Verdict::Confirmed) => outcome.receipt.published += 1,
            Some(Verdict::Unroutable) if unroutable == Unroutable::Drop => outcome.receipt.unroutable += 1,
            Some(Verdict::Unroutable) => {
                outcome.held = Some(message.routing_key.clone());
                break;
            }
            Some(Verdict::Refused) | None => {
                outcome.refused = Some(message.routing_key.clone());
                break;
            }
        }
        outcome.rows += 1;
    }
    outcome
}
