//! What consumers receive of a transfer, mint or burn. Documented in docs/MESSAGES.md.

use serde::{Deserialize, Serialize};

use super::message::Told;

/// What a transfer states, as the table holds it and as consumers read it.
#[derive(Clone, Debug, Deserialize, Serialize, sqlx::FromRow)]
pub(super) struct Transfer {
    contract: String,
    /// Decimal text: token numbers reach 2^256 − 1, beyond what JSON readers hold.
    token_id: String,
    from: String,
    to: String,
    /// Decimal text, for the same reason.
    quantity: String,
    standard: String,
}

impl Told for Transfer {
    type Body = Self;

    const KINDS: &'static [&'static str] = &["transfer", "mint", "burn"];

    const READ: &'static str = READ;

    fn contract(&self) -> &str {
        &self.contract
    }

    fn body(self) -> Self {
        self
    }
}

const READ: &str =
    "select id as fact_id, kind, contract::text, token_id, from_addr::text as \"from\", to_addr::text as \"to\",
           quantity::text, standard, tx_hash::text, log_index, item, block_number, block_hash::text, block_time
    from catalog_service.ownership_transfers where chain_id = $1 and id = any($2)";

#[cfg(test)]
mod tests {
    use alloy_primitives::b256;
    use decoders::block::ChainId;
    use decoders::id::{Position, RecordKind, retraction_of};
    use serde_json::{Value, json};
    use uuid::Uuid;

    use super::super::message::{Fact, documented, retraction};
    use super::*;

    fn told() -> (Uuid, Value) {
        let position = Position {
            chain: ChainId(1),
            block_number: 12_287_708,
            block_hash: b256!("0x9e1d3f0f2ad9bb8d8ba8ae2d9ce2ff6fcd46c0a8c1c7a4b1f2d52b8db7c0aa11"),
            log_index: 16,
            item: 0,
            kind: RecordKind::Transfer,
        };
        let told = json!({
            "fact_id": position.id(), "kind": "transfer", "contract": "0xbc4ca0eda7647a8ab7c2061c2e118a18a936f13d",
            "token_id": "8520", "from": "0xb88f61e6fbda83fbfffabe364112137480398018",
            "to": "0x54be3a794282c030b15e43ae2bb182e14c409c5e", "quantity": "1", "standard": "erc721",
            "tx_hash": "0x22199329b0aa1aa68902a78e3b32ca327c872fab166c7a2838273de6ad383eba", "log_index": 16,
            "block_number": 12_287_708, "block_hash": position.block_hash, "block_time": "2021-04-22T04:29:57+00:00"
        });
        (position.id(), told)
    }

    #[test]
    fn the_documentation_shows_what_is_sent() {
        let (id, told) = told();
        let fact: Fact<Transfer> = serde_json::from_value(told.clone()).unwrap();
        let message = fact.message(ChainId(1));
        assert_eq!(
            message.routing_key,
            "eip155.1.transfer.0xbc4ca0eda7647a8ab7c2061c2e118a18a936f13d"
        );
        assert_eq!(String::from_utf8(message.body).unwrap(), documented()[0]);
        let message = retraction(told, ChainId(1), retraction_of(id)).unwrap();
        assert_eq!(String::from_utf8(message.body).unwrap(), documented()[1]);
    }
}
