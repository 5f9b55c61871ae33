//! What sales mean, computed without the product's projections, and what the tables and views state they mean.

use std::collections::BTreeMap;

use alloy_primitives::{Address, U512};
use decoders::fact::{Facts, Sale};
use decoders::id::token_id;
use sinks::currencies::{self, Currency};
use sinks::store::Store;
use uuid::Uuid;

use crate::world::CHAIN;

/// Worth as much as the chain's own.
pub(crate) const PEGGED: Address = Address::repeat_byte(0xee);
/// No source states how many decimals it has.
pub(crate) const OTHER: Address = Address::repeat_byte(0xff);

/// What is known of the currencies of the world.
pub(crate) async fn seed_currencies(store: &Store) {
    sqlx::query(
        "insert into chain_registry_service.chains (caip2, chain_numeric, name) values ('eip155:1', 1, 'Ethereum')
         on conflict do nothing",
    )
    .execute(&store.pool)
    .await
    .unwrap();
    let currency = |address, symbol: &str, decimals, pegged| Currency {
        address,
        symbol: symbol.into(),
        decimals,
        pegged,
    };
    let listed = [
        currency(PEGGED, "WETH", Some(18), true),
        currency(OTHER, "ODD", None, false),
    ];
    currencies::seed(store, CHAIN, &listed).await.unwrap();
}

/// Sales, volume, and the newest sale that is no part of a bundle.
pub(crate) type Account = (i64, String, Option<Uuid>);

/// Every relation that sales are summed in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Trade {
    /// By token and currency.
    tokens: BTreeMap<(Uuid, String), Account>,
    /// By contract and currency.
    contracts: BTreeMap<(String, String), (i64, String)>,
    /// What a reader sees of each token and of each contract: volume in the chain's own currency.
    token_stats: BTreeMap<(String, String), Account>,
    collection_stats: BTreeMap<String, Account>,
}

#[derive(Clone, Default)]
struct Sum {
    sales: i64,
    volume: U512,
    last: Option<Uuid>,
}

impl Sum {
    fn add(&mut self, sale: &Sale, id: Uuid, counts: bool) {
        self.sales += 1;
        if counts {
            self.volume += sale.price.map_or(U512::ZERO, U512::from);
        }
        if sale.bundle_size == 1 {
            self.last = Some(id);
        }
    }

    fn account(&self) -> Account {
        (self.sales, self.volume.to_string(), self.last)
    }
}

impl Trade {
    /// What the sales of `facts` mean for these tokens and contracts, computed one by one in chain order.
    pub(crate) fn of<'a>(facts: &Facts, shown: impl Iterator<Item = &'a (String, String)>) -> Self {
        let mut tokens: BTreeMap<(Uuid, String), Sum> = BTreeMap::new();
        let mut contracts: BTreeMap<(String, String), Sum> = BTreeMap::new();
        let mut by_token: BTreeMap<(String, String), Sum> = BTreeMap::new();
        let mut by_contract: BTreeMap<String, Sum> = BTreeMap::new();
        for sale in &facts.sales {
            let Some(token) = sale.token.filter(|_| !sale.flags.contains(&"unproven")) else {
                continue;
            };
            let block = facts
                .blocks
                .iter()
                .find(|block| block.number == sale.block_number)
                .unwrap();
            let id = sale.id(facts.chain, block.hash);
            let (contract, currency) = (format!("{:#x}", sale.contract), format!("{:#x}", sale.currency));
            let pegged = [Address::ZERO, PEGGED].contains(&sale.currency);
            let key = token_id(facts.chain, &sale.contract, &token);
            tokens.entry((key, currency.clone())).or_default().add(sale, id, true);
            contracts
                .entry((contract.clone(), currency))
                .or_default()
                .add(sale, id, true);
            by_token
                .entry((contract.clone(), token.to_string()))
                .or_default()
                .add(sale, id, pegged);
            by_contract.entry(contract).or_default().add(sale, id, pegged);
        }
        let mut trade = Trade {
            tokens: tokens.into_iter().map(|(key, sum)| (key, sum.account())).collect(),
            contracts: contracts
                .into_iter()
                .map(|(key, sum)| (key, (sum.sales, sum.volume.to_string())))
                .collect(),
            ..Trade::default()
        };
        for token in shown {
            let sum = by_token.get(token).cloned().unwrap_or_default();
            trade.token_stats.insert(token.clone(), sum.account());
            let sum = by_contract.get(&token.0).cloned().unwrap_or_default();
            trade.collection_stats.insert(token.0.clone(), sum.account());
        }
        trade
    }

    /// What the tables and views show.
    pub(crate) async fn read(store: &Store) -> Self {
        let tokens: Vec<(Uuid, String, i64, String, Option<Uuid>)> = sqlx::query_as(
            "select token, catalog_service.hex(currency), sales, volume_raw::text, last_sale from catalog_service.token_sales",
        )
        .fetch_all(&store.pool)
        .await
        .unwrap();
        let contracts: Vec<(String, String, i64, String)> =
            sqlx::query_as("select contract, currency, sales, volume_raw::text from catalog_service.collection_sales")
                .fetch_all(&store.pool)
                .await
                .unwrap();
        let token_stats: Vec<(String, String, i64, String, Option<Uuid>)> = sqlx::query_as(
            "select contract_address, token_number, sales_count, trim_scale(volume_native * 1e18)::text, last_sale_id
             from catalog_service.token_stats",
        )
        .fetch_all(&store.pool)
        .await
        .unwrap();
        let collection_stats: Vec<(String, i64, String, Option<Uuid>)> = sqlx::query_as(
            "select s.contract_address, s.sales_count, trim_scale(s.volume_native * 1e18)::text, l.sale_id
             from catalog_service.collection_stats s
             left join catalog_service.collection_last_sales l on l.collection_id = s.collection_id",
        )
        .fetch_all(&store.pool)
        .await
        .unwrap();
        assert_whole(store).await;
        Trade {
            tokens: tokens
                .into_iter()
                .map(|(token, currency, sales, volume, last)| ((token, currency), (sales, volume, last)))
                .collect(),
            contracts: contracts
                .into_iter()
                .map(|(contract, currency, sales, volume)| ((contract, currency), (sales, volume)))
                .collect(),
            token_stats: token_stats
                .into_iter()
                .map(|(contract, number, sales, volume, last)| ((contract, number), (sales, volume, last)))
                .collect(),
            collection_stats: collection_stats
                .into_iter()
                .map(|(contract, sales, volume, last)| (contract, (sales, volume, last)))
                .collect(),
        }
    }
}

/// The parts of every price add up to it, and prices are shown where the currency's decimals are known.
async fn assert_whole(store: &Store) {
    let broken: Vec<Uuid> = sqlx::query_scalar(
        "select s.id from catalog_service.sales s
         left join (select sale_id, sum(amount) as paid from catalog_service.sale_fees group by sale_id) f on f.sale_id = s.id
         where s.price_raw <> s.seller_net_raw + coalesce(f.paid, 0)
            or (s.price_native is not null)
               <> (s.price_raw is not null and s.currency_symbol is not null and s.currency_symbol <> 'ODD')
            or s.price_native * 1e18 <> s.price_raw",
    )
    .fetch_all(&store.pool)
    .await
    .unwrap();
    assert!(broken.is_empty(), "{broken:?}");
}
