//! Events of contracts whose ABI is data: from ABI JSON to a table of events, from a log to names and values.
//!
//! The rules are those of the decoding specification, section 0.2: bounds are strict, longer data and dirty words are accepted
//! with a warning, offsets may overlap or point backwards as long as they stay inside. What comes out is bounded by what the log
//! holds, whatever the ABI states, so neither a hostile ABI nor a hostile log costs more than its own length.

use std::fmt;

use alloy_primitives::{B256, I256, U256, hex, keccak256};
use rustc_hash::FxHashMap;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use crate::block::Log;
use crate::fact::reason;
use crate::log_reader::{DecodeError, Word, uint};

const WORD: usize = 32;
/// Events one ABI may have; the largest known has some two hundred.
const MOST_EVENTS: usize = 2_000;
/// Parameters of one event, those inside tuples included.
const MOST_PARAMETERS: usize = 256;
/// Tuples and arrays inside each other.
const DEEPEST: usize = 12;
/// Words of one static value: no array of a fixed length comes near.
const WIDEST: usize = 1 << 14;
/// Bytes of a log's data; what is longer would not fit an archived document in three forms.
const LONGEST_DATA: usize = 1 << 20;
/// How often overlapping offsets may decode the same bytes.
const OVERLAPS: usize = 4;

/// Why ABI JSON cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AbiError {
    /// Not a list of ABI entries.
    #[error("not an ABI: {0}")]
    Malformed(String),
    /// It describes no event.
    #[error("no event in it, so it decodes no log")]
    NoEvents,
    /// It describes anonymous events only.
    #[error("only anonymous events in it, which carry no signature to be recognized by and are not supported")]
    OnlyAnonymous,
    /// It describes more than any contract has.
    #[error("{0} events are too many, allowed are {MOST_EVENTS}")]
    TooMany(usize),
    /// One event cannot be decoded.
    #[error("event {event}: {cause}")]
    Event {
        /// Its name.
        event: String,
        /// What is wrong with it.
        cause: String,
    },
}

/// What a log decodes to by an ABI.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// The event with its signature, such as `Staked(address,uint256)`.
    pub event_type: String,
    /// Its parameters by name, by position where they have none: numbers as decimal text, bytes and addresses as `0x` text, a
    /// parameter of which the log holds only the hash as an object with the hash under `keccak256`.
    pub event_data: Value,
    /// What was odd about the log, if anything.
    pub warning: Option<&'static str>,
}

/// The events of one ABI.
#[derive(Clone, Debug)]
pub struct Abi {
    /// By signature hash, then by number of topics: the same signature with other indexed parameters is laid out otherwise.
    events: FxHashMap<B256, Vec<Event>>,
}

#[derive(Clone, Debug)]
struct Event {
    signature: String,
    topics: usize,
    parameters: Vec<Parameter>,
}

#[derive(Clone, Debug)]
struct Parameter {
    indexed: bool,
    field: Field,
}

#[derive(Clone, Debug)]
struct Field {
    name: String,
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    Address,
    Uint(usize),
    Int(usize),
    /// A number with so many digits after the point, `int` and `uint` of as many bits otherwise.
    Fixed(usize, usize),
    Ufixed(usize, usize),
    Bool,
    FixedBytes(usize),
    /// An address and a selector.
    Function,
    Bytes,
    String,
    Array(Box<Kind>),
    FixedArray(Box<Kind>, usize),
    Tuple(Vec<Field>),
}

#[derive(Deserialize)]
struct Entry {
    #[serde(default, rename = "type")]
    kind: String,
    #[serde(default, deserialize_with = "or_default")]
    name: String,
    /// Older and hand-written files leave it out.
    #[serde(default, deserialize_with = "or_default")]
    anonymous: bool,
    #[serde(default, deserialize_with = "or_default")]
    inputs: Vec<Input>,
}

#[derive(Deserialize)]
struct Input {
    #[serde(default, deserialize_with = "or_default")]
    name: String,
    #[serde(rename = "type")]
    kind: String,
    #[serde(default, deserialize_with = "or_default")]
    indexed: bool,
    #[serde(default, deserialize_with = "or_default")]
    components: Vec<Input>,
}

/// `null` for what is absent.
fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

impl Abi {
    /// Reads a list of ABI entries; what is not an event is passed over.
    ///
    /// # Errors
    /// What makes it unusable. An ABI is used whole or not at all.
    pub fn parse(json: &Value) -> Result<Self, AbiError> {
        let malformed = |error: serde_json::Error| AbiError::Malformed(error.to_string());
        let entries = Vec::<Value>::deserialize(json).map_err(malformed)?;
        let is_event = |entry: &&Value| entry.get("type").is_some_and(|kind| kind == "event");
        let all = entries.iter().filter(is_event).count();
        // Counted before any is read: an ABI comes from outside and may be of any size.
        if all > MOST_EVENTS {
            return Err(AbiError::TooMany(all));
        }
        let mut events: FxHashMap<B256, Vec<Event>> = FxHashMap::default();
        for entry in entries.iter().filter(is_event) {
            let entry = Entry::deserialize(entry).map_err(malformed)?;
            debug_assert_eq!(entry.kind, "event");
            // It has no signature in its topics by which a log could be distinguished from others.
            if entry.anonymous {
                continue;
            }
            let event = Event::of(&entry).map_err(|cause| AbiError::Event {
                event: entry.name.chars().take(64).collect(),
                cause,
            })?;
            let same = events.entry(keccak256(&event.signature)).or_default();
            // One signature may be indexed in several ways, which differ in the number of topics; of two with one number the
            // first counts.
            if same.iter().all(|other| other.topics != event.topics) {
                same.push(event);
            }
        }
        match (events.is_empty(), all) {
            (true, 0) => Err(AbiError::NoEvents),
            (true, _) => Err(AbiError::OnlyAnonymous),
            (false, _) => Ok(Abi { events }),
        }
    }

    /// Whether it has an event with this signature hash.
    pub fn knows(&self, topic0: &B256) -> bool {
        self.events.contains_key(topic0)
    }

    /// What `log` decodes to.
    ///
    /// # Errors
    /// Refuses a log of an event the ABI does not have, or one that is not laid out as the event is.
    pub fn read(&self, log: &Log) -> Result<Reading, DecodeError> {
        let topic0 = log.topic0().ok_or(DecodeError(reason::EVENT_UNKNOWN))?;
        let same = self.events.get(topic0).ok_or(DecodeError(reason::EVENT_UNKNOWN))?;
        let event = same.iter().find(|event| event.topics == log.topics.len());
        event.ok_or(DecodeError(reason::TOPIC_COUNT))?.read(log)
    }
}

impl Event {
    fn of(entry: &Entry) -> Result<Self, String> {
        if !is_identifier(&entry.name) {
            return Err("its name is no identifier".to_owned());
        }
        let mut left = MOST_PARAMETERS;
        let mut parameters = Vec::with_capacity(entry.inputs.len().min(MOST_PARAMETERS));
        for input in &entry.inputs {
            parameters.push(Parameter {
                indexed: input.indexed,
                field: Field::of(input, 0, &mut left)?,
            });
        }
        let topics = 1 + parameters.iter().filter(|parameter| parameter.indexed).count();
        // The machine has no more than four topics, of which the first is the signature.
        if topics > 4 {
            return Err("more than three indexed parameters".to_owned());
        }
        let plain: Vec<&Kind> = parameters
            .iter()
            .filter(|one| !one.indexed)
            .map(|one| &one.field.kind)
            .collect();
        if width(plain.into_iter()).is_none() {
            return Err("its parameters are wider than any log".to_owned());
        }
        let kinds: Vec<String> = parameters.iter().map(|one| one.field.kind.to_string()).collect();
        Ok(Event {
            signature: format!("{}({})", entry.name, kinds.join(",")),
            topics,
            parameters,
        })
    }

    fn read(&self, log: &Log) -> Result<Reading, DecodeError> {
        if log.data.len() > LONGEST_DATA {
            return Err(DecodeError(reason::TOO_LARGE));
        }
        let mut data = Data::of(&log.data);
        let mut topics = log.topics.iter().skip(1);
        let mut values = Map::new();
        let mut at = 0;
        for (place, parameter) in self.parameters.iter().enumerate() {
            let value = if parameter.indexed {
                // The event was chosen by its number of topics.
                let topic = topics.next().ok_or(DecodeError(reason::TOPIC_COUNT))?;
                data.topic(&parameter.field.kind, topic)
            } else {
                let value = data.value(&parameter.field.kind, 0, at)?;
                at += WORD * parameter.field.kind.head();
                value
            };
            // Fields without a name are filed under their place, so that none replaces another.
            put(&mut values, &parameter.field.name, place, value);
        }
        Ok(Reading {
            event_type: self.signature.clone(),
            event_data: Value::Object(values),
            warning: data.warning(at),
        })
    }
}

/// Adds a value under its name, or under its position where it has no name of its own.
fn put(values: &mut Map<String, Value>, name: &str, place: usize, value: Value) {
    let key = if name.is_empty() || values.contains_key(name) {
        place.to_string()
    } else {
        name.to_owned()
    };
    values.insert(key, value);
}

/// Letters, digits, `_` and `$` inside, as in Solidity: what any store takes as a key.
fn is_identifier(name: &str) -> bool {
    let inner = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'$';
    name.len() <= 128
        && name.bytes().all(inner)
        && name
            .bytes()
            .next()
            .is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
}

impl Field {
    fn of(input: &Input, depth: usize, left: &mut usize) -> Result<Self, String> {
        *left = left.checked_sub(1).ok_or("too many parameters")?;
        if depth > DEEPEST {
            return Err("tuples and arrays too deep inside each other".to_owned());
        }
        let (base, arrays) = match input.kind.find('[') {
            Some(at) => input.kind.split_at(at),
            None => (input.kind.as_str(), ""),
        };
        let mut kind = if base == "tuple" {
            let fields: Result<Vec<Field>, String> = input
                .components
                .iter()
                .map(|inner| Field::of(inner, depth + 1, left))
                .collect();
            Kind::Tuple(fields?)
        } else {
            Kind::of(base).ok_or_else(|| unknown(&input.kind))?
        };
        let mut rest = arrays;
        let mut nested = depth;
        while !rest.is_empty() {
            nested += 1;
            if nested > DEEPEST {
                return Err("tuples and arrays too deep inside each other".to_owned());
            }
            let (length, after) = rest
                .strip_prefix('[')
                .and_then(|rest| rest.split_once(']'))
                .ok_or_else(|| unknown(&input.kind))?;
            kind = match length {
                "" => Kind::Array(Box::new(kind)),
                digits => {
                    let is_number = !digits.starts_with('0') && digits.bytes().all(|b| b.is_ascii_digit());
                    let length = digits.parse().ok().filter(|length| is_number && *length <= WIDEST);
                    Kind::FixedArray(Box::new(kind), length.ok_or_else(|| unknown(&input.kind))?)
                }
            };
            rest = after;
        }
        if kind.static_words().is_some_and(|words| words > WIDEST) {
            return Err(format!("a value of type {kind} is wider than any log"));
        }
        let name = if is_identifier(&input.name) {
            input.name.clone()
        } else {
            String::new()
        };
        Ok(Field { name, kind })
    }
}

fn unknown(kind: &str) -> String {
    format!("{:?} is no type", kind.chars().take(64).collect::<String>())
}

impl Kind {
    /// The elementary type of this name.
    fn of(name: &str) -> Option<Self> {
        let size = |digits: &str| digits.parse::<usize>().ok().filter(|_| !digits.starts_with('0'));
        let bits = |digits: &str| match digits {
            "" => Some(256),
            digits => size(digits).filter(|bits| bits % 8 == 0 && (8..=256).contains(bits)),
        };
        let fixed = |digits: &str| match digits.split_once('x') {
            None => digits.is_empty().then_some((128, 18)),
            Some((width, places)) => Some((
                bits(width).filter(|_| !width.is_empty())?,
                size(places).filter(|places| *places <= 80)?,
            )),
        };
        match name {
            "address" => Some(Kind::Address),
            "bool" => Some(Kind::Bool),
            "bytes" => Some(Kind::Bytes),
            "string" => Some(Kind::String),
            "function" => Some(Kind::Function),
            _ => {
                if let Some(digits) = name.strip_prefix("uint") {
                    bits(digits).map(Kind::Uint)
                } else if let Some(digits) = name.strip_prefix("int") {
                    bits(digits).map(Kind::Int)
                } else if let Some(digits) = name.strip_prefix("ufixed") {
                    fixed(digits).map(|(bits, places)| Kind::Ufixed(bits, places))
                } else if let Some(digits) = name.strip_prefix("fixed") {
                    fixed(digits).map(|(bits, places)| Kind::Fixed(bits, places))
                } else {
                    let length = size(name.strip_prefix("bytes")?).filter(|length| *length <= WORD);
                    length.map(Kind::FixedBytes)
                }
            }
        }
    }

    /// Words of the value where it stands, when its length does not depend on the data; saturating, so never too small.
    fn static_words(&self) -> Option<usize> {
        match self {
            Kind::Bytes | Kind::String | Kind::Array(_) => None,
            Kind::FixedArray(inner, length) => inner.static_words().map(|words| words.saturating_mul(*length)),
            Kind::Tuple(fields) => fields.iter().try_fold(0_usize, |sum, field| {
                Some(sum.saturating_add(field.kind.static_words()?))
            }),
            _ => Some(1),
        }
    }

    /// Words in the head of what holds the value: all of it, or one for where it is.
    fn head(&self) -> usize {
        self.static_words().unwrap_or(1)
    }

    /// Whether a topic holds the value itself and not its hash.
    fn fits_topic(&self) -> bool {
        !matches!(
            self,
            Kind::Bytes | Kind::String | Kind::Array(_) | Kind::FixedArray(..) | Kind::Tuple(_)
        )
    }
}

/// Words of the heads of `kinds` together; `None` when no log has as many.
fn width<'a>(mut kinds: impl Iterator<Item = &'a Kind>) -> Option<usize> {
    let words = kinds.try_fold(0_usize, |sum, kind| sum.checked_add(kind.head()))?;
    (words <= WIDEST).then_some(words)
}

/// The canonical name, as it stands in signatures.
impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Kind::Address => f.write_str("address"),
            Kind::Uint(bits) => write!(f, "uint{bits}"),
            Kind::Int(bits) => write!(f, "int{bits}"),
            Kind::Fixed(bits, places) => write!(f, "fixed{bits}x{places}"),
            Kind::Ufixed(bits, places) => write!(f, "ufixed{bits}x{places}"),
            Kind::Bool => f.write_str("bool"),
            Kind::Function => f.write_str("function"),
            Kind::FixedBytes(length) => write!(f, "bytes{length}"),
            Kind::Bytes => f.write_str("bytes"),
            Kind::String => f.write_str("string"),
            Kind::Array(inner) => write!(f, "{inner}[]"),
            Kind::FixedArray(inner, length) => write!(f, "{inner}[{length}]"),
            Kind::Tuple(fields) => {
                f.write_str("(")?;
                for (place, field) in fields.iter().enumerate() {
                    let comma = if place == 0 { "" } else { "," };
                    write!(f, "{comma}{}", field.kind)?;
                }
                f.write_str(")")
            }
        }
    }
}

/// A log's data while its values are read.
struct Data<'a> {
    bytes: &'a [u8],
    /// End of the furthest bytes some value needed.
    needed: usize,
    /// What may still be decoded: bounds the values that overlapping offsets make of few bytes.
    left: usize,
    warning: Option<&'static str>,
}

impl<'a> Data<'a> {
    fn of(bytes: &'a [u8]) -> Self {
        Data {
            bytes,
            needed: 0,
            left: OVERLAPS * bytes.len(),
            warning: None,
        }
    }

    /// What was odd; asked last, because data beyond the heads and all that was read counts.
    fn warning(self, heads: usize) -> Option<&'static str> {
        let needed = self.needed.max(heads);
        self.warning
            .or((self.bytes.len() > needed).then_some(reason::TRAILING_DATA))
    }

    /// The value in a topic.
    fn topic(&mut self, kind: &Kind, topic: &B256) -> Value {
        if kind.fits_topic() {
            return self.word_value(kind, &topic.0);
        }
        let mut hash = Map::new();
        hash.insert("keccak256".to_owned(), Value::String(topic.to_string()));
        Value::Object(hash)
    }

    /// The value whose head stands at `at` in the tuple that starts at `base`.
    fn value(&mut self, kind: &Kind, base: usize, at: usize) -> Result<Value, DecodeError> {
        if kind.static_words().is_some() {
            return self.value_at(kind, at);
        }
        let offset = length(&self.word(at)?).and_then(|offset| base.checked_add(offset));
        self.value_at(kind, offset.ok_or(DecodeError(reason::DATA_TOO_SHORT))?)
    }

    /// The value that stands at `at` itself.
    fn value_at(&mut self, kind: &Kind, at: usize) -> Result<Value, DecodeError> {
        match kind {
            Kind::Bytes => Ok(Value::String(hex::encode_prefixed(self.byte_string(at)?))),
            Kind::String => self.byte_string(at).map(text),
            Kind::Array(inner) => {
                self.spend(WORD)?;
                let count = length(&self.word(at)?).ok_or(DecodeError(reason::DATA_TOO_SHORT))?;
                self.elements(inner, count, at + WORD)
            }
            Kind::FixedArray(inner, count) => self.elements(inner, *count, at),
            Kind::Tuple(fields) => {
                let mut values = Map::new();
                // Offsets inside a tuple count from its own start.
                let mut head = at;
                for (place, field) in fields.iter().enumerate() {
                    let value = self.value(&field.kind, at, head)?;
                    put(&mut values, &field.name, place, value);
                    head += WORD * field.kind.head();
                }
                Ok(Value::Object(values))
            }
            word => {
                self.spend(WORD)?;
                let value = self.word(at)?;
                Ok(self.word_value(word, &value))
            }
        }
    }

    fn elements(&mut self, inner: &Kind, count: usize, start: usize) -> Result<Value, DecodeError> {
        // Elements of no width at all still cost what they decode to.
        let step = WORD * inner.head();
        let heads = count
            .checked_mul(step.max(1))
            .ok_or(DecodeError(reason::DATA_TOO_SHORT))?;
        // Checked before anything is decoded: the claimed number of elements reserves no memory.
        if heads > self.bytes.len().saturating_sub(start) {
            return Err(DecodeError(reason::DATA_TOO_SHORT));
        }
        let mut values = Vec::new();
        for place in 0..count {
            self.spend(if step == 0 { WORD } else { 0 })?;
            values.push(self.value(inner, start, start + place * step)?);
        }
        Ok(Value::Array(values))
    }

    /// A `bytes` or `string`; its padding may be missing.
    fn byte_string(&mut self, at: usize) -> Result<&'a [u8], DecodeError> {
        let too_short = DecodeError(reason::DATA_TOO_SHORT);
        let size = length(&self.word(at)?).ok_or(too_short)?;
        let start = at + WORD;
        let end = start.checked_add(size).ok_or(too_short)?;
        let bytes = self.bytes.get(start..end).ok_or(too_short)?;
        // Offsets may overlap, so each value is charged for its bytes again: what a log can grow to stays bounded.
        self.spend(WORD + size)?;
        self.needed = self.needed.max(start + size.next_multiple_of(WORD));
        Ok(bytes)
    }

    fn word(&mut self, at: usize) -> Result<Word, DecodeError> {
        let word = self.bytes.get(at..).and_then(|rest| rest.first_chunk::<WORD>());
        let word = *word.ok_or(DecodeError(reason::DATA_TOO_SHORT))?;
        self.needed = self.needed.max(at + WORD);
        Ok(word)
    }

    fn spend(&mut self, bytes: usize) -> Result<(), DecodeError> {
        self.left = self.left.checked_sub(bytes).ok_or(DecodeError(reason::TOO_LARGE))?;
        Ok(())
    }

    fn word_value(&mut self, kind: &Kind, word: &Word) -> Value {
        match kind {
            Kind::Address => {
                if word[..12].iter().any(|byte| *byte != 0) {
                    self.warning.get_or_insert(reason::DIRTY_ADDRESS);
                }
                Value::String(hex::encode_prefixed(&word[12..]))
            }
            Kind::Bool => {
                let number = uint(word);
                self.warn_if(number > U256::ONE);
                Value::Bool(!number.is_zero())
            }
            Kind::Int(bits) => Value::String(self.signed(*bits, word)),
            Kind::Uint(bits) => Value::String(self.unsigned(*bits, word)),
            Kind::Fixed(bits, places) => Value::String(pointed(&self.signed(*bits, word), *places)),
            Kind::Ufixed(bits, places) => Value::String(pointed(&self.unsigned(*bits, word), *places)),
            Kind::FixedBytes(length) => self.left_aligned(*length, word),
            Kind::Function => self.left_aligned(24, word),
            // Values that do not fit a word are read elsewhere; the word itself is recorded rather than nothing.
            _ => Value::String(hex::encode_prefixed(word)),
        }
    }

    fn signed(&mut self, bits: usize, word: &Word) -> String {
        let number = I256::from_be_bytes(*word);
        // The bits above the sign all repeat it.
        let above = number.asr(bits - 1);
        self.warn_if(above != I256::ZERO && above != I256::MINUS_ONE);
        number.to_string()
    }

    fn unsigned(&mut self, bits: usize, word: &Word) -> String {
        let number = uint(word);
        self.warn_if(number.bit_len() > bits);
        number.to_string()
    }

    fn left_aligned(&mut self, length: usize, word: &Word) -> Value {
        let (bytes, padding) = word.split_at(length);
        self.warn_if(padding.iter().any(|byte| *byte != 0));
        Value::String(hex::encode_prefixed(bytes))
    }

    fn warn_if(&mut self, odd: bool) {
        if odd {
            self.warning.get_or_insert(reason::DIRTY_VALUE);
        }
    }
}

/// The decimal `number` with its last `places` digits after a point.
fn pointed(number: &str, places: usize) -> String {
    let (sign, digits) = number.strip_prefix('-').map_or(("", number), |digits| ("-", digits));
    let padded = format!("{digits:0>width$}", width = places + 1);
    let (whole, part) = padded.split_at(padded.len() - places);
    format!("{sign}{whole}.{part}")
}

/// Text as text; what is not UTF-8, or no store takes, as what can be shown of it beside its bytes.
fn text(bytes: &[u8]) -> Value {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.contains('\0') => Value::String(text.to_owned()),
        _ => {
            let shown = String::from_utf8_lossy(bytes).replace('\0', "\u{fffd}");
            let mut both = Map::new();
            both.insert("text".to_owned(), Value::String(shown));
            both.insert("bytes".to_owned(), Value::String(hex::encode_prefixed(bytes)));
            Value::Object(both)
        }
    }
}

/// `word` as an offset or a length; `None` when no log could be that long.
fn length(word: &Word) -> Option<usize> {
    let number = uint(word);
    (number.bit_len() <= 32).then(|| number.saturating_to())
}

#[cfg(test)]
mod tests {
    use alloy_primitives::{Address, Bytes, address};
    use alloy_sol_types::{SolEvent, sol};
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    sol! {
        struct Lock { uint64 until; string note; }
        event Staked(address indexed who, uint256 amount);
        event Mixed(string indexed tag, int64 change, bool on, bytes4 kind, bytes raw, Lock[] locks, uint8[2][] pairs, string);
    }

    const STAKED: &str = r#"[{"type":"event","name":"Staked","inputs":[
        {"name":"who","type":"address","indexed":true},{"name":"amount","type":"uint256","indexed":false}]}]"#;

    fn abi(text: &str) -> Result<Abi, AbiError> {
        Abi::parse(&serde_json::from_str(text).unwrap())
    }

    fn log(topics: &[B256], data: Vec<u8>) -> Log {
        Log {
            block_number: 1,
            log_index: 0,
            tx_index: 0,
            tx_hash: B256::ZERO,
            address: Address::ZERO,
            topics: topics.iter().copied().collect(),
            data: Bytes::from(data),
        }
    }

    fn encoded(event: &impl SolEvent) -> Log {
        let data = event.encode_log_data();
        log(data.topics(), data.data.to_vec())
    }

    fn mixed() -> Abi {
        let input = |name: &str, kind: &str| json!({ "name": name, "type": kind, "indexed": false });
        let lock = json!([input("until", "uint64"), input("note", "string")]);
        Abi::parse(
            &json!([{ "type": "event", "name": "Mixed", "anonymous": false, "inputs": [
                { "name": "tag", "type": "string", "indexed": true }, input("change", "int64"), input("on", "bool"),
                input("kind", "bytes4"), input("raw", "bytes"),
                { "name": "locks", "type": "tuple[]", "indexed": false, "components": lock },
                input("pairs", "uint8[2][]"), input("", "string"),
            ]}]),
        )
        .unwrap()
    }

    fn mixed_log() -> Log {
        encoded(&Mixed {
            tag: keccak256("x"),
            change: -5,
            on: true,
            kind: [1, 2, 3, 4].into(),
            raw: Bytes::from_static(&[9, 8]),
            locks: vec![
                Lock {
                    until: 7,
                    note: "a".to_owned(),
                },
                Lock {
                    until: u64::MAX,
                    note: String::new(),
                },
            ],
            pairs: vec![[1, 2], [3, 4]],
            _7: "é".to_owned(),
        })
    }

    #[test]
    fn an_event_is_told_by_name_and_value() {
        let who = address!("00000000000000000000000000000000000000AA");
        let event = abi(STAKED)
            .unwrap()
            .read(&encoded(&Staked { who, amount: U256::MAX }))
            .unwrap();
        assert_eq!(event.event_type, "Staked(address,uint256)");
        assert_eq!(
            event.event_data,
            json!({ "who": "0x00000000000000000000000000000000000000aa", "amount": U256::MAX.to_string() })
        );
        assert_eq!(event.warning, None);
    }

    #[test]
    fn nested_and_unnamed_values_are_told_as_the_encoder_meant_them() {
        let event = mixed().read(&mixed_log()).unwrap();
        assert_eq!(
            event.event_type,
            "Mixed(string,int64,bool,bytes4,bytes,(uint64,string)[],uint8[2][],string)"
        );
        assert_eq!(keccak256(&event.event_type), Mixed::SIGNATURE_HASH);
        assert_eq!(
            event.event_data,
            json!({
                "tag": { "keccak256": keccak256("x").to_string() }, "change": "-5", "on": true, "kind": "0x01020304",
                "raw": "0x0908", "pairs": [["1", "2"], ["3", "4"]], "7": "é",
                "locks": [{ "until": "7", "note": "a" }, { "until": u64::MAX.to_string(), "note": "" }],
            })
        );
        assert_eq!(event.warning, None);
    }

    #[test]
    fn functions_and_fractions_have_names_and_values_of_their_own() {
        let inputs = ["function", "fixed", "ufixed16x2", "fixed168x10"].map(|kind| json!({ "type": kind }));
        let abi = Abi::parse(&json!([{ "type": "event", "name": "E", "inputs": inputs }])).unwrap();
        // The compiler writes the names of these types as they are.
        let signature = "E(function,fixed128x18,ufixed16x2,fixed168x10)";
        let mut function = [0; 32];
        function[..24].fill(7);
        let words = [
            function,
            I256::try_from(-5).unwrap().to_be_bytes(),
            U256::from(12345).to_be_bytes(),
            I256::try_from(-12_345_678_900_i64).unwrap().to_be_bytes(),
        ];
        let event = abi.read(&log(&[keccak256(signature)], words.concat())).unwrap();
        assert_eq!(event.event_type, signature);
        assert_eq!(
            event.event_data,
            json!({ "0": format!("0x{}", "07".repeat(24)), "1": "-0.000000000000000005", "2": "123.45", "3": "-1.2345678900" })
        );
        assert_eq!(event.warning, None);
    }

    #[test]
    fn what_is_odd_is_told_with_a_doubt_and_what_is_short_is_refused() {
        let abi = abi(STAKED).unwrap();
        let topics = [Staked::SIGNATURE_HASH, B256::repeat_byte(0xff)];
        let event = abi.read(&log(&topics, vec![0; 32])).unwrap();
        assert_eq!(
            (event.warning, &event.event_data["who"]),
            (Some(reason::DIRTY_ADDRESS), &json!(format!("0x{}", "ff".repeat(20))))
        );
        let topics = [Staked::SIGNATURE_HASH, B256::ZERO];
        assert_eq!(
            abi.read(&log(&topics, vec![0; 64])).unwrap().warning,
            Some(reason::TRAILING_DATA)
        );
        assert_eq!(
            abi.read(&log(&topics, vec![0; 31])),
            Err(DecodeError(reason::DATA_TOO_SHORT))
        );
        assert_eq!(
            abi.read(&log(&topics[..1], vec![0; 64])),
            Err(DecodeError(reason::TOPIC_COUNT))
        );
        assert_eq!(
            abi.read(&log(&[B256::ZERO], vec![])),
            Err(DecodeError(reason::EVENT_UNKNOWN))
        );
        assert_eq!(abi.read(&log(&[], vec![])), Err(DecodeError(reason::EVENT_UNKNOWN)));
        let broken = "[{\"type\":\"event\",\"name\":\"S\",\"inputs\":[{\"name\":\"s\",\"type\":\"string\"}]}]";
        let broken = self::abi(broken).unwrap();
        let mut data = [U256::from(32), U256::from(2)]
            .map(|word| word.to_be_bytes::<32>())
            .concat();
        data.extend([0xff, 0]);
        let event = broken.read(&log(&[keccak256("S(string)")], data)).unwrap();
        assert_eq!(
            event.event_data,
            json!({ "s": { "text": "\u{fffd}\u{fffd}", "bytes": "0xff00" } })
        );
    }

    #[test]
    fn an_abi_that_cannot_be_used_says_why() {
        let event = |inputs: Value| json!([{ "type": "event", "name": "E", "inputs": inputs }]).to_string();
        let of = |kind: &str| event(json!([{ "name": "a", "type": kind }]));
        let mut deep = json!({ "name": "a", "type": "uint8" });
        for _ in 0..20 {
            deep = json!({ "name": "a", "type": "tuple", "components": [deep] });
        }
        let many: Vec<Value> = (0..300).map(|_| json!({ "type": "uint8" })).collect();
        let indexed = json!({ "type": "uint8", "indexed": true });
        for (text, cause) in [
            ("[]".to_owned(), "no event"),
            ("3".to_owned(), "not an ABI"),
            (
                r#"[{"type":"event","name":"E","anonymous":true}]"#.to_owned(),
                "only anonymous",
            ),
            (
                r#"[{"type":"event","name":"E$.","inputs":[]}]"#.to_owned(),
                "identifier",
            ),
            (of("uint7"), "no type"),
            (of("uint264"), "no type"),
            (of("bytes33"), "no type"),
            (of("fixed8"), "no type"),
            (of("fixedx1"), "no type"),
            (of("ufixed8x81"), "no type"),
            (of("uint8["), "no type"),
            (of("uint8[0]"), "no type"),
            (of("uint8[99999999999999999999]"), "no type"),
            (of("uint8[9999][9999]"), "wider"),
            (of(&format!("uint8{}", "[]".repeat(40))), "too deep"),
            (event(json!([deep])), "too deep"),
            (event(json!(many)), "too many parameters"),
            (event(json!([indexed, indexed, indexed, indexed])), "three indexed"),
        ] {
            let error = abi(&text).unwrap_err().to_string();
            assert!(error.contains(cause), "{text} gave {error}");
        }
    }

    #[test]
    fn offsets_that_make_much_of_little_are_refused() {
        let input = json!([{ "name": "a", "type": "uint8[][][]" }]);
        let abi = Abi::parse(&json!([{ "type": "event", "name": "E", "inputs": input }])).unwrap();
        // An array of a hundred times the same array of a hundred times the same array of a hundred words.
        let mut words = vec![U256::from(32)];
        for offset in [100 * 32, 100 * 32, 0] {
            words.push(U256::from(100));
            words.extend((0..100).map(|_| U256::from(offset)));
        }
        let data: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes::<32>()).collect();
        let refused = abi.read(&log(&[keccak256("E(uint8[][][])")], data));
        assert_eq!(refused, Err(DecodeError(reason::TOO_LARGE)));
        let empty = json!([{ "name": "a", "type": "tuple[]", "components": [] }]);
        let abi = Abi::parse(&json!([{ "type": "event", "name": "E", "inputs": empty }])).unwrap();
        for count in [U256::from(u32::MAX), U256::MAX] {
            let data = [U256::from(32), count].map(|word| word.to_be_bytes::<32>()).concat();
            assert!(abi.read(&log(&[keccak256("E(()[])")], data)).is_err());
        }
    }

    proptest! {
        #[test]
        fn a_damaged_log_is_refused_or_told_and_bounded(at in 0_usize..1024, byte: u8, cut in 0_usize..1024) {
            let mut damaged = mixed_log();
            let mut data = damaged.data.to_vec();
            let place = at % data.len();
            data[place] = byte;
            data.truncate(cut.max(1));
            let bound = 64 * data.len() + 4096;
            damaged.data = data.into();
            if let Ok(event) = mixed().read(&damaged) {
                prop_assert!(event.event_data.to_string().len() < bound);
            }
        }

        #[test]
        fn any_text_as_a_type_is_refused_or_read(kind in "[a-z0-9\\[\\]]{0,24}", data in proptest::collection::vec(any::<u8>(), 0..256)) {
            let input = json!([{ "name": "a", "type": kind }]);
            if let Ok(abi) = Abi::parse(&json!([{ "type": "event", "name": "E", "inputs": input }])) {
                let topic0 = *abi.events.keys().next().unwrap();
                drop(abi.read(&log(&[topic0], data)));
            }
        }
    }
}
