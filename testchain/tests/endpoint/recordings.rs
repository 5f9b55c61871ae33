//! Record, read, serve again: nothing changes on the way.

use std::time::Duration;

use serde_json::{Value, json};
use testchain::faults::{Failure, Faults, LogFaults, Settings};
use testchain::ledger::Ledger;
use testchain::playback::playback;
use testchain::recording::{self, RecordingError};
use tokio_util::sync::CancellationToken;

use crate::chain::{Endpoint, FINALITY, endpoint, endpoint_with, serve};
use crate::client::{Client, hex};

/// Everything an endpoint returns about the blocks of a ledger.
pub(crate) async fn everything(client: &Client, ledger: &Ledger) -> Vec<Value> {
    let mut answers = Vec::new();
    for block in ledger.range(0, u64::MAX) {
        for (method, params) in [
            ("eth_getBlockByHash", json!([block.hash, true])),
            ("eth_getBlockReceipts", json!([hex(block.number)])),
            ("eth_getLogs", json!([{"blockHash": block.hash}])),
        ] {
            answers.push(client.ask(method, params).await);
        }
    }
    answers
}

async fn assert_round_trip(endpoint: &Endpoint) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("slice.testchain.zst");
    let summary = recording::record(&endpoint.server.http_url(), 0, 39, &path)
        .await
        .expect("recording succeeds");
    assert_eq!((summary.chain_id, summary.blocks, summary.absent_receipts), (1, 40, 0));
    assert!(summary.logs > 200);
    endpoint.faults.clear();
    let replayed = recording::read(&path).expect("the file was just written").into_ledger();
    let server = serve(&replayed, &Faults::new(0)).await;
    let client = Client::new(&server.http_url());
    assert_eq!(
        everything(&client, &endpoint.ledger).await,
        everything(&endpoint.client, &endpoint.ledger).await
    );
    assert_eq!(
        client.ask("eth_getBlockByNumber", json!(["finalized", false])).await["number"],
        hex(39)
    );
}

#[tokio::test]
async fn a_recording_served_again_says_the_same() {
    assert_round_trip(&endpoint().await).await;
}

#[tokio::test]
async fn recording_survives_an_endpoint_without_block_receipts_that_fails_now_and_then() {
    let missing_methods = vec!["eth_getBlockReceipts".to_owned()];
    let endpoint = endpoint_with(Settings {
        missing_methods,
        ..Settings::default()
    })
    .await;
    endpoint.faults.fail_next(Failure::Status(503), 1);
    endpoint.faults.fail_next(Failure::TooManyRequests, 1);
    assert_round_trip(&endpoint).await;
}

#[tokio::test]
async fn what_the_writer_writes_without_an_endpoint_reads_the_same() {
    let endpoint = endpoint().await;
    let mut writer = recording::Writer::new(Vec::new(), 1).unwrap();
    for block in endpoint.ledger.range(0, u64::MAX) {
        writer.write(&block).unwrap();
    }
    let bytes = writer.finish().unwrap();
    let logs = endpoint
        .client
        .logs(json!({"fromBlock": "0x0", "toBlock": "latest"}))
        .await
        .len();
    assert!(bytes.len() < logs * 400, "{} bytes for {logs} logs", bytes.len());
    let replayed = recording::read_from(&*bytes).unwrap().into_ledger();
    let server = serve(&replayed, &Faults::new(0)).await;
    let client = Client::new(&server.http_url());
    assert_eq!(
        everything(&client, &endpoint.ledger).await,
        everything(&endpoint.client, &endpoint.ledger).await
    );
}

#[tokio::test]
async fn a_lying_endpoint_is_not_recorded() {
    let receipts = LogFaults {
        missing_rate: 0.2,
        wrong_rate: 0.0,
    };
    let endpoint = endpoint_with(Settings {
        receipts,
        ..Settings::default()
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lie");
    let failed = recording::record(&endpoint.server.http_url(), 0, 39, &path)
        .await
        .unwrap_err();
    assert!(
        matches!(&failed, RecordingError::Block { source, .. } if matches!(**source, RecordingError::Logs { .. })),
        "{failed:?}"
    );
    assert!(!path.exists());
}

#[tokio::test]
async fn missing_blocks_and_empty_ranges_are_errors() {
    let endpoint = endpoint().await;
    let mut recorder = recording::Recorder::connect(&endpoint.server.http_url()).await.unwrap();
    assert_eq!(recorder.head().await.unwrap(), 39);
    let beyond = recorder.record_into(38..=41, Vec::new(), |_| ()).await.unwrap_err();
    assert!(matches!(beyond, RecordingError::NoBlock { number: 40 }), "{beyond:?}");
    let (from, to) = (3, 2);
    let empty = recorder.record_into(from..=to, Vec::new(), |_| ()).await.unwrap_err();
    assert!(matches!(empty, RecordingError::Range { .. }));
}

#[tokio::test]
async fn damaged_files_are_refused() {
    let mut writer = recording::Writer::new(Vec::new(), 1).unwrap();
    for block in endpoint().await.ledger.range(0, 5) {
        writer.write(&block).unwrap();
    }
    let whole = writer.finish().unwrap();
    assert_eq!(recording::read_from(&*whole).unwrap().blocks.len(), 6);
    assert!(recording::read_from(&whole[..whole.len() / 2]).is_err());
    assert!(matches!(
        recording::read_from(&b"not a recording"[..]),
        Err(RecordingError::Format)
    ));
    let foreign = zstd::encode_all(&b"{\"format\":\"other\",\"version\":1,\"chainId\":1}\n"[..], 1).unwrap();
    assert!(matches!(recording::read_from(&*foreign), Err(RecordingError::Format)));
}

#[tokio::test]
async fn a_playback_reveals_block_after_block() {
    let endpoint = endpoint().await;
    let mut writer = recording::Writer::new(Vec::new(), 1).unwrap();
    for block in endpoint.ledger.range(0, 9) {
        writer.write(&block).unwrap();
    }
    let recorded = recording::read_from(&*writer.finish().unwrap()).unwrap();
    let (ledger, mut rest) = playback(recorded, 3, FINALITY);
    assert_eq!(ledger.head().unwrap().number, 3);
    assert_eq!(rest.step(), Some(4));
    let mut heads = ledger.watch_head();
    heads.mark_unchanged();
    let running = tokio::spawn(rest.run(Duration::from_millis(5), CancellationToken::new()));
    heads.changed().await.unwrap();
    running.await.unwrap();
    assert_eq!(ledger.head().unwrap().number, 9);
}
