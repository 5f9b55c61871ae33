//! A made-up chain with branches, and what its facts mean, reckoned without the product's projections.
//!
//! The transfers are random and mostly impossible (nobody owned what was sent), as every history is whose beginning is not
//! covered: the laws must hold for any set of facts.

#![allow(dead_code, reason = "each test binary uses its own part")]

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use alloy_primitives::{Address, B256, U256, U512, keccak256};
use decoders::block::{Block, BlockRef, ChainId, Proof};
use decoders::fact::{Facts, Fault, Standard, Transfer, TransferKind};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sinks::store::Store;

pub(crate) const CHAIN: ChainId = ChainId(1);
pub(crate) const SOURCES: [&str; 4] = ["cryptopunks", "erc1155", "erc2309", "erc721"];

/// One block with what it says.
#[derive(Clone, Debug)]
pub(crate) struct Saying {
    pub(crate) block: Block,
    pub(crate) transfers: Vec<Transfer>,
    pub(crate) faults: Vec<Fault>,
}

/// Block `number` of branch `branch` of the world `seed`: the same whenever asked.
pub(crate) fn saying(seed: u64, branch: u64, number: u64) -> Saying {
    let word = [seed.to_be_bytes(), branch.to_be_bytes(), number.to_be_bytes()].concat();
    let hash = keccak256(word);
    let mut rng = ChaCha8Rng::from_seed(hash.0);
    let block = Block {
        number,
        hash,
        time: 1_600_000_000 + number * 12,
    };
    let mut saying = Saying {
        block,
        transfers: Vec::new(),
        faults: Vec::new(),
    };
    let mut log_index = 0;
    for _ in 0..rng.random_range(0..5) {
        log_index += rng.random_range(1..4);
        let tx_hash = B256::from(rng.random::<[u8; 32]>());
        if rng.random_ratio(1, 10) {
            saying.faults.push(fault(&mut rng, number, log_index, tx_hash));
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
            saying.transfers.push(Transfer {
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
                kind: kind(from, to),
            });
        }
    }
    saying
}

/// Three contracts of one standard each, and one that speaks two.
fn speaker(rng: &mut ChaCha8Rng) -> (Standard, &'static str, Address) {
    match rng.random_range(0..6) {
        0 => (Standard::Erc721, "erc721", Address::repeat_byte(0xa1)),
        1 => (Standard::Erc721, "erc2309", Address::repeat_byte(0xa1)),
        2 => (Standard::Erc1155, "erc1155", Address::repeat_byte(0xb2)),
        3 => (Standard::CryptoPunks, "cryptopunks", Address::repeat_byte(0xc3)),
        4 => (Standard::Erc721, "erc721", Address::repeat_byte(0xd4)),
        _ => (Standard::Erc1155, "erc1155", Address::repeat_byte(0xd4)),
    }
}

fn person(rng: &mut ChaCha8Rng) -> Address {
    Address::repeat_byte(rng.random_range(0..4))
}

fn number_of(rng: &mut ChaCha8Rng) -> U256 {
    if rng.random_ratio(1, 8) {
        U256::MAX
    } else {
        U256::from(rng.random_range(0..4u8))
    }
}

fn quantity(rng: &mut ChaCha8Rng) -> U256 {
    match rng.random_range(0..10) {
        0 | 1 => U256::ZERO,
        2 => U256::MAX,
        _ => U256::from(rng.random_range(1..4u8)),
    }
}

fn kind(from: Address, to: Address) -> TransferKind {
    match (from.is_zero(), to.is_zero()) {
        (true, _) => TransferKind::Mint,
        (_, true) => TransferKind::Burn,
        _ => TransferKind::Transfer,
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

    pub(crate) fn saying(&self, number: u64) -> Saying {
        saying(self.seed, self.branches[usize::try_from(number).unwrap()], number)
    }

    pub(crate) fn block(&self, number: u64) -> BlockRef {
        self.saying(number).block.block_ref()
    }

    /// The facts of a range, as the decoders would hand them over.
    pub(crate) fn facts(&self, range: RangeInclusive<u64>) -> Facts {
        self.facts_of(range, &SOURCES)
    }

    /// The facts of a range as only some decoders see it.
    pub(crate) fn facts_of(&self, range: RangeInclusive<u64>, sources: &[&'static str]) -> Facts {
        let mut facts = Facts {
            chain: CHAIN,
            range: range.clone(),
            blocks: Vec::new(),
            proof: Proof::Bloom,
            sources: sources.to_vec(),
            transfers: Vec::new(),
            sales: Vec::new(),
            faults: Vec::new(),
        };
        for number in range {
            let said = self.saying(number);
            facts.blocks.push(said.block);
            facts
                .transfers
                .extend(said.transfers.into_iter().filter(|fact| sources.contains(&fact.source)));
            facts
                .faults
                .extend(said.faults.into_iter().filter(|fault| sources.contains(&fault.source)));
        }
        facts
    }
}

/// A token as a reader sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TokenState {
    pub(crate) standard: String,
    pub(crate) owner: Option<String>,
    pub(crate) burned: bool,
    pub(crate) minted_at: Option<i64>,
    pub(crate) supply: String,
}

/// Every table a reader asks, by natural keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Books {
    pub(crate) tokens: BTreeMap<(String, String), TokenState>,
    /// (contract, token, owner, quantity), zero left out.
    pub(crate) balances: BTreeSet<(String, String, String, String)>,
    /// contract → items, owners, transfers, mints, burns; for contracts with a token.
    pub(crate) stats: BTreeMap<String, [i64; 5]>,
    /// Transfer ids in order.
    pub(crate) activities: Vec<uuid::Uuid>,
}

impl Books {
    /// What `facts` mean, reckoned one by one in chain order.
    pub(crate) fn of(facts: &Facts) -> Self {
        let mut books = Books::default();
        let mut holdings: BTreeMap<(String, String, String), Sum> = BTreeMap::new();
        let mut supplies: BTreeMap<(String, String), Sum> = BTreeMap::new();
        let mut single: BTreeSet<(String, String)> = BTreeSet::new();
        let mut counts: BTreeMap<String, [i64; 3]> = BTreeMap::new();
        for fact in &facts.transfers {
            let block = facts
                .blocks
                .iter()
                .find(|block| block.number == fact.block_number)
                .unwrap();
            books.activities.push(fact.id(facts.chain, block.hash));
            let contract = format!("{:#x}", fact.contract);
            counts.entry(contract.clone()).or_default()[match fact.kind {
                TransferKind::Transfer => 0,
                TransferKind::Mint => 1,
                TransferKind::Burn => 2,
            }] += 1;
            if fact.quantity.is_zero() {
                continue;
            }
            let key = (contract.clone(), fact.token.to_string());
            let token = books.tokens.entry(key.clone()).or_default();
            if fact.kind == TransferKind::Mint {
                token.minted_at.get_or_insert(block.time.cast_signed());
            }
            let quantity = U512::from(fact.quantity);
            if fact.standard.single_owner() {
                single.insert(key);
                token.standard = fact.standard.as_str().into();
                token.owner = (!fact.to.is_zero()).then(|| format!("{:#x}", fact.to));
                continue;
            }
            if !fact.from.is_zero() {
                holdings
                    .entry((key.0.clone(), key.1.clone(), format!("{:#x}", fact.from)))
                    .or_default()
                    .lost += quantity;
            } else {
                supplies.entry(key.clone()).or_default().gained += quantity;
            }
            if !fact.to.is_zero() {
                holdings
                    .entry((key.0.clone(), key.1.clone(), format!("{:#x}", fact.to)))
                    .or_default()
                    .gained += quantity;
            } else {
                supplies.entry(key.clone()).or_default().lost += quantity;
            }
        }
        books.close(&holdings, &supplies, &single, &counts);
        books
    }

    fn close(
        &mut self,
        holdings: &BTreeMap<(String, String, String), Sum>,
        supplies: &BTreeMap<(String, String), Sum>,
        single: &BTreeSet<(String, String)>,
        counts: &BTreeMap<String, [i64; 3]>,
    ) {
        let mut owners: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for ((contract, number), token) in &mut self.tokens {
            let key = (contract.clone(), number.clone());
            let supply = supplies.get(&key).copied().unwrap_or_default();
            token.supply = supply.to_string();
            token.burned = if single.contains(&key) {
                token.owner.is_none()
            } else {
                token.standard = "erc1155".into();
                token.minted_at.is_some() && supply.is_zero()
            };
            let stats = self.stats.entry(contract.clone()).or_default();
            stats[0] += i64::from(!token.burned);
            if let Some(owner) = &token.owner {
                owners.entry(contract.clone()).or_default().insert(owner.clone());
                self.balances
                    .insert((contract.clone(), number.clone(), owner.clone(), "1".into()));
            }
        }
        for ((contract, number, owner), quantity) in holdings.iter().filter(|(_, quantity)| !quantity.is_zero()) {
            if quantity.is_positive() {
                owners.entry(contract.clone()).or_default().insert(owner.clone());
            }
            self.balances
                .insert((contract.clone(), number.clone(), owner.clone(), quantity.to_string()));
        }
        for (contract, stats) in &mut self.stats {
            stats[1] = owners.get(contract).map_or(0, |owners| owners.len() as i64);
            stats[2..].copy_from_slice(&counts[contract]);
        }
    }

    /// What the tables and views say.
    pub(crate) async fn read(store: &Store) -> Self {
        let mut books = Books::default();
        let tokens: Vec<(String, String, String, Option<String>, bool, Option<i64>, String)> = sqlx::query_as(
            "select contract_address, token_number, token_standard, owner_address, burned,
                    extract(epoch from minted_at)::bigint, supply::text from catalog_service.tokens",
        )
        .fetch_all(&store.pool)
        .await
        .unwrap();
        for (contract, number, standard, owner, burned, minted_at, supply) in tokens {
            books.tokens.insert(
                (contract, number),
                TokenState {
                    standard,
                    owner,
                    burned,
                    minted_at,
                    supply,
                },
            );
        }
        let balances: Vec<(String, String, String, String)> =
            sqlx::query_as("select contract, token_id, owner, quantity::text from catalog_service.token_balances")
                .fetch_all(&store.pool)
                .await
                .unwrap();
        let rows = balances.len();
        books.balances = balances.into_iter().collect();
        // A mixed token may list one owner twice with the same quantity; the set hides it, the reader does not mind.
        assert!(books.balances.len() <= rows);
        let stats: Vec<(String, i64, i64, i64, i64, i64)> = sqlx::query_as(
            "select contract_address, items_count, owners_count, transfers_count, mints_count, burns_count
             from catalog_service.collection_stats",
        )
        .fetch_all(&store.pool)
        .await
        .unwrap();
        books.stats = stats
            .into_iter()
            .map(|(contract, a, b, c, d, e)| (contract, [a, b, c, d, e]))
            .collect();
        books.activities = sqlx::query_scalar("select id from catalog_service.activities order by id")
            .fetch_all(&store.pool)
            .await
            .unwrap();
        books
    }
}

/// A sum that sees both ways; quantities reach 2^256 - 1.
#[derive(Clone, Copy, Default)]
struct Sum {
    gained: U512,
    lost: U512,
}

impl Sum {
    fn is_zero(&self) -> bool {
        self.gained == self.lost
    }

    fn is_positive(&self) -> bool {
        self.gained > self.lost
    }
}

impl std::fmt::Display for Sum {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.gained.checked_sub(self.lost) {
            Some(sum) => write!(f, "{sum}"),
            None => write!(f, "-{}", self.lost - self.gained),
        }
    }
}
