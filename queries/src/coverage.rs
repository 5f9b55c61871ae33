//! Which blocks were applied, by source, and which are missing.

use std::collections::BTreeMap;

use serde::Serialize;
use sqlx::postgres::PgRow;
use sqlx::{FromRow, PgExecutor, Row};

/// Gaps shown per source; their number of blocks counts all of them.
const SHOWN_GAPS: i32 = 50;

/// What was applied of one source, between the first block wanted of it and the checkpoint or the finalized block, whichever is
/// higher.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SourceCoverage {
    /// Blocks applied.
    pub covered_blocks: i64,
    /// Blocks missing; absent while neither checkpoint nor finalized block is known.
    pub missing_blocks: Option<i64>,
    /// The lowest gaps, at most fifty.
    pub gaps: Vec<Gap>,
}

/// Blocks that were not applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Gap {
    /// Height of the lowest.
    pub from: i64,
    /// Height of the highest.
    pub to: i64,
}

/// The coverage of one source on one chain.
pub(crate) struct Covered {
    pub(crate) chain: String,
    pub(crate) source: String,
    pub(crate) coverage: SourceCoverage,
}

/// The coverage of every source that is wanted or was covered, on every chain of the registry. `finalized` adds what is known of
/// finalized blocks beside the tables, by the chain's name.
pub(crate) async fn read(
    executor: impl PgExecutor<'_>,
    finalized: &BTreeMap<String, i64>,
) -> Result<Vec<Covered>, sqlx::Error> {
    let (named, heights): (Vec<&str>, Vec<i64>) =
        finalized.iter().map(|(name, height)| (name.as_str(), *height)).unzip();
    let covered = sqlx::query_as(COVERAGE)
        .bind(decoders::sources())
        .bind(named)
        .bind(heights)
        .bind(SHOWN_GAPS);
    covered.fetch_all(executor).await
}

// Of a chain read whole every decoder and the archive are wanted, else each registered contract from its start block on; what was
// covered beside that is shown too. Up to where is known once there is a checkpoint or a finalized block.
const COVERAGE: &str = "
    with wanted as (
        select c.caip2::text as chain_id, s.source
        from chain_registry_service.chains c cross join unnest($1::text[] || '{archive}'::text[]) as s (source)
        where c.scope = 'all'
        union
        select c.caip2, k.address
        from chain_registry_service.chains c join chain_registry_service.chain_contracts k on k.chain_id = c.id
        where c.scope = 'contracts'
    ), covered as (
        select chain_id::text as chain_id, source, range_agg(covered) as covered
        from indexer_service.source_coverage group by chain_id, source
    ), known as (
        -- full, so that what is covered and no longer wanted is shown as well
        select chain_id, source, coalesce(v.covered, '{}'::int8multirange) as covered
        from wanted w full join covered v using (chain_id, source)
    ), starts as (
        select c.caip2::text as chain_id, p.prefix || k.address as source, k.start_block
        from chain_registry_service.chains c
        join chain_registry_service.chain_contracts k on k.chain_id = c.id
        -- the first block wanted of a contract is that of all its sources, those of its stored abi too
        cross join (values (''), ('logs:'), ('abi:')) as p (prefix)
    ), sources as (
        select w.chain_id, w.source, w.covered, greatest(c.start_block, k.start_block) as first_block,
               greatest(p.last_block, p.finalized_block, f.finalized) as last_block
        from known w
        join chain_registry_service.chains c on c.caip2 = w.chain_id
        left join starts k on k.chain_id = w.chain_id and k.source = w.source
        left join indexer_service.indexer_checkpoints p on p.chain_id = w.chain_id
        -- a finalized height that the caller knows and no daemon has stored yet
        left join unnest($2::text[], $3::int8[]) as f (chain_id, finalized) on f.chain_id = w.chain_id
    )
    select s.chain_id, s.source, missing.blocks as missing_blocks, missing.gaps_from, missing.gaps_to,
           (select coalesce(sum(upper(r) - lower(r)), 0)::bigint from unnest(s.covered) r) as covered_blocks
    from sources s
    left join lateral (
        select coalesce(sum(upper(r) - lower(r)), 0)::bigint as blocks,
               -- the first gaps are enough to show, their number is not bounded
               coalesce((array_agg(lower(r) order by r))[:$4], '{}') as gaps_from,
               coalesce((array_agg(upper(r) - 1 order by r))[:$4], '{}') as gaps_to
        from unnest(int8multirange(int8range(s.first_block, greatest(s.first_block, s.last_block + 1))) - s.covered) r
    ) missing on s.last_block is not null
    where s.last_block is not null or not isempty(s.covered)";

impl FromRow<'_, PgRow> for Covered {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let from: Option<Vec<i64>> = row.try_get("gaps_from")?;
        let to: Option<Vec<i64>> = row.try_get("gaps_to")?;
        let gaps = from.unwrap_or_default().into_iter().zip(to.unwrap_or_default());
        Ok(Covered {
            chain: row.try_get("chain_id")?,
            source: row.try_get("source")?,
            coverage: SourceCoverage {
                covered_blocks: row.try_get("covered_blocks")?,
                missing_blocks: row.try_get("missing_blocks")?,
                gaps: gaps.map(|(from, to)| Gap { from, to }).collect(),
            },
        })
    }
}
