//! Each fault, seen from outside.

use std::time::{Duration, Instant};

use alloy_primitives::B256;
use serde_json::{Value, json};
use testchain::faults::{Failure, Faults, LogFaults, Settings};

use crate::chain::{Endpoint, busy_block, endpoint, endpoint_with, serve, simulated};
use crate::client::{Client, block_logs, hex};

const CHAIN_ID: &str = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"eth_chainId\",\"params\":[]}";

async fn header(endpoint: &Endpoint, number: u64) -> Value {
    endpoint
        .client
        .ask("eth_getBlockByNumber", json!([hex(number), false]))
        .await
}

#[tokio::test]
async fn latency_and_jitter() {
    let latency = Duration::from_millis(80);
    let endpoint = endpoint_with(Settings {
        latency,
        jitter: Duration::from_millis(40),
        ..Settings::default()
    })
    .await;
    let asked = Instant::now();
    endpoint.client.ask("eth_chainId", json!([])).await;
    assert!(asked.elapsed() >= latency);
}

#[tokio::test]
async fn rates_hit_about_as_often_as_they_say() {
    let endpoint = endpoint_with(Settings {
        error_rate: 0.3,
        ..Settings::default()
    })
    .await;
    let mut failed = 0;
    for _ in 0..200 {
        if let Err(error) = endpoint.client.call("eth_chainId", json!([])).await {
            assert_eq!(error["code"], -32603);
            failed += 1;
        }
    }
    assert!((35..=85).contains(&failed), "{failed} of 200");
    assert_eq!(endpoint.server.counts().failures, failed);
}

#[tokio::test]
async fn timeouts_are_never_answered_and_do_not_hold_up_a_stop() {
    let endpoint = endpoint_with(Settings {
        timeout_rate: 1.0,
        ..Settings::default()
    })
    .await;
    let client = endpoint.client.clone();
    let waiting = tokio::spawn(async move { client.post(CHAIN_ID).await });
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!waiting.is_finished());
    let stopping = Instant::now();
    endpoint.server.stop().await;
    assert!(stopping.elapsed() < Duration::from_secs(1));
    assert!(waiting.await.unwrap().map_or(true, |response| response.status() == 504));
}

#[tokio::test]
async fn rate_limits_by_status_and_by_error() {
    let endpoint = endpoint_with(Settings {
        too_many_requests_rate: 1.0,
        retry_after_s: Some(3),
        ..Settings::default()
    })
    .await;
    let response = endpoint.client.post(CHAIN_ID).await.unwrap();
    assert_eq!(response.status(), 429);
    assert_eq!(response.headers()["retry-after"], "3");
    endpoint.faults.set(Settings {
        rate_limit_rate: 1.0,
        ..Settings::default()
    });
    assert_eq!(
        endpoint.client.call("eth_chainId", json!([])).await.unwrap_err()["code"],
        -32005
    );
    let call = json!({"id": 4, "method": "eth_chainId"});
    let answers = endpoint.client.send(&json!([call, call])).await;
    assert_eq!(
        (&answers[1]["error"]["code"], &answers[1]["id"]),
        (&json!(-32005), &json!(4))
    );
    endpoint.faults.set(Settings {
        calls_per_second: Some(5),
        ..Settings::default()
    });
    let mut statuses = Vec::new();
    for _ in 0..20 {
        statuses.push(endpoint.client.post(CHAIN_ID).await.unwrap().status().as_u16());
    }
    assert_eq!(&statuses[..5], [200; 5]);
    assert!(statuses.contains(&429));
}

#[tokio::test]
async fn scripted_failures_then_health() {
    let endpoint = endpoint().await;
    endpoint.faults.fail_next(Failure::Status(502), 1);
    endpoint.faults.fail_next(Failure::Malformed, 1);
    endpoint.faults.fail_next(Failure::Internal, 1);
    assert_eq!(endpoint.client.post(CHAIN_ID).await.unwrap().status(), 502);
    let cut = endpoint.client.post(CHAIN_ID).await.unwrap();
    assert_eq!(cut.status(), 200);
    assert!(cut.json::<Value>().await.is_err());
    assert_eq!(
        endpoint.client.call("eth_chainId", json!([])).await.unwrap_err()["code"],
        -32603
    );
    assert_eq!(endpoint.client.ask("eth_chainId", json!([])).await, "0x1");
    endpoint.faults.set(Settings {
        server_error_rate: 1.0,
        ..Settings::default()
    });
    assert_eq!(endpoint.client.post(CHAIN_ID).await.unwrap().status(), 503);
    endpoint.faults.clear();
    assert_eq!(endpoint.client.ask("eth_chainId", json!([])).await, "0x1");
}

#[tokio::test]
async fn missing_and_wrong_logs_are_the_same_each_time_and_leave_receipts_alone() {
    let all = json!({"fromBlock": "0x0", "toBlock": "latest"});
    let endpoint = endpoint().await;
    let truth = endpoint.client.logs(all.clone()).await;
    endpoint.faults.change(|settings| settings.logs.missing_rate = 0.1);
    let lie = endpoint.client.logs(all.clone()).await;
    assert!(lie.len() < truth.len() && lie.len() > truth.len() / 2);
    assert!(lie.iter().all(|log| truth.contains(log)));
    assert_eq!(lie, endpoint.client.logs(all.clone()).await);
    let block = busy_block(&endpoint.ledger);
    let receipts = endpoint.client.ask("eth_getBlockReceipts", json!([block.hash])).await;
    let answered: Vec<Value> = receipts
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|receipt| receipt["logs"].as_array().unwrap().clone())
        .collect();
    assert_eq!(answered, block_logs(&block));

    endpoint.faults.set(Settings {
        logs: LogFaults {
            missing_rate: 0.0,
            wrong_rate: 0.2,
        },
        ..Settings::default()
    });
    let wrong = endpoint.client.logs(all.clone()).await;
    assert_eq!(wrong.len(), truth.len());
    let altered = wrong.iter().zip(&truth).filter(|(wrong, truth)| wrong != truth).count();
    assert!(altered > 0 && altered < truth.len() / 2);

    endpoint.faults.change(|settings| settings.lie_rate = 0.0);
    assert_eq!(endpoint.client.logs(all).await, truth);
}

#[tokio::test]
async fn receipts_without_logs_and_empty_answers() {
    let receipts = LogFaults {
        missing_rate: 1.0,
        wrong_rate: 0.0,
    };
    let endpoint = endpoint_with(Settings {
        receipts,
        empty_logs_rate: 1.0,
        ..Settings::default()
    })
    .await;
    let block = busy_block(&endpoint.ledger);
    let answered = endpoint.client.ask("eth_getBlockReceipts", json!([block.hash])).await;
    assert!(
        answered
            .as_array()
            .unwrap()
            .iter()
            .all(|receipt| receipt["logs"] == json!([]))
    );
    assert!(endpoint.client.logs(json!({"blockHash": block.hash})).await.is_empty());
}

#[tokio::test]
async fn logs_without_timestamps_as_on_older_nodes() {
    let endpoint = endpoint_with(Settings {
        omit_log_timestamps: true,
        ..Settings::default()
    })
    .await;
    let logs = endpoint
        .client
        .logs(json!({"fromBlock": "0x0", "toBlock": "latest"}))
        .await;
    assert!(logs.iter().all(|log| log.get("blockTimestamp").is_none()));
}

#[tokio::test]
async fn a_stale_endpoint_knows_nothing_newer() {
    let endpoint = endpoint_with(Settings {
        stale_by: 10,
        ..Settings::default()
    })
    .await;
    assert_eq!(endpoint.client.ask("eth_blockNumber", json!([])).await, hex(29));
    assert_eq!(header(&endpoint, 30).await, Value::Null);
    assert_eq!(
        endpoint
            .client
            .ask("eth_getBlockByNumber", json!(["finalized", false]))
            .await["number"],
        hex(29)
    );
    let newest = endpoint.ledger.head().unwrap();
    assert_eq!(
        endpoint
            .client
            .ask("eth_getBlockByHash", json!([newest.hash, false]))
            .await,
        Value::Null
    );
    assert_eq!(
        endpoint.client.ask("eth_getBlockReceipts", json!([newest.hash])).await,
        Value::Null
    );
    assert!(
        endpoint
            .client
            .logs(json!({"fromBlock": hex(30), "toBlock": hex(39)}))
            .await
            .is_empty()
    );
    let transaction = newest.transactions.first().unwrap().hash;
    assert_eq!(
        endpoint
            .client
            .ask("eth_getTransactionReceipt", json!([transaction]))
            .await,
        Value::Null
    );
}

#[tokio::test]
async fn two_endpoints_over_one_ledger_disagree_from_a_height_on() {
    let (mut simulation, ledger) = simulated(20);
    let honest = serve(&ledger, &Faults::new(0)).await;
    let other = serve(
        &ledger,
        &Faults::with(
            0,
            Settings {
                branch_from: Some(15),
                ..Settings::default()
            },
        ),
    )
    .await;
    let (honest, other_client) = (Client::new(&honest.http_url()), Client::new(&other.http_url()));
    ledger.extend(simulation.blocks(2));
    let mut parent = None;
    for number in 0..22_u64 {
        let ask = json!([hex(number), false]);
        let mine = honest.ask("eth_getBlockByNumber", ask.clone()).await;
        let theirs = other_client.ask("eth_getBlockByNumber", ask).await;
        assert_eq!(mine["hash"] == theirs["hash"], number < 15, "{number}");
        let parsed: alloy_consensus::Header = serde_json::from_value(theirs.clone()).unwrap();
        assert_eq!(
            json!(parsed.hash_slow()),
            theirs["hash"],
            "headers of the branch are valid"
        );
        assert!(parent.is_none_or(|parent| parent == theirs["parentHash"]));
        parent = Some(theirs["hash"].clone());
        let logs = other_client.logs(json!({"blockHash": theirs["hash"]})).await;
        assert!(logs.iter().all(|log| log["blockHash"] == theirs["hash"]));
        if number >= 15 {
            assert_eq!(
                other_client
                    .ask("eth_getBlockByHash", json!([mine["hash"], false]))
                    .await,
                Value::Null
            );
        }
    }
}

#[tokio::test]
async fn lies_about_headers() {
    let endpoint = endpoint_with(Settings {
        wrong_hash_rate: 1.0,
        ..Settings::default()
    })
    .await;
    let truth = endpoint.ledger.by_number(20).unwrap();
    assert_ne!(header(&endpoint, 20).await["hash"], json!(truth.hash));
    endpoint.faults.set(Settings {
        wrong_parent_rate: 1.0,
        ..Settings::default()
    });
    let lie = header(&endpoint, 20).await;
    assert_eq!(lie["hash"], json!(truth.hash));
    assert_ne!(lie["parentHash"], json!(truth.parent_hash));
    endpoint.faults.set(Settings {
        null_block_rate: 0.5,
        ..Settings::default()
    });
    let mut missing = 0;
    for number in 0..40 {
        missing += usize::from(header(&endpoint, number).await.is_null());
    }
    assert!((5..35).contains(&missing), "{missing} of 40");
}

#[tokio::test]
async fn a_wrong_chain_and_missing_methods() {
    let settings = Settings {
        chain_id: Some(5),
        missing_methods: vec!["eth_getBlockReceipts".to_owned()],
        ..Settings::default()
    };
    let endpoint = endpoint_with(settings).await;
    assert_eq!(endpoint.client.ask("eth_chainId", json!([])).await, "0x5");
    assert_eq!(endpoint.client.ask("net_version", json!([])).await, "5");
    let refused = endpoint
        .client
        .call("eth_getBlockReceipts", json!([B256::ZERO]))
        .await
        .unwrap_err();
    assert_eq!(refused["code"], -32601);
}

#[tokio::test]
async fn every_third_request_and_every_call_of_a_method_fails() {
    let endpoint = endpoint_with(Settings {
        fail_every: Some((3, Failure::Internal)),
        failing_methods: vec!["eth_getLogs".to_owned()],
        ..Settings::default()
    })
    .await;
    let mut outcomes = Vec::new();
    for _ in 0..6 {
        outcomes.push(endpoint.client.call("eth_chainId", json!([])).await.is_ok());
    }
    assert_eq!(outcomes, [true, true, false, true, true, false]);
    endpoint.faults.change(|settings| settings.fail_every = None);
    let failed = endpoint.client.call("eth_getLogs", json!([{}])).await;
    assert_eq!(failed.expect_err("it always fails")["code"], -32603);
}

#[tokio::test]
async fn calls_of_one_batch_fail_by_themselves_and_come_in_another_order() {
    let endpoint = endpoint_with(Settings {
        call_error_rate: 0.3,
        shuffle_batches: true,
        ..Settings::default()
    })
    .await;
    let batch: Vec<Value> = (0..100)
        .map(|id| json!({"id": id, "method": "eth_chainId", "params": []}))
        .collect();
    let answers = endpoint.client.send(&Value::Array(batch)).await;
    let answers = answers.as_array().expect("a batch is answered by a list");
    assert_eq!((answers.len(), &answers[0]["id"]), (100, &json!(99)));
    let failed = answers.iter().filter(|answer| answer.get("error").is_some()).count();
    assert!((15..=45).contains(&failed), "{failed} of 100");
}
