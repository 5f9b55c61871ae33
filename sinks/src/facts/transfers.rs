//! Transfers, the facts of `transfer_facts`, and their messages. Documented in docs/MESSAGES.md.

use decoders::block::Block;
use decoders::fact::Transfer;
use serde::{Deserialize, Serialize};

use crate::copy::Rows;
use crate::keys::{Keys, TokenKey};
use crate::kind::{Row, Stored, Table, table};
use crate::message::Stated;

/// A transfer and what it moves.
pub(crate) type Moved<'a> = Row<'a, Transfer>;

impl Moved<'_> {
    /// Whether anything moved. A transfer of zero units is a fact and makes neither token nor owner nor collection.
    pub(crate) fn moves(&self) -> bool {
        !self.fact.quantity.is_zero()
    }
}

impl Stored for Transfer {
    type Key = TokenKey;

    type Message = TransferMessage;

    const TABLE: Table = table! {
        table: "catalog_service.transfer_facts",
        undone: "undone_transfers",
        columns: "contract, token_number, token, from_addr, to_addr, quantity, standard",
        computed: "",
        message: "catalog_service.transfer_kind(f.from_addr, f.to_addr) as kind, catalog_service.hex(f.contract) as contract,
                  f.token_number::text as token_id, catalog_service.hex(f.from_addr) as \"from\",
                  catalog_service.hex(f.to_addr) as \"to\", f.quantity::text, f.standard",
        join: "",
        announced: "true",
        digest: "id, catalog_service.hex(contract), token_number, token, catalog_service.hex(from_addr), catalog_service.hex(to_addr),
                 quantity, standard, catalog_service.transfer_kind(from_addr, to_addr), catalog_service.hex(tx_hash),
                 catalog_service.block_of(id), catalog_service.hex(block_hash), extract(epoch from block_time)::bigint,
                 catalog_service.log_index_of(id), catalog_service.item_of(id)",
    };

    fn key(&self, _: &Block, keys: &mut Keys) -> TokenKey {
        keys.token(self.contract, self.token)
    }

    fn write(row: &Moved<'_>, rows: &mut Rows) {
        let fact = row.fact;
        rows.bytes(fact.contract.as_slice())
            .amount(fact.token)
            .uuid(row.key.token);
        rows.bytes(fact.from.as_slice()).bytes(fact.to.as_slice());
        rows.amount(fact.quantity).text(fact.standard.as_str());
    }
}

/// What a transfer states, as the table holds it and as consumers read it.
#[derive(Clone, Debug, Deserialize, Serialize, sqlx::FromRow)]
pub(crate) struct TransferMessage {
    contract: String,
    /// Decimal text: token numbers reach 2^256 − 1, beyond what JSON readers hold.
    token_id: String,
    from: String,
    to: String,
    /// Decimal text, for the same reason.
    quantity: String,
    standard: String,
}

impl Stated for TransferMessage {
    type Body = Self;

    fn contract(&self) -> &str {
        &self.contract
    }

    fn body(self) -> Self {
        self
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::b256;
    use decoders::block::ChainId;
    use decoders::fact::FactKind as _;
    use decoders::id::{Position, retraction_of};
    use serde_json::{Value, json};
    use uuid::Uuid;

    use super::*;
    use crate::kind::retraction;
    use crate::message::{MessageFact, documented};

    fn stored() -> (Uuid, Value) {
        let position = Position {
            chain: ChainId(1),
            block_number: 12_287_708,
            block_hash: b256!("0x9e1d3f0f2ad9bb8d8ba8ae2d9ce2ff6fcd46c0a8c1c7a4b1f2d52b8db7c0aa11"),
            log_index: 16,
            item: 0,
            kind: Transfer::RECORD,
        };
        let stored = json!({
            "fact_id": position.id(), "kind": "transfer", "contract": "0xbc4ca0eda7647a8ab7c2061c2e118a18a936f13d",
            "token_id": "8520", "from": "0xb88f61e6fbda83fbfffabe364112137480398018",
            "to": "0x54be3a794282c030b15e43ae2bb182e14c409c5e", "quantity": "1", "standard": "erc721",
            "tx_hash": "0x22199329b0aa1aa68902a78e3b32ca327c872fab166c7a2838273de6ad383eba", "log_index": 16,
            "block_number": 12_287_708, "block_hash": position.block_hash, "block_time": "2021-04-22T04:29:57+00:00"
        });
        (position.id(), stored)
    }

    #[test]
    fn the_documentation_shows_what_is_sent() {
        let (id, stored) = stored();
        let fact: MessageFact<TransferMessage> = serde_json::from_value(stored.clone()).unwrap();
        let message = fact.message(ChainId(1));
        assert_eq!(
            message.routing_key,
            "eip155.1.transfer.0xbc4ca0eda7647a8ab7c2061c2e118a18a936f13d"
        );
        assert_eq!(String::from_utf8(message.body).unwrap(), documented()[0]);
        let message = retraction::<Transfer>(stored, ChainId(1), retraction_of(id)).unwrap();
        assert_eq!(String::from_utf8(message.body).unwrap(), documented()[1]);
    }
}
