//! Block words: what every later step agrees a chain, a block, a log and a span are.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use alloy_primitives::{Address, B256, Bytes, U256};
use rustc_hash::{FxHashMap, FxHashSet};
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

/// An EVM chain by its EIP-155 number. Written as CAIP-2 (`eip155:1`) everywhere outside the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChainId(pub u64);

/// A chain name that is not `eip155:` and a decimal number.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("chain {0:?} is not a CAIP-2 name of an EVM chain such as eip155:1")]
pub struct ChainIdError(String);

impl fmt::Display for ChainId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "eip155:{}", self.0)
    }
}

impl FromStr for ChainId {
    type Err = ChainIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.strip_prefix("eip155:")
            .filter(|digits| {
                digits.bytes().all(|b| b.is_ascii_digit()) && (digits.len() == 1 || !digits.starts_with('0'))
            })
            .and_then(|digits| digits.parse().ok())
            .map(ChainId)
            .ok_or_else(|| ChainIdError(text.to_owned()))
    }
}

impl Serialize for ChainId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ChainId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

/// A block by height and hash; a height alone names no block, because branches share heights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlockRef {
    /// Height.
    pub number: u64,
    /// Header hash.
    pub hash: B256,
}

impl fmt::Display for BlockRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.number, self.hash)
    }
}

/// The latest time that is kept of a block, in seconds since the Unix epoch: the last
/// that both chrono and PostgreSQL hold, rounded down. Chains count in smaller units too, and an endpoint can report anything.
pub const LATEST_TIME: u64 = 8_210_000_000_000;

/// What the pipeline keeps of a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// Height.
    pub number: u64,
    /// Header hash.
    pub hash: B256,
    /// Header timestamp, seconds since the Unix epoch, at most [`LATEST_TIME`].
    pub time: u64,
}

impl Block {
    /// The block's height and hash.
    pub fn block_ref(&self) -> BlockRef {
        BlockRef {
            number: self.number,
            hash: self.hash,
        }
    }
}

/// One log as an endpoint served it and the span's checks accepted it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// Height of the block that holds the log.
    pub block_number: u64,
    /// Index of the log within its block.
    pub log_index: u32,
    /// Index of the transaction within its block.
    pub tx_index: u32,
    /// Hash of the transaction that emitted the log.
    pub tx_hash: B256,
    /// Emitting contract.
    pub address: Address,
    /// Zero to four topics.
    pub topics: SmallVec<[B256; 4]>,
    /// Unindexed arguments, ABI-encoded.
    pub data: Bytes,
}

impl Log {
    /// The event signature hash, absent for anonymous events.
    pub fn topic0(&self) -> Option<&B256> {
        self.topics.first()
    }
}

/// What a transaction holds beside its logs. Decoding does without where it can and marks what it then could not determine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// Who signed it.
    pub from: Address,
    /// The contract it called; absent for a creation.
    pub to: Option<Address>,
    /// Native currency sent along, in wei.
    pub value: U256,
    /// Calldata.
    pub input: Bytes,
}

/// The envelopes of some transactions, by transaction hash.
pub type Envelopes = FxHashMap<B256, Envelope>;

/// A question to a contract whose answer never changes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Call {
    /// The contract asked.
    pub to: Address,
    /// Calldata.
    pub input: Bytes,
    /// The height after which it is asked; `None` for what holds at every height, such as the asset of a pool.
    pub at: Option<u64>,
}

impl Call {
    /// The question that calls the function `selector` of `to` with one-word arguments.
    pub fn of(to: Address, selector: [u8; 4], arguments: &[B256]) -> Self {
        let mut input = Vec::with_capacity(selector.len() + arguments.len() * 32);
        input.extend_from_slice(&selector);
        arguments
            .iter()
            .for_each(|word| input.extend_from_slice(word.as_slice()));
        Call {
            to,
            input: input.into(),
            at: None,
        }
    }

    /// The same question, about the state the block before `block_number` left behind; about the genesis block's own where
    /// there is none before.
    pub fn before_block(self, block_number: u64) -> Self {
        Call {
            at: Some(block_number.saturating_sub(1)),
            ..self
        }
    }
}

/// What a contract answered to a [`Call`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It returned these bytes; none where there is no contract.
    Returned(Bytes),
    /// It refused.
    Reverted,
}

/// The answers to some calls. A call without one could not be asked.
pub type Answers = FxHashMap<Call, Answer>;

/// What decoding a span may need beside the logs it was asked for. Part of the span, and archived with it, so that a replay sees
/// the same.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Context {
    /// Envelopes of the transactions that some decoder wants.
    pub envelopes: Envelopes,
    /// What contracts reported of themselves.
    pub answers: Answers,
    /// In a span asked for the logs of some contracts only: the transactions of which it holds what every other contract emitted
    /// as well, as far as decoders know it. Which they are is not archived; their logs are.
    pub whole: FxHashSet<B256>,
}

/// How strongly a span was checked against what the chain committed to; each level includes the ones before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Proof {
    /// Parent hashes link the blocks, and every log names the hash of its block.
    Chained,
    /// Header hashes were recomputed, and the logs agree with every header's bloom.
    Bloom,
    /// The receipts root was recomputed from all receipts of every block.
    Receipts,
}

impl Proof {
    /// The name kept in `indexer_coverage.proof`.
    pub fn as_str(self) -> &'static str {
        match self {
            Proof::Chained => "chained",
            Proof::Bloom => "bloom",
            Proof::Receipts => "receipts",
        }
    }
}

/// A contiguous block range of one chain with every matching log in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// The chain.
    pub chain: ChainId,
    /// Lowest and highest height.
    pub range: RangeInclusive<u64>,
    /// Hash of the block below the range; `None` when the span comes from the archive, which keeps no headers.
    pub parent_hash: Option<B256>,
    /// Blocks in ascending order: all of the range when read from an endpoint, those with logs when read from the archive.
    pub blocks: Vec<Block>,
    /// The matching logs, ordered by block number and log index.
    pub logs: Vec<Log>,
    /// What was proven of the whole span.
    pub proof: Proof,
    /// What decoding needs beside the logs: [`wants`](crate::wants) names what is missing.
    pub context: Context,
}

/// Bytes of data that weigh as much as a log beside its own.
const ROW_BYTES: usize = 500;

impl Span {
    /// How much of it there is to hold in memory, in logs of usual length: its logs, transactions and answers.
    pub fn rows(&self) -> usize {
        let Context { envelopes, answers, .. } = &self.context;
        let logs = self.logs.iter().map(|log| log.data.len());
        let envelopes = envelopes.values().map(|envelope| envelope.input.len());
        let answers = answers.values().map(|answer| match answer {
            Answer::Returned(bytes) => bytes.len(),
            Answer::Reverted => 0,
        });
        let data = logs.chain(envelopes).chain(answers);
        data.map(|bytes| 1 + bytes / ROW_BYTES).sum()
    }

    /// Cuts off the blocks beyond those whose logs are `most` rows together; the first stays, however large.
    pub fn shorten(&mut self, most: usize) {
        let mut rows = 0;
        let Some(first) = self.logs.first().map(|log| log.block_number) else {
            return;
        };
        let beyond = self.logs.iter().position(|log| {
            rows += 1 + log.data.len() / ROW_BYTES;
            rows > most
        });
        let Some(beyond) = beyond.map(|place| self.logs[place].block_number.max(first + 1)) else {
            return;
        };
        if beyond > *self.range.end() {
            return;
        }
        self.logs
            .truncate(self.logs.partition_point(|log| log.block_number < beyond));
        self.blocks
            .truncate(self.blocks.partition_point(|block| block.number < beyond));
        self.range = *self.range.start()..=beyond - 1;
    }

    /// The block at `number`, absent when the span does not hold it.
    pub fn block(&self, number: u64) -> Option<&Block> {
        find_block(&self.blocks, number)
    }
}

/// The block at `number` among `blocks`, which ascend.
pub fn find_block(blocks: &[Block], number: u64) -> Option<&Block> {
    let offset = usize::try_from(number.checked_sub(blocks.first()?.number)?).ok()?;
    match blocks.get(offset) {
        Some(block) if block.number == number => Some(block),
        _ => blocks
            .binary_search_by_key(&number, |block| block.number)
            .ok()
            .map(|index| &blocks[index]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blocks(numbers: &[u64]) -> Vec<Block> {
        numbers
            .iter()
            .map(|number| Block {
                number: *number,
                hash: B256::ZERO,
                time: 0,
            })
            .collect()
    }

    #[test]
    fn a_chain_is_named_in_one_way_only() {
        for number in [0, 1, 42161, u64::MAX] {
            assert_eq!(ChainId(number).to_string().parse(), Ok(ChainId(number)));
        }
        let others = [
            "",
            "1",
            "eip155",
            "eip155:",
            "eip155:01",
            "eip155:+1",
            "eip155: 1",
            "eip155:0x1",
            "EIP155:1",
        ];
        for name in others.into_iter().chain(["solana:1", "eip155:18446744073709551616"]) {
            assert_eq!(name.parse::<ChainId>(), Err(ChainIdError(name.to_owned())));
        }
        assert_eq!(serde_json::to_string(&ChainId(1)).unwrap(), "\"eip155:1\"");
        assert_eq!(serde_json::from_str::<ChainId>("\"eip155:137\"").unwrap(), ChainId(137));
    }

    #[test]
    fn a_block_is_found_among_all_and_among_some() {
        for numbers in [&[5, 6, 7, 8][..], &[5, 8, 9, 40], &[5], &[u64::MAX - 1, u64::MAX]] {
            let blocks = blocks(numbers);
            for number in (0..50).chain([u64::MAX - 1, u64::MAX]) {
                let found = find_block(&blocks, number).map(|block| block.number);
                assert_eq!(
                    found,
                    numbers.contains(&number).then_some(number),
                    "{number} among {numbers:?}"
                );
            }
        }
        assert_eq!(find_block(&[], 5), None);
    }

    #[test]
    fn a_span_is_shortened_to_whole_blocks_and_never_to_none() {
        let log = |block_number| Log {
            block_number,
            log_index: 0,
            tx_index: 0,
            tx_hash: B256::ZERO,
            address: Address::ZERO,
            topics: SmallVec::new(),
            data: Bytes::from(vec![0; 600]),
        };
        let span = Span {
            chain: ChainId(1),
            range: 4..=9,
            parent_hash: None,
            blocks: blocks(&[4, 5, 6, 7, 8, 9]),
            logs: [5, 5, 6, 8].map(log).to_vec(),
            proof: Proof::Chained,
            context: Context::default(),
        };
        assert_eq!(span.rows(), 8);
        for (most, last, logs) in [(0, 5, 2), (3, 5, 2), (5, 5, 2), (6, 7, 3), (7, 7, 3), (8, 9, 4)] {
            let mut short = span.clone();
            short.shorten(most);
            assert_eq!((*short.range.end(), short.logs.len()), (last, logs), "{most}");
            assert_eq!(short.blocks.last().map(|block| block.number), Some(last), "{most}");
        }
    }

    #[test]
    fn proofs_ascend() {
        assert!(Proof::Chained < Proof::Bloom && Proof::Bloom < Proof::Receipts);
    }
}
