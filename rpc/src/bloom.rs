//! Header blooms: what a block's logs must have set, and what a filter might match.

use alloy_primitives::{Address, B256, Bloom, keccak256};
use decoders::block::Log;
use rustc_hash::FxHashMap;

use super::settings::Filter;

/// Topics remembered before the memory is emptied; owners and token ids hardly repeat, contracts and signatures always do.
const MEMORY: usize = 1 << 16;

/// The three bits an address or topic sets (Yellow Paper, section 4.3.1).
#[derive(Clone, Copy, Debug)]
struct Bits([u16; 3]);

impl Bits {
    fn of(bytes: &[u8]) -> Self {
        let hash = keccak256(bytes);
        Bits([0, 2, 4].map(|i| u16::from_be_bytes([hash[i], hash[i + 1]]) & 0x7ff))
    }

    fn set_in(self, bloom: &Bloom) -> bool {
        self.0
            .iter()
            .all(|bit| bloom.0[255 - usize::from(bit / 8)] & (1 << (bit % 8)) != 0)
    }
}

/// A filter as bloom bits.
#[derive(Clone, Debug)]
pub(super) struct FilterBits {
    topics: Vec<Bits>,
    addresses: Vec<Bits>,
    whole: Vec<Bits>,
    /// The topics that no other logs share, and the shared ones with the contracts that are wanted whatever they emit of them.
    sole: Vec<Bits>,
    listed: Vec<(Bits, Bits)>,
}

impl FilterBits {
    pub(super) fn of(filter: &Filter) -> Self {
        let contracts = |all: &[Address]| all.iter().map(|address| Bits::of(address.as_slice())).collect();
        let of_topic = |topic: &B256| Bits::of(topic.as_slice());
        let is_shared = |topic: &B256| filter.shared.iter().any(|shared| shared.topic == *topic);
        let listed = filter.shared.iter().flat_map(|shared| {
            let contracts = shared.contracts.iter();
            contracts.map(|contract| (&shared.topic, contract))
        });
        FilterBits {
            topics: filter.topics.iter().map(of_topic).collect(),
            addresses: contracts(&filter.addresses),
            whole: contracts(&filter.whole),
            sole: filter
                .topics
                .iter()
                .filter(|topic| !is_shared(topic))
                .map(of_topic)
                .collect(),
            listed: listed
                .map(|(topic, contract)| (of_topic(topic), Bits::of(contract.as_slice())))
                .collect(),
        }
    }

    /// Whether a block with this bloom may hold a matching log. `false` is certain, `true` is not.
    pub(super) fn may_match(&self, bloom: &Bloom) -> bool {
        let some = |all: &[Bits]| all.iter().any(|bits| bits.set_in(bloom));
        let any = |all: &[Bits]| all.is_empty() || some(all);
        // A filter for everything matches nothing in a block whose bloom is empty.
        *bloom != Bloom::ZERO && ((any(&self.topics) && any(&self.addresses)) || some(&self.whole))
    }

    /// The same without the topics that other logs share.
    pub(super) fn may_match_sole(&self, bloom: &Bloom) -> bool {
        let some = |all: &[Bits]| all.iter().any(|bits| bits.set_in(bloom));
        let listed = |(topic, contract): &(Bits, Bits)| topic.set_in(bloom) && contract.set_in(bloom);
        // Without topics every log is asked for.
        let is_sole = if self.topics.is_empty() {
            *bloom != Bloom::ZERO
        } else {
            some(&self.sole)
        };
        is_sole || some(&self.whole) || self.listed.iter().any(listed)
    }
}

/// Checks logs against blooms, remembering what it hashed.
#[derive(Default)]
pub(super) struct Checker {
    topics: FxHashMap<B256, Bits>,
    addresses: FxHashMap<Address, Bits>,
}

impl Checker {
    /// Whether the bloom has the bits of the log's address and of every topic.
    pub(super) fn holds(&mut self, bloom: &Bloom, log: &Log) -> bool {
        if self.topics.len() > MEMORY {
            self.topics.clear();
        }
        if self.addresses.len() > MEMORY {
            self.addresses.clear();
        }
        self.addresses
            .entry(log.address)
            .or_insert_with(|| Bits::of(log.address.as_slice()))
            .set_in(bloom)
            && log.topics.iter().all(|topic| {
                self.topics
                    .entry(*topic)
                    .or_insert_with(|| Bits::of(topic.as_slice()))
                    .set_in(bloom)
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::Bytes;
    use proptest::prelude::*;
    use smallvec::SmallVec;

    fn log(address: [u8; 20], topics: &[[u8; 32]]) -> Log {
        Log {
            block_number: 1,
            log_index: 0,
            tx_index: 0,
            tx_hash: B256::ZERO,
            address: Address::new(address),
            topics: topics.iter().map(|topic| B256::new(*topic)).collect::<SmallVec<_>>(),
            data: Bytes::new(),
        }
    }

    proptest! {
        #[test]
        fn agrees_with_alloy(address: [u8; 20], other: [u8; 20], topics in proptest::collection::vec(any::<[u8; 32]>(), 0..4)) {
            let log = log(address, &topics);
            let mut bloom = Bloom::ZERO;
            bloom.accrue_raw_log(log.address, &log.topics);
            let mut checker = Checker::default();
            prop_assert!(checker.holds(&bloom, &log));
            let foreign = Log { address: Address::new(other), ..log.clone() };
            prop_assert_eq!(checker.holds(&bloom, &foreign), bloom.contains_raw_log(foreign.address, &foreign.topics));

            let filter = Filter { topics: log.topics.to_vec(), addresses: vec![log.address], ..Filter::default() };
            prop_assert!(FilterBits::of(&filter).may_match(&bloom));
            prop_assert!(!FilterBits::of(&filter).may_match(&Bloom::ZERO));
            let elsewhere = Filter::whole_only(&[foreign.address]);
            let beside = Filter { topics: vec![B256::repeat_byte(0xee)], whole: vec![log.address], ..Filter::default() };
            prop_assert!(FilterBits::of(&beside).may_match(&bloom));
            prop_assert_eq!(FilterBits::of(&elsewhere).may_match(&bloom), bloom.contains_raw_log(foreign.address, &[]));
        }
    }
}
