//! Every decoder against its own cases, damaged: words replaced, data cut, logs dropped, repeated and put elsewhere, contracts lying.
//!
//! Anything may come out, but never a panic, and what comes out keeps the laws. `FUZZ_CASES` sets how often each decoder is tried
//! (300 by default): `FUZZ_CASES=1000000 cargo nextest run -p decoders damaged` is a night's run.

use std::fs;
use std::path::Path;

use alloy_primitives::{Address, B256, Bytes, U256};
use decoders::block::{Answer, Answers, Envelope, Envelopes, Log};
use decoders::pass::decode;
use decoders::protocols::DECODERS;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use serde_json::Value;

use crate::laws::{answer, word};
use crate::logs::{self, decode_with};
use crate::sound::{assert_adds_up, assert_in_chain_order, assert_orders_are_sound, assert_refused_logs_say_nothing};

/// One blow: which log, how, where in its data or topics, and with what.
#[derive(Clone, Debug)]
struct Damage {
    log: prop::sample::Index,
    kind: u8,
    place: prop::sample::Index,
    word: B256,
}

fn damage() -> impl Strategy<Value = Damage> {
    let at = || any::<prop::sample::Index>();
    (at(), 0u8..8, at(), word()).prop_map(|(log, kind, place, word)| Damage { log, kind, place, word })
}

fn strike(case: &mut Vec<Log>, damage: &Damage) {
    if case.is_empty() {
        return;
    }
    let struck = damage.log.index(case.len());
    let log = &mut case[struck];
    let mut data = log.data.to_vec();
    match damage.kind {
        // Words matter most: amounts, offsets, lengths, enumerations.
        0..=3 if data.len() >= 32 => {
            let start = damage.place.index(data.len() / 32) * 32;
            data[start..start + 32].copy_from_slice(damage.word.as_slice());
        }
        4 if !data.is_empty() => data.truncate(damage.place.index(data.len())),
        5 if log.topics.len() > 1 => {
            let place = 1 + damage.place.index(log.topics.len() - 1);
            log.topics[place] = damage.word;
        }
        6 => {
            let copy = log.clone();
            let place = damage.place.index(case.len() + 1);
            case.insert(place, copy);
            return;
        }
        _ => {
            case.remove(struck);
            return;
        }
    }
    case[struck].data = Bytes::from(data);
}

/// Lets one of the contracts asked return `lie`.
fn emit(answers: &mut Answers, place: prop::sample::Index, lie: Answer) {
    let mut calls: Vec<_> = answers.keys().cloned().collect();
    calls.sort_unstable();
    if !calls.is_empty() {
        answers.insert(calls.swap_remove(place.index(calls.len())), lie);
    }
}

/// One case: its chain, its logs, and what contracts answer.
type Case = (u64, Vec<Log>, Answers);

/// Every case of a decoder.
fn cases(decoder: &str) -> Vec<Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(decoder);
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    paths
        .map(|path| {
            let case: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
            let listed = case["logs"].as_array().unwrap();
            let logs = (0..).zip(listed).map(|(index, log)| logs::log(log, index)).collect();
            (
                case["chain"].as_u64().unwrap_or(1),
                logs,
                logs::answers(&case["answers"]),
            )
        })
        .collect()
}

fn check((chain, mut case, answers): Case, sender: Address, input: &[u8]) -> Result<(), TestCaseError> {
    let tx = |log: &Log| (log.block_number, log.tx_index);
    case.sort_by_key(tx);
    for (index, log) in (0..).zip(&mut case) {
        log.log_index = index;
    }
    let span = logs::span(chain, case);
    let envelope = Envelope {
        from: sender,
        to: span.logs.first().map(|log| log.address),
        value: U256::ZERO,
        input: Bytes::copy_from_slice(input),
    };
    let envelopes: Envelopes = span.logs.iter().map(|log| (log.tx_hash, envelope.clone())).collect();
    let mut answered = span.clone();
    answered.context.answers = answers;
    for facts in [
        decode(&span),
        decode_with(&span, &envelopes),
        decode(&answered),
        decode_with(&answered, &envelopes),
    ] {
        assert_in_chain_order(&facts);
        assert_refused_logs_say_nothing(&facts);
        assert_orders_are_sound(&facts, &span.logs);
        facts.sales.iter().for_each(assert_adds_up);
    }
    Ok(())
}

#[test]
fn damaged_cases_keep_the_laws() {
    let tries = std::env::var("FUZZ_CASES").map_or(300, |text| text.parse().unwrap());
    for decoder in DECODERS {
        let cases = cases(decoder.name);
        let input = prop_oneof![
            vec(any::<u8>(), 0..40),
            vec(word(), 32).prop_map(|words| {
                let words = words.iter().flat_map(|word| word.0);
                [0xab, 0x83, 0x4b, 0xab].into_iter().chain(words).collect()
            }),
        ];
        let sender = prop_oneof![Just(0x0a_11ce_u64), Just(0x0b0b), 0u64..5];
        let lies = vec((any::<prop::sample::Index>(), answer()), 0..3);
        let blows = (any::<prop::sample::Index>(), vec(damage(), 1..6), sender, input, lies);
        let config = Config {
            cases: tries,
            failure_persistence: None,
            ..Config::default()
        };
        let outcome = TestRunner::new(config).run(&blows, |(case, blows, sender, input, lies)| {
            let mut case = cases[case.index(cases.len())].clone();
            blows.iter().for_each(|blow| strike(&mut case.1, blow));
            lies.into_iter().for_each(|(place, lie)| emit(&mut case.2, place, lie));
            check(case, Address::from_word(B256::from(U256::from(sender))), &input)
        });
        if let Err(error) = outcome {
            panic!("{}: {error}", decoder.name);
        }
    }
}
