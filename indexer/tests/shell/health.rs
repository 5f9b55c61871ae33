//! `/healthz`, `/readyz`, `/metrics`, and the names docs/METRICS.md explains.

use std::collections::BTreeSet;
use std::path::Path;

use decoders::block::ChainId;
use indexer::error::Exit;
use indexer::health::{EndpointSample, EndpointState, Health, server};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

#[tokio::test]
async fn readiness_carries_its_causes_and_the_server_stops_when_cancelled() {
    let health = Health::new();
    let listener = server::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
    let address = listener.local_addr().unwrap();
    let cancel = CancellationToken::new();
    let served = tokio::spawn(server::serve(listener, server::router(&health, None), cancel.clone()));
    let get = async |path: &str| {
        let answer = reqwest::get(format!("http://{address}{path}")).await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };

    assert_eq!(get("/healthz").await, (200, "ok\n".to_owned()));
    assert_eq!(get("/readyz").await.0, 200);
    let follower = health.readiness.task("follower eip155:1");
    let (code, body) = get("/readyz").await;
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(
        (code, &body["ready"], &body["causes"]["follower eip155:1"]),
        (503, &false.into(), &"starting".into())
    );
    follower.failing("no endpoint answers");
    assert!(get("/readyz").await.1.contains("no endpoint answers"));
    follower.ok();
    assert_eq!(get("/readyz").await.0, 200);
    assert_eq!(get("/nothing").await.0, 404);

    health.metrics.chain(ChainId(1)).head.set(7);
    let (code, text) = get("/metrics").await;
    assert_eq!(code, 200);
    assert!(text.contains("indexer_head_block{chain=\"eip155:1\"} 7"), "{text}");

    let taken = server::bind(address).await.unwrap_err();
    assert_eq!(taken.exit, Exit::Address);
    assert!(
        taken.message.contains(&address.to_string()) && taken.message.contains("api.listen"),
        "{}",
        taken.message
    );
    cancel.cancel();
    served.await.unwrap().unwrap();
}

const SAMPLE: EndpointSample = EndpointSample {
    id: 3,
    state: EndpointState::Ok,
    head: Some(9),
    latency_seconds: Some(0.1),
    requests: 5,
    failures: 1,
    lies: 0,
};

/// Touches every family, so that all of them are rendered.
fn touched() -> String {
    let health = Health::new();
    let metrics = &health.metrics;
    let chain = metrics.chain(ChainId(1));
    for gauge in [&chain.head, &chain.checkpoint, &chain.finalized, &chain.lag_blocks] {
        gauge.set(1);
    }
    chain.lag_seconds.set(0.5);
    for counter in [
        &chain.blocks,
        &chain.reorgs,
        &chain.rewound_blocks,
        &chain.archive_writes,
    ] {
        counter.inc();
    }
    chain.commit_seconds.observe(0.1);
    chain.fetch_seconds.observe(0.1);
    chain.events("mint", 2);
    chain.fault("erc721", "data_too_short");
    // Totals rise; one that falls began anew.
    for requests in [5, 7, 2] {
        metrics.endpoint(ChainId(1), &EndpointSample { requests, ..SAMPLE });
    }
    metrics.outbox_depth(4);
    metrics.confirmed(5);
    metrics.publish_failed(6);
    metrics.render().unwrap()
}

#[test]
fn every_metric_is_documented_and_every_documented_metric_exists() {
    let text = touched();
    let rendered: BTreeSet<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next())
        .collect();
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/METRICS.md")).unwrap();
    let documented: BTreeSet<&str> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `indexer_")?.split('`').next())
        .collect();
    let rendered: BTreeSet<&str> = rendered
        .iter()
        .filter_map(|name| name.strip_prefix("indexer_"))
        .collect();
    assert_eq!(rendered, documented);
    assert!(
        text.contains("indexer_events_total{chain=\"eip155:1\",kind=\"mint\"} 2"),
        "{text}"
    );
    for line in [
        "indexer_endpoint_state{chain=\"eip155:1\",endpoint=\"3\"} 3",
        "indexer_endpoint_requests_total{chain=\"eip155:1\",endpoint=\"3\"} 2",
    ] {
        assert!(text.contains(line), "no {line} in {text}");
    }
}

#[test]
fn an_endpoint_that_left_is_told_no_more() {
    let health = Health::new();
    health.metrics.forget_endpoint(ChainId(1), 3);
    health.metrics.endpoint(ChainId(1), &SAMPLE);
    assert!(health.metrics.render().unwrap().contains("endpoint=\"3\""));
    health.metrics.forget_endpoint(ChainId(1), 3);
    assert!(!health.metrics.render().unwrap().contains("endpoint=\"3\""));
}
