//! How fast `apply` writes: the workload of a busy market, one connection, printed as items per second.
//!
//! `TEST_DATABASE_URL=postgres://… cargo run --release -p sinks --example apply_rate -- [blocks per span] [connections] [defer] [sales]`
//! needs an empty database of its own, which it migrates. With `defer` the indexes are built at the end, within the time shown.
//! 20,000 blocks hold 355,000 ERC-721 transfers and 323,000 ERC-1155 items (half of them in batches) over 186,000 tokens of 200
//! contracts; with `sales` every tenth transfer is a sale as well.

use std::error::Error;
use std::io::Write as _;
use std::time::Instant;

use alloy_primitives::{Address, B256, U256, keccak256};
use decoders::block::{Block, ChainId, Proof};
use decoders::fact::{Facts, Fee, FeeKind, PriceAllocation, Sale, Side, Standard, Transfer, TransferKind};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sinks::commit::{Move, apply};
use sinks::store::Store;
use sqlx::postgres::PgPoolOptions;

const CHAIN: ChainId = ChainId(1);
const BLOCKS: u64 = 20_000;
const SINGLE_TOKENS: u64 = 150_000;
const MULTI_TOKENS: u64 = 36_000;
const CONTRACTS: u64 = 100;
const PEOPLE: u64 = 20_000;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let blocks_per_span: u64 = arguments.next().map_or(Ok(500), |text| text.parse())?;
    let connections: u32 = arguments.next().map_or(Ok(1), |text| text.parse())?;
    let words: Vec<String> = arguments.collect();
    let defer = words.iter().any(|word| word == "defer");
    let url = std::env::var("TEST_DATABASE_URL")?;
    let store = Store::new(PgPoolOptions::new().max_connections(connections).connect(&url).await?);
    store.migrate().await?;

    let mut market = Market::new(words.iter().any(|word| word == "sales"));
    let mut spans: Vec<Facts> = (0..BLOCKS)
        .step_by(usize::try_from(blocks_per_span)?)
        .map(|low| market.span(low, blocks_per_span))
        .collect();
    let items: usize = spans.iter().map(|span| span.transfers.len() + span.sales.len()).sum();
    if defer {
        store.defer_indexes(CHAIN).await?;
    }
    let started = Instant::now();
    let queue = std::sync::Arc::new(std::sync::Mutex::new({
        spans.reverse();
        spans
    }));
    let workers = (0..connections).map(|_| {
        let (store, queue) = (store.clone(), queue.clone());
        tokio::spawn(async move {
            while let Some(span) = { queue.lock().expect("no worker panics").pop() } {
                apply(&store, &span, Move::Backfill { branch: 0 }).await?;
            }
            Ok::<(), sinks::error::SinkError>(())
        })
    });
    for worker in futures::future::join_all(workers).await {
        worker??;
    }
    store.build_indexes(CHAIN).await?;
    let seconds = started.elapsed().as_secs_f64();
    writeln!(
        std::io::stdout(),
        "{items} items, {blocks_per_span} blocks a span, {connections} connections: {seconds:.1} s, {:.0} items/s, {:.1} µs/item",
        items as f64 / seconds,
        seconds * 1e6 / items as f64
    )?;
    Ok(())
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
        kind: if from.is_zero() {
            TransferKind::Mint
        } else {
            TransferKind::Transfer
        },
    }
}
