//! Headers as endpoints serve them, and whether their hash is the hash of their content.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use alloy::consensus::{EMPTY_ROOT_HASH, Header as Fields};
use alloy_primitives::{B64, B256, Bloom, FixedBytes, U256};
use decoders::block::{Block, BlockRef, LATEST_TIME};
use decoders::id::MAX_BLOCK;
use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::settings::Header;
use crate::wire::{self, Account, Data, Lenient, Quantity, Unread, Word};

/// Whether a header's hash could be recomputed from its fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Seal {
    /// The hash is that of the fields.
    Proven,
    /// A field Ethereum's rule needs is missing, or there is one this program does not know.
    Incomplete(String),
    /// All fields are there and give another hash.
    Mismatch,
}

/// A header with what the checks of logs and receipts need of it.
#[derive(Clone, Debug)]
pub(crate) struct SealedHeader {
    pub(crate) block: Block,
    pub(crate) parent_hash: B256,
    pub(crate) bloom: Box<Bloom>,
    pub(crate) receipts_root: B256,
    /// The hashes of the block's transactions, when the answer lists them.
    pub(crate) transactions: Option<Arc<[B256]>>,
    /// In wei; none before EIP-1559.
    pub(crate) base_fee: Option<u64>,
    pub(crate) header_rules: Seal,
}

impl SealedHeader {
    pub(crate) fn reference(&self) -> BlockRef {
        self.block.block_ref()
    }

    /// How a log or receipt that stands at `tx_index` and states it is of `tx_hash` contradicts the transactions the header
    /// lists.
    ///
    /// What stands behind all transactions is of none of them, and is named by the block: chains emit logs of their own there.
    pub(crate) fn contradicts(&self, tx_index: u32, tx_hash: B256) -> Option<&'static str> {
        let transactions = self.transactions.as_ref()?;
        match transactions.get(usize::try_from(tx_index).unwrap_or(usize::MAX)) {
            Some(listed) if *listed == tx_hash => None,
            Some(_) => Some("another transaction than its header lists there"),
            None if tx_hash == self.block.hash => None,
            None => Some("a transaction the block does not have"),
        }
    }

    /// Whether it is from before EIP-1559, and so perhaps from before EIP-658, when receipts held a state root that many nodes no
    /// longer have.
    pub(crate) fn is_early(&self) -> bool {
        self.base_fee.is_none()
    }

    pub(crate) fn brief(&self) -> Header {
        Header {
            block: self.block,
            parent_hash: self.parent_hash,
        }
    }
}

/// What names a block has to be there. Of what only its hash needs, an odd shape counts as missing: a chain whose headers do not
/// recompute by Ethereum's rule is followed without that proof.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire {
    number: Option<Quantity>,
    hash: Option<Word>,
    parent_hash: Word,
    timestamp: Quantity,
    #[serde(default)]
    logs_bloom: Lenient<wire::Block<256>>,
    #[serde(default)]
    receipts_root: Lenient<Word>,
    #[serde(default, rename = "sha3Uncles")]
    ommers_hash: Lenient<Word>,
    #[serde(default)]
    miner: Lenient<Account>,
    #[serde(default)]
    state_root: Lenient<Word>,
    #[serde(default)]
    transactions_root: Lenient<Word>,
    #[serde(default)]
    difficulty: Lenient<U256>,
    #[serde(default)]
    gas_limit: Lenient<Quantity>,
    #[serde(default)]
    gas_used: Lenient<Quantity>,
    #[serde(default)]
    extra_data: Lenient<Data>,
    #[serde(default)]
    mix_hash: Lenient<Word>,
    #[serde(default)]
    nonce: Lenient<wire::Block<8>>,
    #[serde(default)]
    base_fee_per_gas: Lenient<Quantity>,
    #[serde(default)]
    withdrawals_root: Lenient<Word>,
    #[serde(default)]
    blob_gas_used: Lenient<Quantity>,
    #[serde(default)]
    excess_blob_gas: Lenient<Quantity>,
    #[serde(default)]
    parent_beacon_block_root: Lenient<Word>,
    #[serde(default)]
    requests_hash: Lenient<Word>,
    #[serde(default)]
    block_access_list_hash: Lenient<Word>,
    #[serde(default)]
    slot_number: Lenient<Quantity>,
    #[serde(default)]
    transactions: Listed,
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

/// The hashes of the transactions a header lists; `None` when it lists none, or in a form that names none.
#[derive(Default)]
struct Listed(Option<Vec<B256>>);

impl<'de> Deserialize<'de> for Listed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        /// A transaction as its hash, or as an object that holds it.
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Named {
            Hash(Word),
            Whole { hash: Word },
        }
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Vec<B256>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("transactions")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut members: A) -> Result<Vec<B256>, A::Error> {
                let mut hashes = Vec::new();
                while let Some(Named::Hash(hash) | Named::Whole { hash }) = members.next_element()? {
                    hashes.push(hash.0);
                }
                Ok(hashes)
            }
        }
        let raw = <&RawValue>::deserialize(deserializer)?;
        // From the raw text, so that a list of another shape costs this field and not the header.
        let hashes = serde_json::Deserializer::from_str(raw.get()).deserialize_seq(Members);
        Ok(Listed(hashes.ok()))
    }
}

/// Reads a header object and recomputes its hash.
pub(crate) fn read(json: &str) -> Result<SealedHeader, Unread> {
    let wire: Wire = serde_json::from_str(json)?;
    let missing = |what: &str| Unread::Malformed(format!("a header without {what}"));
    let number = wire.number.ok_or_else(|| missing("number"))?.0;
    // Before anything is computed with it: an absurd height must not reach positions or ranges.
    if number > MAX_BLOCK {
        return Err(Unread::Lie(format!(
            "block {number} is beyond any height a chain can have"
        )));
    }
    let hash = wire.hash.ok_or_else(|| missing("hash"))?.0;
    let block = Block {
        number,
        hash,
        // Capped to what PostgreSQL can store. The hash below is computed from the time as it came.
        time: wire.timestamp.0.min(LATEST_TIME),
    };
    let bloom = wire.logs_bloom.0.as_ref().map(|bloom| Bloom::new(*bloom.0));
    let receipts_root = wire.receipts_root.0.map(|root| root.0);
    let header_rules = match fields(&wire, number, bloom, receipts_root) {
        Err(field) => Seal::Incomplete(format!("{field} is missing")),
        Ok(fields) if fields.hash_slow() == hash => Seal::Proven,
        // A member that is not known may be a field of a fork to come: that is no lie, but no proof either.
        Ok(_) => stranger(json).map_or(Seal::Mismatch, |name| {
            Seal::Incomplete(format!("member {name:?} is unknown"))
        }),
    };
    let receipts_root = receipts_root.unwrap_or_default();
    let transactions = wire.transactions.0;
    // Some servers answer without the transactions a block has.
    let withheld = transactions.as_ref().is_some_and(Vec::is_empty) && receipts_root != EMPTY_ROOT_HASH;
    Ok(SealedHeader {
        block,
        parent_hash: wire.parent_hash.0,
        bloom: Box::new(bloom.unwrap_or_default()),
        receipts_root,
        transactions: transactions.filter(|_| !withheld).map(Arc::from),
        base_fee: wire.base_fee_per_gas.0.map(|fee| fee.0),
        header_rules,
    })
}

fn fields(wire: &Wire, number: u64, bloom: Option<Bloom>, receipts_root: Option<B256>) -> Result<Fields, &'static str> {
    let word = |field: &Lenient<Word>, name| field.0.map(|word| word.0).ok_or(name);
    let small = |field: &Lenient<Quantity>, name| field.0.map(|number| number.0).ok_or(name);
    Ok(Fields {
        parent_hash: wire.parent_hash.0,
        ommers_hash: word(&wire.ommers_hash, "sha3Uncles")?,
        beneficiary: wire.miner.0.ok_or("miner")?.0,
        state_root: word(&wire.state_root, "stateRoot")?,
        transactions_root: word(&wire.transactions_root, "transactionsRoot")?,
        receipts_root: receipts_root.ok_or("receiptsRoot")?,
        logs_bloom: bloom.ok_or("logsBloom")?,
        difficulty: wire.difficulty.0.ok_or("difficulty")?,
        number,
        gas_limit: small(&wire.gas_limit, "gasLimit")?,
        gas_used: small(&wire.gas_used, "gasUsed")?,
        timestamp: wire.timestamp.0,
        extra_data: wire.extra_data.0.as_ref().ok_or("extraData")?.0.clone(),
        mix_hash: word(&wire.mix_hash, "mixHash")?,
        nonce: B64::from(FixedBytes::new(*wire.nonce.0.as_ref().ok_or("nonce")?.0)),
        // From here on fields of later forks, absent before them: whether they had to be there shows in the hash.
        base_fee_per_gas: wire.base_fee_per_gas.0.map(|number| number.0),
        withdrawals_root: wire.withdrawals_root.0.map(|word| word.0),
        blob_gas_used: wire.blob_gas_used.0.map(|number| number.0),
        excess_blob_gas: wire.excess_blob_gas.0.map(|number| number.0),
        parent_beacon_block_root: wire.parent_beacon_block_root.0.map(|word| word.0),
        requests_hash: wire.requests_hash.0.map(|word| word.0),
        block_access_list_hash: wire.block_access_list_hash.0.map(|word| word.0),
        slot_number: wire.slot_number.0.map(|number| number.0),
    })
}

/// A member with a value that is not in the list: the sign of a fork or a chain with fields of its own.
fn stranger(json: &str) -> Option<String> {
    struct Unknown;
    impl<'de> Visitor<'de> for Unknown {
        type Value = Option<String>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a header")
        }
        fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Option<String>, A::Error> {
            let mut unknown = None;
            while let Some((name, value)) = members.next_entry::<Cow<'_, str>, Option<IgnoredAny>>()? {
                if unknown.is_none() && value.is_some() && !KNOWN.contains(&&*name) {
                    unknown = Some(name.chars().filter(char::is_ascii_alphanumeric).take(40).collect());
                }
            }
            Ok(unknown)
        }
    }
    serde_json::Deserializer::from_str(json).deserialize_map(Unknown).ok()?
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
        json["transactions"] = serde_json::json!([B256::repeat_byte(1), {"nested": [], "hash": B256::repeat_byte(2)}]);
        change(&mut json);
        json.to_string()
    }

    #[test]
    fn a_header_that_recomputes_is_proven() {
        let read = read(&header(|_| {})).unwrap();
        assert_eq!((read.block.number, read.block.time, read.base_fee), (12, 34, Some(7)));
        let listed = [B256::repeat_byte(1), B256::repeat_byte(2)];
        assert_eq!(read.transactions.as_deref(), Some(&listed[..]));
        assert_eq!(read.header_rules, Seal::Proven);
    }

    #[test]
    fn a_changed_field_is_a_mismatch_a_missing_or_unknown_one_is_not() {
        assert_eq!(
            read(&header(|json| json["timestamp"] = "0x23".into()))
                .unwrap()
                .header_rules,
            Seal::Mismatch
        );
        let missing = header(|json| json["mixHash"] = serde_json::Value::Null);
        assert_eq!(
            read(&missing).unwrap().header_rules,
            Seal::Incomplete("mixHash is missing".to_owned())
        );
        let foreign = header(|json| {
            json["timestamp"] = "0x23".into();
            json["extDataHash"] = "0x1".into();
        });
        assert_eq!(
            read(&foreign).unwrap().header_rules,
            Seal::Incomplete("member \"extDataHash\" is unknown".to_owned())
        );
        // A member that takes no part in the hash changes nothing.
        assert_eq!(
            read(&header(|json| json["extDataHash"] = "0x1".into()))
                .unwrap()
                .header_rules,
            Seal::Proven
        );
    }

    #[test]
    fn a_header_without_its_name_is_malformed() {
        for member in ["number", "hash", "parentHash", "timestamp"] {
            let bare = header(|json| json[member] = serde_json::Value::Null);
            assert!(matches!(read(&bare), Err(Unread::Malformed(_))), "{member}");
        }
    }

    #[test]
    fn of_what_only_the_hash_needs_an_odd_shape_counts_as_missing() {
        let odd = [
            serde_json::json!("0x"),
            serde_json::json!(""),
            serde_json::json!("0xzz"),
            serde_json::json!(-1),
            serde_json::json!(1.5),
            serde_json::json!(true),
            serde_json::json!([[]]),
            serde_json::json!({"a": {}}),
            serde_json::Value::Null,
        ];
        for member in [
            "stateRoot",
            "mixHash",
            "nonce",
            "sha3Uncles",
            "miner",
            "logsBloom",
            "receiptsRoot",
            "transactionsRoot",
        ] {
            for value in &odd {
                let read = read(&header(|json| json[member] = value.clone())).unwrap();
                assert_eq!(
                    read.header_rules,
                    Seal::Incomplete(format!("{member} is missing")),
                    "{member}: {value}"
                );
            }
        }
        for value in &odd {
            let read = read(&header(|json| json["transactions"] = value.clone())).unwrap();
            assert_eq!((read.transactions, read.header_rules), (None, Seal::Proven), "{value}");
        }
    }

    #[test]
    fn times_no_table_holds_are_clamped_and_heights_no_id_holds_are_a_lie() {
        for (timestamp, time) in [
            ("0x18bcfe56800", 1_700_000_000_000),
            ("0xffffffffffffffff", LATEST_TIME),
        ] {
            let read = read(&header(|json| json["timestamp"] = timestamp.into())).unwrap();
            assert_eq!(read.block.time, time);
        }
        for number in ["0x1000000000", "0xffffffffffffffff"] {
            let absurd = read(&header(|json| json["number"] = number.into()));
            assert!(matches!(absurd, Err(Unread::Lie(_))), "{absurd:?}");
        }
        assert!(read(&header(|json| json["number"] = "0xfffffffff".into())).is_ok());
    }

    #[test]
    fn a_list_of_transactions_that_is_empty_although_there_are_receipts_is_no_list() {
        let empty = |json: &mut serde_json::Value| json["transactions"] = serde_json::json!([]);
        let full = read(&header(|json| {
            empty(json);
            json["receiptsRoot"] = serde_json::json!(B256::repeat_byte(3));
        }));
        assert_eq!(full.unwrap().transactions, None);
        assert_eq!(read(&header(empty)).unwrap().transactions.as_deref(), Some(&[][..]));
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
