//! The laws of docs/ARCHITECTURE.md over random facts: any order, any split, any repeats; rewind undoes apply; any schedule of
//! reorganisations ends as a clean index. Each schedule is a seed, so that a failure names what to run again.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::time::Duration;

use crate::reference_model::Books;
use crate::trade::seed_currencies;
use crate::world::{CHAIN, SOURCES, World, wanted};
use alloy_primitives::U256;
use decoders::block::BlockRef;
use decoders::fact::{ClosingReason, Facts};
use decoders::failure::Class;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sinks::commit::{Move, apply, replace, rewind};
use sinks::digest::{TableDigest, digest, tables};
use sinks::error::SinkError;
use sinks::facts::statements;
use sinks::progress::basis::Basis;
use sinks::progress::lease::{Lease, acquire, release};
use sinks::progress::{checkpoint, coverage};
use sinks::store::Store;
use sqlx::AssertSqlSafe;
use testkit::database::with_store;

const TTL: Duration = Duration::from_secs(600);

/// How many schedules each law is tried on; `LAW_SEEDS=200` for a long night.
pub(crate) fn seeds() -> u64 {
    std::env::var("LAW_SEEDS").map_or(10, |seeds| seeds.parse().unwrap())
}

pub(crate) async fn clear(store: &Store) {
    // Deleting beats truncating for the few rows a world has. Backwards: the list names a table before those that refer to it.
    let mut computed: Vec<String> = tables().map(|table| format!("delete from {table}; ")).collect();
    computed.reverse();
    let computed = computed.concat();
    let others = "delete from indexer_service.indexer_checkpoints;
         delete from indexer_service.coverage_members; update indexer_service.coverage_editions set edition = edition + 1;
         delete from indexer_service.indexer_blocks; delete from indexer_service.indexer_seams;
         delete from indexer_service.archive_intents; delete from indexer_service.chain_leases;
         delete from indexer_service.outbox";
    sqlx::raw_sql(AssertSqlSafe(computed + others))
        .execute(&store.pool)
        .await
        .unwrap();
}

/// The tables after a clean index of the whole world, checked against its books.
async fn clean(store: &Store, world: &World) -> Vec<TableDigest> {
    clear(store).await;
    seed_currencies(store).await;
    let facts = world.facts(0..=world.height());
    apply(store, &facts, Move::Backfill { branch: 0 }).await.unwrap();
    assert_eq!(Books::read(store).await, Books::of(&facts), "seed {}", world.seed);
    let digests = digest(store, CHAIN).await.unwrap();
    clear(store).await;
    digests
}

/// Cuts `0..=height` into ranges of random lengths, some of which overlap the one before.
pub(crate) fn cuts(rng: &mut ChaCha8Rng, height: u64) -> Vec<RangeInclusive<u64>> {
    let mut ranges = Vec::new();
    let mut low = 0;
    while low <= height {
        let high = (low + rng.random_range(0..6)).min(height);
        ranges.push(low.saturating_sub(rng.random_range(0..3))..=high);
        low = high + 1;
    }
    ranges
}

#[tokio::test(flavor = "multi_thread")]
async fn any_order_any_split_any_repeats_end_alike() {
    with_store(1, |store| async move {
        for seed in 0..seeds() {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let world = World::new(seed, rng.random_range(1..40));
            let expected = clean(&store, &world).await;
            let mut ranges = cuts(&mut rng, world.height());
            ranges.extend(cuts(&mut rng, world.height()));
            ranges.shuffle(&mut rng);
            let (mut written, mut skipped) = (0, 0);
            for range in ranges {
                let applied = apply(&store, &world.facts(range), Move::Backfill { branch: 0 })
                    .await
                    .unwrap();
                written += applied.facts.total();
                skipped += applied.skipped;
            }
            assert_eq!(digest(&store, CHAIN).await.unwrap(), expected, "seed {seed}");
            let of_facts: BTreeSet<&str> = statements().map(|(table, _)| table).collect();
            let facts = expected.iter().filter(|table| of_facts.contains(table.table));
            assert_eq!(written, facts.map(|table| table.rows).sum::<u64>(), "seed {seed}");
            assert!(skipped >= written, "seed {seed}: everything was applied at least twice");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn decoders_may_cover_a_range_one_after_the_other() {
    with_store(1, |store| async move {
        for seed in 0..seeds() {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let world = World::new(seed, 25);
            let expected = clean(&store, &world).await;
            let mut steps: Vec<(RangeInclusive<u64>, Vec<&'static str>)> = Vec::new();
            for source in SOURCES {
                steps.extend(cuts(&mut rng, 24).into_iter().map(|range| (range, vec![source])));
            }
            steps.extend(cuts(&mut rng, 24).into_iter().map(|range| (range, SOURCES.to_vec())));
            steps.shuffle(&mut rng);
            for (range, sources) in steps {
                apply(&store, &world.facts_of(range, &sources), Move::Backfill { branch: 0 })
                    .await
                    .unwrap();
            }
            assert_eq!(digest(&store, CHAIN).await.unwrap(), expected, "seed {seed}");
            assert!(
                coverage::missing(&store, CHAIN, &wanted(&SOURCES), 0..=24)
                    .await
                    .unwrap()
                    .is_empty()
            );
        }
    })
    .await;
}

/// A follower: applies the world's blocks above its checkpoint in random steps, and rewinds to where the world still agrees.
pub(crate) struct Follower {
    lease: Lease,
    at: Option<BlockRef>,
}

impl Follower {
    pub(crate) async fn start(store: &Store) -> Self {
        Follower {
            lease: acquire(store, CHAIN, "test", TTL).await.unwrap().unwrap(),
            at: None,
        }
    }

    pub(crate) async fn follow(&mut self, store: &Store, world: &World, rng: &mut ChaCha8Rng) {
        if let Some(at) = self.at {
            let common = at.number.min(world.height());
            let mut ancestor = common;
            let kept = checkpoint::kept(store, CHAIN).await.unwrap();
            while kept.iter().find(|block| block.number == ancestor).unwrap().hash != world.block(ancestor).hash {
                ancestor -= 1;
            }
            if ancestor < at.number {
                let ancestor = world.block(ancestor);
                rewind_patiently(store, at, ancestor, &self.lease).await;
                self.at = Some(ancestor);
            }
        }
        loop {
            let low = self.at.map_or(0, |at| at.number + 1);
            if low > world.height() {
                return;
            }
            let high = (low + rng.random_range(0..4)).min(world.height());
            let step = Move::Head {
                from: self.at,
                lease: &self.lease,
            };
            apply(store, &world.facts(low..=high), step).await.unwrap();
            self.at = Some(world.block(high));
        }
    }
}

async fn rewind_patiently(store: &Store, from: BlockRef, ancestor: BlockRef, lease: &Lease) {
    while let Err(error) = rewind(store, CHAIN, from, ancestor, lease).await {
        assert_eq!(error.class(), Class::Transient, "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn any_schedule_of_reorgs_ends_as_a_clean_index() {
    with_store(1, |store| async move {
        for seed in 0..seeds() {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let mut world = World::new(seed, rng.random_range(3..15));
            let mut follower = Follower::start(&store).await;
            for branch in 1..6 {
                follower.follow(&store, &world, &mut rng).await;
                let depth = rng.random_range(0..world.height()) as usize;
                world.reorg(depth, rng.random_range(0..8), branch);
            }
            follower.follow(&store, &world, &mut rng).await;
            let followed = digest(&store, CHAIN).await.unwrap();
            assert_eq!(followed, clean(&store, &world).await, "seed {seed}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rewind_leaves_what_stood_before_and_retracts_each_fact_once() {
    with_store(1, |store| async move {
        seed_currencies(&store).await;
        for seed in 0..seeds() {
            clear(&store).await;
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let world = World::new(seed, 30);
            let base = rng.random_range(1..29);
            let lease = acquire(&store, CHAIN, "test", TTL).await.unwrap().unwrap();
            let from = Move::Head {
                from: None,
                lease: &lease,
            };
            apply(&store, &world.facts(0..=base), from).await.unwrap();
            let before = digest(&store, CHAIN).await.unwrap();
            let standing = world.block(base);
            let above = world.facts(base + 1..=29);
            apply(
                &store,
                &above,
                Move::Head {
                    from: Some(standing),
                    lease: &lease,
                },
            )
            .await
            .unwrap();
            let undone = rewind(&store, CHAIN, world.block(29), standing, &lease).await.unwrap();

            assert_eq!(digest(&store, CHAIN).await.unwrap(), before, "seed {seed}");
            assert_eq!(undone, above.counts());
            assert_eq!(checkpoint::read(&store, CHAIN).await.unwrap().unwrap().block, standing);
            assert_eq!(checkpoint::kept(&store, CHAIN).await.unwrap()[0].block_ref(), standing);
            let zero: i64 = sqlx::query_scalar(
                "select (select count(*) from catalog_service.collection_counters where transfers + mints + burns = 0)
                      + (select count(*) from catalog_service.collection_sales where sales = 0)
                      + (select count(*) from catalog_service.token_sales where sales = 0)",
            )
            .fetch_one(&store.pool)
            .await
            .unwrap();
            assert_eq!(zero, 0, "seed {seed}");
            let retracted: Vec<uuid::Uuid> = sqlx::query_scalar(
                "select fact_id from indexer_service.outbox where kind = 'retraction' order by seq desc",
            )
            .fetch_all(&store.pool)
            .await
            .unwrap();
            let expected: Vec<uuid::Uuid> = world.ids(&above).into_iter().map(decoders::id::retraction_of).collect();
            assert_eq!(retracted, expected, "seed {seed}");

            // And down to where nothing was.
            rewind(&store, CHAIN, standing, world.block(0), &lease).await.unwrap();
            let only = world.facts(0..=0);
            assert_eq!(Books::read(&store).await, Books::of(&only), "seed {seed}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn replacing_a_range_ends_as_if_it_had_been_applied_so() {
    with_store(1, |store| async move {
        for seed in 0..seeds() {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let world = World::new(seed, 20);
            let (low, high) = (rng.random_range(0..10), rng.random_range(10..20));
            // Other decoders: some facts vanish, some are decoded differently.
            let mut stated = world.facts(0..=19);
            stated
                .transfers
                .retain(|fact| !(low..=high).contains(&fact.block_number) || !fact.log_index.is_multiple_of(3));
            stated
                .sales
                .retain(|fact| !(low..=high).contains(&fact.block_number) || !fact.log_index.is_multiple_of(3));
            let (within, nine) = (|number| (low..=high).contains(&number), alloy_primitives::U256::from(9));
            for fact in stated.transfers.iter_mut().filter(|fact| within(fact.block_number)) {
                if fact.log_index.is_multiple_of(4) {
                    fact.token = nine;
                }
            }
            for fact in stated.sales.iter_mut().filter(|fact| within(fact.block_number)) {
                if fact.log_index.is_multiple_of(4) {
                    fact.price = Some(nine);
                    fact.fees.clear();
                }
            }
            retell_orders(&mut stated, within);
            clear(&store).await;
            apply(&store, &stated, Move::Backfill { branch: 0 }).await.unwrap();
            let expected = digest(&store, CHAIN).await.unwrap();

            clear(&store).await;
            for range in cuts(&mut rng, 19) {
                apply(&store, &world.facts(range), Move::Backfill { branch: 0 })
                    .await
                    .unwrap();
            }
            let mut span = world.facts(low..=high);
            span.transfers = stated
                .transfers
                .iter()
                .filter(|fact| within(fact.block_number))
                .cloned()
                .collect();
            span.sales = stated
                .sales
                .iter()
                .filter(|fact| within(fact.block_number))
                .cloned()
                .collect();
            span.orders = stated.orders.clone();
            span.orders.retain(|fact| within(fact.block_number));
            span.closings = stated.closings.clone();
            span.closings.retain(|fact| within(fact.block_number));
            let basis = Basis::read(&store, CHAIN, low..=high, None).await.unwrap();
            replace(&store, &span, &basis).await.unwrap();
            assert_eq!(digest(&store, CHAIN).await.unwrap(), expected, "seed {seed}");
            let again = replace(&store, &span, &basis).await.unwrap();
            assert_eq!((again.retracted, again.announced), (0, 0), "seed {seed}");

            // A range never covered stays a gap.
            clear(&store).await;
            let empty = digest(&store, CHAIN).await.unwrap();
            let basis = Basis::read(&store, CHAIN, stated.range.clone(), None).await.unwrap();
            replace(&store, &stated, &basis).await.unwrap();
            assert_eq!(digest(&store, CHAIN).await.unwrap(), empty, "seed {seed}");
        }
    })
    .await;
}

/// As other decoders might decode the orders of some blocks, and their ends.
fn retell_orders(stated: &mut Facts, within: impl Fn(u64) -> bool) {
    stated
        .orders
        .retain(|fact| !within(fact.block_number) || !fact.log_index.is_multiple_of(3));
    stated
        .closings
        .retain(|fact| !within(fact.block_number) || !fact.log_index.is_multiple_of(5));
    for fact in stated.orders.iter_mut().filter(|fact| within(fact.block_number)) {
        if fact.log_index.is_multiple_of(4) {
            (fact.quantity, fact.nonce) = (U256::from(2), None);
        }
    }
    for fact in stated.closings.iter_mut().filter(|fact| within(fact.block_number)) {
        if fact.log_index.is_multiple_of(4) {
            (fact.reason, fact.quantity) = (ClosingReason::Invalidated, None);
        }
    }
}

async fn apply_patiently(store: &Store, world: &World, range: RangeInclusive<u64>) -> u32 {
    let facts = world.facts(range);
    for retries in 0.. {
        let branch = checkpoint::branch(store, CHAIN).await.unwrap();
        match apply(store, &facts, Move::Backfill { branch }).await {
            Ok(_) => return retries,
            Err(error) => assert_eq!(error.class(), Class::Transient, "{error}"),
        }
    }
    unreachable!()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn writers_on_overlapping_ranges_end_as_one() {
    with_store(4, |store| async move {
        for seed in 0..seeds() {
            let world = World::new(seed, 60);
            let expected = clean(&store, &world).await;
            let workers = (0..4).map(|worker| {
                let (store, world) = (store.clone(), world.clone());
                tokio::spawn(async move {
                    let mut rng = ChaCha8Rng::seed_from_u64(seed * 10 + worker);
                    let mut ranges = cuts(&mut rng, 59);
                    ranges.shuffle(&mut rng);
                    let mut retries = 0;
                    for range in ranges {
                        retries += apply_patiently(&store, &world, range).await;
                    }
                    retries
                })
            });
            futures::future::join_all(workers).await.into_iter().for_each(|worker| {
                worker.unwrap();
            });
            assert_eq!(digest(&store, CHAIN).await.unwrap(), expected, "seed {seed}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_head_that_reorgs_over_a_running_backfill_ends_as_a_clean_index() {
    with_store(4, |store| async move {
        for seed in 0..seeds() {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let mut world = World::new(seed, 50);
            let mut follower = Follower::start(&store).await;
            follower.at = None;
            // The head starts at block 30; below it, workers fill the past, which shares every token with it.
            let workers = (0..3).map(|worker| {
                let (store, world) = (store.clone(), world.clone());
                tokio::spawn(async move {
                    let mut rng = ChaCha8Rng::seed_from_u64(seed * 10 + worker);
                    let mut ranges = cuts(&mut rng, 29);
                    ranges.shuffle(&mut rng);
                    for range in ranges {
                        apply_patiently(&store, &world, range).await;
                    }
                })
            });
            let workers: Vec<_> = workers.collect();
            let mut at: Option<BlockRef> = None;
            for branch in 1..6 {
                let low = at.map_or(30, |at| at.number + 1);
                head(&store, &world, low, at, &follower.lease).await;
                let depth = rng.random_range(1..(world.height() - 30)) as usize;
                let top = world.block(world.height());
                world.reorg(depth, rng.random_range(2..12), branch);
                let ancestor = top.number - depth as u64;
                rewind_patiently(&store, top, world.block(ancestor), &follower.lease).await;
                at = Some(world.block(ancestor));
            }
            head(&store, &world, at.unwrap().number + 1, at, &follower.lease).await;
            for worker in workers {
                worker.await.unwrap();
            }
            let followed = digest(&store, CHAIN).await.unwrap();
            release(&store, &follower.lease).await.unwrap();
            assert_eq!(followed, clean(&store, &world).await, "seed {seed}");
        }
    })
    .await;
}

async fn head(store: &Store, world: &World, low: u64, from: Option<BlockRef>, lease: &Lease) {
    let facts = world.facts(low..=world.height());
    loop {
        match apply(store, &facts, Move::Head { from, lease }).await {
            Ok(_) => return,
            Err(SinkError::Inconsistent { reason, .. }) => unreachable!("{reason}"),
            Err(error) => assert_eq!(error.class(), Class::Transient, "{error}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fact_that_no_source_is_covered_for_ends_a_commit_and_is_not_tried_for_ever() {
    with_store(1, |store| async move {
        let world = World::new(1, 20);
        let facts = world.facts(0..=19);
        let branch = checkpoint::branch(&store, CHAIN).await.unwrap();
        apply(&store, &facts, Move::Backfill { branch }).await.unwrap();
        sqlx::raw_sql("delete from indexer_service.indexer_coverage")
            .execute(&store.pool)
            .await
            .unwrap();
        let refused = apply(&store, &facts, Move::Backfill { branch }).await.unwrap_err();
        assert_eq!(refused.class(), Class::Fatal, "{refused}");
        assert!(
            refused.to_string().contains("no source in this scope is covered for"),
            "{refused}"
        );
    })
    .await;
}
