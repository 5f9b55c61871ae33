//! Logs read from borrowed JSON straight into the words everyone shares.

use std::fmt;
use std::ops::RangeInclusive;

use alloy_primitives::B256;
use decoders::block::{BlockRef, Log};
use rustc_hash::FxHashSet;
use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use smallvec::SmallVec;

use super::settings::Filter;
use super::wire::{Account, Data, Quantity, Reply, Unread, Word, log_index, narrow};

/// At most four topics, without a heap allocation.
pub(super) struct Topics(pub(super) SmallVec<[B256; 4]>);

impl<'de> Deserialize<'de> for Topics {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Four;
        impl<'de> Visitor<'de> for Four {
            type Value = Topics;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("at most four topics")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut members: A) -> Result<Topics, A::Error> {
                let mut topics = SmallVec::new();
                while let Some(Word(topic)) = members.next_element()? {
                    if topics.len() == 4 {
                        return Err(A::Error::custom("a log with more than four topics"));
                    }
                    topics.push(topic);
                }
                Ok(Topics(topics))
            }
        }
        deserializer.deserialize_seq(Four)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire {
    address: Account,
    topics: Topics,
    data: Data,
    block_number: Quantity,
    block_hash: Word,
    transaction_hash: Word,
    transaction_index: Quantity,
    log_index: Quantity,
    #[serde(default)]
    removed: Option<bool>,
}

/// The logs of one answer, and the blocks they say they are in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Logs {
    pub(super) logs: Vec<Log>,
    /// One entry per run of logs that name the same block.
    pub(super) blocks: Vec<BlockRef>,
}

impl<'de> Deserialize<'de> for Logs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct All;
        impl<'de> Visitor<'de> for All {
            type Value = Logs;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("logs")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut members: A) -> Result<Logs, A::Error> {
                let mut all = Logs::default();
                while let Some(wire) = members.next_element::<Wire>()? {
                    all.push::<A::Error>(wire)?;
                }
                Ok(all)
            }
        }
        deserializer.deserialize_seq(All)
    }
}

impl Logs {
    /// The logs of several answers about the same blocks; what more than one of them holds is taken once.
    pub(super) fn joined(answers: &[Reply<'_>]) -> Result<Self, Unread> {
        let mut joined = match answers.first() {
            Some(answer) => answer.read::<Logs>()?,
            None => return Err(Unread::Absent),
        };
        if answers.len() == 1 {
            return Ok(joined);
        }
        for answer in &answers[1..] {
            let Logs { logs, blocks } = answer.read()?;
            joined.logs.extend(logs);
            joined.blocks.extend(blocks);
        }
        joined.logs.sort_by_key(|log| (log.block_number, log.log_index));
        joined.logs.dedup();
        Ok(joined)
    }

    fn push<E: serde::de::Error>(&mut self, wire: Wire) -> Result<(), E> {
        if wire.removed == Some(true) {
            return Err(E::custom("a log removed by a reorg"));
        }
        let block = BlockRef {
            number: wire.block_number.0,
            hash: wire.block_hash.0,
        };
        if self.blocks.last() != Some(&block) {
            self.blocks.push(block);
        }
        self.logs.push(Log {
            block_number: block.number,
            log_index: log_index(wire.log_index)?,
            tx_index: narrow(wire.transaction_index, "a transaction index")?,
            tx_hash: wire.transaction_hash.0,
            address: wire.address.0,
            topics: wire.topics.0,
            data: wire.data.0,
        });
        Ok(())
    }

    /// Checks what the answer alone can show: it keeps to the range and the filter, and its order makes sense.
    pub(super) fn check(&mut self, range: &RangeInclusive<u64>, filter: &FilterSet) -> Result<(), Unread> {
        let place = |log: &Log| (log.block_number, log.log_index);
        if !self.logs.is_sorted_by_key(place) {
            self.logs.sort_by_key(place);
        }
        self.blocks.sort_unstable();
        self.blocks.dedup();
        if let Some(pair) = self.blocks.windows(2).find(|pair| pair[0].number == pair[1].number) {
            return Err(Unread::Lie(format!(
                "logs of block {} name two block hashes",
                pair[0].number
            )));
        }
        if let Some(log) = self.logs.iter().find(|log| !range.contains(&log.block_number)) {
            return Err(Unread::Lie(format!(
                "a log of block {} was not asked for",
                log.block_number
            )));
        }
        if let Some(log) = self.logs.iter().find(|log| !filter.matches(log)) {
            return Err(Unread::Lie(format!(
                "log {} of block {} is outside the filter",
                log.log_index, log.block_number
            )));
        }
        check_order(&self.logs)
    }
}

/// Within a block, log indexes rise strictly and transactions follow them.
pub(super) fn check_order(logs: &[Log]) -> Result<(), Unread> {
    for pair in logs
        .windows(2)
        .filter(|pair| pair[0].block_number == pair[1].block_number)
    {
        let [one, next] = pair else { continue };
        let wrong = if one.log_index >= next.log_index {
            "two logs share an index"
        } else if one.tx_index > next.tx_index {
            "transaction indexes fall"
        } else if (one.tx_index == next.tx_index) != (one.tx_hash == next.tx_hash) {
            "transaction indexes and hashes disagree"
        } else {
            continue;
        };
        return Err(Unread::Lie(format!(
            "{wrong} at log {} of block {}",
            next.log_index, next.block_number
        )));
    }
    Ok(())
}

/// A filter for quick membership tests.
#[derive(Clone, Debug)]
pub(super) struct FilterSet {
    topics: FxHashSet<B256>,
    addresses: FxHashSet<alloy_primitives::Address>,
    whole: FxHashSet<alloy_primitives::Address>,
}

impl FilterSet {
    pub(super) fn of(filter: &Filter) -> Self {
        FilterSet {
            topics: filter.topics.iter().copied().collect(),
            addresses: filter.addresses.iter().copied().collect(),
            whole: filter.whole.iter().copied().collect(),
        }
    }

    pub(super) fn matches(&self, log: &Log) -> bool {
        self.matches_both(log) || (!self.whole.is_empty() && self.whole.contains(&log.address))
    }

    /// Whether topics and address are among those asked for.
    pub(super) fn matches_both(&self, log: &Log) -> bool {
        self.matches_topics(log) && self.matches_address(log)
    }

    /// Whether the contract is among those asked for.
    pub(super) fn matches_address(&self, log: &Log) -> bool {
        self.addresses.is_empty() || self.addresses.contains(&log.address)
    }

    /// Whether the first topic is among those asked for.
    pub(super) fn matches_topics(&self, log: &Log) -> bool {
        self.topics.is_empty() || log.topic0().is_some_and(|topic| self.topics.contains(topic))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoints::wire::single;
    use alloy_primitives::{Address, b256};
    use proptest::prelude::*;
    use serde_json::{Value, json};

    const TOPIC: B256 = b256!("ddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef");

    fn wire(block: u64, index: u64, transaction: u64) -> Value {
        json!({
            "address": Address::repeat_byte(0xaa), "topics": [TOPIC, B256::repeat_byte(1)], "data": "0x0102",
            "blockNumber": format!("{block:#x}"), "blockHash": B256::repeat_byte(u8::try_from(block).unwrap()),
            "transactionHash": B256::repeat_byte(u8::try_from(transaction).unwrap()),
            "transactionIndex": format!("{transaction:#x}"), "logIndex": format!("{index:#x}"),
            "removed": false, "blockTimestamp": "0x1",
        })
    }

    fn answer(logs: &[Value]) -> Vec<u8> {
        json!({"jsonrpc": "2.0", "id": 1, "result": logs})
            .to_string()
            .into_bytes()
    }

    fn checked(logs: &[Value]) -> Result<Logs, Unread> {
        let mut logs: Logs = single(&answer(logs))?;
        let filter = Filter {
            topics: vec![TOPIC],
            addresses: vec![Address::repeat_byte(0xaa)],
            ..Filter::default()
        };
        logs.check(&(5..=7), &FilterSet::of(&filter))?;
        Ok(logs)
    }

    #[test]
    fn logs_are_read_and_put_in_order() {
        let read = checked(&[wire(6, 0, 0), wire(5, 0, 0), wire(5, 4, 1)]).unwrap();
        let places: Vec<_> = read
            .logs
            .iter()
            .map(|log| (log.block_number, log.log_index, log.tx_index))
            .collect();
        assert_eq!(places, [(5, 0, 0), (5, 4, 1), (6, 0, 0)]);
        assert_eq!(read.logs[0].data.as_ref(), [1, 2]);
        assert_eq!(read.blocks.len(), 2);
        assert_eq!(checked(&[]).unwrap(), Logs::default());
    }

    #[test]
    fn contradictions_are_lies() {
        let changed = |member: &str, value: Value| {
            let mut log = wire(5, 1, 0);
            log[member] = value;
            log
        };
        for (what, logs) in [
            ("out of range", vec![wire(8, 0, 0)]),
            ("same index twice", vec![wire(5, 0, 0), wire(5, 0, 0)]),
            ("transactions fall", vec![wire(5, 0, 1), wire(5, 1, 0)]),
            (
                "one index, two hashes",
                vec![wire(5, 0, 0), changed("transactionHash", json!(B256::repeat_byte(9)))],
            ),
            (
                "two block hashes",
                vec![wire(5, 0, 0), changed("blockHash", json!(B256::repeat_byte(9)))],
            ),
            ("foreign contract", vec![changed("address", json!(Address::ZERO))]),
            ("foreign topic", vec![changed("topics", json!([B256::ZERO]))]),
            ("anonymous", vec![changed("topics", json!([]))]),
        ] {
            assert!(matches!(checked(&logs), Err(Unread::Lie(_))), "{what}");
        }
    }

    #[test]
    fn odd_shapes_are_malformed() {
        for (member, value) in [
            ("address", json!("0x12")),
            ("topics", json!([TOPIC, TOPIC, TOPIC, TOPIC, TOPIC])),
            ("topics", Value::Null),
            ("data", json!("0x123")),
            ("logIndex", json!("0x100000000")),
            ("logIndex", json!(format!("{:#x}", decoders::id::MAX_LOG_INDEX + 1))),
            ("removed", json!(true)),
            ("blockHash", Value::Null),
        ] {
            let mut log = wire(5, 0, 0);
            log[member] = value;
            assert!(matches!(checked(&[log]), Err(Unread::Malformed(_))), "{member}");
        }
    }

    proptest! {
        #[test]
        fn any_member_may_hold_anything(member in 0usize..9, value in "(0x)?[0-9a-fA-F]{0,70}|\\PC{0,20}", number: i64, kind in 0..3) {
            let mut log = wire(5, 0, 0);
            let name = log.as_object().unwrap().keys().nth(member).unwrap().clone();
            log[&name] = match kind { 0 => json!(value), 1 => json!(number), _ => json!([value]) };
            drop(checked(&[log, wire(5, 1, 0)]));
        }
    }
}
