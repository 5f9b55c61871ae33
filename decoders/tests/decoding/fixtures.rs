//! Every decoder's folder of cases: logs in, transfers, sales, orders, closings and faults out, nothing besides.
//!
//! A case names the position of a log in its list. What it leaves out of an expected transfer has the usual value: item 0,
//! quantity 1, the contract of the log, the folder's name as source. `"items": "first..=last"` stands for one transfer per
//! token of a range, items counted from the first. What is left out of an expected sale has the usual value too: see
//! `expect_sale`, and likewise of an order and of a closing. A key is a hash, or the kind and the parts that stand for one.
//! `envelopes` holds, by the number of the transaction, what is known of it beside its logs. `answers` holds what
//! contracts answer when asked; each must be asked for.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use alloy_primitives::{B256, U256, keccak256};
use decoders::block::{Context, Envelopes, Log, Span};
use decoders::fact::{Closing, Facts, Fault, Nonces, Order, OrderKind, Reach, Sale, Transfer, order_key};
use decoders::protocols::DECODERS;
use decoders::wants;
use serde_json::{Value, json};

use crate::logs::{self, decode_with};
use crate::sound::{assert_adds_up, assert_one_router, assert_orders_are_sound, assert_refused_logs_say_nothing};

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

fn listed_envelopes(case: &Value) -> Envelopes {
    let listed = case["envelopes"].as_object().into_iter().flatten();
    listed
        .map(|(tx, envelope)| {
            let hash = B256::from(U256::from(tx.parse::<u64>().unwrap() + 1));
            (hash, logs::envelope(envelope))
        })
        .collect()
}

fn check(path: &Path, decoder: &str, case: &Value) {
    logs::text(&case["about"]);
    let listed = case["logs"].as_array().unwrap();
    let mut logs: Vec<Log> = (0..).zip(listed).map(|(index, log)| logs::log(log, index)).collect();
    logs::keep_what_is_asked_for(&mut logs);
    let envelopes = listed_envelopes(case);
    let answers = logs::answers(&case["answers"]);
    let mut span = logs::span(case["chain"].as_u64().unwrap_or(1), logs);
    logs::answer(&mut span, &answers);
    for call in answers.keys() {
        assert!(
            span.context.answers.contains_key(call),
            "{}: no decoder asks {call:?}",
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
    let found: Vec<Value> = facts.orders.iter().map(|order| show_order(&facts, order)).collect();
    let expected: Vec<Value> = list(&case["orders"])
        .iter()
        .map(|wanted| expect_order(listed, decoder, wanted))
        .collect();
    assert_eq!(found, expected, "orders of {}", path.display());

    let found: Vec<Value> = facts
        .closings
        .iter()
        .map(|closing| show_closing(&facts, closing))
        .collect();
    let expected: Vec<Value> = list(&case["closings"])
        .iter()
        .map(|wanted| expect_closing(listed, decoder, wanted))
        .collect();
    assert_eq!(found, expected, "closings of {}", path.display());

    // A kind that has no form of its own above is written as `indexer decode` shows it.
    let own_form = ["transfers", "sales", "orders", "closings"];
    for (kind, others) in facts.by_kind().filter(|(kind, _)| !own_form.contains(&kind.list)) {
        let found: Vec<Value> = others.iter().map(|fact| fact.json()).collect();
        assert_eq!(found, list(&case[kind.list]), "{} of {}", kind.list, path.display());
    }

    let found: Vec<Value> = facts.faults.iter().map(show_fault).collect();
    let expected: Vec<Value> = list(&case["faults"])
        .iter()
        .map(|wanted| expect_fault(decoder, wanted))
        .collect();
    assert_eq!(found, expected, "faults of {}", path.display());
    facts.sales.iter().for_each(assert_adds_up);
    assert_refused_logs_say_nothing(&facts);
    assert_orders_are_sound(&facts, &span.logs);
    assert_one_router(&facts);
    assert_sales_want_envelopes(path, &facts, &span);
    assert_what_is_not_read_adds_nothing(path, facts, span, &envelopes);
}

/// What no endpoint is asked for, since it stands beside no sale, changes nothing of what all other logs emit.
fn assert_what_is_not_read_adds_nothing(path: &Path, mut facts: Facts, mut span: Span, envelopes: &Envelopes) {
    let dropped = logs::drop_what_stands_beside_nothing(&mut span);
    facts.retain(|fact| {
        let place = fact.place();
        !dropped.contains(&(place.block_number, place.log_index))
    });
    facts
        .faults
        .retain(|fault| !dropped.contains(&(fault.block_number, fault.log_index)));
    assert_eq!(decode_with(&span, envelopes), facts, "{}", path.display());
}

/// Who was called is asked of every transaction that sells, so that no sale depends on what stands beside it.
fn assert_sales_want_envelopes(path: &Path, facts: &Facts, span: &Span) {
    let unknown = Span {
        context: Context {
            answers: span.context.answers.clone(),
            ..Context::default()
        },
        ..span.clone()
    };
    let wanted = wants(&unknown).envelopes;
    for sale in &facts.sales {
        let is_wanted = wanted.contains(&sale.tx_hash);
        assert!(is_wanted, "{}: log {} sells unasked", path.display(), sale.log_index);
    }
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
        "kind": transfer.kind().as_str(),
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

/// A sale as a case writes it: of one ERC-721 token, for native currency, without fees, warnings or a router, emitted by an
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

fn show_order(facts: &Facts, order: &Order) -> Value {
    assert!(facts.sources.contains(&order.source));
    json!({
        "log": order.log_index,
        "item": order.item,
        "source": order.source,
        "kind": order.kind.as_str(),
        "marketplace": order.marketplace,
        "version": order.version,
        "market": format!("{:#x}", order.market),
        "key": order.key.to_string(),
        "hashed": order.hashed,
        "maker": format!("{:#x}", order.maker),
        "contract": format!("{:#x}", order.contract),
        "token": order.token.map(|token| token.to_string()),
        "standard": order.standard.as_str(),
        "quantity": order.quantity.to_string(),
        "currency": format!("{:#x}", order.currency),
        "price": order.price.map(|price| price.to_string()),
        "starts_at": order.starts_at,
        "expires_at": order.expires_at,
        "taker": order.taker.map(|taker| format!("{taker:#x}")),
        "nonce": order.nonce.map(|nonce| nonce.to_string()),
        "escrowed": order.escrowed,
        "auction": order.auction,
    })
}

/// An order as a case writes it: a listing of one ERC-721 token that stays with its owner, at once and for good, for anybody, in
/// native currency.
fn expect_order(listed: &[Value], decoder: &str, wanted: &Value) -> Value {
    let market = market_of(listed, wanted);
    let mut full = json!({
        "item": 0, "source": decoder, "kind": "listing", "marketplace": decoder, "version": "", "market": market,
        "hashed": wanted["key"].is_string(), "standard": "erc721", "quantity": "1",
        "currency": "0x0000000000000000000000000000000000000000", "starts_at": null, "expires_at": null, "taker": null,
        "nonce": null, "escrowed": false, "auction": false,
    });
    full.as_object_mut()
        .unwrap()
        .extend(wanted.as_object().unwrap().clone());
    full["key"] = key(&market, &wanted["key"]);
    full
}

fn show_closing(facts: &Facts, closing: &Closing) -> Value {
    assert!(facts.sources.contains(&closing.source));
    let mut shown = json!({
        "log": closing.log_index,
        "item": closing.item,
        "source": closing.source,
        "marketplace": closing.marketplace,
        "market": format!("{:#x}", closing.market),
        "reason": closing.reason.as_str(),
        "quantity": closing.quantity.map(|quantity| quantity.to_string()),
    });
    match closing.reach {
        Reach::Key(key) => shown["key"] = json!(key.to_string()),
        Reach::Maker { maker, nonces } => {
            shown["maker"] = json!(format!("{maker:#x}"));
            shown["nonces"] = match nonces {
                Nonces::All => json!("all"),
                Nonces::Below(nonce) => json!(["below", nonce.to_string()]),
                Nonces::Exactly(nonce) => json!(["exactly", nonce.to_string()]),
            };
        }
    }
    shown
}

/// A closing as a case writes it: an order with a key, taken whole.
fn expect_closing(listed: &[Value], decoder: &str, wanted: &Value) -> Value {
    let market = market_of(listed, wanted);
    let mut full = json!({
        "item": 0, "source": decoder, "marketplace": decoder, "market": market, "reason": "filled", "quantity": null,
    });
    full.as_object_mut()
        .unwrap()
        .extend(wanted.as_object().unwrap().clone());
    if !wanted["key"].is_null() {
        full["key"] = key(&market, &wanted["key"]);
    }
    full
}

/// The contract of the log that `wanted` names.
fn market_of(listed: &[Value], wanted: &Value) -> Value {
    let log = usize::try_from(wanted["log"].as_u64().unwrap()).unwrap();
    listed[log]["address"].clone()
}

/// A key as a case writes it, hashed: it is, or it is the kind of the order and what distinguishes it from others of its kind.
fn key(market: &Value, key: &Value) -> Value {
    let Some((kind, parts)) = key.as_array().and_then(|key| key.split_first()) else {
        return key.clone();
    };
    let kind = match logs::text(kind) {
        "listing" => OrderKind::Listing,
        "offer" => OrderKind::Offer,
        other => panic!("{other} is no kind of order"),
    };
    let parts: Vec<B256> = parts.iter().map(|part| logs::word(logs::text(part))).collect();
    json!(order_key(logs::address(market), kind, &parts).to_string())
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

#[test]
fn the_protocols_page_names_everything() {
    let page = fs::read_to_string(folder().join("../../docs/PROTOCOLS.md")).unwrap();
    let files = fs::read_dir(folder().join("../src/fact")).unwrap();
    let source: String = files
        .map(|file| fs::read_to_string(file.unwrap().path()).unwrap())
        .collect();
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
