//! `eth_getLogs` against a plain filter over the ledger.

use alloy_primitives::{Address, B256};
use serde_json::{Value, json};
use testchain::block::Log;

use crate::chain::{Endpoint, busy_block, endpoint, logs_of};
use crate::client::{block_logs, hex};

fn expected(endpoint: &Endpoint, from: u64, to: u64, matches: impl Fn(&Log) -> bool) -> Vec<Value> {
    let blocks = endpoint.ledger.range(from, to);
    let wanted: Vec<bool> = logs_of(&blocks).iter().map(|(_, log)| matches(log)).collect();
    let all = blocks.iter().flat_map(|block| block_logs(block));
    all.zip(wanted)
        .filter_map(|(log, wanted)| wanted.then_some(log))
        .collect()
}

#[tokio::test]
async fn every_log_of_a_range_in_chain_order() {
    let endpoint = endpoint().await;
    let logs = endpoint
        .client
        .logs(json!({"fromBlock": "0x0", "toBlock": "latest"}))
        .await;
    assert_eq!(logs, expected(&endpoint, 0, 39, |_| true));
    assert!(logs.len() > 200, "{}", logs.len());
    assert_eq!(endpoint.server.counts().logs, logs.len() as u64);
}

#[tokio::test]
async fn ranges_end_at_tags_and_at_the_head() {
    let endpoint = endpoint().await;
    let count = |from: Value, to: Value| {
        let client = endpoint.client.clone();
        async move { client.logs(json!({"fromBlock": from, "toBlock": to})).await }
    };
    assert_eq!(
        count(json!("earliest"), json!("finalized")).await,
        expected(&endpoint, 0, 31, |_| true)
    );
    assert_eq!(
        count(json!("safe"), json!(hex(1000))).await,
        expected(&endpoint, 35, 39, |_| true)
    );
    assert_eq!(
        count(Value::Null, Value::Null).await,
        expected(&endpoint, 39, 39, |_| true)
    );
    assert!(count(json!(hex(40)), json!(hex(50))).await.is_empty());
    let backwards = endpoint
        .client
        .call("eth_getLogs", json!([{"fromBlock": "0x5", "toBlock": "0x4"}]))
        .await;
    assert_eq!(backwards.unwrap_err()["message"], "invalid block range params");
}

#[tokio::test]
async fn one_block_by_its_hash() {
    let endpoint = endpoint().await;
    let block = busy_block(&endpoint.ledger);
    assert_eq!(
        endpoint.client.logs(json!({"blockHash": block.hash})).await,
        block_logs(&block)
    );
    let unknown = endpoint
        .client
        .call("eth_getLogs", json!([{"blockHash": B256::ZERO}]))
        .await
        .unwrap_err();
    assert_eq!(unknown["message"], "unknown block");
    let both = endpoint
        .client
        .call("eth_getLogs", json!([{"blockHash": block.hash, "fromBlock": "0x0"}]))
        .await;
    assert_eq!(both.unwrap_err()["code"], -32602);
}

#[tokio::test]
async fn filters_by_address_and_topics_at_every_position() {
    let endpoint = endpoint().await;
    let logs = logs_of(&endpoint.ledger.range(0, 39));
    let address = |index: usize| logs[index % logs.len()].1.address;
    let four = logs
        .iter()
        .map(|(_, log)| log)
        .find(|log| log.topics.len() == 4)
        .unwrap()
        .clone();
    let (one, other) = (address(3), address(50));
    let filter = |body: Value| {
        let mut body = body;
        body["fromBlock"] = json!("0x0");
        body["toBlock"] = json!("latest");
        let client = endpoint.client.clone();
        async move { client.logs(body).await }
    };
    let is = |wanted: &[Address]| {
        let wanted = wanted.to_vec();
        move |log: &Log| wanted.contains(&log.address)
    };
    assert_eq!(
        filter(json!({"address": one})).await,
        expected(&endpoint, 0, 39, is(&[one]))
    );
    assert_eq!(
        filter(json!({"address": [one, other]})).await,
        expected(&endpoint, 0, 39, is(&[one, other]))
    );
    assert_eq!(filter(json!({"address": []})).await.len(), logs.len());
    assert!(filter(json!({"address": Address::repeat_byte(9)})).await.is_empty());
    let [t0, t1, .., t3] = four.topics[..] else {
        panic!("the log has four topics")
    };
    let first = |log: &Log| log.topics.first() == Some(&t0);
    assert_eq!(filter(json!({"topics": [t0]})).await, expected(&endpoint, 0, 39, first));
    assert_eq!(
        filter(json!({"topics": [[t0, B256::ZERO]]})).await,
        expected(&endpoint, 0, 39, first)
    );
    let last = |log: &Log| log.topics.get(3) == Some(&t3);
    assert_eq!(
        filter(json!({"topics": [null, null, null, t3]})).await,
        expected(&endpoint, 0, 39, last)
    );
    let both = |log: &Log| first(log) && log.topics.get(1) == Some(&t1);
    assert_eq!(
        filter(json!({"topics": [[t0], [t1]]})).await,
        expected(&endpoint, 0, 39, both)
    );
    let long = |log: &Log| log.topics.len() >= 4;
    assert_eq!(
        filter(json!({"topics": [null, [], null, null]})).await,
        expected(&endpoint, 0, 39, long)
    );
    assert!(filter(json!({"topics": [B256::ZERO]})).await.is_empty());
}

#[tokio::test]
async fn logs_of_orphaned_blocks_are_found_by_hash_only() {
    let mut endpoint = endpoint().await;
    let orphan = endpoint.ledger.by_number(39).unwrap();
    let step = testchain::simulation::Step::Reorg {
        depth: 3,
        blocks: 4,
        branch: 1,
    };
    endpoint.simulation.play(step, &endpoint.ledger);
    assert_eq!(
        endpoint.client.logs(json!({"blockHash": orphan.hash})).await,
        block_logs(&orphan)
    );
    let canonical = endpoint
        .client
        .logs(json!({"fromBlock": "0x27", "toBlock": "0x27"}))
        .await;
    assert_eq!(canonical, expected(&endpoint, 39, 39, |_| true));
    assert!(canonical.iter().all(|log| log["blockHash"] != json!(orphan.hash)));
}
