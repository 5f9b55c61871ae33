//! What the tables of a chain hold, in one line each: equal lines, equal tables.
//!
//! Sums of row hashes, so that the order of rows does not matter. Left out: when something was written, what was pending for the
//! broker, and what others fill in, because two runs that index the same chain may differ in them.

use decoders::block::ChainId;

use crate::error::SinkError;
use crate::facts::TABLES;
use crate::projections::PROJECTIONS;
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
    let mut digests = Vec::new();
    for (table, statement) in statements() {
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

/// Every table that is computed from what decoders decode, with its schema.
pub fn tables() -> impl Iterator<Item = &'static str> {
    statements().map(|(table, _)| table)
}

/// The tables of facts, those of projections, and those that belong to no kind.
fn statements() -> impl Iterator<Item = (&'static str, &'static str)> {
    let facts = TABLES.iter().map(|table| (table.name, table.digest));
    let projections = PROJECTIONS.iter().flat_map(|projection| projection.digests).copied();
    facts.chain(projections).chain(OTHERS)
}

const OTHERS: [(&str, &str); 2] = [
    ("indexer_service.decode_faults", FAULTS),
    ("indexer_service.indexer_coverage", COVERAGE),
];

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
