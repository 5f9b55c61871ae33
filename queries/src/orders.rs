//! What is listed and what is offered, newest first.

use chrono::{DateTime, Utc};
use decoders::block::ChainId;
use decoders::fact::OrderKind;
use decoders::id::{collection_id, token_id};
use serde::Serialize;
use sqlx::{FromRow, PgPool};
use uuid::Uuid;

use crate::error::QueryError;
use crate::page::{Keyed, Page, PageRequest};
use crate::subject::Subject;

/// How an order stands at the moment it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrderState {
    /// Nothing ended it.
    Active,
    /// Its time is over.
    Expired,
    /// The token of a listing is with somebody else.
    Invalid,
    /// Taken whole.
    Filled,
    /// Taken back, ended by the market, or replaced.
    Canceled,
}

impl OrderState {
    /// Every state.
    pub const ALL: [OrderState; 5] = [
        OrderState::Active,
        OrderState::Expired,
        OrderState::Invalid,
        OrderState::Filled,
        OrderState::Canceled,
    ];

    /// Its name in the tables.
    pub fn as_str(self) -> &'static str {
        match self {
            OrderState::Active => "active",
            OrderState::Expired => "expired",
            OrderState::Invalid => "invalid",
            OrderState::Filled => "filled",
            OrderState::Canceled => "canceled",
        }
    }

    /// Whether no log of the chain ended orders in this state.
    fn is_open(self) -> bool {
        matches!(self, OrderState::Active | OrderState::Expired | OrderState::Invalid)
    }
}

/// Which orders are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrderFilter {
    /// Listings or offers.
    pub kind: OrderKind,
    /// Those in this state; in any where absent.
    pub state: Option<OrderState>,
    /// Whose, or for what.
    pub subject: Subject,
}

/// A listing or an offer, and how it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, FromRow)]
pub struct Order {
    /// The fact's id, which is also its place in chain order and its message id.
    pub id: Uuid,
    /// CAIP-2 name of the chain.
    #[sqlx(rename = "chain_id")]
    pub chain: String,
    /// Name of the market.
    pub marketplace: Option<String>,
    /// Contract of the market.
    pub market: String,
    /// What the market knows the order by.
    #[sqlx(rename = "key")]
    pub order_key: String,
    /// The same, where it is the market's own hash.
    pub order_hash: Option<String>,
    /// Token contract.
    pub contract: String,
    /// Token number, decimal; absent where any token of the contract, or any of several, will do.
    #[sqlx(rename = "token_number")]
    pub token: Option<String>,
    /// Token standard: `erc721`, `erc1155`, …
    pub standard: String,
    /// Units listed or asked for, decimal.
    #[sqlx(rename = "units")]
    pub quantity: String,
    /// Units not taken yet, decimal.
    #[sqlx(rename = "left_over")]
    pub remaining: String,
    /// Who made it.
    pub maker: String,
    /// The only one who may take it.
    pub taker: Option<String>,
    /// The ERC-20 contract to be paid in; zero for the chain's own currency.
    #[sqlx(rename = "currency_address")]
    pub currency: String,
    /// Its symbol, where it is known.
    pub currency_symbol: Option<String>,
    /// What the whole quantity costs, in the currency's smallest unit, decimal; absent where it is not stated.
    #[sqlx(rename = "raw")]
    pub price_raw: Option<String>,
    /// The same in whole units, where the currency's decimals are known.
    pub price: Option<String>,
    /// One of [`OrderState`].
    pub state: String,
    /// Whether it can be taken now: active, and begun.
    pub is_active: bool,
    /// Why it ended: `filled`, `canceled` by the maker, `invalidated` by the market, `replaced` by another.
    pub closed_reason: Option<String>,
    /// When it can be taken; absent for at once.
    pub starts_at: Option<DateTime<Utc>>,
    /// When it expires; absent for never.
    pub expires_at: Option<DateTime<Utc>>,
    /// Whether it is won by bids.
    pub auction: bool,
    /// Whether the market holds the token meanwhile.
    pub escrowed: bool,
    /// Height of the block.
    pub block_number: i64,
    /// Time of the block.
    pub block_time: DateTime<Utc>,
    /// Transaction that emitted the log.
    pub tx_hash: String,
    /// Index of the log within its block.
    pub log_index: i32,
    /// Index among the orders of the log.
    pub item: i32,
}

impl Keyed for Order {
    type Key = Uuid;

    fn key(&self) -> Uuid {
        self.id
    }
}

/// The orders of `chain` that `filter` lets through, newest first.
pub async fn page(
    pool: &PgPool,
    chain: ChainId,
    filter: &OrderFilter,
    page: &PageRequest,
) -> Result<Page<Order>, QueryError> {
    let rows = match filter.subject {
        Subject::Chain => sqlx::query_as(OF_CHAIN),
        Subject::Collection(contract) => sqlx::query_as(OF_COLLECTION).bind(collection_id(chain, &contract)),
        Subject::Token { contract, number } => sqlx::query_as(OF_TOKEN).bind(token_id(chain, &contract, &number)),
        Subject::Account(account) => sqlx::query_as(OF_ACCOUNT).bind(format!("{account:#x}")),
    };
    let rows = rows.bind(chain.to_string()).bind(filter.kind.as_str());
    let rows = rows.bind(page.below()).bind(page.limit);
    let rows = rows.bind(filter.state.map(OrderState::as_str));
    let rows = rows
        .bind(filter.state.is_some_and(OrderState::is_open))
        .fetch_all(pool)
        .await?;
    Ok(Page::of(rows, page.limit))
}

// Where only open orders are wanted, that is stated so that the index of the open ones serves: their state is computed.
const OF_CHAIN: &str = "select *, quantity::text as units, remaining::text as left_over, price_raw::text as raw,
           price_native::text as price, case when hashed then key end as order_hash
    from catalog_service.orders
    where chain_id = $1 and kind = $2 and id < $3 and ($5::text is null or state = $5) and (closed_by is null or not $6)
    order by id desc
    limit $4";

const OF_COLLECTION: &str = "select *, quantity::text as units, remaining::text as left_over, price_raw::text as raw,
           price_native::text as price, case when hashed then key end as order_hash
    from catalog_service.orders
    where collection = $1 and chain_id = $2 and kind = $3 and id < $4
      and ($6::text is null or state = $6) and (closed_by is null or not $7)
    order by id desc
    limit $5";

const OF_TOKEN: &str = "select *, quantity::text as units, remaining::text as left_over, price_raw::text as raw,
           price_native::text as price, case when hashed then key end as order_hash
    from catalog_service.orders
    where token = $1 and chain_id = $2 and kind = $3 and id < $4
      and ($6::text is null or state = $6) and (closed_by is null or not $7)
    order by id desc
    limit $5";

const OF_ACCOUNT: &str = "select *, quantity::text as units, remaining::text as left_over, price_raw::text as raw,
           price_native::text as price, case when hashed then key end as order_hash
    from catalog_service.orders
    where maker = $1 and chain_id = $2 and kind = $3 and id < $4
      and ($6::text is null or state = $6) and (closed_by is null or not $7)
    order by id desc
    limit $5";
