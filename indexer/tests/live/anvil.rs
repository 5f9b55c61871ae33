//! Live against a real node: the tables hold what the node reports of every token, after every block and every reorg.

use std::time::{Duration, Instant};

use indexer::pipeline::everything;
use sinks::digest::digest;
use sinks::progress::{checkpoint, coverage};
use sinks::store::Store;
use testkit::database::Database;
use testkit::mongo::MongoDatabase;
use testkit::patience::eventually;
use testkit::tables::Tables;

use crate::harness::program::{Program, Setup};
use crate::market::{Holdings, Market, numbers};
use crate::node::{FINALIZED_DEPTH, Node};

/// Blocks whose way to the tables is timed.
const TIMED_BLOCKS: usize = 40;

#[tokio::test(flavor = "multi_thread")]
async fn a_live_chain_followed_over_a_websocket_is_what_the_node_says_through_every_reorg() {
    let node = Node::start().await;
    // So rarely looked at that only what the socket announces is followed in time.
    follow(&node, &node.ws_url(), 60_000, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_chain_polled_over_http_is_what_the_node_says_through_every_reorg() {
    let node = Node::start().await;
    follow(&node, &node.http_url(), 50, 2).await;
}

/// Lets the program follow a market on `node` by way of `endpoint` through reorgs and restarts.
async fn follow(node: &Node, endpoint: &str, poll_interval_ms: u64, seed: u64) {
    let mut market = Market::open(node, seed).await;
    market.play(10).await;
    let (database, mongo) = (Database::new().await, MongoDatabase::new());
    let setup = Setup {
        poll_interval_ms,
        ..Setup::new(&database, node.chain(), &[endpoint.to_owned()])
    };
    let program = Program::new(&setup.archived_in(&mongo));
    let mut process = program.start(&["run"]);
    let store = &database.store;
    agree(store, node, &market, "at first").await;
    // Past the finalized block, so that history is filled and the window of kept hashes is full.
    market.play(FINALIZED_DEPTH + 20).await;
    agree(store, node, &market, "after some traffic").await;
    time(store, node, &mut market, endpoint).await;

    for (depth, busy) in [(1, true), (1, false), (3, true), (3, false), (20, true), (20, false)] {
        market.reorganise(depth, busy).await;
        agree(
            store,
            node,
            &market,
            &format!("after a reorg of {depth} blocks, busy: {busy}"),
        )
        .await;
        market.play(2).await;
    }
    for busy in [true, false] {
        market.reorganise(FINALIZED_DEPTH + 13, busy).await;
        agree(
            store,
            node,
            &market,
            &format!("after a reorg below the finalized block, busy: {busy}"),
        )
        .await;
        market.play(6).await;
        agree(store, node, &market, "after traffic on the new branch").await;
    }

    assert!(process.stop().await.success(), "a stop in the middle");
    market.play(3).await;
    market.reorganise(5, true).await;
    let mut process = program.start(&["run"]);
    agree(store, node, &market, "after a reorg while the program was stopped").await;
    market.play(4).await;
    process.kill();
    market.reorganise(FINALIZED_DEPTH + 4, true).await;
    let mut process = program.start(&["run"]);
    agree(
        store,
        node,
        &market,
        "after a reorg below the finalized block while the program was dead",
    )
    .await;

    assert!(process.stop().await.success(), "the last stop");
    process.assert_no_panic();
    assert_eq!(
        digest(store, node.chain()).await.unwrap(),
        clean_digest(node).await,
        "a clean index of the same chain"
    );
}

/// Waits until `store` is at the node's head, then asserts that it holds what the node reports.
async fn agree(store: &Store, node: &Node, market: &Market<'_>, context: &str) {
    let (head, chain) = (node.head().await, node.chain());
    let began = Instant::now();
    eventually(
        &format!("{context}: everything up to block {head} is indexed"),
        async || {
            let stored = checkpoint::read(store, chain).await.unwrap()?;
            let missing = coverage::missing(store, chain, &everything(), 0..=head.number)
                .await
                .unwrap();
            (stored.block == head && missing.is_empty()).then_some(())
        },
    )
    .await;
    println!("{context}: at block {} after {:?}", head.number, began.elapsed());
    let (tables, node) = (Tables::read(store, chain).await, market.everything().await);
    assert!(
        node.owners.len() > 400 && node.balances.len() > 4,
        "{context}: the node answers"
    );
    assert_eq!(Holdings::of(&tables), node, "{context}");
    assert_eq!(
        numbers(&tables.holdings),
        node.merged(),
        "{context}: the view of all holdings"
    );
    let mut supply = numbers(&tables.supply);
    supply.retain(|_, supply| !supply.is_zero());
    assert_eq!(supply, node.supply(), "{context}: supply");
}

/// Prints how long blocks take from their mining to their commit; nothing is asserted of it.
async fn time(store: &Store, node: &Node, market: &mut Market<'_>, endpoint: &str) {
    let mut times = Vec::new();
    for _ in 0..TIMED_BLOCKS {
        market.mint().await;
        let (mined, head) = (Instant::now(), node.head().await);
        eventually("the block is committed", async || {
            let stored = checkpoint::read(store, node.chain()).await.unwrap()?;
            (stored.block == head).then_some(())
        })
        .await;
        times.push(mined.elapsed());
    }
    times.sort_unstable();
    let at = |percent: usize| -> Duration { times[(times.len() - 1) * percent / 100] };
    println!(
        "{endpoint}: from block to commit p50 {:?}, p90 {:?}, longest {:?}",
        at(50),
        at(90),
        at(100)
    );
}

/// What the tables hold after the chain was indexed once, as it stands now, into a database of its own.
async fn clean_digest(node: &Node) -> Vec<sinks::digest::TableDigest> {
    let database = Database::new().await;
    let program = Program::new(&Setup::new(&database, node.chain(), &[node.http_url()]));
    let head = node.head().await.number.to_string();
    program.run(&["run", "--until", &head]).await;
    digest(&database.store, node.chain()).await.unwrap()
}
