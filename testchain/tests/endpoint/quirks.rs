//! Each kind of habit, seen from outside.

use serde_json::{Value, json};
use testchain::quirks::{Quirk, Reply};

use crate::chain::{busy_block, endpoint};

#[tokio::test]
async fn a_habit_concerns_its_method_and_sees_question_and_truth() {
    let endpoint = endpoint().await;
    let head = json!("0x27");
    assert_eq!(endpoint.client.ask("eth_blockNumber", json!([])).await, head);
    let doubled = Quirk::new("eth_blockNumber", |params, truth| {
        assert!(params.is_empty());
        truth.map(|head| *head = json!([head.clone(), head.clone()]))
    });
    endpoint.faults.change(|faults| faults.quirks = vec![doubled]);
    assert_eq!(
        endpoint.client.ask("eth_blockNumber", json!([])).await,
        json!([head, head])
    );
    assert_eq!(endpoint.client.ask("eth_chainId", json!([])).await, json!("0x1"));
}

#[tokio::test]
async fn blocks_named_by_hash_and_logs_wherever_they_stand_can_be_picked_out() {
    let endpoint = endpoint().await;
    let block = busy_block(&endpoint.ledger);
    let by_hash = Quirk::by_hash("eth_getBlockReceipts", Reply::error(-32602, "no"));
    let removed = |method| Quirk::logs(method, |place, log| log["removed"] = json!(place));
    let quirks = vec![by_hash, removed("eth_getLogs"), removed("eth_getBlockReceipts")];
    endpoint.faults.change(|faults| faults.quirks = quirks);
    let refused = endpoint.client.call("eth_getBlockReceipts", json!([block.hash])).await;
    assert_eq!(refused.unwrap_err(), json!({"code": -32602, "message": "no"}));
    let receipts = endpoint
        .client
        .ask("eth_getBlockReceipts", json!([format!("{:#x}", block.number)]))
        .await;
    let receipts = receipts.as_array().unwrap().iter();
    let logs = receipts.flat_map(|receipt| receipt["logs"].as_array().unwrap().clone());
    let in_receipts: Vec<Value> = logs.map(|log| log["removed"].clone()).collect();
    let logs = endpoint.client.logs(json!({"blockHash": block.hash})).await;
    let in_logs: Vec<Value> = logs.iter().map(|log| log["removed"].clone()).collect();
    let places: Vec<Value> = (0..logs.len()).map(|place| json!(place)).collect();
    assert_eq!((in_receipts, in_logs), (places.clone(), places));
}

#[tokio::test]
async fn an_answer_may_be_any_text_or_hold_nothing() {
    let endpoint = endpoint().await;
    let question = |id| json!({"jsonrpc": "2.0", "id": id, "method": "eth_chainId", "params": []});
    let text = Quirk::always("eth_chainId", Reply::Text(r#"{"a":1,"a":2}"#.to_owned()));
    endpoint.faults.change(|faults| faults.quirks = vec![text]);
    let answer = endpoint
        .client
        .post(question(1).to_string())
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    assert_eq!(answer, r#"{"jsonrpc":"2.0","id":1,"result":{"a":1,"a":2}}"#);
    let nothing = Quirk::always("eth_chainId", Reply::Nothing);
    endpoint.faults.change(|faults| faults.quirks = vec![nothing]);
    let answer = endpoint.client.send(&json!([question(1), question(2)])).await;
    assert_eq!(
        answer,
        json!([{"jsonrpc": "2.0", "id": 1}, {"jsonrpc": "2.0", "id": 2}])
    );
}
