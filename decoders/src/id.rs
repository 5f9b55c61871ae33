//! Identity: positions as UUIDv8, natural keys as UUIDv5. See docs/decisions/0003-ids.md.

use alloy_primitives::{Address, B256, U256};
use uuid::Uuid;

use crate::block::ChainId;

/// Heights take 36 bits, log indexes 22, items 20, kinds 4, the discriminator 40: together a UUIDv8's 122 free bits.
const BLOCK_BITS: u32 = 36;
const LOG_BITS: u32 = 22;
const ITEM_BITS: u32 = 20;
const KIND_BITS: u32 = 4;
const TAIL_BITS: u32 = 40;

/// The highest block number a position can hold.
pub const MAX_BLOCK: u64 = (1 << BLOCK_BITS) - 1;
/// The highest log index a position can hold.
pub const MAX_LOG_INDEX: u32 = (1 << LOG_BITS) - 1;
/// The highest item index a position can hold.
pub const MAX_ITEM: u32 = (1 << ITEM_BITS) - 1;

/// What sort of record stands at a position; one log can yield records of several kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum RecordKind {
    /// The raw log itself.
    Log = 0,
    /// A transfer, mint or burn.
    Transfer = 1,
    /// The retraction of a published fact.
    Retraction = 15,
}

/// Where one record stands: block, log, item, kind.
///
/// [`Position::id`] turns it into a UUIDv8 that sorts in chain order within a chain and is the same on every deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The chain.
    pub chain: ChainId,
    /// Height, at most [`MAX_BLOCK`].
    pub block_number: u64,
    /// Hash of that block: a log re-included in another block has another id.
    pub block_hash: B256,
    /// Index of the log within the block, at most [`MAX_LOG_INDEX`].
    pub log_index: u32,
    /// Index within a batch, range or bundle, at most [`MAX_ITEM`].
    pub item: u32,
    /// What stands there.
    pub kind: RecordKind,
}

impl Position {
    /// The record's id: its primary key, page cursor and message id.
    pub fn id(&self) -> Uuid {
        let mut payload = u128::from(self.block_number & MAX_BLOCK);
        payload = payload << LOG_BITS | u128::from(self.log_index & MAX_LOG_INDEX);
        payload = payload << ITEM_BITS | u128::from(self.item & MAX_ITEM);
        payload = payload << KIND_BITS | u128::from(self.kind as u8);
        payload = payload << TAIL_BITS | u128::from(tail(self.chain, &self.block_hash));
        from_payload(payload)
    }

    /// The lowest id any record of `block_number` or a later block can have, on any chain.
    pub fn floor(block_number: u64) -> Uuid {
        from_payload(u128::from(block_number.min(MAX_BLOCK)) << (LOG_BITS + ITEM_BITS + KIND_BITS + TAIL_BITS))
    }
}

/// The id that retracts the record with the id `fact`: the same position under [`RecordKind::Retraction`].
pub fn retraction_of(fact: Uuid) -> Uuid {
    // The kind's four bits stand directly above the 40-bit tail, clear of version and variant.
    Uuid::from_u128(fact.as_u128() | (0xf << TAIL_BITS))
}

/// Block number encoded in a position id.
pub fn block_number_of(id: Uuid) -> u64 {
    u64::try_from(id.as_u128() >> (128 - BLOCK_BITS)).unwrap_or(MAX_BLOCK)
}

/// 40 bits that tell apart branches of one chain and chains that share a history (a hard fork keeps the block hashes below it).
fn tail(chain: ChainId, block_hash: &B256) -> u64 {
    let mut low = [0u8; 8];
    low.copy_from_slice(&block_hash[24..]);
    // Fibonacci hashing spreads small chain numbers over the bits; one hash and two chains never meet below 2^40 chains.
    (u64::from_be_bytes(low) ^ chain.0.wrapping_mul(0x9e37_79b9_7f4a_7c15)) & ((1 << TAIL_BITS) - 1)
}

/// Lays 122 bits around the version and variant of a UUIDv8 (RFC 9562 section 5.8) without changing their order.
fn from_payload(payload: u128) -> Uuid {
    let custom_a = payload >> 74;
    let custom_b = payload >> 62 & 0xfff;
    let custom_c = payload & ((1 << 62) - 1);
    Uuid::from_u128(custom_a << 80 | 0x8 << 76 | custom_b << 64 | 0b10 << 62 | custom_c)
}

/// Namespace of the UUIDv5 ids of natural keys: UUIDv5 of the URL namespace and `urn:nft-indexer`.
pub const NAMESPACE: Uuid = Uuid::from_u128(0x2a81_4180_561f_5b35_82a0_823e_dadf_7887);

/// Id of a collection, from its CAIP-10-like natural key `eip155:1:0x…`.
pub fn collection_id(chain: ChainId, contract: &Address) -> Uuid {
    Uuid::new_v5(&NAMESPACE, format!("{chain}:{contract:#x}").as_bytes())
}

/// Id of a token, from its natural key `eip155:1:0x…:123`.
pub fn token_id(chain: ChainId, contract: &Address, number: &U256) -> Uuid {
    Uuid::new_v5(&NAMESPACE, format!("{chain}:{contract:#x}:{number}").as_bytes())
}
