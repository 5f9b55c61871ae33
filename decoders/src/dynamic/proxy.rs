//! Proxies (ERC-1967 and its forerunners): which contract's code, and so which ABI, stands behind an address from a log on.

use std::sync::LazyLock;

use alloy_primitives::{Address, B256, b256};
use serde_json::json;

use crate::block::Log;
use crate::dynamic::stored::Abi;

/// `Upgraded(address)`: the implementation as a topic, in the data before ERC-1967 made it one.
const UPGRADED: B256 = b256!("bc7cd75a20ee27fd9adebab32041f755214dbc6bffa90cc0225b39da2e5c2d3b");
/// `BeaconUpgraded(address)`.
const BEACON_UPGRADED: B256 = b256!("1cf3b03a6cf19fa2baba4df148e9dcabedea7f8a5c07840e207e5c089be95d3e");

/// What a proxy runs after a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The code of this contract.
    Implementation(Address),
    /// The code that this contract names by `Upgraded` logs of its own.
    Beacon(Address),
}

/// What `log` states its emitter runs from here on; `None` when it states nothing of it.
pub fn change(log: &Log) -> Option<Change> {
    let topic0 = log.topic0()?;
    let make = match *topic0 {
        UPGRADED => Change::Implementation,
        BEACON_UPGRADED => Change::Beacon,
        _ => return None,
    };
    let word = match log.topics.as_slice() {
        [_, target] => *target,
        [_] => B256::from(*log.data.first_chunk::<32>()?),
        _ => return None,
    };
    Some(make(Address::from_word(word)))
}

/// The events every proxy has, whether its own ABI names them or not.
pub fn abi() -> &'static Abi {
    static ABI: LazyLock<Abi> = LazyLock::new(|| {
        let address = |name: &str, indexed: bool| json!({ "name": name, "type": "address", "indexed": indexed });
        let event = |name: &str, inputs| json!({ "type": "event", "name": name, "inputs": inputs });
        Abi::parse(&json!([
            event("Upgraded", json!([address("implementation", true)])),
            event("Upgraded", json!([address("implementation", false)])),
            event("BeaconUpgraded", json!([address("beacon", true)])),
            event("BeaconUpgraded", json!([address("beacon", false)])),
            event(
                "AdminChanged",
                json!([address("previousAdmin", false), address("newAdmin", false)])
            ),
        ]))
        .expect("the events above are well formed")
    });
    &ABI
}

#[cfg(test)]
mod tests {
    use alloy_primitives::{Bytes, keccak256};

    use super::*;

    fn log(topics: &[B256], data: &[u8]) -> Log {
        Log {
            block_number: 1,
            log_index: 0,
            tx_index: 0,
            tx_hash: B256::ZERO,
            address: Address::ZERO,
            topics: topics.iter().copied().collect(),
            data: Bytes::copy_from_slice(data),
        }
    }

    #[test]
    fn the_hashes_are_those_of_the_signatures() {
        assert_eq!(UPGRADED, keccak256("Upgraded(address)"));
        assert_eq!(BEACON_UPGRADED, keccak256("BeaconUpgraded(address)"));
        assert!(abi().knows(&UPGRADED) && abi().knows(&keccak256("AdminChanged(address,address)")));
    }

    #[test]
    fn an_upgrade_is_seen_in_both_forms_and_in_no_other() {
        let target = Address::repeat_byte(7);
        let word = target.into_word();
        let changed = Some(Change::Implementation(target));
        assert_eq!(change(&log(&[UPGRADED, word], &[])), changed);
        assert_eq!(change(&log(&[UPGRADED], word.as_slice())), changed);
        assert_eq!(
            change(&log(&[BEACON_UPGRADED, word], &[])),
            Some(Change::Beacon(target))
        );
        assert_eq!(change(&log(&[UPGRADED], &word[1..])), None);
        assert_eq!(change(&log(&[UPGRADED, word, word], &[])), None);
        assert_eq!(change(&log(&[word], &[])), None);
        assert_eq!(change(&log(&[], &[])), None);
        assert!(abi().read(&log(&[UPGRADED], word.as_slice())).is_ok());
    }
}
