//! `/healthz`, `/readyz`, `/metrics`, and the names docs/METRICS.md explains.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use decoders::block::ChainId;
use indexer::error::Exit;
use indexer::health::server::Limits;
use indexer::health::{EndpointSample, EndpointState, Health, Metrics, server};
use queries::status::{ChainStatus, CheckpointBlock};
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

    let (code, text) = get("/metrics").await;
    assert_eq!(code, 200);
    assert!(text.contains("indexer_build_info{"), "{text}");

    let taken = server::bind(address).await.unwrap_err();
    assert_eq!(taken.exit, Exit::Address);
    assert!(
        taken.message.contains(&address.to_string()) && taken.message.contains("api.listen"),
        "{}",
        taken.message
    );
    cancel.cancel();
    served.await.unwrap();
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
    chain.archive_seconds.observe(0.1);
    chain.events("mint", 2);
    chain.fault("erc721", "data_too_short");
    // Totals rise; one that falls began anew.
    for requests in [5, 7, 2] {
        show(metrics, &[EndpointSample { requests, ..SAMPLE }]);
    }
    metrics.confirmed(5);
    metrics.publish_failed(6);
    metrics.render(&[standing()], NOW.parse().unwrap()).unwrap()
}

/// When the chain below is looked at.
const NOW: &str = "2026-01-01T00:01:00Z";

/// A chain whose head was stored 20 s ago, and whose checkpoint is 50 s old.
fn standing() -> ChainStatus {
    ChainStatus {
        chain: "eip155:1".to_owned(),
        name: "One".to_owned(),
        enabled: true,
        start_block: 0,
        checkpoint: Some(CheckpointBlock {
            number: 5,
            hash: String::new(),
            time: Some("2026-01-01T00:00:10Z".parse().unwrap()),
            updated_at: "2026-01-01T00:00:30Z".parse().unwrap(),
        }),
        head: Some(9),
        safe: None,
        finalized: Some(3),
        lag_blocks: Some(4),
        observed_at: Some("2026-01-01T00:00:40Z".parse().unwrap()),
        held_until: None,
        outbox: 6,
        outbox_expired: 0,
        coverage: BTreeMap::new(),
    }
}

#[test]
fn where_a_chain_stands_is_told_by_the_tables_and_the_clock_and_no_longer_than_it_is_enabled() {
    let metrics = &Health::new().metrics;
    let (mut chain, now) = (standing(), NOW.parse().unwrap());
    let text = metrics.render(std::slice::from_ref(&chain), now).unwrap();
    for line in [
        "indexer_head_block{chain=\"eip155:1\"} 9",
        "indexer_checkpoint_block{chain=\"eip155:1\"} 5",
        "indexer_lag_blocks{chain=\"eip155:1\"} 4",
        "indexer_lag_seconds{chain=\"eip155:1\"} 50",
        "indexer_head_observed_seconds{chain=\"eip155:1\"} 20",
        "indexer_outbox_depth{chain=\"eip155:1\"} 6",
    ] {
        assert!(text.contains(line), "no {line} in {text}");
    }
    // Nothing new is stored while a node hangs, and time goes on.
    let later = now + chrono::TimeDelta::seconds(100);
    let text = metrics.render(std::slice::from_ref(&chain), later).unwrap();
    assert!(text.contains("indexer_lag_seconds{chain=\"eip155:1\"} 150"), "{text}");
    // Nothing is made up of what is not known.
    chain.checkpoint = None;
    chain.lag_blocks = None;
    let text = metrics.render(std::slice::from_ref(&chain), later).unwrap();
    assert!(!text.contains("indexer_lag_"), "{text}");
    chain.enabled = false;
    let text = metrics.render(&[chain], later).unwrap();
    assert!(!text.contains("eip155:1"), "{text}");
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
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
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

/// Records the endpoints of the first chain.
fn show(metrics: &Metrics, samples: &[EndpointSample]) {
    metrics.endpoints(&BTreeMap::from([(ChainId(1), samples.to_vec())]));
}

#[test]
fn endpoints_and_chains_that_left_are_shown_no_more() {
    let metrics = Health::new().metrics;
    let render = || metrics.render(&[], NOW.parse().unwrap()).unwrap();
    let (other, chain) = (EndpointSample { id: 4, ..SAMPLE }, metrics.chain(ChainId(1)));
    show(&metrics, &[SAMPLE, other]);
    assert!(render().contains("endpoint=\"3\"") && render().contains("endpoint=\"4\""));
    show(&metrics, &[other]);
    assert!(!render().contains("endpoint=\"3\"") && render().contains("endpoint=\"4\""));
    // Its URL was edited: of the new one nothing is known yet.
    let unknown = EndpointSample {
        head: None,
        latency_seconds: None,
        ..other
    };
    show(&metrics, &[unknown]);
    for family in ["indexer_endpoint_head_block{", "indexer_endpoint_latency_seconds{"] {
        assert!(!render().contains(family), "{family} in {}", render());
    }
    metrics.endpoints(&BTreeMap::new());
    assert!(!render().contains("endpoint=\""), "{}", render());

    chain.events("mint", 2);
    chain.fault("erc721", "data_too_short");
    chain.commit_seconds.observe(0.1);
    metrics.chain(ChainId(2)).blocks.inc();
    metrics.keep_chains(&BTreeSet::from([ChainId(1), ChainId(2)]));
    assert!(render().contains("kind=\"mint\"") && render().contains("eip155:2"));
    metrics.keep_chains(&BTreeSet::from([ChainId(2)]));
    assert!(
        !render().contains("eip155:1") && render().contains("eip155:2"),
        "{}",
        render()
    );
}

#[test]
fn endpoints_of_the_command_line_have_a_label_to_read() {
    let health = Health::new();
    let present = BTreeMap::from([(ChainId(1), vec![EndpointSample { id: -2, ..SAMPLE }])]);
    health.metrics.endpoints(&present);
    let text = health.metrics.render(&[], NOW.parse().unwrap()).unwrap();
    assert!(
        text.contains("endpoint=\"rpc-2\"") && !text.contains("endpoint=\"-2\""),
        "{text}"
    );
    health.metrics.endpoints(&BTreeMap::new());
    assert!(
        !health
            .metrics
            .render(&[], NOW.parse().unwrap())
            .unwrap()
            .contains("rpc-2")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_sends_or_takes_nothing_is_left_and_makes_room_for_others() {
    let big = Router::new().route("/big", get(async || vec![b'x'; 64 << 20]));
    let listener = server::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
    let address = listener.local_addr().unwrap();
    let limits = Limits {
        connections: 1,
        head: Duration::from_millis(200),
        answer: Duration::from_millis(200),
    };
    let cancel = CancellationToken::new();
    let router = server::router(&Health::new(), Some(big));
    let served = tokio::spawn(server::serve_within(limits, listener, router, cancel.clone()));
    let requests: [&[u8]; 4] = [
        b"",
        b"GET /healthz HTTP/1.1\r\nhost: x\r\n",
        b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET /big HTTP/1.1\r\nhost: x\r\n\r\n",
    ];
    for request in requests {
        let mut stuck = std::net::TcpStream::connect(address).unwrap();
        stuck.write_all(request).unwrap();
        // The one place there is taken until the server gives the other client up.
        let client = reqwest::Client::builder().pool_max_idle_per_host(0).build().unwrap();
        let answer = client.get(format!("http://{address}/healthz")).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), 200, "{}", String::from_utf8_lossy(request));
        drop(stuck);
    }
    cancel.cancel();
    served.await.unwrap();
}

/// Longer than any test takes: a limit of time that plays no part.
const NEVER: Duration = Duration::from_secs(3_600);

/// `path` asked over a connection of its own.
async fn asked(address: std::net::SocketAddr, path: &str) -> u16 {
    let client = reqwest::Client::builder().pool_max_idle_per_host(0).build().unwrap();
    let answer = client.get(format!("http://{address}{path}")).send();
    let answer = tokio::time::timeout(Duration::from_secs(100), answer).await;
    answer.expect("the server answers").unwrap().status().as_u16()
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_hold_every_connection_and_ask_nothing_keep_no_probe_out() {
    let listener = server::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
    let address = listener.local_addr().unwrap();
    let limits = Limits {
        connections: 8,
        head: NEVER,
        answer: NEVER,
    };
    let (entered, mut entries) = tokio::sync::mpsc::unbounded_channel();
    let release = CancellationToken::new();
    let released = release.clone();
    let slow = Router::new().route(
        "/slow",
        get(async move || {
            entered.send(()).unwrap();
            released.cancelled().await;
        }),
    );
    let cancel = CancellationToken::new();
    let router = server::router(&Health::new(), Some(slow));
    let served = tokio::spawn(server::serve_within(limits, listener, router, cancel.clone()));
    // One request is under way; however many come, it is answered.
    let honest = tokio::spawn(asked(address, "/slow"));
    entries.recv().await.unwrap();
    let mut held = Vec::new();
    for request in [
        &b""[..],
        b"GET /readyz HTTP/1.1\r\nhost",
        b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n",
    ] {
        for _ in 0..3 * limits.connections {
            let mut client = std::net::TcpStream::connect(address).unwrap();
            client.write_all(request).unwrap();
            held.push(client);
        }
        for path in ["/healthz", "/readyz", "/metrics"] {
            assert_eq!(asked(address, path).await, 200, "{path}");
        }
    }
    release.cancel();
    assert_eq!(honest.await.unwrap(), 200);
    drop(held);
    cancel.cancel();
    served.await.unwrap();
}
