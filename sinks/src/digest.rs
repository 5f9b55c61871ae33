//! What the tables of a chain hold, in one line each: equal lines, equal tables.
//!
//! Sums of row hashes, so that the order of rows does not matter. Left out: when something was written, what was pending for the
//! broker, and what others fill in, because two runs that index the same chain may differ in them.

use decoders::block::ChainId;

use crate::error::SinkError;
use crate::store::Store;

/// The digest of one table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableDigest {
    /// The table, with its schema.
    pub table: &'static str,
    /// Rows that count: dead ones (balances of zero) do not while their token is there.
    pub rows: u64,
    /// Sum of the rows' hashes, in decimal.
    pub digest: String,
}

/// The digests of everything computed from the facts of `chain`, in a fixed order.
pub async fn digest(store: &Store, chain: ChainId) -> Result<Vec<TableDigest>, SinkError> {
    let mut digests = Vec::with_capacity(TABLES.len());
    for (table, statement) in TABLES {
        let (rows, digest): (i64, String) = sqlx::query_as(statement)
            .bind(chain.to_string())
            .fetch_one(&store.pool)
            .await?;
        digests.push(TableDigest {
            table,
            rows: rows.cast_unsigned(),
            digest,
        });
    }
    Ok(digests)
}

const TABLES: [(&str, &str); 12] = [
    ("catalog_service.ownership_transfers", TRANSFERS),
    ("catalog_service.tokens", TOKENS),
    ("catalog_service.collections", COLLECTIONS),
    ("catalog_service.erc1155_balances", BALANCES),
    ("catalog_service.collection_counters", COUNTERS),
    ("catalog_service.sale_facts", SALES),
    ("catalog_service.collection_sales", COLLECTION_SALES),
    ("catalog_service.token_sales", TOKEN_SALES),
    ("catalog_service.order_facts", ORDERS),
    ("catalog_service.order_closings", CLOSINGS),
    ("indexer_service.decode_faults", FAULTS),
    ("indexer_service.indexer_coverage", COVERAGE),
];

const TRANSFERS: &str = "select count(*), coalesce(sum(('x' || left(md5(t::text), 16))::bit(64)::bigint), 0)::text from (
        select id, contract, token_id, token, from_addr, to_addr, quantity, standard, kind, tx_hash, block_number, block_hash,
               extract(epoch from block_time)::bigint, log_index, item
        from catalog_service.ownership_transfers where chain_id = $1
    ) t";

const TOKENS: &str = "select count(*), coalesce(sum(('x' || left(md5(t::text), 16))::bit(64)::bigint), 0)::text from (
        select id, collection_id, contract_address, token_number, token_standard, owner_address, owner_position, burned,
               extract(epoch from minted_at)::bigint, supply
        from catalog_service.tokens where chain_id = $1
    ) t";

const COLLECTIONS: &str =
    "select count(*), coalesce(sum(('x' || left(md5(t::text), 16))::bit(64)::bigint), 0)::text from (
        select id, slug, contract_address, collection_type, first_position
        from catalog_service.collections where chain_id = $1
    ) t";

// The chain of a balance is that of its token. A balance without one is a leftover of some chain, dead or not, and counts on every one.
const BALANCES: &str =
    "select count(*), coalesce(sum(('x' || left(md5(t::text), 16))::bit(64)::bigint), 0)::text from (
        select b.token, b.owner, b.quantity from catalog_service.erc1155_balances b
        left join catalog_service.tokens k on k.id = b.token
        where (k.chain_id = $1 and b.quantity <> 0) or k.id is null
    ) t";

const COUNTERS: &str =
    "select count(*), coalesce(sum(('x' || left(md5(t::text), 16))::bit(64)::bigint), 0)::text from (
        select contract, transfers, mints, burns from catalog_service.collection_counters where chain_id = $1
    ) t";

const SALES: &str = "select count(*), coalesce(sum(('x' || left(md5(t::text), 16))::bit(64)::bigint), 0)::text from (
        select id, contract, token_number, token, standard, quantity, marketplace_id, version, side, seller, buyer, maker, taker_raw,
               aggregator, currency_address, price_raw, price_allocation, seller_net_raw, fee_recipients, fee_amounts, fee_kinds,
               order_hash, bundle_id, bundle_size, flags, wash_flags, wash_version, tx_hash, block_number, block_hash,
               extract(epoch from block_time)::bigint, log_index, item
        from catalog_service.sale_facts where chain_id = $1
    ) t";

const COLLECTION_SALES: &str =
    "select count(*), coalesce(sum(('x' || left(md5(t::text), 16))::bit(64)::bigint), 0)::text from (
        select contract, currency, sales, volume_raw from catalog_service.collection_sales where chain_id = $1
    ) t";

const TOKEN_SALES: &str =
    "select count(*), coalesce(sum(('x' || left(md5(t::text), 16))::bit(64)::bigint), 0)::text from (
        select token, currency, sales, volume_raw, last_sale from catalog_service.token_sales where chain_id = $1
    ) t";

const ORDERS: &str = "select count(*), coalesce(sum(('x' || left(md5(t::text), 16))::bit(64)::bigint), 0)::text from (
        select id, kind, marketplace_id, version, market, key, hashed, slot, maker, collection, contract, token_number, token, standard,
               quantity, currency_address, price_raw, unit_price_raw, extract(epoch from starts_at)::bigint,
               extract(epoch from expires_at)::bigint, taker, nonce, escrowed, auction, tx_hash, block_number, block_hash,
               extract(epoch from block_time)::bigint, log_index, item, closed_by, closed_reason, filled
        from catalog_service.order_facts where chain_id = $1
    ) t";

const CLOSINGS: &str =
    "select count(*), coalesce(sum(('x' || left(md5(t::text), 16))::bit(64)::bigint), 0)::text from (
        select id, marketplace_id, market, slot, key, maker, nonces, nonce, reason, quantity, tx_hash, block_number, block_hash,
               extract(epoch from block_time)::bigint, log_index, item
        from catalog_service.order_closings where chain_id = $1
    ) t";

const FAULTS: &str = "select count(*), coalesce(sum(('x' || left(md5(t::text), 16))::bit(64)::bigint), 0)::text from (
        select id, source, block_number, block_hash, log_index, tx_hash, contract, topic0, reason
        from indexer_service.decode_faults where chain_id = $1
    ) t";

// By source alone: a block that two spans hold stands under the proof of whichever came first.
const COVERAGE: &str =
    "select count(*), coalesce(sum(('x' || left(md5(t::text), 16))::bit(64)::bigint), 0)::text from (
        select c.source, range_agg(r) from indexer_service.source_coverage c, unnest(c.covered) r
        where c.chain_id = $1 group by c.source
    ) t";
