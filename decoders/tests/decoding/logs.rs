//! Logs and spans as the tests write them: JSON in, words padded.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use alloy_primitives::{Address, B256, Bytes, U256, hex, keccak256};
use decoders::block::{Answer, Answers, Block, Call, ChainId, Context, Envelope, Envelopes, Log, Proof, Span};
use decoders::fact::Facts;
use decoders::{ROUNDS, decode, may_be_sale, shared_topics, topics, wants};
use serde_json::Value;

/// A span over blocks that hold `logs`, which are in chain order.
pub(crate) fn span(chain: u64, logs: Vec<Log>) -> Span {
    let mut numbers: Vec<u64> = logs.iter().map(|log| log.block_number).collect();
    numbers.dedup();
    let blocks: Vec<Block> = numbers.iter().map(|number| block(*number)).collect();
    let range = numbers.first().copied().unwrap_or(1)..=numbers.last().copied().unwrap_or(1);
    spanning(chain, range, blocks, logs)
}

/// Drops what no endpoint is asked for, so that a decoder cannot come to need it.
pub(crate) fn keep_what_is_asked_for(logs: &mut Vec<Log>) {
    let asked = topics();
    logs.retain(|log| log.topic0().is_some_and(|topic0| asked.binary_search(topic0).is_ok()));
}

/// Drops what is read beside sales alone where there is none, as the pool does, and gives the places of what was dropped.
pub(crate) fn drop_what_stands_beside_nothing(span: &mut Span) -> BTreeSet<(u64, u32)> {
    let (chain, shared) = (span.chain, shared_topics(span.chain));
    let sales = span.logs.iter().filter(|log| may_be_sale(chain, log));
    let sales: BTreeSet<B256> = sales.map(|log| log.tx_hash).collect();
    let is_beside = |log: &mut Log| shared.iter().any(|shared| shared.is_beside(&log.address, &log.topics));
    let dropped = span
        .logs
        .extract_if(.., |log| is_beside(log) && !sales.contains(&log.tx_hash));
    dropped.map(|log| (log.block_number, log.log_index)).collect()
}

/// A span from its parts.
pub(crate) fn spanning(chain: u64, range: RangeInclusive<u64>, blocks: Vec<Block>, logs: Vec<Log>) -> Span {
    Span {
        chain: ChainId(chain),
        range,
        parent_hash: None,
        blocks,
        logs,
        proof: Proof::Chained,
        context: Context::default(),
    }
}

/// What `span` decodes to with these envelopes available.
pub(crate) fn decode_with(span: &Span, envelopes: &Envelopes) -> Facts {
    let mut span = span.clone();
    span.context.envelopes = envelopes.clone();
    decode(&span)
}

/// Answers what decoding `span` asks and `answers` hold, round by round, as the pipeline does; the rest stays unanswered.
pub(crate) fn answer(span: &mut Span, answers: &Answers) {
    for _ in 0..ROUNDS {
        let asked = wants(span).calls.into_iter();
        // What was answered without being an answer is not asked again.
        let round: Vec<(Call, Answer)> = asked
            .filter(|call| !span.context.answers.contains_key(call))
            .filter_map(|call| Some((call.clone(), answers.get(&call)?.clone())))
            .collect();
        if round.is_empty() {
            return;
        }
        span.context.answers.extend(round);
    }
    let asked = wants(span).calls;
    let context = &span.context.answers;
    assert!(
        !asked
            .iter()
            .any(|call| answers.contains_key(call) && !context.contains_key(call)),
        "more rounds of questions than are answered"
    );
}

/// A block whose hash follows from its number.
pub(crate) fn block(number: u64) -> Block {
    Block {
        number,
        hash: keccak256(number.to_be_bytes()),
        time: number * 12,
    }
}

/// A log from JSON: `address`, `topics`, `data`, and where given `log_index` and `tx`.
///
/// A topic or data word may be shorter than 32 bytes (padded on the left) or, for the first topic, an event signature.
/// Data is one string of bytes or a list of words.
pub(crate) fn log(json: &Value, log_index: u32) -> Log {
    let tx_index = json["tx"].as_u64().map_or(0, |tx| u32::try_from(tx).unwrap());
    Log {
        block_number: json["block"].as_u64().unwrap_or(1),
        log_index: json["log_index"]
            .as_u64()
            .map_or(log_index, |index| u32::try_from(index).unwrap()),
        tx_index,
        tx_hash: B256::from(U256::from(tx_index + 1)),
        address: text(&json["address"]).parse().unwrap(),
        topics: json["topics"]
            .as_array()
            .unwrap()
            .iter()
            .map(|topic| word(text(topic)))
            .collect(),
        data: data(&json["data"]),
    }
}

/// Sender, called contract and calldata from JSON: `from`, `to`, and where given `value` and `input`.
pub(crate) fn envelope(json: &Value) -> Envelope {
    let value = json["value"].as_str().unwrap_or("0x0");
    Envelope {
        from: address(&json["from"]),
        to: json["to"].as_str().map(|to| to.parse().unwrap()),
        value: value.parse().unwrap(),
        input: data(&json["input"]),
    }
}

/// What contracts answer, from JSON: a list of `to`, `call` (a signature), and where given `arguments` (words), `at` (a height) and
/// `returns` (words or bytes); without `returns` the contract refuses.
pub(crate) fn answers(json: &Value) -> Answers {
    let listed = json.as_array().into_iter().flatten();
    listed
        .map(|item| {
            let arguments = item["arguments"].as_array().into_iter().flatten();
            let arguments: Vec<B256> = arguments.map(|argument| word(text(argument))).collect();
            let selector = *keccak256(text(&item["call"])).first_chunk().unwrap();
            let call = Call {
                at: item["at"].as_u64(),
                ..Call::of(address(&item["to"]), selector, &arguments)
            };
            let answer = if item["returns"].is_null() {
                Answer::Reverted
            } else {
                Answer::Returned(data(&item["returns"]))
            };
            (call, answer)
        })
        .collect()
}

/// A JSON string.
pub(crate) fn text(json: &Value) -> &str {
    json.as_str().unwrap_or_else(|| panic!("a string, not {json}"))
}

/// A decimal number in a JSON string.
pub(crate) fn number(json: &Value) -> U256 {
    U256::from_str_radix(text(json), 10).unwrap()
}

/// An address in a JSON string.
pub(crate) fn address(json: &Value) -> Address {
    text(json).parse().unwrap()
}

/// A word as cases write it: digits, padded on the left, or the signature it is the hash of.
pub(crate) fn word(text: &str) -> B256 {
    match text.strip_prefix("0x") {
        Some(digits) => B256::from(U256::from_str_radix(digits, 16).unwrap()),
        None => keccak256(text),
    }
}

fn data(json: &Value) -> Bytes {
    match json {
        Value::Array(words) => words.iter().flat_map(|item| word(text(item)).0).collect(),
        Value::String(bytes) => hex::decode(bytes).unwrap().into(),
        _ => Bytes::new(),
    }
}
