//! What is remembered of the chain's tip between two looks at it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::settings::Heads;

/// How often endpoints of less preferred classes are asked too.
const CROSS_CHECK: Duration = Duration::from_secs(30);
/// How long a head stands although the endpoint that showed it does not answer.
const HOLD: Duration = Duration::from_secs(30);

/// The last answer and when the less preferred were last asked.
#[derive(Default)]
pub(super) struct HeadMemory(Mutex<Memory>);

#[derive(Default)]
struct Memory {
    /// The last heads, the endpoint that showed them, and when.
    last: Option<(Heads, i32, Instant)>,
    cross_checked: Option<Instant>,
}

impl HeadMemory {
    pub(super) fn last(&self) -> Option<Heads> {
        self.lock().last.map(|(heads, ..)| heads)
    }

    /// Whether the less preferred are to be asked too; they count as asked then.
    pub(super) fn is_cross_check_due(&self) -> bool {
        let mut memory = self.lock();
        let is_due = memory.cross_checked.is_none_or(|at| at.elapsed() >= CROSS_CHECK);
        if is_due {
            memory.cross_checked = Some(Instant::now());
        }
        is_due
    }

    /// Keeps the head from falling back merely because the endpoint that showed it is silent. `answers` states whether an endpoint
    /// has shown another head since.
    pub(super) fn remember(&self, by: i32, heads: Heads, answers: impl FnOnce(i32, Instant) -> bool) -> Heads {
        let mut memory = self.lock();
        if let Some((last, shown_by, at)) = memory.last {
            let is_silent = shown_by != by && at.elapsed() < HOLD && !answers(shown_by, at);
            if heads.latest.number < last.latest.number && is_silent {
                return last;
            }
        }
        memory.last = Some((heads, by, Instant::now()));
        heads
    }

    fn lock(&self) -> MutexGuard<'_, Memory> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
