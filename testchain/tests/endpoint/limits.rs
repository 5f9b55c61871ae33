//! Refusals in the words of real providers.

use serde_json::{Value, json};
use testchain::faults::Settings;
use testchain::limits::{BatchRefusal, Limits, Wording};

use crate::chain::{Endpoint, endpoint_with};

async fn limited(limits: Limits) -> Endpoint {
    endpoint_with(Settings {
        limits,
        ..Settings::default()
    })
    .await
}

async fn refusal(endpoint: &Endpoint) -> Value {
    let whole = json!([{"fromBlock": "0x0", "toBlock": "0x27"}]);
    endpoint
        .client
        .call("eth_getLogs", whole)
        .await
        .expect_err("the limit is below the whole chain")
}

#[tokio::test]
async fn block_ranges() {
    let expected = [
        (Wording::Infura, -32602, "range 40 exceeds limit of 10"),
        (Wording::Ankr, -32602, "block range is too wide"),
        (Wording::QuickNode, -32614, "eth_getLogs is limited to a 10 range"),
        (Wording::Reth, -32602, "query exceeds max block range 10"),
        (Wording::Bsc, -32000, "exceed maximum block range: 10"),
        (Wording::Tenderly, -32602, "invalid params"),
    ];
    for (wording, code, message) in expected {
        let endpoint = limited(Limits {
            wording,
            block_range: Some(10),
            ..Limits::default()
        })
        .await;
        let refused = refusal(&endpoint).await;
        assert_eq!((&refused["code"], &refused["message"]), (&json!(code), &json!(message)));
        endpoint
            .client
            .logs(json!({"fromBlock": "0x5", "toBlock": "0xe"}))
            .await;
    }
}

#[tokio::test]
async fn results_with_a_suggested_range_that_works() {
    let endpoint = limited(Limits {
        results: Some(100),
        ..Limits::default()
    })
    .await;
    let refused = refusal(&endpoint).await;
    assert_eq!(refused["code"], -32005);
    let message = refused["message"].as_str().unwrap();
    assert!(
        message.starts_with("query returned more than 100 results. Try with this block range [0x0, 0x"),
        "{message}"
    );
    let fits = endpoint
        .client
        .logs(json!({"fromBlock": refused["data"]["from"], "toBlock": refused["data"]["to"]}))
        .await;
    assert!((1..=100).contains(&fits.len()));

    for (wording, code) in [
        (Wording::Alchemy, -32602),
        (Wording::Reth, -32602),
        (Wording::Bsc, -32000),
    ] {
        endpoint.faults.change(|settings| settings.limits.wording = wording);
        assert_eq!(refusal(&endpoint).await["code"], code);
    }
}

#[tokio::test]
async fn a_single_block_is_always_answered() {
    let endpoint = limited(Limits {
        results: Some(0),
        ..Limits::default()
    })
    .await;
    for number in 0..40_u64 {
        let number = crate::client::hex(number);
        endpoint
            .client
            .logs(json!({"fromBlock": number, "toBlock": number}))
            .await;
    }
}

#[tokio::test]
async fn sizes_of_answers_requests_and_batches() {
    let endpoint = limited(Limits {
        response_bytes: Some(5_000),
        ..Limits::default()
    })
    .await;
    assert_eq!(
        refusal(&endpoint).await["message"],
        "response size should not greater than 5000 bytes"
    );

    endpoint.faults.change(|settings| {
        settings.limits = Limits {
            body_bytes: Some(200),
            ..Limits::default()
        }
    });
    let long = json!({"id": 1, "method": "eth_chainId", "params": ["x".repeat(200)]});
    assert_eq!(endpoint.client.post(long.to_string()).await.unwrap().status(), 413);

    endpoint.faults.change(|settings| {
        settings.limits = Limits {
            batch: Some(2),
            ..Limits::default()
        }
    });
    let call = json!({"id": 1, "method": "eth_chainId"});
    assert_eq!(endpoint.client.send(&json!([call, call])).await[1]["result"], "0x1");
    assert_eq!(
        endpoint.client.send(&json!([call, call, call])).await["error"]["message"],
        "batch too large"
    );
}

#[tokio::test]
async fn every_wording_refuses_both_ways() {
    for wording in Wording::ALL {
        for limits in [
            Limits {
                wording,
                block_range: Some(2),
                ..Limits::default()
            },
            Limits {
                wording,
                results: Some(2),
                ..Limits::default()
            },
            Limits {
                wording,
                response_bytes: Some(2),
                ..Limits::default()
            },
        ] {
            let refused = refusal(&limited(limits).await).await;
            assert!(refused["code"].is_i64() && refused["message"].is_string(), "{refused}");
        }
    }
}

#[tokio::test]
async fn batches_are_refused_in_every_way_and_single_calls_are_answered() {
    for way in BatchRefusal::all() {
        let endpoint = limited(Limits {
            batch: Some(2),
            batch_refusal: *way,
            ..Limits::default()
        })
        .await;
        let batch = json!([1, 2, 3].map(|id| json!({"id": id, "method": "eth_chainId", "params": []})));
        let answer = endpoint.client.post(batch.to_string()).await.expect("an answer");
        let (status, answer) = (answer.status().as_u16(), answer.text().await.expect("a body"));
        let answered = |item: &Value| item["result"] == "0x1";
        let answers: Vec<bool> = match serde_json::from_str::<Value>(&answer) {
            Ok(Value::Array(items)) => items.iter().map(answered).collect(),
            Ok(item) => vec![answered(&item)],
            Err(_) => Vec::new(),
        };
        let expected: (u16, &[bool]) = match way {
            BatchRefusal::Stated | BatchRefusal::InvalidRequest => (200, &[false]),
            BatchRefusal::ParseError => (400, &[false]),
            BatchRefusal::ServerError => (500, &[false]),
            BatchRefusal::BadRequest => (400, &[]),
            BatchRefusal::TooLarge => (413, &[]),
            BatchRefusal::TooManyRequests => (429, &[]),
            BatchRefusal::PerCall => (200, &[true, true, false]),
            BatchRefusal::Cut => (200, &[true, true]),
            BatchRefusal::FirstAlone => (200, &[true]),
            BatchRefusal::Empty => (200, &[]),
        };
        assert_eq!((status, answers.as_slice()), expected, "{way:?}");
        assert_eq!(endpoint.server.counts().refused_batches, 1, "{way:?}");
    }
}

#[tokio::test]
async fn filters_with_too_many_addresses_or_topics() {
    let endpoint = limited(Limits {
        addresses: Some(2),
        topics: Some(1),
        ..Limits::default()
    })
    .await;
    let (one, other) = (format!("0x{:040x}", 1), format!("0x{:040x}", 2));
    let topic = format!("0x{:064x}", 1);
    let ask = |filter: Value| endpoint.client.call("eth_getLogs", json!([filter]));
    let words = json!("exceed max addresses or topics per search position");
    for filter in [
        json!({"fromBlock": "0x0", "toBlock": "0x1", "address": [one, other, one]}),
        json!({"fromBlock": "0x0", "toBlock": "0x1", "topics": [[topic, topic]]}),
    ] {
        assert_eq!(ask(filter).await.expect_err("beyond the limit")["message"], words);
    }
    let within = json!({"fromBlock": "0x0", "toBlock": "0x1", "address": [one, other], "topics": [[topic]]});
    ask(within).await.expect("within the limit");
}
