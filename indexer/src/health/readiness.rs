//! Readiness: ready when every task that began reports that it does its work.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What `/readyz` answers from. Clones share their state.
#[derive(Clone, Debug, Default)]
pub struct Readiness {
    tasks: Arc<Mutex<BTreeMap<String, Report>>>,
}

/// What a task reported last.
#[derive(Debug)]
struct Report {
    cause: Option<String>,
    at: Instant,
    /// What it began last.
    step: Option<Step>,
    /// How old the report may become before silence is a cause of its own.
    patience: Option<Duration>,
}

/// What a step needs to get on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitsFor {
    /// The chain's endpoints.
    Endpoints,
    /// The database or the archive.
    Stores,
}

#[derive(Clone, Debug)]
struct Step {
    waits_for: WaitsFor,
    what: String,
}

impl Report {
    fn cause(&self) -> Option<String> {
        let silent = self.at.elapsed();
        let overdue = || {
            let overdue = self.patience.is_some_and(|patience| silent > patience);
            let step = self.step.as_ref().map_or("starting", |step| step.what.as_str());
            overdue.then(|| format!("stuck for {} s: {step}", silent.as_secs()))
        };
        self.cause.clone().or_else(overdue)
    }
}

impl Readiness {
    /// Announces a task; it counts as not ready until it reports.
    pub fn task(&self, name: impl Into<String>) -> TaskHealth {
        let task = TaskHealth {
            readiness: self.clone(),
            name: name.into(),
            patience: None,
        };
        task.failing("starting");
        task
    }

    /// Name and cause of every task that is not ready; empty when the process is.
    pub fn causes(&self) -> BTreeMap<String, String> {
        self.lock()
            .iter()
            .filter_map(|(name, report)| Some((name.clone(), report.cause()?)))
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Report>> {
        // Each entry is written whole, so the map is whole after any panic.
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One task's line in [`Readiness`]; dropping it takes the line away.
#[derive(Debug)]
pub struct TaskHealth {
    readiness: Readiness,
    name: String,
    patience: Option<Duration>,
}

impl TaskHealth {
    /// The same task, which promises a report at least every `patience`: where it is silent for longer, it does not do its work.
    #[must_use]
    pub fn reporting_within(mut self, patience: Duration) -> Self {
        self.patience = Some(patience);
        self.failing("starting");
        self
    }

    /// The task does its work.
    pub fn ok(&self) {
        self.report(None, self.patience);
    }

    /// The task has done its work; no more reports come.
    pub fn rests(&self) {
        self.report(None, None);
    }

    /// The task cannot do its work, because of `cause`. Never pass a secret.
    pub fn failing(&self, cause: impl Into<String>) {
        self.report(Some(cause.into()), self.patience);
    }

    /// The task begins `what`, which reads after "stuck for a minute: ". It is no report: what it reported last stands.
    pub fn begins(&self, waits_for: WaitsFor, what: impl Into<String>) {
        let what = what.into();
        self.change(|report| {
            report.at = Instant::now();
            report.step = Some(Step { waits_for, what });
        });
    }

    /// Endpoints answer: a task that waits for them gets on.
    pub fn endpoints_answer(&self) {
        self.change(|report| {
            let waits = report.step.as_ref().map(|step| step.waits_for);
            if waits == Some(WaitsFor::Endpoints) {
                report.at = Instant::now();
            }
        });
    }

    /// Why the task is not ready, as it reports itself or as its silence does.
    pub fn cause(&self) -> Option<String> {
        self.readiness.lock().get(&self.name).and_then(Report::cause)
    }

    /// What the task began last.
    pub fn step(&self) -> Option<String> {
        let tasks = self.readiness.lock();
        let step = tasks.get(&self.name)?.step.as_ref()?;
        Some(step.what.clone())
    }

    fn change(&self, change: impl FnOnce(&mut Report)) {
        if let Some(report) = self.readiness.lock().get_mut(&self.name) {
            change(report);
        }
    }

    fn report(&self, cause: Option<String>, patience: Option<Duration>) {
        let mut tasks = self.readiness.lock();
        let step = tasks.get(&self.name).and_then(|report| report.step.clone());
        let at = Instant::now();
        let report = Report {
            cause,
            at,
            step,
            patience,
        };
        tasks.insert(self.name.clone(), report);
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

    #[test]
    fn silence_beyond_what_was_promised_is_a_cause_until_the_next_report() {
        let readiness = Readiness::default();
        let task = readiness
            .task("chain eip155:1")
            .reporting_within(Duration::from_millis(5));
        task.ok();
        std::thread::sleep(Duration::from_millis(20));
        assert!(readiness.causes()["chain eip155:1"].starts_with("stuck"));
        task.begins(WaitsFor::Endpoints, "reading block 7");
        std::thread::sleep(Duration::from_millis(20));
        assert!(readiness.causes()["chain eip155:1"].ends_with("reading block 7"));
        task.rests();
        std::thread::sleep(Duration::from_millis(20));
        assert!(readiness.causes().is_empty());
    }
}
