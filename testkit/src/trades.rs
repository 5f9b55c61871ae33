//! What the tables hold of the markets, and what the generator's own books state they must.

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::{Address, U256};
use decoders::block::ChainId;
use sinks::store::Store;
use testchain::simulation::{self, Books, Market, Side, State};

use crate::columns::{address, count, number};

/// One row of `sales`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sale {
    /// Block, log index and item.
    place: (u64, u32, u32),
    marketplace: String,
    side: String,
    contract: Address,
    token: U256,
    quantity: U256,
    seller: Address,
    buyer: Address,
    currency: Address,
    price: Option<U256>,
    seller_net: Option<U256>,
    bundle_size: u32,
}

/// One row of `listings` or `offers`, and whether it stands. Expiry goes by the clock when it is read and ownership by the
/// tokens, so `open` is all that is neither filled nor canceled.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Order {
    /// Block and log index.
    place: (u64, u32),
    is_listing: bool,
    state: String,
    remaining: U256,
}

/// Sales of a contract in one currency, and what they add up to.
pub type Volumes = BTreeMap<(Address, Address), U256>;

/// Everything the tables of the markets hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trades {
    /// Every sale.
    pub sales: BTreeSet<Sale>,
    /// Every listing and offer.
    pub orders: BTreeSet<Order>,
    /// Sums of prices by contract and currency.
    pub volumes: Volumes,
    /// Sales by contract.
    pub counts: BTreeMap<Address, u64>,
}

impl Trades {
    /// What the books state after the block at `height`.
    pub fn of(books: &Books, height: u64) -> Trades {
        let statistics = books.collection_statistics(height);
        let volumes = statistics.iter().flat_map(|(contract, stated)| {
            let sums = stated.volume.iter();
            sums.map(|(currency, sum)| ((*contract, *currency), *sum))
        });
        let counts = statistics.iter().filter(|(_, stated)| stated.sales > 0);
        let sales = books.sales().iter().filter(|sale| sale.position.block <= height);
        Trades {
            sales: sales.map(sale).collect(),
            orders: orders(books, height),
            volumes: volumes.filter(|(_, sum)| !sum.is_zero()).collect(),
            counts: counts.map(|(contract, stated)| (*contract, stated.sales)).collect(),
        }
    }

    /// What is left of this where only `contracts` are read: their sales, and the orders of those that are markets.
    pub fn only(mut self, books: &Books, contracts: &BTreeSet<Address>) -> Trades {
        let orders = books.orders().iter();
        let stated: BTreeSet<(u64, u32)> = orders
            .filter(|order| order.market == Market::CryptoPunks && contracts.contains(&order.contract))
            .map(|order| (order.position.block, order.position.log_index))
            .collect();
        self.sales.retain(|sale| contracts.contains(&sale.contract));
        self.orders.retain(|order| stated.contains(&order.place));
        self.volumes.retain(|(contract, _), _| contracts.contains(contract));
        self.counts.retain(|contract, _| contracts.contains(contract));
        self
    }

    /// What the tables of `chain` hold.
    pub async fn read(store: &Store, chain: ChainId) -> Trades {
        Trades {
            sales: stored_sales(store, chain).await,
            orders: stored_orders(store, chain).await,
            volumes: stored_volumes(store, chain).await,
            counts: stored_counts(store, chain).await,
        }
    }
}

fn sale(sale: &simulation::Sale) -> Sale {
    Sale {
        place: (sale.position.block, sale.position.log_index, sale.item),
        marketplace: sale.market.name().to_owned(),
        side: side(sale.side),
        contract: sale.contract,
        token: sale.token,
        quantity: sale.quantity,
        seller: sale.seller,
        buyer: sale.buyer,
        currency: sale.currency,
        price: sale.price,
        seller_net: sale.seller_net(),
        bundle_size: sale.bundle_size,
    }
}

fn side(side: Side) -> String {
    match side {
        Side::Listing => "listing".to_owned(),
        Side::Offer => "offer".to_owned(),
    }
}

fn orders(books: &Books, height: u64) -> BTreeSet<Order> {
    let standings = books.standings(height);
    let opened = books.orders().iter().filter(|order| order.position.block <= height);
    opened
        .map(|order| {
            let standing = standings[&order.position];
            let state = match standing.state {
                State::Active | State::Expired | State::Invalid => "open",
                State::Filled => "filled",
                State::Canceled => "canceled",
            };
            Order {
                place: (order.position.block, order.position.log_index),
                is_listing: order.side == Side::Listing,
                state: state.to_owned(),
                remaining: standing.remaining,
            }
        })
        .collect()
}

#[derive(sqlx::FromRow)]
struct SaleRow {
    block_number: i64,
    log_index: i32,
    item: i32,
    marketplace: String,
    side: String,
    contract: String,
    token_number: Option<String>,
    quantity: String,
    seller: String,
    buyer: String,
    currency_address: String,
    price_raw: Option<String>,
    seller_net_raw: Option<String>,
    bundle_size: i32,
}

async fn stored_sales(store: &Store, chain: ChainId) -> BTreeSet<Sale> {
    let rows: Vec<SaleRow> = sqlx::query_as(
        "select s.block_number, s.log_index, s.item, m.name as marketplace, s.side, s.contract::text, s.token_number,
                s.quantity::text, s.seller::text, s.buyer::text, s.currency_address::text, s.price_raw::text,
                s.seller_net_raw::text, s.bundle_size
         from catalog_service.sales s join catalog_service.marketplaces m on m.id = s.marketplace_id
         where s.chain_id = $1",
    )
    .bind(chain.to_string())
    .fetch_all(&store.pool)
    .await
    .unwrap();
    let sale = |row: SaleRow| Sale {
        place: (
            count(row.block_number),
            u32::try_from(row.log_index).unwrap(),
            u32::try_from(row.item).unwrap(),
        ),
        marketplace: row.marketplace,
        side: row.side,
        contract: address(&row.contract),
        token: number(&row.token_number.expect("the simulated markets name what they sell")),
        quantity: number(&row.quantity),
        seller: address(&row.seller),
        buyer: address(&row.buyer),
        currency: address(&row.currency_address),
        price: row.price_raw.as_deref().map(number),
        seller_net: row.seller_net_raw.as_deref().map(number),
        bundle_size: u32::try_from(row.bundle_size).unwrap(),
    };
    rows.into_iter().map(sale).collect()
}

#[derive(sqlx::FromRow)]
struct OrderRow {
    block_number: i64,
    log_index: i32,
    kind: String,
    state: String,
    remaining: String,
}

async fn stored_orders(store: &Store, chain: ChainId) -> BTreeSet<Order> {
    let rows: Vec<OrderRow> = sqlx::query_as(
        "select block_number, log_index, kind, case when state in ('filled', 'canceled') then state else 'open' end as state,
                greatest(remaining, 0)::text as remaining
         from catalog_service.orders where chain_id = $1",
    )
    .bind(chain.to_string())
    .fetch_all(&store.pool)
    .await
    .unwrap();
    let order = |row: OrderRow| Order {
        place: (count(row.block_number), u32::try_from(row.log_index).unwrap()),
        is_listing: row.kind == "listing",
        state: row.state,
        remaining: number(&row.remaining),
    };
    rows.into_iter().map(order).collect()
}

async fn stored_volumes(store: &Store, chain: ChainId) -> Volumes {
    let rows: Vec<(String, String, String)> = sqlx::query_as(
        "select contract::text, currency::text, volume_raw::text from catalog_service.collection_sales
         where chain_id = $1 and volume_raw <> 0",
    )
    .bind(chain.to_string())
    .fetch_all(&store.pool)
    .await
    .unwrap();
    rows.into_iter()
        .map(|(contract, currency, sum)| ((address(&contract), address(&currency)), number(&sum)))
        .collect()
}

async fn stored_counts(store: &Store, chain: ChainId) -> BTreeMap<Address, u64> {
    let rows: Vec<(String, i64)> = sqlx::query_as(
        "select contract_address::text, sales_count from catalog_service.collection_stats
         where chain_id = $1 and sales_count > 0",
    )
    .bind(chain.to_string())
    .fetch_all(&store.pool)
    .await
    .unwrap();
    rows.into_iter()
        .map(|(contract, sales)| (address(&contract), count(sales)))
        .collect()
}
