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

/// What separates the records of one log in ids. It does not name the kind of a fact, which its table and its message do: it has room
/// for [`FACT_KINDS`] of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordKind(u8);

/// How many kinds of facts of one log ids can distinguish: each takes two of the sixteen digits, its own and that of its retraction,
/// zero is the log's, and eight would be its own retraction.
pub const FACT_KINDS: u8 = 7;

impl RecordKind {
    /// The raw log itself.
    pub const LOG: RecordKind = RecordKind(0);

    /// Facts of every kind that is about governance. No log yields facts of two of them.
    pub const GOVERNANCE: RecordKind = RecordKind::fact(5);

    /// Facts with this digit, one to [`FACT_KINDS`].
    pub const fn fact(digit: u8) -> Self {
        assert!(
            0 < digit && digit <= FACT_KINDS,
            "ids have room for seven kinds of facts"
        );
        RecordKind(digit)
    }

    /// What stands in the id.
    pub const fn digit(self) -> u8 {
        self.0
    }
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
    /// Index of the log within the block, at most [`MAX_LOG_INDEX`] where it yields facts.
    pub log_index: u32,
    /// Index within a batch, range or bundle, at most [`MAX_ITEM`].
    pub item: u32,
    /// What stands there.
    pub kind: RecordKind,
}

impl Position {
    /// The record's id: its primary key, page cursor and message id.
    pub fn id(&self) -> Uuid {
        // Logs beyond the last index are faults without facts. They stand behind every other, in their own order.
        let beyond = self.log_index.saturating_sub(MAX_LOG_INDEX);
        let (log_index, item) = match beyond {
            0 => (self.log_index, self.item & MAX_ITEM),
            beyond => (MAX_LOG_INDEX, beyond.min(MAX_ITEM)),
        };
        let mut payload = u128::from(self.block_number & MAX_BLOCK);
        payload = payload << LOG_BITS | u128::from(log_index);
        payload = payload << ITEM_BITS | u128::from(item);
        payload = payload << KIND_BITS | u128::from(self.kind.digit());
        payload = payload << TAIL_BITS | u128::from(tail(self.chain, &self.block_hash));
        from_payload(payload)
    }

    /// The lowest id any record of `block_number` or a later block can have, on any chain.
    pub fn floor(block_number: u64) -> Uuid {
        from_payload(u128::from(block_number.min(MAX_BLOCK)) << (LOG_BITS + ITEM_BITS + KIND_BITS + TAIL_BITS))
    }
}

/// The id that retracts the record with the id `fact`: the same position under the kind that is sixteen less its own, so that
/// two facts of one log have retractions of their own.
pub fn retraction_of(fact: Uuid) -> Uuid {
    // The kind's four bits stand directly above the 40-bit tail, clear of version and variant.
    const KIND: u128 = 0xf << TAIL_BITS;
    let fact = fact.as_u128();
    let negated = (fact & KIND).wrapping_neg() & KIND;
    Uuid::from_u128(fact & !KIND | negated)
}

/// Block number encoded in a position id.
pub fn block_number_of(id: Uuid) -> u64 {
    u64::try_from(id.as_u128() >> (128 - BLOCK_BITS)).unwrap_or(MAX_BLOCK)
}

/// 40 bits that distinguish branches of one chain and chains that share a history (a hard fork keeps the block hashes below it).
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

/// Id of a marketplace, from its name.
pub fn marketplace_id(name: &str) -> Uuid {
    Uuid::new_v5(&NAMESPACE, format!("marketplace:{name}").as_bytes())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::fact::KINDS;

    /// Every digit there is and could be: the log's, those of facts, and those of their retractions.
    fn kinds() -> Vec<RecordKind> {
        let retracted = |fact| RecordKind(16 - fact);
        let facts = || 1..=FACT_KINDS;
        let all = facts().map(RecordKind::fact).chain(facts().map(retracted));
        std::iter::once(RecordKind::LOG).chain(all).collect()
    }

    fn position() -> impl Strategy<Value = Position> {
        let edges = |max: u64| prop_oneof![Just(0), Just(max), 0..=max, 0..=max.min(3)];
        let place = (edges(MAX_BLOCK), edges(MAX_LOG_INDEX.into()), edges(MAX_ITEM.into()));
        (
            place,
            proptest::sample::select(kinds()),
            any::<u64>(),
            any::<[u8; 32]>(),
        )
            .prop_map(|((block, log, item), kind, chain, hash)| {
                let [log_index, item] = [log, item].map(|part| u32::try_from(part).unwrap());
                let (chain, block_hash) = (ChainId(chain), B256::from(hash));
                Position {
                    chain,
                    block_number: block,
                    block_hash,
                    log_index,
                    item,
                    kind,
                }
            })
    }

    fn order(position: &Position) -> (u64, u32, u32, RecordKind) {
        (position.block_number, position.log_index, position.item, position.kind)
    }

    /// The 122 bits around version and variant, read back the way RFC 9562 lays them out.
    fn payload(id: Uuid) -> u128 {
        let bits = id.as_u128();
        (bits >> 80) << 74 | (bits >> 64 & 0xfff) << 62 | bits & ((1 << 62) - 1)
    }

    proptest! {
        #[test]
        fn an_id_holds_its_position(position in position()) {
            let id = position.id();
            prop_assert_eq!((id.get_version_num(), id.get_variant()), (8, uuid::Variant::RFC4122));
            let payload = payload(id);
            let part = |above: u32, bits: u32| payload >> above & ((1 << bits) - 1);
            prop_assert_eq!(part(86, 36), u128::from(position.block_number));
            prop_assert_eq!(part(64, 22), u128::from(position.log_index));
            prop_assert_eq!(part(44, 20), u128::from(position.item));
            prop_assert_eq!(part(40, 4), u128::from(position.kind.digit()));
            prop_assert_eq!(block_number_of(id), position.block_number);
        }

        #[test]
        fn ids_sort_in_chain_order(one in position(), other in position()) {
            if order(&one) != order(&other) {
                prop_assert_eq!(order(&one).cmp(&order(&other)), one.id().cmp(&other.id()));
                prop_assert_eq!(order(&one).cmp(&order(&other)), one.id().as_bytes().cmp(other.id().as_bytes()));
            }
        }

        #[test]
        fn logs_beyond_the_last_index_stand_behind_all_others(position in position(), beyond in 1..MAX_ITEM) {
            let last = Position { log_index: MAX_LOG_INDEX, item: 0, kind: RecordKind::LOG, ..position };
            let behind = Position { log_index: MAX_LOG_INDEX + beyond, ..last };
            let next = Position { log_index: MAX_LOG_INDEX + beyond + 1, ..last };
            prop_assert!(last.id() < behind.id() && behind.id() < next.id());
            prop_assert_eq!(block_number_of(next.id()), position.block_number);
        }

        #[test]
        fn a_floor_parts_the_blocks(position in position(), block in 0..=MAX_BLOCK) {
            prop_assert!(Position::floor(position.block_number) <= position.id());
            prop_assert_eq!(position.block_number >= block, position.id() >= Position::floor(block));
        }

        #[test]
        fn branches_and_chains_have_ids_of_their_own(position in position(), hash in any::<[u8; 32]>(), chain in 0u64..1 << 40) {
            let branch = Position { block_hash: B256::from(hash), ..position };
            // The low 40 bits of the hash take part.
            prop_assert_eq!(branch.id() == position.id(), hash[27..] == position.block_hash[27..]);
            let here = Position { chain: ChainId(position.chain.0 & ((1 << 40) - 1)), ..position };
            let elsewhere = Position { chain: ChainId(chain), ..position };
            prop_assert_eq!(elsewhere.id() == here.id(), elsewhere.chain == here.chain);
        }

        #[test]
        fn a_retraction_stands_at_the_position_it_retracts(position in position()) {
            for digit in 1..=FACT_KINDS {
                let (fact, retraction) = (RecordKind::fact(digit), RecordKind(16 - digit));
                let (fact, retraction) = (Position { kind: fact, ..position }, Position { kind: retraction, ..position });
                prop_assert_eq!(retraction_of(fact.id()), retraction.id());
                prop_assert_ne!(fact.id(), retraction.id());
            }
        }
    }

    /// No two kinds have one digit, but those of governance, and none has a digit that another may have a retraction under.
    #[test]
    fn every_kind_has_a_digit_of_its_own() {
        let own = KINDS
            .iter()
            .map(|kind| kind.record)
            .filter(|record| *record != RecordKind::GOVERNANCE);
        let mut digits: Vec<RecordKind> = own.chain([RecordKind::GOVERNANCE, RecordKind::LOG]).collect();
        let count = digits.len();
        digits.sort_unstable();
        digits.dedup();
        assert_eq!(digits.len(), count, "two kinds share a digit: {KINDS:?}");
        let lists: std::collections::BTreeSet<&str> = KINDS.iter().map(|kind| kind.list).collect();
        assert_eq!(lists.len(), KINDS.len());
        let names: Vec<&str> = KINDS.iter().flat_map(|kind| kind.names).copied().collect();
        let distinct: std::collections::BTreeSet<&str> = names.iter().copied().collect();
        assert_eq!(distinct.len(), names.len(), "two kinds share a name: {names:?}");
    }

    /// Stored ids outlive releases: a change here is a migration of every table.
    #[test]
    fn ids_never_change() {
        let chain = ChainId(1);
        let position = Position {
            chain,
            block_number: 19_298_068,
            block_hash: B256::repeat_byte(0xab),
            log_index: 246,
            item: 3,
            kind: RecordKind::fact(1),
        };
        let contract = Address::repeat_byte(0x11);
        let ids = [
            position.id(),
            collection_id(chain, &contract),
            token_id(chain, &contract, &U256::MAX),
        ];
        let expected = [
            "00126771-4000-83d8-8000-3112d4e1d7be",
            "254005e3-470a-515c-b4c4-835f6df0eef2",
            "a2a42652-3dab-5c5c-af8d-0c082481693d",
        ];
        assert_eq!(ids.map(|id| id.to_string()), expected);
        assert_eq!(NAMESPACE, Uuid::new_v5(&Uuid::NAMESPACE_URL, b"urn:nft-indexer"));
    }
}
