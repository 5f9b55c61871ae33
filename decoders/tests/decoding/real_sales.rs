//! Sales of real blocks against those another program decoded from them (`expected_sales.csv` beside the blocks).
//!
//! That program follows other conventions, and comparison allows for them: it names the event's buyer, where ours is the
//! person; it repeats a bundle's price on every token; it writes 0xeeee... for the native currency.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use alloy_primitives::{Address, B256, U256, address, b256};
use decoders::block::{Envelopes, Span};
use decoders::fact::{Facts, Sale};
use decoders::wants;
use serde_json::Value;

use crate::logs::{self, decode_with};
use crate::real_blocks::{blocks, read_block};
use crate::sound::assert_adds_up;

testkit::on_real_blocks!(
    fn every_sale_of_the_real_blocks_is_found_and_no_other,
    fn sellers_and_receivers_of_fees_got_what_sales_say,
);

/// Where a sale stands and what it sold.
type Key = (String, u32, String, String);

/// What both programs report of it.
#[derive(Debug, PartialEq, Eq)]
struct Row {
    marketplace: String,
    quantity: String,
    buyer: Address,
    seller: Address,
    price: U256,
    currency: Address,
}

const NATIVE: Address = address!("eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee");

/// Rows of the table that are no sales of ours, each with its reason.
fn is_left_out(row: &[&str]) -> bool {
    match row[4] {
        // Rows copied from another table, without positions or prices.
        _ if row[3].is_empty() => true,
        // Rows without a seller and without the token's contract; `auctions` has them in full.
        "cryptokitties-auction" | "nouns-auction" => true,
        // Mirror orders and an order for nothing.
        _ => matches!(row[16], "exclude" | "unresolved"),
    }
}

fn expected(table: &str) -> BTreeMap<Key, Row> {
    let rows = table.lines().skip(1).map(|line| line.split(',').collect::<Vec<_>>());
    rows.filter(|row| !is_left_out(row))
        .map(|row| {
            // The adapter names the storefront's token.
            let adapter = "0xa604060890923ff400e8c6f5290461a83aedacec";
            let contract = if row[6] == adapter {
                "0x495f947276749ce646f68ac8c248420045cb7b5e"
            } else {
                row[6]
            };
            let key = (
                row[2].to_owned(),
                row[3].parse().unwrap(),
                contract.to_owned(),
                row[7].to_owned(),
            );
            let currency: Address = row[13].parse().unwrap();
            let row = Row {
                marketplace: row[4].replace('-', "_").replace("0x", "zeroex"),
                quantity: row[9].to_owned(),
                buyer: row[10].parse().unwrap(),
                seller: row[11].parse().unwrap(),
                price: row[12].parse().unwrap(),
                currency: if currency == NATIVE { Address::ZERO } else { currency },
            };
            (key, row)
        })
        .collect()
}

fn key(sale: &Sale) -> Key {
    (
        sale.tx_hash.to_string(),
        sale.log_index,
        format!("{:#x}", sale.contract),
        sale.token.unwrap_or_default().to_string(),
    )
}

/// A sale as the table would write it: the price of the bundle, the party the table names where it is the taker.
fn row(facts: &Facts, sale: &Sale, wanted: Option<&Row>) -> Row {
    let bundle = facts.sales.iter().filter(|other| {
        (other.block_number, other.log_index, other.bundle_first)
            == (sale.block_number, sale.log_index, sale.bundle_first)
    });
    let party = |person: Address, wanted: Option<Address>| match wanted {
        Some(wanted) if wanted == sale.taker_raw => wanted,
        _ => person,
    };
    Row {
        marketplace: sale.marketplace.to_owned(),
        quantity: sale.quantity.to_string(),
        buyer: party(sale.buyer, wanted.map(|row| row.buyer)),
        seller: party(sale.seller, wanted.map(|row| row.seller)),
        price: bundle
            .filter_map(|sale| sale.price)
            .fold(U256::ZERO, |total, price| total + price),
        currency: sale.currency,
    }
}

pub(crate) fn envelopes(json: &Value) -> Envelopes {
    let transactions = json["block"]["transactions"].as_array().unwrap();
    // Some blocks were kept with hashes only.
    transactions
        .iter()
        .filter(|json| json["hash"].is_string() && json["from"].is_string())
        .map(|json| (logs::text(&json["hash"]).parse().unwrap(), logs::envelope(json)))
        .collect()
}

/// Foundation's market, Blend, and the auctions of kitties and axies: they hold tokens for their owners.
const ESCROWS: [Address; 4] = [
    address!("cda72070e455bb31c7690a170224ce43623d0b6f"),
    address!("29469395eaf6f95920e59f858042f0e28d98a20b"),
    address!("b1690c08e213a35ed9bab7b318de14420fb57d8c"),
    address!("f4985070ce32b6b1994329df787d1acc9a2dd9e2"),
];

/// What is wrong with the people of a sale: a single token sold once in its transaction starts with the seller, or in the
/// market's escrow, and ends with the buyer.
fn stranger(facts: &Facts, sale: &Sale) -> Option<String> {
    let transfers_of: Vec<_> = facts
        .transfers
        .iter()
        .filter(|moved| (moved.tx_hash, moved.contract, Some(moved.token)) == (sale.tx_hash, sale.contract, sale.token))
        .collect();
    let sold = facts
        .sales
        .iter()
        .filter(|other| (other.tx_hash, other.contract, other.token) == (sale.tx_hash, sale.contract, sale.token));
    let (first, last) = (transfers_of.first()?, transfers_of.last()?);
    if !sale.standard.single_owner()
        || sold.count() > 1
        || (last.to == sale.buyer && (first.from == sale.seller || ESCROWS.contains(&first.from)))
    {
        return None;
    }
    Some(format!(
        "{} {} {}: {} sold to {}, from {} to {}",
        sale.marketplace, sale.tx_hash, sale.log_index, sale.seller, sale.buyer, first.from, last.to
    ))
}

#[derive(Default)]
struct Score {
    right: usize,
    wrong: usize,
    missed: usize,
    extra: usize,
}

fn show(scores: &BTreeMap<String, Score>) {
    eprintln!(
        "{:<20}{:>7}{:>7}{:>7}{:>7}{:>11}{:>8}",
        "", "right", "wrong", "extra", "missed", "precision", "recall"
    );
    for (marketplace, score) in scores {
        let share = |of: usize| 100.0 * score.right as f64 / of.max(1) as f64;
        let found = score.right + score.wrong + score.extra;
        let there = score.right + score.wrong + score.missed;
        eprintln!(
            "{marketplace:<20}{:>7}{:>7}{:>7}{:>7}{:>10.1}%{:>7.1}%",
            score.right,
            score.wrong,
            score.extra,
            score.missed,
            share(found),
            share(there)
        );
    }
}

fn every_sale_of_the_real_blocks_is_found_and_no_other(folder: &Path) {
    let mut wanted = expected(&fs::read_to_string(folder.join("expected_sales.csv")).unwrap());
    let mut scores: BTreeMap<String, Score> = BTreeMap::new();
    let mut differences = Vec::new();
    let (mut strangers, mut flags) = (Vec::new(), BTreeMap::<&str, usize>::new());
    let mut fetched = (0, 0);
    for json in blocks(folder) {
        let span = read_block(&json);
        let mut envelopes = envelopes(&json);
        let keep: BTreeSet<_> = wants(&span).envelopes.into_iter().collect();
        fetched = (fetched.0 + keep.len(), fetched.1 + envelopes.len());
        // Only what the decoders ask for, as the pipeline does.
        envelopes.retain(|hash, _| keep.contains(hash));
        let facts = decode_with(&span, &envelopes);
        facts.sales.iter().for_each(assert_adds_up);
        strangers.extend(facts.sales.iter().filter_map(|sale| stranger(&facts, sale)));
        for flag in facts.sales.iter().flat_map(|sale| &sale.flags) {
            *flags.entry(*flag).or_default() += 1;
        }
        for sale in &facts.sales {
            let other = wanted.remove(&key(sale));
            let found = row(&facts, sale, other.as_ref());
            let score = scores.entry(sale.marketplace.to_owned()).or_default();
            match &other {
                Some(other) if *other == found => score.right += 1,
                Some(other) => {
                    score.wrong += 1;
                    differences.push(format!(
                        "{:?}: found {found:?}, expected {other:?}, {:?}",
                        key(sale),
                        sale.flags
                    ));
                }
                None => {
                    score.extra += 1;
                    differences.push(format!("{:?}: extra {found:?} {:?}", key(sale), sale.flags));
                }
            }
        }
    }
    for (key, row) in &wanted {
        scores.entry(row.marketplace.clone()).or_default().missed += 1;
        differences.push(format!("{key:?}: missed {row:?}"));
    }
    show(&scores);
    eprintln!("envelopes wanted: {} of {}", fetched.0, fetched.1);
    eprintln!("flags: {flags:?}");
    assert!(
        strangers.is_empty(),
        "{} strangers:\n{}",
        strangers.len(),
        strangers.join("\n")
    );
    differences.retain(|difference| !EXPLAINED.iter().any(|(part, _)| difference.contains(part)));
    assert!(
        differences.is_empty(),
        "{} unexplained:\n{}",
        differences.len(),
        differences.join("\n")
    );
}

/// Differences by a part of their text, with the reason why ours is right or why nothing better can be decoded.
const EXPLAINED: &[(&str, &str)] = &[
    (
        "missed Row { marketplace: \"wyvern\", quantity: \"1\", buyer: 0x5a1bd9dcf079d07e6ae02cba6818c2520226eb53",
        FREE,
    ),
    (
        "missed Row { marketplace: \"wyvern\", quantity: \"1\", buyer: 0xc51a41b5d1b4ddf3494ba31a37d54960808729d2",
        FREE,
    ),
    (
        "missed Row { marketplace: \"wyvern\", quantity: \"1\", buyer: 0xf1ec2f397bf781de6e4803d8e93b530a95bc610f",
        FREE,
    ),
    ("extra Row { marketplace: \"manifold\"", MANIFOLD),
    (
        "\"0x33fd4167e51a10d19c89c3a606389d0fddc3e676\", \"5426\"): found",
        REBATE,
    ),
    (
        "\"0x33fd4167e51a10d19c89c3a606389d0fddc3e676\", \"5293\"): found",
        REBATE,
    ),
    (
        "\"0x33333333333371718a3c2bb63e5f3b94c9bc13be\", \"2820\"): found",
        REBATE,
    ),
    ("extra Row { marketplace: \"cryptokitties_auction\"", AUCTIONS),
    ("extra Row { marketplace: \"axie_auction\"", AUCTIONS),
    ("extra Row { marketplace: \"nouns_auction\"", AUCTIONS),
];

const REBATE: &str = "the buyer is who gets the royalty: what comes back to the buyer is neither price nor fee (decoding specification, section 9)";
const AUCTIONS: &str = "the table has some of them, without seller and token; the next test has all";
const MANIFOLD: &str =
    "the table has no Manifold; token 1 was minted to the caller of the market with as much as its log states was paid";
const FREE: &str = "matched at a price of zero: a gift is a transfer, no sale (decoding specification, section 2.2)";

/// `Transfer(address,address,uint256)`.
const TRANSFER: B256 = b256!("ddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef");

/// Who got how much of which ERC-20 in which transaction.
type Got = BTreeMap<(B256, Address, Address), U256>;

/// What sales in ERC-20s state that sellers and receivers of fees got.
fn decoded(facts: &Facts) -> Got {
    let mut decoded = Got::new();
    for sale in facts.sales.iter().filter(|sale| !sale.currency.is_zero()) {
        let net = sale.seller_net.map(|net| (sale.seller, net));
        let fees = sale.fees.iter().map(|fee| (fee.recipient, fee.amount));
        for (receiver, amount) in fees.chain(net) {
            *decoded.entry((sale.tx_hash, sale.currency, receiver)).or_default() += amount;
        }
    }
    decoded
}

/// What the ERC-20 logs of a block state that everybody got, and what it comes to less what they gave.
fn got(span: &Span) -> [Got; 2] {
    let (mut got, mut given) = (Got::new(), Got::new());
    let payments = span.logs.iter().filter(|log| log.topic0() == Some(&TRANSFER));
    for log in payments.filter(|log| log.topics.len() == 3 && log.data.len() == 32) {
        let key = |topic: usize| (log.tx_hash, log.address, Address::from_word(log.topics[topic]));
        let amount = U256::from_be_slice(&log.data);
        *got.entry(key(2)).or_default() += amount;
        *given.entry(key(1)).or_default() += amount;
    }
    let kept = |(key, got): (&_, &U256)| (*key, got.saturating_sub(given.get(key).copied().unwrap_or_default()));
    let kept = got.iter().map(kept).collect();
    [got, kept]
}

fn sellers_and_receivers_of_fees_got_what_sales_say(folder: &Path) {
    let (mut right, mut wrong) = (0, Vec::new());
    for json in blocks(folder) {
        let span = read_block(&json);
        let facts = decode_with(&span, &envelopes(&json));
        let got = got(&span);
        for (key, amount) in decoded(&facts) {
            if got.iter().any(|got| got.get(&key) == Some(&amount)) {
                right += 1;
            } else if !PAID_OTHERWISE.contains(&key.0) {
                wrong.push(format!("{key:?} got {:?}, decoded {amount}", got[0].get(&key)));
            }
        }
    }
    eprintln!("{right} receivers got what was decoded");
    assert!(wrong.is_empty() && right > 100, "{}", wrong.join("\n"));
}

/// Transactions in which receivers got something else than the price less the fees.
const PAID_OTHERWISE: &[B256] = &[
    // A router was paid in wrapped coins and paid the seller in native currency.
    b256!("974926f8ecf571a64ba769285cf191573252afd75e2b49642051f4732996cdef"),
    // The buyer's fee on top went where the seller's went.
    b256!("37d4f45a3cc686c97c8e0847381d93826f47c86347ac0deda35f1f913d8b8f62"),
];
