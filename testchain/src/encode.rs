//! Writes answers as JSON straight into a byte buffer: a server that is slower than its client measures itself.

use alloy_consensus::Header as EthereumHeader;
use alloy_primitives::{B256, Bloom, BloomInput, U256, hex};
use alloy_rlp::Encodable;

use crate::block::{Block, Header, Log};

/// What a composed transaction is charged per gas: 2 gwei, as the simulator's transactions do.
const GAS_PRICE: u64 = 2_000_000_000;

/// Appends `"0x…"` with two digits per byte.
pub(crate) fn data(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(b"\"0x");
    let start = out.len();
    out.resize(start + bytes.len() * 2, 0);
    hex::encode_to_slice(bytes, &mut out[start..]).expect("the slice was made twice as long as the bytes");
    out.push(b'"');
}

/// Appends `"0x…"` without leading zeros.
pub(crate) fn quantity(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(b"\"0x");
    let digits = number.checked_ilog2().map_or(1, |bits| bits / 4 + 1);
    for place in (0..digits).rev() {
        out.push(b"0123456789abcdef"[(number >> (place * 4) & 0xf) as usize]);
    }
    out.push(b'"');
}

fn wide_quantity(out: &mut Vec<u8>, number: U256) {
    out.extend_from_slice(format!("\"{number:#x}\"").as_bytes());
}

/// Appends `text` as a JSON string.
pub(crate) fn text(out: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(out, text).expect("writing text to memory cannot fail");
}

fn key(out: &mut Vec<u8>, name: &str) {
    if !matches!(out.last(), Some(b'{' | b'[')) {
        out.push(b',');
    }
    out.push(b'"');
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}

fn data_field(out: &mut Vec<u8>, name: &str, bytes: &[u8]) {
    key(out, name);
    data(out, bytes);
}

fn quantity_field(out: &mut Vec<u8>, name: &str, number: u64) {
    key(out, name);
    quantity(out, number);
}

/// Appends `items` as a JSON array.
pub(crate) fn array<T>(out: &mut Vec<u8>, items: impl IntoIterator<Item = T>, mut write: impl FnMut(&mut Vec<u8>, T)) {
    out.push(b'[');
    for (index, item) in items.into_iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write(out, item);
    }
    out.push(b']');
}

/// The part of a log's JSON that states where it stands; written once per block and once per transaction.
#[derive(Debug)]
pub(crate) struct Place {
    bytes: Vec<u8>,
    block_part: usize,
}

impl Place {
    /// The place of the logs of `block`; `timestamps` decides whether logs carry `blockTimestamp`.
    pub(crate) fn new(block: &Block, timestamps: bool) -> Self {
        let mut bytes = Vec::with_capacity(320);
        data_field(&mut bytes, "blockHash", block.hash.as_slice());
        quantity_field(&mut bytes, "blockNumber", block.number);
        if timestamps {
            quantity_field(&mut bytes, "blockTimestamp", block.timestamp);
        }
        let block_part = bytes.len();
        Self { bytes, block_part }
    }

    /// Moves on to the transaction whose receipt is the one at `index` among those the block has. On Cronos, where receipts
    /// can be absent, logs count their transactions so; elsewhere it is the transaction's index.
    pub(crate) fn enter(&mut self, index: usize, hash: &B256) {
        self.bytes.truncate(self.block_part);
        data_field(&mut self.bytes, "transactionHash", hash.as_slice());
        quantity_field(&mut self.bytes, "transactionIndex", index as u64);
    }
}

/// Appends one log.
pub(crate) fn log(out: &mut Vec<u8>, log: &Log, place: &Place) {
    out.extend_from_slice(b"{\"address\":");
    data(out, log.address.as_slice());
    out.extend_from_slice(b",\"topics\":");
    array(out, &log.topics, |out, topic| data(out, topic.as_slice()));
    out.extend_from_slice(b",\"data\":");
    data(out, &log.data);
    out.extend_from_slice(&place.bytes);
    out.extend_from_slice(b",\"logIndex\":");
    quantity(out, u64::from(log.log_index));
    out.extend_from_slice(b",\"removed\":false}");
}

/// Appends the block object, with transaction objects when `full` and their hashes otherwise.
pub(crate) fn block(out: &mut Vec<u8>, chain_id: u64, block: &Block, full: bool) {
    open_header(out, block);
    key(out, "transactions");
    array(out, 0..block.transactions.len(), |out, index| {
        if full {
            transaction(out, chain_id, block, index);
        } else {
            data(out, block.transactions[index].hash.as_slice());
        }
    });
    out.push(b'}');
}

/// Appends the block object without its transactions, as `newHeads` pushes it.
pub(crate) fn header(out: &mut Vec<u8>, block: &Block) {
    open_header(out, block);
    out.push(b'}');
}

fn open_header(out: &mut Vec<u8>, block: &Block) {
    match &block.header {
        Header::Typed(header) => typed_header(out, block, header),
        Header::Verbatim(raw) => open_object(out, raw.get()),
    }
}

/// Appends a JSON object without its closing brace.
fn open_object(out: &mut Vec<u8>, object: &str) {
    let open = object.trim_end().strip_suffix('}').unwrap_or("{");
    out.extend_from_slice(open.trim_end().as_bytes());
}

fn typed_header(out: &mut Vec<u8>, block: &Block, header: &EthereumHeader) {
    out.push(b'{');
    quantity_field(out, "number", header.number);
    data_field(out, "hash", block.hash.as_slice());
    data_field(out, "parentHash", header.parent_hash.as_slice());
    data_field(out, "sha3Uncles", header.ommers_hash.as_slice());
    data_field(out, "miner", header.beneficiary.as_slice());
    data_field(out, "stateRoot", header.state_root.as_slice());
    data_field(out, "transactionsRoot", header.transactions_root.as_slice());
    data_field(out, "receiptsRoot", header.receipts_root.as_slice());
    data_field(out, "logsBloom", header.logs_bloom.as_slice());
    key(out, "difficulty");
    wide_quantity(out, header.difficulty);
    quantity_field(out, "gasLimit", header.gas_limit);
    quantity_field(out, "gasUsed", header.gas_used);
    quantity_field(out, "timestamp", header.timestamp);
    data_field(out, "extraData", &header.extra_data);
    data_field(out, "mixHash", header.mix_hash.as_slice());
    data_field(out, "nonce", header.nonce.as_slice());
    quantity_field(out, "size", header.length() as u64);
    let numbers = [
        ("baseFeePerGas", header.base_fee_per_gas),
        ("blobGasUsed", header.blob_gas_used),
        ("excessBlobGas", header.excess_blob_gas),
    ];
    for (name, number) in numbers {
        if let Some(number) = number {
            quantity_field(out, name, number);
        }
    }
    let hashes = [
        ("withdrawalsRoot", header.withdrawals_root),
        ("parentBeaconBlockRoot", header.parent_beacon_block_root),
        ("requestsHash", header.requests_hash),
    ];
    for (name, hash) in hashes {
        if let Some(hash) = hash {
            data_field(out, name, hash.as_slice());
        }
    }
    out.extend_from_slice(b",\"uncles\":[]");
    if header.withdrawals_root.is_some() {
        out.extend_from_slice(b",\"withdrawals\":[]");
    }
}

/// Appends the transaction object at `index`.
pub(crate) fn transaction(out: &mut Vec<u8>, chain_id: u64, block: &Block, index: usize) {
    let transaction = &block.transactions[index];
    if let Some(raw) = &transaction.verbatim {
        out.extend_from_slice(raw.get().as_bytes());
        return;
    }
    let tx_type = block.receipts.get(index).map_or(0, |receipt| receipt.tx_type);
    out.push(b'{');
    quantity_field(out, "type", u64::from(tx_type));
    data_field(out, "blockHash", block.hash.as_slice());
    quantity_field(out, "blockNumber", block.number);
    quantity_field(out, "transactionIndex", index as u64);
    data_field(out, "hash", transaction.hash.as_slice());
    data_field(out, "from", transaction.from.as_slice());
    key(out, "to");
    match &transaction.to {
        Some(to) => data(out, to.as_slice()),
        None => out.extend_from_slice(b"null"),
    }
    key(out, "value");
    wide_quantity(out, transaction.value);
    data_field(out, "input", &transaction.input);
    quantity_field(out, "nonce", transaction.nonce);
    quantity_field(out, "gas", gas_used(block, index) * 2);
    quantity_field(out, "gasPrice", GAS_PRICE);
    // No signature; what EIP-155 makes of that in `v` names the chain.
    let v = if tx_type == 0 { chain_id * 2 + 35 } else { 0 };
    for (name, value) in [("v", v), ("r", 0), ("s", 0)] {
        quantity_field(out, name, value);
    }
    if tx_type > 0 {
        quantity_field(out, "chainId", chain_id);
        out.extend_from_slice(b",\"yParity\":\"0x0\",\"accessList\":[]");
    }
    if tx_type > 1 {
        quantity_field(out, "maxFeePerGas", GAS_PRICE);
        quantity_field(out, "maxPriorityFeePerGas", GAS_PRICE);
    }
    out.push(b'}');
}

fn gas_used(block: &Block, index: usize) -> u64 {
    let cumulative = |index: usize| {
        block
            .receipts
            .get(index)
            .map_or(0, |receipt| receipt.cumulative_gas_used)
    };
    let before = index.checked_sub(1).map_or(0, cumulative);
    cumulative(index).saturating_sub(before)
}

/// Appends the receipts of `block` as an array; a transaction whose receipt the recorded node did not have is left out.
pub(crate) fn receipts(out: &mut Vec<u8>, block: &Block, timestamps: bool) {
    let present = (0..block.receipts.len()).filter(|&index| !block.receipts[index].is_absent());
    array(out, present, |out, index| receipt(out, block, index, timestamps));
}

/// Appends the receipt at `index`.
pub(crate) fn receipt(out: &mut Vec<u8>, block: &Block, index: usize, timestamps: bool) {
    let receipt = &block.receipts[index];
    let transaction = &block.transactions[index];
    match &receipt.verbatim {
        Some(raw) => open_object(out, raw.get()),
        None => {
            out.push(b'{');
            quantity_field(out, "type", u64::from(receipt.tx_type));
            quantity_field(out, "status", u64::from(receipt.success));
            quantity_field(out, "cumulativeGasUsed", receipt.cumulative_gas_used);
            data_field(out, "logsBloom", bloom(&receipt.logs).as_slice());
            data_field(out, "transactionHash", transaction.hash.as_slice());
            quantity_field(out, "transactionIndex", index as u64);
            data_field(out, "blockHash", block.hash.as_slice());
            quantity_field(out, "blockNumber", block.number);
            quantity_field(out, "gasUsed", gas_used(block, index));
            quantity_field(out, "effectiveGasPrice", GAS_PRICE);
            out.extend_from_slice(b",\"contractAddress\":null");
            data_field(out, "from", transaction.from.as_slice());
            key(out, "to");
            match &transaction.to {
                Some(to) => data(out, to.as_slice()),
                None => out.extend_from_slice(b"null"),
            }
        }
    }
    key(out, "logs");
    let mut place = Place::new(block, timestamps);
    let present = block.receipts[..index]
        .iter()
        .filter(|before| !before.is_absent())
        .count();
    place.enter(present, &transaction.hash);
    array(out, &receipt.logs, |out, each| log(out, each, &place));
    out.push(b'}');
}

/// The bloom of a set of logs (yellow paper, section 4.3.1).
pub(crate) fn bloom<'a>(logs: impl IntoIterator<Item = &'a Log>) -> Bloom {
    let mut bloom = Bloom::ZERO;
    for log in logs {
        bloom.accrue(BloomInput::Raw(log.address.as_slice()));
        for topic in &log.topics {
            bloom.accrue(BloomInput::Raw(topic.as_slice()));
        }
    }
    bloom
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_have_no_leading_zeros() {
        for (number, expected) in [
            (0, "\"0x0\""),
            (1, "\"0x1\""),
            (16, "\"0x10\""),
            (u64::MAX, "\"0xffffffffffffffff\""),
        ] {
            let mut out = Vec::new();
            quantity(&mut out, number);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }

    #[test]
    fn data_keeps_leading_zeros() {
        let mut out = Vec::new();
        data(&mut out, &[0, 1, 0xab]);
        assert_eq!(out, b"\"0x0001ab\"");
    }
}
