//! Which blocks were applied, per source. What is covered is never applied again: coverage is the idempotence.
//!
//! See docs/decisions/0004-coverage-is-idempotence.md.

use std::ops::RangeInclusive;

use alloy_primitives::Address;
use decoders::block::{ChainId, Proof};
use decoders::fact::Facts;
use rustc_hash::FxHashMap;
use sqlx::PgConnection;

use crate::error::SinkError;
use crate::store::Store;

/// A run of blocks one source was applied for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Covered {
    /// Decoder, registered contract, or `archive`.
    pub source: String,
    /// What was proven of the blocks when they were applied: the name of a [`Proof`].
    pub proof: String,
    /// Lowest and highest height.
    pub range: RangeInclusive<u64>,
}

/// Everything covered on `chain`, by source and height.
pub async fn read(store: &Store, chain: ChainId) -> Result<Vec<Covered>, SinkError> {
    let rows: Vec<(String, String, i64, i64)> = sqlx::query_as(READ)
        .bind(chain.to_string())
        .fetch_all(&store.pool)
        .await?;
    let covered = |(source, proof, low, high): (String, String, i64, i64)| Covered {
        source,
        proof,
        range: low.cast_unsigned()..=high.cast_unsigned(),
    };
    Ok(rows.into_iter().map(covered).collect())
}

/// The parts of `range` that at least one of `wanted` is not covered for, in ascending order.
pub async fn missing(
    store: &Store,
    chain: ChainId,
    wanted: &[Wanted],
    range: RangeInclusive<u64>,
) -> Result<Vec<RangeInclusive<u64>>, SinkError> {
    let mut db = store.pool.acquire().await?;
    let names: Vec<String> = wanted.iter().map(|wanted| wanted.source.clone()).collect();
    let known = Known::read(&mut db, chain, &names, &range).await?;
    let gaps = wanted.iter().flat_map(|wanted| {
        let range = wanted.from.max(*range.start())..=*range.end();
        if range.is_empty() {
            Vec::new()
        } else {
            known.missing(&wanted.source, &range)
        }
    });
    Ok(merge(gaps.collect()))
}

/// The parts of `range` that at least one of `sources` is covered for, in ascending order.
pub async fn covered(
    store: &Store,
    chain: ChainId,
    sources: &[String],
    range: &RangeInclusive<u64>,
) -> Result<Vec<RangeInclusive<u64>>, SinkError> {
    let mut db = store.pool.acquire().await?;
    let known = Known::read(&mut db, chain, sources, range).await?;
    Ok(merge(known.0.into_iter().map(|(_, range)| range).collect()))
}

/// The sources among `wanted` that some part of `range` is not covered for.
pub async fn lacking(
    store: &Store,
    chain: ChainId,
    wanted: &[Wanted],
    range: &RangeInclusive<u64>,
) -> Result<Vec<String>, SinkError> {
    let mut db = store.pool.acquire().await?;
    let names: Vec<String> = wanted.iter().map(|wanted| wanted.source.clone()).collect();
    let known = Known::read(&mut db, chain, &names, range).await?;
    let lacks = |wanted: &&Wanted| {
        let range = wanted.from.max(*range.start())..=*range.end();
        !range.is_empty() && !known.missing(&wanted.source, &range).is_empty()
    };
    Ok(wanted
        .iter()
        .filter(lacks)
        .map(|wanted| wanted.source.clone())
        .collect())
}

/// Notes that `source` now holds `range`: for what is filled without facts, such as the archive alone.
pub async fn add(
    store: &Store,
    chain: ChainId,
    source: &str,
    proof: Proof,
    range: RangeInclusive<u64>,
) -> Result<(), SinkError> {
    let mut tx = store.pool.begin().await?;
    share(&mut tx, &chain.to_string()).await?;
    let sources = [source.to_owned()];
    let known = Known::lock(&mut tx, chain, &sources, &range).await?;
    cover(&mut tx, chain, proof, &range, &sources, &known).await?;
    Ok(tx.commit().await?)
}

/// Lets this transaction add to `chain` beside others that do.
///
/// Applying shares the chain; undoing has it alone, because it computes from facts that no writer may be adding meanwhile.
pub(crate) async fn share(db: &mut PgConnection, chain: &str) -> Result<(), SinkError> {
    sqlx::query(SHARE).bind(chain).execute(db).await?;
    Ok(())
}

/// Keeps every other writer of `chain` waiting until this transaction ends.
pub(crate) async fn exclude(db: &mut PgConnection, chain: &str) -> Result<(), SinkError> {
    sqlx::query(EXCLUDE).bind(chain).execute(db).await?;
    Ok(())
}

/// Makes this transaction the only one of those that share `chain`, until it ends: what it reads from now on, all of them know of.
pub(crate) async fn alone(db: &mut PgConnection, chain: &str) -> Result<(), SinkError> {
    // A statement of its own: the next one sees what was committed while this one waited.
    sqlx::query(ALONE).bind(chain).execute(db).await?;
    Ok(())
}

/// What a span covers: its decoders when it was read for every contract, else the contracts it was read for.
pub(crate) struct Sources {
    /// What it covers, and then the other contracts that may have told its sales before.
    names: Vec<String>,
    covered: usize,
    contracts: FxHashMap<Address, usize>,
}

impl Sources {
    pub(crate) fn of(facts: &Facts) -> Self {
        if facts.contracts.is_empty() {
            let names: Vec<String> = facts.sources.iter().map(|source| (*source).to_owned()).collect();
            return Sources {
                covered: names.len(),
                names,
                contracts: FxHashMap::default(),
            };
        }
        let mut sources = Sources {
            names: Vec::new(),
            covered: 0,
            contracts: FxHashMap::default(),
        };
        facts.contracts.iter().for_each(|contract| sources.know(contract));
        sources.covered = sources.names.len();
        let sold = facts.sales.iter().flat_map(|sale| [sale.market, sale.contract]);
        sold.for_each(|contract| sources.know(&contract));
        sources
    }

    fn know(&mut self, contract: &Address) {
        if !self.contracts.contains_key(contract) {
            self.contracts.insert(*contract, self.names.len());
            self.names.push(format!("{contract:#x}"));
        }
    }

    /// The names, as kept in the table, of every source that decides what is new.
    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }

    /// The names of those that the span covers.
    pub(crate) fn covered(&self) -> &[String] {
        &self.names[..self.covered]
    }

    /// Whether what `decoder` said of `contracts` in `block` is to be written: the span was read for one of them, and was not
    /// applied for any.
    pub(crate) fn lack(&self, known: &Known, decoder: &str, contracts: &[Address], block: u64) -> bool {
        if self.contracts.is_empty() {
            return !known.holds(decoder, block);
        }
        let sources = || contracts.iter().filter_map(|contract| self.contracts.get(contract));
        sources().any(|index| *index < self.covered) && !sources().any(|index| known.holds(&self.names[*index], block))
    }
}

/// What a chain is to be complete of: one source, from one block on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Decoder, contract or `archive`.
    pub source: String,
    /// Lowest block of interest.
    pub from: u64,
}

/// What is covered already of one range, per source.
pub(crate) struct Known(Vec<(String, RangeInclusive<u64>)>);

impl Known {
    /// Reads what `sources` cover of `range`.
    pub(crate) async fn read(
        db: &mut PgConnection,
        chain: ChainId,
        sources: &[String],
        range: &RangeInclusive<u64>,
    ) -> Result<Self, SinkError> {
        let rows: Vec<(String, i64, i64)> = sqlx::query_as(CLIPPED)
            .bind(chain.to_string())
            .bind(range.start().cast_signed())
            .bind(range.end().cast_signed())
            .bind(sources)
            .fetch_all(db)
            .await?;
        Ok(Known::of(rows))
    }

    /// Reads what every decoder, registered contract and the archive cover of `range`.
    pub(crate) async fn all(
        db: &mut PgConnection,
        chain: ChainId,
        range: &RangeInclusive<u64>,
    ) -> Result<Self, SinkError> {
        let rows: Vec<(String, i64, i64)> = sqlx::query_as(CLIPPED_ALL)
            .bind(chain.to_string())
            .bind(range.start().cast_signed())
            .bind(range.end().cast_signed())
            .fetch_all(db)
            .await?;
        Ok(Known::of(rows))
    }

    fn of(rows: Vec<(String, i64, i64)>) -> Self {
        let known = |(source, low, high): (String, i64, i64)| (source, low.cast_unsigned()..=high.cast_unsigned());
        Known(rows.into_iter().map(known).collect())
    }

    /// Whether nothing is covered.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Reads it so that it stays true until the transaction ends.
    pub(crate) async fn lock(
        db: &mut PgConnection,
        chain: ChainId,
        sources: &[String],
        range: &RangeInclusive<u64>,
    ) -> Result<Self, SinkError> {
        alone(db, &chain.to_string()).await?;
        Self::read(db, chain, sources, range).await
    }

    /// Whether `source` was applied for `block`.
    pub(crate) fn holds(&self, source: &str, block: u64) -> bool {
        self.0
            .iter()
            .any(|(known, range)| range.contains(&block) && known == source)
    }

    /// The parts of `range` that `source` was not applied for, in ascending order.
    pub(crate) fn missing(&self, source: &str, range: &RangeInclusive<u64>) -> Vec<RangeInclusive<u64>> {
        let mut gaps = Vec::new();
        let mut next = *range.start();
        for (_, covered) in self.0.iter().filter(|(known, _)| known == source) {
            if next < *covered.start() {
                gaps.push(next..=covered.start() - 1);
            }
            next = next.max(covered.end() + 1);
        }
        if next <= *range.end() {
            gaps.push(next..=*range.end());
        }
        gaps
    }

    /// Whether both saw the same.
    pub(crate) fn same(&self, other: &Known) -> bool {
        self.0 == other.0
    }
}

/// Covers what `sources` miss of `range`; `known` must be locked.
pub(crate) async fn cover(
    db: &mut PgConnection,
    chain: ChainId,
    proof: Proof,
    range: &RangeInclusive<u64>,
    sources: &[String],
    known: &Known,
) -> Result<(), SinkError> {
    let gaps: Vec<(&str, RangeInclusive<u64>)> = sources
        .iter()
        .flat_map(|source| {
            known
                .missing(source, range)
                .into_iter()
                .map(move |gap| (source.as_str(), gap))
        })
        .collect();
    if gaps.is_empty() {
        return Ok(());
    }
    sqlx::query(COVER)
        .bind(chain.to_string())
        .bind(proof.as_str())
        .bind(gaps.iter().map(|(source, _)| *source).collect::<Vec<_>>())
        .bind(
            gaps.iter()
                .map(|(_, gap)| gap.start().cast_signed())
                .collect::<Vec<i64>>(),
        )
        .bind(
            gaps.iter()
                .map(|(_, gap)| gap.end().cast_signed())
                .collect::<Vec<i64>>(),
        )
        .execute(db)
        .await?;
    Ok(())
}

/// Uncovers ranges of single sources of `chain`; the lock of [`Known::lock`] must be held.
pub(crate) async fn take_back(
    db: &mut PgConnection,
    chain: &str,
    ranges: &[(String, RangeInclusive<u64>)],
) -> Result<(), SinkError> {
    sqlx::query(TAKE_BACK)
        .bind(chain)
        .bind(ranges.iter().map(|(source, _)| source.as_str()).collect::<Vec<_>>())
        .bind(
            ranges
                .iter()
                .map(|(_, range)| range.start().cast_signed())
                .collect::<Vec<i64>>(),
        )
        .bind(
            ranges
                .iter()
                .map(|(_, range)| range.end().cast_signed())
                .collect::<Vec<i64>>(),
        )
        .execute(db)
        .await?;
    Ok(())
}

/// Uncovers the block `first` of `chain` and every one above it, for all sources.
pub(crate) async fn revert_from(db: &mut PgConnection, chain: &str, first: u64) -> Result<(), SinkError> {
    sqlx::query(UNCOVER)
        .bind(chain)
        .bind(first.cast_signed())
        .execute(db)
        .await?;
    Ok(())
}

/// Sorts ranges and joins those that touch.
fn merge(mut ranges: Vec<RangeInclusive<u64>>) -> Vec<RangeInclusive<u64>> {
    ranges.sort_unstable_by_key(|range| *range.start());
    let mut merged: Vec<RangeInclusive<u64>> = Vec::new();
    for range in ranges {
        match merged.last_mut() {
            Some(last) if *range.start() <= last.end() + 1 => *last = *last.start()..=*last.end().max(range.end()),
            _ => merged.push(range),
        }
    }
    merged
}

const READ: &str = "select c.source, c.proof, lower(r), upper(r) - 1
    from indexer_service.indexer_coverage c, unnest(c.covered) r
    where c.chain_id = $1 order by c.source, lower(r)";

const CLIPPED: &str = "select c.source, lower(r), upper(r) - 1
    from indexer_service.indexer_coverage c, unnest(c.covered * int8multirange(int8range($2, $3, '[]'))) r
    where c.chain_id = $1 and c.source = any($4) order by c.source, lower(r)";

// Sources with a colon are of stored ABIs: they cover no facts.
const CLIPPED_ALL: &str = "select c.source, lower(r), upper(r) - 1
    from indexer_service.indexer_coverage c, unnest(c.covered * int8multirange(int8range($2, $3, '[]'))) r
    where c.chain_id = $1 and c.source not like '%:%' order by c.source, lower(r)";

const SHARE: &str = "select pg_advisory_xact_lock_shared(hashtextextended($1, 0))";

const EXCLUDE: &str = "select pg_advisory_xact_lock(hashtextextended($1, 0))";

// One writer at a time computes from what others added, looks at coverage for good and adds to it; held from there to the
// commit, which is all that is left.
const ALONE: &str = "select pg_advisory_xact_lock(hashtextextended($1, 1))";

const COVER: &str = "insert into indexer_service.indexer_coverage as c (chain_id, source, proof, covered)
    select $1, s.source, $2, range_agg(int8range(s.low, s.high, '[]'))
    from unnest($3::text[], $4::int8[], $5::int8[]) as s (source, low, high)
    group by s.source order by s.source
    on conflict (chain_id, source, proof) do update set covered = c.covered + excluded.covered, updated_at = now()";

const TAKE_BACK: &str =
    "update indexer_service.indexer_coverage c set covered = c.covered - s.ranges, updated_at = now()
    from (select source, range_agg(int8range(low, high, '[]')) as ranges
            from unnest($2::text[], $3::int8[], $4::int8[]) as s (source, low, high) group by source) as s
    where c.chain_id = $1 and c.source = s.source";

const UNCOVER: &str = "update indexer_service.indexer_coverage
    set covered = covered - int8multirange(int8range($2, null, '[)')), updated_at = now()
    where chain_id = $1 and covered && int8multirange(int8range($2, null, '[)'))";

#[cfg(test)]
mod tests {
    use super::*;

    fn known(rows: &[(&str, RangeInclusive<u64>)]) -> Known {
        Known(
            rows.iter()
                .map(|(source, range)| ((*source).to_owned(), range.clone()))
                .collect(),
        )
    }

    #[test]
    fn what_is_missing_is_the_range_less_what_is_covered() {
        let known = known(&[("a", 3..=4), ("a", 5..=6), ("b", 0..=9)]);
        assert_eq!(known.missing("a", &(0..=9)), [0..=2, 7..=9]);
        assert_eq!(known.missing("a", &(3..=6)), [] as [RangeInclusive<u64>; 0]);
        assert_eq!(known.missing("b", &(0..=9)), [] as [RangeInclusive<u64>; 0]);
        assert_eq!(known.missing("c", &(0..=9)), [0..=9]);
        assert!(known.holds("a", 4) && !known.holds("a", 7));
    }

    #[test]
    fn gaps_of_several_sources_join() {
        assert_eq!(merge(vec![5..=6, 0..=2, 3..=3, 6..=9]), [0..=3, 5..=9]);
    }
}
