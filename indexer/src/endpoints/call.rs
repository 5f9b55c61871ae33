//! The JSON-RPC calls the pool makes.

use std::fmt::Write as _;
use std::ops::RangeInclusive;

use alloy_primitives::{Address, B256, hex};
use decoders::block;

use super::settings::Filter;

/// One method with its parameters as JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Call {
    pub(super) method: &'static str,
    params: String,
}

impl Call {
    pub(super) fn chain_id() -> Self {
        Call {
            method: "eth_chainId",
            params: "[]".to_owned(),
        }
    }

    pub(super) fn subscribe_heads() -> Self {
        Call {
            method: "eth_subscribe",
            params: r#"["newHeads"]"#.to_owned(),
        }
    }

    pub(super) fn header_at(number: u64) -> Self {
        Call {
            method: "eth_getBlockByNumber",
            params: format!(r#"["{number:#x}",false]"#),
        }
    }

    pub(super) fn header_tagged(tag: &str) -> Self {
        Call {
            method: "eth_getBlockByNumber",
            params: format!(r#"["{tag}",false]"#),
        }
    }

    pub(super) fn header_of(hash: B256) -> Self {
        Call {
            method: "eth_getBlockByHash",
            params: format!(r#"["{hash}",false]"#),
        }
    }

    pub(super) fn receipts_of(hash: B256) -> Self {
        Call {
            method: "eth_getBlockReceipts",
            params: format!(r#"["{hash}"]"#),
        }
    }

    pub(super) fn receipt(tx_hash: B256) -> Self {
        Call {
            method: "eth_getTransactionReceipt",
            params: format!(r#"["{tx_hash}"]"#),
        }
    }

    pub(super) fn transaction(hash: B256) -> Self {
        Call {
            method: "eth_getTransactionByHash",
            params: format!(r#"["{hash}"]"#),
        }
    }

    pub(super) fn contract(call: &block::Call) -> Self {
        let (to, data) = (hex::encode_prefixed(call.to), hex::encode_prefixed(&call.input));
        let at = call
            .at
            .map_or_else(|| "latest".to_owned(), |height| format!("{height:#x}"));
        Call {
            method: "eth_call",
            params: format!(r#"[{{"to":"{to}","data":"{data}"}},"{at}"]"#),
        }
    }

    /// The logs of a block: one call, and a second one where the filter wants every log of some contracts.
    pub(super) fn logs_of(hash: B256, filter: &Filter) -> Vec<Self> {
        Self::logs(&format!(r#""blockHash":"{hash}""#), filter)
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
            .map(|filter| Call {
                method: "eth_getLogs",
                params: format!("[{{{blocks}{filter}}}]"),
            })
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
        calls.extend([Call::header_at(255), Call::receipts_of(B256::ZERO)]);
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
        let all: Value = serde_json::from_str(&request(&Call::logs_of(B256::ZERO, &Filter::default()), 1)).unwrap();
        assert_eq!(all["params"], json!([{"blockHash": B256::ZERO}]));
    }

    #[test]
    fn contracts_wanted_whole_are_a_second_call_beside_the_first() {
        let filter = Filter {
            topics: vec![B256::ZERO],
            whole: vec![Address::repeat_byte(7)],
            ..Filter::default()
        };
        let batch: Value = serde_json::from_str(&request(&Call::logs_of(B256::ZERO, &filter), 1)).unwrap();
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
