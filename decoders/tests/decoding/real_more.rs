//! Further blocks and single receipts (`more/` beside the first ones), with routers and fees where payments prove them, and the
//! auctions of which the first table states too little to compare.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use alloy_primitives::{Address, U256, address};
use decoders::block::Envelopes;
use decoders::fact::{Facts, Sale, flag};
use decoders::wants;
use serde_json::{Value, json};

use crate::logs::decode_with;
use crate::real_blocks::{blocks, read_block};
use crate::real_sales::envelopes;
use crate::sound::{assert_adds_up, assert_one_router};

testkit::on_real_blocks!(
    fn sales_of_further_blocks_and_receipts_are_told_with_their_routers_and_fees,
    fn auctions_of_the_real_blocks_are_decoded,
);

/// The facts of a block or receipt, decoded with what its decoders ask for.
fn decoded(json: &Value) -> Facts {
    let span = read_block(json);
    let mut envelopes: Envelopes = envelopes(json);
    let keep: BTreeSet<_> = wants(&span).envelopes.into_iter().collect();
    envelopes.retain(|hash, _| keep.contains(hash));
    let facts = decode_with(&span, &envelopes);
    facts.sales.iter().for_each(assert_adds_up);
    assert_one_router(&facts);
    facts
}

/// A single receipt as a block that holds nothing else.
fn single(path: &Path) -> Value {
    let read: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    let receipt = &read["receipt"];
    let transactions: Vec<&Value> = Some(&read["transaction"])
        .filter(|known| known.is_object())
        .into_iter()
        .collect();
    json!({
        "chainId": read["chainId"],
        "block": {"number": receipt["blockNumber"], "hash": receipt["blockHash"], "timestamp": "0x0", "transactions": transactions},
        "receipts": [{"logs": receipt["logs"]}],
    })
}

/// Fields of one line of a table whose texts may stand in quotes and hold commas.
fn fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    for character in line.chars() {
        match character {
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            other => fields.last_mut().unwrap().push(other),
        }
    }
    fields
}

/// What differs between a sale and its row.
fn differences(sale: &Sale, row: &[String]) -> Vec<String> {
    let party = |person: Address, wanted: &str| {
        if format!("{:#x}", sale.taker_raw) == wanted {
            sale.taker_raw
        } else {
            person
        }
    };
    // The table repeats the price of a bundle on every token.
    let price = sale.price.filter(|_| sale.bundle_size == 1);
    let price = price.map_or_else(|| row[10].clone(), |price| price.to_string());
    let pairs = [
        (sale.marketplace.to_owned(), row[2].clone()),
        (sale.quantity.to_string(), row[7].clone()),
        (format!("{:#x}", party(sale.buyer, &row[8])), row[8].clone()),
        (format!("{:#x}", party(sale.seller, &row[9])), row[9].clone()),
        (price, row[10].clone()),
        (format!("{:#x}", sale.currency), row[11].clone()),
    ];
    let mut differences: Vec<String> = pairs
        .iter()
        .filter(|(found, wanted)| found != wanted)
        .map(|pair| format!("{pair:?}"))
        .collect();
    let aggregator = sale
        .aggregator
        .map(|address| format!("{address:#x}"))
        .unwrap_or_default();
    if !row[22].is_empty() && aggregator != row[22] {
        differences.push(format!("aggregator {aggregator}"));
    }
    // Fees stand as receiver, amount, kind; who is paid in native currency only calldata may show.
    let mut fees: Vec<String> = sale
        .fees
        .iter()
        .map(|fee| format!("{:#x} {} {}", fee.recipient, fee.amount, fee.kind.as_str()))
        .collect();
    let listed = row[23].replace(['[', ']'], "").replace(" or marketplace", "");
    let listed: Vec<&str> = listed
        .split(',')
        .map(str::trim)
        .filter(|text| !text.is_empty())
        .collect();
    let mut wanted: Vec<String> = listed.chunks(3).map(|fee| fee.join(" ")).collect();
    fees.sort_unstable();
    wanted.sort_unstable();
    if !row[23].is_empty() && !sale.flags.contains(&flag::FEES_UNKNOWN) && fees != wanted {
        differences.push(format!("fees {fees:?}, not {wanted:?}"));
    }
    differences
}

fn sales_of_further_blocks_and_receipts_are_told_with_their_routers_and_fees(folder: &Path) {
    let folder = folder.join("more");
    let mut singles: Vec<_> = fs::read_dir(folder.join("singles"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    singles.sort();
    let sales: Vec<Sale> = blocks(&folder)
        .chain(singles.iter().map(|path| single(path)))
        .flat_map(|json| decoded(&json).sales)
        .collect();
    let table = fs::read_to_string(folder.join("expected_sales.csv")).unwrap();
    let (mut right, mut wrong) = (0, Vec::new());
    for row in table.lines().skip(1).map(fields).filter(|row| row[20] != "exclude") {
        let is_row = |sale: &&Sale| {
            let at = (
                sale.tx_hash.to_string(),
                sale.log_index.to_string(),
                sale.token.unwrap_or_default().to_string(),
            );
            at == (row[0].clone(), row[15].clone(), row[5].clone())
        };
        let differences = match sales.iter().find(is_row) {
            Some(sale) => differences(sale, &row),
            None => vec!["missed".to_owned()],
        };
        if differences.is_empty() {
            right += 1;
        } else if !EXPLAINED.iter().any(|(transaction, _)| row[0].starts_with(transaction)) {
            wrong.push(format!("{} {}: {differences:?}", row[0], row[15]));
        }
    }
    eprintln!("{right} sales as expected");
    assert!(wrong.is_empty() && right > 60, "{}", wrong.join("\n"));
}

/// Rows that differ, by their transaction, with the reason.
const EXPLAINED: &[(&str, &str)] = &[
    (
        "0xc9788be0",
        "its price is that of a pool, which is asked; no contract answers here",
    ),
    (
        "0x2cf61e4e",
        "the table leaves open whose the share is; by the order in the calldata it is the marketplace's",
    ),
];

const KITTIES: Address = address!("06012c8cf97bead5deae237070f9587f8e7a266d");
const AXIES: Address = address!("f5b0a3efb8e8e4c201e2a935f110eaaf3ffecb8d");

fn auctions_of_the_real_blocks_are_decoded(folder: &Path) {
    let more = folder.join("more");
    let sold = |sale: &Sale| {
        let price = sale.price.unwrap_or_default();
        (
            sale.marketplace,
            sale.version,
            sale.contract,
            sale.token.unwrap_or_default(),
            sale.buyer,
            price,
        )
    };
    let found: Vec<_> = blocks(folder)
        .chain(blocks(&more))
        .flat_map(|json| decoded(&json).sales)
        .filter(|sale| sale.marketplace.ends_with("_auction"))
        .map(|sale| sold(&sale))
        .collect();
    let axie = |token: u64, buyer, price: u64| ("axie_auction", "", AXIES, U256::from(token), buyer, U256::from(price));
    let nouns = |version, contract, token: u64, buyer, price: u64| {
        (
            "nouns_auction",
            version,
            contract,
            U256::from(token),
            buyer,
            U256::from(price),
        )
    };
    let wanted = [
        (
            "cryptokitties_auction",
            "",
            KITTIES,
            U256::from(447_760),
            address!("af89705a83fb03135f5860bb5db8b9a0e8f5e961"),
            U256::from(50_000_000_000_000_000_u64),
        ),
        nouns(
            "builder",
            address!("a45662638e9f3bbb7a6fecb4b17853b7ba0f3a60"),
            242,
            address!("74b78e98093f5b522a7ebdac3b994641ca7c2b20"),
            99000000000000000,
        ),
        nouns(
            "",
            address!("cb86c063e219ccbb6e7062cc1d23c6c2f0e9fbbe"),
            128,
            address!("cf5ce91796bdda1f65a557007feec5ed668b0de8"),
            120_000_000_000_000_000,
        ),
        axie(
            77_405,
            address!("cac1c34e1a8e86d906fcb651d0e632f4b8687149"),
            10_000_000_000_000_000,
        ),
        axie(
            111_808,
            address!("4033644ae4cf3269f8ada5d577d271ad9f5fb758"),
            158348832947530864,
        ),
        axie(
            161_656,
            address!("6eb16be2b90acca5ec05ae2510b7a80b0df03caa"),
            175903125000000000,
        ),
    ];
    assert_eq!(found, wanted);
}
