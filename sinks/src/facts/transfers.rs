//! Transfers, the facts of `ownership_transfers`.

use decoders::block::Block;
use decoders::fact::Transfer;

use crate::batch::{Keys, Moved, TokenKey};
use crate::copy::Rows;
use crate::kind::{Kind, Table};

impl Kind for Transfer {
    type Key = TokenKey;

    const TABLE: Table = Table {
        columns: 16,
        copy: COPY,
        stored: STORED,
        make_undone: MAKE_UNDONE,
        take_above: TAKE_ABOVE,
        take: TAKE,
        analyze: ANALYZE,
        retract: RETRACT,
    };

    fn key(&self, _: &Block, keys: &mut Keys) -> TokenKey {
        keys.token(self.contract, self.token)
    }

    fn announced(&self) -> Option<&'static str> {
        Some(self.kind.as_str())
    }

    fn write(row: &Moved<'_>, rows: &mut Rows) {
        let fact = row.fact;
        rows.hex(fact.contract.as_slice())
            .decimal(fact.token)
            .uuid(row.key.token);
        rows.hex(fact.from.as_slice()).hex(fact.to.as_slice());
        rows.amount(fact.quantity)
            .text(fact.standard.as_str())
            .text(fact.kind.as_str());
    }
}

const COPY: &str = "copy catalog_service.ownership_transfers
    (chain_id, id, tx_hash, block_number, block_hash, block_time, log_index, item,
     contract, token_id, token, from_addr, to_addr, quantity, standard, kind) from stdin (format binary)";

const STORED: &str = "select chain_id, id, tx_hash, block_number, block_hash, block_time, log_index, item,
           contract, token_id, token, from_addr, to_addr, quantity, standard, kind
    from catalog_service.ownership_transfers where chain_id = $1 and id >= $2 and id < $3";

const MAKE_UNDONE: &str =
    "select indexer_service.make_undone('undone_transfers', 'catalog_service.ownership_transfers')";

const TAKE_ABOVE: &str = "with taken as (
        delete from catalog_service.ownership_transfers where chain_id = $1 and id >= $2 returning *
    )
    insert into undone_transfers select * from taken";

const TAKE: &str = "with taken as (
        delete from catalog_service.ownership_transfers where chain_id = $1 and id = any($2) returning *
    )
    insert into undone_transfers select * from taken";

const ANALYZE: &str = "analyze undone_transfers";

const RETRACT: &str = "insert into undone (id, block_number, body)
    select id, block_number,
           jsonb_build_object('fact_id', id, 'kind', kind, 'contract', contract, 'token_id', token_id,
                              'from', from_addr, 'to', to_addr, 'quantity', quantity::text, 'standard', standard,
                              'tx_hash', tx_hash, 'log_index', log_index, 'item', item, 'block_number', block_number,
                              'block_hash', block_hash, 'block_time', block_time)
    from undone_transfers";
