//! Endpoints that refuse, fail and fall silent now and then, or take little at once: what was read is kept, and only the rest is
//! asked again. What is compared are requests and bytes, never time.

use std::ops::RangeInclusive;
use std::sync::Arc;

use alloy_primitives::{Address, B256};
use decoders::block::{Log, Proof};
use rpc::{EndpointState, Filter, Pool};
use testchain::block::Block;
use testchain::faults::{Failure, Faults, Settings as FaultSettings};
use testchain::ledger::{Finality, Ledger};
use testchain::limits::{BatchRefusal, Wording};
use testchain::server::serve;

use crate::world::{LOOPBACK, World, health, nft, reference};

/// Reads the range to its end, however many spans that takes, and gives their logs and number.
async fn read(pool: &Pool, range: RangeInclusive<u64>, filter: &Filter, wanted: Proof) -> (Vec<Log>, usize) {
    let (mut next, mut logs, mut spans) = (*range.start(), Vec::new(), 0);
    while next <= *range.end() {
        let span = pool.range_span(next..=*range.end(), filter, wanted).await.unwrap();
        assert_eq!((*span.range.start(), span.proof), (next, wanted));
        assert_eq!(span.blocks.len() as u64, span.range.end() - span.range.start() + 1);
        next = span.range.end() + 1;
        logs.extend(span.logs);
        spans += 1;
    }
    (logs, spans)
}

/// Contracts of the simulated chain, and others that do not exist, `count` in all.
fn contracts(world: &World, count: usize) -> Vec<Address> {
    let mut contracts: Vec<Address> = world
        .truth(0..=u64::MAX, &nft())
        .iter()
        .map(|log| log.address)
        .collect();
    contracts.sort_unstable();
    contracts.dedup();
    let others = (0..).map(|number: u64| Address::left_padding_from(&number.to_be_bytes()));
    contracts.extend(others.take(count.saturating_sub(contracts.len())));
    contracts
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_refuses_batches_in_whatever_way_gets_shorter_ones() {
    let world = World::new(120, 1).await;
    let truth = world.truth(0..=119, &nft());
    for way in BatchRefusal::all() {
        for limit in [1, 10] {
            world.change(0, |faults| {
                faults.limits.batch = Some(limit);
                faults.limits.batch_refusal = *way;
            });
            let pool = world.pool().await;
            for wanted in [Proof::Bloom, Proof::Receipts] {
                let (logs, _) = read(&pool, 0..=119, &nft(), wanted).await;
                assert_eq!(logs, truth, "{way:?}, at most {limit}, {wanted:?}");
            }
            // What was learned lasts: hardly a batch is refused any more.
            let before = world.servers[0].0.counts();
            read(&pool, 0..=119, &nft(), Proof::Bloom).await;
            let after = world.servers[0].0.counts();
            let refused = after.refused_batches - before.refused_batches;
            assert!(refused <= 8, "{way:?}, at most {limit}: {refused} refused");
            let requests = after.requests - before.requests;
            assert!(
                requests <= 120 / limit as u64 + 30,
                "{way:?}, at most {limit}: {requests} requests"
            );
            let health = health(&pool, 0);
            assert_eq!(
                (health.lies, health.state),
                (0, EndpointState::Ok),
                "{way:?} {health:?}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_of_a_batch_that_fail_or_come_in_another_order_are_asked_again_alone() {
    let world = World::new(200, 1).await;
    world.change(0, |faults| faults.shuffle_batches = true);
    let pool = world.pool().await;
    let clean = world.servers[0].0.counts();
    let (truth, _) = read(&pool, 0..=199, &nft(), Proof::Bloom).await;
    assert_eq!(truth, world.truth(0..=199, &nft()));
    let served = world.servers[0].0.counts().bytes_out - clean.bytes_out;
    world.change(0, |faults| faults.call_error_rate = 0.1);
    let pool = world.pool().await;
    let before = world.servers[0].0.counts();
    let (logs, _) = read(&pool, 0..=199, &nft(), Proof::Bloom).await;
    assert_eq!(logs, truth);
    let after = world.servers[0].0.counts();
    let bytes = after.bytes_out - before.bytes_out;
    assert!(bytes * 10 <= served * 12, "{bytes} bytes instead of {served}");
    assert!(after.requests - before.requests < 60, "{after:?} {before:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_range_shortens_no_batch() {
    let world = World::new(300, 1).await;
    // A second call beside the first makes a batch of what is refused.
    let filter = Filter {
        whole: contracts(&world, 1),
        ..nft()
    };
    for wording in Wording::ALL {
        world.change(0, |faults| {
            faults.limits.wording = wording;
            faults.limits.block_range = Some(20);
        });
        let pool = world.pool().await;
        read(&pool, 0..=299, &filter, Proof::Bloom).await;
        let before = world.servers[0].0.counts().requests;
        read(&pool, 0..=299, &filter, Proof::Bloom).await;
        let requests = world.servers[0].0.counts().requests - before;
        // Fifteen to thirty ranges, three batches of headers, and now and then a range that is too wide.
        assert!(requests <= 45, "{wording:?}: {requests} requests");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_read_is_kept_when_every_tenth_request_fails() {
    let world = World::new(300, 1).await;
    let truth = world.truth(0..=299, &nft());
    for (range, batch) in [(None, None), (Some(10), Some(10)), (Some(50), Some(1))] {
        let mut served = Vec::new();
        for failure in [
            None,
            Some(Failure::Internal),
            Some(Failure::Status(504)),
            Some(Failure::Malformed),
        ] {
            world.change(0, |faults| {
                faults.limits.block_range = range;
                faults.limits.batch = batch;
                faults.fail_every = None;
            });
            let pool = world.pool().await;
            // What the endpoint takes is known.
            read(&pool, 0..=299, &nft(), Proof::Bloom).await;
            world.change(0, |faults| faults.fail_every = failure.map(|failure| (10, failure)));
            let before = world.servers[0].0.counts();
            let (logs, spans) = read(&pool, 0..=299, &nft(), Proof::Bloom).await;
            assert_eq!((&logs, spans), (&truth, 1), "{failure:?}");
            let after = world.servers[0].0.counts();
            served.push((after.bytes_out - before.bytes_out, after.requests - before.requests));
        }
        let (bytes, requests) = served[0];
        for (more_bytes, more_requests) in &served[1..] {
            let case = format!("range {range:?}, batch {batch:?}: {served:?}");
            assert!(*more_bytes <= bytes * 6 / 5 + 20_000, "{case}");
            assert!(*more_requests <= requests * 3 / 2 + 10, "{case}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_span_ends_before_the_block_that_cannot_be_read() {
    let mut world = World::new(200, 0).await;
    let altered = |block: &Arc<Block>| {
        let mut block = Block::clone(block);
        if block.number == 150 {
            block.hash = B256::repeat_byte(7);
        }
        block
    };
    let blocks: Vec<Block> = world.ledger.range(0, u64::MAX).iter().map(altered).collect();
    let faults = Faults::new(3);
    let server = serve(
        Ledger::new(1, blocks, Finality::default()),
        Arc::clone(&faults),
        LOOPBACK,
    )
    .await
    .unwrap();
    world.servers.push((server, faults));
    for wanted in [Proof::Bloom, Proof::Receipts] {
        let pool = world.pool().await;
        let span = pool.range_span(0..=199, &nft(), wanted).await.unwrap();
        assert_eq!((span.range, span.blocks.len(), span.proof), (0..=149, 150, wanted));
        assert_eq!(span.logs, world.truth(0..=149, &nft()));
        let error = pool.range_span(150..=199, &nft(), wanted).await.unwrap_err();
        assert!(error.to_string().contains("header 150 does not recompute"), "{error}");
        let pool = world.pool().await;
        let rest = pool.range_span(151..=199, &nft(), wanted).await.unwrap();
        assert_eq!((rest.range, rest.logs), (151..=199, world.truth(151..=199, &nft())));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_wider_than_a_provider_takes_are_split() {
    let world = World::new(40, 1).await;
    let filter = Filter {
        topics: decoders::topics(),
        addresses: contracts(&world, 60),
        whole: contracts(&world, 30),
        ..Filter::default()
    };
    let mut truth = world.truth(0..=39, &filter);
    truth.extend(world.truth(
        0..=39,
        &Filter {
            topics: Vec::new(),
            addresses: filter.whole.clone(),
            ..Filter::default()
        },
    ));
    truth.sort_by_key(|log| (log.block_number, log.log_index));
    truth.dedup();
    for wording in Wording::ALL {
        for (addresses, topics) in [
            (Some(50), None),
            (Some(1), None),
            (None, Some(100)),
            (Some(7), Some(50)),
        ] {
            world.change(0, |faults| {
                faults.limits.wording = wording;
                (faults.limits.addresses, faults.limits.topics) = (addresses, topics);
            });
            let case = format!("{wording:?}, {addresses:?} addresses, {topics:?} topics");
            let pool = world.pool().await;
            for _ in 0..4 {
                assert_eq!(read(&pool, 0..=39, &filter, Proof::Bloom).await.0, truth, "{case}");
            }
            // What was learned lasts.
            let before = health(&pool, 0);
            read(&pool, 0..=39, &filter, Proof::Bloom).await;
            let after = health(&pool, 0);
            // Whose words may as well be about blocks narrows ranges first, and takes longer to widen them again.
            let is_clear = !matches!(wording, Wording::Cloudflare | Wording::Timeout);
            let most = if is_clear { 12 } else { 400 };
            let requests = after.requests - before.requests;
            assert!(requests <= most, "{case}: {requests} requests");
            assert_eq!(after.lies, 0, "{case}");
            let block = world.ledger.by_number(truth[0].block_number).unwrap();
            let live = pool.block_span(reference(&block), &filter, Proof::Bloom).await.unwrap();
            let logs: Vec<Log> = truth
                .iter()
                .filter(|log| log.block_number == block.number)
                .cloned()
                .collect();
            assert_eq!(live.logs, logs, "{case}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_is_not_split_for_good_because_requests_fail() {
    let world = World::new(60, 1).await;
    let filter = Filter {
        topics: decoders::topics(),
        addresses: contracts(&world, 60),
        ..Filter::default()
    };
    world.change(0, |faults| faults.fail_every = Some((4, Failure::Internal)));
    let pool = world.pool().await;
    for _ in 0..10 {
        read(&pool, 0..=59, &filter, Proof::Bloom).await;
    }
    world.change(0, |faults| faults.failing_methods = vec!["eth_getLogs".to_owned()]);
    pool.range_span(0..=59, &filter, Proof::Chained).await.ok();
    world.servers[0].1.clear();
    // Failures in a row may have looked like a limit; answers show that there is none.
    let mut requests = u64::MAX;
    for _ in 0..200 {
        let before = health(&pool, 0).requests;
        read(&pool, 0..=59, &filter, Proof::Bloom).await;
        requests = health(&pool, 0).requests - before;
        if requests <= 4 {
            break;
        }
    }
    assert!(requests <= 4, "{requests} requests");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_without_receipts_does_not_wait_for_a_dead_one() {
    for failure in [Failure::Timeout, Failure::Status(503)] {
        let mut world = World::new(60, 1).await;
        world.change(0, |faults| {
            faults.missing_methods = vec!["eth_getBlockReceipts".to_owned()]
        });
        let dead = world.add(FaultSettings::default()).await;
        let pool = world.pool().await;
        match failure {
            Failure::Timeout => dead.change(|faults| faults.timeout_rate = 1.0),
            _ => dead.change(|faults| faults.server_error_rate = 1.0),
        }
        // Until it is known that the one is dead and what the other cannot do.
        let asked = world.ledger.range(0, 59);
        let before = world.servers[1].0.counts().requests;
        for block in asked {
            let span = pool
                .block_span(reference(&block), &nft(), Proof::Receipts)
                .await
                .unwrap();
            let truth = world.truth(block.number..=block.number, &nft());
            assert_eq!((span.proof, span.logs), (Proof::Bloom, truth));
        }
        let (span, _) = read(&pool, 0..=59, &nft(), Proof::Bloom).await;
        assert_eq!(span, world.truth(0..=59, &nft()));
        let asked = world.servers[1].0.counts().requests - before;
        assert!(
            asked <= 20,
            "{failure:?}: the dead one was asked {asked} times for 61 spans"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_without_receipts_is_read_in_ranges_from_the_first_span_on() {
    let world = World::new(200, 1).await;
    world.change(0, |faults| {
        faults.missing_methods = vec!["eth_getBlockReceipts".to_owned()]
    });
    let pool = world.pool().await;
    let before = health(&pool, 0).requests;
    let span = pool.range_span(0..=199, &nft(), Proof::Receipts).await.unwrap();
    assert_eq!((span.proof, span.logs), (Proof::Bloom, world.truth(0..=199, &nft())));
    let requests = health(&pool, 0).requests - before;
    assert!(requests < 20, "{requests} requests");
}
