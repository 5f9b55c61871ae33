//! How many requests one endpoint is given at once: additive increase, multiplicative decrease.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Where every endpoint starts.
const START: usize = 8;

/// Lets requests through up to a limit that follows how the endpoint copes.
pub(crate) struct Gate {
    semaphore: Arc<Semaphore>,
    state: Mutex<State>,
    most: usize,
}

struct State {
    limit: f64,
    /// Permits that exist, taken or not.
    issued: usize,
}

impl Gate {
    pub(crate) fn new(most: usize) -> Self {
        let most = most.max(1);
        let issued = START.min(most);
        let state = State {
            limit: f64::from(u32::try_from(issued).unwrap_or(1)),
            issued,
        };
        Gate {
            semaphore: Arc::new(Semaphore::new(issued)),
            state: Mutex::new(state),
            most,
        }
    }

    /// Waits for room. Dropping the permit makes room again.
    pub(crate) async fn enter(&self) -> OwnedSemaphorePermit {
        let entered = Arc::clone(&self.semaphore).acquire_owned().await;
        entered.expect("the gate's semaphore is never closed")
    }

    /// Requests under way.
    pub(crate) fn in_flight(&self) -> usize {
        self.lock().issued.saturating_sub(self.semaphore.available_permits())
    }

    /// The present limit.
    pub(crate) fn limit(&self) -> usize {
        whole(self.lock().limit)
    }

    /// An answer came in good time: one more after a whole round of them.
    pub(crate) fn widen(&self) {
        let mut state = self.lock();
        let most = f64::from(u32::try_from(self.most).unwrap_or(u32::MAX));
        state.limit = (state.limit + 1.0 / state.limit).min(most);
        self.settle(&mut state);
    }

    /// The endpoint is overloaded: half as many.
    pub(crate) fn narrow(&self) {
        let mut state = self.lock();
        state.limit = (state.limit / 2.0).max(1.0);
        self.settle(&mut state);
    }

    /// Issues or withdraws permits. Those taken cannot be withdrawn now; the next call does it.
    fn settle(&self, state: &mut State) {
        let target = whole(state.limit);
        if state.issued < target {
            self.semaphore.add_permits(target - state.issued);
            state.issued = target;
        } else {
            state.issued -= self.semaphore.forget_permits(state.issued - target);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn whole(limit: f64) -> usize {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "limits lie between one and a few hundred"
    )]
    let whole = limit as usize;
    whole.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_limit_rises_slowly_and_falls_at_once() {
        let gate = Gate::new(10);
        assert_eq!(gate.limit(), 8);
        gate.narrow();
        gate.narrow();
        assert_eq!(gate.limit(), 2);
        for _ in 0..2 {
            gate.widen();
        }
        assert_eq!(gate.limit(), 2);
        gate.widen();
        assert_eq!(gate.limit(), 3);
        for _ in 0..1000 {
            gate.widen();
        }
        assert_eq!(gate.limit(), 10);
    }

    #[tokio::test]
    async fn permits_taken_are_withdrawn_when_they_come_back() {
        let gate = Gate::new(8);
        let mut taken = Vec::new();
        for _ in 0..8 {
            taken.push(gate.enter().await);
        }
        assert_eq!(gate.in_flight(), 8);
        gate.narrow();
        drop(taken);
        gate.narrow();
        assert_eq!((gate.in_flight(), gate.limit()), (0, 2));
        let _one = gate.enter().await;
        let _two = gate.enter().await;
        assert!(
            tokio::time::timeout(std::time::Duration::from_millis(20), gate.enter())
                .await
                .is_err()
        );
    }
}
