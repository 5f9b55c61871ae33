//! What is listed and what is offered, newest first.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::postgres::PgRow;
use sqlx::{PgPool, Row};
use uuid::Uuid;

use crate::error::ApiError;
use crate::{chains, request};

/// States an order may be in, and `all` of them.
const STATES: [&str; 6] = ["active", "expired", "invalid", "filled", "canceled", "all"];
/// Those of orders that nothing ended.
const OPEN: [&str; 3] = ["active", "expired", "invalid"];

/// A listing or an offer, and how it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Order {
    /// The fact's id, which is also its place in chain order and its message id.
    id: Uuid,
    /// CAIP-2 name of the chain.
    chain: String,
    /// Name of the market.
    marketplace: Option<String>,
    /// Contract of the market.
    market: String,
    /// What the market knows the order by.
    order_key: String,
    /// The same, where it is the market's own hash.
    order_hash: Option<String>,
    /// Token contract.
    contract: String,
    /// Token number, decimal; absent where any token of the contract, or any of several, will do.
    token: Option<String>,
    /// Token standard.
    standard: String,
    /// Units, decimal.
    quantity: String,
    /// Units not taken yet.
    remaining: String,
    /// Who made it.
    maker: String,
    /// The only one who may take it.
    taker: Option<String>,
    /// The ERC-20 contract to be paid in; zero for the chain's own currency.
    currency: String,
    /// Its symbol, where it is known.
    currency_symbol: Option<String>,
    /// What the whole quantity costs, in the smallest unit; absent where it is not stated.
    price_raw: Option<String>,
    /// The same in whole units, where the currency's decimals are known.
    price: Option<String>,
    /// `active`, `expired`, `invalid` (the token is with somebody else), `filled` or `canceled`.
    state: String,
    /// Whether it can be taken now: active, and begun.
    is_active: bool,
    /// Why it ended: `filled`, `canceled` by the maker, `invalidated` by the market, `replaced` by another.
    closed_reason: Option<String>,
    /// When it can be taken; absent for at once.
    starts_at: Option<DateTime<Utc>>,
    /// When it expires; absent for never.
    expires_at: Option<DateTime<Utc>>,
    /// Whether it is won by bids.
    auction: bool,
    /// Whether the market holds the token meanwhile.
    escrowed: bool,
    /// Height.
    block_number: i64,
    /// Time of the block.
    block_time: DateTime<Utc>,
    /// Transaction.
    tx_hash: String,
    /// Index of the log within its block.
    log_index: i32,
    /// Index among the orders of the log.
    item: i32,
}

/// One page of listings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Listings {
    listings: Vec<Order>,
    /// `before` of the next page; absent on the last.
    next: Option<Uuid>,
}

/// One page of offers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Offers {
    offers: Vec<Order>,
    /// `before` of the next page; absent on the last.
    next: Option<Uuid>,
}

/// Parameters of `GET /v1/listings` and `GET /v1/offers`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Parameters {
    chain: Option<String>,
    contract: Option<String>,
    token: Option<String>,
    account: Option<String>,
    state: Option<String>,
    before: Option<String>,
    limit: Option<String>,
}

/// `GET /v1/listings`: of a chain, a collection, a token or a seller; the active ones, unless another state is named.
pub(crate) async fn listings(
    State(pool): State<PgPool>,
    query: Result<Query<Parameters>, QueryRejection>,
) -> Result<Json<Listings>, ApiError> {
    let (listings, next) = page(&pool, "listing", &request::query(query)?).await?;
    Ok(Json(Listings { listings, next }))
}

/// `GET /v1/offers`: those for a chain, a collection, a token, or of a bidder; the active ones, unless another state is named.
pub(crate) async fn offers(
    State(pool): State<PgPool>,
    query: Result<Query<Parameters>, QueryRejection>,
) -> Result<Json<Offers>, ApiError> {
    let (offers, next) = page(&pool, "offer", &request::query(query)?).await?;
    Ok(Json(Offers { offers, next }))
}

/// The orders of one kind that `parameters` ask for, and where the next page begins.
async fn page(pool: &PgPool, kind: &str, parameters: &Parameters) -> Result<(Vec<Order>, Option<Uuid>), ApiError> {
    let chain = request::needed_chain(parameters.chain.as_deref())?;
    let limit = request::limit(parameters.limit.as_deref())?;
    let before = request::before(parameters.before.as_deref())?;
    let state = state(parameters.state.as_deref())?;
    let contract = parameters.contract.as_deref().map(request::contract).transpose()?;
    let token = parameters.token.as_deref().map(request::token).transpose()?;
    let account = parameters.account.as_deref().map(request::account).transpose()?;
    let rows = match (contract, token, account) {
        (None, None, None) => sqlx::query(OF_CHAIN),
        (Some(contract), None, None) => sqlx::query(OF_COLLECTION).bind(decoders::id::collection_id(chain, &contract)),
        (Some(contract), Some(token), None) => {
            sqlx::query(OF_TOKEN).bind(decoders::id::token_id(chain, &contract, &token))
        }
        (None, None, Some(account)) => sqlx::query(OF_ACCOUNT).bind(format!("{account:#x}")),
        _ => {
            return Err(ApiError::BadRequest(
                "write contract, contract and token, or account, or none of them".to_owned(),
            ));
        }
    };
    let rows = rows.bind(chain.to_string()).bind(kind).bind(before).bind(limit);
    let rows = rows.bind(state).bind(OPEN.contains(&state)).fetch_all(pool).await?;
    let orders = rows.iter().map(order_of).collect::<Result<Vec<_>, _>>()?;
    if orders.is_empty() {
        chains::check(pool, chain).await?;
    }
    let full = i64::try_from(orders.len()).is_ok_and(|count| count == limit);
    let next = orders.last().filter(|_| full).map(|last| last.id);
    Ok((orders, next))
}

fn state(text: Option<&str>) -> Result<&'static str, ApiError> {
    let named = text.unwrap_or("active");
    let known = STATES.into_iter().find(|state| *state == named);
    known.ok_or_else(|| {
        ApiError::BadRequest(format!(
            "state {named:?} is not known, write one of {}",
            STATES.join(", ")
        ))
    })
}

// Where only open orders are wanted, that is stated so that the index of the open ones serves: their state is computed.
const OF_CHAIN: &str = "select *, quantity::text as units, remaining::text as left_over, price_raw::text as raw,
           price_native::text as price
    from catalog_service.orders
    where chain_id = $1 and kind = $2 and id < $3 and ($5 = 'all' or state = $5) and (closed_by is null or not $6)
    order by id desc
    limit $4";

const OF_COLLECTION: &str = "select *, quantity::text as units, remaining::text as left_over, price_raw::text as raw,
           price_native::text as price
    from catalog_service.orders
    where collection = $1 and chain_id = $2 and kind = $3 and id < $4
      and ($6 = 'all' or state = $6) and (closed_by is null or not $7)
    order by id desc
    limit $5";

const OF_TOKEN: &str = "select *, quantity::text as units, remaining::text as left_over, price_raw::text as raw,
           price_native::text as price
    from catalog_service.orders
    where token = $1 and chain_id = $2 and kind = $3 and id < $4
      and ($6 = 'all' or state = $6) and (closed_by is null or not $7)
    order by id desc
    limit $5";

const OF_ACCOUNT: &str = "select *, quantity::text as units, remaining::text as left_over, price_raw::text as raw,
           price_native::text as price
    from catalog_service.orders
    where maker = $1 and chain_id = $2 and kind = $3 and id < $4
      and ($6 = 'all' or state = $6) and (closed_by is null or not $7)
    order by id desc
    limit $5";

fn order_of(row: &PgRow) -> Result<Order, sqlx::Error> {
    let order_key: String = row.try_get("key")?;
    let hashed: bool = row.try_get("hashed")?;
    Ok(Order {
        id: row.try_get("id")?,
        chain: row.try_get("chain_id")?,
        marketplace: row.try_get("marketplace")?,
        market: row.try_get("market")?,
        order_hash: hashed.then(|| order_key.clone()),
        order_key,
        contract: row.try_get("contract")?,
        token: row.try_get("token_number")?,
        standard: row.try_get("standard")?,
        quantity: row.try_get("units")?,
        remaining: row.try_get("left_over")?,
        maker: row.try_get("maker")?,
        taker: row.try_get("taker")?,
        currency: row.try_get("currency_address")?,
        currency_symbol: row.try_get("currency_symbol")?,
        price_raw: row.try_get("raw")?,
        price: row.try_get("price")?,
        state: row.try_get("state")?,
        is_active: row.try_get("is_active")?,
        closed_reason: row.try_get("closed_reason")?,
        starts_at: row.try_get("starts_at")?,
        expires_at: row.try_get("expires_at")?,
        auction: row.try_get("auction")?,
        escrowed: row.try_get("escrowed")?,
        block_number: row.try_get("block_number")?,
        block_time: row.try_get("block_time")?,
        tx_hash: row.try_get("tx_hash")?,
        log_index: row.try_get("log_index")?,
        item: row.try_get("item")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_named_or_active() {
        assert_eq!(state(None).unwrap(), "active");
        assert_eq!(state(Some("all")).unwrap(), "all");
        assert!(state(Some("open")).unwrap_err().to_string().contains("canceled"));
    }
}
