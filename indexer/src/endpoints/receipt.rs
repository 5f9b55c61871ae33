//! Receipts as endpoints serve them, and the receipts root recomputed from them.

use alloy::consensus::proofs::ordered_trie_root_with_encoder;
use alloy_primitives::{B256, Bloom, bytes::BufMut};
use alloy_rlp::Encodable;
use decoders::block::Log;
use serde::Deserialize;

use super::header::SealedHeader;
use super::log::{Topics, check_order};
use super::wire::{Account, Data, Quantity, Unread, Word, log_index, narrow};

/// The deposit transactions of OP-stack chains, whose receipts carry two more fields.
const DEPOSIT: u64 = 0x7e;
/// The highest transaction type Ethereum knows (EIP-7702).
pub(super) const LAST_ETHEREUM_TYPE: u64 = 4;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire {
    transaction_hash: Word,
    transaction_index: Quantity,
    block_hash: Word,
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
    log_index: Quantity,
    block_hash: Word,
    transaction_hash: Word,
    #[serde(default)]
    removed: Option<bool>,
}

/// One receipt, with exactly what its encoding needs.
struct Receipt {
    tx_hash: B256,
    kind: u64,
    status: Status,
    cumulative_gas_used: u64,
    deposit: Option<(u64, u64)>,
    logs: Vec<Log>,
}

/// The first member of a receipt.
enum Status {
    Flag(bool),
    Root(B256),
    Unknown,
}

/// All receipts of a block, in order.
pub(super) struct Receipts {
    receipts: Vec<Receipt>,
}

/// What receipts prove of their block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Proven {
    /// The header's root is theirs.
    Root,
    /// Their root cannot be computed by the rules known here; why.
    Unknown(&'static str),
    /// Their root is another.
    Other,
}

impl Receipts {
    /// Reads the answer of `eth_getBlockReceipts` for `header`'s block and checks it against itself.
    pub(super) fn read(json: &str, header: &SealedHeader) -> Result<Self, Unread> {
        let wires: Vec<Wire> = serde_json::from_str(json)?;
        let mut receipts = Vec::with_capacity(wires.len());
        for (place, wire) in wires.into_iter().enumerate() {
            if wire.block_hash.0 != header.block.hash {
                return Err(Unread::Lie(format!(
                    "a receipt of block {} names another block",
                    header.block.number
                )));
            }
            if usize::try_from(wire.transaction_index.0).ok() != Some(place) {
                return Err(Unread::Lie(format!(
                    "receipts of block {} are not in order",
                    header.block.number
                )));
            }
            receipts.push(Receipt::of(wire, header)?);
        }
        let receipts = Receipts { receipts };
        check_order(&receipts.logs().cloned().collect::<Vec<_>>())?;
        Ok(receipts)
    }

    /// Takes the last receipt away when it is that of the transaction no header commits to, and gives its logs.
    pub(super) fn split_off(&mut self, uncommitted: Option<B256>) -> Vec<Log> {
        let last = self.receipts.pop_if(|last| Some(last.tx_hash) == uncommitted);
        last.map_or_else(Vec::new, |receipt| receipt.logs)
    }

    /// Every log of the block, in order.
    pub(super) fn logs(&self) -> impl Iterator<Item = &Log> {
        self.receipts.iter().flat_map(|receipt| &receipt.logs)
    }

    /// The logs of each transaction, in order.
    pub(super) fn into_logs(self) -> impl Iterator<Item = Vec<Log>> {
        self.receipts.into_iter().map(|receipt| receipt.logs)
    }

    /// Compares the receipts' root with the header's.
    pub(super) fn prove(&self, header: &SealedHeader) -> Proven {
        if self.root() == header.receipts_root {
            return Proven::Root;
        }
        let ethereum = |receipt: &Receipt| receipt.kind <= LAST_ETHEREUM_TYPE;
        if self
            .receipts
            .iter()
            .any(|receipt| matches!(receipt.status, Status::Unknown))
        {
            Proven::Unknown("a receipt has neither status nor root")
        } else if header.early
            && self
                .receipts
                .iter()
                .any(|receipt| matches!(receipt.status, Status::Flag(_)))
        {
            Proven::Unknown("receipts from before EIP-658 lack their state root")
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
pub(super) fn read_logs(json: &str, header: &SealedHeader) -> Result<Option<Vec<Log>>, Unread> {
    let wire: Wire = serde_json::from_str(json)?;
    if wire.block_hash.0 != header.block.hash {
        return Ok(None);
    }
    let logs = Receipt::of(wire, header)?.logs;
    check_order(&logs)?;
    Ok(Some(logs))
}

impl Receipt {
    fn of(wire: Wire, header: &SealedHeader) -> Result<Self, Unread> {
        let status = match (
            wire.root.as_ref().and_then(|root| B256::try_from(root.0.as_ref()).ok()),
            wire.status,
        ) {
            (Some(root), _) => Status::Root(root),
            (None, Some(status)) => Status::Flag(status.0 != 0),
            (None, None) => Status::Unknown,
        };
        let tx_index = narrow::<serde_json::Error>(wire.transaction_index, "a transaction index")?;
        let mut logs = Vec::with_capacity(wire.logs.len());
        for log in wire.logs {
            let foreign = log.block_hash.0 != header.block.hash || log.transaction_hash != wire.transaction_hash;
            if foreign || log.removed == Some(true) {
                return Err(Unread::Lie(format!(
                    "a receipt of block {} holds a foreign log",
                    header.block.number
                )));
            }
            logs.push(Log {
                block_number: header.block.number,
                log_index: log_index::<serde_json::Error>(log.log_index)?,
                tx_index,
                tx_hash: wire.transaction_hash.0,
                address: log.address.0,
                topics: log.topics.0,
                data: log.data.0,
            });
        }
        Ok(Receipt {
            tx_hash: wire.transaction_hash.0,
            kind: wire.r#type.map_or(0, |kind| kind.0),
            status,
            cumulative_gas_used: wire.cumulative_gas_used.0,
            deposit: wire
                .deposit_nonce
                .zip(wire.deposit_receipt_version)
                .map(|(nonce, version)| (nonce.0, version.0)),
            logs,
        })
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
