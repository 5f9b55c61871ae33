//! Each method's plain answers.

use alloy_primitives::{Address, B256, Bytes};
use serde_json::{Value, json};
use std::sync::Arc;
use testchain::block::Header;
use testchain::faults::Faults;
use testchain::server::state::{Call, Canned, Revert};
use testchain::server::{serve_with_state, state};

use crate::chain::{LOOPBACK, busy_block, endpoint, simulated};
use crate::client::{Client, block_logs, hex};

#[tokio::test]
async fn identity_and_height() {
    let endpoint = endpoint().await;
    let client = &endpoint.client;
    assert_eq!(client.ask("eth_chainId", json!([])).await, "0x1");
    assert_eq!(client.ask("net_version", json!([])).await, "1");
    assert_eq!(client.ask("eth_blockNumber", json!([])).await, hex(39));
    assert!(
        client
            .ask("web3_clientVersion", json!([]))
            .await
            .as_str()
            .unwrap()
            .starts_with("testchain/")
    );
    assert_eq!(client.call("eth_mine", json!([])).await.unwrap_err()["code"], -32601);
}

#[tokio::test]
async fn blocks_by_number_hash_and_tag() {
    let endpoint = endpoint().await;
    let client = &endpoint.client;
    let number = |tag: &'static str| async move {
        client.ask("eth_getBlockByNumber", json!([tag, false])).await["number"].clone()
    };
    assert_eq!(number("latest").await, hex(39));
    assert_eq!(number("pending").await, hex(39));
    assert_eq!(number("safe").await, hex(35));
    assert_eq!(number("finalized").await, hex(31));
    assert_eq!(number("earliest").await, hex(0));
    let block = busy_block(&endpoint.ledger);
    let by_number = client
        .ask("eth_getBlockByNumber", json!([hex(block.number), false]))
        .await;
    assert_eq!(
        by_number,
        client.ask("eth_getBlockByHash", json!([block.hash, false])).await
    );
    let hashes: Vec<B256> = block.transactions.iter().map(|transaction| transaction.hash).collect();
    assert_eq!(by_number["transactions"], json!(hashes));
    let full = client.ask("eth_getBlockByHash", json!([block.hash, true])).await;
    assert_eq!(full["transactions"][0]["hash"], json!(hashes[0]));
    assert_eq!(full["transactions"][0]["blockHash"], json!(block.hash));
    assert_eq!(
        client.ask("eth_getBlockByNumber", json!([hex(40), false])).await,
        Value::Null
    );
    assert_eq!(
        client.ask("eth_getBlockByHash", json!([B256::ZERO, false])).await,
        Value::Null
    );
}

#[tokio::test]
async fn a_header_read_back_by_ethereum_rules_has_the_hash_it_came_under() {
    let endpoint = endpoint().await;
    for block in endpoint.ledger.range(0, 10) {
        let mut answer = endpoint
            .client
            .ask("eth_getBlockByHash", json!([block.hash, false]))
            .await;
        let parsed: alloy_consensus::Header = serde_json::from_value(answer.take()).unwrap();
        assert_eq!(parsed.hash_slow(), block.hash);
        assert!(matches!(&block.header, Header::Typed(header) if **header == parsed));
    }
}

#[tokio::test]
async fn receipts_by_number_hash_tag_and_transaction() {
    let endpoint = endpoint().await;
    let client = &endpoint.client;
    let block = busy_block(&endpoint.ledger);
    let receipts = client.ask("eth_getBlockReceipts", json!([hex(block.number)])).await;
    assert_eq!(receipts, client.ask("eth_getBlockReceipts", json!([block.hash])).await);
    assert_eq!(
        receipts,
        client
            .ask("eth_getBlockReceipts", json!([{"blockHash": block.hash}]))
            .await
    );
    assert!(client.ask("eth_getBlockReceipts", json!(["latest"])).await.is_array());
    assert_eq!(client.ask("eth_getBlockReceipts", json!([hex(400)])).await, Value::Null);
    let receipts = receipts.as_array().unwrap();
    assert_eq!(receipts.len(), block.transactions.len());
    let logs: Vec<Value> = receipts
        .iter()
        .flat_map(|receipt| receipt["logs"].as_array().unwrap().clone())
        .collect();
    assert_eq!(logs, block_logs(&block));
    for (receipt, transaction) in receipts.iter().zip(&block.transactions) {
        assert_eq!(
            *receipt,
            client.ask("eth_getTransactionReceipt", json!([transaction.hash])).await
        );
        let found = client.ask("eth_getTransactionByHash", json!([transaction.hash])).await;
        assert_eq!(found["hash"], json!(transaction.hash));
        assert_eq!(found["transactionIndex"], receipt["transactionIndex"]);
    }
    assert_eq!(
        client.ask("eth_getTransactionReceipt", json!([B256::ZERO])).await,
        Value::Null
    );
    assert_eq!(
        client.ask("eth_getTransactionByHash", json!([B256::ZERO])).await,
        Value::Null
    );
}

#[tokio::test]
async fn receipts_read_back_by_ethereum_rules_have_the_root_of_the_header() {
    use alloy_consensus::{ReceiptEnvelope, proofs::calculate_receipt_root};
    let endpoint = endpoint().await;
    let block = busy_block(&endpoint.ledger);
    let receipts = endpoint.client.ask("eth_getBlockReceipts", json!([block.hash])).await;
    let envelopes: Vec<ReceiptEnvelope> = receipts.as_array().unwrap().iter().map(envelope).collect();
    let Header::Typed(header) = &block.header else {
        panic!("simulated headers are typed")
    };
    assert_eq!(calculate_receipt_root(&envelopes), header.receipts_root);
}

/// What EIP-2718 commits to, out of a receipt's JSON.
fn envelope(receipt: &Value) -> alloy_consensus::ReceiptEnvelope {
    use alloy_consensus::{Receipt, ReceiptEnvelope, ReceiptWithBloom};
    let logs: Vec<alloy_primitives::Log> =
        serde_json::from_value(receipt["logs"].clone()).expect("logs are well formed");
    let gas: alloy_primitives::U64 =
        serde_json::from_value(receipt["cumulativeGasUsed"].clone()).expect("gas is a quantity");
    let with_bloom = ReceiptWithBloom {
        receipt: Receipt {
            status: (receipt["status"] == "0x1").into(),
            cumulative_gas_used: gas.to(),
            logs,
        },
        logs_bloom: serde_json::from_value(receipt["logsBloom"].clone()).expect("a bloom has 256 bytes"),
    };
    match receipt["type"].as_str() {
        Some("0x0") => ReceiptEnvelope::Legacy(with_bloom),
        _ => ReceiptEnvelope::Eip1559(with_bloom),
    }
}

#[tokio::test]
async fn batches_are_answered_in_order_and_each_on_its_own() {
    let endpoint = endpoint().await;
    let batch = json!([
        {"jsonrpc": "2.0", "id": "a", "method": "eth_chainId", "params": []},
        {"jsonrpc": "2.0", "id": 2, "method": "eth_nothing"},
        17,
        {"jsonrpc": "2.0", "id": 3, "method": "eth_blockNumber"},
    ]);
    let answers = endpoint.client.send(&batch).await;
    assert_eq!(answers[0], json!({"jsonrpc": "2.0", "id": "a", "result": "0x1"}));
    assert_eq!(answers[1]["error"]["code"], -32601);
    assert_eq!(answers[2]["error"]["code"], -32600);
    assert_eq!(answers[3]["result"], hex(39));
    let counts = endpoint.server.counts();
    assert_eq!((counts.requests, counts.calls_of("eth_chainId")), (1, 1));
    assert!(counts.bytes_in > 100 && counts.bytes_out > 100);
}

#[tokio::test]
async fn what_is_not_a_request_is_refused() {
    let endpoint = endpoint().await;
    let code = |body: &'static str| {
        let client = endpoint.client.clone();
        async move { client.post(body).await.unwrap().json::<Value>().await.unwrap()["error"]["code"].clone() }
    };
    assert_eq!(code("{").await, -32700);
    assert_eq!(code("").await, -32700);
    assert_eq!(code("[]").await, -32600);
    assert_eq!(code("{}").await, -32600);
    assert_eq!(
        code("{\"id\":1,\"method\":\"eth_getBlockByHash\",\"params\":[\"0x12\"]}").await,
        -32602
    );
    assert_eq!(
        code("{\"id\":1,\"method\":\"eth_getBlockByNumber\",\"params\":[\"12\"]}").await,
        -32602
    );
    assert_eq!(code("{\"id\":1,\"method\":\"eth_getBlockByNumber\"}").await, -32602);
    assert_eq!(
        code("{\"id\":1,\"method\":\"eth_getBlockByNumber\",\"params\":{}}").await,
        -32602
    );
    assert_eq!(
        code("{\"id\":1,\"method\":\"eth_subscribe\",\"params\":[\"newHeads\"]}").await,
        -32601
    );
    assert_eq!(reqwest::get(endpoint.server.http_url()).await.unwrap().status(), 405);
}

#[tokio::test]
async fn calls_are_answered_by_the_given_state() {
    let (_, ledger) = simulated(3);
    let contract = Address::repeat_byte(7);
    let call = (contract, Bytes::from_static(&[1, 2]));
    let state = Canned {
        calls: [(call, Bytes::from_static(&[3]))].into_iter().collect(),
        code: [(contract, Bytes::from_static(&[0x60]))].into_iter().collect(),
    };
    let server = serve_with_state(ledger.clone(), Faults::new(0), LOOPBACK, Arc::new(state))
        .await
        .unwrap();
    let client = Client::new(&format!("{}/v3/any-key", server.http_url()));
    for field in ["data", "input"] {
        assert_eq!(
            client
                .ask("eth_call", json!([{"to": contract, field: "0x0102"}, "latest"]))
                .await,
            "0x03"
        );
    }
    let refused = client
        .call("eth_call", json!([{"to": contract, "data": "0x"}, "latest"]))
        .await
        .unwrap_err();
    assert_eq!(
        refused,
        json!({"code": 3, "message": "execution reverted", "data": "0x"})
    );
    assert_eq!(client.ask("eth_getCode", json!([contract, "latest"])).await, "0x60");
    assert_eq!(client.ask("eth_getCode", json!([Address::ZERO, "0x0"])).await, "0x");
    let unknown = client
        .call("eth_call", json!([{"to": contract}, hex(99)]))
        .await
        .unwrap_err();
    assert_eq!(unknown["message"], "header not found");

    let height = |call: &Call| -> Result<Bytes, Revert> { Ok(Bytes::from(vec![call.block.number as u8])) };
    let state: Arc<dyn state::State> = Arc::new(height);
    let server = serve_with_state(ledger, Faults::new(0), LOOPBACK, state).await.unwrap();
    let client = Client::new(&server.http_url());
    assert_eq!(client.ask("eth_call", json!([{"to": contract}, "0x1"])).await, "0x01");
}

#[tokio::test]
async fn a_stopped_server_frees_its_port() {
    let endpoint = endpoint().await;
    let address = endpoint.server.address();
    endpoint.server.stop().await;
    assert!(endpoint.client.post("{}").await.is_err());
    let again = testchain::server::serve(endpoint.ledger, endpoint.faults, address)
        .await
        .unwrap();
    assert_eq!(
        Client::new(&again.http_url()).ask("eth_chainId", json!([])).await,
        "0x1"
    );
}
