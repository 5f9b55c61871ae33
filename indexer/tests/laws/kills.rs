//! Law 3: killed (SIGKILL) at any point and restarted: equal to a run that was never killed; no message lost; repeats have the same
//! id.

use std::time::Duration;

use rand::RngExt;
use sinks::digest::digest;
use sinks::store::Store;
use testchain::simulation::schedule;
use testkit::database::Database;
use testkit::mongo::MongoDatabase;
use testkit::outbox;

use crate::harness::chain::Chain;
use crate::harness::program::{Program, Setup};
use crate::harness::{Dice, dice, seeds, traffic};

/// Blocks between head and finalized block.
const FINALIZED_DEPTH: u64 = 40;
/// What a killed daemon's lease makes the next one wait at most.
const LEASE: Duration = Duration::from_millis(1_400);

#[tokio::test(flavor = "multi_thread")]
async fn law_3_a_run_killed_at_any_moment_and_restarted_ends_equal_to_one_never_killed() {
    for seed in seeds(&[51, 52]) {
        let chain = Chain::start(traffic(seed), 220, FINALIZED_DEPTH).await;
        let until = chain.head().number.to_string();
        let name = chain.id().to_string();
        let arguments = ["run", "--chain", &name, "--until", &until];
        let setup = |database| Setup::new(database, chain.id(), &[chain.server.http_url()]);

        let untouched = Database::new().await;
        let whole = Program::new(&setup(&untouched)).time(&arguments).await;

        let (killed, mongo) = (Database::new().await, MongoDatabase::new());
        let program = Program::new(&if seed % 2 == 0 {
            setup(&killed)
        } else {
            setup(&killed).archived_in(&mongo)
        });
        let context = format!("seed {seed}, killed within {whole:?}");
        kill_at_random(&program, &arguments, whole + LEASE, 7, &mut dice(seed)).await;
        program.run(&arguments).await;
        assert_eq!(
            digest(&killed.store, chain.id()).await.unwrap(),
            digest(&untouched.store, chain.id()).await.unwrap(),
            "{context}"
        );
        chain.assert_true(&killed.store, 0, &context).await;
        assert_each_told_once(&killed.store, &chain, &context).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn law_3_a_backfill_killed_at_any_moment_resumes_to_the_same_tables_and_then_has_nothing_to_do() {
    let seed = 61;
    let chain = Chain::start(traffic(seed), 400, FINALIZED_DEPTH).await;
    let last = chain.head().number - FINALIZED_DEPTH;
    let (name, to) = (chain.id().to_string(), last.to_string());
    let arguments = [
        "backfill",
        "--chain",
        &name,
        "--from",
        "0",
        "--to",
        &to,
        "--workers",
        "3",
    ];
    let setup = |database| Setup::new(database, chain.id(), &[chain.server.http_url()]);

    let untouched = Database::new().await;
    let whole = Program::new(&setup(&untouched)).time(&arguments).await;

    let (killed, mongo) = (Database::new().await, MongoDatabase::new());
    let program = Program::new(&setup(&killed).archived_in(&mongo));
    let context = format!("seed {seed}, killed within {whole:?}");
    kill_at_random(&program, &arguments, whole, 8, &mut dice(seed)).await;
    program.run(&arguments).await;
    let digests = digest(&killed.store, chain.id()).await.unwrap();
    assert_eq!(
        digests,
        digest(&untouched.store, chain.id()).await.unwrap(),
        "{context}"
    );
    assert_each_told_once(&killed.store, &chain, &context).await;

    let output = program.run(&arguments).await;
    assert!(
        output.contains("nothing to do"),
        "{context}: repeated, it printed {output:?}"
    );
    assert_eq!(
        digest(&killed.store, chain.id()).await.unwrap(),
        digests,
        "{context}: a repetition changes nothing"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn law_3_a_follower_killed_amid_reorgs_ends_at_the_canonical_chain_and_tells_no_fact_twice() {
    for seed in seeds(&[71, 72]) {
        let mut dice = dice(seed);
        let mut chain = Chain::start(traffic(seed), 30, FINALIZED_DEPTH).await;
        let (database, mongo) = (Database::new().await, MongoDatabase::new());
        let setup = Setup::new(&database, chain.id(), &[chain.server.http_url()]);
        let program = Program::new(&if seed % 2 == 0 {
            setup
        } else {
            setup.archived_in(&mongo)
        });
        let mut process = program.start(&["run"]);
        let mut steps = schedule(seed, 30, 6).into_iter().peekable();
        while steps.peek().is_some() {
            // The chain moves on in small steps while the program starts, follows and dies.
            for step in steps.by_ref().take(dice.random_range(2..8)) {
                chain.play(step);
                tokio::time::sleep(Duration::from_millis(dice.random_range(20..700))).await;
            }
            process.kill();
            process.assert_no_panic();
            process = program.start(&["run"]);
        }
        let context = format!("seed {seed}, killed amid reorgs");
        chain.indexed(&database.store, 0, &context).await;
        // The run before this one may have done everything before this one began.
        process.address().await;
        assert!(process.stop().await.success(), "{context}: the last run ended badly");
        chain.assert_true(&database.store, 0, &context).await;
        let facts = outbox::fact_ids(&database.store, chain.id()).await;
        outbox::assert_tells(&outbox::pending(&database.store, chain.id()).await, &facts, &context);
    }
}

/// Starts the program and kills it `times` times, each at a random moment of a life that takes `whole` undisturbed.
pub(crate) async fn kill_at_random(
    program: &Program,
    arguments: &[&str],
    whole: Duration,
    times: u32,
    dice: &mut Dice,
) {
    for _ in 0..times {
        let mut process = program.start(arguments);
        tokio::time::sleep(whole.mul_f64(dice.random_range(0.0..1.0))).await;
        if process.ended().is_none() {
            process.kill();
        }
        process.assert_no_panic();
    }
}

/// Without reorgs every fact is announced once, however often the writer died.
async fn assert_each_told_once(store: &Store, chain: &Chain, context: &str) {
    let (pending, facts) = (
        outbox::pending(store, chain.id()).await,
        outbox::fact_ids(store, chain.id()).await,
    );
    assert_eq!(pending.len(), facts.len(), "{context}: messages pending");
    outbox::assert_tells(&pending, &facts, context);
}
