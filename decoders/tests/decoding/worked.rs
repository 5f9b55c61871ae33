//! The transfer examples of the decoding specification, where it lies beside the real blocks.

use std::collections::BTreeMap;
use std::path::PathBuf;

use alloy_primitives::Address;
use decoders::fact::{Facts, Transfer};
use decoders::registry::decode;
use serde_json::{Value, json};

use crate::logs;

fn examples() -> Option<Vec<Value>> {
    let path = PathBuf::from(std::env::var_os("FIXTURES")?).join("../spec/worked.json");
    serde_json::from_str(&std::fs::read_to_string(path).ok()?).ok()
}

#[test]
fn the_worked_transfers_are_decoded() {
    let Some(examples) = examples() else {
        eprintln!("skipped: FIXTURES has no ../spec/worked.json beside it");
        return;
    };
    let mut checked = Vec::new();
    for example in &examples {
        let logs = example["logs"]
            .as_array()
            .unwrap()
            .iter()
            .map(|log| logs::log(log, 0))
            .collect();
        let facts = decode(&logs::span(1, logs));
        if check_transfers(example, &facts) | check_range(example, &facts) | check_anomalies(example, &facts) {
            checked.push(example["n"].as_u64().unwrap());
        } else {
            assert_eq!(facts.faults, [], "example {}", example["n"]);
        }
    }
    // The others are sales, listings and votes.
    assert_eq!(checked, [1, 2, 3, 4, 5, 25, 27, 34, 35, 36]);
}

/// Whether the example lists transfers; they must be the ones decoded.
fn check_transfers(example: &Value, facts: &Facts) -> bool {
    let expected = &example["expected"];
    let wanted = match (&expected["transfers"], &expected["nft_transfers"]) {
        (Value::Array(list), _) | (_, Value::Array(list)) => list.clone(),
        _ if expected[0]["standard"].is_string() => expected.as_array().unwrap().clone(),
        // The accepted bid: the sale names the parties of the transfer.
        _ if example["n"] == 27 => vec![punk_of_sale(&expected[0])],
        _ => return false,
    };
    let found: Vec<Value> = facts.transfers.iter().map(show).collect();
    assert_eq!(found, wanted, "example {}", example["n"]);
    true
}

fn show(transfer: &Transfer) -> Value {
    let standard = match (transfer.source, transfer.standard.as_str()) {
        ("erc721_legacy", _) => "erc721_unindexed",
        (_, standard) => standard,
    };
    json!({
        "collection": format!("{:#x}", transfer.contract),
        "token_id": transfer.token.to_string(),
        "from": format!("{:#x}", transfer.from),
        "to": format!("{:#x}", transfer.to),
        "quantity": transfer.quantity.to_string(),
        "standard": standard,
        "kind": transfer.kind.as_str(),
        "log_index": transfer.log_index,
        "batch_index": transfer.item,
    })
}

fn punk_of_sale(sale: &Value) -> Value {
    json!({
        "collection": sale["collection"], "token_id": sale["token_id"], "from": sale["seller"], "to": sale["buyer"],
        "quantity": "1", "standard": "cryptopunks", "kind": "transfer", "log_index": sale["log_index"], "batch_index": 0,
    })
}

/// Whether the example tells a range; its tokens must be the ones decoded, items counted from the first id.
fn check_range(example: &Value, facts: &Facts) -> bool {
    let range = &example["expected"]["range"];
    if range.is_null() {
        return false;
    }
    let (first, last) = (
        logs::number(&range["from_token_id"]),
        logs::number(&range["to_token_id"]),
    );
    assert_eq!(facts.transfers.len().to_string(), logs::text(&range["count"]));
    assert_eq!(facts.transfers.last().map(|transfer| transfer.token), Some(last));
    for transfer in &facts.transfers {
        assert_eq!(transfer.token - first, alloy_primitives::U256::from(transfer.item));
        let parties: [Address; 3] = [transfer.contract, transfer.from, transfer.to];
        assert_eq!(
            parties,
            ["collection", "from", "to"].map(|name| logs::address(&range[name]))
        );
        assert_eq!(transfer.kind.as_str(), logs::text(&range["kind"]));
    }
    true
}

/// Whether the example lists anomalies; each must be the fault of our name for it.
fn check_anomalies(example: &Value, facts: &Facts) -> bool {
    let names = BTreeMap::from([
        ("dirty_address_topic:1", "dirty_address"),
        ("erc1155_batch_length_mismatch ids=2 values=1", "batch_length_mismatch"),
    ]);
    let anomalies = example["expected"]["anomalies"]
        .as_array()
        .map_or(&[][..], Vec::as_slice);
    let wanted: Vec<&str> = anomalies.iter().map(|anomaly| names[logs::text(anomaly)]).collect();
    let found: Vec<&str> = facts.faults.iter().map(|fault| fault.reason).collect();
    assert_eq!(found, wanted, "example {}", example["n"]);
    !wanted.is_empty()
}
