//! Which ABIs are in force where: a function of the registry and of the set of upgrades, whatever the order they were learnt in.

use std::collections::BTreeMap;

use alloy_primitives::Address;
use decoders::dynamic::proxy::Change;
use sinks::abis::{Segment, Timeline, Timelines, Upgrade};
use uuid::Uuid;

use crate::registry::{Contract, Followed};

/// The position before every log.
const BEGINNING: Uuid = Uuid::nil();

/// The timeline of every contract in `followed`.
pub(super) fn resolve(followed: &[Followed], contracts: &[Contract], upgrades: &[Upgrade]) -> Timelines {
    let contracts: BTreeMap<Address, &Contract> =
        contracts.iter().map(|contract| (contract.address, contract)).collect();
    let mut changes: BTreeMap<Address, Vec<(Uuid, Change)>> = BTreeMap::new();
    // What the registry names counts from the beginning; an upgrade that the chain emitted counts from its position.
    for contract in contracts.values() {
        if let Some(implementation) = contract.impl_address {
            let change = (BEGINNING, Change::Implementation(implementation));
            changes.entry(contract.address).or_default().push(change);
        }
    }
    for upgrade in upgrades {
        changes
            .entry(upgrade.contract)
            .or_default()
            .push((upgrade.valid_from, upgrade.change));
    }
    changes
        .values_mut()
        .for_each(|changes| changes.sort_by_key(|(from, _)| *from));
    let none = Vec::new();
    let abi_of = |address: &Address| contracts.get(address).and_then(|contract| contract.abi_sha256.clone());
    let timeline = |followed: &Followed| {
        // A proxy emits events of its own beside those of the code it runs, so its ABI stands behind the implementation's.
        let own = abi_of(&followed.address);
        let segment = |from: Uuid, behind: Option<Option<Address>>| match behind {
            None => Segment {
                from,
                abis: own.iter().cloned().collect(),
                known: own.is_some(),
            },
            Some(implementation) => {
                let abi = implementation.and_then(|address| abi_of(&address));
                let known = abi.is_some();
                let mut abis: Vec<String> = abi.into_iter().chain(own.clone()).collect();
                abis.dedup();
                Segment { from, abis, known }
            }
        };
        let mut segments = vec![segment(BEGINNING, None)];
        for (from, implementation) in implementations(changes.get(&followed.address).unwrap_or(&none), &changes) {
            let next = segment(from, Some(implementation));
            match segments.last_mut() {
                Some(last) if last.from == from => *last = next,
                // Segments that read alike are one: where none differs, no coverage is taken back.
                Some(last) if last.abis == next.abis && last.known == next.known => {}
                _ => segments.push(next),
            }
        }
        (followed.address, Timeline(segments))
    };
    followed.iter().map(timeline).collect()
}

/// Whose code runs from which position on; `None` while a beacon has not announced whose.
fn implementations(
    own: &[(Uuid, Change)],
    changes: &BTreeMap<Address, Vec<(Uuid, Change)>>,
) -> Vec<(Uuid, Option<Address>)> {
    let mut found = Vec::new();
    for (place, (from, change)) in own.iter().enumerate() {
        let beacon = match change {
            Change::Implementation(implementation) => {
                found.push((*from, Some(*implementation)));
                continue;
            }
            Change::Beacon(beacon) => beacon,
        };
        let until = own.get(place + 1).map_or(Uuid::max(), |(next, _)| *next);
        let named = changes
            .get(beacon)
            .into_iter()
            .flatten()
            .filter_map(|(at, change)| match change {
                Change::Implementation(implementation) => Some((*at, *implementation)),
                // A beacon behind a beacon is not a thing.
                Change::Beacon(_) => None,
            });
        let named: Vec<(Uuid, Address)> = named.collect();
        // A beacon may have announced its implementation long before the proxy turned to it.
        let before = named
            .iter()
            .rev()
            .find(|(at, _)| at <= from)
            .map(|(_, implementation)| *implementation);
        found.push((*from, before));
        let within = named.iter().filter(|(at, _)| at > from && *at < until);
        found.extend(within.map(|(at, implementation)| (*at, Some(*implementation))));
    }
    found
}

#[cfg(test)]
mod tests {
    use decoders::block::ChainId;
    use decoders::id::Position;

    use super::*;

    const PROXY: Address = Address::repeat_byte(1);
    const BEACON: Address = Address::repeat_byte(2);
    const ONE: Address = Address::repeat_byte(11);
    const TWO: Address = Address::repeat_byte(12);
    const UNKNOWN: Address = Address::repeat_byte(13);

    fn contract(address: Address, abi: Option<&str>) -> Contract {
        Contract {
            chain: ChainId(1),
            address,
            name: None,
            standard: None,
            start_block: 0,
            abi_sha256: abi.map(str::to_owned),
            impl_address: None,
        }
    }

    fn upgrade(contract: Address, block: u64, change: Change) -> Upgrade {
        Upgrade {
            contract,
            valid_from: Position::floor(block),
            change,
        }
    }

    /// The ABIs in force in some blocks, and whether the code's own is among them.
    fn at(contracts: &[Contract], upgrades: &[Upgrade], blocks: &[u64]) -> Vec<(String, bool)> {
        let followed = [Followed {
            address: PROXY,
            from: 0,
        }];
        let timelines = resolve(&followed, contracts, upgrades);
        let segment = |block: &u64| timelines[&PROXY].at(Position::floor(*block)).unwrap().clone();
        blocks
            .iter()
            .map(segment)
            .map(|segment| (segment.abis.join(" "), segment.known))
            .collect()
    }

    fn segments(expected: &[(&str, bool)]) -> Vec<(String, bool)> {
        expected
            .iter()
            .map(|(abis, known)| ((*abis).to_owned(), *known))
            .collect()
    }

    #[test]
    fn the_implementation_in_force_decides_and_the_order_of_learning_does_not() {
        let contracts = [
            contract(PROXY, Some("own")),
            contract(ONE, Some("one")),
            contract(TWO, Some("two")),
        ];
        let mut upgrades = [
            upgrade(PROXY, 5, Change::Implementation(ONE)),
            upgrade(PROXY, 9, Change::Implementation(TWO)),
            upgrade(PROXY, 20, Change::Implementation(UNKNOWN)),
        ];
        let expected = segments(&[
            ("own", true),
            ("one own", true),
            ("one own", true),
            ("two own", true),
            ("own", false),
        ]);
        for _ in 0..3 {
            upgrades.rotate_left(1);
            assert_eq!(at(&contracts, &upgrades, &[4, 5, 8, 9, 20]), expected);
        }
    }

    #[test]
    fn what_the_registry_says_holds_until_the_chain_says_otherwise() {
        let proxy = Contract {
            impl_address: Some(ONE),
            ..contract(PROXY, None)
        };
        let contracts = [proxy, contract(ONE, Some("one")), contract(TWO, Some("two"))];
        let upgrades = [upgrade(PROXY, 9, Change::Implementation(TWO))];
        assert_eq!(
            at(&contracts, &upgrades, &[0, 8, 9]),
            segments(&[("one", true), ("one", true), ("two", true)])
        );
    }

    #[test]
    fn a_beacon_is_followed_while_the_proxy_asks_it() {
        let contracts = [
            contract(PROXY, None),
            contract(ONE, Some("one")),
            contract(TWO, Some("two")),
        ];
        let upgrades = [
            upgrade(PROXY, 5, Change::Beacon(BEACON)),
            upgrade(PROXY, 20, Change::Implementation(ONE)),
            upgrade(BEACON, 3, Change::Implementation(ONE)),
            upgrade(BEACON, 8, Change::Implementation(TWO)),
            upgrade(BEACON, 30, Change::Implementation(UNKNOWN)),
        ];
        assert_eq!(
            at(&contracts, &upgrades, &[4, 5, 7, 8, 19, 20, 40]),
            segments(&[
                ("", false),
                ("one", true),
                ("one", true),
                ("two", true),
                ("two", true),
                ("one", true),
                ("one", true)
            ])
        );
        let silent = [upgrade(PROXY, 5, Change::Beacon(BEACON))];
        assert_eq!(at(&contracts, &silent, &[5]), segments(&[("", false)]));
    }
}
