//! What is listed and what is offered, newest first.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use decoders::fact::OrderKind;
use queries::Readers;
use queries::orders::{self, Order, OrderFilter, OrderState};
use queries::page::{Cursor, Page};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::ApiError;
use crate::{chains, request};

/// The word for orders in any state.
const ANY_STATE: &str = "all";

/// One page of listings.
#[derive(Debug, Serialize)]
pub(crate) struct Listings {
    listings: Vec<Order>,
    /// `before` of the next page; absent on the last.
    next: Option<Cursor<Uuid>>,
}

/// One page of offers.
#[derive(Debug, Serialize)]
pub(crate) struct Offers {
    offers: Vec<Order>,
    /// `before` of the next page; absent on the last.
    next: Option<Cursor<Uuid>>,
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
    State(readers): State<Readers>,
    query: Result<Query<Parameters>, QueryRejection>,
) -> Result<Json<Listings>, ApiError> {
    let page = page(&readers, OrderKind::Listing, &request::query(query)?).await?;
    Ok(Json(Listings {
        listings: page.rows,
        next: page.next,
    }))
}

/// `GET /v1/offers`: those for a chain, a collection, a token, or of a bidder; the active ones, unless another state is named.
pub(crate) async fn offers(
    State(readers): State<Readers>,
    query: Result<Query<Parameters>, QueryRejection>,
) -> Result<Json<Offers>, ApiError> {
    let page = page(&readers, OrderKind::Offer, &request::query(query)?).await?;
    Ok(Json(Offers {
        offers: page.rows,
        next: page.next,
    }))
}

/// The orders of one kind that `parameters` ask for.
async fn page(readers: &Readers, kind: OrderKind, parameters: &Parameters) -> Result<Page<Order>, ApiError> {
    let chain = request::needed_chain(parameters.chain.as_deref())?;
    let page = request::page(parameters.before.as_deref(), parameters.limit.as_deref())?;
    let state = state(parameters.state.as_deref())?;
    let subject = request::subject(
        parameters.contract.as_deref(),
        parameters.token.as_deref(),
        parameters.account.as_deref(),
    )?;
    let filter = OrderFilter { kind, state, subject };
    let page = orders::page(readers.pool(), chain, &filter, &page).await?;
    if page.rows.is_empty() {
        chains::check(readers, chain).await?;
    }
    Ok(page)
}

/// The state that `text` names; `None` for any.
fn state(text: Option<&str>) -> Result<Option<OrderState>, ApiError> {
    let named = text.unwrap_or(OrderState::Active.as_str());
    if named == ANY_STATE {
        return Ok(None);
    }
    let known = OrderState::ALL.into_iter().find(|state| state.as_str() == named);
    known.map(Some).ok_or_else(|| {
        let mut names: Vec<&str> = OrderState::ALL.into_iter().map(OrderState::as_str).collect();
        names.push(ANY_STATE);
        ApiError::BadRequest(format!(
            "state {named:?} is not known, write one of {}",
            names.join(", ")
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_named_or_active() {
        assert_eq!(state(None).unwrap(), Some(OrderState::Active));
        assert_eq!(state(Some("expired")).unwrap(), Some(OrderState::Expired));
        assert_eq!(state(Some("all")).unwrap(), None);
        assert_eq!(
            state(Some("open")).unwrap_err().to_string(),
            "state \"open\" is not known, write one of active, expired, invalid, filled, canceled, all"
        );
    }
}
