//! What the tables hold, and what the generator's own books state they must.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use alloy_primitives::{Address, U256};
use decoders::block::ChainId;
use sinks::store::Store;
use testchain::simulation::{Books, Standard, Token, Transfer};

use crate::columns::{address, count, number};
use crate::trades::Trades;

/// Differences shown before the rest is only counted.
const SHOWN: usize = 8;

/// One row of `ownership_transfers`, without what the books do not keep.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fact {
    /// Block, log index and item.
    pub place: (u64, u32, u32),
    /// The token.
    pub token: Token,
    /// Previous and new owner.
    pub parties: (Address, Address),
    /// Units.
    pub quantity: U256,
    /// `erc721`, `erc1155` or `cryptopunks`.
    pub standard: String,
    /// `mint`, `burn` or `transfer`.
    pub kind: String,
}

/// A decimal number as the tables write it: what is false may be negative.
pub type Quantity = String;

/// Counts of a contract, as `collection_stats` answers them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Tokens that are not burned.
    pub items: u64,
    /// Accounts that hold at least one of them.
    pub owners: u64,
    /// Transfers, mints and burns.
    pub kinds: [u64; 3],
}

/// Everything a chain's tables hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tables {
    /// Every fact.
    pub facts: BTreeSet<Fact>,
    /// Owners of live tokens with one owner.
    pub owners: BTreeMap<Token, Address>,
    /// Burned tokens with one owner.
    pub burned: BTreeSet<Token>,
    /// ERC-1155 balances above zero.
    pub balances: BTreeMap<(Token, Address), Quantity>,
    /// Mints less burns of ERC-1155 tokens.
    pub supply: BTreeMap<Token, Quantity>,
    /// Holdings as the view `token_balances` answers them.
    pub holdings: BTreeMap<(Token, Address), Quantity>,
    /// Facts per contract and kind: transfers, mints, burns.
    pub counters: BTreeMap<Address, [u64; 3]>,
    /// Per collection.
    pub stats: BTreeMap<Address, Stats>,
    /// Block and index of logs that were refused.
    pub refused: BTreeSet<(u64, u32)>,
    /// The markets.
    pub trades: Trades,
}

impl Tables {
    /// What the books state after the block at `height`.
    pub fn of(books: &Books, height: u64) -> Tables {
        let held = books.at(height);
        let transfers: Vec<Transfer> = books.transfers_in(0..=height).collect();
        let malformed = books.malformed().iter().filter(|log| log.block <= height);
        let mut tables = Tables {
            facts: transfers.iter().map(fact).collect(),
            owners: held.owners().collect(),
            burned: held.burned().collect(),
            balances: held
                .balances()
                .map(|(token, owner, quantity)| ((token, owner), quantity.to_string()))
                .collect(),
            supply: held
                .supply()
                .map(|(token, quantity)| (token, quantity.to_string()))
                .collect(),
            refused: malformed.map(|log| (log.block, log.log_index)).collect(),
            trades: Trades::of(books, height),
            ..Tables::default()
        };
        let single = tables
            .owners
            .iter()
            .map(|(token, owner)| ((*token, *owner), "1".to_owned()));
        tables.holdings = single.chain(tables.balances.clone()).collect();
        for transfer in &transfers {
            let kind = [(transfer.is_mint(), 1), (transfer.is_burn(), 2)]
                .into_iter()
                .find(|(is, _)| *is);
            tables.counters.entry(transfer.contract).or_default()[kind.map_or(0, |(_, kind)| kind)] += 1;
        }
        tables.stats = tables.expected_stats(&transfers);
        tables
    }

    /// What is left of this where only `contracts` are read.
    pub fn only(mut self, books: &Books, contracts: &BTreeSet<Address>) -> Tables {
        let refused = books.malformed().iter();
        let refused: BTreeSet<(u64, u32)> = refused
            .filter(|log| contracts.contains(&log.contract))
            .map(|log| (log.block, log.log_index))
            .collect();
        self.facts.retain(|fact| contracts.contains(&fact.token.contract));
        self.owners.retain(|token, _| contracts.contains(&token.contract));
        self.burned.retain(|token| contracts.contains(&token.contract));
        self.balances
            .retain(|(token, _), _| contracts.contains(&token.contract));
        self.supply.retain(|token, _| contracts.contains(&token.contract));
        self.holdings
            .retain(|(token, _), _| contracts.contains(&token.contract));
        self.counters.retain(|contract, _| contracts.contains(contract));
        self.stats.retain(|contract, _| contracts.contains(contract));
        self.refused.retain(|place| refused.contains(place));
        self.trades = self.trades.only(books, contracts);
        self
    }

    fn expected_stats(&self, transfers: &[Transfer]) -> BTreeMap<Address, Stats> {
        let moved = transfers.iter().filter(|transfer| !transfer.quantity.is_zero());
        let mut stats: BTreeMap<Address, Stats> = moved.map(|transfer| (transfer.contract, Stats::default())).collect();
        for (contract, stats) in &mut stats {
            let live = self
                .supply
                .iter()
                .filter(|(token, supply)| token.contract == *contract && *supply != "0");
            let owned = self.owners.keys().filter(|token| token.contract == *contract);
            let owners: BTreeSet<Address> = self
                .holdings
                .keys()
                .filter(|(token, _)| token.contract == *contract)
                .map(|(_, owner)| *owner)
                .collect();
            stats.items = (live.count() + owned.count()) as u64;
            stats.owners = owners.len() as u64;
            stats.kinds = self.counters[contract];
        }
        stats
    }

    /// What the tables of `chain` hold.
    pub async fn read(store: &Store, chain: ChainId) -> Tables {
        Tables {
            facts: facts(store, chain).await,
            owners: owners(store, chain).await,
            burned: burned(store, chain).await,
            balances: balances(store, chain).await,
            supply: supply(store, chain).await,
            holdings: holdings(store, chain).await,
            counters: counters(store, chain).await,
            stats: stats(store, chain).await,
            refused: refused(store, chain).await,
            trades: Trades::read(store, chain).await,
        }
    }

    /// Asserts that these tables hold what is `expected`, naming the first differences.
    pub fn assert_equals(&self, expected: &Tables, context: &str) {
        let mut found = Vec::new();
        differ("facts", &self.facts, &expected.facts, &mut found);
        differ("owners", &self.owners, &expected.owners, &mut found);
        differ("burned", &self.burned, &expected.burned, &mut found);
        differ("balances", &self.balances, &expected.balances, &mut found);
        differ("supply", &self.supply, &expected.supply, &mut found);
        differ("holdings", &self.holdings, &expected.holdings, &mut found);
        differ("counters", &self.counters, &expected.counters, &mut found);
        differ("stats", &self.stats, &expected.stats, &mut found);
        differ("refused logs", &self.refused, &expected.refused, &mut found);
        differ("sales", &self.trades.sales, &expected.trades.sales, &mut found);
        differ("orders", &self.trades.orders, &expected.trades.orders, &mut found);
        differ("volumes", &self.trades.volumes, &expected.trades.volumes, &mut found);
        differ(
            "counts of sales",
            &self.trades.counts,
            &expected.trades.counts,
            &mut found,
        );
        assert!(
            found.is_empty(),
            "{context}: the tables are not what the books hold:\n{}",
            found.join("\n")
        );
    }
}

/// Notes what two sets or maps do not share.
fn differ<T: Debug + PartialEq>(
    what: &str,
    actual: &(impl Clone + IntoIterator<Item = T>),
    expected: &(impl Clone + IntoIterator<Item = T>),
    found: &mut Vec<String>,
) {
    let [actual, expected]: [Vec<T>; 2] = [
        actual.clone().into_iter().collect(),
        expected.clone().into_iter().collect(),
    ];
    if actual == expected {
        return;
    }
    let texts = |rows: &[T]| rows.iter().map(|row| format!("{row:?}")).collect::<BTreeSet<String>>();
    let (actual, expected) = (texts(&actual), texts(&expected));
    for (word, rows) in [
        ("stored, not true", actual.difference(&expected)),
        ("true, not stored", expected.difference(&actual)),
    ] {
        let rows: Vec<&String> = rows.collect();
        found.extend(rows.iter().take(SHOWN).map(|row| format!("{what}: {word}: {row}")));
        if rows.len() > SHOWN {
            found.push(format!("{what}: {word}: {} more", rows.len() - SHOWN));
        }
    }
}

fn fact(transfer: &Transfer) -> Fact {
    let kind = match (transfer.is_mint(), transfer.is_burn()) {
        (true, _) => "mint",
        (_, true) => "burn",
        _ => "transfer",
    };
    let standard = match transfer.layout.standard() {
        Standard::Erc721 => "erc721",
        Standard::Erc1155 => "erc1155",
        Standard::CryptoPunks => "cryptopunks",
    };
    Fact {
        place: (transfer.block, transfer.log_index, transfer.item),
        token: Token {
            contract: transfer.contract,
            id: transfer.token,
        },
        parties: (transfer.from, transfer.to),
        quantity: transfer.quantity,
        standard: standard.to_owned(),
        kind: kind.to_owned(),
    }
}

fn token(contract: &str, id: &str) -> Token {
    Token {
        contract: address(contract),
        id: number(id),
    }
}

#[derive(sqlx::FromRow)]
struct FactRow {
    block_number: i64,
    log_index: i32,
    item: i32,
    contract: String,
    token_number: String,
    from_address: String,
    to_address: String,
    quantity: String,
    standard: String,
    kind: String,
}

/// Every fact of `chain`, which is true or not however little of the chain is covered.
pub async fn facts(store: &Store, chain: ChainId) -> BTreeSet<Fact> {
    let rows: Vec<FactRow> = sqlx::query_as(
        "select block_number, log_index, item, contract::text, token_number, from_address::text, to_address::text, quantity::text,
                standard, type as kind
         from catalog_service.activities where chain_id = $1 and type in ('transfer', 'mint', 'burn')",
    )
    .bind(chain.to_string())
    .fetch_all(&store.pool)
    .await
    .unwrap();
    let fact = |row: FactRow| Fact {
        place: (
            count(row.block_number),
            u32::try_from(row.log_index).unwrap(),
            u32::try_from(row.item).unwrap(),
        ),
        token: token(&row.contract, &row.token_number),
        parties: (address(&row.from_address), address(&row.to_address)),
        quantity: number(&row.quantity),
        standard: row.standard,
        kind: row.kind,
    };
    rows.into_iter().map(fact).collect()
}

async fn owners(store: &Store, chain: ChainId) -> BTreeMap<Token, Address> {
    let rows: Vec<(String, String, String)> = sqlx::query_as(
        "select contract_address::text, token_number, owner_address::text from catalog_service.tokens
         where chain_id = $1 and token_standard <> 'erc1155' and not burned",
    )
    .bind(chain.to_string())
    .fetch_all(&store.pool)
    .await
    .unwrap();
    rows.into_iter()
        .map(|(contract, id, owner)| (token(&contract, &id), address(&owner)))
        .collect()
}

async fn burned(store: &Store, chain: ChainId) -> BTreeSet<Token> {
    let rows: Vec<(String, String)> = sqlx::query_as(
        "select contract_address::text, token_number from catalog_service.tokens
         where chain_id = $1 and token_standard <> 'erc1155' and burned",
    )
    .bind(chain.to_string())
    .fetch_all(&store.pool)
    .await
    .unwrap();
    rows.into_iter().map(|(contract, id)| token(&contract, &id)).collect()
}

async fn balances(store: &Store, chain: ChainId) -> BTreeMap<(Token, Address), Quantity> {
    let rows: Vec<(String, String, String, String)> = sqlx::query_as(
        "select t.contract_address::text, t.token_number, catalog_service.hex(b.owner), b.quantity::text
         from catalog_service.erc1155_balances b join catalog_service.tokens t on t.id = b.token
         where t.chain_id = $1 and b.quantity <> 0",
    )
    .bind(chain.to_string())
    .fetch_all(&store.pool)
    .await
    .unwrap();
    rows.into_iter().map(holding).collect()
}

fn holding((contract, id, owner, quantity): (String, String, String, String)) -> ((Token, Address), Quantity) {
    ((token(&contract, &id), address(&owner)), quantity)
}

async fn supply(store: &Store, chain: ChainId) -> BTreeMap<Token, Quantity> {
    let rows: Vec<(String, String, String)> = sqlx::query_as(
        "select contract_address::text, token_number, supply::text from catalog_service.tokens
         where chain_id = $1 and token_standard = 'erc1155'",
    )
    .bind(chain.to_string())
    .fetch_all(&store.pool)
    .await
    .unwrap();
    rows.into_iter()
        .map(|(contract, id, supply)| (token(&contract, &id), supply))
        .collect()
}

async fn holdings(store: &Store, chain: ChainId) -> BTreeMap<(Token, Address), Quantity> {
    let rows: Vec<(String, String, String, String)> = sqlx::query_as(
        "select contract::text, token_id, owner::text, quantity::text from catalog_service.token_balances where chain_id = $1",
    )
    .bind(chain.to_string())
    .fetch_all(&store.pool)
    .await
    .unwrap();
    rows.into_iter().map(holding).collect()
}

async fn counters(store: &Store, chain: ChainId) -> BTreeMap<Address, [u64; 3]> {
    let rows: Vec<(String, i64, i64, i64)> = sqlx::query_as(
        "select contract::text, transfers, mints, burns from catalog_service.collection_counters where chain_id = $1",
    )
    .bind(chain.to_string())
    .fetch_all(&store.pool)
    .await
    .unwrap();
    rows.into_iter()
        .map(|(contract, transfers, mints, burns)| (address(&contract), [transfers, mints, burns].map(count)))
        .collect()
}

#[derive(sqlx::FromRow)]
struct StatsRow {
    contract: String,
    items_count: i64,
    owners_count: i64,
    transfers_count: i64,
    mints_count: i64,
    burns_count: i64,
}

async fn stats(store: &Store, chain: ChainId) -> BTreeMap<Address, Stats> {
    let rows: Vec<StatsRow> = sqlx::query_as(
        "select contract_address::text as contract, items_count, owners_count, transfers_count, mints_count, burns_count
         from catalog_service.collection_stats where chain_id = $1",
    )
    .bind(chain.to_string())
    .fetch_all(&store.pool)
    .await
    .unwrap();
    rows.into_iter()
        .map(|row| {
            let stats = Stats {
                items: count(row.items_count),
                owners: count(row.owners_count),
                kinds: [row.transfers_count, row.mints_count, row.burns_count].map(count),
            };
            (address(&row.contract), stats)
        })
        .collect()
}

async fn refused(store: &Store, chain: ChainId) -> BTreeSet<(u64, u32)> {
    let rows: Vec<(i64, i32, String)> =
        sqlx::query_as("select block_number, log_index, reason from indexer_service.decode_faults where chain_id = $1")
            .bind(chain.to_string())
            .fetch_all(&store.pool)
            .await
            .unwrap();
    rows.into_iter()
        .filter(|(_, _, reason)| !decoders::fact::reason::is_warning(reason))
        .map(|(block, log_index, _)| (count(block), u32::try_from(log_index).unwrap()))
        .collect()
}
