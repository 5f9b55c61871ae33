//! Law 4: a few cheap logs fill neither memory nor disk, they stop nothing, and what stands beside them is stored.

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256, Bytes, Log, LogData, U256, keccak256};
use decoders::budget::{MAX_EXTRA_FACTS_PER_BLOCK, MAX_EXTRA_FACTS_PER_TRANSACTION};
use sinks::digest::digest;
use sinks::store::Store;
use testchain::simulation::Settings;
use testkit::database::Database;

use crate::harness::chain::Chain;
use crate::harness::program::{Program, Setup};

/// Blocks between head and finalized block.
const FINALIZED_DEPTH: u64 = 4;
const GREEDY: Address = Address::repeat_byte(0xbb);
/// A range of which two fit one block, beside what its other logs take.
const LARGE: u64 = MAX_EXTRA_FACTS_PER_BLOCK as u64 / 8 * 3;
/// More memory than the program ever holds, far less than the facts would take that were asked for.
const MEMORY_KB: u64 = 512 << 10;

/// Who emits them, as the tables write it.
fn greedy_contract() -> String {
    format!("{GREEDY:#x}")
}

fn log(signature: &str, topics: &[u64], data: &[u64]) -> Log {
    let word = |number: &u64| B256::from(U256::from(*number));
    let topics = std::iter::once(keccak256(signature)).chain(topics.iter().map(word));
    let data: Vec<u8> = data.iter().flat_map(|number| word(number).0).collect();
    Log {
        address: GREEDY,
        data: LogData::new_unchecked(topics.collect(), Bytes::from(data)),
    }
}

/// `ConsecutiveTransfer` of `length` new tokens.
fn range(first: u64, length: u64) -> Log {
    let signature = "ConsecutiveTransfer(uint256,uint256,address,address)";
    log(signature, &[first, 0, 7], &[first + length - 1])
}

/// `TransferBatch` of `length` tokens, both of whose arrays are the same words: half the price.
fn batch(length: u64) -> Log {
    let head = [64, 64, length];
    let data: Vec<u64> = head.into_iter().chain(0..length).collect();
    log(
        "TransferBatch(address,address,address,uint256[],uint256[])",
        &[7, 0, 7],
        &data,
    )
}

/// A block of transactions that ask for some millions of facts.
fn greedy() -> Vec<Vec<Log>> {
    let alone = |length: u64| (0..24).map(move |nth| vec![range(nth * length, length)]);
    let together = (0..24).map(|nth| range(nth * 1_000_000, 5_000)).collect();
    let batches = vec![batch(MAX_EXTRA_FACTS_PER_TRANSACTION as u64 + 2)];
    alone(100_000).chain(alone(LARGE)).chain([together, batches]).collect()
}

async fn faults(store: &Store) -> BTreeMap<String, i64> {
    let faults = sqlx::query_as(
        "select reason, count(*) from indexer_service.decode_faults where contract = $1 group by reason",
    );
    let faults: Vec<(String, i64)> = faults.bind(greedy_contract()).fetch_all(&store.pool).await.unwrap();
    faults.into_iter().collect()
}

async fn rows(store: &Store) -> i64 {
    sqlx::query_scalar("select count(*) from catalog_service.ownership_transfers where contract = $1")
        .bind(greedy_contract())
        .fetch_one(&store.pool)
        .await
        .unwrap()
}

/// The most memory a process ever held.
fn peak_memory_kb(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn law_4_a_few_cheap_logs_fill_neither_memory_nor_disk_and_stop_nothing() {
    let mut chain = Chain::start(Settings::small(5), 12, FINALIZED_DEPTH).await;
    let block = chain.simulation.next_block_with(&greedy());
    chain.ledger.extend(vec![block]);
    chain.grow(2 * FINALIZED_DEPTH);
    let expected = chain.clean_digest(0).await;
    // Split as finely as can be, and not at all.
    for held in [1_000, 1_000_000] {
        let context = format!("max_logs_held = {held}");
        let database = Database::new().await;
        let mut setup = Setup::new(&database, chain.id(), &[chain.server.http_url()]);
        setup.pipeline.clone_from(&context);
        let program = Program::new(&setup);
        let mut process = program.start(&["run"]);
        chain.indexed(&database.store, 0, &context).await;
        let memory = peak_memory_kb(process.id());
        process.stop().await;
        process.assert_no_panic();
        assert!(memory < MEMORY_KB, "{context}: {memory} kB");
        let faults = faults(&database.store).await;
        assert_eq!(faults["range_too_long"], 24, "{context}");
        // All but two large ranges, all but two of those in one transaction, and the batch.
        assert!(faults["over_budget"] > 22 + 22, "{context}: {faults:?}");
        let rows = rows(&database.store).await;
        assert!(rows <= MAX_EXTRA_FACTS_PER_BLOCK as i64 + 74, "{context}: {rows} rows");
        assert!(rows >= 2 * LARGE as i64, "{context}: what fits is stored: {rows} rows");
        assert_eq!(
            digest(&database.store, chain.id()).await.unwrap(),
            expected,
            "{context}"
        );
    }
}
