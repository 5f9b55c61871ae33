//! The JSON-RPC calls the pool makes.

use std::fmt::Write as _;
use std::ops::RangeInclusive;
use std::sync::Arc;

use alloy_primitives::{Address, B256, hex};
use decoders::SharedTopic;
use decoders::block::{self, BlockRef};

use crate::settings::Filter;

/// Longest answers, in bytes: of a number, of a header or transaction, and of what grows with nothing but a contract's mind.
const TINY: usize = 64 << 10;
const SMALL: usize = 4 << 20;
const MIDDLING: usize = 16 << 20;

/// One method with its parameters as JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) method: &'static str,
    params: String,
    /// The same question about a block by its height, where the call names the block by its hash. Not every server answers both.
    by_number: Option<Box<Call>>,
    /// What the logs asked for are, where they can be asked for in parts.
    filter: Option<Arc<Parts>>,
}

/// An `eth_getLogs` that can be split by the contracts and the topics it asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Parts {
    /// The members of the filter object that name the blocks.
    blocks: String,
    topics: Vec<B256>,
    addresses: Vec<Address>,
    /// The topics among `topics` that may be asked for by their number of topics, where the endpoint honours that.
    shared: Arc<[SharedTopic]>,
    /// Topics that a log must have, any of them behind the first.
    least: usize,
}

impl Call {
    fn new(method: &'static str, params: String) -> Self {
        let by_number = None;
        Call {
            method,
            params,
            by_number,
            filter: None,
        }
    }

    fn or(self, by_number: Call) -> Self {
        let by_number = Some(Box::new(by_number));
        Call { by_number, ..self }
    }

    /// The call in the form that names its block by height, if it has one.
    pub(crate) fn by_number(&self) -> Option<&Call> {
        self.by_number.as_deref()
    }

    /// Whether it asks for a block's header by its hash.
    pub(crate) fn is_header_of_hash(&self) -> bool {
        self.method == "eth_getBlockByHash"
    }

    /// The longest answer it may have, in bytes.
    pub(crate) fn longest(&self) -> usize {
        match self.method {
            "eth_chainId" | "eth_subscribe" => TINY,
            "eth_getBlockByNumber" | "eth_getBlockByHash" | "eth_getTransactionByHash" => SMALL,
            "eth_call" | "eth_getTransactionReceipt" => MIDDLING,
            _ => usize::MAX,
        }
    }

    pub(crate) fn chain_id() -> Self {
        Call::new("eth_chainId", "[]".to_owned())
    }

    pub(crate) fn subscribe_heads() -> Self {
        Call::new("eth_subscribe", r#"["newHeads"]"#.to_owned())
    }

    pub(crate) fn header_at(number: u64) -> Self {
        Call::new("eth_getBlockByNumber", format!(r#"["{number:#x}",false]"#))
    }

    pub(crate) fn header_tagged(tag: &str) -> Self {
        Call::new("eth_getBlockByNumber", format!(r#"["{tag}",false]"#))
    }

    pub(crate) fn header_of(hash: B256) -> Self {
        Call::new("eth_getBlockByHash", format!(r#"["{hash}",false]"#))
    }

    /// The header of a block whose height is known.
    pub(crate) fn header_of_block(block: BlockRef) -> Self {
        Call::header_of(block.hash).or(Call::header_at(block.number))
    }

    pub(crate) fn receipts_of(block: BlockRef) -> Self {
        let receipts = |block: String| Call::new("eth_getBlockReceipts", format!(r#"["{block}"]"#));
        receipts(block.hash.to_string()).or(receipts(format!("{:#x}", block.number)))
    }

    pub(crate) fn receipt(tx_hash: B256) -> Self {
        Call::new("eth_getTransactionReceipt", format!(r#"["{tx_hash}"]"#))
    }

    pub(crate) fn transaction(hash: B256) -> Self {
        Call::new("eth_getTransactionByHash", format!(r#"["{hash}"]"#))
    }

    pub(crate) fn contract(call: &block::Call) -> Self {
        let (to, data) = (hex::encode_prefixed(call.to), hex::encode_prefixed(&call.input));
        let at = call
            .at
            .map_or_else(|| "latest".to_owned(), |height| format!("{height:#x}"));
        Call::new("eth_call", format!(r#"[{{"to":"{to}","data":"{data}"}},"{at}"]"#))
    }

    /// The logs of a block: one call, and a second one where the filter wants every log of some contracts.
    pub(crate) fn logs_of(block: BlockRef, filter: &Filter) -> Vec<Self> {
        // Whole: that a single block has no log is shown by logs of other contracts alone.
        let by_hash = Self::logs(&format!(r#""blockHash":"{}""#, block.hash), filter, &[]);
        let by_number = Self::logs(&blocks_of(&(block.number..=block.number)), filter, &[]);
        by_hash
            .into_iter()
            .zip(by_number)
            .map(|(call, by_number)| call.or(by_number))
            .collect()
    }

    /// The logs of a range, in as many calls as [`Call::logs_of`].
    pub(crate) fn logs_in(range: &RangeInclusive<u64>, filter: &Filter) -> Vec<Self> {
        // Contracts that are named emit little that is not wanted.
        let shared = if filter.addresses.is_empty() {
            filter.shared.as_slice()
        } else {
            &[]
        };
        Self::logs(&blocks_of(range), filter, shared)
    }

    /// The logs of `shared` in a range that stand for themselves, whichever contract emitted them.
    pub(crate) fn sole_logs_in(range: &RangeInclusive<u64>, shared: &SharedTopic) -> Self {
        Self::of_parts(Parts::sole(blocks_of(range), shared))
    }

    fn logs(blocks: &str, filter: &Filter, shared: &[SharedTopic]) -> Vec<Self> {
        let whole = (!filter.whole.is_empty()).then(|| (Vec::new(), filter.whole.clone(), &[][..]));
        std::iter::once((filter.topics.clone(), filter.addresses.clone(), shared))
            .chain(whole)
            .map(|(topics, addresses, shared)| {
                Self::of_parts(Parts {
                    shared: shared.into(),
                    ..Parts::of(blocks.to_owned(), topics, addresses)
                })
            })
            .collect()
    }

    /// Calls that together ask for the same, without the logs of shared topics that do not stand for themselves.
    pub(crate) fn by_position(self) -> Vec<Self> {
        let parts = match &self.filter {
            Some(parts) if !parts.shared.is_empty() => parts,
            _ => return vec![self],
        };
        let is_shared = |topic: &B256| parts.shared.iter().any(|shared| shared.topic == *topic);
        let others = parts.topics.iter().copied().filter(|topic| !is_shared(topic)).collect();
        let blocks = || parts.blocks.clone();
        let mut split = vec![Self::of_parts(Parts::of(blocks(), others, Vec::new()))];
        for shared in &*parts.shared {
            split.push(Self::of_parts(Parts::sole(blocks(), shared)));
            if !shared.contracts.is_empty() {
                let listed = Parts::of(blocks(), vec![shared.topic], shared.contracts.clone());
                split.push(Self::of_parts(listed));
            }
        }
        // A filter without topics would ask for every log.
        split.retain(|call| call.values().1 > 0);
        split
    }

    fn of_parts(parts: Parts) -> Self {
        let (blocks, filter) = (&parts.blocks, filter_json(&parts));
        Call {
            method: "eth_getLogs",
            params: format!("[{{{blocks}{filter}}}]"),
            by_number: None,
            filter: Some(Arc::new(parts)),
        }
    }

    /// Contracts and topics of the filter; none of both for a call without one.
    pub(crate) fn values(&self) -> (usize, usize) {
        let values = |parts: &Arc<Parts>| (parts.addresses.len(), parts.topics.len());
        self.filter.as_ref().map_or((0, 0), values)
    }

    /// Calls that together ask for the same, none with more contracts or topics than these.
    pub(crate) fn within(self, addresses: usize, topics: usize) -> Vec<Self> {
        let (has_addresses, has_topics) = self.values();
        let parts = match &self.filter {
            Some(parts) if has_addresses > addresses || has_topics > topics => parts,
            _ => return vec![self],
        };
        let by_address = chunks(&parts.addresses, addresses);
        let by_topic = chunks(&parts.topics, topics);
        let part = |addresses: &[Address], topics: &[B256]| {
            Self::of_parts(Parts {
                topics: topics.to_vec(),
                addresses: addresses.to_vec(),
                ..Parts::clone(parts)
            })
        };
        let all_topics = |addresses| by_topic.iter().map(move |topics| part(addresses, topics));
        by_address.iter().flat_map(|addresses| all_topics(addresses)).collect()
    }
}

impl Parts {
    fn of(blocks: String, topics: Vec<B256>, addresses: Vec<Address>) -> Self {
        Parts {
            blocks,
            topics,
            addresses,
            shared: Arc::default(),
            least: 0,
        }
    }

    fn sole(blocks: String, shared: &SharedTopic) -> Self {
        Parts {
            least: shared.topic_count,
            ..Self::of(blocks, vec![shared.topic], Vec::new())
        }
    }
}

/// The members of a filter object that name a range.
fn blocks_of(range: &RangeInclusive<u64>) -> String {
    let (from, to) = (range.start(), range.end());
    format!(r#""fromBlock":"{from:#x}","toBlock":"{to:#x}""#)
}

/// At most `size` values each; no values mean any and stay together.
fn chunks<T>(values: &[T], size: usize) -> Vec<&[T]> {
    if values.is_empty() {
        return vec![values];
    }
    values.chunks(size.max(1)).collect()
}

fn filter_json(parts: &Parts) -> String {
    let Parts {
        topics,
        addresses,
        least,
        ..
    } = parts;
    let mut json = String::new();
    if !topics.is_empty() {
        json.push_str(r#","topics":[["#);
        push_all(&mut json, topics);
        json.push(']');
        // Any topic will do there, but there must be one.
        json.extend(std::iter::repeat_n(",null", least.saturating_sub(1)));
        json.push(']');
    }
    if !addresses.is_empty() {
        json.push_str(r#","address":["#);
        push_all(&mut json, addresses.iter().map(hex::encode_prefixed));
        json.push(']');
    }
    json
}

fn push_all(json: &mut String, all: impl IntoIterator<Item = impl std::fmt::Display>) {
    for (place, one) in all.into_iter().enumerate() {
        let comma = if place == 0 { "" } else { "," };
        write!(json, r#"{comma}"{one}""#).expect("writing to a string cannot fail");
    }
}

/// The request text of `calls` under the ids from `id` on: one object, or a batch.
pub(crate) fn request<'a>(calls: impl IntoIterator<Item = &'a Call>, id: u64) -> String {
    let one = |(call, id): (&Call, u64)| {
        format!(
            r#"{{"jsonrpc":"2.0","id":{id},"method":"{}","params":{}}}"#,
            call.method, call.params
        )
    };
    let calls: Vec<String> = calls.into_iter().zip(id..).map(one).collect();
    match <[String; 1]>::try_from(calls) {
        Ok([call]) => call,
        Err(calls) => format!("[{}]", calls.join(",")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn requests_are_json_rpc() {
        let filter = Filter {
            topics: vec![B256::ZERO, B256::repeat_byte(1)],
            addresses: vec![Address::ZERO],
            ..Filter::default()
        };
        let mut calls = Call::logs_in(&(16..=31), &filter);
        let block = BlockRef {
            number: 255,
            hash: B256::ZERO,
        };
        calls.extend([Call::header_at(255), Call::receipts_of(block)]);
        let batch: Value = serde_json::from_str(&request(&calls, 9)).unwrap();
        assert_eq!(
            batch[0],
            json!({"jsonrpc": "2.0", "id": 9, "method": "eth_getLogs", "params": [{
                "fromBlock": "0x10", "toBlock": "0x1f",
                "topics": [[B256::ZERO, B256::repeat_byte(1)]], "address": [Address::ZERO],
            }]})
        );
        assert_eq!(
            batch[1],
            json!({"jsonrpc": "2.0", "id": 10, "method": "eth_getBlockByNumber", "params": ["0xff", false]})
        );
        assert_eq!(batch[2]["id"], 11);
        let all: Value = serde_json::from_str(&request(&Call::logs_of(block, &Filter::default()), 1)).unwrap();
        assert_eq!(all["params"], json!([{"blockHash": B256::ZERO}]));
    }

    #[test]
    fn what_is_asked_by_hash_can_be_asked_by_height() {
        let block = BlockRef {
            number: 255,
            hash: B256::ZERO,
        };
        let mut calls = Call::logs_of(block, &Filter::default());
        calls.extend([Call::header_of_block(block), Call::receipts_of(block)]);
        let by_number: Vec<Call> = calls.iter().filter_map(|call| call.by_number().cloned()).collect();
        let batch: Value = serde_json::from_str(&request(&by_number, 1)).unwrap();
        assert_eq!(batch[0]["params"], json!([{"fromBlock": "0xff", "toBlock": "0xff"}]));
        assert_eq!(
            (&batch[1]["method"], &batch[1]["params"]),
            (&json!("eth_getBlockByNumber"), &json!(["0xff", false]))
        );
        assert_eq!(batch[2]["params"], json!(["0xff"]));
        assert_eq!(Call::header_of(B256::ZERO).by_number(), None);
    }

    #[test]
    fn a_filter_in_parts_asks_for_every_pair_once_and_for_no_more_than_it_may() {
        let filter = Filter {
            topics: (0..5).map(B256::repeat_byte).collect(),
            addresses: (0..7).map(Address::repeat_byte).collect(),
            ..Filter::default()
        };
        let [call] = Call::logs_in(&(1..=2), &filter).try_into().unwrap();
        assert_eq!(call.clone().within(7, 5), std::slice::from_ref(&call));
        let parts = call.within(3, 2);
        assert_eq!(parts.len(), 3 * 3);
        let mut pairs = Vec::new();
        for part in parts.iter().map(|part| part.filter.as_ref().unwrap()) {
            assert!(part.addresses.len() <= 3 && part.topics.len() <= 2 && part.blocks.contains("fromBlock"));
            pairs.extend(
                part.addresses
                    .iter()
                    .flat_map(|one| part.topics.iter().map(move |topic| (*one, *topic))),
            );
        }
        pairs.sort_unstable();
        pairs.dedup();
        assert_eq!(pairs.len(), 35);
        // Every contract, and every topic: not to be split.
        let [any] = Call::logs_in(&(1..=2), &Filter::default()).try_into().unwrap();
        assert_eq!(any.clone().within(1, 1), [any]);
        assert_eq!(Call::header_at(1).within(1, 1), [Call::header_at(1)]);
    }

    #[test]
    fn a_shared_topic_is_asked_for_by_position_and_of_listed_contracts_without() {
        let (shared, other, listed) = (B256::repeat_byte(1), B256::repeat_byte(2), Address::repeat_byte(7));
        let filter = |contracts: &[Address]| Filter {
            topics: vec![shared, other],
            shared: vec![SharedTopic {
                topic: shared,
                topic_count: 4,
                contracts: contracts.to_vec(),
            }],
            ..Filter::default()
        };
        let split = |filter: &Filter| {
            let [call] = Call::logs_in(&(1..=2), filter).try_into().unwrap();
            let parts = call
                .clone()
                .by_position()
                .into_iter()
                .flat_map(|part| part.within(9, 1));
            let parts: Vec<Call> = parts.collect();
            (call, parts)
        };
        let (call, parts) = split(&filter(&[listed]));
        let batch: Value = serde_json::from_str(&request(&parts, 1)).unwrap();
        assert_eq!(batch[0]["params"][0]["topics"], json!([[other]]));
        assert_eq!(batch[1]["params"][0]["topics"], json!([[shared], null, null, null]));
        assert_eq!(batch[1]["params"][0].get("address"), None);
        assert_eq!(
            (&batch[2]["params"][0]["topics"], &batch[2]["params"][0]["address"]),
            (&json!([[shared]]), &json!([listed]))
        );
        // As it is, where positions are not honoured.
        let whole: Value = serde_json::from_str(&request([&call], 1)).unwrap();
        assert_eq!(whole["params"][0]["topics"], json!([[shared, other]]));
        assert_eq!(split(&filter(&[])).1.len(), 2);
        let of_contracts = Filter {
            addresses: vec![listed],
            ..filter(&[])
        };
        assert_eq!(split(&of_contracts).1.len(), 2, "by topic alone");
        let [call] = Call::logs_of(
            BlockRef {
                number: 1,
                hash: B256::ZERO,
            },
            &filter(&[]),
        )
        .try_into()
        .unwrap();
        assert_eq!(call.clone().by_position(), [call]);
    }

    #[test]
    fn contracts_wanted_whole_are_a_second_call_beside_the_first() {
        let filter = Filter {
            topics: vec![B256::ZERO],
            whole: vec![Address::repeat_byte(7)],
            ..Filter::default()
        };
        let block = BlockRef {
            number: 255,
            hash: B256::ZERO,
        };
        let batch: Value = serde_json::from_str(&request(&Call::logs_of(block, &filter), 1)).unwrap();
        assert_eq!(
            batch[0]["params"],
            json!([{"blockHash": B256::ZERO, "topics": [[B256::ZERO]]}])
        );
        assert_eq!(
            batch[1]["params"],
            json!([{"blockHash": B256::ZERO, "address": [Address::repeat_byte(7)]}])
        );
    }
}
