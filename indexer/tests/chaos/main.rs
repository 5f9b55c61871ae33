//! Everything that may go wrong at once, at random: `scripts/chaos`.
//!
//! A plan is drawn from a seed: reorgs, kills, pauses, outages, lying endpoints, backfills and replays beside two daemons. It is played
//! against a simulated chain; then everything heals, the chain becomes final, and tables, archive and consumer must hold what a
//! clean index of the surviving chain holds. A plan that fails is cut down to the smallest that still does.

#![cfg(test)]

#[path = "../harness/mod.rs"]
mod harness;

mod consumer;
mod endpoint;
mod host;
mod plan;
mod report;
mod servers;
mod shrink;
mod stage;
mod verdict;

use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use plan::Plan;
use report::{Outcome, Totals};
use stage::Stage;

#[test]
#[ignore = "restarts its servers: run by scripts/chaos, which starts private ones"]
fn chaos() {
    let seconds = setting("CHAOS_SECONDS").map_or(60, |text| text.parse().expect("CHAOS_SECONDS is a number"));
    let shrinking = setting("CHAOS_SHRINK_SECONDS").map_or(600, |text| text.parse().expect("a number of seconds"));
    let first = setting("CHAOS_SEED").map_or(1, |text| text.parse().expect("CHAOS_SEED is a number"));
    let began = Instant::now();
    let mut totals = Totals::default();
    let mut failed = false;
    for plan in plans(first) {
        let outcome = attempt(&plan);
        println!("{}", outcome.line(&plan));
        outcome.record(&plan);
        totals.add(&outcome);
        if !outcome.failures.is_empty() {
            failed = true;
            println!("{}\nschedule: {}", outcome.failures.join("\n"), plan.json());
            if shrinking > 0 {
                let smallest = shrink::smallest(&plan, Duration::from_secs(shrinking), attempt);
                println!("smallest failing schedule found: {}", smallest.json());
            }
        }
        if setting("CHAOS_SCHEDULE").is_none() && began.elapsed() >= Duration::from_secs(seconds) {
            break;
        }
    }
    println!("{totals}");
    assert!(!failed, "at least one schedule failed");
}

/// The plan of a file, those of a folder, or one for each seed from `first` on.
fn plans(first: u64) -> Box<dyn Iterator<Item = Plan>> {
    match setting("CHAOS_SCHEDULE").map(PathBuf::from) {
        Some(path) if path.is_dir() => {
            let files = std::fs::read_dir(path).expect("the folder can be read");
            let mut paths: Vec<PathBuf> = files.map(|file| file.expect("and its entries").path()).collect();
            paths.sort();
            Box::new(paths.into_iter().map(|path| written(&path)))
        }
        Some(path) => Box::new(std::iter::once(written(&path))),
        None => Box::new((first..).map(Plan::draw)),
    }
}

/// A plan that was written down.
fn written(path: &Path) -> Plan {
    let text = std::fs::read_to_string(path).expect("the schedule can be read");
    serde_json::from_str(&text).expect("a schedule as this program printed it")
}

fn setting(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|text| !text.is_empty())
}

/// Plays `plan` once, on a thread and runtime of its own: nothing of it is left when it ends, and a panic on the way is a failure of it.
fn attempt(plan: &Plan) -> Outcome {
    let began = Instant::now();
    let played = plan.clone();
    let playing = thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let mut stage = Box::pin(Stage::set(&played)).await;
            Box::pin(stage.play(&played)).await;
            Box::pin(stage.observe()).await
        })
    });
    let mut outcome = playing.join().unwrap_or_else(|panic| Outcome::broken(panic.as_ref()));
    outcome.seconds = began.elapsed().as_secs_f64();
    outcome
}
