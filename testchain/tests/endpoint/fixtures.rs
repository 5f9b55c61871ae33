//! Real blocks: served as they were recorded, odd chains included.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};
use testchain::block::Block;
use testchain::faults::{Faults, Settings};
use testchain::recording::{self, Recorded};

use crate::chain::serve;
use crate::client::{Client, hex};
use crate::recordings::everything;

testkit::on_real_blocks!(
    async fn every_block_is_served_as_it_was_recorded,
    async fn odd_chains_survive_being_recorded_and_branched,
);

/// A block file as it is, read by other means than the product's.
fn verbatim(folder: &Path, chain_id: u64, number: u64) -> Value {
    let path = folder.join(format!("{chain_id}-{number}.json.gz"));
    let file = std::fs::File::open(path).expect("the file is there");
    let text = std::io::read_to_string(flate2::read::GzDecoder::new(file)).expect("the file is gzip");
    serde_json::from_str(&text).expect("the file is JSON")
}

fn receipts_of(block: &Block) -> usize {
    block.receipts.iter().filter(|receipt| !receipt.is_absent()).count()
}

async fn every_block_is_served_as_it_was_recorded(folder: &Path) {
    let folder = folder.join("blocks");
    let mut blocks = 0;
    for Recorded {
        chain_id,
        blocks: recorded,
    } in recording::open_folder(&folder).unwrap()
    {
        let ledger = Recorded {
            chain_id,
            blocks: recorded,
        }
        .into_ledger();
        // The files' logs carry no timestamps, or not all of them.
        let faults = Faults::with(
            0,
            Settings {
                omit_log_timestamps: true,
                ..Settings::default()
            },
        );
        let server = serve(&ledger, &faults).await;
        let client = Client::new(&server.http_url());
        for block in ledger.range(0, u64::MAX) {
            blocks += 1;
            assert_block(&client, &folder, chain_id, &block).await;
        }
    }
    assert_eq!(blocks, std::fs::read_dir(folder).unwrap().count());
}

async fn assert_block(client: &Client, folder: &Path, chain_id: u64, block: &Arc<Block>) {
    let mut file = verbatim(folder, chain_id, block.number);
    let receipts = file["receipts"].as_array_mut().expect("receipts are a list");
    for log in receipts
        .iter_mut()
        .flat_map(|receipt| receipt["logs"].as_array_mut().expect("logs are a list"))
    {
        lower(log);
    }
    // One block was fetched without its transactions; those are put together from what its receipts state.
    let full = file["block"]["transactions"][0].is_object();
    let answer = client.ask("eth_getBlockByHash", json!([block.hash, full])).await;
    assert_eq!(answer, file["block"], "{chain_id}-{}", block.number);
    let served = client.ask("eth_getBlockReceipts", json!([hex(block.number)])).await;
    assert_eq!(served, file["receipts"], "{chain_id}-{}", block.number);
    let answered: Vec<Value> = served
        .as_array()
        .into_iter()
        .flatten()
        .flat_map(|receipt| receipt["logs"].as_array().cloned().unwrap_or_default())
        .collect();
    assert_eq!(client.logs(json!({"blockHash": block.hash})).await, answered);
    let number = hex(block.number);
    assert_eq!(
        client.logs(json!({"fromBlock": number, "toBlock": number})).await,
        answered
    );
}

/// Addresses are served in lower case, and without the timestamps that only some files have.
fn lower(log: &mut Value) {
    log["address"] = json!(log["address"].as_str().expect("an address").to_lowercase());
    log.as_object_mut()
        .expect("a log is an object")
        .remove("blockTimestamp");
}

async fn odd_chains_survive_being_recorded_and_branched(folder: &Path) {
    let folder = folder.join("blocks");
    let chains: HashMap<u64, Recorded> = recording::open_folder(&folder)
        .unwrap()
        .into_iter()
        .map(|one| (one.chain_id, one))
        .collect();
    let cronos = chains[&25].clone().into_ledger();
    let faults = Faults::new(0);
    let server = serve(&cronos, &faults).await;
    let truth = everything(&Client::new(&server.http_url()), &cronos).await;
    for block in cronos.range(0, u64::MAX) {
        let mut recorder = recording::Recorder::connect(&server.http_url()).await.unwrap();
        let mut bytes = Vec::new();
        let summary = recorder
            .record_into(block.number..=block.number, &mut bytes, |_| ())
            .await
            .unwrap();
        assert_eq!(
            summary.absent_receipts as usize,
            block.transactions.len() - receipts_of(&block)
        );
        let again = recording::read_from(&*bytes).unwrap().into_ledger();
        let replay = serve(&again, &Faults::new(0)).await;
        let answers = everything(&Client::new(&replay.http_url()), &again).await;
        assert!(answers.iter().all(|answer| truth.contains(answer)), "{}", block.number);
    }
    faults.change(|settings| settings.branch_from = Some(68_215));
    let client = Client::new(&server.http_url());
    let (below, above) = (hex(68_215), hex(68_216));
    let below = client.ask("eth_getBlockByNumber", json!([below, true])).await;
    let above = client.ask("eth_getBlockByNumber", json!([above, true])).await;
    assert_ne!(below["hash"], json!(cronos.by_number(68_215).unwrap().hash));
    assert_eq!(above["parentHash"], below["hash"]);
    assert_eq!(above["transactions"][0]["blockHash"], above["hash"]);
    let receipts = client.ask("eth_getBlockReceipts", json!([above["hash"]])).await;
    assert_eq!(receipts[0]["blockHash"], above["hash"]);
}
