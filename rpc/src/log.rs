//! Logs read from borrowed JSON straight into the words everyone shares.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::RangeInclusive;

use alloy_primitives::B256;
use decoders::block::{BlockRef, Log};
use decoders::id::MAX_LOG_INDEX;
use rustc_hash::FxHashSet;
use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use smallvec::SmallVec;

use super::settings::Filter;
use super::wire::{Account, Data, Index, Lenient, Quantity, Reply, Unread, Word};

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
    /// Absent where the log is of no transaction.
    #[serde(default)]
    transaction_hash: Option<Word>,
    #[serde(default)]
    transaction_index: Index,
    #[serde(default)]
    log_index: Index,
    #[serde(default)]
    removed: Lenient<bool>,
}

/// The logs of one answer, and the blocks they state they are in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Logs {
    pub(super) logs: Vec<Log>,
    /// One entry per run of logs that name the same block.
    pub(super) blocks: Vec<BlockRef>,
    /// Blocks whose logs contradict each other, and how. They cost the others of the answer nothing.
    pub(super) wrong: BTreeMap<u64, &'static str>,
    /// Blocks with logs whose index no id can hold.
    pub(super) unplaced: BTreeSet<u64>,
    /// Logs that are marked as removed, with the block they name.
    removed: Vec<(BlockRef, Log)>,
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
                    all.push(wire);
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
        for answer in &answers[1..] {
            let Logs {
                logs, blocks, removed, ..
            } = answer.read()?;
            joined.logs.extend(logs);
            joined.blocks.extend(blocks);
            joined.removed.extend(removed);
        }
        Ok(joined)
    }

    fn push(&mut self, wire: Wire) {
        let block = BlockRef {
            number: wire.block_number.0,
            hash: wire.block_hash.0,
        };
        let log = Log {
            block_number: block.number,
            log_index: wire.log_index.0,
            tx_index: wire.transaction_index.0,
            // A log of no transaction is named by its block.
            tx_hash: wire.transaction_hash.map_or(block.hash, |hash| hash.0),
            address: wire.address.0,
            topics: wire.topics.0,
            data: wire.data.0,
        };
        if wire.removed.0 == Some(true) {
            self.removed.push((block, log));
            return;
        }
        if self.blocks.last() != Some(&block) {
            self.blocks.push(block);
        }
        self.logs.push(log);
    }

    /// Checks what the answer alone can show: it keeps to the range and the filter, and the order of each block makes sense.
    pub(super) fn check(&mut self, range: &RangeInclusive<u64>, filter: &FilterSet) -> Result<(), Unread> {
        // First: what a node took back is no log of the range, and would look like a repeat below.
        self.take_back_removed();
        let place = |log: &Log| (log.block_number, log.log_index);
        if !self.logs.is_sorted_by_key(place) {
            self.logs.sort_by_key(place);
        }
        // One log listed twice is one log.
        self.logs.dedup();
        self.blocks.sort_unstable();
        self.blocks.dedup();
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
        for pair in self.blocks.windows(2).filter(|pair| pair[0].number == pair[1].number) {
            // Noted for the block and not refused here: the rest of a long answer stays good.
            self.wrong.insert(pair[0].number, "its logs name two block hashes");
        }
        for block in self
            .logs
            .chunk_by_mut(|one, next| one.block_number == next.block_number)
        {
            let number = block[0].block_number;
            if place_behind(block) {
                self.unplaced.insert(number);
            }
            if let Err(reason) = check_order(block) {
                self.wrong.entry(number).or_insert(reason);
            }
        }
        Ok(())
    }

    /// A log marked as removed is dropped where the answer has another block at its height. Elsewhere the block it names shows
    /// whether it is gone, not the flag.
    fn take_back_removed(&mut self) {
        for (block, log) in std::mem::take(&mut self.removed) {
            let stays = |other: &BlockRef| other.number == block.number && other.hash != block.hash;
            if !self.blocks.iter().any(stays) {
                self.blocks.push(block);
                self.logs.push(log);
            }
        }
    }
}

/// Numbers the logs at the end of a block whose index no id can hold in the order they came in. `false` when there are none.
fn place_behind(block: &mut [Log]) -> bool {
    let first = block.partition_point(|log| log.log_index <= MAX_LOG_INDEX);
    for (log, index) in block[first..].iter_mut().zip(MAX_LOG_INDEX + 1..) {
        log.log_index = index;
    }
    first < block.len()
}

/// Within a block, log indexes rise strictly and transactions follow them.
pub(super) fn check_order(block: &[Log]) -> Result<(), &'static str> {
    for pair in block.windows(2) {
        let [one, next] = pair else { continue };
        if one.log_index >= next.log_index {
            return Err("two of its logs share an index");
        } else if one.tx_index > next.tx_index {
            return Err("the transactions of its logs fall");
        } else if (one.tx_index == next.tx_index) != (one.tx_hash == next.tx_hash) {
            return Err("indexes and hashes of its logs' transactions disagree");
        }
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
    use crate::wire::single;
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

    fn changed(member: &str, value: Value) -> Value {
        let mut log = wire(5, 1, 0);
        log[member] = value;
        log
    }

    #[test]
    fn what_was_not_asked_for_is_a_lie() {
        for (what, logs) in [
            ("out of range", vec![wire(8, 0, 0)]),
            ("foreign contract", vec![changed("address", json!(Address::ZERO))]),
            ("foreign topic", vec![changed("topics", json!([B256::ZERO]))]),
            ("anonymous", vec![changed("topics", json!([]))]),
        ] {
            assert!(matches!(checked(&logs), Err(Unread::Lie(_))), "{what}");
        }
    }

    #[test]
    fn contradictions_in_one_block_cost_the_others_nothing() {
        for (what, mut logs) in [
            (
                "same index twice",
                vec![wire(5, 0, 0), changed("logIndex", json!("0x0"))],
            ),
            ("transactions fall", vec![wire(5, 0, 1), wire(5, 1, 0)]),
            (
                "one index, two hashes",
                vec![wire(5, 0, 0), changed("transactionHash", json!(B256::repeat_byte(9)))],
            ),
            (
                "two block hashes",
                vec![wire(5, 0, 0), changed("blockHash", json!(B256::repeat_byte(9)))],
            ),
        ] {
            logs[1]["data"] = json!("0x03");
            logs.push(wire(6, 0, 0));
            let read = checked(&logs).unwrap();
            assert_eq!(read.wrong.keys().copied().collect::<Vec<_>>(), [5], "{what}");
            assert_eq!(read.logs.last().unwrap().block_number, 6, "{what}");
        }
    }

    #[test]
    fn a_log_told_twice_is_one_log() {
        let read = checked(&[wire(5, 0, 0), wire(5, 1, 0), wire(5, 1, 0), wire(5, 0, 0)]).unwrap();
        assert_eq!((read.logs.len(), read.wrong.len()), (2, 0));
    }

    #[test]
    fn what_is_said_to_be_removed_goes_where_the_answer_has_another_block_and_stays_elsewhere() {
        let mut orphan = changed("removed", json!(true));
        assert_eq!(checked(&[wire(5, 0, 0), orphan.clone()]).unwrap().logs.len(), 2);
        orphan["blockHash"] = json!(B256::repeat_byte(9));
        let read = checked(&[wire(5, 0, 0), orphan.clone()]).unwrap();
        assert_eq!((read.logs.len(), read.blocks.len(), read.wrong.len()), (1, 1, 0));
        assert_eq!(checked(&[orphan]).unwrap().blocks[0].hash, B256::repeat_byte(9));
    }

    #[test]
    fn places_no_block_has_come_last_and_are_known() {
        let odd = [
            json!("0xffffffe2"),
            json!("0x100000000"),
            json!("0x1ffffffffffffffffffff"),
            json!(format!("{:#x}", MAX_LOG_INDEX + 1)),
            json!("-0x1"),
            json!(-1),
            json!(1e300),
            json!([1, {"a": 2}]),
            json!({"a": [1]}),
            json!(false),
            Value::Null,
        ];
        for value in odd {
            let read = checked(&[
                changed("logIndex", value.clone()),
                wire(5, 7, 0),
                changed("logIndex", value.clone()),
                wire(6, 0, 0),
            ]);
            let read = read.unwrap();
            assert_eq!(read.unplaced.iter().copied().collect::<Vec<_>>(), [5], "{value}");
            let places: Vec<u32> = read.logs.iter().map(|log| log.log_index).collect();
            assert_eq!(places, [7, MAX_LOG_INDEX + 1, 0], "{value}");
        }
        let two = [changed("logIndex", Value::Null), changed("data", json!("0x03"))];
        let mut two = two.to_vec();
        two[1]["logIndex"] = Value::Null;
        let read = checked(&two).unwrap();
        let places: Vec<u32> = read.logs.iter().map(|log| log.log_index).collect();
        assert_eq!(places, [MAX_LOG_INDEX + 1, MAX_LOG_INDEX + 2]);
    }

    #[test]
    fn a_log_of_no_transaction_is_named_by_its_block() {
        let mut log = wire(5, 0, 0);
        log["transactionHash"] = Value::Null;
        log.as_object_mut().unwrap().remove("transactionIndex");
        let read = checked(&[log]).unwrap();
        assert_eq!(
            (read.logs[0].tx_hash, read.logs[0].tx_index),
            (read.blocks[0].hash, u32::MAX)
        );
    }

    #[test]
    fn odd_shapes_are_malformed() {
        for (member, value) in [
            ("address", json!("0x12")),
            ("topics", json!([TOPIC, TOPIC, TOPIC, TOPIC, TOPIC])),
            ("topics", Value::Null),
            ("data", json!("0x123")),
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
