//! Parts of requests, checked, with errors that state what is expected.

use std::fmt::Display;
use std::str::FromStr;

use alloy_primitives::{Address, U256};
use axum::extract::Query;
use axum::extract::rejection::QueryRejection;
use decoders::block::ChainId;
use queries::Subject;
use queries::page::{Cursor, PageRequest};
use uuid::Uuid;

use crate::error::ApiError;

/// Rows of a page when the client names no number.
const DEFAULT_LIMIT: i64 = 20;
/// Rows of a page at most.
const MAX_LIMIT: i64 = 100;

/// The query string as `T`, which refuses unknown parameters.
pub(crate) fn query<T>(query: Result<Query<T>, QueryRejection>) -> Result<T, ApiError> {
    query
        .map(|Query(query)| query)
        .map_err(|rejection| ApiError::BadRequest(explained(&rejection.body_text())))
}

/// What is wrong with a query string, without the library's words around it.
fn explained(text: &str) -> String {
    let (_, reason) = text.split_once("query string: ").unwrap_or(("", text));
    format!("query string: {reason}")
}

pub(crate) fn chain(text: &str) -> Result<ChainId, ApiError> {
    parsed(text, |error: &_| format!("{error}"))
}

/// The chain of a request that makes no sense without one.
pub(crate) fn needed_chain(text: Option<&str>) -> Result<ChainId, ApiError> {
    chain(text.ok_or_else(|| ApiError::BadRequest("chain is missing, write such as eip155:1".to_owned()))?)
}

/// The page that `limit` and `before` name: the first where the client names no other.
pub(crate) fn page(before: Option<&str>, limit: Option<&str>) -> Result<PageRequest, ApiError> {
    // In this order, so that of two faults of a request the same is named whatever the list.
    let limit = self::limit(limit)?;
    let after = before.map(cursor).transpose()?;
    Ok(PageRequest { after, limit })
}

/// What sales or orders are looked up by.
pub(crate) fn subject(contract: Option<&str>, token: Option<&str>, account: Option<&str>) -> Result<Subject, ApiError> {
    let contract = contract.map(self::contract).transpose()?;
    let number = token.map(self::token).transpose()?;
    let account = account.map(self::account).transpose()?;
    match (contract, number, account) {
        (None, None, None) => Ok(Subject::Chain),
        (Some(contract), None, None) => Ok(Subject::Collection(contract)),
        (Some(contract), Some(number), None) => Ok(Subject::Token { contract, number }),
        (None, None, Some(account)) => Ok(Subject::Account(account)),
        _ => Err(ApiError::BadRequest(
            "write contract, contract and token, or account, or none of them".to_owned(),
        )),
    }
}

fn account(text: &str) -> Result<Address, ApiError> {
    parsed(text, |_: &_| {
        format!("account {text:?} is not an address, write 0x and 40 hexadecimal digits")
    })
}

pub(crate) fn contract(text: &str) -> Result<Address, ApiError> {
    parsed(text, |_: &_| {
        format!("contract {text:?} is not an address, write 0x and 40 hexadecimal digits")
    })
}

pub(crate) fn token(text: &str) -> Result<U256, ApiError> {
    let refuse = || {
        ApiError::BadRequest(format!(
            "token {text:?} is not a token number, write a decimal number below 2^256"
        ))
    };
    if !text.bytes().all(|b| b.is_ascii_digit()) || text.is_empty() {
        return Err(refuse());
    }
    U256::from_str_radix(text, 10).map_err(|_| refuse())
}

fn cursor(text: &str) -> Result<Cursor<Uuid>, ApiError> {
    parsed(text, |_: &_| {
        format!("before {text:?} is not an id, write the \"next\" of the page before")
    })
}

pub(crate) fn limit(text: Option<&str>) -> Result<i64, ApiError> {
    let Some(text) = text else {
        return Ok(DEFAULT_LIMIT);
    };
    let limit = text.parse().ok().filter(|limit| (1..=MAX_LIMIT).contains(limit));
    limit.ok_or_else(|| ApiError::BadRequest(format!("limit {text:?} is out of range, write 1 to {MAX_LIMIT}")))
}

fn parsed<T: FromStr<Err: Display>>(text: &str, explain: impl FnOnce(&T::Err) -> String) -> Result<T, ApiError> {
    text.parse().map_err(|error| ApiError::BadRequest(explain(&error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_read_or_refused_with_what_is_expected() {
        assert_eq!(chain("eip155:1").unwrap(), ChainId(1));
        assert!(chain("1").unwrap_err().to_string().contains("eip155:1"));
        assert!(
            contract("0x12")
                .unwrap_err()
                .to_string()
                .contains("40 hexadecimal digits")
        );
        assert_eq!(token("7").unwrap(), U256::from(7));
        for wrong in ["", "-1", "0x7", "1e3", &format!("{}0", U256::MAX)] {
            assert!(token(wrong).unwrap_err().to_string().contains("decimal"), "{wrong}");
        }
        assert_eq!(limit(None).unwrap(), 20);
        assert_eq!(limit(Some("100")).unwrap(), 100);
        for wrong in ["0", "-1", "101", "ten", "", "1.5"] {
            assert!(limit(Some(wrong)).unwrap_err().to_string().contains("1 to 100"));
        }
        assert_eq!(
            explained("Failed to deserialize query string: missing field `chain`"),
            "query string: missing field `chain`"
        );
    }
}
