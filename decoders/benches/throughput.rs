//! How fast spans decode: logs of a mixed chain, ten thousand to a span, as logs per second.
//!
//! `cargo bench -p decoders`, or `cargo bench -p decoders -- erc721` for some of the mixes.

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use decoders::block::{Block, ChainId, Context, Log, Proof, Span};
use decoders::pass::decode;
use divan::Bencher;
use divan::counter::ItemsCount;

const LOGS: u32 = 200_000;
const LOGS_PER_BLOCK: u32 = 200;
const BLOCKS_PER_SPAN: u32 = 50;

/// Of every hundred logs: what a busy chain emits, ERC-20 noise included.
const MIX: [(u32, Make); 4] = [(36, erc721), (15, erc1155_single), (6, erc1155_batch), (43, erc20)];

type Make = fn(u32) -> (Vec<B256>, Bytes);

fn main() {
    divan::main();
}

#[divan::bench]
fn mixed(bencher: Bencher<'_, '_>) {
    measure(bencher, &MIX);
}

#[divan::bench]
fn erc721_only(bencher: Bencher<'_, '_>) {
    measure(bencher, &[(100, erc721)]);
}

#[divan::bench]
fn erc20_only(bencher: Bencher<'_, '_>) {
    measure(bencher, &[(100, erc20)]);
}

#[divan::bench]
fn unclaimed_only(bencher: Bencher<'_, '_>) {
    measure(bencher, &[(100, unclaimed)]);
}

fn measure(bencher: Bencher<'_, '_>, mix: &[(u32, Make)]) {
    let spans = spans(mix);
    bencher.counter(ItemsCount::new(LOGS)).bench_local(|| {
        let transfers = spans.iter().map(|span| decode(span).transfers.len());
        transfers.sum::<usize>()
    });
}

fn spans(mix: &[(u32, Make)]) -> Vec<Span> {
    let kinds: Vec<Make> = mix
        .iter()
        .flat_map(|(share, make)| std::iter::repeat_n(*make, *share as usize))
        .collect();
    // A stride coprime to the number of kinds mixes them.
    let mut logs = (0..LOGS).map(|nth| log(nth, kinds[(nth as usize * 37) % kinds.len()]));
    let numbers = (0..u64::from(LOGS / LOGS_PER_BLOCK)).step_by(BLOCKS_PER_SPAN as usize);
    numbers
        .map(|first| {
            let range = first..=first + u64::from(BLOCKS_PER_SPAN) - 1;
            let blocks = range
                .clone()
                .map(|number| Block {
                    number,
                    hash: B256::ZERO,
                    time: 0,
                })
                .collect();
            let logs = logs
                .by_ref()
                .take((LOGS_PER_BLOCK * BLOCKS_PER_SPAN) as usize)
                .collect();
            Span {
                chain: ChainId(1),
                range,
                parent_hash: None,
                blocks,
                logs,
                proof: Proof::Chained,
                context: Context::default(),
            }
        })
        .collect()
}

/// The log number `nth`; two or three make a transaction.
fn log(nth: u32, make: Make) -> Log {
    let (topics, data) = make(nth);
    let tx_index = nth % LOGS_PER_BLOCK * 2 / 5;
    Log {
        block_number: u64::from(nth / LOGS_PER_BLOCK),
        log_index: nth % LOGS_PER_BLOCK,
        tx_index,
        tx_hash: B256::from(U256::from(u64::from(nth / LOGS_PER_BLOCK) << 32 | u64::from(tx_index))),
        address: Address::from_word(number(nth % 1000)),
        topics: topics.into(),
        data,
    }
}

fn number(value: u32) -> B256 {
    B256::from(U256::from(value))
}

fn words(values: &[u32]) -> Bytes {
    values.iter().flat_map(|value| number(*value).0).collect()
}

fn erc721(nth: u32) -> (Vec<B256>, Bytes) {
    let signature = keccak256("Transfer(address,address,uint256)");
    (
        vec![signature, number(nth % 7), number(nth % 11 + 1), number(nth)],
        Bytes::new(),
    )
}

fn erc20(nth: u32) -> (Vec<B256>, Bytes) {
    let signature = keccak256("Transfer(address,address,uint256)");
    (
        vec![signature, number(nth % 7 + 1), number(nth % 11 + 1)],
        words(&[nth]),
    )
}

fn erc1155_single(nth: u32) -> (Vec<B256>, Bytes) {
    let signature = keccak256("TransferSingle(address,address,address,uint256,uint256)");
    (
        vec![signature, number(5), number(nth % 7), number(nth % 11 + 1)],
        words(&[nth, 3]),
    )
}

fn erc1155_batch(nth: u32) -> (Vec<B256>, Bytes) {
    let signature = keccak256("TransferBatch(address,address,address,uint256[],uint256[])");
    let data = words(&[0x40, 0xc0, 3, nth, nth + 1, nth + 2, 3, 1, 2, 3]);
    (vec![signature, number(5), number(nth % 7), number(nth % 11 + 1)], data)
}

fn unclaimed(nth: u32) -> (Vec<B256>, Bytes) {
    (vec![keccak256("Unclaimed(uint256)"), number(nth)], words(&[nth]))
}
