//! Law 4: any bytes from an endpoint: no panic, no wrong fact accepted silently, no stopped chain.

use std::time::Duration;

use futures::future::join_all;
use rand::RngExt;
use sinks::progress::checkpoint;
use testchain::faults::{Faults, LogFaults, Settings as Lies};
use testchain::simulation::{Settings, schedule};
use testkit::database::Database;
use testkit::patience::eventually;
use testkit::{outbox, tables};

use crate::harness::chain::Chain;
use crate::harness::daemon::Running;
use crate::harness::program::{Program, Setup};
use crate::harness::{dice, seeds};

/// Blocks between head and finalized block.
const FINALIZED_DEPTH: u64 = 8;
/// The level at which every lie about logs can be distinguished from the truth.
const PROVEN: &str = "integrity_head = \"receipts\"\nintegrity_backfill = \"receipts\"";

#[tokio::test(flavor = "multi_thread")]
async fn law_4_one_honest_endpoint_among_liars_is_enough_to_end_equal_to_the_books() {
    for seed in seeds(&[121, 122]) {
        let mut dice = dice(seed);
        let mut chain = Chain::start(Settings::small(seed), 80, FINALIZED_DEPTH).await;
        let alone = (
            "a branch of its own",
            Lies {
                branch_from: Some(60),
                ..Lies::default()
            },
        );
        let cut = Lies {
            malformed_rate: 0.9,
            ..Lies::default()
        };
        let others = [alone, ("answers cut off", cut)];
        let lies = lies().into_iter().chain(others).zip(seed * 10..);
        let liars: Vec<_> = lies.map(|((_, lies), seed)| Faults::with(seed, lies)).collect();
        let mut servers = Vec::new();
        for faults in &liars {
            servers.push(chain.endpoint(faults).await);
        }
        let flaky = chain.endpoint(&Faults::with(seed, unreliable())).await;
        let mut urls: Vec<String> = servers.iter().map(|server| server.http_url()).collect();
        urls.extend([flaky.ws_url(), flaky.http_url(), chain.server.http_url()]);
        let database = Database::new().await;
        let setup = Setup {
            pipeline: PROVEN.to_owned(),
            ..Setup::new(&database, chain.id(), &urls)
        };
        let daemon = Running::start(&Program::new(&setup), None).await;
        for step in schedule(seed, 12, 4) {
            chain.play(step);
            tokio::time::sleep(Duration::from_millis(dice.random_range(0..400))).await;
        }
        let context = format!("seed {seed}, one honest endpoint among liars");
        chain.indexed(&database.store, 0, &context).await;
        daemon.stop().await;
        chain.assert_true(&database.store, 0, &context).await;
        let facts = outbox::fact_ids(&database.store, chain.id()).await;
        outbox::assert_tells(&outbox::pending(&database.store, chain.id()).await, &facts, &context);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn law_4_an_endpoint_that_only_lies_is_never_believed_says_so_and_is_forgiven_once_it_tells_the_truth() {
    // A liar is left alone for a minute, so all of them are waited for at once. Nothing is dropped before all have ended: dropping
    // a database stands still until every session has noticed, and those of the others are driven by this task.
    let ended = join_all(
        lies()
            .into_iter()
            .zip(131..)
            .map(|((what, lies), seed)| lied_to(format!("seed {seed}, {what}"), lies, seed)),
    )
    .await;
    drop(ended);
}

async fn lied_to(context: String, lies: Lies, seed: u64) -> (Chain, Database) {
    let chain = Chain::start(Settings::small(seed), 20, FINALIZED_DEPTH).await;
    chain.faults.set(lies);
    let database = Database::new().await;
    let setup = Setup {
        pipeline: PROVEN.to_owned(),
        ..Setup::new(&database, chain.id(), &[chain.server.http_url()])
    };
    let daemon = Running::start(&Program::new(&setup), None).await;
    eventually(
        &format!("{context}: the daemon reports that it cannot go on"),
        async || {
            let causes = daemon.health.readiness.causes();
            causes.into_values().find(|cause| cause != "starting")
        },
    )
    .await;
    let stored = tables::facts(&database.store, chain.id()).await;
    assert!(
        stored.is_subset(&chain.expected().facts),
        "{context}: something false was committed"
    );
    if let Some(stored) = checkpoint::read(&database.store, chain.id()).await.unwrap() {
        assert!(
            chain.ledger.is_canonical(&stored.block.hash),
            "{context}: the checkpoint stands on no block of the chain"
        );
    }

    chain.faults.clear();
    chain.indexed(&database.store, 0, &format!("{context}, no more")).await;
    daemon.stop().await;
    chain.assert_true(&database.store, 0, &context).await;
    (chain, database)
}

/// Ways to lie about what happened, each one enough to end up with other tables if it were accepted.
fn lies() -> Vec<(&'static str, Lies)> {
    let some = |missing_rate, wrong_rate| LogFaults {
        missing_rate,
        wrong_rate,
    };
    let (missing, wrong) = (some(0.3, 0.0), some(0.0, 0.3));
    vec![
        (
            "logs left out",
            Lies {
                logs: missing,
                receipts: missing,
                ..Lies::default()
            },
        ),
        (
            "logs altered",
            Lies {
                logs: wrong,
                receipts: wrong,
                ..Lies::default()
            },
        ),
        (
            "logs left out of true receipts",
            Lies {
                logs: some(1.0, 0.0),
                receipts: some(0.0, 1.0),
                empty_logs_rate: 0.5,
                ..Lies::default()
            },
        ),
        (
            "blocks under hashes that are not theirs",
            Lies {
                wrong_hash_rate: 1.0,
                ..Lies::default()
            },
        ),
        (
            "blocks with parents that are not theirs",
            Lies {
                wrong_parent_rate: 1.0,
                ..Lies::default()
            },
        ),
        (
            "blocks denied",
            Lies {
                null_block_rate: 1.0,
                ..Lies::default()
            },
        ),
    ]
}

/// No lies, but little help.
fn unreliable() -> Lies {
    Lies {
        jitter: Duration::from_millis(20),
        error_rate: 0.1,
        timeout_rate: 0.005,
        too_many_requests_rate: 0.05,
        rate_limit_rate: 0.1,
        server_error_rate: 0.1,
        malformed_rate: 0.1,
        stale_by: 3,
        socket_drop_rate: 0.1,
        ..Lies::default()
    }
}
