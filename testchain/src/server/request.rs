//! Reads requests: one call or a batch, and the parameters of each.

use std::borrow::Cow;

use alloy_primitives::B256;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use crate::refusal::Refusal;

/// One JSON-RPC call.
#[derive(Debug, Deserialize)]
pub(crate) struct Call<'a> {
    #[serde(borrow, default = "null")]
    pub(crate) id: &'a RawValue,
    #[serde(borrow)]
    pub(crate) method: Cow<'a, str>,
    #[serde(borrow, default = "null")]
    pub(crate) params: &'a RawValue,
}

fn null<'a>() -> &'a RawValue {
    RawValue::NULL
}

/// A request body.
#[derive(Debug)]
pub(crate) enum Body<'a> {
    One(Call<'a>),
    Batch(Vec<Result<Call<'a>, Refusal>>),
}

impl<'a> Body<'a> {
    pub(crate) fn parse(body: &'a [u8]) -> Result<Self, Refusal> {
        let raw: &RawValue = serde_json::from_slice(body).map_err(|_| Refusal::parse_error())?;
        if !raw.get().starts_with('[') {
            return Ok(Self::One(call(raw)?));
        }
        let calls: Vec<&RawValue> = serde_json::from_str(raw.get()).map_err(|_| Refusal::parse_error())?;
        if calls.is_empty() {
            return Err(Refusal::invalid_request("empty batch"));
        }
        Ok(Self::Batch(calls.into_iter().map(call).collect()))
    }

    pub(crate) fn calls(&self) -> usize {
        match self {
            Self::One(_) => 1,
            Self::Batch(calls) => calls.len(),
        }
    }
}

fn call(raw: &RawValue) -> Result<Call<'_>, Refusal> {
    serde_json::from_str(raw.get()).map_err(|_| Refusal::invalid_request("invalid request"))
}

/// Positional parameters.
#[derive(Debug)]
pub(crate) struct Params<'a>(Vec<&'a RawValue>);

impl<'a> Params<'a> {
    pub(crate) fn parse(raw: &'a RawValue) -> Result<Self, Refusal> {
        if raw.get() == "null" {
            return Ok(Self(Vec::new()));
        }
        serde_json::from_str(raw.get())
            .map(Self)
            .map_err(|_| Refusal::new(-32602, "non-array args"))
    }

    /// The parameter at `index`, or `None` when it is absent or null.
    pub(crate) fn optional<T: DeserializeOwned>(&self, index: usize) -> Result<Option<T>, Refusal> {
        match self.0.get(index) {
            None => Ok(None),
            Some(raw) => serde_json::from_str(raw.get()).map_err(|error| Refusal::invalid_argument(index, error)),
        }
    }

    pub(crate) fn required<T: DeserializeOwned>(&self, index: usize) -> Result<T, Refusal> {
        self.optional(index)?.ok_or_else(|| Refusal::missing_argument(index))
    }
}

/// A block named by height, tag or hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "serde_json::Value")]
pub(crate) enum BlockId {
    Number(u64),
    Hash(B256),
    Latest,
    Safe,
    Finalized,
    Earliest,
}

impl TryFrom<serde_json::Value> for BlockId {
    type Error = String;

    /// Heights and tags as strings; also 32-byte hashes and the objects of EIP-1898.
    fn try_from(value: serde_json::Value) -> Result<Self, String> {
        if let Some(object) = value.as_object() {
            return match (object.get("blockHash"), object.get("blockNumber")) {
                (Some(hash), None) => parse(hash).map(Self::Hash),
                (None, Some(number)) => number.clone().try_into(),
                _ => Err("specify exactly one of blockHash and blockNumber".to_owned()),
            };
        }
        let text = value.as_str().ok_or("a block is named by a string")?;
        match text {
            "latest" | "pending" => Ok(Self::Latest),
            "safe" => Ok(Self::Safe),
            "finalized" => Ok(Self::Finalized),
            "earliest" => Ok(Self::Earliest),
            _ if text.len() == 66 => parse(&value).map(Self::Hash),
            _ => number(text).map(Self::Number),
        }
    }
}

fn parse(value: &serde_json::Value) -> Result<B256, String> {
    B256::deserialize(value).map_err(|error| error.to_string())
}

fn number(text: &str) -> Result<u64, String> {
    let digits = text.strip_prefix("0x").ok_or("hex string without 0x prefix")?;
    u64::from_str_radix(digits, 16).map_err(|_| format!("invalid hex number {text:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<BlockId, serde_json::Error> {
        serde_json::from_str(json)
    }

    #[test]
    fn blocks_are_named_in_every_usual_way() {
        let hash = B256::repeat_byte(0xab);
        assert_eq!(read("\"0x10\"").unwrap(), BlockId::Number(16));
        assert_eq!(read("\"pending\"").unwrap(), BlockId::Latest);
        assert_eq!(read(&format!("\"{hash}\"")).unwrap(), BlockId::Hash(hash));
        assert_eq!(
            read(&format!("{{\"blockHash\":\"{hash}\"}}")).unwrap(),
            BlockId::Hash(hash)
        );
        assert_eq!(read("{\"blockNumber\":\"0x2\"}").unwrap(), BlockId::Number(2));
        for wrong in ["16", "\"16\"", "\"0xzz\"", "{}", "[]", "\"newest\""] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
