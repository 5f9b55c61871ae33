//! Services and endpoints that are missing or wrong, and a range indexed, repeated and replayed from the command line.

use std::net::SocketAddr;

use lapin::options::{BasicPublishOptions, ConfirmSelectOptions, ExchangeDeleteOptions, QueueDeleteOptions};
use lapin::{BasicProperties, Connection, ConnectionProperties};
use serde_json::Value;
use testchain::faults::Faults;
use testchain::ledger::{Finality, Ledger};
use testchain::server::{self, Server};
use testchain::simulation::{Settings, Simulation};
use testkit::database::Database;
use testkit::services::service;

use crate::commands::{Place, stated};

const FINALITY: Finality = Finality {
    safe_depth: 5,
    finalized_depth: 10,
};
const CHAIN: &str = "[[chains]]\ncaip2 = \"eip155:1\"\nname = \"Simulated\"\nnative_symbol = \"ETH\"\n";

/// A chain of 100 blocks behind an endpoint.
async fn node() -> Server {
    let mut simulation = Simulation::new(Settings {
        chain_id: 1,
        ..Settings::small(1)
    });
    let ledger = Ledger::new(1, simulation.blocks(100), FINALITY);
    server::serve(ledger, Faults::new(0), SocketAddr::from(([127, 0, 0, 1], 0)))
        .await
        .unwrap()
}

fn range<'a>(command: &'a str, to: &'a str) -> Vec<&'a str> {
    vec![command, "--chain", "eip155:1", "--from", "0", "--to", to]
}

#[tokio::test]
async fn a_missing_archive_ends_with_5_and_a_missing_broker_with_6() {
    let test = Database::empty(1).await;
    let place = Place::with(CHAIN);
    let run = |arguments: &[&str]| {
        let mut command = place.indexer(arguments);
        command.env("DATABASE_URL", &test.url);
        command
    };
    for arguments in [range("backfill", "1"), range("replay", "1"), vec!["run"]] {
        let mut command = run(&arguments);
        stated(
            command.env("MONGODB_URL", "mongodb://u:s3cr3t@127.0.0.1:1"),
            5,
            &["mongodb at 127.0.0.1:1", "start it", "archive.url"],
        );
    }
    // What looks like an address until the driver reads all of it.
    let run_with = |url: &str, code, part: &str| {
        stated(run(&["run"]).env("MONGODB_URL", url), code, &[part, "archive.url"]);
    };
    run_with(
        "mongodb://u:s3cr3t@a,b/?directConnection=true",
        3,
        "not a MongoDB address",
    );
    let mut tail = run(&["tail", "--from", "broker"]);
    stated(
        tail.env("AMQP_URL", "amqp://u:s3cr3t@127.0.0.1:1"),
        6,
        &["rabbitmq at 127.0.0.1:1", "start it", "broker.url"],
    );
    stated(
        &mut run(&["tail", "--from", "broker"]),
        3,
        &["no broker is configured", "AMQP_URL", "--from outbox"],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_is_declared_and_bound_from_the_command_line() {
    let url = service("TEST_AMQP_URL");
    let name = format!("bound_{}", uuid::Uuid::new_v4().simple());
    let place = Place::with(&format!("[broker]\nurl = {url:?}\nexchange = {name:?}\n"));
    // A second call finds all of it there.
    for _ in 0..2 {
        let output = place
            .indexer(&["bind-queue", &name, "--kind", "mint"])
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && text.contains("*.*.mint.#"), "{text}");
        assert!(text.contains("beside what it was bound to before"), "{text}");
    }

    let connection = Connection::connect(&url, ConnectionProperties::default())
        .await
        .unwrap();
    let channel = connection.create_channel().await.unwrap();
    let publish = async |key: &str| {
        let properties = BasicProperties::default();
        let options = BasicPublishOptions::default();
        let published = channel.basic_publish(name.as_str().into(), key.into(), options, b"x", properties);
        published.await.unwrap().await.unwrap();
    };
    channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
    publish("eip155.1.mint.0xab").await;
    publish("eip155.1.burn.0xab").await;
    let deleted = channel
        .queue_delete(name.as_str().into(), QueueDeleteOptions::default())
        .await
        .unwrap();
    assert_eq!(deleted, 1, "the mint alone was for the queue");
    let gone = channel.exchange_delete(name.as_str().into(), ExchangeDeleteOptions::default());
    gone.await.unwrap();
    let mut unreachable = place.indexer(&["bind-queue", &name]);
    stated(
        unreachable.env("AMQP_URL", "amqp://u:s3cr3t@127.0.0.1:1"),
        6,
        &["rabbitmq at 127.0.0.1:1", "start it"],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn endpoints_that_are_missing_or_wrong_have_codes_of_their_own() {
    let test = Database::empty(1).await;
    let other = "[[chains]]\ncaip2 = \"eip155:10\"\nname = \"Other\"\nnative_symbol = \"ETH\"\nenabled = false\n";
    let place = Place::with(&format!("[api]\nlisten = \"127.0.0.1:0\"\n{CHAIN}{other}"));
    let node = node().await;
    let url = node.http_url();
    let fails = |arguments: &[&str], code: i32, parts: &[&str]| {
        stated(place.indexer(arguments).env("DATABASE_URL", &test.url), code, parts);
    };
    for command in ["run", "backfill"] {
        let mut arguments = if command == "run" {
            vec!["run", "--chain", "eip155:1"]
        } else {
            range("backfill", "50")
        };
        arguments.extend(["--rpc", "http://127.0.0.1:1/s3cr3t"]);
        fails(
            &arguments,
            7,
            &[
                "no endpoint of eip155:1",
                "http://127.0.0.1:1",
                "start the node",
                "endpoints list",
            ],
        );
    }
    fails(&range("backfill", "50"), 7, &["eip155:1", "endpoint"]);
    let wrong = [
        "backfill",
        "--chain",
        "eip155:10",
        "--from",
        "0",
        "--to",
        "9",
        "--rpc",
        &url,
    ];
    fails(&wrong, 8, &["eip155:10", "eip155:1"]);
    fails(
        &["run", "--chain", "eip155:10", "--rpc", &url],
        8,
        &["eip155:10", "eip155:1"],
    );

    let mut above = range("backfill", "95");
    above.extend(["--rpc", &url]);
    fails(&above, 9, &["95", "89"]);
    fails(&range("replay", "50"), 9, &["archive holds nothing"]);
    for command in ["run", "backfill", "replay"] {
        let unknown = [command, "--chain", "eip155:77", "--from", "0", "--to", "1"];
        fails(
            if command == "run" { &unknown[..3] } else { &unknown },
            10,
            &["eip155:77 is not in the registry", "eip155:1, eip155:10 are"],
        );
    }
    for command in [
        &["faults", "list"][..],
        &["faults", "retry"],
        &["tail"],
        &["tail", "--from", "outbox"],
        &["registry", "endpoints", "list"],
        &["registry", "contracts", "list"],
        &["registry", "currencies", "list"],
    ] {
        let unknown = [command, &["--chain", "eip155:77"]].concat();
        fails(
            &unknown,
            10,
            &["eip155:77 is not in the registry", "eip155:1, eip155:10 are"],
        );
    }
    // A variable that is missing is the operator's to set, whatever becomes of the node.
    let mut unset = range("backfill", "50");
    unset.extend(["--rpc", "http://127.0.0.1:1/${UNSET_KEY}"]);
    fails(&unset, 3, &["UNSET_KEY", "set it"]);
    // Of the broker's messages none would ever come, so the broker is not even asked.
    for command in [&["tail", "--from", "broker"][..], &["bind-queue", "q"]] {
        let mut unknown = place.indexer(&[command, &["--chain", "eip155:77"]].concat());
        unknown
            .env("DATABASE_URL", &test.url)
            .env("AMQP_URL", "amqp://127.0.0.1:1");
        stated(&mut unknown, 10, &["eip155:77 is not in the registry"]);
    }
    let status = place
        .indexer(&["status"])
        .env("DATABASE_URL", &test.url)
        .output()
        .unwrap();
    let text = String::from_utf8(status.stdout).unwrap();
    assert!(
        text.contains("no endpoint is active: add one with") && !text.contains("--rpc"),
        "{text}"
    );
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_range_is_indexed_repeated_and_replayed_from_the_command_line() {
    let test = Database::empty(1).await;
    let place = Place::with(CHAIN);
    let node = node().await;
    let url = node.http_url();
    let out = |arguments: &[&str]| {
        let output = place
            .indexer(arguments)
            .env("DATABASE_URL", &test.url)
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    };
    let mut backfill = range("backfill", "80");
    backfill.extend(["--rpc", &url, "--workers", "3"]);
    out(&backfill);
    let calls = node.counts().calls_of("eth_getLogs");
    assert!(calls > 0);
    out(&backfill);
    assert_eq!(
        node.counts().calls_of("eth_getLogs"),
        calls,
        "what is covered is not read again"
    );
    out(&range("replay", "80"));

    let status: Value = serde_json::from_str(&out(&["status", "--json"])).unwrap();
    let chain = &status["chains"][0];
    assert_eq!(chain["chain"], "eip155:1", "{status}");
    assert_eq!(chain["coverage"]["erc721"]["covered_blocks"], 81, "{status}");
    assert!(out(&["status"]).contains("eip155:1"));
    let messages = out(&["tail", "--from", "outbox"]);
    let first: Value = serde_json::from_str(messages.lines().next().expect("transfers have messages")).unwrap();
    assert!(first.is_object(), "{first}");
    node.stop().await;
}
