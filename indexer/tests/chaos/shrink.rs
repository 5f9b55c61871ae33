//! The smallest part of a failing schedule that still fails.

use std::time::{Duration, Instant};

use crate::plan::Plan;
use crate::report::Outcome;

/// Leaves out ever smaller parts of `plan` as long as what is left fails, and ends with the smallest plan found when `budget` is spent.
///
/// A schedule decides what happens and not how the machine takes turns, so a part that passed once may have failed another time:
/// what comes out fails, but may not be minimal.
pub(crate) fn smallest(plan: &Plan, budget: Duration, attempt: impl Fn(&Plan) -> Outcome) -> Plan {
    let began = Instant::now();
    let mut smallest = plan.clone();
    let mut width = smallest.acts.len().div_ceil(2);
    while width > 0 {
        let mut at = 0;
        while at < smallest.acts.len() {
            if began.elapsed() > budget {
                return smallest;
            }
            let mut candidate = smallest.clone();
            candidate.acts.drain(at..(at + width).min(smallest.acts.len()));
            let outcome = attempt(&candidate);
            let fails = !outcome.failures.is_empty();
            println!(
                "shrinking: {} of {} acts: {}",
                candidate.acts.len(),
                plan.acts.len(),
                if fails { "fails" } else { "passes" }
            );
            if fails {
                smallest = candidate;
            } else {
                at += width;
            }
        }
        width /= 2;
    }
    smallest
}

#[test]
fn what_makes_a_schedule_fail_is_what_is_left_of_it() {
    let plan = (0..).map(Plan::draw).find(|plan| plan.acts.len() > 20).unwrap();
    let (first, second) = (plan.acts[3], plan.acts[17]);
    let attempt = |candidate: &Plan| {
        let fails = candidate.acts.contains(&first) && candidate.acts.contains(&second);
        Outcome {
            failures: fails.then(|| "it fails".to_owned()).into_iter().collect(),
            ..Outcome::default()
        }
    };
    let found = smallest(&plan, Duration::MAX, attempt);
    assert_eq!(found.acts, [first, second]);
}
