//! WebSockets: requests over them, announcements of heads, and what happens when they drop or fall silent.

use std::time::{Duration, Instant};

use decoders::block::{ChainId, Proof};
use rpc::{EndpointSettings, Pool};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::world::{FOREVER, PATIENCE, World, nft, options, setting};

async fn pool(world: &World, poll: Duration) -> Pool {
    let settings: Vec<EndpointSettings> = world
        .servers
        .iter()
        .enumerate()
        .map(|(id, (server, _))| setting(id as i32, &server.ws_url()))
        .collect();
    let options = rpc::PoolOptions {
        poll_interval: poll,
        ..options()
    };
    Pool::connect(ChainId(1), settings, options, CancellationToken::new())
        .await
        .expect("a healthy endpoint")
}

/// Repeats `deed` until `waiting` ends: nothing reports when it has begun to listen.
async fn until<T>(what: &str, waiting: &JoinHandle<T>, mut deed: impl FnMut()) {
    let began = Instant::now();
    while !waiting.is_finished() {
        assert!(began.elapsed() < PATIENCE, "not {what}");
        deed();
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Lets the chain grow until `waiting` is woken by it.
async fn grow_until<T>(world: &mut World, waiting: &JoinHandle<T>) {
    let World { ledger, simulation, .. } = world;
    until("woken", waiting, || ledger.extend(simulation.blocks(1))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn spans_are_read_over_a_websocket() {
    let world = World::new(150, 1).await;
    let pool = pool(&world, Duration::from_secs(1)).await;
    for wanted in [Proof::Bloom, Proof::Receipts] {
        let span = pool.range_span(0..=149, &nft(), wanted).await.unwrap();
        assert_eq!((span.proof, span.logs), (wanted, world.truth(0..=149, &nft())));
    }
    assert_eq!(pool.heads().await.unwrap().latest.number, 149);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_announced_head_wakes_before_the_poll() {
    let mut world = World::new(10, 1).await;
    let pool = pool(&world, FOREVER).await;
    let waiting = tokio::spawn({
        let pool = pool.clone();
        async move { pool.next_head().await }
    });
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!waiting.is_finished());
    grow_until(&mut world, &waiting).await;
    let head = world.ledger.head().unwrap().number;
    assert_eq!(pool.heads().await.unwrap().latest.number, head);
    assert!(pool.counters().announced > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_socket_is_noticed_and_opened_again() {
    let mut world = World::new(10, 1).await;
    let pool = pool(&world, FOREVER).await;
    let waiting = tokio::spawn({
        let pool = pool.clone();
        async move { pool.next_head().await }
    });
    // The drop itself wakes any task that waits, and the next wait subscribes anew.
    until("woken by the drop", &waiting, || world.servers[0].1.drop_sockets()).await;
    let waiting = tokio::spawn({
        let pool = pool.clone();
        async move { pool.next_head().await }
    });
    grow_until(&mut world, &waiting).await;
    let head = world.ledger.head().unwrap().number;
    assert_eq!(pool.heads().await.unwrap().latest.number, head);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mute_subscription_is_polled_around() {
    let world = World::new(10, 1).await;
    world.change(0, |faults| faults.mute_subscriptions = true);
    let pool = pool(&world, Duration::from_millis(100)).await;
    timeout(PATIENCE, pool.next_head()).await.expect("polled");
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_survive_sockets_that_keep_dropping() {
    let world = World::new(60, 2).await;
    world.change(0, |faults| faults.socket_drop_rate = 0.3);
    let pool = pool(&world, Duration::from_secs(1)).await;
    for _ in 0..5 {
        let span = pool.range_span(0..=59, &nft(), Proof::Bloom).await.unwrap();
        assert_eq!(span.logs, world.truth(0..=59, &nft()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_sockets_fall_back_to_other_endpoints_and_polling() {
    let world = World::new(20, 2).await;
    world.change(0, |faults| faults.refuse_sockets = true);
    let mut settings = world.settings();
    settings[0].url = world.servers[0].0.ws_url().parse().unwrap();
    let options = rpc::PoolOptions {
        poll_interval: Duration::from_millis(100),
        ..options()
    };
    let pool = Pool::connect(ChainId(1), settings, options, CancellationToken::new())
        .await
        .unwrap();
    timeout(PATIENCE, pool.next_head()).await.expect("polled");
    assert_eq!(pool.heads().await.unwrap().latest.number, 19);
}
