//! What shares a signature with ERC-721 and is none of it: not sent where endpoints honour filters by position, and never in a span,
//! except in the transactions of sales.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use alloy_primitives::B256;
use decoders::block::{ChainId, Log, Proof};
use rpc::{Filter, Pool};
use serde_json::json;
use testchain::faults::Settings as FaultSettings;
use testchain::quirks::{Quirk, Reply};
use testchain::simulation::{Mix, Settings};

use crate::world::{World, health, reference};

const RECEIPT: &str = "eth_getTransactionReceipt";
const CHAIN: ChainId = ChainId(1);
const LOGS: &str = "eth_getLogs";

/// What a chain that is read for every contract asks for.
fn filter() -> Filter {
    Filter {
        topics: decoders::topics(),
        draws: Some(decoders::may_be_sale),
        shared: decoders::shared_topics(CHAIN),
        holds: Some(decoders::may_be_sale),
        ..Filter::default()
    }
}

/// What a span holds, and how many logs of it the pool finds by its filter alone.
fn truth(world: &World, range: RangeInclusive<u64>) -> (Vec<Log>, u64) {
    let topics = Filter {
        topics: decoders::topics(),
        ..Filter::default()
    };
    let (mut logs, shared) = (world.truth(range, &topics), decoders::shared_topics(CHAIN));
    let sales = logs.iter().filter(|log| decoders::may_be_sale(CHAIN, log));
    let sales: BTreeSet<B256> = sales.map(|log| log.tx_hash).collect();
    let is_beside = |log: &Log| shared.iter().any(|shared| shared.is_beside(&log.address, &log.topics));
    let sole = logs.iter().filter(|log| !is_beside(log)).count();
    logs.retain(|log| !is_beside(log) || sales.contains(&log.tx_hash));
    (logs, sole as u64)
}

/// A chain that trades, half of whose other logs are ERC-20 transfers.
async fn market(endpoints: usize) -> World {
    World::of(Settings::market(8), 200, endpoints).await
}

/// A chain most of whose blocks hold nothing but ERC-20 transfers.
async fn coins(endpoints: usize) -> World {
    let settings = Settings {
        logs_per_block: 3,
        mix: Mix {
            erc721: 1,
            erc721_legacy: 0,
            cryptopunks: 0,
            erc2309: 0,
            erc1155_single: 0,
            erc1155_batch: 0,
            erc20: 9,
            approval: 0,
            hostile: 0,
        },
        ..Settings::small(5)
    };
    World::of(settings, 400, endpoints).await
}

async fn assert_true(world: &World, pool: &Pool, range: RangeInclusive<u64>, wanted: Proof, case: &str) {
    let mut start = *range.start();
    while start <= *range.end() {
        let span = pool.range_span(start..=*range.end(), &filter(), wanted).await.unwrap();
        assert!(
            span.logs == truth(world, span.range.clone()).0,
            "{case}: {:?} at {wanted:?} of {:?}",
            span.range,
            pool.health()
        );
        assert_eq!(span.proof, wanted, "{case}");
        start = span.range.end() + 1;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_shares_a_signature_does_not_travel_except_beside_a_sale() {
    let world = market(1).await;
    let pool = world.pool().await;
    // What it honours is found out here.
    assert_true(&world, &pool, 0..=19, Proof::Bloom, "at first").await;
    for wanted in [Proof::Chained, Proof::Bloom] {
        let before = world.servers[0].0.counts();
        assert_true(&world, &pool, 20..=199, wanted, "later").await;
        let after = world.servers[0].0.counts();
        let (logs, sole) = truth(&world, 20..=199);
        let sales = logs.iter().filter(|log| decoders::may_be_sale(CHAIN, log));
        let sales: BTreeSet<B256> = sales.map(|log| log.tx_hash).collect();
        assert_eq!(after.logs - before.logs, sole, "{wanted:?}");
        assert_eq!(after.calls_of(RECEIPT) - before.calls_of(RECEIPT), sales.len() as u64);
        assert!(after.requests - before.requests < 20, "in batches");
    }
    // Receipts of whole blocks hold all of it anyway, and so does the answer about one block.
    assert_true(&world, &pool, 0..=199, Proof::Receipts, "by receipts").await;
    for block in world.ledger.range(0, 199) {
        for wanted in [Proof::Chained, Proof::Bloom, Proof::Receipts] {
            let span = pool.block_span(reference(&block), &filter(), wanted).await.unwrap();
            assert_eq!(span.logs, truth(&world, block.number..=block.number).0);
        }
    }
    assert_eq!(health(&pool, 0).lies, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn endpoints_that_do_not_honour_positions_are_asked_as_before() {
    let has_null = |params: &[serde_json::Value]| {
        let topics = params[0]["topics"].as_array();
        topics.is_some_and(|topics| topics.iter().any(serde_json::Value::is_null))
    };
    let rejects = move |params: &[serde_json::Value], truth| match has_null(params) {
        true => Reply::error(-32602, "invalid topic(s)"),
        false => truth,
    };
    let finds_none = move |params: &[serde_json::Value], truth| match has_null(params) {
        true => Reply::Result(json!([])),
        false => truth,
    };
    let cuts = FaultSettings {
        cut_positions: true,
        ..FaultSettings::default()
    };
    let odd = |quirk| FaultSettings {
        quirks: vec![quirk],
        ..FaultSettings::default()
    };
    for (case, settings) in [
        ("cut", cuts),
        ("rejected", odd(Quirk::new(LOGS, rejects))),
        ("nothing", odd(Quirk::new(LOGS, finds_none))),
    ] {
        for others in [0, 1] {
            let mut world = market(others).await;
            world.add(settings.clone()).await;
            let pool = world.pool().await;
            assert_true(&world, &pool, 0..=99, Proof::Bloom, case).await;
            assert_true(&world, &pool, 100..=199, Proof::Bloom, case).await;
            assert!(pool.health().iter().all(|health| health.lies == 0), "{case}");
            if others == 0 {
                assert_eq!(world.servers[0].0.counts().calls_of(RECEIPT), 0, "{case}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn blocks_that_hold_nothing_else_are_seen_to_hold_nothing() {
    let world = coins(1).await;
    let pool = world.pool().await;
    assert_true(&world, &pool, 0..=99, Proof::Bloom, "at first").await;
    let before = world.servers[0].0.counts();
    assert_true(&world, &pool, 100..=399, Proof::Bloom, "later").await;
    let after = world.servers[0].0.counts();
    assert_eq!(
        after.calls_of("eth_getBlockReceipts"),
        0,
        "no block is settled by all its receipts"
    );
    let requests = after.requests - before.requests;
    assert!(requests < 20, "{requests} requests");
    let (all, sent) = (
        world.truth(100..=399, &crate::world::nft()).len() as u64,
        after.logs - before.logs,
    );
    assert!(sent < all / 2, "{sent} of {all} logs");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_leaves_out_what_it_is_asked_for_is_caught() {
    for others in [0, 1] {
        let mut world = coins(1).await;
        for _ in 0..others {
            world.add(FaultSettings::default()).await;
        }
        let pool = world.pool().await;
        assert_true(&world, &pool, 0..=99, Proof::Bloom, "at first").await;
        world.change(0, |faults| faults.empty_logs_rate = 1.0);
        // The other one may be asked now and then.
        for _ in 0..40 {
            let span = pool.range_span(100..=399, &filter(), Proof::Bloom).await.unwrap();
            let range = span.range.clone();
            assert!(span.logs == truth(&world, range.clone()).0, "{range:?}: {:?}", pool.health());
            if health(&pool, 0).lies > 0 {
                break;
            }
        }
        assert!(health(&pool, 0).lies > 0, "{:?}", pool.health());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_receipts_of_transactions_sales_are_read_with_their_blocks() {
    let world = market(1).await;
    let pool = world.pool().await;
    assert_true(&world, &pool, 0..=19, Proof::Bloom, "at first").await;
    world.change(0, |faults| {
        faults.missing_methods = vec![RECEIPT.to_owned(), "eth_getBlockReceipts".to_owned()];
    });
    assert_true(&world, &pool, 20..=99, Proof::Bloom, "without").await;
    let before = world.servers[0].0.counts();
    assert_true(&world, &pool, 100..=199, Proof::Bloom, "from then on").await;
    let after = world.servers[0].0.counts();
    assert_eq!(after.calls_of(RECEIPT), before.calls_of(RECEIPT), "asked as before");
    assert!(after.requests - before.requests < 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_show_nothing_about_positions() {
    let world = market(1).await;
    world.change(0, |faults| faults.error_rate = 0.2);
    let pool = world.pool_with(|options| options.rounds = 12).await.unwrap();
    for _ in 0..4 {
        assert_true(&world, &pool, 0..=199, Proof::Bloom, "with failures").await;
    }
    world.servers[0].1.clear();
    let before = world.servers[0].0.counts().logs;
    assert_true(&world, &pool, 0..=199, Proof::Bloom, "without").await;
    assert_eq!(world.servers[0].0.counts().logs - before, truth(&world, 0..=199).1);
}
