//! What facts mean, computed without the product's projections, and what the tables state they mean.

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::U512;
use decoders::fact::{Facts, TransferKind};
use sinks::store::Store;

use crate::open::Open;
use crate::suspicion::{self, Suspicion};
use crate::trade::Trade;

/// A token as a reader sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq, sqlx::FromRow)]
pub(crate) struct TokenState {
    pub(crate) standard: String,
    pub(crate) owner: Option<String>,
    pub(crate) burned: bool,
    pub(crate) minted_at: Option<i64>,
    pub(crate) supply: String,
}

#[derive(sqlx::FromRow)]
struct TokenRow {
    contract: String,
    number: String,
    #[sqlx(flatten)]
    state: TokenState,
}

/// Every table a reader asks, by natural keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Books {
    pub(crate) tokens: BTreeMap<(String, String), TokenState>,
    /// (contract, token, owner, quantity), zero left out.
    pub(crate) balances: BTreeSet<(String, String, String, String)>,
    /// contract → items, owners, transfers, mints, burns; for contracts with a token.
    pub(crate) stats: BTreeMap<String, [i64; 5]>,
    /// Ids of transfers, sales, orders and of what canceled each order, in order.
    pub(crate) activities: Vec<uuid::Uuid>,
    pub(crate) trade: Trade,
    pub(crate) open: Open,
    /// Sales that look made up, and why.
    pub(crate) suspicion: Suspicion,
}

impl Books {
    /// What `facts` mean, computed one by one in chain order.
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
            counts.entry(contract.clone()).or_default()[match fact.kind() {
                TransferKind::Transfer => 0,
                TransferKind::Mint => 1,
                TransferKind::Burn => 2,
            }] += 1;
            if fact.quantity.is_zero() {
                continue;
            }
            let key = (contract.clone(), fact.token.to_string());
            let token = books.tokens.entry(key.clone()).or_default();
            if fact.kind() == TransferKind::Mint {
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
        for sale in &facts.sales {
            let block = facts.blocks.iter().find(|block| block.number == sale.block_number);
            books.activities.push(sale.id(facts.chain, block.unwrap().hash));
        }
        books.open = Open::of(facts, &mut books.activities);
        books.suspicion = suspicion::of(facts);
        books.activities.sort_unstable();
        books.close(&holdings, &supplies, &single, &counts);
        books.trade = Trade::of(facts, books.tokens.keys());
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

    /// What the tables and views show.
    pub(crate) async fn read(store: &Store) -> Self {
        let mut books = Books::default();
        let tokens: Vec<TokenRow> = sqlx::query_as(
            "select contract_address as contract, token_number as number, token_standard as standard, owner_address as owner,
                    burned, extract(epoch from minted_at)::bigint as minted_at, supply::text from catalog_service.tokens",
        )
        .fetch_all(&store.pool)
        .await
        .unwrap();
        books.tokens = tokens
            .into_iter()
            .map(|row| ((row.contract, row.number), row.state))
            .collect();
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
        books.trade = Trade::read(store).await;
        books.open = Open::read(store).await;
        books.suspicion = suspicion::read(store).await;
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
