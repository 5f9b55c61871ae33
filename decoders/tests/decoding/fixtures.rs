//! Every decoder's folder of cases: logs in, transfers and faults out, nothing besides.
//!
//! A case names the position of a log in its list. What it leaves out of an expected transfer has the usual value: item 0,
//! quantity 1, the contract of the log, the folder's name as source. `"items": "first..=last"` stands for one transfer per
//! token of a range, items counted from the first.

use std::fs;
use std::path::{Path, PathBuf};

use decoders::fact::{Facts, Fault, Transfer, reason};
use decoders::registry::{DECODERS, decode};
use serde_json::{Value, json};

use crate::logs;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures")
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    paths
}

#[test]
fn every_decoder_has_cases_and_every_folder_a_decoder() {
    let mut names: Vec<&str> = DECODERS.iter().map(|decoder| decoder.name).collect();
    names.sort_unstable();
    let folders: Vec<String> = entries(&folder())
        .iter()
        .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
        .collect();
    assert_eq!(names, folders);
    for name in names {
        assert!(!entries(&folder().join(name)).is_empty(), "no case for {name}");
    }
}

#[test]
fn every_case_decodes_as_written() {
    for decoder in DECODERS {
        for path in entries(&folder().join(decoder.name)) {
            let case: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap())
                .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            check(&path, decoder.name, &case);
        }
    }
}

fn check(path: &Path, decoder: &str, case: &Value) {
    logs::text(&case["about"]);
    let listed = case["logs"].as_array().unwrap();
    let logs = (0..).zip(listed).map(|(index, log)| logs::log(log, index)).collect();
    let facts = decode(&logs::span(case["chain"].as_u64().unwrap_or(1), logs));

    let found: Vec<Value> = facts
        .transfers
        .iter()
        .map(|transfer| show_transfer(&facts, transfer))
        .collect();
    let expected: Vec<Value> = list(&case["transfers"])
        .iter()
        .flat_map(|wanted| expect_transfers(listed, decoder, wanted))
        .collect();
    assert_eq!(found, expected, "transfers of {}", path.display());

    let found: Vec<Value> = facts.faults.iter().map(show_fault).collect();
    let expected: Vec<Value> = list(&case["faults"])
        .iter()
        .map(|wanted| expect_fault(decoder, wanted))
        .collect();
    assert_eq!(found, expected, "faults of {}", path.display());
    assert_refused_logs_say_nothing(&facts);
}

fn list(json: &Value) -> &[Value] {
    json.as_array().map_or(&[], Vec::as_slice)
}

fn show_transfer(facts: &Facts, transfer: &Transfer) -> Value {
    assert!(facts.sources.contains(&transfer.source));
    json!({
        "log": transfer.log_index,
        "item": transfer.item,
        "source": transfer.source,
        "contract": format!("{:#x}", transfer.contract),
        "token": transfer.token.to_string(),
        "from": format!("{:#x}", transfer.from),
        "to": format!("{:#x}", transfer.to),
        "quantity": transfer.quantity.to_string(),
        "standard": transfer.standard.as_str(),
        "kind": transfer.kind.as_str(),
    })
}

fn expect_transfers(listed: &[Value], decoder: &str, wanted: &Value) -> Vec<Value> {
    let log = wanted["log"].as_u64().unwrap();
    let mut full = json!({
        "item": 0, "source": decoder, "quantity": "1",
        "contract": listed[usize::try_from(log).unwrap()]["address"],
    });
    full.as_object_mut()
        .unwrap()
        .extend(wanted.as_object().unwrap().clone());
    let Some(range) = full.as_object_mut().unwrap().remove("items") else {
        return vec![full];
    };
    let (first, last) = logs::text(&range).split_once("..=").unwrap();
    let (first, last): (u64, u64) = (first.parse().unwrap(), last.parse().unwrap());
    (first..=last)
        .map(|token| {
            full["token"] = json!(token.to_string());
            full["item"] = json!(token - first);
            full.clone()
        })
        .collect()
}

fn show_fault(fault: &Fault) -> Value {
    json!({ "log": fault.log_index, "source": fault.source, "reason": fault.reason })
}

fn expect_fault(decoder: &str, wanted: &Value) -> Value {
    let mut full = json!({ "source": decoder });
    full.as_object_mut()
        .unwrap()
        .extend(wanted.as_object().unwrap().clone());
    full
}

/// A log is believed whole or not at all.
pub(crate) fn assert_refused_logs_say_nothing(facts: &Facts) {
    for fault in facts.faults.iter().filter(|fault| !reason::is_doubt(fault.reason)) {
        let said = facts.transfers.iter().any(|transfer| {
            (transfer.block_number, transfer.log_index) == (fault.block_number, fault.log_index)
                && transfer.source == fault.source
        });
        assert!(!said, "{fault:?} refused a log that said something");
    }
}

#[test]
fn the_protocols_page_names_everything() {
    let page = fs::read_to_string(folder().join("../../docs/PROTOCOLS.md")).unwrap();
    let source = fs::read_to_string(folder().join("../src/fact.rs")).unwrap();
    let reasons = source
        .lines()
        .filter_map(|line| line.trim().strip_prefix("pub const ")?.split('"').nth(1));
    let contracts = DECODERS
        .iter()
        .flat_map(|decoder| decoder.claims)
        .flat_map(|claim| claim.addresses.unwrap_or_default());
    let names = DECODERS.iter().map(|decoder| decoder.name.to_owned());
    let expected: Vec<String> = names
        .chain(reasons.map(str::to_owned))
        .chain(contracts.map(|(_, address)| format!("{address:#x}")))
        .collect();
    assert!(expected.len() > DECODERS.len() + 10);
    for name in expected {
        assert!(
            page.contains(&format!("`{name}`")),
            "docs/PROTOCOLS.md does not name {name}"
        );
    }
}
