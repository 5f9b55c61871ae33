//! Every decoder's folder of cases: logs in, transfers, sales and faults out, nothing besides.
//!
//! A case names the position of a log in its list. What it leaves out of an expected transfer has the usual value: item 0,
//! quantity 1, the contract of the log, the folder's name as source. `"items": "first..=last"` stands for one transfer per
//! token of a range, items counted from the first. What is left out of an expected sale has the usual value too: see
//! `expect_sale`. `envelopes` holds, by the number of the transaction, what is known of it beside its logs. `answers` holds what
//! contracts say when asked; each must be asked for.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use alloy_primitives::{B256, U256, keccak256};
use decoders::block::Envelopes;
use decoders::fact::{Facts, Fault, Sale, Transfer, reason};
use decoders::registry::DECODERS;
use serde_json::{Value, json};

use crate::laws::assert_adds_up;
use crate::logs::{self, decode_with};

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

/// The cases spell their events out, so a claim without a case, or with a mistyped hash, is found here.
#[test]
fn every_claimed_event_has_a_case_that_spells_it() {
    for decoder in DECODERS {
        let cases = entries(&folder().join(decoder.name)).into_iter();
        let cases = cases.map(|path| serde_json::from_str::<Value>(&fs::read_to_string(path).unwrap()).unwrap());
        let spelled: BTreeSet<(B256, usize)> = cases
            .flat_map(|case| case["logs"].as_array().unwrap().clone())
            .filter(|log| log["topics"][0].as_str().is_some_and(|topic| topic.contains('(')))
            .map(|log| {
                let topics = log["topics"].as_array().unwrap();
                (keccak256(logs::text(&topics[0])), topics.len())
            })
            .collect();
        for claim in decoder.claims {
            let wanted = (claim.topic0, usize::from(claim.topic_count));
            assert!(spelled.contains(&wanted), "{}: no case spells {wanted:?}", decoder.name);
        }
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
    let listed_envelopes = case["envelopes"].as_object().into_iter().flatten();
    let envelopes: Envelopes = listed_envelopes
        .map(|(tx, envelope)| {
            let hash = B256::from(U256::from(tx.parse::<u64>().unwrap() + 1));
            (hash, logs::envelope(envelope))
        })
        .collect();
    let answers = logs::answers(&case["answers"]);
    let mut span = logs::span(case["chain"].as_u64().unwrap_or(1), logs);
    logs::answer(&mut span, &answers);
    for call in answers.keys() {
        assert!(
            span.context.answers.contains_key(call),
            "{}: nobody asks {call:?}",
            path.display()
        );
    }
    let facts = decode_with(&span, &envelopes);

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

    let found: Vec<Value> = facts.sales.iter().map(|sale| show_sale(&facts, sale)).collect();
    let expected: Vec<Value> = list(&case["sales"])
        .iter()
        .map(|wanted| expect_sale(decoder, wanted))
        .collect();
    assert_eq!(found, expected, "sales of {}", path.display());
    facts.sales.iter().for_each(assert_adds_up);

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

fn show_sale(facts: &Facts, sale: &Sale) -> Value {
    assert!(facts.sources.contains(&sale.source));
    let fees: Vec<Value> = sale
        .fees
        .iter()
        .map(|fee| {
            json!([
                format!("{:#x}", fee.recipient),
                fee.amount.to_string(),
                fee.kind.as_str()
            ])
        })
        .collect();
    json!({
        "log": sale.log_index,
        "item": sale.item,
        "source": sale.source,
        "marketplace": sale.marketplace,
        "version": sale.version,
        "contract": format!("{:#x}", sale.contract),
        "token": sale.token.map(|token| token.to_string()),
        "standard": sale.standard.as_str(),
        "quantity": sale.quantity.to_string(),
        "seller": format!("{:#x}", sale.seller),
        "buyer": format!("{:#x}", sale.buyer),
        "taker_raw": format!("{:#x}", sale.taker_raw),
        "aggregator": sale.aggregator.map(|address| format!("{address:#x}")),
        "maker": format!("{:#x}", sale.maker),
        "side": sale.side.as_str(),
        "currency": format!("{:#x}", sale.currency),
        "price": sale.price.map(|price| price.to_string()),
        "fees": fees,
        "seller_net": sale.seller_net.map(|net| net.to_string()),
        "order_hash": sale.order_hash.map(|hash| hash.to_string()),
        "bundle": [sale.bundle_first, sale.bundle_size],
        "allocation": sale.allocation.as_str(),
        "flags": sale.flags.to_vec(),
    })
}

/// A sale as a case writes it: of one ERC-721 token, for native currency, without fees, doubts or a router, told by an
/// order of which the case names maker and taker by the side.
fn expect_sale(decoder: &str, wanted: &Value) -> Value {
    let (maker, taker) = match wanted["side"].as_str() {
        Some("offer") => (&wanted["buyer"], &wanted["seller"]),
        _ => (&wanted["seller"], &wanted["buyer"]),
    };
    let allocation = if wanted["bundle"].is_null() {
        "exact"
    } else {
        "split_equal"
    };
    let mut full = json!({
        "item": 0, "source": decoder, "marketplace": decoder, "version": "", "standard": "erc721", "quantity": "1",
        "taker_raw": taker, "aggregator": null, "maker": maker, "side": "listing", "fees": [], "order_hash": null,
        "currency": "0x0000000000000000000000000000000000000000", "bundle": [wanted["item"].as_u64().unwrap_or(0), 1],
        "allocation": allocation, "flags": [], "seller_net": wanted["price"],
    });
    full.as_object_mut()
        .unwrap()
        .extend(wanted.as_object().unwrap().clone());
    full
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
        let sold = facts.sales.iter().any(|sale| {
            (sale.block_number, sale.log_index) == (fault.block_number, fault.log_index) && sale.source == fault.source
        });
        assert!(!said && !sold, "{fault:?} refused a log that said something");
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
