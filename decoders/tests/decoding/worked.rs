//! The transfer examples of the decoding specification, where it lies beside the real blocks.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use alloy_primitives::{Address, B256, U256};
use decoders::block::{Envelope, Envelopes};
use decoders::fact::{Facts, FeeKind, Sale, Transfer, flag, reason};
use decoders::protocols::DECODERS;
use serde_json::{Value, json};

use crate::logs::{self, decode_with};

testkit::on_real_blocks!(
    fn claimed_events_stand_in_the_table_of_topics,
    fn the_worked_transfers_and_sales_are_decoded,
);

/// A file of the specification, which lies beside the real blocks.
fn specification(folder: &Path, file: &str) -> String {
    let path = folder.join("../spec").join(file);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Decoders of which the table leaves events out.
const NOT_IN_THE_TABLE: [&str; 3] = ["nftx", "clock_auction", "baazaar"];

/// The table of topics names every event claimed of some contract, with its number of topics. Claims on any contract also catch
/// what has another number than its standard gives it.
fn claimed_events_stand_in_the_table_of_topics(folder: &Path) {
    let table = specification(folder, "topics.csv");
    let rows = table.lines().filter_map(|row| {
        let (_, rest) = row.split_once(",0x")?;
        let mut fields = rest.split(',');
        let topic0: B256 = fields.next()?.parse().ok()?;
        Some((topic0, fields.nth(1)?.parse::<u8>().ok()?))
    });
    let listed: BTreeSet<(B256, u8)> = rows.collect();
    let named = DECODERS.iter().flat_map(|decoder| {
        let claims = decoder.claims.iter().filter(|claim| claim.addresses.is_some());
        claims.map(|claim| (decoder.name, claim.topic0, claim.topic_count))
    });
    let astray: Vec<_> = named
        .filter(|(name, topic0, count)| !NOT_IN_THE_TABLE.contains(name) && !listed.contains(&(*topic0, *count)))
        .collect();
    assert!(astray.is_empty(), "{astray:?}");
}

fn the_worked_transfers_and_sales_are_decoded(folder: &Path) {
    let examples: Vec<Value> = serde_json::from_str(&specification(folder, "worked.json")).unwrap();
    let (mut checked, mut sold) = (Vec::new(), Vec::new());
    for example in &examples {
        let logs = example["logs"]
            .as_array()
            .unwrap()
            .iter()
            .map(|log| logs::log(log, 0))
            .collect();
        let span = logs::span(1, logs);
        let mut envelopes = Envelopes::default();
        if example["from"].is_string() && !span.logs.is_empty() {
            envelopes.insert(span.logs[0].tx_hash, envelope(example));
        }
        let mut facts = decode_with(&span, &envelopes);
        // The examples have no contracts that answer.
        facts.faults.retain(|fault| fault.reason != reason::UNANSWERED);
        if check_sales(example, &facts) {
            sold.push(example["n"].as_u64().unwrap());
        }
        if check_transfers(example, &facts) | check_range(example, &facts) | check_anomalies(example, &facts) {
            checked.push(example["n"].as_u64().unwrap());
        } else {
            assert_eq!(facts.faults, [], "example {}", example["n"]);
        }
    }
    // The others are listings and votes.
    eprintln!("sales of examples {sold:?}");
    assert_eq!(sold, SOLD);
    assert_eq!(checked, [1, 2, 3, 4, 5, 25, 27, 34, 35, 36]);
}

/// The examples that state sales.
const SOLD: &[u64] = &[
    6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 27, 28, 29, 30, 37, 38,
];

/// What the logs of an example cannot show: example, field, reason.
const NOT_IN_THE_LOGS: &[(u64, &str, &str)] = &[
    (27, "price_total", "the bid stands in an earlier transaction"),
    (38, "buyer", "the example leaves the movement of the token out"),
];

fn envelope(example: &Value) -> Envelope {
    let mut json = example.clone();
    if !example["value"].as_str().is_some_and(|value| value.starts_with("0x")) {
        json["value"] = json!("0x0");
    }
    logs::envelope(&json)
}

/// Whether the example lists sales, or that there are none; they must be the ones decoded.
fn check_sales(example: &Value, facts: &Facts) -> bool {
    let n = example["n"].as_u64().unwrap();
    let expected = &example["expected"];
    let wanted = match (&expected["sales"], &expected[0]["marketplace"]) {
        (Value::Array(list), _) => list.clone(),
        (_, Value::String(_)) => expected.as_array().unwrap().clone(),
        _ => {
            assert_eq!(facts.sales, [], "example {n}");
            return false;
        }
    };
    if !SOLD.contains(&n) {
        return false;
    }
    // One example shows the first of two sales.
    assert_eq!(facts.sales.len(), if n == 13 { 2 } else { wanted.len() }, "example {n}");
    for (sale, wanted) in facts.sales.iter().zip(&wanted) {
        for (field, wanted) in wanted.as_object().unwrap() {
            if NOT_IN_THE_LOGS.iter().any(|(at, name, _)| (*at, *name) == (n, field))
                || wanted.to_string().contains("(from")
            {
                continue;
            }
            let found = show_field(sale, field, wanted, facts, n);
            assert_eq!(
                found.as_ref().unwrap_or(wanted),
                wanted,
                "{field} of example {n}: {sale:?}"
            );
        }
    }
    true
}

/// One field of a sale as the examples write it; absent where it is no field of ours.
fn show_field(sale: &Sale, field: &str, wanted: &Value, facts: &Facts, n: u64) -> Option<Value> {
    let address = |address: Address| json!(format!("{address:#x}"));
    let number = |number: Option<U256>| json!(number.map(|number| number.to_string()));
    let fees = |kind: FeeKind| {
        // The bundle's example states the fees of the whole.
        let sales = facts.sales.iter().filter(|other| n == 8 || *other == sale);
        let mut fees: BTreeMap<Address, U256> = BTreeMap::new();
        for fee in sales.flat_map(|sale| &sale.fees).filter(|fee| fee.kind == kind) {
            *fees.entry(fee.recipient).or_default() += fee.amount;
        }
        fees
    };
    let list = |kind: FeeKind| {
        let fees = fees(kind).into_iter();
        Value::from_iter(
            fees.map(|(recipient, amount)| json!({"recipient": address(recipient), "amount": amount.to_string()})),
        )
    };
    let total = |kind: FeeKind| {
        json!(
            fees(kind)
                .values()
                .fold(U256::ZERO, |total, amount| total + amount)
                .to_string()
        )
    };
    Some(match field {
        "marketplace" if wanted == sale.marketplace => json!(sale.marketplace),
        "marketplace" => json!(format!("{}_{}", sale.marketplace, sale.version)),
        "order_hash" => json!(sale.order_hash.map(|hash| hash.to_string())),
        "side" => json!(sale.side.as_str()),
        "collection" => address(sale.contract),
        "token_id" => number(sale.token),
        "quantity" => number(Some(sale.quantity)),
        "seller" => address(sale.seller),
        "buyer" => address(sale.buyer),
        "taker_raw" | "seller_raw" => address(sale.taker_raw),
        "aggregator" => json!(sale.aggregator.map(|address| format!("{address:#x}"))),
        "currency" => address(sale.currency),
        "price_total" => number(sale.price),
        "seller_net" => number(sale.seller_net),
        "fees" => list(FeeKind::Marketplace),
        "royalties" => list(FeeKind::Royalty),
        "marketplace_fee" => total(FeeKind::Marketplace),
        "debt_repaid" => total(FeeKind::Other),
        "bundle_size" => json!(sale.bundle_size),
        "price_allocation" => json!(sale.allocation.as_str()),
        "primary" => json!(sale.flags.contains(&flag::PRIMARY)),
        "log_index" => json!(sale.log_index),
        "sub_index" => json!(sale.item),
        // Emitted by the events, kept in no record: they follow from other fields or name no record of ours.
        "royalty_rate_bps" | "listing_index" | "lien_id" | "auction_id" => return None,
        _ => panic!("{field} is not known"),
    })
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
        "kind": transfer.kind().as_str(),
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

/// Whether the example states a range; its tokens must be the ones decoded, items counted from the first id.
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
        assert_eq!(transfer.kind().as_str(), logs::text(&range["kind"]));
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
