//! What a schedule did and what came of it.

use std::any::Any;
use std::fmt;
use std::io::Write as _;
use std::path::PathBuf;

use serde::Serialize;

use crate::plan::{Act, Behaviour, Hold, Line, Plan};

/// What came of one schedule.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Outcome {
    /// What is wrong; nothing when it passed.
    pub(crate) failures: Vec<String>,
    /// How long it took.
    pub(crate) seconds: f64,
    /// From the moment when everything was well again until nothing was missing and nothing pending.
    pub(crate) recovery_seconds: f64,
    /// Reorgs that happened.
    pub(crate) reorgs: u64,
    /// The deepest.
    pub(crate) deepest: u64,
    /// SIGKILLs of daemons and tools that ran.
    pub(crate) kills: u64,
    /// SIGSTOPs.
    pub(crate) stops: u64,
    /// Servers ended or demoted.
    pub(crate) servers: u64,
    /// Connections cut, held or slowed down.
    pub(crate) lines: u64,
    /// Times an endpoint began to misbehave.
    pub(crate) misbehaviours: u64,
    /// Requests that failed as a whole by a fault.
    pub(crate) failed_requests: u64,
    /// Requests.
    pub(crate) requests: u64,
    /// Backfills and replays.
    pub(crate) tools: u64,
    /// Facts at the end.
    pub(crate) facts: u64,
    /// Facts of the chain that are not in the tables, or not with the consumer.
    pub(crate) lost: u64,
    /// Facts in the tables, or with the consumer, that are not the chain's.
    pub(crate) untrue: u64,
    /// Messages.
    pub(crate) messages: u64,
    /// Messages that repeated what already was so, which is permitted.
    pub(crate) repeats: u64,
}

impl Outcome {
    /// A schedule that could not be played or checked to its end.
    pub(crate) fn broken(panic: &(dyn Any + Send)) -> Outcome {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Outcome {
            failures: vec![text.unwrap_or_else(|| "a panic without a text".to_owned())],
            ..Outcome::default()
        }
    }

    /// Counts what the plan reports of itself.
    pub(crate) fn count(&mut self, plan: &Plan) {
        self.lines = plan.count(|act| match act {
            Act::Line { state, .. } => *state != Line::Whole,
            Act::HoldLeader(hold) => *hold != Hold::Whole,
            _ => false,
        });
        self.misbehaviours =
            plan.count(|act| matches!(act, Act::Endpoint { behaviour, .. } if *behaviour != Behaviour::Honest));
    }

    /// One line for people.
    pub(crate) fn line(&self, plan: &Plan) -> String {
        format!(
            "seed {}: {} in {:.0} s: {} acts, {} reorgs to depth {}, {} kills, {} stops, {} servers, {} connections, \
             {} misbehaviours, {} of {} requests failed, {} tools; {} facts, {} lost, {} untrue, {} messages of which {} repeats, \
             recovered in {:.1} s",
            plan.seed,
            if self.failures.is_empty() { "passed" } else { "FAILED" },
            self.seconds,
            plan.acts.len(),
            self.reorgs,
            self.deepest,
            self.kills,
            self.stops,
            self.servers,
            self.lines,
            self.misbehaviours,
            self.failed_requests,
            self.requests,
            self.tools,
            self.facts,
            self.lost,
            self.untrue,
            self.messages,
            self.repeats,
            self.recovery_seconds,
        )
    }

    /// Appends it as JSON to the file that CHAOS_RECORD names, where one is named.
    pub(crate) fn record(&self, plan: &Plan) {
        let Ok(path) = std::env::var("CHAOS_RECORD") else {
            return;
        };
        let line = serde_json::json!({ "plan": plan, "outcome": self });
        let mut file = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(PathBuf::from(path))
            .unwrap();
        writeln!(file, "{line}").unwrap();
    }
}

/// What came of all schedules.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    schedules: u64,
    failed: u64,
    sums: Outcome,
}

impl Totals {
    /// Adds one schedule.
    pub(crate) fn add(&mut self, outcome: &Outcome) {
        self.schedules += 1;
        self.failed += u64::from(!outcome.failures.is_empty());
        let sums = &mut self.sums;
        sums.seconds += outcome.seconds;
        sums.recovery_seconds = sums.recovery_seconds.max(outcome.recovery_seconds);
        sums.deepest = sums.deepest.max(outcome.deepest);
        for (sum, more) in [
            (&mut sums.reorgs, outcome.reorgs),
            (&mut sums.kills, outcome.kills),
            (&mut sums.stops, outcome.stops),
            (&mut sums.servers, outcome.servers),
            (&mut sums.lines, outcome.lines),
            (&mut sums.misbehaviours, outcome.misbehaviours),
            (&mut sums.failed_requests, outcome.failed_requests),
            (&mut sums.requests, outcome.requests),
            (&mut sums.tools, outcome.tools),
            (&mut sums.facts, outcome.facts),
            (&mut sums.lost, outcome.lost),
            (&mut sums.untrue, outcome.untrue),
            (&mut sums.messages, outcome.messages),
            (&mut sums.repeats, outcome.repeats),
        ] {
            *sum += more;
        }
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sums = &self.sums;
        write!(
            f,
            "schedules                      {}, {} of them failed, in {:.0} s\n\
             reorgs                         {}, the deepest {} blocks\n\
             processes killed, paused       {}, {}\n\
             servers ended or demoted       {}\n\
             connections cut, held, slowed  {}\n\
             endpoints misbehaving          {} times; {} of {} requests failed\n\
             backfills and replays          {}\n\
             facts                          {}\n\
             lost                           {}\n\
             doubled or untrue              {}\n\
             messages                       {}, {} of them repeats\n\
             longest recovery               {:.1} s",
            self.schedules,
            self.failed,
            sums.seconds,
            sums.reorgs,
            sums.deepest,
            sums.kills,
            sums.stops,
            sums.servers,
            sums.lines,
            sums.misbehaviours,
            sums.failed_requests,
            sums.requests,
            sums.tools,
            sums.facts,
            sums.lost,
            sums.untrue,
            sums.messages,
            sums.repeats,
            sums.recovery_seconds,
        )
    }
}
