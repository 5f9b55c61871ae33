//! A private anvil, and the questions tests put to it.

use std::fs::File;
use std::process::{Child, Command, Stdio};

use alloy_primitives::{Address, B256, Bytes};
use alloy_sol_types::SolCall;
use decoders::block::{BlockRef, ChainId};
use serde_json::{Value, json};
use tempfile::TempDir;

use testkit::patience::eventually;
use testkit::services::service;

/// Blocks between anvil's head and the block it calls safe; the finalized one lies twice as deep.
const SLOTS_IN_AN_EPOCH: u64 = 16;
/// Blocks between head and finalized block.
pub(crate) const FINALIZED_DEPTH: u64 = 2 * SLOTS_IN_AN_EPOCH;
/// Gas of every transaction: enough for the largest contract, and given, so that anvil does not try a transaction beforehand.
const GAS: &str = "0x7a1200";

/// A node that mines when asked to; killed when dropped.
pub(crate) struct Node {
    child: Child,
    address: String,
    client: reqwest::Client,
    /// Accounts whose transactions the node signs.
    pub(crate) accounts: Vec<Address>,
    _folder: TempDir,
}

impl Node {
    /// Starts anvil on a free port of the loopback address.
    pub(crate) async fn start() -> Node {
        let folder = TempDir::new().unwrap();
        let log = folder.path().join("anvil.log");
        let slots = SLOTS_IN_AN_EPOCH.to_string();
        let mut child = Command::new(service("TEST_ANVIL"))
            .args(["--host", "127.0.0.1", "--port", "0", "--no-mining", "--order", "fifo"])
            .args(["--preserve-historical-states", "--slots-in-an-epoch", &slots])
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(File::create(&log).unwrap())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let address = eventually("anvil listens", async || {
            assert!(child.try_wait().unwrap().is_none(), "anvil has ended");
            let text = std::fs::read_to_string(&log).unwrap();
            let stated = text.lines().find_map(|line| line.strip_prefix("Listening on "))?;
            Some(stated.to_owned())
        })
        .await;
        let mut node = Node {
            child,
            address,
            client: reqwest::Client::new(),
            accounts: Vec::new(),
            _folder: folder,
        };
        node.accounts = serde_json::from_value(node.call("eth_accounts", json!([])).await).unwrap();
        node
    }

    /// Its JSON-RPC over HTTP.
    pub(crate) fn http_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Its JSON-RPC over WebSocket.
    pub(crate) fn ws_url(&self) -> String {
        format!("ws://{}", self.address)
    }

    /// The chain it makes.
    pub(crate) fn chain(&self) -> ChainId {
        ChainId(31337)
    }

    /// Asks one question, which has to be answered.
    pub(crate) async fn call(&self, method: &str, params: Value) -> Value {
        let mut answers = self.batch(&[(method, params.clone())]).await;
        answers
            .remove(0)
            .unwrap_or_else(|error| panic!("{method} {params}: {error}"))
    }

    /// Asks many questions at once; what the node refuses is an error.
    async fn batch(&self, calls: &[(&str, Value)]) -> Vec<Result<Value, Value>> {
        let call = |(id, (method, params)): (usize, &(&str, Value))| json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
        let body: Vec<Value> = calls.iter().enumerate().map(call).collect();
        let request = self
            .client
            .post(self.http_url())
            .header("content-type", "application/json");
        let text = request
            .body(Value::from(body).to_string())
            .send()
            .await
            .unwrap()
            .text()
            .await
            .unwrap();
        let mut answers: Vec<Value> = serde_json::from_str(&text).unwrap();
        answers.sort_by_key(|answer| answer["id"].as_u64());
        assert_eq!(answers.len(), calls.len(), "{text}");
        answers
            .into_iter()
            .map(|answer| {
                if answer["error"].is_null() {
                    Ok(answer["result"].clone())
                } else {
                    Err(answer["error"].clone())
                }
            })
            .collect()
    }

    /// What each view function returns at the head; `None` where it reverts.
    pub(crate) async fn views<C: SolCall>(
        &self,
        calls: impl IntoIterator<Item = (Address, C)>,
    ) -> Vec<Option<C::Return>> {
        let ask = |(to, call): (Address, C)| {
            (
                "eth_call",
                json!([{ "to": to, "data": Bytes::from(call.abi_encode()) }, "latest"]),
            )
        };
        let calls: Vec<(&str, Value)> = calls.into_iter().map(ask).collect();
        let answers = self.batch(&calls).await;
        let read = |answer: Result<Value, Value>| {
            let bytes: Bytes = serde_json::from_value(answer.ok()?).unwrap();
            Some(C::abi_decode_returns(&bytes).unwrap())
        };
        answers.into_iter().map(read).collect()
    }

    /// The head.
    pub(crate) async fn head(&self) -> BlockRef {
        let head = self.call("eth_getBlockByNumber", json!(["latest", false])).await;
        let number = u64::from_str_radix(head["number"].as_str().unwrap().trim_start_matches("0x"), 16).unwrap();
        BlockRef {
            number,
            hash: head["hash"].as_str().unwrap().parse().unwrap(),
        }
    }

    /// Puts a transaction into the pool.
    pub(crate) async fn send(&self, request: &Value) -> B256 {
        serde_json::from_value(self.call("eth_sendTransaction", json!([request])).await).unwrap()
    }

    /// Mines a block of everything in the pool.
    pub(crate) async fn mine(&self) {
        self.call("anvil_mine", json!(["0x1"])).await;
    }

    /// Creates a contract and returns its address.
    pub(crate) async fn deploy(&self, from: Address, creation: &Bytes) -> Address {
        let hash = self.send(&json!({ "from": from, "data": creation, "gas": GAS })).await;
        self.mine().await;
        let receipt = self.call("eth_getTransactionReceipt", json!([hash])).await;
        assert_eq!(receipt["status"], "0x1", "a contract's creation: {receipt}");
        serde_json::from_value(receipt["contractAddress"].clone()).unwrap()
    }

    /// Replaces the highest `depth` blocks by as many others, which hold `transactions`, each with the place of its block
    /// among the new ones.
    pub(crate) async fn reorganise(&self, depth: u64, transactions: &[(Value, u64)]) {
        self.call("anvil_reorg", json!([depth, transactions])).await;
    }
}

/// A transaction that calls a contract.
pub(crate) fn transaction(from: Address, to: Address, call: &impl SolCall) -> Value {
    json!({ "from": from, "to": to, "data": Bytes::from(call.abi_encode()), "gas": GAS })
}

impl Drop for Node {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
