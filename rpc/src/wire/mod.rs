//! JSON-RPC as bytes: hex words, answers and error objects, read from borrowed JSON.

pub(crate) mod call;
pub(crate) mod header;
pub(crate) mod log;
pub(crate) mod receipt;
pub(crate) mod rejection;

use std::fmt;

use alloy_primitives::{Address, B256, Bytes, hex};
use serde::de::{DeserializeOwned, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// The part of an error object that is read: the endpoint writes it, and may write megabytes.
const ERROR_BYTES: usize = 4 << 10;

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
pub(crate) struct Word(pub(crate) B256);

impl<'de> Deserialize<'de> for Word {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer
            .deserialize_str(Fixed::<32>)
            .map(|bytes| Word(B256::new(bytes)))
    }
}

/// 20 bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Account(pub(crate) Address);

impl<'de> Deserialize<'de> for Account {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer
            .deserialize_str(Fixed::<20>)
            .map(|bytes| Account(Address::new(bytes)))
    }
}

/// `N` bytes on the heap, for blooms and nonces.
#[derive(Clone, Debug)]
pub(crate) struct Block<const N: usize>(pub(crate) Box<[u8; N]>);

impl<'de, const N: usize> Deserialize<'de> for Block<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer
            .deserialize_str(Fixed::<N>)
            .map(|bytes| Block(Box::new(bytes)))
    }
}

/// Bytes of any length.
#[derive(Clone, Debug)]
pub(crate) struct Data(pub(crate) Bytes);

impl<'de> Deserialize<'de> for Data {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl Visitor<'_> for Any {
            type Value = Bytes;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes in hex")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Bytes, E> {
                bytes(text).ok_or_else(|| E::custom(NOT_HEX))
            }
        }
        deserializer.deserialize_str(Any).map(Data)
    }
}

const NOT_HEX: &str = "not bytes in hex";

/// The bytes in `0x…`.
fn bytes(text: &str) -> Option<Bytes> {
    match text {
        // ERC-721 transfers carry no data: the commonest case allocates nothing.
        "0x" | "" => Some(Bytes::new()),
        _ => hex::decode(text).ok().map(Bytes::from),
    }
}

/// A number of at most 64 bits, in hex as the specification has it, or plain as some servers do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Quantity(pub(crate) u64);

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

/// A member that is passed over when it is not what it should be: `None`.
#[derive(Clone, Debug)]
pub(crate) struct Lenient<T>(pub(crate) Option<T>);

impl<T> Default for Lenient<T> {
    fn default() -> Self {
        Lenient(None)
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Lenient<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&RawValue>::deserialize(deserializer)?;
        Ok(Lenient(serde_json::from_str(raw.get()).ok()))
    }
}

/// A place in a block. What is missing, of another shape or beyond 32 bits becomes the maximum, which is no place in any block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Index(pub(crate) u32);

impl Index {
    pub(crate) const NONE: Index = Index(u32::MAX);
}

impl Default for Index {
    fn default() -> Self {
        Index::NONE
    }
}

impl<'de> Deserialize<'de> for Index {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Anything;
        impl<'de> Visitor<'de> for Anything {
            type Value = Index;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an index")
            }
            fn visit_str<E>(self, text: &str) -> Result<Index, E> {
                let index = quantity(text).and_then(|number| u32::try_from(number).ok());
                Ok(index.map_or(Index::NONE, Index))
            }
            fn visit_u64<E>(self, number: u64) -> Result<Index, E> {
                Ok(u32::try_from(number).map_or(Index::NONE, Index))
            }
            fn visit_i64<E>(self, _: i64) -> Result<Index, E> {
                Ok(Index::NONE)
            }
            fn visit_f64<E>(self, _: f64) -> Result<Index, E> {
                Ok(Index::NONE)
            }
            fn visit_bool<E>(self, _: bool) -> Result<Index, E> {
                Ok(Index::NONE)
            }
            fn visit_unit<E>(self) -> Result<Index, E> {
                Ok(Index::NONE)
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut members: A) -> Result<Index, A::Error> {
                while members.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Index::NONE)
            }
            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Index, A::Error> {
                while members.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Index::NONE)
            }
        }
        deserializer.deserialize_any(Anything)
    }
}

/// The number in `0x…`, of at most 64 bits; leading zeros are let pass, and so is `0x` for zero.
pub(crate) fn quantity(text: &str) -> Option<u64> {
    let digits = text.strip_prefix("0x")?;
    if digits.is_empty() {
        return Some(0);
    }
    // `from_str_radix` would take a sign.
    if !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    u64::from_str_radix(digits, 16).ok()
}

/// A JSON-RPC error object, as far as it can be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RpcError {
    pub(crate) code: i64,
    pub(crate) message: String,
    /// `data`, as text.
    pub(crate) data: String,
}

impl RpcError {
    /// Reads the head of an error object, or whatever stands in its place.
    fn of(raw: &RawValue) -> Self {
        #[derive(Deserialize)]
        struct Object<'a> {
            #[serde(borrow, default)]
            code: Option<&'a RawValue>,
            #[serde(borrow, default)]
            message: Option<&'a RawValue>,
            #[serde(borrow, default)]
            data: Option<&'a RawValue>,
        }
        let Ok(object) = serde_json::from_str::<Object<'_>>(raw.get()) else {
            return RpcError {
                message: text(raw),
                ..RpcError::default()
            };
        };
        RpcError {
            code: object.code.and_then(|code| text(code).parse().ok()).unwrap_or(0),
            message: object.message.map(text).unwrap_or_default(),
            data: object.data.map(text).unwrap_or_default(),
        }
    }
}

/// The head of a JSON value as text: a string's content, anything else as it is written.
fn text(raw: &RawValue) -> String {
    let json = raw.get();
    if json.len() <= ERROR_BYTES {
        return serde_json::from_str(json).unwrap_or_else(|_| json.to_owned());
    }
    let head = &json[..json.floor_char_boundary(ERROR_BYTES)];
    head.trim_start_matches('"').to_owned()
}

/// Why an answer yields no value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unread {
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
    /// About another block than the one asked for: a lie to who asked by hash, a reorg to who asked by height.
    Elsewhere(String),
}

impl From<serde_json::Error> for Unread {
    fn from(error: serde_json::Error) -> Self {
        Unread::Malformed(error.to_string())
    }
}

#[derive(Deserialize)]
#[serde(bound(deserialize = "T: Deserialize<'de>, 'de: 'a"))]
struct Single<'a, T> {
    #[serde(default = "absent")]
    result: Option<T>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
}

fn absent<T>() -> Option<T> {
    None
}

/// The `result` of a single answer, read straight from its bytes.
pub(crate) fn single<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, Unread> {
    match serde_json::from_slice::<Single<'a, T>>(bytes) {
        Ok(Single { error: Some(error), .. }) => Err(Unread::Refused(RpcError::of(error))),
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

/// The first error object in an answer of any status, if it has one.
pub(crate) fn refusal_in(bytes: &[u8]) -> Option<RpcError> {
    let error = match first_byte(bytes)? {
        b'{' => serde_json::from_slice::<Bare<'_>>(bytes).ok()?.error,
        b'[' => serde_json::from_slice::<FirstError<'_>>(bytes).ok()?.0,
        _ => None,
    };
    error.map(RpcError::of)
}

#[derive(Deserialize)]
struct Bare<'a> {
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
}

/// The first error of a batch, found without keeping the batch.
struct FirstError<'a>(Option<&'a RawValue>);

impl<'de: 'a, 'a> Deserialize<'de> for FirstError<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Answers;
        impl<'de> Visitor<'de> for Answers {
            type Value = FirstError<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a batch of answers")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut answers: A) -> Result<FirstError<'de>, A::Error> {
                let mut first = None;
                while let Some(bare) = answers.next_element::<Bare<'de>>()? {
                    first = first.or(bare.error);
                }
                Ok(FirstError(first))
            }
        }
        deserializer.deserialize_seq(Answers)
    }
}

fn first_byte(bytes: &[u8]) -> Option<u8> {
    bytes.iter().copied().find(|b| !b.is_ascii_whitespace())
}

/// One answer of a batch.
#[derive(Clone, Debug)]
pub(crate) enum Reply<'a> {
    Value(&'a RawValue),
    Null,
    Error(RpcError),
}

impl<'a> Reply<'a> {
    /// The value, read as `T`.
    pub(crate) fn read<T: Deserialize<'a>>(&self) -> Result<T, Unread> {
        match self {
            Reply::Value(raw) => Ok(serde_json::from_str(raw.get())?),
            Reply::Null => Err(Unread::Absent),
            Reply::Error(error) => Err(Unread::Refused(error.clone())),
        }
    }

    /// The value's JSON.
    pub(crate) fn json(&self) -> Result<&'a str, Unread> {
        match self {
            Reply::Value(raw) => Ok(raw.get()),
            Reply::Null => Err(Unread::Absent),
            Reply::Error(error) => Err(Unread::Refused(error.clone())),
        }
    }
}

/// The answer to one call.
#[derive(Clone, Debug)]
pub(crate) enum Body {
    /// Every byte of the answer to a request for it alone, not looked into yet.
    Alone(Vec<u8>),
    /// The value in the answer to a batch.
    Value(Box<RawValue>),
    /// `null` in the answer to a batch.
    Null,
    /// An error, in the answer to a batch or in place of an answer that never came.
    Error(RpcError),
}

impl Body {
    /// Bytes held.
    pub(crate) fn len(&self) -> usize {
        match self {
            Body::Alone(bytes) => bytes.len(),
            Body::Value(raw) => raw.get().len(),
            Body::Null | Body::Error(_) => 0,
        }
    }
}

#[derive(Deserialize)]
struct Item<'a> {
    #[serde(default)]
    id: Id,
    #[serde(borrow, default)]
    result: Option<&'a RawValue>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
}

impl<'a> Item<'a> {
    fn reply(self) -> Reply<'a> {
        match (self.error, self.result) {
            (Some(error), _) => Reply::Error(RpcError::of(error)),
            (None, Some(result)) => Reply::Value(result),
            (None, None) => Reply::Null,
        }
    }
}

/// The id of an answer; `None` when the server lost it.
#[derive(Default)]
pub(crate) struct Id(pub(crate) Option<u64>);

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&RawValue>::deserialize(deserializer).map_err(D::Error::custom)?;
        Ok(Id(raw.get().trim_matches('"').parse().ok()))
    }
}

/// The answers to all calls, opened.
pub(crate) fn replies(bodies: &[Body]) -> Result<Vec<Reply<'_>>, Unread> {
    bodies.iter().map(reply).collect()
}

fn reply(body: &Body) -> Result<Reply<'_>, Unread> {
    match body {
        Body::Alone(bytes) => alone(bytes),
        Body::Value(raw) => Ok(Reply::Value(raw)),
        Body::Null => Ok(Reply::Null),
        Body::Error(error) => Ok(Reply::Error(error.clone())),
    }
}

/// The answer to a request of one call; some servers put it into an array.
pub(crate) fn alone(bytes: &[u8]) -> Result<Reply<'_>, Unread> {
    if first_byte(bytes) != Some(b'[') {
        return Ok(serde_json::from_slice::<Item<'_>>(bytes)?.reply());
    }
    let mut items = bounded::<Item<'_>>(bytes, 2)?;
    match (items.pop(), items.is_empty()) {
        (Some(item), true) => Ok(item.reply()),
        _ => Err(Unread::Malformed("not one answer to one call".to_owned())),
    }
}

/// The answers to a batch of the `count` calls under the ids from `id` on, in the order of the calls whatever the order they came
/// in; `None` for a call without one.
pub(crate) fn batch(bytes: &[u8], id: u64, count: usize) -> Result<Vec<Option<Body>>, Unread> {
    let mut slots: Vec<Option<Body>> = vec![None; count];
    let items = match first_byte(bytes) {
        // One answer too many is kept, so that it is seen; a million of them would fill memory.
        Some(b'[') => bounded::<Item<'_>>(bytes, count + 1)?,
        // An error for all of them, or the answer to one.
        _ => vec![serde_json::from_slice::<Item<'_>>(bytes)?],
    };
    for item in items {
        let slot = item.id.0.and_then(|of| usize::try_from(of.checked_sub(id)?).ok());
        match (slot.and_then(|slot| slots.get_mut(slot)), item.reply()) {
            (Some(slot @ None), Reply::Value(raw)) => *slot = Some(Body::Value(raw.to_owned())),
            (Some(slot @ None), Reply::Null) => *slot = Some(Body::Null),
            (Some(slot @ None), Reply::Error(error)) => *slot = Some(Body::Error(error)),
            (Some(Some(_)), _) => return Err(Unread::Malformed("two answers to one call of a batch".to_owned())),
            (None, Reply::Error(error)) => return Err(Unread::Refused(error)),
            (None, _) => return Err(Unread::Malformed("an answer to no call of the batch".to_owned())),
        }
    }
    Ok(slots)
}

/// The first `most` members of a JSON array; the others are passed over.
fn bounded<'a, T: Deserialize<'a>>(bytes: &'a [u8], most: usize) -> serde_json::Result<Vec<T>> {
    struct Members<T>(usize, std::marker::PhantomData<T>);
    impl<'de, T: Deserialize<'de>> Visitor<'de> for Members<T> {
        type Value = Vec<T>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an array")
        }
        fn visit_seq<A: SeqAccess<'de>>(self, mut members: A) -> Result<Vec<T>, A::Error> {
            let mut kept = Vec::new();
            while kept.len() < self.0 {
                match members.next_element()? {
                    Some(member) => kept.push(member),
                    None => return Ok(kept),
                }
            }
            while members.next_element::<IgnoredAny>()?.is_some() {}
            Ok(kept)
        }
    }
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let members = (&mut json).deserialize_seq(Members(most, std::marker::PhantomData))?;
    json.end()?;
    Ok(members)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn quantities_are_hex_of_at_most_64_bits() {
        assert_eq!(quantity("0x0"), Some(0));
        assert_eq!(quantity("0x00ff"), Some(255));
        assert_eq!(quantity("0xffffffffffffffff"), Some(u64::MAX));
        assert_eq!(quantity("0x"), Some(0));
        for bad in ["", "12", "0x10000000000000000", "0x+1", "0xg", "-0x1"] {
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
    fn of_an_error_only_the_head_is_kept() {
        let long = [
            format!("[{}[]]", "[],".repeat(1_000_000)),
            format!("\"{}\"", "x".repeat(3_000_000)),
            format!("\"{}\"", "\\u00e9".repeat(500_000)),
            format!(
                "{{\"code\":-32005,\"message\":\"{}\",\"data\":[{}1]}}",
                "é".repeat(1_000_000),
                "1,".repeat(1_000_000)
            ),
            format!("{{\"code\":{},\"code\":2}}", "9".repeat(1_000_000)),
        ];
        for error in long {
            let batch = format!("[{{\"id\":7}},{{\"id\":8,\"error\":{error}}}]");
            let bare = format!("{{\"id\":7,\"error\":{error}}}");
            let found = [refusal_in(batch.as_bytes()), refusal_in(bare.as_bytes())];
            for RpcError { message, data, .. } in found.map(Option::unwrap) {
                assert!(message.len() <= ERROR_BYTES && data.len() <= ERROR_BYTES);
            }
            assert!(matches!(single::<Word>(bare.as_bytes()), Err(Unread::Refused(_))));
        }
        let known = refusal_in(br#"{"error":{"code":"-32005","message":"no","data":{"a":1}}}"#).unwrap();
        assert_eq!(
            (known.code, known.message.as_str(), known.data.as_str()),
            (-32005, "no", "{\"a\":1}")
        );
        for odd in [
            "3",
            "null",
            "\"no\"",
            "[]",
            "{}",
            "{\"code\":1.5}",
            "{\"code\":1,\"code\":2}",
        ] {
            drop(refusal_in(format!("{{\"error\":{odd}}}").as_bytes()));
        }
    }

    #[test]
    fn of_a_batch_no_more_answers_are_kept_than_were_asked_for() {
        let endless = format!("[{}{{}}]", "{},".repeat(1_000_000));
        assert_eq!(bounded::<Item<'_>>(endless.as_bytes(), 3).unwrap().len(), 3);
        assert!(bounded::<Item<'_>>(b"[{},{},{}", 2).is_err());
        assert!(batch(endless.as_bytes(), 7, 2).is_err());
    }

    #[test]
    fn batches_are_put_in_order_by_id() {
        let out_of_order = br#"[{"id":8,"result":"0x2"},{"id":"7","result":"0x1"}]"#;
        let bodies: Vec<Body> = batch(out_of_order, 7, 2).unwrap().into_iter().flatten().collect();
        let numbers: Vec<u64> = replies(&bodies)
            .unwrap()
            .iter()
            .map(|reply| reply.read::<Quantity>().unwrap().0)
            .collect();
        assert_eq!(numbers, [1, 2]);
        for bad in [
            r#"[{"id":7,"result":"0x1"},{"id":7,"result":"0x1"}]"#,
            r#"[{"id":7,"result":"0x1"},{"id":9,"result":"0x1"}]"#,
            r#"[{"id":null,"error":{"code":-32600,"message":"batch too large"}}]"#,
            r#"{"id":null,"error":{"code":-32600,"message":"batch too large"}}"#,
            "[",
            "",
        ] {
            assert!(batch(bad.as_bytes(), 7, 2).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_batch_answered_in_part_holds_what_was_answered() {
        for part in [
            r#"[{"id":8,"result":"0x2"}]"#,
            r#"{"id":8,"result":"0x2"}"#,
            r#"[{"id":8,"result":"0x2"},{"id":7,"error":{"code":1}}]"#,
            "[]",
        ] {
            let slots = batch(part.as_bytes(), 7, 2).unwrap();
            assert!(!matches!(slots[0], Some(Body::Value(_))), "{part}");
            assert_eq!(matches!(slots[1], Some(Body::Value(_))), part != "[]", "{part}");
        }
        assert!(replies(&[Body::Alone(br#"[{"id":1,"result":"0x1"}]"#.to_vec())]).is_ok());
        assert!(replies(&[Body::Alone(b"[]".to_vec())]).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            drop(single::<Word>(&bytes));
            drop(refusal_in(&bytes));
            drop(batch(&bytes, 0, 2));
            drop(replies(&[Body::Alone(bytes)]));
        }

        #[test]
        fn any_json_like_text_is_read_without_panic(text in r#"[\[\]{}",:0-9a-fx]{0,60}"#) {
            drop(single::<Quantity>(text.as_bytes()));
            drop(replies(&[Body::Alone(text.clone().into_bytes())]));
            quantity(&text);
        }
    }
}
