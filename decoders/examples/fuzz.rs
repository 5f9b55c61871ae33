//! One decoder against logs as hostile as they can be made: its own cases damaged, and logs made of nothing but its signatures.
//!
//! `cargo run --release -p decoders --example fuzz -- DECODER SECONDS [SEED]`
//!
//! Whatever comes out keeps the laws the tests hold decoders to, and nothing panics. Every run has a seed; where one fails it is
//! printed, and given as SEED it is run again alone.

use std::env;
use std::fs;
use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use alloy_primitives::{Address, B256, Bytes, U256, address, hex};
use decoders::block::{Answer, Context, Envelope, Log, Span};
use decoders::decoder::{Claim, Decoder};
use decoders::events::DecodedFacts;
use decoders::pass::{decode, decode_logs};
use decoders::protocols::DECODERS;
use decoders::wants;
use serde_json::Value;

#[path = "../tests/decoding/logs.rs"]
#[expect(
    clippy::unwrap_used,
    clippy::panic,
    dead_code,
    reason = "the tests' reader of cases, which are right or end the program"
)]
mod logs;
#[path = "../tests/decoding/sound.rs"]
mod sound;

/// What every transaction may hold besides: movements and payments.
const AROUND: [(B256, u8); 4] = [
    (
        sig("ddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"),
        4,
    ),
    (
        sig("ddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"),
        3,
    ),
    (
        sig("c3d58168c5ae7397731d063d5bbf3d657854427343f4c083240f7aacaa2d0f62"),
        4,
    ),
    (
        sig("4a39dc06d4c0dbc64b70af90fd698a233a518aa5d07e595d983b8c0526c8f7fb"),
        4,
    ),
];

/// Selectors of the calldata that decoders read.
const SELECTORS: [[u8; 4]; 7] = [
    hex!("ab834bab"),
    hex!("88147732"),
    hex!("0d5f7d35"),
    hex!("67d49a3b"),
    hex!("e99a3f80"),
    hex!("42842e0e"),
    hex!("b88d4fde"),
];

/// A token contract, a currency and a few people: few, so that they meet.
const ADDRESSES: [Address; 7] = [
    address!("7217217217217217217217217217217217217217"),
    address!("1155115511551155115511551155115511551155"),
    address!("c02aaa39b223fe8d0a0e5c4f27ead9083c756cc2"),
    address!("00000000000000000000000000000000000a11ce"),
    address!("0000000000000000000000000000000000000b0b"),
    address!("000000000000000000000000000000000000ca01"),
    Address::ZERO,
];

const fn sig(digits: &str) -> B256 {
    match hex::const_decode_to_array::<32>(digits.as_bytes()) {
        Ok(bytes) => B256::new(bytes),
        Err(_) => B256::ZERO,
    }
}

fn main() -> io::Result<ExitCode> {
    let mut out = io::stdout().lock();
    let arguments: Vec<String> = env::args().skip(1).collect();
    let named = |name: &String| DECODERS.iter().find(|decoder| decoder.name == *name);
    let (Some(decoder), Some(seconds)) = (
        arguments.first().and_then(named),
        arguments.get(1).and_then(|text| text.parse().ok()),
    ) else {
        writeln!(out, "fuzz DECODER SECONDS [SEED], of the decoders")?;
        for decoder in DECODERS {
            writeln!(out, "  {}", decoder.name)?;
        }
        return Ok(ExitCode::FAILURE);
    };
    let target = Target::of(decoder)?;
    if let Some(seed) = arguments.get(2).and_then(|text| text.parse().ok()) {
        writeln!(out, "{:#?}", target.span(seed))?;
        target.run(seed);
        return Ok(ExitCode::SUCCESS);
    }
    let (start, length) = (Instant::now(), Duration::from_secs(seconds));
    // Runs on other days try other seeds.
    let first = start_of_seeds();
    let mut count = 0;
    while start.elapsed() < length {
        let seed = first.wrapping_add(count);
        if catch_unwind(AssertUnwindSafe(|| target.run(seed))).is_err() {
            writeln!(out, "{}: seed {seed} fails after {count} runs", decoder.name)?;
            return Ok(ExitCode::FAILURE);
        }
        count += 1;
    }
    let rate = count as f64 / start.elapsed().as_secs_f64();
    writeln!(
        out,
        "{}: {count} runs in {seconds} s, {rate:.0} a second, from seed {first}",
        decoder.name
    )?;
    Ok(ExitCode::SUCCESS)
}

fn start_of_seeds() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(0, |since| since.as_secs() << 32)
}

/// One decoder with its cases.
struct Target {
    decoder: &'static Decoder,
    cases: Vec<Case>,
}

struct Case {
    chain: u64,
    logs: Vec<Log>,
    envelopes: Vec<Envelope>,
}

impl Target {
    fn of(decoder: &'static Decoder) -> io::Result<Self> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("fixtures")
            .join(decoder.name);
        let mut paths: Vec<_> = fs::read_dir(folder)?.collect::<Result<_, _>>()?;
        paths.sort_by_key(fs::DirEntry::path);
        let mut cases = Vec::new();
        for path in paths {
            let case: Value = serde_json::from_str(&fs::read_to_string(path.path())?)?;
            let listed = case["logs"].as_array().into_iter().flatten();
            let envelopes = case["envelopes"].as_object().into_iter().flatten();
            cases.push(Case {
                chain: case["chain"].as_u64().unwrap_or(1),
                logs: (0..).zip(listed).map(|(index, log)| logs::log(log, index)).collect(),
                envelopes: envelopes.map(|(_, envelope)| logs::envelope(envelope)).collect(),
            });
        }
        Ok(Target { decoder, cases })
    }

    /// The logs and the context that a seed stands for.
    fn span(&self, seed: u64) -> Span {
        let mut dice = Dice(seed);
        let case = dice.pick(&self.cases);
        let mut logs = case.map_or_else(Vec::new, |case| case.logs.clone());
        if dice.roll(3) == 0 {
            logs.truncate(dice.roll(3));
            for _ in 0..1 + dice.roll(12) {
                let place = dice.roll(logs.len() + 1);
                logs.insert(place, self.made(&mut dice));
            }
        }
        for _ in 0..dice.roll(8) {
            self.strike(&mut dice, &mut logs);
        }
        let logs = in_order(&mut dice, logs);
        let mut span = logs::span(case.map_or(1, |case| case.chain), logs);
        let known = case.map_or(&[][..], |case| &case.envelopes);
        for log in &span.logs {
            if dice.roll(4) > 0 {
                let envelope = dice.envelope(log, known);
                span.context.envelopes.entry(log.tx_hash).or_insert(envelope);
            }
        }
        for _ in 0..4 {
            for call in wants(&span).calls {
                match dice.roll(8) {
                    0 => {}
                    1 => drop(span.context.answers.insert(call, Answer::Reverted)),
                    _ => {
                        let answer = Answer::Returned(dice.data());
                        span.context.answers.insert(call, answer);
                    }
                }
            }
        }
        span
    }

    /// Decodes what the seed stands for and holds the facts to the laws.
    fn run(&self, seed: u64) {
        let span = self.span(seed);
        let facts = decode(&span);
        sound::assert_in_chain_order(&facts);
        sound::assert_refused_logs_say_nothing(&facts);
        sound::assert_orders_are_sound(&facts, &span.logs);
        sound::assert_one_router(&facts);
        facts.sales.iter().for_each(sound::assert_adds_up);
        let whole = decode_logs(span.chain, &span.logs, &span.context).into_facts();
        assert_eq!(whole, in_pieces(&span), "a cut changes the facts");
        let bare = Context::default();
        drop(decode_logs(span.chain, &span.logs, &bare).into_facts());
    }

    /// A log that the decoder claims, or one that moves something, its words anything.
    fn made(&self, dice: &mut Dice) -> Log {
        let claim: Option<&Claim> = dice.pick(self.decoder.claims).filter(|_| dice.roll(3) > 0);
        let (topic0, count) = claim.map_or_else(
            || dice.pick(&AROUND).copied().unwrap_or_default(),
            |claim| (claim.topic0, claim.topic_count),
        );
        let named = claim
            .and_then(|claim| dice.pick(claim.addresses?))
            .map(|(_, contract)| *contract);
        let topics: Vec<B256> = (1..count).map(|_| dice.word()).collect();
        Log {
            block_number: 1,
            log_index: 0,
            tx_index: 0,
            tx_hash: B256::ZERO,
            address: named.unwrap_or_else(|| dice.address()),
            topics: std::iter::once(topic0).chain(topics).collect(),
            data: dice.data(),
        }
    }

    /// One blow at one of the logs.
    fn strike(&self, dice: &mut Dice, logs: &mut Vec<Log>) {
        let struck = dice.roll(logs.len());
        let Some(log) = logs.get_mut(struck) else { return };
        let mut data = log.data.to_vec();
        let word = dice.word();
        match dice.roll(12) {
            0..=4 if data.len() >= 32 => {
                let start = dice.roll(data.len() / 32) * 32;
                data[start..start + 32].copy_from_slice(word.as_slice());
            }
            5 if !data.is_empty() => data.truncate(dice.roll(data.len())),
            6 => data.extend_from_slice(word.as_slice()),
            7 if log.topics.len() > 1 => {
                let place = 1 + dice.roll(log.topics.len() - 1);
                log.topics[place] = word;
            }
            8 if !data.is_empty() => {
                let bit = dice.roll(data.len() * 8);
                data[bit / 8] ^= 1 << (bit % 8);
            }
            9 => {
                let copy = log.clone();
                return logs.insert(dice.roll(logs.len() + 1), copy);
            }
            10 => {
                let made = self.made(dice);
                return logs.insert(dice.roll(logs.len() + 1), made);
            }
            _ => drop(logs.remove(struck)),
        }
        if let Some(log) = logs.get_mut(struck) {
            log.data = Bytes::from(data);
        }
    }
}

/// `logs` in a row of transactions and blocks: as they were, or cut anew.
fn in_order(dice: &mut Dice, mut logs: Vec<Log>) -> Vec<Log> {
    let anew = dice.roll(3) == 0;
    logs.sort_by_key(|log| (log.block_number, log.tx_index));
    let (mut block, mut tx) = (1, 0);
    for (index, log) in (0..).zip(&mut logs) {
        if anew {
            match dice.roll(8) {
                0 => (block, tx) = (block + 1, 0),
                1 => tx += 1,
                _ => {}
            }
            (log.block_number, log.tx_index) = (block, tx);
        }
        log.log_index = index;
        log.tx_hash = B256::from(U256::from(log.block_number << 32 | u64::from(log.tx_index)));
    }
    logs
}

/// What the blocks of `span` decode to one by one.
fn in_pieces(span: &Span) -> DecodedFacts {
    let mut pieces = DecodedFacts::default();
    for block in span.logs.chunk_by(|one, next| one.block_number == next.block_number) {
        let more = decode_logs(span.chain, block, &span.context).into_facts();
        pieces.transfers.extend(more.transfers);
        pieces.sales.extend(more.sales);
        pieces.orders.extend(more.orders);
        pieces.closings.extend(more.closings);
        pieces.faults.extend(more.faults);
    }
    pieces
}

/// A stream of numbers that its seed decides (SplitMix64).
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `sides`; zero where there is none.
    fn roll(&mut self, sides: usize) -> usize {
        let number = self.next() % (sides as u64).max(1);
        usize::try_from(number).unwrap_or(0)
    }

    fn pick<'a, T>(&mut self, list: &'a [T]) -> Option<&'a T> {
        list.get(self.roll(list.len()))
    }

    fn address(&mut self) -> Address {
        self.pick(&ADDRESSES).copied().unwrap_or_default()
    }

    /// A word of the kinds that decide something: small numbers, flags, offsets near the ends of data, addresses, limits, noise.
    fn word(&mut self) -> B256 {
        let small = U256::from(self.next() % 24);
        let number = match self.roll(10) {
            0 | 1 => small,
            2 => small * U256::from(32),
            3 => small * U256::from(32) + U256::from(self.next() % 3),
            4 | 5 => return self.address().into_word(),
            6 => U256::MAX - small,
            7 => U256::from(1) << self.roll(256),
            8 => U256::from(self.next() % 1_000_000),
            _ => return B256::from(U256::from_limbs([self.next(), self.next(), self.next(), self.next()])),
        };
        B256::from(number)
    }

    fn data(&mut self) -> Bytes {
        let words: Vec<B256> = (0..self.roll(24)).map(|_| self.word()).collect();
        let mut data: Vec<u8> = words.iter().flat_map(|word| word.0).collect();
        if self.roll(8) == 0 {
            data.truncate(self.roll(data.len() + 1));
        }
        data.into()
    }

    fn envelope(&mut self, log: &Log, known: &[Envelope]) -> Envelope {
        let mut envelope = self.pick(known).cloned().unwrap_or_else(|| Envelope {
            from: Address::ZERO,
            to: None,
            value: U256::ZERO,
            input: Bytes::new(),
        });
        if known.is_empty() || self.roll(2) == 0 {
            envelope.from = self.address();
            envelope.to = [None, Some(log.address), Some(self.address())][self.roll(3)];
        }
        let mut input = envelope.input.to_vec();
        match self.roll(3) {
            0 => {
                input = self.pick(&SELECTORS).copied().unwrap_or_default().to_vec();
                let words = 40 * self.roll(2) + self.roll(8);
                (0..words).for_each(|_| input.extend_from_slice(self.word().as_slice()));
            }
            1 if input.len() >= 36 => {
                let start = 4 + self.roll((input.len() - 4) / 32) * 32;
                let word = self.word();
                input[start..start + 32].copy_from_slice(word.as_slice());
            }
            _ => {}
        }
        Envelope {
            input: input.into(),
            ..envelope
        }
    }
}
