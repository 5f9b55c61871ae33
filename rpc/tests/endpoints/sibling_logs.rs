//! What other contracts emitted in the transactions of the contracts asked for: from receipts that are missing, altered and cut.

use std::collections::BTreeSet;
use std::sync::Arc;

use alloy_primitives::{Address, B256};
use decoders::block::{ChainId, Log, Proof};
use rpc::Filter;
use testchain::faults::{Faults, LogFaults};
use testchain::simulation::Settings;

use crate::world::{World, health, reference};

const RECEIPT: &str = "eth_getTransactionReceipt";
const LAST: u64 = 39;

/// A chain that trades, behind endpoints.
async fn world(endpoints: usize) -> World {
    World::of(Settings::market(8), LAST + 1, endpoints).await
}

/// The logs of one contract that is traded, and what they draw after them.
fn filter(world: &World) -> Filter {
    let draws: fn(ChainId, &Log) -> bool = decoders::is_claimed;
    let contract: Address = world.simulation.books().sales()[0].contract;
    Filter {
        topics: decoders::topics(),
        addresses: vec![contract],
        draws: Some(draws),
        ..Filter::default()
    }
}

/// What a reader of everything keeps for `filter`, and the transactions that are whole.
fn truth(world: &World, filter: &Filter) -> (Vec<Log>, BTreeSet<B256>) {
    let everything = Filter {
        topics: filter.topics.clone(),
        ..Filter::default()
    };
    let drawn = world.truth(0..=LAST, filter).into_iter();
    let drawn = drawn.filter(|log| decoders::is_claimed(ChainId(1), log));
    let drawn: BTreeSet<B256> = drawn.map(|log| log.tx_hash).collect();
    let mut logs = world.truth(0..=LAST, &everything);
    logs.retain(|log| filter.matches(log) || drawn.contains(&log.tx_hash));
    (logs, drawn)
}

#[tokio::test(flavor = "multi_thread")]
async fn sibling_logs_come_in_batches_or_with_the_receipts_of_whole_blocks() {
    let world = world(1).await;
    let filter = filter(&world);
    let (logs, whole) = truth(&world, &filter);
    assert!(
        logs.len() > 2 * world.truth(0..=LAST, &filter).len(),
        "markets have more than tokens"
    );
    for (wanted, single) in [(Proof::Bloom, true), (Proof::Receipts, false)] {
        let pool = world.pool().await;
        let asked = || world.servers[0].0.counts().calls_of(RECEIPT);
        let before = (asked(), health(&pool, 0).requests);
        let span = pool.range_span(0..=LAST, &filter, wanted).await.unwrap();
        assert_eq!((span.proof, &span.logs), (wanted, &logs));
        assert_eq!(span.context.whole.iter().copied().collect::<BTreeSet<_>>(), whole);
        let receipts = if single { whole.len() as u64 } else { 0 };
        assert_eq!((asked() - before.0, pool.take_receipts()), (receipts, receipts));
        let requests = health(&pool, 0).requests - before.1;
        assert!(!single || requests < 10, "{requests} requests");
    }
    world.change(0, |faults| faults.limits.batch = Some(3));
    let span = world.pool().await.range_span(0..=LAST, &filter, Proof::Bloom).await;
    assert_eq!(span.unwrap().logs, logs);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_single_block_holds_sibling_logs_whatever_is_proven_of_it() {
    let world = world(1).await;
    let filter = filter(&world);
    let (logs, _) = truth(&world, &filter);
    let pool = world.pool().await;
    for block in world.ledger.range(0, LAST) {
        let expected: Vec<&Log> = logs.iter().filter(|log| log.block_number == block.number).collect();
        for wanted in [Proof::Chained, Proof::Bloom, Proof::Receipts] {
            let before = world.servers[0].0.counts().calls_of(RECEIPT);
            let span = pool.block_span(reference(&block), &filter, wanted).await.unwrap();
            assert_eq!(span.logs.iter().collect::<Vec<_>>(), expected, "block {}", block.number);
            let asked = world.servers[0].0.counts().calls_of(RECEIPT) > before;
            assert!(
                !asked || wanted < Proof::Receipts,
                "whole blocks of receipts need no single ones"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn false_receipts_are_asked_for_elsewhere_and_missing_ones_are_done_without() {
    for lie in [
        LogFaults {
            missing_rate: 1.0,
            ..LogFaults::default()
        },
        LogFaults {
            wrong_rate: 1.0,
            ..LogFaults::default()
        },
    ] {
        let world = world(2).await;
        let filter = filter(&world);
        let (logs, whole) = truth(&world, &filter);
        world.change(0, |faults| faults.receipts = lie);
        // Which endpoint a batch goes to first is chance.
        for _ in 0..4 {
            let pool = world.pool().await;
            let span = pool.range_span(0..=LAST, &filter, Proof::Bloom).await.unwrap();
            assert_eq!((&span.logs, span.context.whole.len()), (&logs, whole.len()));
            assert!(
                health(&pool, 0).lies < 20 && health(&pool, 1).lies == 0,
                "{:?}",
                pool.health()
            );
        }

        // Nothing is to be settled by the receipts of whole blocks.
        world.change(1, |faults| faults.receipts = lie);
        let pool = world.pool().await;
        let span = pool.range_span(0..=LAST, &filter, Proof::Chained).await.unwrap();
        assert_eq!(span.logs, world.truth(0..=LAST, &filter), "nothing false is taken");
        assert!(span.context.whole.is_empty());
    }
    let world = world(1).await;
    let faults: &Arc<Faults> = &world.servers[0].1;
    faults.change(|faults| faults.missing_methods = vec![RECEIPT.into()]);
    let filter = filter(&world);
    let span = world.pool().await.range_span(0..=LAST, &filter, Proof::Bloom).await;
    assert_eq!(span.unwrap().logs, world.truth(0..=LAST, &filter));
}
