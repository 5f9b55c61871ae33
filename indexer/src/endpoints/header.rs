//! Headers as endpoints serve them, and whether their hash is the hash of their content.

use std::fmt;

use alloy::consensus::Header as Fields;
use alloy_primitives::{B64, B256, Bloom, FixedBytes, U256};
use decoders::block::{Block, BlockRef};
use serde::de::{IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::settings::Header;
use super::wire::{self, Account, Data, Quantity, Unread, Word};

/// Whether a header's hash could be recomputed from its fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Seal {
    /// The hash is that of the fields.
    Proven,
    /// A field Ethereum's rule needs is missing, or there is one this program does not know.
    Incomplete(String),
    /// All fields are there and give another hash.
    Mismatch,
}

/// A header with what the checks of logs and receipts need of it.
#[derive(Clone, Debug)]
pub(super) struct SealedHeader {
    pub(super) block: Block,
    pub(super) parent_hash: B256,
    pub(super) bloom: Box<Bloom>,
    pub(super) receipts_root: B256,
    /// Transactions in the block, when the answer lists them.
    pub(super) transactions: Option<usize>,
    /// Before EIP-1559, and so perhaps before EIP-658, when receipts held a state root that many nodes no longer have.
    pub(super) early: bool,
    pub(super) seal: Seal,
}

impl SealedHeader {
    pub(super) fn reference(&self) -> BlockRef {
        self.block.block_ref()
    }

    pub(super) fn brief(&self) -> Header {
        Header {
            block: self.block,
            parent_hash: self.parent_hash,
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire {
    number: Option<Quantity>,
    hash: Option<Word>,
    parent_hash: Word,
    timestamp: Quantity,
    logs_bloom: Option<wire::Block<256>>,
    receipts_root: Option<Word>,
    #[serde(rename = "sha3Uncles")]
    ommers_hash: Option<Word>,
    miner: Option<Account>,
    state_root: Option<Word>,
    transactions_root: Option<Word>,
    difficulty: Option<U256>,
    gas_limit: Option<Quantity>,
    gas_used: Option<Quantity>,
    extra_data: Option<Data>,
    mix_hash: Option<Word>,
    nonce: Option<wire::Block<8>>,
    base_fee_per_gas: Option<Quantity>,
    withdrawals_root: Option<Word>,
    blob_gas_used: Option<Quantity>,
    excess_blob_gas: Option<Quantity>,
    parent_beacon_block_root: Option<Word>,
    requests_hash: Option<Word>,
    block_access_list_hash: Option<Word>,
    slot_number: Option<Quantity>,
    transactions: Option<Count>,
}

/// Members of header objects that are known to have no part in the hash, or that the hash takes from another member.
const KNOWN: &[&str] = &[
    "number",
    "hash",
    "parentHash",
    "timestamp",
    "logsBloom",
    "receiptsRoot",
    "sha3Uncles",
    "miner",
    "stateRoot",
    "transactionsRoot",
    "difficulty",
    "gasLimit",
    "gasUsed",
    "extraData",
    "mixHash",
    "nonce",
    "baseFeePerGas",
    "withdrawalsRoot",
    "blobGasUsed",
    "excessBlobGas",
    "parentBeaconBlockRoot",
    "requestsHash",
    "blockAccessListHash",
    "slotNumber",
    "transactions",
    "withdrawals",
    "uncles",
    "size",
    "totalDifficulty",
    "l1BlockNumber",
    "sendCount",
    "sendRoot",
    "blockAccessList",
];

/// Length of an array whose members are passed over.
struct Count(usize);

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Count;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("transactions")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut members: A) -> Result<Count, A::Error> {
                let mut count = 0;
                while members.next_element::<IgnoredAny>()?.is_some() {
                    count += 1;
                }
                Ok(Count(count))
            }
        }
        deserializer.deserialize_seq(Members)
    }
}

/// Reads a header object and recomputes its hash.
pub(super) fn read(json: &str) -> Result<SealedHeader, Unread> {
    let wire: Wire = serde_json::from_str(json)?;
    let missing = |what: &str| Unread::Malformed(format!("a header without {what}"));
    let number = wire.number.ok_or_else(|| missing("number"))?.0;
    let hash = wire.hash.ok_or_else(|| missing("hash"))?.0;
    let block = Block {
        number,
        hash,
        time: wire.timestamp.0,
    };
    let bloom = Box::new(Bloom::new(
        *wire.logs_bloom.as_ref().ok_or_else(|| missing("logsBloom"))?.0,
    ));
    let receipts_root = wire.receipts_root.ok_or_else(|| missing("receiptsRoot"))?.0;
    let seal = match fields(&wire, number, *bloom, receipts_root) {
        Err(field) => Seal::Incomplete(format!("{field} is missing")),
        Ok(fields) if fields.hash_slow() == hash => Seal::Proven,
        Ok(_) => stranger(json).map_or(Seal::Mismatch, |name| {
            Seal::Incomplete(format!("member {name:?} is unknown"))
        }),
    };
    Ok(SealedHeader {
        block,
        parent_hash: wire.parent_hash.0,
        bloom,
        receipts_root,
        transactions: wire.transactions.map(|count| count.0),
        early: wire.base_fee_per_gas.is_none(),
        seal,
    })
}

fn fields(wire: &Wire, number: u64, bloom: Bloom, receipts_root: B256) -> Result<Fields, &'static str> {
    let word = |field: Option<Word>, name| field.map(|word| word.0).ok_or(name);
    let small = |field: Option<Quantity>, name| field.map(|number| number.0).ok_or(name);
    Ok(Fields {
        parent_hash: wire.parent_hash.0,
        ommers_hash: word(wire.ommers_hash, "sha3Uncles")?,
        beneficiary: wire.miner.ok_or("miner")?.0,
        state_root: word(wire.state_root, "stateRoot")?,
        transactions_root: word(wire.transactions_root, "transactionsRoot")?,
        receipts_root,
        logs_bloom: bloom,
        difficulty: wire.difficulty.ok_or("difficulty")?,
        number,
        gas_limit: small(wire.gas_limit, "gasLimit")?,
        gas_used: small(wire.gas_used, "gasUsed")?,
        timestamp: wire.timestamp.0,
        extra_data: wire.extra_data.as_ref().ok_or("extraData")?.0.clone(),
        mix_hash: word(wire.mix_hash, "mixHash")?,
        nonce: B64::from(FixedBytes::new(*wire.nonce.as_ref().ok_or("nonce")?.0)),
        base_fee_per_gas: wire.base_fee_per_gas.map(|number| number.0),
        withdrawals_root: wire.withdrawals_root.map(|word| word.0),
        blob_gas_used: wire.blob_gas_used.map(|number| number.0),
        excess_blob_gas: wire.excess_blob_gas.map(|number| number.0),
        parent_beacon_block_root: wire.parent_beacon_block_root.map(|word| word.0),
        requests_hash: wire.requests_hash.map(|word| word.0),
        block_access_list_hash: wire.block_access_list_hash.map(|word| word.0),
        slot_number: wire.slot_number.map(|number| number.0),
    })
}

/// A member with a value that is not in the list: the sign of a fork or a chain with fields of its own.
fn stranger(json: &str) -> Option<String> {
    let members: serde_json::Map<String, serde_json::Value> = serde_json::from_str(json).ok()?;
    let unknown = members
        .into_iter()
        .find(|(name, value)| !value.is_null() && !KNOWN.contains(&name.as_str()))?;
    Some(unknown.0.chars().filter(char::is_ascii_alphanumeric).take(40).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn header(change: impl Fn(&mut serde_json::Value)) -> String {
        let fields = Fields {
            number: 12,
            timestamp: 34,
            base_fee_per_gas: Some(7),
            ..Fields::default()
        };
        let mut json = serde_json::to_value(&fields).unwrap();
        json["hash"] = serde_json::to_value(fields.hash_slow()).unwrap();
        json["transactions"] = serde_json::json!(["0x1", {"nested": []}]);
        change(&mut json);
        json.to_string()
    }

    #[test]
    fn a_header_that_recomputes_is_proven() {
        let read = read(&header(|_| {})).unwrap();
        assert_eq!(
            (read.block.number, read.block.time, read.transactions, read.early),
            (12, 34, Some(2), false)
        );
        assert_eq!(read.seal, Seal::Proven);
    }

    #[test]
    fn a_changed_field_is_a_mismatch_a_missing_or_unknown_one_is_not() {
        assert_eq!(
            read(&header(|json| json["timestamp"] = "0x23".into())).unwrap().seal,
            Seal::Mismatch
        );
        let missing = header(|json| json["mixHash"] = serde_json::Value::Null);
        assert_eq!(
            read(&missing).unwrap().seal,
            Seal::Incomplete("mixHash is missing".to_owned())
        );
        let foreign = header(|json| {
            json["timestamp"] = "0x23".into();
            json["extDataHash"] = "0x1".into();
        });
        assert_eq!(
            read(&foreign).unwrap().seal,
            Seal::Incomplete("member \"extDataHash\" is unknown".to_owned())
        );
        // A member that takes no part in the hash changes nothing.
        assert_eq!(
            read(&header(|json| json["extDataHash"] = "0x1".into())).unwrap().seal,
            Seal::Proven
        );
    }

    #[test]
    fn a_header_without_its_name_is_malformed() {
        for member in ["number", "hash", "parentHash", "timestamp", "logsBloom", "receiptsRoot"] {
            let bare = header(|json| json[member] = serde_json::Value::Null);
            assert!(matches!(read(&bare), Err(Unread::Malformed(_))), "{member}");
        }
    }

    proptest! {
        #[test]
        fn any_member_may_hold_anything(member in 0usize..KNOWN.len(), value in "\\PC{0,40}", number: i64, flip: bool) {
            let text = header(|json| json[KNOWN[member]] = if flip { value.clone().into() } else { number.into() });
            drop(read(&text));
        }

        #[test]
        fn any_text_is_read_without_panic(text in "\\PC*") {
            drop(read(&text));
        }
    }
}
