//! Contracts that advance together share rows of coverage: what is covered is the same, and a block costs the same however many
//! there are.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use alloy_primitives::{Address, U256};
use decoders::block::Proof;
use decoders::fact::Facts;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sinks::abis::{self, Finished, Segment, Timeline, Timelines};
use sinks::commit::{Move, apply, rewind};
use sinks::digest::digest;
use sinks::progress::cohorts::gather;
use sinks::progress::coverage::{self, Wanted};
use sinks::progress::lease::acquire;
use sinks::progress::members::Family;
use sinks::store::Store;
use testkit::database::with_store;
use tracing::instrument::WithSubscriber;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};
use uuid::Uuid;

use crate::laws::{clear, cuts, seeds};
use crate::world::{CHAIN, SEAPORT, WYVERN, World};

const TTL: Duration = Duration::from_secs(600);

/// Counts the statements sent to the database.
#[derive(Clone, Default)]
struct Statements(Arc<AtomicU64>);

impl Subscriber for Statements {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "sqlx::query"
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, _: &Event<'_>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// What the world states of some contracts.
fn facts_of(world: &World, range: RangeInclusive<u64>, contracts: &[Address]) -> Facts {
    let mut facts = world.facts(range);
    let of = |contract: &Address| contracts.contains(contract);
    facts.transfers.retain(|fact| of(&fact.contract));
    facts.sales.retain(|fact| of(&fact.market) || of(&fact.contract));
    facts.orders.retain(|fact| of(&fact.market));
    facts.closings.retain(|fact| of(&fact.market));
    facts.faults.retain(|fault| of(&fault.contract));
    facts.contracts = contracts.to_vec();
    facts
}

/// Every contract that states something.
fn speakers(world: &World) -> Vec<Address> {
    let facts = world.facts(0..=world.height());
    let tokens = facts.transfers.iter().map(|fact| fact.contract);
    let faulty = facts.faults.iter().map(|fault| fault.contract);
    let all: BTreeSet<Address> = tokens.chain(faulty).chain([SEAPORT, WYVERN]).collect();
    all.into_iter().collect()
}

fn numbered(count: u64) -> Vec<Address> {
    (1..=count)
        .map(|number| Address::from_word(U256::from(number).into()))
        .collect()
}

fn wanted(contracts: &[Address]) -> Vec<Wanted> {
    let wanted = |contract| Wanted {
        source: Family::Contracts.source(contract),
        from: 0,
    };
    contracts.iter().map(wanted).collect()
}

fn from_the_first(contracts: &[Address]) -> Vec<(Address, u64)> {
    contracts.iter().map(|contract| (*contract, 0)).collect()
}

async fn share(store: &Store, contracts: &[Address]) {
    gather(store, CHAIN, Family::Contracts, &from_the_first(contracts))
        .await
        .unwrap();
}

/// The rows that state what is covered.
async fn rows(store: &Store) -> i64 {
    sqlx::query_scalar("select count(*) from indexer_service.indexer_coverage where not isempty(covered)")
        .fetch_one(&store.pool)
        .await
        .unwrap()
}

/// What is covered, per source.
async fn covered(store: &Store) -> BTreeMap<String, BTreeSet<u64>> {
    let mut covered: BTreeMap<String, BTreeSet<u64>> = BTreeMap::new();
    for run in coverage::read(store, CHAIN).await.unwrap() {
        let blocks = covered.entry(run.source).or_default();
        run.range
            .for_each(|block| assert!(blocks.insert(block), "one proof per block"));
    }
    covered
}

const BACKFILL: Move<'_> = Move::Backfill { branch: 0 };

#[tokio::test]
async fn an_empty_block_costs_the_same_with_one_contract_and_with_thousands() {
    with_store(1, |store| async move {
        let world = World::new(1, 12);
        let timeline = Timeline(vec![Segment {
            from: Uuid::nil(),
            abis: vec!["one".into()],
            known: true,
        }]);
        let mut costs = Vec::new();
        for count in [1, 3_000] {
            clear(&store).await;
            sqlx::raw_sql("delete from indexer_service.abi_decodings")
                .execute(&store.pool)
                .await
                .unwrap();
            let contracts = numbered(count);
            share(&store, &contracts).await;
            for family in [Family::Logs, Family::Abi] {
                gather(&store, CHAIN, family, &from_the_first(&contracts))
                    .await
                    .unwrap();
            }
            let timelines: Timelines = contracts.iter().map(|contract| (*contract, timeline.clone())).collect();
            abis::settle(&store, CHAIN, &timelines).await.unwrap();
            let statements = Statements::default();
            let mut cost = Vec::new();
            for block in 0..=9 {
                let facts = facts_of(&world, block..=block, &contracts);
                let read: Vec<_> = contracts.iter().map(|contract| (*contract, &timeline)).collect();
                let finished = Finished {
                    facts: &facts,
                    contracts: &read,
                    branch: 0,
                    archived: true,
                    intent: None,
                };
                let block = async {
                    share(&store, &contracts).await;
                    apply(&store, &facts, BACKFILL).await.unwrap();
                    abis::settle(&store, CHAIN, &timelines).await.unwrap();
                    abis::finish(&store, &finished).await.unwrap();
                    coverage::missing(&store, CHAIN, &wanted(&contracts), 0..=block)
                        .await
                        .unwrap()
                };
                assert_eq!(block.with_subscriber(statements.clone()).await, []);
                cost.push((statements.0.swap(0, Ordering::Relaxed), rows(&store).await));
            }
            // The first block reads which contracts share.
            costs.push(cost.split_off(1));
        }
        assert!(costs[0][0].0 > 5, "statements are counted: {costs:?}");
        assert_eq!(costs[0], costs[1]);
        assert_eq!(costs[0][0].1, 3, "a row per family");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_before_are_carried_over_and_late_contracts_join_once_they_have_caught_up() {
    with_store(1, |store| async move {
        let world = World::new(9, 20);
        let contracts = speakers(&world);
        let (first, late) = contracts.split_at(2);
        // As it was: every contract its own row.
        apply(&store, &facts_of(&world, 0..=9, first), BACKFILL).await.unwrap();
        let before = covered(&store).await;
        assert_eq!((rows(&store).await, before.len()), (2, 2));
        share(&store, first).await;
        assert_eq!((rows(&store).await, covered(&store).await), (1, before));

        // Others are registered: the head is read for all, at one row more; their gap is their own.
        share(&store, &contracts).await;
        apply(&store, &facts_of(&world, 10..=19, &contracts), BACKFILL)
            .await
            .unwrap();
        assert_eq!(rows(&store).await, 2);
        assert_eq!(
            coverage::missing(&store, CHAIN, &wanted(first), 0..=19).await.unwrap(),
            []
        );
        assert_eq!(
            coverage::missing(&store, CHAIN, &wanted(late), 0..=19).await.unwrap(),
            [0..=9]
        );
        let mut gap = facts_of(&world, 0..=9, late);
        gap.proof = Proof::Chained;
        apply(&store, &gap, BACKFILL).await.unwrap();
        assert_eq!(
            coverage::missing(&store, CHAIN, &wanted(late), 0..=19).await.unwrap(),
            []
        );
        share(&store, &contracts).await;
        // One row per proof: what some were proven weaker for is recorded so for all.
        let proofs: Vec<(String, i64)> = sqlx::query_as(
            "select proof, (select sum(upper(r) - lower(r)) from unnest(covered) r)::bigint
             from indexer_service.indexer_coverage order by proof",
        )
        .fetch_all(&store.pool)
        .await
        .unwrap();
        assert_eq!(proofs, [("bloom".into(), 10), ("chained".into(), 10)]);

        // One goes, and what it was covered for stays its own; it comes back to a gap of the blocks without it.
        let (gone, rest) = contracts.split_first().unwrap();
        share(&store, rest).await;
        let more = World::new(9, 25);
        apply(&store, &facts_of(&more, 20..=24, rest), BACKFILL).await.unwrap();
        share(&store, &contracts).await;
        let missing = async |contract| {
            coverage::missing(&store, CHAIN, &wanted(&[contract]), 0..=24)
                .await
                .unwrap()
        };
        assert_eq!(missing(*gone).await, [20..=24]);
        assert_eq!(missing(rest[0]).await, []);
        apply(&store, &facts_of(&more, 18..=24, &[*gone]), BACKFILL)
            .await
            .unwrap();
        share(&store, &contracts).await;
        assert_eq!(rows(&store).await, 2);
        let stated = digest(&store, CHAIN).await.unwrap();
        clear(&store).await;
        apply(&store, &facts_of(&more, 0..=24, &contracts), BACKFILL)
            .await
            .unwrap();
        assert_eq!(digest(&store, CHAIN).await.unwrap(), stated);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn contracts_wanted_from_different_blocks_share_a_row_too() {
    with_store(1, |store| async move {
        let world = World::new(4, 30);
        let contracts = speakers(&world);
        let from: Vec<(Address, u64)> = contracts.iter().copied().zip((0..).map(|nth| nth * 3)).collect();
        gather(&store, CHAIN, Family::Contracts, &from).await.unwrap();
        // A gap is read for those that want it.
        for range in [0..=4, 5..=12, 13..=29] {
            let begun = from.iter().filter(|(_, from)| from <= range.end());
            let begun: Vec<Address> = begun.map(|(contract, _)| *contract).collect();
            apply(&store, &facts_of(&world, range, &begun), BACKFILL).await.unwrap();
        }
        assert_eq!(rows(&store).await, 1);
        let covered = covered(&store).await;
        for (contract, from) in &from {
            let blocks: BTreeSet<u64> = (*from..=29).collect();
            assert_eq!(covered[&Family::Contracts.source(contract)], blocks);
        }
        // Wanted from a lower block, one is read for the blocks below, once.
        let mut lower = from.clone();
        lower[2].1 = 0;
        gather(&store, CHAIN, Family::Contracts, &lower).await.unwrap();
        let applied = apply(&store, &facts_of(&world, 0..=29, &[lower[2].0]), BACKFILL)
            .await
            .unwrap();
        let of_all = facts_of(&world, 0..=29, &[lower[2].0]);
        let below = of_all
            .transfers
            .iter()
            .filter(|fact| fact.block_number < from[2].1)
            .count() as u64;
        assert_eq!(applied.facts.transfers, below);
    })
    .await;
}

/// At most `count` of `contracts`.
fn some(rng: &mut ChaCha8Rng, contracts: &[Address], count: usize) -> Vec<Address> {
    let mut some = contracts.to_vec();
    some.shuffle(rng);
    some.truncate(count);
    some
}

/// Registers, removes, reads at the head and below, rewinds, in any order; gives all contracts that were ever registered, which are so
/// in the end.
async fn schedule(store: &Store, rng: &mut ChaCha8Rng, world: &mut World, shared: bool) -> Vec<Address> {
    let all = speakers(world);
    let mut registered = some(rng, &all, 2);
    let lease = acquire(store, CHAIN, "here", TTL).await.unwrap().unwrap();
    let mut stands = None;
    for branch in 1..8 {
        if let Some(contract) = all.choose(rng)
            && !registered.contains(contract)
        {
            registered.push(*contract);
        } else if registered.len() > 1 {
            registered.shuffle(rng);
            registered.pop();
        }
        if shared || rng.random_bool(0.2) {
            share(store, &registered).await;
        }
        let from = stands.map_or(0, |block: u64| block + 1);
        if from <= world.height() {
            let facts = facts_of(world, from..=world.height(), &registered);
            let head = Move::Head {
                from: stands.map(|block| world.block(block)),
                lease: &lease,
            };
            apply(store, &facts, head).await.unwrap();
        }
        for range in cuts(rng, world.height()).into_iter().take(4) {
            let some = some(rng, &registered, 3);
            let now = sinks::progress::checkpoint::branch(store, CHAIN).await.unwrap();
            apply(store, &facts_of(world, range, &some), Move::Backfill { branch: now })
                .await
                .unwrap();
        }
        let height = world.height();
        let ancestor = rng.random_range(0..height);
        let (from, to) = (world.block(height), world.block(ancestor));
        rewind(store, CHAIN, from, to, &lease).await.unwrap();
        world.reorg((height - ancestor) as usize, rng.random_range(1..8), branch);
        stands = Some(ancestor);
    }
    // In the end all are registered, those of the last branch too, and every gap is filled.
    let all: BTreeSet<Address> = all.into_iter().chain(speakers(world)).collect();
    let all: Vec<Address> = all.into_iter().collect();
    for _ in 0..2 {
        share(store, &all).await;
        for contract in &all {
            let wanted = wanted(&[*contract]);
            let missing = coverage::missing(store, CHAIN, &wanted, 0..=world.height())
                .await
                .unwrap();
            let now = sinks::progress::checkpoint::branch(store, CHAIN).await.unwrap();
            for range in missing {
                let facts = facts_of(world, range, &[*contract]);
                apply(store, &facts, Move::Backfill { branch: now }).await.unwrap();
            }
        }
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_shares_with_whom_the_tables_end_alike() {
    with_store(1, |store| async move {
        for seed in 0..seeds() {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let mut world = World::new(seed, rng.random_range(5..25));
            clear(&store).await;
            let all = schedule(&store, &mut rng, &mut world, seed % 3 > 0).await;
            // What was read for some of them alone is put together when the next one comes.
            share(&store, &all[1..]).await;
            share(&store, &all).await;
            assert_eq!(rows(&store).await, 1, "seed {seed}: all have caught up");
            let stated = digest(&store, CHAIN).await.unwrap();
            clear(&store).await;
            let facts = facts_of(&world, 0..=world.height(), &all);
            apply(&store, &facts, BACKFILL).await.unwrap();
            assert_eq!(digest(&store, CHAIN).await.unwrap(), stated, "seed {seed}");
        }
    })
    .await;
}
