//! A JSON-RPC client that hides nothing.

use serde_json::{Value, json};
use testchain::block::{Block, Log};

#[derive(Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    url: String,
}

impl Client {
    pub(crate) fn new(url: &str) -> Self {
        Self {
            http: reqwest::Client::new(),
            url: url.to_owned(),
        }
    }

    pub(crate) async fn post(&self, body: impl Into<reqwest::Body>) -> reqwest::Result<reqwest::Response> {
        self.http.post(&self.url).body(body).send().await
    }

    /// The body of an answer that must be JSON.
    pub(crate) async fn send(&self, body: &Value) -> Value {
        let response = self.post(body.to_string()).await.expect("the server answers");
        assert_eq!(response.status(), 200);
        response.json().await.expect("answers are JSON")
    }

    /// The result, or the error object.
    pub(crate) async fn call(&self, method: &str, params: Value) -> Result<Value, Value> {
        let answer = self
            .send(&json!({"jsonrpc": "2.0", "id": 7, "method": method, "params": params}))
            .await;
        assert_eq!((&answer["jsonrpc"], &answer["id"]), (&json!("2.0"), &json!(7)));
        match answer.get("error") {
            Some(error) => Err(error.clone()),
            None => Ok(answer["result"].clone()),
        }
    }

    /// The result of a call that must succeed.
    pub(crate) async fn ask(&self, method: &str, params: Value) -> Value {
        self.call(method, params).await.expect("the call succeeds")
    }

    pub(crate) async fn logs(&self, filter: Value) -> Vec<Value> {
        let logs = self.ask("eth_getLogs", json!([filter])).await;
        logs.as_array().expect("logs are a list").clone()
    }
}

pub(crate) fn hex(number: u64) -> String {
    format!("{number:#x}")
}

/// A log as every node writes it, by way of `serde_json`.
pub(crate) fn log_json(block: &Block, transaction: usize, log: &Log) -> Value {
    json!({
        "address": log.address,
        "topics": log.topics,
        "data": log.data,
        "blockHash": block.hash,
        "blockNumber": hex(block.number),
        "blockTimestamp": hex(block.timestamp),
        "transactionHash": block.transactions[transaction].hash,
        "transactionIndex": hex(transaction as u64),
        "logIndex": hex(u64::from(log.log_index)),
        "removed": false,
    })
}

/// All logs of a block as every node writes them.
pub(crate) fn block_logs(block: &Block) -> Vec<Value> {
    let each = |(index, receipt): (usize, &testchain::block::Receipt)| {
        receipt
            .logs
            .iter()
            .map(|log| log_json(block, index, log))
            .collect::<Vec<_>>()
    };
    block.receipts.iter().enumerate().flat_map(each).collect()
}
