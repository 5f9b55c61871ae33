//! Readiness: ready when every task that began reports that it does its work.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What `/readyz` answers from. Clones share their state.
#[derive(Clone, Debug, Default)]
pub struct Readiness {
    causes: Arc<Mutex<BTreeMap<String, Option<String>>>>,
}

impl Readiness {
    /// Announces a task; it counts as not ready until it reports.
    pub fn task(&self, name: impl Into<String>) -> TaskHealth {
        let task = TaskHealth {
            readiness: self.clone(),
            name: name.into(),
        };
        task.failing("starting");
        task
    }

    /// Name and cause of every task that is not ready; empty when the process is.
    pub fn causes(&self) -> BTreeMap<String, String> {
        self.lock()
            .iter()
            .filter_map(|(name, cause)| Some((name.clone(), cause.clone()?)))
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Option<String>>> {
        // A map of strings is whole after any panic.
        self.causes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One task's line in [`Readiness`]; dropping it takes the line away.
#[derive(Debug)]
pub struct TaskHealth {
    readiness: Readiness,
    name: String,
}

impl TaskHealth {
    /// The task does its work.
    pub fn ok(&self) {
        self.readiness.lock().insert(self.name.clone(), None);
    }

    /// The task cannot do its work, because of `cause`. Never pass a secret.
    pub fn failing(&self, cause: impl Into<String>) {
        self.readiness.lock().insert(self.name.clone(), Some(cause.into()));
    }
}

impl Drop for TaskHealth {
    fn drop(&mut self) {
        self.readiness.lock().remove(&self.name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_means_that_no_task_has_a_cause() {
        let readiness = Readiness::default();
        assert!(readiness.causes().is_empty());
        let follower = readiness.task("follower eip155:1");
        assert_eq!(readiness.causes()["follower eip155:1"], "starting");
        follower.ok();
        assert!(readiness.causes().is_empty());
        follower.failing("no endpoint answers");
        assert_eq!(readiness.causes()["follower eip155:1"], "no endpoint answers");
        drop(follower);
        assert!(readiness.causes().is_empty());
    }
}
