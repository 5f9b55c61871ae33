//! Ends of orders, the facts of `order_closings`. Which orders they end follows from them and from the orders:
//! `crate::projections::settlement`.

use alloy_primitives::{Address, B256, U256};
use decoders::block::Block;
use decoders::fact::{Closing, ClosingReason, Nonces, Reach};
use decoders::id::marketplace_id;
use uuid::Uuid;

use crate::batch::{Keys, Row};
use crate::copy::Rows;
use crate::kind::{Kind, Table};

/// The kind under which a closing that is no fill is announced. A fill is announced as a sale.
pub(crate) const KIND: &str = "cancel";

impl Kind for Closing {
    /// The slot of the order it reaches; none where it reaches those of a maker.
    type Key = Option<Uuid>;

    const TABLE: Table = Table {
        columns: 17,
        copy: COPY,
        stored: STORED,
        make_undone: MAKE_UNDONE,
        take_above: TAKE_ABOVE,
        take: TAKE,
        analyze: ANALYZE,
        retract: RETRACT,
    };

    fn key(&self, _: &Block, keys: &mut Keys) -> Option<Uuid> {
        match self.reach {
            Reach::Key(key) => Some(keys.slot(&self.market, &key)),
            Reach::Maker { .. } => None,
        }
    }

    fn announced(&self) -> Option<&'static str> {
        (self.reason != ClosingReason::Filled).then_some(KIND)
    }

    fn write(row: &Row<'_, Closing>, rows: &mut Rows) {
        let (fact, of_maker) = (row.fact, OfMaker::of(row.fact));
        rows.uuid(marketplace_id(fact.marketplace)).hex(fact.market.as_slice());
        rows.optional(row.key, Rows::uuid);
        rows.optional(told_key(fact), |rows, key| rows.hex(key.as_slice()));
        rows.optional(of_maker.maker, |rows, maker| rows.hex(maker.as_slice()));
        rows.optional(of_maker.nonces, Rows::text);
        rows.optional(of_maker.nonce, Rows::amount);
        rows.text(fact.reason.as_str()).optional(taken(fact), Rows::amount);
    }
}

/// Which orders of a maker a closing reaches, as the table holds it; nothing for one that reaches a single order.
#[derive(Default)]
pub(crate) struct OfMaker {
    pub(crate) maker: Option<Address>,
    pub(crate) nonces: Option<&'static str>,
    pub(crate) nonce: Option<U256>,
}

impl OfMaker {
    pub(crate) fn of(fact: &Closing) -> Self {
        let Reach::Maker { maker, nonces } = fact.reach else {
            return OfMaker::default();
        };
        let (nonces, nonce) = match nonces {
            Nonces::All => ("all", None),
            Nonces::Below(nonce) => ("below", Some(nonce)),
            Nonces::Exactly(nonce) => ("exactly", Some(nonce)),
        };
        OfMaker {
            maker: Some(maker),
            nonces: Some(nonces),
            nonce,
        }
    }
}

/// The key of the order, where the closing is announced.
fn told_key(fact: &Closing) -> Option<B256> {
    match fact.reach {
        Reach::Key(key) if fact.announced().is_some() => Some(key),
        _ => None,
    }
}

/// Units taken; nothing but a fill leaves some.
fn taken(fact: &Closing) -> Option<U256> {
    fact.quantity.filter(|_| fact.reason == ClosingReason::Filled)
}

const COPY: &str = "copy catalog_service.order_closings
    (chain_id, id, tx_hash, block_number, block_hash, block_time, log_index, item,
     marketplace_id, market, slot, key, maker, nonces, nonce, reason, quantity) from stdin (format binary)";

const STORED: &str = "select chain_id, id, tx_hash, block_number, block_hash, block_time, log_index, item,
           marketplace_id, market, slot, key, maker, nonces, nonce, reason, quantity
    from catalog_service.order_closings where chain_id = $1 and id >= $2 and id < $3";

const MAKE_UNDONE: &str = "select indexer_service.make_undone('undone_closings', 'catalog_service.order_closings')";

const TAKE_ABOVE: &str = "with taken as (
        delete from catalog_service.order_closings where chain_id = $1 and id >= $2 returning *
    )
    insert into undone_closings select * from taken";

const TAKE: &str = "with taken as (
        delete from catalog_service.order_closings where chain_id = $1 and id = any($2) returning *
    )
    insert into undone_closings select * from taken";

const ANALYZE: &str = "analyze undone_closings";

// The fields publisher::cancel::CancelFact reads, from here or from the table.
const RETRACT: &str = "insert into undone (id, block_number, body)
    select c.id, c.block_number, to_jsonb(told)
    from undone_closings c
    left join catalog_service.marketplaces m on m.id = c.marketplace_id
    cross join lateral (
        select 'cancel' as kind, c.id as fact_id, m.name as marketplace, c.market, c.reason, c.key as order_key, c.maker,
               c.nonces, c.nonce::text as nonce, c.tx_hash, c.block_number, c.block_hash, c.block_time, c.log_index, c.item
    ) told
    where c.reason <> 'filled'";
