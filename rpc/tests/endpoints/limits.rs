//! Providers' limits: met by asking for less or for a while not at all, never by giving up.

use std::time::{Duration, Instant};

use decoders::block::{ChainId, Proof};
use rpc::{EndpointState, Pool};
use testchain::faults::Failure;
use testchain::limits::Wording;
use tokio_util::sync::CancellationToken;

use crate::world::{World, health, nft, options, reference};

#[tokio::test(flavor = "multi_thread")]
async fn ranges_shrink_to_what_a_provider_allows_in_whatever_words() {
    let world = World::new(300, 1).await;
    for wording in Wording::ALL {
        world.change(0, |faults| {
            faults.limits.wording = wording;
            faults.limits.block_range = Some(40);
        });
        let pool = world.pool().await;
        let span = pool.range_span(0..=299, &nft(), Proof::Bloom).await.unwrap();
        assert_eq!(span.logs, world.truth(0..=299, &nft()), "{wording:?}");
        let splits = pool.counters().splits;
        assert!((1..=8).contains(&splits), "{wording:?}: {splits} splits");
        let log_range = health(&pool, 0).log_range;
        assert!(log_range <= 50, "{wording:?}: {log_range}");
        // What was learned lasts: the next span is not refused again.
        pool.range_span(0..=299, &nft(), Proof::Bloom).await.unwrap();
        assert!(pool.counters().splits <= splits + 8, "{wording:?}");
        assert_eq!(
            health(&pool, 0).state,
            EndpointState::Ok,
            "{wording:?} {:?}",
            pool.health()
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_results_are_split_at_once_in_whatever_words() {
    let world = World::new(300, 1).await;
    for wording in Wording::ALL {
        world.change(0, |faults| {
            faults.limits.wording = wording;
            faults.limits.results = Some(150);
        });
        let pool = world.pool().await;
        let span = pool.range_span(0..=299, &nft(), Proof::Bloom).await.unwrap();
        assert_eq!(span.logs, world.truth(0..=299, &nft()), "{wording:?}");
        assert!(pool.counters().splits > 0, "{wording:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_with_more_logs_than_any_answer_may_have_is_read_from_its_receipts() {
    let world = World::new(60, 1).await;
    world.change(0, |faults| faults.limits.results = Some(3));
    let pool = world.pool().await;
    let span = pool.range_span(0..=59, &nft(), Proof::Bloom).await.unwrap();
    assert_eq!((span.proof, span.logs), (Proof::Bloom, world.truth(0..=59, &nft())));
    for block in world.ledger.range(40, 59) {
        let live = pool.block_span(reference(&block), &nft(), Proof::Bloom).await.unwrap();
        assert_eq!(
            (live.proof, live.logs),
            (Proof::Bloom, world.truth(block.number..=block.number, &nft()))
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn long_answers_and_long_batches_are_asked_in_parts() {
    let world = World::new(300, 1).await;
    world.change(0, |faults| {
        faults.limits.response_bytes = Some(100_000);
        faults.limits.batch = Some(7);
    });
    let pool = world.pool().await;
    let span = pool.range_span(0..=299, &nft(), Proof::Bloom).await.unwrap();
    assert_eq!(span.logs, world.truth(0..=299, &nft()));

    // The pool's own limit on what it is willing to hold.
    world.servers[0].1.clear();
    let pool = world
        .pool_with(|options| options.response_bytes = 60_000)
        .await
        .unwrap();
    let span = pool.range_span(0..=299, &nft(), Proof::Bloom).await.unwrap();
    assert_eq!(span.logs, world.truth(0..=299, &nft()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_range_that_times_out_is_split() {
    let world = World::new(200, 1).await;
    let pool = world
        .pool_with(|options| options.logs_timeout = Duration::from_secs(3))
        .await
        .unwrap();
    world.servers[0].1.fail_next(Failure::Timeout, 1);
    let span = pool.range_span(0..=199, &nft(), Proof::Bloom).await;
    // The scripted timeout may have hit a batch of headers instead; then it is retried.
    assert_eq!(span.unwrap().logs, world.truth(0..=199, &nft()));
}

#[tokio::test(flavor = "multi_thread")]
async fn rate_limits_of_both_kinds_pause_one_endpoint_and_spare_the_other() {
    let world = World::new(100, 2).await;
    let pool = world.pool().await;
    for failure in [Failure::TooManyRequests, Failure::RateLimited] {
        world.servers[0].1.fail_next(failure, 1);
        let mut limited = false;
        for number in 0..10 {
            assert!(pool.header_at(number).await.unwrap().is_some());
            limited |= health(&pool, 0).reason.is_some();
        }
        assert!(limited, "{failure:?} {:?}", health(&pool, 0));
        tokio::time::sleep(Duration::from_millis(1100)).await;
    }
    let span = pool.range_span(0..=99, &nft(), Proof::Bloom).await.unwrap();
    assert_eq!(span.logs, world.truth(0..=99, &nft()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configured_rate_limit_is_kept() {
    let world = World::new(100, 1).await;
    world.change(0, |faults| faults.calls_per_second = Some(60));
    let mut settings = world.settings();
    settings[0].rate_limit = Some(40);
    let pool = Pool::connect(ChainId(1), settings, options(), CancellationToken::new())
        .await
        .unwrap();
    let start = Instant::now();
    let span = pool.range_span(0..=99, &nft(), Proof::Bloom).await.unwrap();
    assert_eq!(span.logs, world.truth(0..=99, &nft()));
    assert!(start.elapsed() > Duration::from_millis(1500), "{:?}", start.elapsed());
    let endpoint = health(&pool, 0);
    assert_eq!(
        (endpoint.failures, endpoint.state),
        (0, EndpointState::Ok),
        "{endpoint:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_without_block_receipts_is_read_by_logs() {
    let world = World::new(60, 1).await;
    world.change(0, |faults| {
        faults.missing_methods = vec!["eth_getBlockReceipts".to_owned()]
    });
    let pool = world.pool().await;
    let block = world.ledger.head().unwrap();
    for _ in 0..3 {
        let span = pool
            .block_span(reference(&block), &nft(), Proof::Receipts)
            .await
            .unwrap();
        assert_eq!(
            (span.proof, span.logs),
            (Proof::Bloom, world.truth(block.number..=block.number, &nft()))
        );
    }
    let before = health(&pool, 0).requests;
    let span = pool.range_span(0..=59, &nft(), Proof::Receipts).await.unwrap();
    assert_eq!(span.logs, world.truth(0..=59, &nft()));
    // Remembered: it is not asked for receipts block by block.
    assert!(
        health(&pool, 0).requests - before < 20,
        "{}",
        health(&pool, 0).requests - before
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn receipts_of_a_range_come_in_batches_that_shrink_to_what_the_endpoint_takes() {
    let world = World::new(80, 1).await;
    let truth = world.truth(0..=79, &nft());
    // Headers come in batches, too.
    for (most, requests) in [(None, 12), (Some(3), 130), (Some(1), 250)] {
        world.change(0, |faults| faults.limits.batch = most);
        let pool = world.pool().await;
        let before = health(&pool, 0).requests;
        let span = pool.range_span(0..=79, &nft(), Proof::Receipts).await.unwrap();
        assert_eq!(
            (span.proof, &span.logs),
            (Proof::Receipts, &truth),
            "at most {most:?} a batch"
        );
        let asked = health(&pool, 0).requests - before;
        assert!(asked <= requests, "{asked} requests, at most {most:?} a batch");
    }
}
