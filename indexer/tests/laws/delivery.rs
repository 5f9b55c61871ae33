//! Law 3 at the broker: the publisher killed in the middle loses no message, repeats have the same id, and what is sent first is
//! sent in order.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use decoders::id::block_number_of;
use rand::RngExt;
use sinks::store::Store;
use testchain::simulation::Step;
use testkit::broker::{Consumer, Received, url};
use testkit::database::Database;
use testkit::outbox;
use testkit::patience::eventually;
use testkit::services::unique;
use uuid::Uuid;

use crate::harness::chain::Chain;
use crate::harness::program::{Program, Setup};
use crate::harness::{dice, traffic};

/// Blocks between head and finalized block.
const FINALIZED_DEPTH: u64 = 8;

#[tokio::test(flavor = "multi_thread")]
async fn law_3_a_publisher_killed_in_the_middle_tells_everything_in_order_and_repeats_only_known_ids() {
    let seed = 81;
    let mut dice = dice(seed);
    let mut chain = Chain::start(traffic(seed), 260, FINALIZED_DEPTH).await;
    let (database, exchange) = (Database::new().await, unique("laws"));
    let setup = Setup::new(&database, chain.id(), &[chain.server.http_url()]);
    // The follower stands at the head before the first reorg, so that no gap is filled beside it.
    let (name, until) = (chain.id().to_string(), chain.head().number.to_string());
    Program::new(&setup)
        .run(&["run", "--chain", &name, "--until", &until])
        .await;
    let backlog: Vec<Uuid> = outbox::pending(&database.store, chain.id())
        .await
        .iter()
        .map(|message| message.id)
        .collect();

    let consumer = Consumer::bind(&exchange, "#").await;
    let program = Program::new(&Setup {
        broker: Some((url(), exchange)),
        ..setup
    });
    for branch in 1..=5 {
        let mut process = program.start(&["run"]);
        let before = paid(&database.store).await;
        eventually("the publisher publishes", async || {
            (paid(&database.store).await > before).then_some(())
        })
        .await;
        tokio::time::sleep(Duration::from_millis(dice.random_range(0..60))).await;
        process.kill();
        process.assert_no_panic();
        chain.play(Step::Reorg {
            depth: dice.random_range(1..4),
            blocks: 6,
            branch,
        });
    }
    let mut process = program.start(&["run"]);
    chain.indexed(&database.store, 0, "after the last kill").await;
    eventually("everything pending is published", async || {
        (unpaid(&database.store).await == 0).then_some(())
    })
    .await;
    assert!(process.stop().await.success());

    let received = consumer.drain().await;
    consumer.delete().await;
    let context = format!(
        "seed {seed}, {} messages of which {} are repeats",
        received.len(),
        repeats(&received)
    );
    assert_repeats_are_equal(&received, &context);
    let first = first_deliveries(&received);
    let in_backlog: BTreeSet<Uuid> = backlog.iter().copied().collect();
    let stated: Vec<Uuid> = first
        .iter()
        .map(|message| message.id)
        .filter(|id| in_backlog.contains(id))
        .collect();
    // What a reorg undid before it was published is not sent at all.
    let kept: BTreeSet<&Uuid> = stated.iter().collect();
    let in_order = backlog.iter().filter(|id| kept.contains(id)).eq(&stated);
    assert!(in_order, "{context}: the backlog is paid in its order");
    assert_in_order(
        first.iter().filter(|message| !in_backlog.contains(&message.id)),
        &context,
    );
    assert_stands(&first, &outbox::fact_ids(&database.store, chain.id()).await, &context);
}

async fn paid(store: &Store) -> i64 {
    sqlx::query_scalar("select coalesce(sum(published), 0)::bigint from indexer_service.publisher_cursors")
        .fetch_one(&store.pool)
        .await
        .unwrap()
}

async fn unpaid(store: &Store) -> i64 {
    sqlx::query_scalar("select count(*) from indexer_service.outbox")
        .fetch_one(&store.pool)
        .await
        .unwrap()
}

fn repeats(received: &[Received]) -> usize {
    received.len() - first_deliveries(received).len()
}

fn first_deliveries(received: &[Received]) -> Vec<&Received> {
    let mut seen = BTreeSet::new();
    received.iter().filter(|message| seen.insert(message.id)).collect()
}

fn assert_repeats_are_equal(received: &[Received], context: &str) {
    let mut bodies = BTreeMap::new();
    for message in received {
        let body = bodies.entry(message.id).or_insert(&message.body);
        assert_eq!(*body, &message.body, "{context}: a repeat differs");
    }
}

/// Blocks ascend, and start over only where something was taken back.
fn assert_in_order<'a>(messages: impl Iterator<Item = &'a &'a Received>, context: &str) {
    let mut top = 0;
    for message in messages {
        let block = block_number_of(message.id);
        if message.kind == "retraction" {
            top = 0;
            continue;
        }
        assert!(block >= top, "{context}: block {block} comes after block {top}");
        top = block;
    }
}

/// What was announced and not taken back afterwards is what the tables hold.
fn assert_stands(messages: &[&Received], facts: &BTreeSet<Uuid>, context: &str) {
    let mut standing = BTreeSet::new();
    for message in messages {
        match message.body["retracts"]["id"].as_str() {
            Some(fact) => standing.remove(&fact.parse::<Uuid>().unwrap()),
            None => standing.insert(message.id),
        };
    }
    let (lost, untrue) = (facts.difference(&standing).count(), standing.difference(facts).count());
    assert!(
        lost == 0 && untrue == 0,
        "{context}: {lost} facts were not published, {untrue} published ones are not true"
    );
}
