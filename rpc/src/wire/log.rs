//! Logs read from borrowed JSON straight into the words everyone shares.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::RangeInclusive;

use alloy_primitives::{Address, B256};
use decoders::SharedTopic;
use decoders::block::{BlockRef, ChainId, Log};
use decoders::id::MAX_LOG_INDEX;
use rustc_hash::FxHashSet;
use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use smallvec::SmallVec;

use super::{Account, Body, Index, Lenient, NOT_HEX, Quantity, Reply, Unread, Word, bytes, replies, single};
use crate::settings::Filter;

/// At most four topics, without a heap allocation.
pub(crate) struct Topics(pub(crate) SmallVec<[B256; 4]>);

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

/// A log as it stands in an answer, its data not read yet: most are dropped where they are not wanted.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire<'a> {
    address: Account,
    topics: Topics,
    #[serde(borrow)]
    data: Cow<'a, str>,
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

impl Wire<'_> {
    fn block(&self) -> BlockRef {
        BlockRef {
            number: self.block_number.0,
            hash: self.block_hash.0,
        }
    }

    /// A log of no transaction is named by its block.
    fn tx_hash(&self) -> B256 {
        self.transaction_hash.unwrap_or(self.block_hash).0
    }

    fn log(self) -> Result<Log, Unread> {
        Ok(Log {
            block_number: self.block_number.0,
            log_index: self.log_index.0,
            tx_index: self.transaction_index.0,
            tx_hash: self.tx_hash(),
            address: self.address.0,
            topics: self.topics.0,
            data: bytes(&self.data).ok_or_else(|| Unread::Malformed(NOT_HEX.to_owned()))?,
        })
    }
}

/// The logs of one answer, and the blocks they state they are in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Logs {
    pub(crate) logs: Vec<Log>,
    /// One entry per run of logs that name the same block, also of logs that are not wanted.
    pub(crate) blocks: Vec<BlockRef>,
    /// Blocks whose logs contradict each other, and how. They cost the others of the answer nothing.
    pub(crate) wrong: BTreeMap<u64, &'static str>,
    /// Blocks with logs whose index no id can hold.
    pub(crate) unplaced: BTreeSet<u64>,
    /// Logs in the answer, wanted or not.
    pub(crate) received: usize,
    /// Logs of shared topics are among them that do not stand for themselves: the answer holds every log of those topics.
    pub(crate) is_unsplit: bool,
    /// The least blocks between a log that shares its topic and one that stands for itself.
    pub(crate) both_kinds: Option<RangeInclusive<u64>>,
    /// Logs that are marked as removed, with the block they name.
    removed: Vec<(BlockRef, Log)>,
    /// Block and index of a log that was not asked for.
    foreign: Option<(u64, u32)>,
}

impl Logs {
    /// The wanted logs of the answers to one question; what more than one of them holds is taken once.
    pub(crate) fn read(bodies: &[Body], set: &FilterSet) -> Result<Self, Unread> {
        match bodies {
            // One answer may be large: it is read without a step between.
            [Body::Alone(bytes)] => Logs::sifted([single(bytes)], set),
            bodies => Logs::joined(&replies(bodies)?, set),
        }
    }

    /// The wanted logs of several answers about the same blocks.
    pub(crate) fn joined(answers: &[Reply<'_>], set: &FilterSet) -> Result<Self, Unread> {
        if answers.is_empty() {
            return Err(Unread::Absent);
        }
        Logs::sifted(answers.iter().map(Reply::read), set)
    }

    fn sifted<'a>(
        answers: impl IntoIterator<Item = Result<Vec<Wire<'a>>, Unread>>,
        set: &FilterSet,
    ) -> Result<Self, Unread> {
        let (mut logs, mut beside) = (Logs::default(), Vec::new());
        for answer in answers {
            logs.take(answer?, set, &mut beside)?;
        }
        if !beside.is_empty() {
            logs.is_unsplit = true;
            // Only now: what holds a transaction together may stand in another answer.
            let holding = logs.logs.iter().filter(|log| set.holds(log));
            let holding: FxHashSet<B256> = holding.map(|log| log.tx_hash).collect();
            let mut held = beside.into_iter().filter(|wire| holding.contains(&wire.tx_hash()));
            held.try_for_each(|wire| logs.push(wire))?;
        }
        Ok(logs)
    }

    /// Takes the logs of one answer; those that are wanted in some transactions alone go to `beside`.
    fn take<'a>(&mut self, answer: Vec<Wire<'a>>, set: &FilterSet, beside: &mut Vec<Wire<'a>>) -> Result<(), Unread> {
        self.received += answer.len();
        let (mut last_sole, mut last_beside) = (None, None);
        for wire in answer {
            let (block, contract, topics) = (wire.block(), &wire.address.0, wire.topics.0.as_slice());
            if !set.asks_for(contract, topics) {
                self.foreign.get_or_insert((block.number, wire.log_index.0));
            }
            let leaves_out = set.leaves_out(contract, topics);
            if self.both_kinds.is_none() && (leaves_out || set.is_sole(topics)) {
                let last = if leaves_out { &mut last_beside } else { &mut last_sole };
                *last = Some(block.number);
                let both: Option<(u64, u64)> = last_sole.zip(last_beside);
                self.both_kinds = both.map(|(one, other)| one.min(other)..=one.max(other));
            }
            if leaves_out {
                // It shows all the same that the endpoint has the block's logs.
                self.name(block);
                beside.push(wire);
            } else {
                self.push(wire)?;
            }
        }
        Ok(())
    }

    fn push(&mut self, wire: Wire<'_>) -> Result<(), Unread> {
        let (block, is_removed) = (wire.block(), wire.removed.0 == Some(true));
        let log = wire.log()?;
        if is_removed {
            self.removed.push((block, log));
        } else {
            self.name(block);
            self.logs.push(log);
        }
        Ok(())
    }

    fn name(&mut self, block: BlockRef) {
        if self.blocks.last() != Some(&block) {
            self.blocks.push(block);
        }
    }

    /// Checks what the answer alone can show: it keeps to the range and the filter, and the order of each block makes sense.
    pub(crate) fn check(&mut self, range: &RangeInclusive<u64>) -> Result<(), Unread> {
        self.take_back_removed();
        let place = |log: &Log| (log.block_number, log.log_index);
        if !self.logs.is_sorted_by_key(place) {
            self.logs.sort_by_key(place);
        }
        // One log listed twice is one log.
        self.logs.dedup();
        self.blocks.sort_unstable();
        self.blocks.dedup();
        if let Some(block) = self.blocks.iter().find(|block| !range.contains(&block.number)) {
            return Err(Unread::Lie(format!(
                "a log of block {} was not asked for",
                block.number
            )));
        }
        if let Some((number, log_index)) = self.foreign {
            return Err(Unread::Lie(format!(
                "log {log_index} of block {number} is outside the filter"
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
pub(crate) fn check_order(block: &[Log]) -> Result<(), &'static str> {
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
pub(crate) struct FilterSet {
    chain: ChainId,
    topics: FxHashSet<B256>,
    addresses: FxHashSet<Address>,
    whole: FxHashSet<Address>,
    shared: Vec<SharedTopic>,
    holds: Option<fn(ChainId, &Log) -> bool>,
}

impl FilterSet {
    pub(crate) fn of(chain: ChainId, filter: &Filter) -> Self {
        FilterSet {
            chain,
            topics: filter.topics.iter().copied().collect(),
            addresses: filter.addresses.iter().copied().collect(),
            whole: filter.whole.iter().copied().collect(),
            shared: filter.shared.clone(),
            holds: filter.holds,
        }
    }

    /// Whether an answer may hold a log of this contract with these topics.
    fn asks_for(&self, contract: &Address, topics: &[B256]) -> bool {
        self.has_whole(contract) || (self.has_topic(topics) && self.has_address(contract))
    }

    /// Whether a log is dropped unless it stands in a transaction that holds it. Where contracts are named, what else is in the
    /// transaction is not known yet.
    fn leaves_out(&self, contract: &Address, topics: &[B256]) -> bool {
        self.is_split() && self.is_beside(contract, topics)
    }

    /// Whether a log with these topics has a shared one and stands for itself.
    fn is_sole(&self, topics: &[B256]) -> bool {
        let mut shared = self.shared.iter();
        shared.any(|shared| topics.first() == Some(&shared.topic) && topics.len() >= shared.topic_count)
    }

    fn is_beside(&self, contract: &Address, topics: &[B256]) -> bool {
        self.shared.iter().any(|shared| shared.is_beside(contract, topics)) && !self.has_whole(contract)
    }

    /// Whether shared topics are asked for apart where endpoints can.
    pub(crate) fn is_split(&self) -> bool {
        !self.shared.is_empty() && self.addresses.is_empty()
    }

    /// Whether the log keeps the other logs of its transaction that have shared topics.
    pub(crate) fn holds(&self, log: &Log) -> bool {
        self.holds.is_some_and(|holds| holds(self.chain, log))
    }

    /// Whether the log is wanted whatever else is in its transaction.
    pub(crate) fn matches(&self, log: &Log) -> bool {
        self.asks_for(&log.address, &log.topics) && !self.is_beside(&log.address, &log.topics)
    }

    /// Whether the log is wanted in a transaction whose every log is, or that holds those of shared topics.
    pub(crate) fn wants(&self, log: &Log, is_drawn: bool, is_holding: bool) -> bool {
        let is_asked = is_drawn && self.has_topic(&log.topics) || self.asks_for(&log.address, &log.topics);
        is_asked && (is_holding || !self.is_beside(&log.address, &log.topics))
    }

    /// Whether topics and address are among those asked for.
    pub(crate) fn matches_both(&self, log: &Log) -> bool {
        self.has_topic(&log.topics) && self.has_address(&log.address)
    }

    /// Whether the log shows that its transaction was read whole.
    pub(crate) fn is_extra(&self, log: &Log) -> bool {
        if self.addresses.is_empty() {
            self.is_beside(&log.address, &log.topics)
        } else {
            !self.has_address(&log.address)
        }
    }

    fn has_whole(&self, contract: &Address) -> bool {
        !self.whole.is_empty() && self.whole.contains(contract)
    }

    fn has_address(&self, contract: &Address) -> bool {
        self.addresses.is_empty() || self.addresses.contains(contract)
    }

    fn has_topic(&self, topics: &[B256]) -> bool {
        self.topics.is_empty() || topics.first().is_some_and(|topic| self.topics.contains(topic))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::b256;
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
        let filter = Filter {
            topics: vec![TOPIC],
            addresses: vec![Address::repeat_byte(0xaa)],
            ..Filter::default()
        };
        let set = FilterSet::of(ChainId(1), &filter);
        let mut logs = Logs::read(&[Body::Alone(answer(logs))], &set)?;
        logs.check(&(5..=7))?;
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
    fn what_only_shares_a_topic_is_dropped_except_beside_what_holds_it() {
        let sole = |block: u64, index: u64, transaction: u64| {
            let mut log = wire(block, index, transaction);
            log["topics"] = json!([TOPIC, B256::ZERO, B256::ZERO, B256::ZERO]);
            log
        };
        // Transaction 1 holds what stands beside; data that is dropped is not looked at.
        let mut unread = wire(5, 1, 0);
        unread["data"] = json!("0xno");
        let logs = [sole(5, 0, 0), unread, wire(5, 2, 1), sole(5, 3, 1), wire(6, 0, 2)];
        let set = |whole: &[Address]| {
            let filter = Filter {
                topics: vec![TOPIC],
                whole: whole.to_vec(),
                shared: vec![SharedTopic {
                    topic: TOPIC,
                    topic_count: 4,
                    contracts: vec![],
                }],
                holds: Some(|_, log| log.log_index == 3),
                ..Filter::default()
            };
            FilterSet::of(ChainId(1), &filter)
        };
        let read = |logs: &[Value], set: &FilterSet| {
            let mut logs = Logs::read(&[Body::Alone(answer(logs))], set)?;
            logs.check(&(5..=7))?;
            Ok::<_, Unread>(logs)
        };
        let sifted = read(&logs, &set(&[])).unwrap();
        let places: Vec<_> = sifted
            .logs
            .iter()
            .map(|log| (log.block_number, log.log_index))
            .collect();
        assert_eq!(places, [(5, 0), (5, 2), (5, 3)]);
        assert_eq!((sifted.received, sifted.is_unsplit), (5, true));
        assert_eq!(
            sifted.blocks.len(),
            2,
            "block 6 is named, though nothing of it is wanted"
        );
        assert!(!read(&logs[..1], &set(&[])).unwrap().is_unsplit);
        // Of a contract that is wanted whole, everything is.
        let all = read(&logs[2..], &set(&[Address::repeat_byte(0xaa)])).unwrap();
        assert_eq!((all.logs.len(), all.is_unsplit), (3, false));
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
