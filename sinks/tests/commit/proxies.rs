//! The laws of stored ABIs: whatever order, split and repetition upgrades of proxies are read in, and wherever the chain is
//! rewound between, what contracts run, what their logs were read by, and their faults end as if read in order once. And at no
//! time is a log covered that was last read by anything else than what is in force.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use alloy_primitives::{Address, B256};
use decoders::block::Block;
use decoders::dynamic::proxy::Change;
use decoders::fact::{Fault, reason};
use decoders::failure::Class;
use decoders::id::{Position, RecordKind};
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sinks::abis::{self, Finished, SOURCE, Segment, Timeline, Timelines, Upgrade, abi_source, logs_source};
use sinks::error::SinkError;
use sinks::progress::{checkpoint, coverage};
use sinks::store::Store;
use sqlx::types::Json;
use testkit::database::with_store;
use uuid::Uuid;

use crate::laws::{Follower, clear, cuts, seeds};
use crate::world::{CHAIN, World, wanted};

const BEACON: Address = Address::repeat_byte(0xbe);
/// Contracts that are followed: two proxies, and the beacon they may ask.
const FOLLOWED: [Address; 3] = [Address::repeat_byte(0x71), Address::repeat_byte(0x72), BEACON];

/// A log of a followed contract, and what it states of what the contract runs.
#[derive(Clone, Copy)]
struct Log {
    id: Uuid,
    block: Block,
    log_index: u32,
    contract: Address,
    change: Option<Change>,
}

/// The logs of the blocks `range` of `world`.
fn logs(world: &World, range: RangeInclusive<u64>) -> Vec<Log> {
    let mut logs = Vec::new();
    for number in range {
        let block = world.with_facts(number).block;
        let mut rng = ChaCha8Rng::from_seed(block.hash.0);
        for log_index in 0..rng.random_range(0..4) {
            let contract = *FOLLOWED.choose(&mut rng).unwrap();
            let code = Address::repeat_byte(rng.random_range(1..4));
            let change = match rng.random_range(0..4) {
                0 if contract != BEACON => Some(Change::Beacon(BEACON)),
                0 | 1 => Some(Change::Implementation(code)),
                _ => None,
            };
            let id = Position {
                chain: CHAIN,
                block_number: number,
                block_hash: block.hash,
                log_index,
                item: 0,
                kind: RecordKind::LOG,
            }
            .id();
            logs.push(Log {
                id,
                block,
                log_index,
                contract,
                change,
            });
        }
    }
    logs
}

/// Whose code `contract` runs at the position `at`, found by looking at every upgrade.
fn code(upgrades: &[Upgrade], contract: Address, at: Uuid) -> Option<Address> {
    let stated = upgrades
        .iter()
        .filter(|upgrade| upgrade.contract == contract && upgrade.valid_from <= at);
    match stated.max_by_key(|upgrade| upgrade.valid_from)?.change {
        Change::Implementation(code) => Some(code),
        Change::Beacon(beacon) if beacon != contract => code(upgrades, beacon, at),
        Change::Beacon(_) => None,
    }
}

/// The timelines that follow from `upgrades`.
fn resolve(upgrades: &[Upgrade]) -> Timelines {
    let mut cuts: BTreeSet<Uuid> = upgrades.iter().map(|upgrade| upgrade.valid_from).collect();
    cuts.insert(Uuid::nil());
    let timeline = |contract| {
        let mut segments: Vec<Segment> = Vec::new();
        for from in &cuts {
            let code = code(upgrades, contract, *from);
            let abis: Vec<String> = code.iter().map(|code| format!("{code:#x}")).collect();
            if segments.last().is_none_or(|last| last.abis != abis) {
                segments.push(Segment {
                    from: *from,
                    abis,
                    known: code.is_some(),
                });
            }
        }
        (contract, Timeline(segments))
    };
    FOLLOWED.into_iter().map(timeline).collect()
}

/// What an archive would hold: of each log, the ABIs it was last read by.
type Readings = BTreeMap<Uuid, Vec<String>>;

/// Reads the logs of `contracts` in `range` of `world` as of `branch`, as the indexer does.
async fn read(
    store: &Store,
    (world, branch): (&World, i64),
    range: RangeInclusive<u64>,
    contracts: &[Address],
    readings: &mut Readings,
) -> Result<(), SinkError> {
    let mut logs = logs(world, range.clone());
    logs.retain(|log| contracts.contains(&log.contract));
    let upgrade = |log: &Log| {
        Some(Upgrade {
            contract: log.contract,
            valid_from: log.id,
            change: log.change?,
        })
    };
    let upgrades: Vec<Upgrade> = logs.iter().filter_map(upgrade).collect();
    abis::record(store, CHAIN, branch, &upgrades).await?;
    let timelines = refresh(store).await;
    let mut facts = world.facts_of(range, &[]);
    for log in logs {
        let segment = timelines[&log.contract].at(log.id).unwrap();
        readings.insert(log.id, segment.abis.clone());
        if !segment.known {
            facts.faults.push(fault(&log));
        }
    }
    let contracts: Vec<(Address, &Timeline)> = contracts
        .iter()
        .map(|contract| (*contract, &timelines[contract]))
        .collect();
    let finished = Finished {
        facts: &facts,
        contracts: &contracts,
        branch,
        archived: true,
        intent: None,
    };
    abis::finish(store, &finished).await
}

fn fault(log: &Log) -> Fault {
    Fault {
        source: SOURCE,
        block_number: log.block.number,
        log_index: log.log_index,
        tx_hash: B256::ZERO,
        contract: log.contract,
        topic0: None,
        reason: reason::ABI_UNKNOWN,
    }
}

async fn refresh(store: &Store) -> Timelines {
    let timelines = resolve(&abis::upgrades(store, CHAIN).await.unwrap());
    abis::settle(store, CHAIN, &timelines).await.unwrap();
    timelines
}

/// Some of the contracts, at least one.
fn some(rng: &mut ChaCha8Rng) -> Vec<Address> {
    let mut contracts = FOLLOWED.to_vec();
    contracts.shuffle(rng);
    contracts.truncate(rng.random_range(1..=3));
    contracts
}

/// Reads what is missing up to `height` until nothing is.
async fn fill(store: &Store, world: &World, height: u64, readings: &mut Readings) {
    let branch = checkpoint::branch(store, CHAIN).await.unwrap();
    loop {
        refresh(store).await;
        let mut done = true;
        for contract in FOLLOWED {
            let sources = [abi_source(&contract), logs_source(&contract)];
            let wanted = wanted(&[&sources[0], &sources[1]]);
            let missing = coverage::missing(store, CHAIN, &wanted, 0..=height).await.unwrap();
            for range in missing {
                done = false;
                read(store, (world, branch), range, &[contract], readings)
                    .await
                    .unwrap();
            }
        }
        if done {
            return;
        }
    }
}

/// What the tables hold of contracts.
#[derive(Debug, PartialEq)]
struct Tables {
    upgrades: Vec<Upgrade>,
    timelines: BTreeMap<String, Timeline>,
    faults: BTreeSet<Uuid>,
    covered: BTreeMap<String, Vec<RangeInclusive<u64>>>,
}

async fn tables(store: &Store) -> Tables {
    let timelines: Vec<(String, Json<Timeline>)> =
        sqlx::query_as("select contract::text, timeline from indexer_service.abi_decodings")
            .fetch_all(&store.pool)
            .await
            .unwrap();
    let faults: Vec<Uuid> = sqlx::query_scalar("select id from indexer_service.decode_faults where source = 'abi'")
        .fetch_all(&store.pool)
        .await
        .unwrap();
    let mut covered: BTreeMap<String, Vec<RangeInclusive<u64>>> = BTreeMap::new();
    for run in coverage::read(store, CHAIN).await.unwrap() {
        if run.source.contains(':') {
            covered.entry(run.source).or_default().push(run.range);
        }
    }
    Tables {
        upgrades: abis::upgrades(store, CHAIN).await.unwrap(),
        timelines: timelines
            .into_iter()
            .map(|(contract, Json(timeline))| (contract, timeline))
            .collect(),
        faults: faults.into_iter().collect(),
        covered,
    }
}

/// Every log that is covered was last read by what the tables call in force, and is a fault if that is nothing.
async fn check(store: &Store, world: &World, readings: &Readings, seed: u64) {
    let tables = tables(store).await;
    for log in logs(world, 0..=world.height()) {
        let ranges = tables.covered.get(&abi_source(&log.contract)).into_iter().flatten();
        if !ranges.into_iter().any(|range| range.contains(&log.block.number)) {
            continue;
        }
        let segment = tables.timelines[&format!("{:#x}", log.contract)].at(log.id).unwrap();
        assert_eq!(readings[&log.id], segment.abis, "seed {seed}: {}", log.id);
        assert_eq!(tables.faults.contains(&log.id), !segment.known, "seed {seed}");
    }
}

async fn clear_all(store: &Store) {
    clear(store).await;
    sqlx::raw_sql("delete from chain_registry_service.chain_contract_abis; delete from indexer_service.abi_decodings")
        .execute(&store.pool)
        .await
        .unwrap();
}

/// What an operator states, which no log and no rewind takes back.
async fn state(store: &Store, stated: &[(Address, u64, Address)]) {
    for (contract, from, code) in stated {
        abis::add_change(store, CHAIN, *contract, *from, *code).await.unwrap();
    }
}

/// The tables after everything was read in order, once.
async fn clean(store: &Store, world: &World, stated: &[(Address, u64, Address)]) -> Tables {
    clear_all(store).await;
    state(store, stated).await;
    let (mut readings, at) = (Readings::new(), (world, 0));
    for number in 0..=world.height() {
        read(store, at, number..=number, &FOLLOWED, &mut readings)
            .await
            .unwrap();
    }
    check(store, world, &readings, world.seed).await;
    let tables = tables(store).await;
    let whole = vec![0..=world.height()];
    assert!(tables.covered.len() == 6 && tables.covered.values().all(|ranges| *ranges == whole));
    clear_all(store).await;
    tables
}

#[tokio::test(flavor = "multi_thread")]
async fn upgrades_told_in_any_order_end_alike() {
    with_store(1, |store| async move {
        for seed in 0..seeds() {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let world = World::new(seed, rng.random_range(5..30));
            let stated = [(
                FOLLOWED[0],
                rng.random_range(0..=world.height()),
                Address::repeat_byte(9),
            )];
            let expected = clean(&store, &world, &stated).await;

            let mut ranges = cuts(&mut rng, world.height());
            ranges.extend(cuts(&mut rng, world.height()));
            ranges.shuffle(&mut rng);
            let (mut readings, when) = (Readings::new(), rng.random_range(0..ranges.len()));
            for (step, range) in ranges.into_iter().enumerate() {
                if step == when {
                    state(&store, &stated).await;
                }
                let contracts = some(&mut rng);
                read(&store, (&world, 0), range, &contracts, &mut readings)
                    .await
                    .unwrap();
                check(&store, &world, &readings, seed).await;
            }
            fill(&store, &world, world.height(), &mut readings).await;
            check(&store, &world, &readings, seed).await;
            assert_eq!(tables(&store).await, expected, "seed {seed}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn upgrades_rewound_anywhere_end_as_the_surviving_chain_tells_them() {
    with_store(1, |store| async move {
        for seed in 0..seeds() {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let mut world = World::new(seed, rng.random_range(5..20));
            let stated = [(FOLLOWED[1], rng.random_range(0..25), Address::repeat_byte(9))];
            clear_all(&store).await;
            state(&store, &stated).await;
            let (mut follower, mut readings) = (Follower::start(&store).await, Readings::new());
            for branch in 1..4 {
                follower.follow(&store, &world, &mut rng).await;
                let now = checkpoint::branch(&store, CHAIN).await.unwrap();
                let mut ranges = cuts(&mut rng, world.height());
                ranges.shuffle(&mut rng);
                ranges.truncate(rng.random_range(1..=ranges.len()));
                for range in ranges {
                    let contracts = some(&mut rng);
                    read(&store, (&world, now), range, &contracts, &mut readings)
                        .await
                        .unwrap();
                    check(&store, &world, &readings, seed).await;
                }
                let left = world.clone();
                let depth = rng.random_range(1..world.height()) as usize;
                world.reorg(depth, rng.random_range(1..8), branch);
                follower.follow(&store, &world, &mut rng).await;
                check(&store, &world, &readings, seed).await;

                // What was read of the branch left behind comes too late.
                let before = tables(&store).await;
                let late = read(&store, (&left, now), 0..=left.height(), &FOLLOWED, &mut Readings::new()).await;
                assert_eq!(late.unwrap_err().class(), Class::Transient, "seed {seed}");
                assert_eq!(tables(&store).await, before, "seed {seed}");
            }
            fill(&store, &world, world.height(), &mut readings).await;
            check(&store, &world, &readings, seed).await;
            let rewound = tables(&store).await;
            assert_eq!(rewound, clean(&store, &world, &stated).await, "seed {seed}");
        }
    })
    .await;
}
