//! Law 1: apply(any order, any split, any repeats) = apply(in order once).

use std::ops::RangeInclusive;
use std::sync::Arc;

use decoders::block::{BlockRef, ChainId};
use decoders::fact::Facts;
use decoders::failure::Class;
use futures::future::try_join_all;
use rand::RngExt;
use rand::seq::SliceRandom;
use sinks::commit::{self, Move};
use sinks::digest::digest;
use sinks::error::SinkError;
use sinks::progress::checkpoint;
use sinks::progress::lease;
use sinks::store::Store;
use std::time::Duration;
use testchain::block::Block;
use testchain::simulation::{Settings, Simulation};
use testkit::database::Database;
use testkit::outbox;
use testkit::tables::Tables;

use crate::harness::{Dice, dice, seeds, spans, traffic};

/// Blocks of the chain.
const BLOCKS: u64 = 90;
/// Spans under way at once.
const WORKERS: usize = 4;
/// Random spans, each applied twice.
const RANGES: u64 = 20;
/// Most blocks of a random span.
const LONGEST: u64 = 25;

/// A simulated chain and its blocks.
pub(crate) struct Chain {
    pub(crate) simulation: Simulation,
    pub(crate) blocks: Vec<Block>,
}

impl Chain {
    pub(crate) fn new(settings: Settings, blocks: u64) -> Chain {
        let mut simulation = Simulation::new(settings);
        let blocks = simulation.blocks(blocks);
        Chain { simulation, blocks }
    }

    pub(crate) fn id(&self) -> ChainId {
        ChainId(self.simulation.settings().chain_id)
    }

    fn facts(&self, range: &RangeInclusive<u64>) -> Facts {
        let part = &self.blocks[usize::try_from(*range.start()).unwrap()..=usize::try_from(*range.end()).unwrap()];
        spans::facts(self.id(), &part.iter().collect::<Vec<_>>(), &self.simulation.answers())
    }

    pub(crate) fn expected(&self) -> Tables {
        Tables::of(self.simulation.books(), self.blocks.last().unwrap().number)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn law_1_any_split_order_and_repetition_of_spans_ends_equal_to_applying_them_in_order_once() {
    for seed in seeds(&[1, 2, 3]) {
        let chain = Chain::new(traffic(seed), BLOCKS);
        let (reference, shuffled) = (Database::new().await, Database::new().await);
        for range in cut(&mut dice(seed), BLOCKS) {
            apply(&reference.store, &chain, &range).await.unwrap();
        }
        Tables::read(&reference.store, chain.id())
            .await
            .assert_equals(&chain.expected(), &format!("in order once, seed {seed}"));

        apply_in_disorder(&shuffled.store, &chain, &mut dice(seed + 100)).await;
        let context = format!("in disorder, seed {seed}");
        Tables::read(&shuffled.store, chain.id())
            .await
            .assert_equals(&chain.expected(), &context);
        let digests = [
            digest(&reference.store, chain.id()).await.unwrap(),
            digest(&shuffled.store, chain.id()).await.unwrap(),
        ];
        assert_eq!(digests[0], digests[1], "{context}");
        let (pending, facts) = (
            outbox::pending(&shuffled.store, chain.id()).await,
            outbox::fact_ids(&shuffled.store, chain.id()).await,
        );
        assert_eq!(pending.len(), facts.len(), "{context}: each fact is announced once");
        outbox::assert_tells(&pending, &facts, &context);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn law_1_a_head_that_moves_up_while_workers_fill_the_same_blocks_from_below_ends_the_same() {
    for seed in seeds(&[11, 12]) {
        let chain = Chain::new(traffic(seed), BLOCKS);
        let database = Database::new().await;
        let stand = BLOCKS / 2;
        let (store, below) = (&database.store, dice(seed));
        tokio::join!(
            follow(store, &chain, stand),
            apply_in_disorder_with(store, &chain, below)
        );
        let context = format!("head and workers, seed {seed}");
        Tables::read(store, chain.id())
            .await
            .assert_equals(&chain.expected(), &context);
        let in_order = Database::new().await;
        apply(&in_order.store, &chain, &(0..=BLOCKS - 1)).await.unwrap();
        assert_eq!(
            digest(store, chain.id()).await.unwrap(),
            digest(&in_order.store, chain.id()).await.unwrap(),
            "{context}"
        );
    }
}

/// Every block at least once, in random overlapping spans, twice over, by several workers at a time.
pub(crate) async fn apply_in_disorder(store: &Store, chain: &Chain, dice: &mut Dice) {
    let last = chain.blocks.len() as u64 - 1;
    let mut ranges: Vec<RangeInclusive<u64>> = (0..RANGES)
        .map(|_| {
            let start = dice.random_range(0..=last);
            start..=last.min(start + dice.random_range(0..LONGEST))
        })
        .collect();
    ranges.extend(ranges.clone());
    ranges.extend(cut(dice, chain.blocks.len() as u64));
    ranges.shuffle(dice);
    let queue = Arc::new(std::sync::Mutex::new(ranges));
    let workers = (0..WORKERS).map(|_| async {
        while let Some(range) = { queue.lock().unwrap().pop() } {
            persist(async || apply(store, chain, &range).await).await?;
        }
        Ok::<(), SinkError>(())
    });
    try_join_all(workers).await.unwrap();
}

async fn apply_in_disorder_with(store: &Store, chain: &Chain, mut dice: Dice) {
    apply_in_disorder(store, chain, &mut dice).await;
}

/// Moves the head block by block from `stand` to the end.
async fn follow(store: &Store, chain: &Chain, stand: u64) {
    let lease = lease::acquire(store, chain.id(), "head", Duration::from_secs(60))
        .await
        .unwrap()
        .unwrap();
    let mut from: Option<BlockRef> = None;
    for number in stand..chain.blocks.len() as u64 {
        let facts = chain.facts(&(number..=number));
        let step = Move::Head { from, lease: &lease };
        loop {
            match persist(async || commit::apply(store, &facts, step).await).await {
                // As the follower does: what workers wrote above the head is taken back, and the head writes it.
                Err(SinkError::CoveredAhead { .. }) => {
                    let disowned = persist(async || commit::disown(store, from, number, &lease).await).await;
                    disowned.unwrap();
                }
                applied => {
                    applied.unwrap();
                    break;
                }
            }
        }
        from = facts.blocks.last().map(|block| block.block_ref());
    }
}

async fn apply(store: &Store, chain: &Chain, range: &RangeInclusive<u64>) -> Result<(), SinkError> {
    let branch = checkpoint::branch(store, chain.id()).await?;
    commit::apply(store, &chain.facts(range), Move::Backfill { branch })
        .await
        .map(drop)
}

/// Tries again what fails for a moment, as every caller of `apply` does.
async fn persist<T>(mut attempt: impl AsyncFnMut() -> Result<T, SinkError>) -> Result<T, SinkError> {
    loop {
        match attempt().await {
            Err(error) if error.class() == Class::Transient => tokio::task::yield_now().await,
            outcome => return outcome,
        }
    }
}

/// Blocks `0..blocks` cut into spans of random length, in order.
pub(crate) fn cut(dice: &mut Dice, blocks: u64) -> Vec<RangeInclusive<u64>> {
    let mut spans = Vec::new();
    let mut next = 0;
    while next < blocks {
        let end = (blocks - 1).min(next + dice.random_range(0..LONGEST));
        spans.push(next..=end);
        next = end + 1;
    }
    spans
}
