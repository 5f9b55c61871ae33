//! Receipts as endpoints serve them, and the receipts root recomputed from them.

use alloy::consensus::proofs::ordered_trie_root_with_encoder;
use alloy_primitives::{B256, Bloom, bytes::BufMut};
use alloy_rlp::Encodable;
use decoders::block::Log;
use decoders::id::MAX_LOG_INDEX;
use serde::Deserialize;

use super::header::SealedHeader;
use super::log::{Topics, check_order};
use super::{Account, Data, Index, Lenient, Quantity, Reply, Unread, Word};

/// The deposit transactions of OP-stack chains, whose receipts carry two more fields.
const DEPOSIT: u64 = 0x7e;
/// The highest transaction type Ethereum knows (EIP-7702).
pub(crate) const LAST_ETHEREUM_TYPE: u64 = 4;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire {
    /// Absent where the receipt is of no transaction.
    #[serde(default)]
    transaction_hash: Lenient<Word>,
    #[serde(default)]
    transaction_index: Index,
    #[serde(default)]
    block_hash: Lenient<Word>,
    #[serde(default)]
    r#type: Option<Quantity>,
    #[serde(default)]
    status: Option<Quantity>,
    /// Post-state root before EIP-658; some servers send `0x` later on.
    #[serde(default)]
    root: Option<Data>,
    cumulative_gas_used: Quantity,
    #[serde(default)]
    deposit_nonce: Option<Quantity>,
    #[serde(default)]
    deposit_receipt_version: Option<Quantity>,
    logs: Vec<WireLog>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireLog {
    address: Account,
    topics: Topics,
    data: Data,
    #[serde(default)]
    log_index: Index,
    #[serde(default)]
    block_hash: Lenient<Word>,
    #[serde(default)]
    transaction_hash: Lenient<Word>,
    #[serde(default)]
    removed: Lenient<bool>,
}

/// One receipt, with exactly what its encoding needs.
struct Receipt {
    tx_hash: B256,
    kind: u64,
    status: Status,
    cumulative_gas_used: u64,
    deposit: Option<(u64, u64)>,
    logs: Vec<Log>,
    /// What it states of itself beside its content: no root covers that.
    claims: Claims,
}

/// Where a receipt states it stands.
struct Claims {
    tx_index: u32,
    /// It names another block.
    elsewhere: bool,
    /// A log of it names another block or transaction, or states it is removed.
    foreign_log: bool,
}

/// The first member of a receipt.
enum Status {
    Flag(bool),
    Root(B256),
    Unknown,
}

/// All receipts of a block, in order.
pub(crate) struct Receipts {
    receipts: Vec<Receipt>,
}

/// What receipts prove of their block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Proven {
    /// The header's root is theirs.
    Root,
    /// Their root cannot be computed by the rules known here; why.
    Unknown(&'static str),
    /// Their root is another.
    Other,
}

impl Receipts {
    /// Reads the answer of `eth_getBlockReceipts` for `header`'s block.
    pub(crate) fn read(json: &str, header: &SealedHeader) -> Result<Self, Unread> {
        let wires: Vec<Wire> = serde_json::from_str(json)?;
        let receipts = wires.into_iter().map(|wire| Receipt::of(wire, header)).collect();
        Ok(Receipts { receipts })
    }

    /// The same from the answers of `eth_getTransactionReceipt` for each of the block's transactions.
    pub(crate) fn of_each(answers: &[Reply<'_>], header: &SealedHeader) -> Result<Self, Unread> {
        let receipt = |answer: &Reply<'_>| Ok::<_, Unread>(Receipt::of(serde_json::from_str(answer.json()?)?, header));
        let receipts = answers.iter().map(receipt).collect::<Result<_, _>>()?;
        Ok(Receipts { receipts })
    }

    /// Numbers logs and transactions by where they stand among the receipts: with the root proven, nothing they state of their
    /// places has to be trusted, except which transactions they are of, and the header lists those.
    pub(crate) fn settle_places(&mut self, uncommitted: &mut [Log], header: &SealedHeader) -> Result<(), Unread> {
        for (tx_index, receipt) in (0..).zip(&self.receipts) {
            if let Some(contradiction) = header.contradicts(tx_index, receipt.tx_hash) {
                return Err(Unread::Lie(format!(
                    "receipt {tx_index} of block {} is of {contradiction}",
                    header.block.number
                )));
            }
        }
        let behind = u32::try_from(self.receipts.len()).unwrap_or(u32::MAX);
        let placed = (0..).zip(&mut self.receipts).flat_map(|(tx_index, receipt)| {
            let logs = receipt.logs.iter_mut();
            logs.map(move |log| (tx_index, log))
        });
        let all = placed.chain(uncommitted.iter_mut().map(|log| (behind, log)));
        for (log_index, (tx_index, log)) in (0..).zip(all) {
            (log.log_index, log.tx_index) = (log_index, tx_index);
        }
        Ok(())
    }

    /// Checks what the receipts state of the block they are in, which no root covers.
    pub(crate) fn check_block(&self, header: &SealedHeader) -> Result<(), Unread> {
        let number = header.block.number;
        let any = |wrong: fn(&Claims) -> bool| self.receipts.iter().any(|receipt| wrong(&receipt.claims));
        if any(|claims| claims.elsewhere) {
            Err(Unread::Elsewhere(format!(
                "a receipt of block {number} names another block"
            )))
        } else if any(|claims| claims.foreign_log) {
            Err(Unread::Lie(format!("a receipt of block {number} holds a foreign log")))
        } else {
            Ok(())
        }
    }

    /// Whether what the receipts state of the places of transactions and logs makes sense.
    pub(crate) fn are_in_order(&self) -> bool {
        let in_place = |(at, receipt): (usize, &Receipt)| usize::try_from(receipt.claims.tx_index) == Ok(at);
        let logs: Vec<Log> = self.logs().cloned().collect();
        let ends_in_block = logs.last().is_none_or(|log| log.log_index <= MAX_LOG_INDEX);
        self.receipts.iter().enumerate().all(in_place) && ends_in_block && check_order(&logs).is_ok()
    }

    /// Takes the last receipt away when it is that of the transaction no header commits to, and gives its logs.
    pub(crate) fn split_off(&mut self, uncommitted: Option<B256>) -> Vec<Log> {
        let last = self.receipts.pop_if(|last| Some(last.tx_hash) == uncommitted);
        last.map_or_else(Vec::new, |receipt| receipt.logs)
    }

    /// Every log of the block, in order.
    pub(crate) fn logs(&self) -> impl Iterator<Item = &Log> {
        self.receipts.iter().flat_map(|receipt| &receipt.logs)
    }

    /// The logs of each transaction, in order.
    pub(crate) fn into_logs(self) -> impl Iterator<Item = Vec<Log>> {
        self.receipts.into_iter().map(|receipt| receipt.logs)
    }

    /// Compares the receipts' root with the header's: in the order they came in, or else in that of their transactions.
    pub(crate) fn prove(&mut self, header: &SealedHeader) -> Proven {
        if self.root() == header.receipts_root {
            return Proven::Root;
        }
        let place = |receipt: &Receipt| receipt.claims.tx_index;
        // The order they came in is tried first: indexes are a server's claim and may be missing or all zero.
        if !self.receipts.is_sorted_by_key(place) {
            self.receipts.sort_by_key(place);
            if self.root() == header.receipts_root {
                return Proven::Root;
            }
        }
        // A root that does not recompute is a lie only where nothing else explains it.
        let ethereum = |receipt: &Receipt| receipt.kind <= LAST_ETHEREUM_TYPE;
        if self
            .receipts
            .iter()
            .any(|receipt| matches!(receipt.status, Status::Unknown))
        {
            Proven::Unknown("a receipt has neither status nor root")
        } else if header.is_early()
            && self
                .receipts
                .iter()
                .any(|receipt| matches!(receipt.status, Status::Flag(_)))
        {
            Proven::Unknown("receipts from before EIP-658 have no state root")
        } else if !self.receipts.iter().all(ethereum) {
            Proven::Unknown("a transaction type has receipt rules of its own")
        } else {
            Proven::Other
        }
    }

    fn root(&self) -> B256 {
        ordered_trie_root_with_encoder(&self.receipts, Receipt::encode)
    }
}

/// The logs of a single transaction's receipt, in order; `None` when it stands in another block than `header`'s.
pub(crate) fn read_logs(json: &str, header: &SealedHeader) -> Result<Option<Vec<Log>>, Unread> {
    let receipt = Receipt::of(serde_json::from_str(json)?, header);
    if receipt.claims.elsewhere {
        return Ok(None);
    }
    let number = header.block.number;
    if receipt.claims.foreign_log {
        return Err(Unread::Lie(format!("a receipt of block {number} holds a foreign log")));
    }
    if let Some(contradiction) = header.contradicts(receipt.claims.tx_index, receipt.tx_hash) {
        return Err(Unread::Lie(format!(
            "a receipt of block {number} is of {contradiction}"
        )));
    }
    check_order(&receipt.logs).map_err(|reason| Unread::Lie(format!("block {number}: {reason}")))?;
    Ok(Some(receipt.logs))
}

impl Receipt {
    fn of(wire: Wire, header: &SealedHeader) -> Self {
        let status = match (
            wire.root.as_ref().and_then(|root| B256::try_from(root.0.as_ref()).ok()),
            wire.status,
        ) {
            (Some(root), _) => Status::Root(root),
            (None, Some(status)) => Status::Flag(status.0 != 0),
            (None, None) => Status::Unknown,
        };
        let block_hash = header.block.hash;
        let names = |word: &Lenient<Word>, hash: B256| word.0.is_none_or(|word| word.0 == hash);
        // A receipt of no transaction is named by its block.
        let tx_hash = wire.transaction_hash.0.map_or(block_hash, |hash| hash.0);
        let tx_index = wire.transaction_index.0;
        // Remembered and decided with the rest of the block: the root may prove the receipt in spite of it.
        let foreign = |log: &WireLog| {
            let named = names(&log.block_hash, block_hash) && names(&log.transaction_hash, tx_hash);
            !named || log.removed.0 == Some(true)
        };
        let claims = Claims {
            tx_index,
            elsewhere: !names(&wire.block_hash, block_hash),
            foreign_log: wire.logs.iter().any(foreign),
        };
        let log = |log: WireLog| Log {
            block_number: header.block.number,
            log_index: log.log_index.0,
            tx_index,
            tx_hash,
            address: log.address.0,
            topics: log.topics.0,
            data: log.data.0,
        };
        Receipt {
            tx_hash,
            kind: wire.r#type.map_or(0, |kind| kind.0),
            status,
            cumulative_gas_used: wire.cumulative_gas_used.0,
            deposit: wire
                .deposit_nonce
                .zip(wire.deposit_receipt_version)
                .map(|(nonce, version)| (nonce.0, version.0)),
            logs: wire.logs.into_iter().map(log).collect(),
            claims,
        }
    }

    /// The receipt as the trie holds it: EIP-2718 type byte, then the list of EIP-658 or its predecessor.
    fn encode(&self, out: &mut Vec<u8>) {
        let mut bloom = Bloom::ZERO;
        let mut logs = Vec::new();
        for log in &self.logs {
            bloom.accrue_raw_log(log.address, &log.topics);
            encode_log(log, &mut logs);
        }
        let mut payload = Vec::with_capacity(logs.len() + 300);
        match self.status {
            Status::Root(root) => root.encode(&mut payload),
            Status::Flag(success) => success.encode(&mut payload),
            Status::Unknown => false.encode(&mut payload),
        }
        self.cumulative_gas_used.encode(&mut payload);
        bloom.encode(&mut payload);
        list(&logs, &mut payload);
        if let (DEPOSIT, Some((nonce, version))) = (self.kind, self.deposit) {
            nonce.encode(&mut payload);
            version.encode(&mut payload);
        }
        if self.kind != 0 {
            out.put_u8(u8::try_from(self.kind).unwrap_or(u8::MAX));
        }
        list(&payload, out);
    }
}

fn encode_log(log: &Log, out: &mut Vec<u8>) {
    let mut topics = Vec::with_capacity(33 * 4);
    for topic in &log.topics {
        topic.encode(&mut topics);
    }
    let mut payload = Vec::with_capacity(topics.len() + log.data.len() + 40);
    log.address.encode(&mut payload);
    list(&topics, &mut payload);
    log.data.encode(&mut payload);
    list(&payload, out);
}

fn list(payload: &[u8], out: &mut Vec<u8>) {
    alloy_rlp::Header {
        list: true,
        payload_length: payload.len(),
    }
    .encode(out);
    out.extend_from_slice(payload);
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use alloy_primitives::Address;
    use decoders::block::Block;
    use serde_json::{Value, json};

    use super::*;
    use crate::wire::header::Seal;

    const BLOCK: B256 = B256::repeat_byte(0xbb);
    const TRANSACTION: B256 = B256::repeat_byte(1);

    fn header(receipts_root: B256) -> SealedHeader {
        SealedHeader {
            block: Block {
                number: 5,
                hash: BLOCK,
                time: 0,
            },
            parent_hash: B256::ZERO,
            bloom: Box::new(Bloom::ZERO),
            receipts_root,
            transactions: Some(Arc::from([TRANSACTION])),
            base_fee: Some(7),
            header_rules: Seal::Proven,
        }
    }

    fn receipt(transaction: &Value, index: &str, log_index: &str) -> Value {
        json!({
            "transactionHash": transaction, "transactionIndex": index, "blockHash": BLOCK, "type": "0x2", "status": "0x1",
            "cumulativeGasUsed": "0x5208",
            "logs": [{
                "address": Address::ZERO, "topics": [], "data": "0x01", "logIndex": log_index, "blockHash": BLOCK,
                "transactionHash": transaction, "removed": false,
            }],
        })
    }

    /// Reads a transaction's receipt and another behind it, with the header's root being theirs, and settles their places.
    fn settled(behind: &Value) -> Result<Vec<Log>, Unread> {
        let json = json!([
            receipt(&json!(TRANSACTION), "0x0", "0x7"),
            receipt(behind, "0x1", "0x7")
        ])
        .to_string();
        let mut receipts = Receipts::read(&json, &header(B256::ZERO))?;
        let header = header(receipts.root());
        assert_eq!(receipts.prove(&header), Proven::Root);
        receipts.settle_places(&mut [], &header)?;
        Ok(receipts.into_logs().flatten().collect())
    }

    #[test]
    fn a_receipt_behind_all_transactions_is_the_blocks_own() {
        for named in [json!(BLOCK), Value::Null] {
            let logs = settled(&named).unwrap();
            let places: Vec<_> = logs
                .iter()
                .map(|log| (log.log_index, log.tx_index, log.tx_hash))
                .collect();
            assert_eq!(places, [(0, 0, TRANSACTION), (1, 1, BLOCK)], "{named}");
        }
        let foreign = settled(&json!(B256::repeat_byte(9)));
        assert!(matches!(foreign, Err(Unread::Lie(_))), "{foreign:?}");
    }
}
