//! Laws 1, 2, 3 and 5 once more, smaller, on the PostgreSQL inside the process: one connection, one process at a time.
//!
//! The references come from the native server, so the two are also held to hold the same.

use indexer::stores::Stores;
use sinks::digest::digest;
use sinks::store::Store;
use testchain::ledger::{Finality, Ledger};
use testchain::simulation::schedule;
use testkit::database::Database;
use testkit::outbox;
use testkit::tables::Tables;

use crate::harness::chain::{Chain, clean_digest};
use crate::harness::daemon::Running;
use crate::harness::program::{Program, Setup};
use crate::harness::{dice, traffic};
use crate::kills::kill_at_random;
use crate::order;

/// Blocks between head and finalized block.
const FINALIZED_DEPTH: u64 = 8;

#[tokio::test(flavor = "multi_thread")]
async fn law_1_any_split_order_and_repetition_ends_the_same_on_the_embedded_database() {
    let seed = 141;
    let chain = order::Chain::new(traffic(seed), 40);
    let program = Program::new(&Setup::embedded(chain.id(), &[]));
    let stores = Stores::open(&program.config()).await.unwrap();
    let store = &stores.database.store;
    order::apply_in_disorder(store, &chain, &mut dice(seed)).await;
    let context = format!("embedded, seed {seed}");
    Tables::read(store, chain.id())
        .await
        .assert_equals(&chain.expected(), &context);
    let ledger = Ledger::new(chain.id().0, chain.blocks.clone(), Finality::default());
    assert_eq!(
        digest(store, chain.id()).await.unwrap(),
        clean_digest(&Database::new().await, &ledger, &chain.simulation.answers(), 0..=39).await,
        "{context}"
    );
    stores.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn law_2_a_follower_ends_at_the_canonical_chain_on_the_embedded_database() {
    let seed = 142;
    let mut chain = Chain::start(traffic(seed), 20, FINALIZED_DEPTH).await;
    let program = Program::new(&Setup::embedded(chain.id(), &[chain.server.http_url()]));
    let mut daemon = Running::start(&program, None).await;
    for (number, step) in schedule(seed, 9, 14).into_iter().enumerate() {
        chain.play(step);
        match number % 3 {
            0 => {
                chain
                    .indexed(&daemon.store, 0, &format!("embedded, seed {seed}, after {step:?}"))
                    .await
            }
            1 => {}
            _ => {
                daemon.stop().await;
                daemon = Running::start(&program, None).await;
            }
        }
    }
    let context = format!("embedded, seed {seed}, after its schedule of reorgs");
    chain.indexed(&daemon.store, 0, &context).await;
    assert_true_and_published(&daemon.store, &chain, &context).await;
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn laws_3_and_5_a_program_killed_again_and_again_ends_equal_and_replays_equal_on_the_embedded_database() {
    let seed = 143;
    let chain = Chain::start(traffic(seed), 120, FINALIZED_DEPTH).await;
    let setup = Setup::embedded(chain.id(), &[chain.server.http_url()]);
    let (name, until) = (chain.id().to_string(), chain.head().number.to_string());
    let arguments = ["run", "--chain", &name, "--until", &until];

    let whole = Program::new(&setup).time(&arguments).await;
    let program = Program::new(&setup);
    kill_at_random(&program, &arguments, whole, 5, &mut dice(seed)).await;
    program.run(&arguments).await;
    let context = format!("embedded, seed {seed}, killed within {whole:?}");
    let stores = Stores::open(&program.config()).await.unwrap();
    assert_true_and_published(&stores.database.store, &chain, &context).await;
    stores.close().await;

    let output = program
        .run(&["replay", "--chain", &name, "--from", "0", "--to", &until])
        .await;
    assert!(
        output.contains(" 0 new, 0 retracted"),
        "{context}: replay printed {output:?}"
    );
    let stores = Stores::open(&program.config()).await.unwrap();
    assert_true_and_published(&stores.database.store, &chain, &format!("{context}, replayed")).await;
    stores.close().await;
}

async fn assert_true_and_published(store: &Store, chain: &Chain, context: &str) {
    chain.assert_true(store, 0, context).await;
    let facts = outbox::fact_ids(store, chain.id()).await;
    outbox::assert_tells(&outbox::pending(store, chain.id()).await, &facts, context);
}
