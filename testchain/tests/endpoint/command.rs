//! The binary, as a person uses it.

use std::io::{BufRead, BufReader};
use std::process::{Command, Output, Stdio};

use serde_json::json;

use crate::chain::endpoint;
use crate::client::Client;

fn testchain(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_testchain"));
    command.args(arguments).stdin(Stdio::null());
    command
}

fn text(output: &[u8]) -> String {
    String::from_utf8_lossy(output).into_owned()
}

async fn run(arguments: &[&str]) -> Output {
    let mut command = testchain(arguments);
    tokio::task::spawn_blocking(move || command.output())
        .await
        .expect("not cancelled")
        .expect("the binary runs")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn record_inspect_and_serve() {
    let endpoint = endpoint().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("slice.testchain.zst");
    let path = path.to_str().unwrap();
    let recorded = run(&[
        "record",
        "--rpc",
        &endpoint.server.http_url(),
        "--from",
        "0",
        "--out",
        path,
    ])
    .await;
    assert!(recorded.status.success(), "{}", text(&recorded.stderr));
    let inspected = run(&["inspect", path]).await;
    assert!(
        text(&inspected.stdout).starts_with("chain 1: 40 blocks, "),
        "{}",
        text(&inspected.stdout)
    );
    assert!(text(&recorded.stdout).lines().next() == text(&inspected.stdout).lines().next());

    let mut serving = testchain(&["serve", path, "--listen", "127.0.0.1:0", "--claim-chain-id", "9"]);
    let mut serving = serving.stdout(Stdio::piped()).spawn().unwrap();
    let mut output = BufReader::new(serving.stdout.take().unwrap());
    let mut first = String::new();
    output.read_line(&mut first).unwrap();
    let url = first.split(' ').find(|word| word.starts_with("http://")).unwrap();
    let client = Client::new(url);
    assert_eq!(client.ask("eth_chainId", json!([])).await, "0x9");
    assert_eq!(client.ask("eth_blockNumber", json!([])).await, "0x27");
    serving.kill().unwrap();
    serving.wait().unwrap();
}

#[tokio::test]
async fn simulate_writes_the_same_recording_from_the_same_seed() {
    let folder = tempfile::tempdir().unwrap();
    let paths = [folder.path().join("a"), folder.path().join("b")];
    for path in &paths {
        let path = path.to_str().unwrap();
        let made = run(&[
            "simulate",
            "--seed",
            "5",
            "--blocks",
            "20",
            "--traffic",
            "small",
            "--out",
            path,
        ])
        .await;
        assert!(made.status.success(), "{}", text(&made.stderr));
    }
    assert_eq!(std::fs::read(&paths[0]).unwrap(), std::fs::read(&paths[1]).unwrap());
}

#[tokio::test]
async fn wrong_input_ends_with_a_message() {
    let missing = run(&["serve", "/nowhere/at/all"]).await;
    assert_eq!(missing.status.code(), Some(1));
    assert!(
        text(&missing.stderr).contains("failed to open /nowhere/at/all"),
        "{}",
        text(&missing.stderr)
    );
    let refused = run(&["record", "--from", "0", "--out", "x"]).await;
    assert_eq!(refused.status.code(), Some(2));
    let help = run(&["serve", "--help"]).await;
    assert!(text(&help.stdout).contains("Examples:"));
}
