//! A made-up chain with branches.
//!
//! Transfers and sales are random and mostly impossible (no one owned what was sent), as every history is whose beginning is not
//! covered: the laws must hold for any set of facts.

use std::ops::RangeInclusive;

use alloy_primitives::{Address, B256, U256, keccak256};
use decoders::block::{Block, BlockRef, ChainId, Proof};
use decoders::fact::{Closing, Facts, Fault, Fee, FeeKind, Order, PriceAllocation, Sale, Side, Standard, Transfer};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sinks::progress::coverage::Wanted;
use uuid::Uuid;

use crate::market;

pub(crate) const CHAIN: ChainId = ChainId(1);
pub(crate) const SOURCES: [&str; 6] = ["cryptopunks", "erc1155", "erc2309", "erc721", "seaport", "wyvern"];

/// Contracts of two markets.
pub(crate) const SEAPORT: Address = Address::repeat_byte(0x5e);
pub(crate) const WYVERN: Address = Address::repeat_byte(0x5f);

/// One block with what it holds.
#[derive(Clone, Debug)]
pub(crate) struct WithFacts {
    pub(crate) block: Block,
    pub(crate) transfers: Vec<Transfer>,
    pub(crate) sales: Vec<Sale>,
    pub(crate) orders: Vec<Order>,
    pub(crate) closings: Vec<Closing>,
    pub(crate) faults: Vec<Fault>,
}

/// Block `number` of branch `branch` of the world `seed`: the same whenever asked.
pub(crate) fn with_facts(seed: u64, branch: u64, number: u64) -> WithFacts {
    let word = [seed.to_be_bytes(), branch.to_be_bytes(), number.to_be_bytes()].concat();
    let hash = keccak256(word);
    let mut rng = ChaCha8Rng::from_seed(hash.0);
    let block = Block {
        number,
        hash,
        time: 1_600_000_000 + number * 12,
    };
    let mut with_facts = WithFacts {
        block,
        transfers: Vec::new(),
        sales: Vec::new(),
        orders: Vec::new(),
        closings: Vec::new(),
        faults: Vec::new(),
    };
    let mut log_index = 0;
    for _ in 0..rng.random_range(0..5) {
        log_index += rng.random_range(1..4);
        let tx_hash = B256::from(rng.random::<[u8; 32]>());
        if rng.random_ratio(1, 10) {
            with_facts.faults.push(fault(&mut rng, number, log_index, tx_hash));
            continue;
        }
        let (standard, source, contract) = speaker(&mut rng);
        let items = if rng.random_ratio(1, 3) {
            rng.random_range(1..5)
        } else {
            1
        };
        for item in 0..items {
            let (from, to) = (person(&mut rng), person(&mut rng));
            with_facts.transfers.push(Transfer {
                source,
                block_number: number,
                log_index,
                item,
                tx_hash,
                contract,
                token: number_of(&mut rng),
                from,
                to,
                quantity: if standard.single_owner() {
                    U256::ONE
                } else {
                    quantity(&mut rng)
                },
                standard,
            });
        }
    }
    // A market may speak of a log of its own, or of one that moved a token too, as CryptoPunks do.
    for _ in 0..rng.random_range(0..3) {
        let log_index = if rng.random_ratio(1, 4) {
            with_facts.transfers.last().map_or(40, |moved| moved.log_index)
        } else {
            40 + with_facts.sales.len() as u32 * 2
        };
        if with_facts.sales.iter().all(|sale| sale.log_index != log_index) {
            deal(&mut rng, number, log_index, &mut with_facts.sales);
        }
    }
    market::state(&mut rng, number, &mut with_facts);
    with_facts.sales.sort_by_key(|sale| (sale.log_index, sale.item));
    with_facts
}

/// Appends the sales of one log: one, a bundle, or one of which little is known.
fn deal(rng: &mut ChaCha8Rng, block_number: u64, log_index: u32, sales: &mut Vec<Sale>) {
    let (standard, _, contract) = speaker(rng);
    let size = if rng.random_ratio(1, 3) {
        rng.random_range(2..4)
    } else {
        1
    };
    let currency = Address::repeat_byte([0, 0, 0xee, 0xff][rng.random_range(0..4)]);
    let tx_hash = B256::from(rng.random::<[u8; 32]>());
    let (source, version) = [("seaport", "1.5"), ("seaport", "1.1"), ("wyvern", "")][rng.random_range(0..3)];
    for item in 0..size {
        let token = (!rng.random_ratio(1, 8)).then(|| number_of(rng));
        let price = (!rng.random_ratio(1, 6)).then(|| quantity(rng));
        let fees: Vec<Fee> = (0..rng.random_range(0..3)).map(|_| fee(rng, price)).collect();
        let paid = fees.iter().fold(U256::ZERO, |sum, fee| sum + fee.amount);
        sales.push(Sale {
            source,
            block_number,
            log_index,
            item,
            tx_hash,
            marketplace: source,
            version,
            market: if source == "seaport" { SEAPORT } else { WYVERN },
            contract: if token.is_some() { contract } else { Address::ZERO },
            token,
            standard,
            quantity: if standard.single_owner() {
                U256::ONE
            } else {
                quantity(rng)
            },
            seller: person(rng),
            buyer: person(rng),
            taker_raw: person(rng),
            aggregator: rng.random_bool(0.5).then(|| person(rng)),
            maker: person(rng),
            side: [Side::Listing, Side::Offer, Side::AmmBuy][rng.random_range(0..3)],
            currency,
            price,
            seller_net: price.map(|price| price - paid),
            fees: fees.into_iter().collect(),
            order_hash: rng.random_bool(0.5).then(|| B256::repeat_byte(rng.random_range(0..4))),
            bundle_first: 0,
            bundle_size: size,
            allocation: [PriceAllocation::Exact, PriceAllocation::SplitEqual][usize::from(size > 1)],
            flags: [None, Some("no_transfer"), Some("unproven")][rng.random_range(0..3)]
                .into_iter()
                .collect(),
        });
    }
}

/// At most a third of the price.
fn fee(rng: &mut ChaCha8Rng, price: Option<U256>) -> Fee {
    Fee {
        recipient: person(rng),
        amount: price.unwrap_or_default() / U256::from(rng.random_range(3..9u8)),
        kind: [FeeKind::Marketplace, FeeKind::Royalty][rng.random_range(0..2)],
    }
}

/// Three contracts of one standard each, and one that speaks two.
pub(crate) fn speaker(rng: &mut ChaCha8Rng) -> (Standard, &'static str, Address) {
    match rng.random_range(0..6) {
        0 => (Standard::Erc721, "erc721", Address::repeat_byte(0xa1)),
        1 => (Standard::Erc721, "erc2309", Address::repeat_byte(0xa1)),
        2 => (Standard::Erc1155, "erc1155", Address::repeat_byte(0xb2)),
        3 => (Standard::CryptoPunks, "cryptopunks", Address::repeat_byte(0xc3)),
        4 => (Standard::Erc721, "erc721", Address::repeat_byte(0xd4)),
        _ => (Standard::Erc1155, "erc1155", Address::repeat_byte(0xd4)),
    }
}

pub(crate) fn person(rng: &mut ChaCha8Rng) -> Address {
    Address::repeat_byte(rng.random_range(0..4))
}

pub(crate) fn number_of(rng: &mut ChaCha8Rng) -> U256 {
    if rng.random_ratio(1, 8) {
        U256::MAX
    } else {
        U256::from(rng.random_range(0..4u8))
    }
}

pub(crate) fn quantity(rng: &mut ChaCha8Rng) -> U256 {
    match rng.random_range(0..10) {
        0 | 1 => U256::ZERO,
        2 => U256::MAX,
        3 => U256::from(10u64.pow(18)),
        _ => U256::from(rng.random_range(1..4u8)),
    }
}

fn fault(rng: &mut ChaCha8Rng, block_number: u64, log_index: u32, tx_hash: B256) -> Fault {
    let source = SOURCES[rng.random_range(0..SOURCES.len())];
    let topic0 = rng.random_bool(0.5).then_some(B256::repeat_byte(7));
    Fault {
        source,
        block_number,
        log_index,
        tx_hash,
        contract: Address::repeat_byte(0xee),
        topic0,
        reason: "data_too_short",
    }
}

/// A chain as the network sees it: which branch each height is on.
#[derive(Clone, Debug)]
pub(crate) struct World {
    pub(crate) seed: u64,
    /// Branch of block `i` at index `i`.
    branches: Vec<u64>,
}

impl World {
    /// Blocks 0 to `length - 1` of one branch.
    pub(crate) fn new(seed: u64, length: u64) -> Self {
        World {
            seed,
            branches: vec![0; usize::try_from(length).unwrap()],
        }
    }

    /// Drops the highest `depth` blocks and grows `growth` of the branch `branch`.
    pub(crate) fn reorg(&mut self, depth: usize, growth: usize, branch: u64) {
        self.branches.truncate(self.branches.len() - depth);
        self.branches.resize(self.branches.len() + growth, branch);
    }

    pub(crate) fn height(&self) -> u64 {
        self.branches.len() as u64 - 1
    }

    pub(crate) fn with_facts(&self, number: u64) -> WithFacts {
        with_facts(self.seed, self.branches[usize::try_from(number).unwrap()], number)
    }

    pub(crate) fn block(&self, number: u64) -> BlockRef {
        self.with_facts(number).block.block_ref()
    }

    /// The ids of the facts that are announced, in chain order, kinds mixed.
    pub(crate) fn ids(&self, facts: &Facts) -> Vec<Uuid> {
        let mut ids = Vec::new();
        for (kind, facts) in facts.by_kind() {
            let announced = facts.iter().filter(|fact| fact.name().is_some());
            ids.extend(announced.map(|fact| {
                let place = fact.place();
                place.id(kind.record, CHAIN, self.block(place.block_number).hash)
            }));
        }
        ids.sort_unstable();
        ids
    }

    /// The facts of a range, as the decoders would hand them over.
    pub(crate) fn facts(&self, range: RangeInclusive<u64>) -> Facts {
        self.facts_of(range, &SOURCES)
    }

    /// The facts of a range as only some decoders see it.
    pub(crate) fn facts_of(&self, range: RangeInclusive<u64>, sources: &[&'static str]) -> Facts {
        let mut facts = Facts {
            parent_hash: range.start().checked_sub(1).map(|number| self.block(number).hash),
            sources: sources.to_vec(),
            ..Facts::new(CHAIN, range.clone(), Proof::Bloom)
        };
        for number in range {
            let stated = self.with_facts(number);
            facts.blocks.push(stated.block);
            facts.transfers.extend(
                stated
                    .transfers
                    .into_iter()
                    .filter(|fact| sources.contains(&fact.source)),
            );
            facts
                .sales
                .extend(stated.sales.into_iter().filter(|fact| sources.contains(&fact.source)));
            facts
                .orders
                .extend(stated.orders.into_iter().filter(|fact| sources.contains(&fact.source)));
            facts.closings.extend(
                stated
                    .closings
                    .into_iter()
                    .filter(|fact| sources.contains(&fact.source)),
            );
            facts.faults.extend(
                stated
                    .faults
                    .into_iter()
                    .filter(|fault| sources.contains(&fault.source)),
            );
        }
        facts
    }
}

/// These sources, from the first block on.
pub(crate) fn wanted(sources: &[&str]) -> Vec<Wanted> {
    let from_start = |source: &&str| Wanted {
        source: (*source).to_owned(),
        from: 0,
    };
    sources.iter().map(from_start).collect()
}
