//! Turns drafted transactions into a block with every commitment a real one carries.

use alloy_consensus::constants::EMPTY_WITHDRAWALS;
use alloy_consensus::proofs::{calculate_receipt_root, ordered_trie_root_encoded};
use alloy_consensus::transaction::RlpEcdsaEncodableTx;
use alloy_consensus::{
    EMPTY_OMMER_ROOT_HASH, Header as TypedHeader, ReceiptEnvelope, ReceiptWithBloom, TxEip1559, TxLegacy,
};
use alloy_eips::eip7685::EMPTY_REQUESTS_HASH;
use alloy_primitives::{B256, Bloom, Bytes, Signature, TxKind, U256, keccak256};

use super::script::Draft;
use super::settings::Settings;
use crate::block::{Block, Header, Log, Receipt, Transaction};

const GAS_PER_TRANSACTION: u64 = 21_000;
const GAS_PER_LOG: u64 = 30_000;
const GAS_LIMIT: u64 = 36_000_000;
const GAS_PRICE: u128 = 2_000_000_000;
const BASE_FEE: u64 = 1_000_000_000;

/// Where a block stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) height: u64,
    pub(super) parent_hash: B256,
    /// Goes into the header, so that branches with equal traffic differ.
    pub(super) branch: u64,
}

/// The block of these transactions at `place`.
pub(super) fn block(settings: &Settings, place: Place, drafts: Vec<Draft>) -> Block {
    let encoded: Vec<Vec<u8>> = drafts.iter().map(|draft| encode(settings, draft)).collect();
    let transactions_root = ordered_trie_root_encoded(&encoded);
    let transactions = drafts
        .iter()
        .zip(&encoded)
        .map(|(draft, bytes)| transaction(draft, bytes))
        .collect();
    let envelopes = envelopes(drafts);
    let receipts_root = calculate_receipt_root(&envelopes);
    let logs_bloom = envelopes
        .iter()
        .fold(Bloom::ZERO, |bloom, receipt| bloom | *receipt.logs_bloom());
    let gas_used = envelopes.last().map_or(0, ReceiptEnvelope::cumulative_gas_used);
    let receipts = receipts(envelopes);
    let Place {
        height: number,
        parent_hash,
        branch,
    } = place;
    let header = TypedHeader {
        parent_hash,
        ommers_hash: EMPTY_OMMER_ROOT_HASH,
        // The simulated chain keeps no state; the root only has to differ from block to block.
        state_root: keccak256([parent_hash, receipts_root].concat()),
        transactions_root,
        receipts_root,
        logs_bloom,
        number,
        gas_limit: GAS_LIMIT.max(gas_used * 2),
        gas_used,
        timestamp: settings.time(number),
        extra_data: Bytes::copy_from_slice(&branch.to_be_bytes()),
        base_fee_per_gas: Some(BASE_FEE),
        withdrawals_root: Some(EMPTY_WITHDRAWALS),
        blob_gas_used: Some(0),
        excess_blob_gas: Some(0),
        parent_beacon_block_root: Some(B256::ZERO),
        requests_hash: Some(EMPTY_REQUESTS_HASH),
        ..TypedHeader::default()
    };
    Block {
        number,
        hash: header.hash_slow(),
        parent_hash,
        timestamp: header.timestamp,
        logs_bloom,
        header: Header::Typed(Box::new(header)),
        transactions,
        receipts,
    }
}

/// The transaction's EIP-2718 bytes. It has no signature, as some chains' own transactions: no one holds these accounts' keys.
fn encode(settings: &Settings, draft: &Draft) -> Vec<u8> {
    let signature = Signature::new(U256::ZERO, U256::ZERO, false);
    let (to, input) = (TxKind::Call(draft.to), draft.input.clone());
    let gas_limit = gas(draft.logs.len()) * 2;
    let mut bytes = Vec::with_capacity(160);
    match draft.tx_type {
        0 => TxLegacy {
            chain_id: Some(settings.chain_id),
            nonce: draft.salt,
            gas_price: GAS_PRICE,
            gas_limit,
            to,
            value: draft.value,
            input,
        }
        .eip2718_encode(&signature, &mut bytes),
        _ => TxEip1559 {
            chain_id: settings.chain_id,
            nonce: draft.salt,
            gas_limit,
            max_fee_per_gas: GAS_PRICE,
            max_priority_fee_per_gas: GAS_PRICE,
            to,
            value: draft.value,
            access_list: Default::default(),
            input,
        }
        .eip2718_encode(&signature, &mut bytes),
    }
    bytes
}

fn transaction(draft: &Draft, encoded: &[u8]) -> Transaction {
    let (from, to, value, input) = (draft.from, Some(draft.to), draft.value, draft.input.clone());
    Transaction {
        hash: keccak256(encoded),
        from,
        to,
        value,
        input,
        nonce: draft.salt,
        verbatim: None,
    }
}

fn gas(logs: usize) -> u64 {
    GAS_PER_TRANSACTION + GAS_PER_LOG * logs as u64
}

fn envelopes(drafts: Vec<Draft>) -> Vec<ReceiptEnvelope> {
    let mut cumulative_gas_used = 0;
    let envelope = |draft: Draft| {
        cumulative_gas_used += gas(draft.logs.len());
        let (status, logs) = (draft.success.into(), draft.logs);
        let receipt = ReceiptWithBloom::from(alloy_consensus::Receipt {
            status,
            cumulative_gas_used,
            logs,
        });
        if draft.tx_type == 0 {
            ReceiptEnvelope::Legacy(receipt)
        } else {
            ReceiptEnvelope::Eip1559(receipt)
        }
    };
    drafts.into_iter().map(envelope).collect()
}

fn receipts(envelopes: Vec<ReceiptEnvelope>) -> Vec<Receipt> {
    let mut log_index = 0..;
    let receipt = |envelope: ReceiptEnvelope| {
        let tx_type = envelope.tx_type() as u8;
        let (success, cumulative_gas_used) = (envelope.status(), envelope.cumulative_gas_used());
        let logs = envelope
            .into_logs()
            .into_iter()
            .zip(&mut log_index)
            .map(|(log, log_index)| {
                let (topics, data) = log.data.split();
                Log {
                    address: log.address,
                    topics,
                    data,
                    log_index,
                }
            });
        Receipt {
            tx_type,
            success,
            cumulative_gas_used,
            logs: logs.collect(),
            verbatim: None,
        }
    };
    envelopes.into_iter().map(receipt).collect()
}
