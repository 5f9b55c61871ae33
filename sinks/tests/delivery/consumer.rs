//! Law 7: a consumer that applies messages by the rule of docs/MESSAGES.md ends with exactly the facts of the tables, whatever
//! becomes of the publishers and of what they had under way.

use std::collections::BTreeSet;
use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sinks::publisher::{Options, Status};
use sinks::store::Store;
use testkit::broker::{self, Consumer, Received};
use testkit::database::with_store;
use testkit::services::unique;
use testkit::wire::Wire;
use uuid::Uuid;

use crate::ledger;
use crate::publisher::{Running, options};

/// What the documented consumer holds to be true.
#[derive(Default)]
struct Standing(BTreeSet<Uuid>);

impl Standing {
    fn apply(&mut self, messages: &[Received]) {
        for message in messages {
            if message.kind == "retraction" {
                let retracted = message.body["retracts"]["id"].as_str().unwrap();
                self.0.remove(&retracted.parse().unwrap());
            } else {
                self.0.insert(message.id);
            }
        }
    }
}

async fn facts(store: &Store) -> BTreeSet<Uuid> {
    let ids: Vec<Uuid> = sqlx::query_scalar("select id from catalog_service.ownership_transfers")
        .fetch_all(&store.pool)
        .await
        .unwrap();
    ids.into_iter().collect()
}

/// A publisher called `holder` by way of `wire`, whose connection the broker gives up after `heartbeat` silent seconds or two.
fn start(store: &Store, wire: &Wire, exchange: &str, holder: &str, heartbeat: u16) -> Running {
    let options = Options {
        holder: holder.to_owned(),
        batch: 16,
        ..options(&format!("{}?heartbeat={heartbeat}", wire.url(&broker::url())), exchange)
    };
    Running::start(store, options)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_publisher_had_on_the_wire_does_not_come_after_its_retraction() {
    with_store(4, |store| async move {
        let exchange = unique("events");
        let consumer = Consumer::bind(&exchange, "#").await;
        let (wire, other) = (Wire::to(&broker::url()).await, Wire::to(&broker::url()).await);
        ledger::transfers(&store, 1, 100, 20).await;
        let mut first = start(&store, &wire, &exchange, "first", 1);
        first.until("published", |status| status.published == 20).await;
        wire.hold();
        let under_way = ledger::transfers(&store, 1, 101, 5).await;
        wire.until_held(2_000).await;
        first.task.abort();
        ledger::expire_claims(&store).await;

        ledger::undo(&store, 1, &under_way).await;
        let mut second = start(&store, &other, &exchange, "second", 1);
        second.until("taken over", |status| status.published >= 5).await;
        wire.restore();
        let last = ledger::transfers(&store, 1, 102, 1).await;
        let mut standing = Standing::default();
        standing.apply(&consumer.until(last[0]).await);
        standing.apply(&consumer.drain().await);
        assert_eq!(standing.0, facts(&store).await);
        second.stop().await;
        consumer.delete().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publisher_that_lost_its_claim_gives_up_its_connection_and_writes_nothing_down() {
    with_store(4, |store| async move {
        let exchange = unique("events");
        let consumer = Consumer::bind(&exchange, "#").await;
        let (wire, other) = (Wire::to(&broker::url()).await, Wire::to(&broker::url()).await);
        ledger::transfers(&store, 1, 100, 20).await;
        let mut first = start(&store, &wire, &exchange, "first", 60);
        first.until("published", |status| status.published == 20).await;
        // The broker has the messages, its confirms do not come back: the first is at work, and its claim is taken from it.
        wire.deafen();
        let under_way = ledger::transfers(&store, 1, 101, 5).await;
        let mut second = start(&store, &other, &exchange, "second", 1);
        ledger::claimed_by(&store, "second").await;
        let gave_up = |status: &Status| {
            status
                .trouble()
                .is_some_and(|cause| cause.contains("took eip155:1 over"))
        };
        first.until("given up", gave_up).await;
        ledger::undo(&store, 1, &under_way).await;
        second.until("taken over", |status| status.published >= 5).await;
        wire.restore();
        let last = ledger::transfers(&store, 1, 102, 1).await;
        let mut standing = Standing::default();
        standing.apply(&consumer.until(last[0]).await);
        standing.apply(&consumer.drain().await);
        assert_eq!(standing.0, facts(&store).await);
        while ledger::pending(&store).await > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let statuses = [first.status.clone(), second.status.clone()];
        first.stop().await;
        second.stop().await;
        // The first may have had the chain again by then.
        let by_each: u64 = statuses.iter().map(|status| status.borrow().published).sum();
        let counted = ledger::cursor(&store).await.1;
        assert_eq!(counted, by_each.cast_signed(), "what the first sent late was counted");
        consumer.delete().await;
    })
    .await;
}

/// What happens to a chain and its two publishers.
struct Schedule {
    store: Store,
    exchange: String,
    dice: ChaCha8Rng,
    wires: [Wire; 2],
    /// Wires that still hold what a killed publisher sent.
    left: Vec<Wire>,
    running: [Option<Running>; 2],
    /// Blocks that stand, lowest first, and the number of facts in each.
    chain: Vec<(u64, usize)>,
    /// Blocks that were undone and may come again.
    abandoned: Vec<(u64, usize)>,
    lives: usize,
}

impl Schedule {
    async fn step(&mut self) {
        let one = self.dice.random_range(0..2);
        match self.dice.random_range(0..12) {
            0..4 => {
                let block = (
                    100 + self.chain.len() as u64 + 50 * self.dice.random_range(0..20),
                    self.dice.random_range(1..30),
                );
                self.extend(block).await;
            }
            4..6 => {
                for _ in 0..self.dice.random_range(1..4) {
                    let Some((number, count)) = self.chain.pop() else { break };
                    ledger::undo(&self.store, 1, &ledger::ids(1, number, count)).await;
                    self.abandoned.push((number, count));
                }
            }
            6 => {
                if let Some(block) = self.abandoned.pop() {
                    self.extend(block).await;
                }
            }
            7 => self.wires[one].hold(),
            8 => self.wires[one].mute(),
            9 => self.wires[one].restore(),
            10 => {
                self.wires[one].cut();
                tokio::time::sleep(Duration::from_millis(20)).await;
                self.wires[one].restore();
            }
            _ => {
                self.kill(one).await;
                ledger::expire_claims(&self.store).await;
                self.start(one);
            }
        }
        tokio::time::sleep(Duration::from_millis(self.dice.random_range(0..150))).await;
    }

    async fn extend(&mut self, block: (u64, usize)) {
        if self.chain.iter().all(|(number, _)| *number != block.0) {
            ledger::transfers(&self.store, 1, block.0, block.1).await;
            self.chain.push(block);
        }
    }

    /// A process that is killed closes its socket; what a wire holds back is on its way all the same.
    async fn kill(&mut self, one: usize) {
        let Some(running) = self.running[one].take() else {
            return;
        };
        running.task.abort();
        let wire = std::mem::replace(&mut self.wires[one], Wire::to(&broker::url()).await);
        if wire.holds() {
            self.left.push(wire);
        } else {
            wire.cut();
        }
    }

    fn start(&mut self, one: usize) {
        self.lives += 1;
        let holder = format!("life {}", self.lives);
        self.running[one] = Some(start(&self.store, &self.wires[one], &self.exchange, &holder, 1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn law_7_the_documented_consumer_ends_with_the_facts_of_the_tables() {
    for seed in 0..3 {
        with_store(4, move |store| async move {
            let exchange = unique("events");
            let consumer = Consumer::bind(&exchange, "#").await;
            let mut schedule = Schedule {
                store: store.clone(),
                exchange,
                dice: ChaCha8Rng::seed_from_u64(seed),
                wires: [Wire::to(&broker::url()).await, Wire::to(&broker::url()).await],
                left: Vec::new(),
                running: [None, None],
                chain: Vec::new(),
                abandoned: Vec::new(),
                lives: 0,
            };
            schedule.start(0);
            schedule.start(1);
            for _ in 0..60 {
                schedule.step().await;
            }
            schedule.wires.iter().chain(&schedule.left).for_each(Wire::restore);
            while ledger::pending(&store).await > 0 {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            let last = ledger::transfers(&store, 1, 9_000, 1).await;
            let mut standing = Standing::default();
            standing.apply(&consumer.until(last[0]).await);
            standing.apply(&consumer.drain().await);
            assert_eq!(standing.0, facts(&store).await, "seed {seed}");
            schedule.kill(0).await;
            schedule.kill(1).await;
            consumer.delete().await;
        })
        .await;
    }
}
