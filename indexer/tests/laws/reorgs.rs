//! Law 2: rewind ∘ apply = nothing; any reorg schedule ends equal to a clean index of the canonical chain.

use std::sync::Arc;
use std::time::Duration;

use decoders::block::{BlockRef, ChainId};
use rand::RngExt;
use sinks::commit::{self, Move};
use sinks::digest::digest;
use sinks::progress::checkpoint;
use sinks::progress::lease::{self, Lease};
use sinks::store::Store;
use testchain::ledger::{Finality, Ledger};
use testchain::simulation::{Answers, Settings, Simulation, Step, schedule};
use testkit::database::Database;
use testkit::mongo::MongoDatabase;
use testkit::outbox;
use testkit::patience::eventually;
use testkit::tables::Tables;

use crate::harness::chain::{Chain, clean_digest};
use crate::harness::daemon::Running;
use crate::harness::program::{Program, Setup};
use crate::harness::{dice, seeds, spans, traffic};

/// How far below the head the finalized block lies: reorgs of the schedules go deeper.
const FINALIZED_DEPTH: u64 = 8;
/// Blocks a reorg drops at most.
const DEEPEST: u64 = 24;

#[tokio::test(flavor = "multi_thread")]
async fn law_2_rewinding_takes_back_exactly_what_applying_did_at_every_depth() {
    let reference = Database::new().await;
    for seed in seeds(&[21, 22]) {
        let mut dice = dice(seed);
        let mut simulation = Simulation::new(traffic(seed));
        let ledger = Ledger::new(
            simulation.settings().chain_id,
            simulation.blocks(50),
            Finality::default(),
        );
        let head = Head::stand(&ledger, simulation.answers(), dice.random_range(0..50)).await;
        for branch in 1..=3 {
            head.advance(&ledger).await;
            let height = simulation.height().unwrap();
            let depth = [1, dice.random_range(1..=height), height][(branch - 1) as usize];
            let context = format!("seed {seed}, {depth} of {height} blocks rewound");
            head.rewind(&ledger, height - depth).await;
            assert_eq!(
                digest(head.store(), head.chain).await.unwrap(),
                clean_digest(&reference, &ledger, &simulation.answers(), 0..=height - depth).await,
                "{context}"
            );
            simulation.play(
                Step::Reorg {
                    depth,
                    blocks: dice.random_range(1..=depth + 2),
                    branch,
                },
                &ledger,
            );
        }
        head.advance(&ledger).await;
        let context = format!("seed {seed}, at the end");
        let height = simulation.height().unwrap();
        Tables::read(head.store(), head.chain)
            .await
            .assert_equals(&Tables::of(simulation.books(), height), &context);
        assert_eq!(
            digest(head.store(), head.chain).await.unwrap(),
            clean_digest(&reference, &ledger, &simulation.answers(), 0..=height).await,
            "{context}"
        );
        head.assert_published(&context).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn law_2_a_follower_ends_at_the_canonical_chain_after_any_schedule_of_reorgs() {
    for seed in seeds(&[31, 32, 33]) {
        let mut dice = dice(seed);
        let mut chain = Chain::start(traffic(seed), dice.random_range(1..60), FINALIZED_DEPTH).await;
        let (database, mongo) = (Database::new().await, MongoDatabase::new());
        let setup = Setup::new(&database, chain.id(), &[chain.server.http_url()]);
        let program = Program::new(&if seed % 2 == 0 {
            setup
        } else {
            setup.archived_in(&mongo)
        });
        let mut daemon = Running::start(&program, None).await;
        for step in schedule(seed, 14, DEEPEST) {
            chain.play(step);
            match dice.random_range(0..4) {
                0 => {}
                1 => at_head(&database.store, &chain, &format!("seed {seed}, after {step:?}")).await,
                // A moment, so that the next step comes while this one is being taken.
                2 => tokio::time::sleep(Duration::from_millis(dice.random_range(1..300))).await,
                _ => {
                    daemon.stop().await;
                    daemon = Running::start(&program, None).await;
                }
            }
        }
        let context = format!("seed {seed}, after its schedule of reorgs");
        chain.indexed(&database.store, 0, &context).await;
        daemon.stop().await;
        chain.assert_true(&database.store, 0, &context).await;
        let facts = outbox::fact_ids(&database.store, chain.id()).await;
        outbox::assert_tells(&outbox::pending(&database.store, chain.id()).await, &facts, &context);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn law_2_a_chain_that_is_replaced_down_to_its_first_block_is_followed_all_the_same() {
    let mut chain = Chain::start(Settings::small(41), 40, FINALIZED_DEPTH).await;
    let database = Database::new().await;
    let daemon = Running::start(
        &Program::new(&Setup::new(&database, chain.id(), &[chain.server.http_url()])),
        None,
    )
    .await;
    chain.indexed(&database.store, 0, "before the reorg").await;
    chain.play(Step::Reorg {
        depth: 39,
        blocks: 45,
        branch: 1,
    });
    chain.indexed(&database.store, 0, "after the reorg").await;
    daemon.stop().await;
    chain
        .assert_true(&database.store, 0, "replaced down to its first block")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn law_2_a_reorg_below_the_first_block_wanted_is_followed_all_the_same() {
    let mut chain = Chain::start(Settings::small(42), 60, FINALIZED_DEPTH).await;
    let (start, database) = (30, Database::new().await);
    let setup = Setup {
        start_block: start,
        ..Setup::new(&database, chain.id(), &[chain.server.http_url()])
    };
    let daemon = Running::start(&Program::new(&setup), None).await;
    chain.indexed(&database.store, start, "before the reorg").await;
    chain.play(Step::Reorg {
        depth: 45,
        blocks: 50,
        branch: 1,
    });
    chain.indexed(&database.store, start, "after the reorg").await;
    daemon.stop().await;
    assert_eq!(
        digest(&database.store, chain.id()).await.unwrap(),
        chain.clean_digest(start).await
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn law_2_a_chain_that_becomes_much_shorter_is_followed_and_an_endpoint_that_merely_lags_is_not() {
    let mut chain = Chain::start(Settings::small(43), 60, FINALIZED_DEPTH).await;
    let database = Database::new().await;
    let setup = Setup::new(&database, chain.id(), &[chain.server.http_url()]);
    let daemon = Running::start(&Program::new(&setup), None).await;
    chain.indexed(&database.store, 0, "before").await;

    chain.faults.change(|faults| faults.stale_by = 30);
    eventually("the daemon complains of a head far below its own", async || {
        let causes = daemon.health.readiness.causes();
        causes.into_values().find(|cause| cause.contains("far below"))
    })
    .await;
    chain.indexed(&database.store, 0, "while the endpoint lags").await;
    chain.faults.clear();

    chain.play(Step::Reorg {
        depth: 40,
        blocks: 8,
        branch: 1,
    });
    chain.indexed(&database.store, 0, "after the reorg").await;
    daemon.stop().await;
    chain.assert_true(&database.store, 0, "much shorter").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn law_2_a_reorg_below_blocks_that_are_just_being_backfilled_leaves_nothing_of_the_branch_left_behind() {
    for seed in seeds(&[44]) {
        let mut dice = dice(seed);
        let mut chain = Chain::start(traffic(seed), 160, FINALIZED_DEPTH).await;
        // Slow enough that spans of the branch left behind are under way when the follower rewinds.
        chain.faults.change(|faults| {
            faults.latency = Duration::from_millis(30);
            faults.jitter = Duration::from_millis(60);
            faults.limits.block_range = Some(1);
        });
        let database = Database::new().await;
        let setup = Setup::new(&database, chain.id(), &[chain.server.http_url()]);
        let program = Program::new(&setup);
        let daemon = Running::start(&program, None).await;
        // The follower stands at the finalized block, and what lies below is a gap.
        eventually("the follower stands", async || {
            checkpoint::read(&database.store, chain.id()).await.unwrap()
        })
        .await;
        tokio::time::sleep(Duration::from_millis(dice.random_range(100..700))).await;
        let depth = dice.random_range(40..120);
        chain.play(Step::Reorg {
            depth,
            blocks: depth + 2,
            branch: 1,
        });
        let context = format!("seed {seed}, a reorg below blocks being backfilled");
        chain.indexed(&database.store, 0, &context).await;
        // A span that another writer was faster with is tried again; stopped before that, it would keep its part of the archive.
        eventually("no write is under way", async || {
            let begun: i64 = sqlx::query_scalar("select count(*) from indexer_service.archive_intents")
                .fetch_one(&database.store.pool)
                .await
                .unwrap();
            (begun == 0).then_some(())
        })
        .await;
        daemon.stop().await;
        chain.assert_true(&database.store, 0, &context).await;
        let (name, last) = (chain.id().to_string(), chain.head().number.to_string());
        let output = program
            .run(&["replay", "--chain", &name, "--from", "0", "--to", &last])
            .await;
        assert!(
            output.contains(" 0 new, 0 retracted"),
            "{context}: replay printed {output:?}"
        );
    }
}

/// Returns once the checkpoint is the chain's head.
async fn at_head(store: &Store, chain: &Chain, context: &str) {
    let head = chain.head();
    eventually(&format!("{context}: the checkpoint is at {head}"), async || {
        let stored = checkpoint::read(store, chain.id()).await.unwrap();
        stored.filter(|stored| stored.block == head)
    })
    .await;
}

/// The head of a chain, moved by hand.
struct Head {
    database: Database,
    chain: ChainId,
    lease: Lease,
    answers: Arc<Answers>,
}

impl Head {
    /// Takes the blocks below `number` as backfill, and stands at it.
    async fn stand(ledger: &Ledger, answers: Arc<Answers>, number: u64) -> Head {
        let (database, chain) = (Database::new().await, ChainId(ledger.chain_id()));
        let lease = lease::acquire(&database.store, chain, "head", Duration::from_secs(600))
            .await
            .unwrap()
            .unwrap();
        let head = Head {
            database,
            chain,
            lease,
            answers,
        };
        if number > 0 {
            head.apply(ledger, 0, number - 1, Move::Backfill { branch: 0 }).await;
        }
        head.apply(
            ledger,
            number,
            number,
            Move::Head {
                from: None,
                lease: &head.lease,
            },
        )
        .await;
        head
    }

    fn store(&self) -> &Store {
        &self.database.store
    }

    async fn apply(&self, ledger: &Ledger, from: u64, to: u64, step: Move<'_>) {
        let blocks = ledger.range(from, to);
        let blocks: Vec<_> = blocks.iter().map(AsRef::as_ref).collect();
        let facts = spans::facts(self.chain, &blocks, &self.answers);
        commit::apply(self.store(), &facts, step).await.unwrap();
    }

    async fn at(&self) -> BlockRef {
        checkpoint::read(self.store(), self.chain).await.unwrap().unwrap().block
    }

    /// Takes every block above the checkpoint, in spans of one to five.
    async fn advance(&self, ledger: &Ledger) {
        let last = ledger.head().unwrap().number;
        loop {
            let from = self.at().await;
            if from.number >= last {
                return;
            }
            let to = last.min(from.number + 1 + from.number % 5);
            self.apply(
                ledger,
                from.number + 1,
                to,
                Move::Head {
                    from: Some(from),
                    lease: &self.lease,
                },
            )
            .await;
        }
    }

    async fn rewind(&self, ledger: &Ledger, ancestor: u64) {
        let block = ledger.by_number(ancestor).unwrap();
        let ancestor = BlockRef {
            number: block.number,
            hash: block.hash,
        };
        commit::rewind(self.store(), self.chain, self.at().await, ancestor, &self.lease)
            .await
            .unwrap();
    }

    async fn assert_published(&self, context: &str) {
        let facts = outbox::fact_ids(self.store(), self.chain).await;
        outbox::assert_tells(&outbox::pending(self.store(), self.chain).await, &facts, context);
    }
}
