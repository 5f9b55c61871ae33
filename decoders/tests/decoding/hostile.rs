//! Transactions larger than anyone sends are decoded in about the time their logs take one by one.
//!
//! Where work grows with the square of the logs, these take minutes; as they should be, a second.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use alloy_primitives::{Address, B256, U256, address, keccak256};
use decoders::block::{Envelopes, Log};
use decoders::fact::{Facts, flag};

use crate::logs::{self, decode_with};

const SEAPORT: Address = address!("0000000000000068f116a894984e2db1123eb395");
const WYVERN: Address = address!("7f268357a8c2552623316e2562d90e642bb538e5");
const TOKEN: Address = Address::repeat_byte(0x72);
const COINS: Address = Address::repeat_byte(0xc0);
const TIME: Duration = Duration::from_secs(20);
const LOGS: u64 = 10_000;

fn word(number: u64) -> B256 {
    B256::from(U256::from(number))
}

fn log(address: Address, signature: &str, topics: &[u64], data: &[B256]) -> Log {
    let topics = topics.iter().map(|topic| word(*topic));
    Log {
        block_number: 1,
        log_index: 0,
        tx_index: 0,
        tx_hash: B256::with_last_byte(1),
        address,
        topics: std::iter::once(keccak256(signature)).chain(topics).collect(),
        data: data.iter().flat_map(|word| word.0).collect(),
    }
}

type Item = (u64, Address, u64);

/// An order of `offerer`'s that gives and asks for one of each of these; everybody is paid 100,000.
fn order(hash: u64, offerer: u64, given: &[Item], asked: &[(Item, u64)]) -> Log {
    let signature = "OrderFulfilled(bytes32,address,address,address,(uint8,address,uint256,uint256)[],(uint8,address,uint256,uint256,address)[])";
    let count = |items: usize| word(items as u64);
    let amount = |kind: u64| word(if kind < 2 { 100_000 } else { 1 });
    let mut data = vec![
        word(hash),
        word(1),
        word(0x80),
        count(0xa0 + given.len() * 128),
        count(given.len()),
    ];
    for (kind, contract, token) in given {
        data.extend([word(*kind), contract.into_word(), word(*token), amount(*kind)]);
    }
    data.push(count(asked.len()));
    for ((kind, contract, token), to) in asked {
        data.extend([
            word(*kind),
            contract.into_word(),
            word(*token),
            amount(*kind),
            word(*to),
        ]);
    }
    log(SEAPORT, signature, &[offerer, 0], &data)
}

fn decoded(mut logs: Vec<Log>) -> Facts {
    (0..).zip(&mut logs).for_each(|(index, log)| log.log_index = index);
    let span = logs::span(1, logs);
    let before = spent();
    let facts = decode_with(&span, &Envelopes::default());
    let took = spent() - before;
    assert!(took < TIME, "{took:?}");
    facts
}

/// Time that this thread had of a processor, where the system reports it: unlike the clock, it does not depend on what else runs.
fn spent() -> Duration {
    static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);
    let known = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanoseconds = known.and_then(|text| text.split(' ').next()?.parse().ok());
    nanoseconds.map_or_else(|| BEGAN.elapsed(), Duration::from_nanos)
}

#[test]
fn thousands_of_orders_matched_at_once() {
    for token in [|_| 7, |pair| pair] {
        let pairs = (0..LOGS / 2).flat_map(|pair| {
            let (seller, buyer, token) = (10 + pair, LOGS + pair, (3, TOKEN, token(pair)));
            let coins = (1, COINS, 0);
            [
                order(2 * pair, seller, &[token], &[(coins, seller)]),
                order(2 * pair + 1, buyer, &[coins], &[(token, buyer)]),
            ]
        });
        let hashes: Vec<B256> = [0x20, LOGS].into_iter().chain(0..LOGS).map(word).collect();
        let matched = log(SEAPORT, "OrdersMatched(bytes32[])", &[], &hashes);
        let facts = decoded(pairs.chain([matched]).collect());
        assert_eq!(facts.sales.len() as u64, LOGS / 2);
    }
}

#[test]
fn thousands_of_sales_of_a_token_that_moves_thousands_of_times() {
    let signature = "TransferSingle(address,address,address,uint256,uint256)";
    let sales = (0..LOGS / 2).map(|hash| order(hash, 5, &[(3, TOKEN, 7)], &[((0, Address::ZERO, 0), 5)]));
    let moves = (0..LOGS / 2).map(|hand| {
        log(
            TOKEN,
            signature,
            &[1, 1 + hand % 3, 1 + hand % 2],
            &[word(7), word(1 << 40)],
        )
    });
    let facts = decoded(sales.chain(moves).collect());
    assert_eq!(facts.sales.len() as u64, LOGS / 2);

    let signature = "OrdersMatched(bytes32,bytes32,address,address,uint256,bytes32)";
    let transfer = "Transfer(address,address,uint256)";
    let sales = (0..LOGS / 2).flat_map(|hash| {
        [
            log(TOKEN, transfer, &[5, 6, 7], &[]),
            log(WYVERN, signature, &[5, 6, 0], &[word(0), word(hash), word(100)]),
        ]
    });
    assert_eq!(decoded(sales.collect()).sales.len() as u64, LOGS / 2);
}

#[test]
fn thousands_of_tokens_and_fees_in_one_log() {
    let given: Vec<Item> = (0..3_000).map(|token| (2, TOKEN, token)).collect();
    let asked: Vec<(Item, u64)> = (0..3_000).map(|to| ((0, Address::ZERO, 0), 10 + to)).collect();
    let facts = decoded(vec![order(1, 5, &given, &asked)]);
    assert_eq!(facts.sales.len(), given.len());
    assert!(
        facts
            .sales
            .iter()
            .all(|sale| sale.fees.is_empty() && sale.flags.contains(&flag::FEES_UNKNOWN))
    );
}

#[test]
fn thousands_of_refused_logs() {
    let refused = (0..LOGS).map(|_| log(SEAPORT, "OrdersMatched(bytes32[])", &[], &[]));
    assert_eq!(decoded(refused.collect()).faults.len() as u64, LOGS);
}
