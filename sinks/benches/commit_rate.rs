//! How fast facts are committed: the workload of a busy market into an empty database, as transfers and sales per second.
//!
//! `TEST_DATABASE_URL=postgres://… cargo bench -p sinks`, or with the variables of `scripts/services --durable env`. Every
//! measurement makes the database `commit_rate` anew; the last one is left to look at.
//!
//! 20,000 blocks hold 355,000 ERC-721 transfers and 323,000 ERC-1155 items (half of them in batches) over 186,000 tokens of 200
//! contracts. What a measurement differs in from the first one is in its name.

use std::sync::{Arc, Mutex};

use alloy_primitives::{Address, B256, U256, keccak256};
use decoders::block::{Block, ChainId, Proof};
use decoders::fact::{Facts, Fee, FeeKind, PriceAllocation, Sale, Side, Standard, Transfer};
use divan::Bencher;
use divan::counter::ItemsCount;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sinks::commit::{Move, apply};
use sinks::error::SinkError;
use sinks::store::Store;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Connection, PgConnection};
use tokio::runtime::Runtime;

const DATABASE: &str = "commit_rate";
const CHAIN: ChainId = ChainId(1);
const BLOCKS: u64 = 20_000;
const SINGLE_TOKENS: u64 = 150_000;
const MULTI_TOKENS: u64 = 36_000;
const CONTRACTS: u64 = 100;
const PEOPLE: u64 = 20_000;

fn main() {
    divan::main();
}

/// How the facts are committed, and which.
struct Way {
    blocks_per_span: u64,
    connections: u32,
    /// The indexes are built at the end, within the time measured.
    defers_indexes: bool,
    /// Every tenth transfer is a sale as well.
    sells: bool,
}

const USUAL: Way = Way {
    blocks_per_span: 500,
    connections: 1,
    defers_indexes: false,
    sells: false,
};

#[divan::bench(sample_count = 1, sample_size = 1)]
fn spans_of_500_blocks(bencher: Bencher<'_, '_>) {
    measure(bencher, &USUAL);
}

#[divan::bench(sample_count = 1, sample_size = 1)]
fn spans_of_50_blocks(bencher: Bencher<'_, '_>) {
    let way = Way {
        blocks_per_span: 50,
        ..USUAL
    };
    measure(bencher, &way);
}

#[divan::bench(sample_count = 1, sample_size = 1)]
fn four_connections(bencher: Bencher<'_, '_>) {
    let way = Way {
        connections: 4,
        ..USUAL
    };
    measure(bencher, &way);
}

#[divan::bench(sample_count = 1, sample_size = 1)]
fn deferred_indexes(bencher: Bencher<'_, '_>) {
    let way = Way {
        defers_indexes: true,
        ..USUAL
    };
    measure(bencher, &way);
}

#[divan::bench(sample_count = 1, sample_size = 1)]
fn with_sales(bencher: Bencher<'_, '_>) {
    let way = Way { sells: true, ..USUAL };
    measure(bencher, &way);
}

fn measure(bencher: Bencher<'_, '_>, way: &Way) {
    let runtime = Runtime::new().expect("a process may have threads");
    bencher
        .with_inputs(|| {
            (
                facts(way),
                runtime.block_on(store(way)).expect("the database can be made"),
            )
        })
        .input_counter(|(spans, _)| ItemsCount::new(items(spans)))
        .bench_local_values(|(spans, store)| {
            runtime
                .block_on(commit(spans, &store, way))
                .expect("the database takes what no other process writes");
            store
        });
}

/// The spans, the highest first.
fn facts(way: &Way) -> Vec<Facts> {
    let mut market = Market::new(way.sells);
    let lowest = (0..BLOCKS).step_by(usize::try_from(way.blocks_per_span).expect("a small number"));
    let mut spans: Vec<Facts> = lowest.map(|low| market.span(low, way.blocks_per_span)).collect();
    spans.reverse();
    spans
}

fn items(spans: &[Facts]) -> usize {
    spans.iter().map(|span| span.transfers.len() + span.sales.len()).sum()
}

async fn store(way: &Way) -> Result<Store, SinkError> {
    let url =
        std::env::var("TEST_DATABASE_URL").expect("TEST_DATABASE_URL names a server: eval \"$(scripts/services env)\"");
    let server: PgConnectOptions = url.parse()?;
    let mut connection = PgConnection::connect_with(&server).await?;
    for statement in [
        "drop database if exists commit_rate with (force)",
        "create database commit_rate",
    ] {
        sqlx::query(statement).execute(&mut connection).await?;
    }
    let pool = PgPoolOptions::new().max_connections(way.connections);
    let store = Store::new(pool.connect_with(server.database(DATABASE)).await?);
    store.migrate().await?;
    if way.defers_indexes {
        store.defer_indexes(CHAIN).await?;
    }
    Ok(store)
}

/// Commits the spans from the last one on, with as many workers as there are connections.
async fn commit(spans: Vec<Facts>, store: &Store, way: &Way) -> Result<(), SinkError> {
    let queue = Arc::new(Mutex::new(spans));
    let workers = (0..way.connections).map(|_| {
        let (store, queue) = (store.clone(), queue.clone());
        tokio::spawn(async move {
            while let Some(span) = { queue.lock().expect("no worker panics").pop() } {
                apply(&store, &span, Move::Backfill { branch: 0 }).await?;
            }
            Ok::<(), SinkError>(())
        })
    });
    for worker in futures::future::join_all(workers).await {
        worker.expect("no worker panics")?;
    }
    store.build_indexes(CHAIN).await
}

/// A market whose tokens are minted over the first half and sent ever after.
struct Market {
    rng: ChaCha8Rng,
    owners: Vec<Option<Address>>,
    /// People who once received units of a token; the senders come from among them.
    holders: Vec<Vec<Address>>,
    sells: bool,
}

impl Market {
    fn new(sells: bool) -> Self {
        Market {
            sells,
            rng: ChaCha8Rng::seed_from_u64(1),
            owners: vec![None; usize::try_from(SINGLE_TOKENS).expect("fits")],
            holders: vec![Vec::new(); usize::try_from(MULTI_TOKENS).expect("fits")],
        }
    }

    fn span(&mut self, low: u64, length: u64) -> Facts {
        let high = (low + length - 1).min(BLOCKS - 1);
        let mut facts = Facts {
            sources: vec!["erc1155", "erc721", "seaport"],
            ..Facts::new(CHAIN, low..=high, Proof::Bloom)
        };
        for number in low..=high {
            facts.blocks.push(Block {
                number,
                hash: keccak256(number.to_be_bytes()),
                time: 1_600_000_000 + number * 12,
            });
            // 17.75 ERC-721 logs, 7.6 single and 2.9 batch logs of three items a block.
            for log_index in 0..28u32 {
                match log_index {
                    0..18 if log_index < 17 || number % 4 != 0 => self.single(&mut facts, number, log_index),
                    18..26 if log_index < 25 || number % 5 < 3 => self.multi(&mut facts, number, log_index, 1),
                    26..28 => self.multi(&mut facts, number, log_index, if number % 2 == 0 { 4 } else { 5 }),
                    _ => {}
                }
            }
        }
        if self.sells {
            let sales = facts.transfers.iter().step_by(10).map(sale);
            facts.sales = sales.collect();
        }
        facts
    }

    fn single(&mut self, facts: &mut Facts, number: u64, log_index: u32) {
        // Tokens appear in order of their minting and are sent at random.
        let minted = (number * 2 * SINGLE_TOKENS / BLOCKS).clamp(1, SINGLE_TOKENS);
        let token = self.rng.random_range(0..minted);
        let to = person(self.rng.random_range(0..PEOPLE));
        let owner = &mut self.owners[usize::try_from(token).expect("fits")];
        let from = owner.replace(to).unwrap_or_default();
        facts
            .transfers
            .push(transfer(facts, number, log_index, 0, Standard::Erc721, token, from, to));
    }

    fn multi(&mut self, facts: &mut Facts, number: u64, log_index: u32, items: u32) {
        for item in 0..items {
            let number_in_kind = self.rng.random_range(0..MULTI_TOKENS);
            let token = SINGLE_TOKENS + number_in_kind;
            let to = person(self.rng.random_range(0..PEOPLE));
            let holders = &mut self.holders[usize::try_from(number_in_kind).expect("fits")];
            let minted = holders.is_empty() || self.rng.random_ratio(1, 3);
            let from = if minted {
                Address::ZERO
            } else {
                holders[self.rng.random_range(0..holders.len())]
            };
            holders.push(to);
            facts.transfers.push(transfer(
                facts,
                number,
                log_index,
                item,
                Standard::Erc1155,
                token,
                from,
                to,
            ));
        }
    }
}

fn person(number: u64) -> Address {
    Address::from_slice(&keccak256(number.to_be_bytes())[..20])
}

/// The sale behind `moved`, with a fee and a royalty.
fn sale(moved: &Transfer) -> Sale {
    let price = U256::from(1_000_000_000_000_000u64 * (1 + u64::from(moved.log_index)));
    let fee = |number, kind| Fee {
        recipient: person(PEOPLE + number),
        amount: price / U256::from(40),
        kind,
    };
    Sale {
        source: "seaport",
        block_number: moved.block_number,
        log_index: 1_000 + moved.log_index,
        item: moved.item,
        tx_hash: moved.tx_hash,
        marketplace: "seaport",
        version: "1.5",
        market: person(PEOPLE),
        contract: moved.contract,
        token: Some(moved.token),
        standard: moved.standard,
        quantity: moved.quantity,
        seller: moved.from,
        buyer: moved.to,
        taker_raw: moved.to,
        aggregator: None,
        maker: moved.from,
        side: Side::Listing,
        currency: Address::ZERO,
        price: Some(price),
        fees: [fee(1, FeeKind::Marketplace), fee(2, FeeKind::Royalty)]
            .into_iter()
            .collect(),
        seller_net: Some(price - price / U256::from(40) * U256::from(2)),
        order_hash: Some(moved.tx_hash),
        bundle_first: moved.item,
        bundle_size: 1,
        allocation: PriceAllocation::Exact,
        flags: [].into_iter().collect(),
    }
}

#[expect(clippy::too_many_arguments, reason = "a transfer has that many parts")]
fn transfer(
    facts: &Facts,
    block_number: u64,
    log_index: u32,
    item: u32,
    standard: Standard,
    token: u64,
    from: Address,
    to: Address,
) -> Transfer {
    let contract = token % CONTRACTS + if standard.single_owner() { 0 } else { CONTRACTS };
    Transfer {
        source: standard.as_str(),
        block_number,
        log_index,
        item,
        tx_hash: B256::from(U256::from(facts.transfers.len() as u64 * 7_919 + block_number)),
        contract: Address::from_slice(&keccak256((1_000_000 + contract).to_be_bytes())[..20]),
        token: U256::from(token),
        from,
        to,
        quantity: if standard.single_owner() {
            U256::ONE
        } else {
            U256::from(1 + token % 5)
        },
        standard,
    }
}
