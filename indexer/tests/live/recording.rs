//! The recording in the repository: the tables, the demo and the node that was recorded say the same.

use std::path::{Path, PathBuf};

use alloy_primitives::{Address, Bytes};
use serde_json::Value;
use testchain::recording::{self, Recorded};

/// The committed recording.
fn recorded() -> Recorded {
    recording::read(&folder().join("market.zst")).unwrap()
}

/// What the recorded node said at the last block.
fn expected() -> Value {
    serde_json::from_str(&std::fs::read_to_string(folder().join("market.expected.json")).unwrap()).unwrap()
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../recordings")
}

/// The creation code, arguments included, of the collections with these names.
pub(crate) fn creations(names: &[&str]) -> Vec<Bytes> {
    let (expected, recorded) = (expected(), recorded());
    let transactions: Vec<_> = recorded
        .blocks
        .iter()
        .flat_map(|block| block.transactions.iter().zip(&block.receipts))
        .collect();
    let creation = |name: &&str| {
        let collection = expected["collections"]
            .as_array()
            .unwrap()
            .iter()
            .find(|collection| collection["name"] == **name)
            .unwrap();
        let contract: Address = collection["address"].as_str().unwrap().parse().unwrap();
        let created = transactions.iter().find(|(_, receipt)| {
            let verbatim: Value = serde_json::from_str(receipt.verbatim.as_ref().unwrap().get()).unwrap();
            verbatim["contractAddress"]
                .as_str()
                .is_some_and(|address| address.parse() == Ok(contract))
        });
        created
            .unwrap_or_else(|| panic!("{name} was not created in the recording"))
            .0
            .input
            .clone()
    };
    names.iter().map(creation).collect()
}
