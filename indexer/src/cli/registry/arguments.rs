//! Arguments that several parts of the registry take.

use std::str::FromStr;

use clap::Args;
use decoders::block::{ChainId, Proof};

use crate::config;

/// What every other list takes.
#[derive(Clone, Copy, Debug, Args)]
pub struct ListArgs {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// What every list of what belongs to a chain takes.
#[derive(Clone, Copy, Debug, Args)]
pub struct ChainListArgs {
    /// Only this chain's
    #[arg(long, value_name = "CAIP2")]
    pub chain: Option<ChainId>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// A new value, or `none` for the absence of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrNone<T>(pub Option<T>);

impl<T: FromStr> FromStr for OrNone<T> {
    type Err = T::Err;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "none" {
            Ok(OrNone(None))
        } else {
            text.parse().map(|value| OrNone(Some(value)))
        }
    }
}

/// Puts `new` where one was given.
pub(super) fn set<T>(place: &mut T, new: Option<T>) {
    if let Some(new) = new {
        *place = new;
    }
}

/// Text of 1 to 128 printable characters.
pub(super) fn name(text: &str) -> Result<String, String> {
    config::check_name(text).map(|()| text.to_owned())
}

/// A proof level, or `none`.
pub(super) fn proof(text: &str) -> Result<OrNone<Proof>, String> {
    if text == "none" {
        return Ok(OrNone(None));
    }
    let parsed = serde_json::from_value(serde_json::Value::String(text.to_owned()));
    parsed
        .map(|proof| OrNone(Some(proof)))
        .map_err(|_| "write chained, bloom, receipts or none".to_owned())
}

/// The name of a standard.
pub(super) fn standard(text: &str) -> Result<String, String> {
    config::check_standard(text).map(|()| text.to_owned())
}
