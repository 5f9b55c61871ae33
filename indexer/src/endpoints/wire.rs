//! JSON-RPC as bytes: hex words, answers and error objects, read from borrowed JSON.

use std::fmt;

use alloy_primitives::{Address, B256, Bytes, hex};
use decoders::id::MAX_LOG_INDEX;
use serde::de::{Error as _, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

struct Fixed<const N: usize>;

impl<const N: usize> Visitor<'_> for Fixed<N> {
    type Value = [u8; N];

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{N} bytes of hex")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<[u8; N], E> {
        hex::decode_to_array(text).map_err(|_| E::custom(format_args!("not {N} bytes of hex")))
    }
}

/// 32 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Word(pub(super) B256);

impl<'de> Deserialize<'de> for Word {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer
            .deserialize_str(Fixed::<32>)
            .map(|bytes| Word(B256::new(bytes)))
    }
}

/// 20 bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Account(pub(super) Address);

impl<'de> Deserialize<'de> for Account {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer
            .deserialize_str(Fixed::<20>)
            .map(|bytes| Account(Address::new(bytes)))
    }
}

/// `N` bytes on the heap, for blooms and nonces.
#[derive(Clone, Debug)]
pub(super) struct Block<const N: usize>(pub(super) Box<[u8; N]>);

impl<'de, const N: usize> Deserialize<'de> for Block<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer
            .deserialize_str(Fixed::<N>)
            .map(|bytes| Block(Box::new(bytes)))
    }
}

/// Bytes of any length.
#[derive(Clone, Debug)]
pub(super) struct Data(pub(super) Bytes);

impl<'de> Deserialize<'de> for Data {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl Visitor<'_> for Any {
            type Value = Bytes;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes in hex")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Bytes, E> {
                match text {
                    // ERC-721 transfers carry no data: the commonest case allocates nothing.
                    "0x" | "" => Ok(Bytes::new()),
                    _ => hex::decode(text)
                        .map(Bytes::from)
                        .map_err(|_| E::custom("not bytes in hex")),
                }
            }
        }
        deserializer.deserialize_str(Any).map(Data)
    }
}

/// A number of at most 64 bits, in hex as the specification has it, or plain as some servers do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Quantity(pub(super) u64);

impl<'de> Deserialize<'de> for Quantity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Number;
        impl Visitor<'_> for Number {
            type Value = u64;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number in hex")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<u64, E> {
                quantity(text).ok_or_else(|| E::custom("not a 64-bit number in hex"))
            }
            fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<u64, E> {
                Ok(number)
            }
        }
        deserializer.deserialize_any(Number).map(Quantity)
    }
}

/// A number that must fit 32 bits.
pub(super) fn narrow<E: serde::de::Error>(number: Quantity, what: &str) -> Result<u32, E> {
    u32::try_from(number.0).map_err(|_| E::custom(format_args!("{what} is out of range")))
}

/// A log's index within its block, which has to fit an id.
pub(super) fn log_index<E: serde::de::Error>(number: Quantity) -> Result<u32, E> {
    match narrow(number, "a log index")? {
        index if index <= MAX_LOG_INDEX => Ok(index),
        _ => Err(E::custom("a log index is out of range")),
    }
}

/// The number in `0x…`, of at most 64 bits; leading zeros are let pass.
pub(super) fn quantity(text: &str) -> Option<u64> {
    let digits = text.strip_prefix("0x")?;
    // `from_str_radix` would take a sign.
    if !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    u64::from_str_radix(digits, 16).ok()
}

/// A JSON-RPC error object, as far as it can be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct RpcError {
    pub(super) code: i64,
    pub(super) message: String,
    /// `data`, as text.
    pub(super) data: String,
}

impl RpcError {
    fn of(value: &serde_json::Value) -> Self {
        let Some(object) = value.as_object() else {
            return RpcError {
                message: value.as_str().map_or_else(|| value.to_string(), str::to_owned),
                ..RpcError::default()
            };
        };
        let code = object
            .get("code")
            .and_then(|code| code.as_i64().or_else(|| code.as_str()?.parse().ok()))
            .unwrap_or(0);
        let text = |key| match object.get(key) {
            None | Some(serde_json::Value::Null) => String::new(),
            Some(serde_json::Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        };
        RpcError {
            code,
            message: text("message"),
            data: text("data"),
        }
    }
}

/// Why an answer yields no value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Unread {
    /// The endpoint refused.
    Refused(RpcError),
    /// Not the JSON that was asked for.
    Malformed(String),
    /// `null`: the endpoint does not have it.
    Absent,
    /// Contradicts itself or what is proven.
    Lie(String),
    /// May be right, but cannot be checked.
    Unprovable(String),
}

impl From<serde_json::Error> for Unread {
    fn from(error: serde_json::Error) -> Self {
        Unread::Malformed(error.to_string())
    }
}

#[derive(Deserialize)]
#[serde(bound(deserialize = "T: Deserialize<'de>"))]
struct Single<T> {
    #[serde(default = "absent")]
    result: Option<T>,
    #[serde(default)]
    error: Option<serde_json::Value>,
}

fn absent<T>() -> Option<T> {
    None
}

/// The `result` of a single answer, read straight from its bytes.
pub(super) fn single<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, Unread> {
    match serde_json::from_slice::<Single<T>>(bytes) {
        Ok(Single { error: Some(error), .. }) => Err(Unread::Refused(RpcError::of(&error))),
        Ok(Single {
            result: Some(result),
            error: None,
        }) => Ok(result),
        Ok(Single {
            result: None,
            error: None,
        }) => Err(Unread::Absent),
        // An error object may stand beside a result of another shape than asked for.
        Err(error) => Err(refusal_in(bytes).map_or_else(|| error.into(), Unread::Refused)),
    }
}

/// The error object in an answer of any status, if it has one.
pub(super) fn refusal_in(bytes: &[u8]) -> Option<RpcError> {
    #[derive(Deserialize)]
    struct Bare {
        #[serde(default)]
        error: Option<serde_json::Value>,
    }
    let bare = match first_byte(bytes)? {
        b'{' => serde_json::from_slice::<Bare>(bytes).ok()?,
        b'[' => serde_json::from_slice::<Vec<Bare>>(bytes)
            .ok()?
            .into_iter()
            .find(|bare| bare.error.is_some())?,
        _ => return None,
    };
    bare.error.as_ref().map(RpcError::of)
}

fn first_byte(bytes: &[u8]) -> Option<u8> {
    bytes.iter().copied().find(|b| !b.is_ascii_whitespace())
}

/// One answer of a batch.
#[derive(Clone, Debug)]
pub(super) enum Reply<'a> {
    Value(&'a RawValue),
    Null,
    Error(RpcError),
}

impl<'a> Reply<'a> {
    /// The value, read as `T`.
    pub(super) fn read<T: Deserialize<'a>>(&self) -> Result<T, Unread> {
        match self {
            Reply::Value(raw) => Ok(serde_json::from_str(raw.get())?),
            Reply::Null => Err(Unread::Absent),
            Reply::Error(error) => Err(Unread::Refused(error.clone())),
        }
    }

    /// The value's JSON.
    pub(super) fn json(&self) -> Result<&'a str, Unread> {
        match self {
            Reply::Value(raw) => Ok(raw.get()),
            Reply::Null => Err(Unread::Absent),
            Reply::Error(error) => Err(Unread::Refused(error.clone())),
        }
    }
}

/// The bytes that answered the calls from `first` on, `count` of them, under the ids from `id` on.
#[derive(Clone, Debug)]
pub(super) struct Body {
    pub(super) id: u64,
    pub(super) count: usize,
    pub(super) bytes: Vec<u8>,
}

#[derive(Deserialize)]
struct Item<'a> {
    #[serde(default)]
    id: Id,
    #[serde(borrow, default)]
    result: Option<&'a RawValue>,
    #[serde(default)]
    error: Option<serde_json::Value>,
}

impl<'a> Item<'a> {
    fn reply(self) -> Reply<'a> {
        match (self.error, self.result) {
            (Some(error), _) => Reply::Error(RpcError::of(&error)),
            (None, Some(result)) => Reply::Value(result),
            (None, None) => Reply::Null,
        }
    }
}

/// The id of an answer; `None` when the server lost it.
#[derive(Default)]
pub(super) struct Id(pub(super) Option<u64>);

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = serde_json::Value::deserialize(deserializer).map_err(D::Error::custom)?;
        Ok(Id(value.as_u64().or_else(|| value.as_str()?.parse().ok())))
    }
}

/// The answers to all calls of `bodies`, in the order of the calls, whatever the order they came in.
pub(super) fn replies(bodies: &[Body]) -> Result<Vec<Reply<'_>>, Unread> {
    let mut all = Vec::with_capacity(bodies.iter().map(|body| body.count).sum());
    for body in bodies {
        if first_byte(&body.bytes) == Some(b'[') {
            batch(body, &mut all)?;
            continue;
        }
        let reply = serde_json::from_slice::<Item<'_>>(&body.bytes)?.reply();
        match reply {
            Reply::Error(error) if body.count > 1 => return Err(Unread::Refused(error)),
            _ if body.count > 1 => return Err(Unread::Malformed("one answer to a batch".to_owned())),
            reply => all.push(reply),
        }
    }
    Ok(all)
}

fn batch<'a>(body: &'a Body, all: &mut Vec<Reply<'a>>) -> Result<(), Unread> {
    let mut slots: Vec<Option<Reply<'_>>> = vec![None; body.count];
    for item in serde_json::from_slice::<Vec<Item<'_>>>(&body.bytes)? {
        let slot = item.id.0.and_then(|id| usize::try_from(id.checked_sub(body.id)?).ok());
        match (slot.and_then(|slot| slots.get_mut(slot)), item) {
            (Some(slot @ None), item) => *slot = Some(item.reply()),
            (Some(Some(_)), _) => return Err(Unread::Malformed("two answers to one call of a batch".to_owned())),
            (None, Item { error: Some(error), .. }) => return Err(Unread::Refused(RpcError::of(&error))),
            (None, _) => return Err(Unread::Malformed("an answer to no call of the batch".to_owned())),
        }
    }
    for slot in slots {
        all.push(slot.ok_or_else(|| Unread::Malformed("a batch with answers missing".to_owned()))?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn body(count: usize, text: &str) -> Body {
        Body {
            id: 7,
            count,
            bytes: text.as_bytes().to_vec(),
        }
    }

    #[test]
    fn quantities_are_hex_of_at_most_64_bits() {
        assert_eq!(quantity("0x0"), Some(0));
        assert_eq!(quantity("0x00ff"), Some(255));
        assert_eq!(quantity("0xffffffffffffffff"), Some(u64::MAX));
        for bad in ["", "0x", "12", "0x10000000000000000", "0x+1", "0xg", "-0x1"] {
            assert_eq!(quantity(bad), None, "{bad}");
        }
    }

    #[test]
    fn an_error_wins_over_a_null_result() {
        let text = br#"{"jsonrpc":"2.0","id":1,"result":null,"error":{"code":-32005,"message":"no"}}"#;
        let error = RpcError {
            code: -32005,
            message: "no".to_owned(),
            data: String::new(),
        };
        assert_eq!(single::<Word>(text).unwrap_err(), Unread::Refused(error));
        assert_eq!(
            single::<Word>(br#"{"id":1,"result":null}"#).unwrap_err(),
            Unread::Absent
        );
        assert!(matches!(single::<Word>(b"<html>"), Err(Unread::Malformed(_))));
    }

    #[test]
    fn batches_are_put_in_order_by_id() {
        let out_of_order = [body(2, r#"[{"id":8,"result":"0x2"},{"id":"7","result":"0x1"}]"#)];
        let numbers: Vec<u64> = replies(&out_of_order)
            .unwrap()
            .iter()
            .map(|reply| reply.read::<Quantity>().unwrap().0)
            .collect();
        assert_eq!(numbers, [1, 2]);
        for bad in [
            r#"[{"id":7,"result":"0x1"}]"#,
            r#"[{"id":7,"result":"0x1"},{"id":7,"result":"0x1"}]"#,
            r#"[{"id":7,"result":"0x1"},{"id":9,"result":"0x1"}]"#,
            r#"[{"id":null,"error":{"code":-32600,"message":"batch too large"}}]"#,
            r#"{"id":null,"error":{"code":-32600,"message":"batch too large"}}"#,
            r#"{"id":7,"result":"0x1"}"#,
            "[",
            "",
        ] {
            assert!(replies(&[body(2, bad)]).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            drop(single::<Word>(&bytes));
            drop(refusal_in(&bytes));
            drop(replies(&[Body { id: 0, count: 2, bytes }]));
        }

        #[test]
        fn any_json_like_text_is_read_without_panic(text in r#"[\[\]{}",:0-9a-fx]{0,60}"#) {
            drop(single::<Quantity>(text.as_bytes()));
            drop(replies(&[body(1, &text)]));
            quantity(&text);
        }
    }
}
