//! The JSON-RPC calls the pool makes.

use std::fmt::Write as _;
use std::ops::RangeInclusive;

use alloy_primitives::{Address, B256, hex};
use decoders::block::{self, BlockRef};

use super::settings::Filter;

/// Longest answers, in bytes: of a number, of a header or transaction, and of what grows with nothing but a contract's mind.
const TINY: usize = 64 << 10;
const SMALL: usize = 4 << 20;
const MIDDLING: usize = 16 << 20;

/// One method with its parameters as JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Call {
    pub(super) method: &'static str,
    params: String,
    /// The same question about a block by its height, where the call names the block by its hash. Not every server answers both.
    by_number: Option<Box<Call>>,
}

impl Call {
    fn new(method: &'static str, params: String) -> Self {
        let by_number = None;
        Call {
            method,
            params,
            by_number,
        }
    }

    fn or(self, by_number: Call) -> Self {
        let by_number = Some(Box::new(by_number));
        Call { by_number, ..self }
    }

    /// The call in the form that names its block by height, if it has one.
    pub(super) fn by_number(&self) -> Option<&Call> {
        self.by_number.as_deref()
    }

    /// The longest answer it may have, in bytes.
    pub(super) fn longest(&self) -> usize {
        match self.method {
            "eth_chainId" | "eth_subscribe" => TINY,
            "eth_getBlockByNumber" | "eth_getBlockByHash" | "eth_getTransactionByHash" => SMALL,
            "eth_call" | "eth_getTransactionReceipt" => MIDDLING,
            _ => usize::MAX,
        }
    }

    pub(super) fn chain_id() -> Self {
        Call::new("eth_chainId", "[]".to_owned())
    }

    pub(super) fn subscribe_heads() -> Self {
        Call::new("eth_subscribe", r#"["newHeads"]"#.to_owned())
    }

    pub(super) fn header_at(number: u64) -> Self {
        Call::new("eth_getBlockByNumber", format!(r#"["{number:#x}",false]"#))
    }

    pub(super) fn header_tagged(tag: &str) -> Self {
        Call::new("eth_getBlockByNumber", format!(r#"["{tag}",false]"#))
    }

    pub(super) fn header_of(hash: B256) -> Self {
        Call::new("eth_getBlockByHash", format!(r#"["{hash}",false]"#))
    }

    /// The header of a block whose height is known.
    pub(super) fn header_of_block(block: BlockRef) -> Self {
        Call::header_of(block.hash).or(Call::header_at(block.number))
    }

    pub(super) fn receipts_of(block: BlockRef) -> Self {
        let receipts = |block: String| Call::new("eth_getBlockReceipts", format!(r#"["{block}"]"#));
        receipts(block.hash.to_string()).or(receipts(format!("{:#x}", block.number)))
    }

    pub(super) fn receipt(tx_hash: B256) -> Self {
        Call::new("eth_getTransactionReceipt", format!(r#"["{tx_hash}"]"#))
    }

    pub(super) fn transaction(hash: B256) -> Self {
        Call::new("eth_getTransactionByHash", format!(r#"["{hash}"]"#))
    }

    pub(super) fn contract(call: &block::Call) -> Self {
        let (to, data) = (hex::encode_prefixed(call.to), hex::encode_prefixed(&call.input));
        let at = call
            .at
            .map_or_else(|| "latest".to_owned(), |height| format!("{height:#x}"));
        Call::new("eth_call", format!(r#"[{{"to":"{to}","data":"{data}"}},"{at}"]"#))
    }

    /// The logs of a block: one call, and a second one where the filter wants every log of some contracts.
    pub(super) fn logs_of(block: BlockRef, filter: &Filter) -> Vec<Self> {
        let by_hash = Self::logs(&format!(r#""blockHash":"{}""#, block.hash), filter);
        let by_number = Self::logs_in(&(block.number..=block.number), filter);
        by_hash
            .into_iter()
            .zip(by_number)
            .map(|(call, by_number)| call.or(by_number))
            .collect()
    }

    /// The logs of a range, in as many calls as [`Call::logs_of`].
    pub(super) fn logs_in(range: &RangeInclusive<u64>, filter: &Filter) -> Vec<Self> {
        let (from, to) = (range.start(), range.end());
        Self::logs(&format!(r#""fromBlock":"{from:#x}","toBlock":"{to:#x}""#), filter)
    }

    fn logs(blocks: &str, filter: &Filter) -> Vec<Self> {
        let whole = (!filter.whole.is_empty()).then(|| filter_json(&[], &filter.whole));
        std::iter::once(filter_json(&filter.topics, &filter.addresses))
            .chain(whole)
            .map(|filter| Call::new("eth_getLogs", format!("[{{{blocks}{filter}}}]")))
            .collect()
    }
}

fn filter_json(topics: &[B256], addresses: &[Address]) -> String {
    let mut json = String::new();
    if !topics.is_empty() {
        json.push_str(r#","topics":[["#);
        push_all(&mut json, topics);
        json.push_str("]]");
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
pub(super) fn request(calls: &[Call], id: u64) -> String {
    let one = |(call, id): (&Call, u64)| {
        format!(
            r#"{{"jsonrpc":"2.0","id":{id},"method":"{}","params":{}}}"#,
            call.method, call.params
        )
    };
    match calls {
        [call] => one((call, id)),
        calls => format!("[{}]", calls.iter().zip(id..).map(one).collect::<Vec<_>>().join(",")),
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
