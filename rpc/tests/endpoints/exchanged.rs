//! Endpoints that come and go under a running pool, and that do not answer when they come. Where a wait would be wrong it has no
//! end here, so that what waits fails its test.

use std::time::Duration;

use decoders::block::{ChainId, Proof};
use rpc::{Pool, PoolOptions};
use testchain::faults::Settings as FaultSettings;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::world::{FOREVER, PATIENCE, World, health, nft, options, reference};

/// What waits does so for good.
fn endless() -> PoolOptions {
    PoolOptions {
        request_timeout: FOREVER,
        logs_timeout: FOREVER,
        hedge: false,
        ..options()
    }
}

fn silent() -> FaultSettings {
    FaultSettings {
        timeout_rate: 1.0,
        ..FaultSettings::default()
    }
}

/// Everything a follower asks.
async fn follow(pool: &Pool, world: &World) {
    let head = pool.heads().await.unwrap().latest;
    assert_eq!(head.number, 59);
    for block in world.ledger.range(50, 59) {
        let block = reference(&block);
        let span = pool.block_span(block, &nft(), Proof::Receipts).await.unwrap();
        assert_eq!(span.logs, world.truth(block.number..=block.number, &nft()));
        assert_eq!(pool.votes(block).await.same, 1);
    }
    let span = pool.range_span(0..=59, &nft(), Proof::Bloom).await.unwrap();
    assert_eq!(span.logs, world.truth(0..=59, &nft()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_endpoint_that_does_not_answer_is_waited_for_by_nothing() {
    let mut world = World::new(60, 1).await;
    let pool = Pool::connect(ChainId(1), world.settings(), endless(), CancellationToken::new())
        .await
        .unwrap();
    world.add(silent()).await;
    pool.replace_endpoints(world.settings());
    for _ in 0..5 {
        timeout(PATIENCE, follow(&pool, &world))
            .await
            .expect("nothing waits for the new endpoint");
    }
    assert!(world.servers[1].0.counts().requests <= 1, "a probe and nothing else");
    // The only one left is asked for everything, answer or not.
    pool.replace_endpoints(world.settings().split_off(1));
    assert!(timeout(Duration::from_millis(500), pool.heads()).await.is_err());
    assert!(!health(&pool, 1).answered);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_endpoint_is_used_once_it_has_answered_a_probe() {
    let mut world = World::new(60, 1).await;
    let options = PoolOptions {
        request_timeout: Duration::from_millis(300),
        ..endless()
    };
    let pool = Pool::connect(ChainId(1), world.settings(), options, CancellationToken::new())
        .await
        .unwrap();
    let late = world.add(silent()).await;
    pool.replace_endpoints(world.settings());
    pool.heads().await.unwrap();
    let failed = async {
        while health(&pool, 1).failures == 0 {
            pool.heads().await.unwrap();
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, failed).await.expect("the probe fails");
    late.clear();
    let used = async {
        while world.servers[1].0.counts().calls_of("eth_getLogs") == 0 {
            let span = pool.range_span(0..=59, &nft(), Proof::Bloom).await.unwrap();
            assert_eq!(span.logs, world.truth(0..=59, &nft()));
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, used).await.expect("it takes its share of the work");
    assert_eq!((health(&pool, 1).head, health(&pool, 1).answered), (Some(59), true));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_under_way_is_asked_anew_when_endpoints_are_exchanged() {
    let mut world = World::new(60, 1).await;
    let pool = Pool::connect(ChainId(1), world.settings(), endless(), CancellationToken::new())
        .await
        .unwrap();
    world.change(0, |faults| faults.timeout_rate = 1.0);
    let asked = world.servers[0].0.counts().requests;
    let waiting = {
        let (pool, ranges) = (pool.clone(), pool.clone());
        let head = tokio::spawn(async move { pool.heads().await });
        let span = tokio::spawn(async move { ranges.range_span(0..=59, &nft(), Proof::Bloom).await });
        async { (head.await.unwrap(), span.await.unwrap()) }
    };
    let under_way = async {
        while world.servers[0].0.counts().requests < asked + 3 {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, under_way).await.expect("they are under way");
    world.add(FaultSettings::default()).await;
    pool.replace_endpoints(world.settings().split_off(1));
    let (head, span) = timeout(PATIENCE, waiting)
        .await
        .expect("nothing waits for an endpoint that is gone");
    assert_eq!(head.unwrap().latest.number, 59);
    assert_eq!(span.unwrap().logs, world.truth(0..=59, &nft()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_begins_without_the_endpoints_that_do_not_answer() {
    let mut world = World::new(60, 1).await;
    world.add(silent()).await;
    let connecting = Pool::connect(ChainId(1), world.settings(), endless(), CancellationToken::new());
    let pool = timeout(PATIENCE, connecting)
        .await
        .expect("it does not wait for both")
        .unwrap();
    timeout(PATIENCE, follow(&pool, &world))
        .await
        .expect("nothing waits for the silent one");
}
