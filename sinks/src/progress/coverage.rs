//! Which blocks were applied, per source. What is covered is never applied again: coverage is the idempotence.
//!
//! See docs/decisions/0004-coverage-is-idempotence.md.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;

use alloy_primitives::Address;
use decoders::block::{ChainId, Proof};
use decoders::fact::Facts;
use rustc_hash::{FxHashMap, FxHashSet};
use sqlx::PgConnection;

use crate::error::SinkError;
use crate::progress::members::{self, Family, Member, Members, Shares};
use crate::progress::ranges::{self, Ranges, above, less, merge};
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
    let known = Known::of(store, chain, wanted, &range).await?;
    Ok(merge(
        wanted
            .iter()
            .flat_map(|wanted| known.missing_of(wanted, &range))
            .collect(),
    ))
}

/// The parts of `range` that each of `wanted` is not covered for, in ascending order.
pub async fn missing_of_each(
    store: &Store,
    chain: ChainId,
    wanted: &[Wanted],
    range: &RangeInclusive<u64>,
) -> Result<Vec<Vec<RangeInclusive<u64>>>, SinkError> {
    let known = Known::of(store, chain, wanted, range).await?;
    Ok(wanted.iter().map(|wanted| known.missing_of(wanted, range)).collect())
}

/// The parts of `range` that at least one of `sources` is covered for, in ascending order.
pub async fn covered(
    store: &Store,
    chain: ChainId,
    sources: &[String],
    range: &RangeInclusive<u64>,
) -> Result<Vec<RangeInclusive<u64>>, SinkError> {
    let wanted = |source: &String| Wanted {
        source: source.clone(),
        from: 0,
    };
    let wanted: Vec<Wanted> = sources.iter().map(wanted).collect();
    let known = Known::of(store, chain, &wanted, range).await?;
    let covered = wanted.iter().flat_map(|wanted| {
        let missing = known.missing_of(wanted, range);
        less(std::slice::from_ref(range), &missing)
    });
    Ok(merge(covered.collect()))
}

/// The sources among `wanted` that some part of `range` is not covered for.
pub async fn uncovered(
    store: &Store,
    chain: ChainId,
    wanted: &[Wanted],
    range: &RangeInclusive<u64>,
) -> Result<Vec<String>, SinkError> {
    let known = Known::of(store, chain, wanted, range).await?;
    let missing_of = |wanted: &&Wanted| !known.missing_of(wanted, range).is_empty();
    let uncovered = wanted.iter().filter(missing_of);
    Ok(uncovered.map(|wanted| wanted.source.clone()).collect())
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
    let known = Known::lock(&mut tx, store, chain, &|name| name == source, &range).await?;
    cover(&mut tx, chain, proof, &range, &[source.to_owned()], &known).await?;
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
pub(crate) struct Sources<'a> {
    facts: &'a Facts,
    /// The contracts it was read for, and then the others that its facts of two contracts may have been read for before.
    contracts: FxHashMap<Address, bool>,
}

impl<'a> Sources<'a> {
    pub(crate) fn of(facts: &'a Facts) -> Self {
        let mut contracts: FxHashMap<Address, bool> = FxHashMap::default();
        contracts.extend(facts.contracts.iter().map(|contract| (*contract, true)));
        if !contracts.is_empty() {
            // A fact of one contract was read for it, or is not wanted.
            let of_two = facts.iter().map(|fact| fact.place().contracts);
            let of_two = of_two.filter(|[emitter, about]| emitter != about);
            of_two.flatten().for_each(|contract| {
                contracts.entry(contract).or_insert(false);
            });
        }
        Sources { facts, contracts }
    }

    /// What the span holds.
    pub(crate) fn facts(&self) -> &'a Facts {
        self.facts
    }

    /// Whether `source`, as the table names it, decides what is new.
    pub(crate) fn decide(&self, source: &str) -> bool {
        if self.contracts.is_empty() {
            return self.facts.sources.contains(&source);
        }
        source.starts_with(Family::Contracts.cohorts())
            || source
                .parse()
                .is_ok_and(|contract: Address| self.contracts.contains_key(&contract))
    }

    /// The rows by which the span is covered.
    fn shares(&self, known: &Known) -> Shares {
        let Facts { contracts, range, .. } = self.facts;
        known.members.shares(Family::Contracts, contracts, range)
    }

    /// Their names.
    pub(crate) fn covered(&self, known: &Known) -> Vec<String> {
        if self.contracts.is_empty() {
            return self.facts.sources.iter().map(|source| (*source).to_owned()).collect();
        }
        self.shares(known).rows(&self.facts.contracts)
    }

    /// Whether what a decoder emitted for contracts in a block is to be written: the span was read for one of them, and was not
    /// applied for any.
    pub(crate) fn uncovered(&self, known: &Known) -> impl Fn(&str, &[Address], u64) -> bool {
        let shares = self.shares(known);
        move |decoder, contracts, block| {
            if self.contracts.is_empty() {
                return !known.holds(decoder, block);
            }
            let read =
                |contract: &Address| self.contracts.get(contract) == Some(&true) && shares.cover(contract, block);
            // A sale is of its token's contract and of its market's: read for either, and written once however the two were
            // registered.
            let applied = |contract: &Address| {
                self.contracts.contains_key(contract) && known.holds(&Family::Contracts.source(contract), block)
            };
            contracts.iter().any(read) && !contracts.iter().any(applied)
        }
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
pub(crate) struct Known {
    /// The rows, those of cohorts too.
    rows: BTreeMap<String, Ranges>,
    members: Arc<Members>,
}

impl Known {
    /// Reads what `wanted` covers of `range`.
    async fn of(
        store: &Store,
        chain: ChainId,
        wanted: &[Wanted],
        range: &RangeInclusive<u64>,
    ) -> Result<Self, SinkError> {
        let mut db = store.pool.acquire().await?;
        let names: FxHashSet<&str> = wanted.iter().map(|wanted| wanted.source.as_str()).collect();
        let counts = |source: &str| members::is_cohort(source) || names.contains(source);
        Known::read(&mut db, store, chain, &counts, range).await
    }

    /// Reads what the sources that `counts` names cover of `range`. How many there are costs nothing: rows are read that state
    /// something of the range, and contracts that advance together have one.
    pub(crate) async fn read(
        db: &mut PgConnection,
        store: &Store,
        chain: ChainId,
        counts: &(dyn Fn(&str) -> bool + Sync),
        range: &RangeInclusive<u64>,
    ) -> Result<Self, SinkError> {
        let members = Members::read(&mut *db, store, chain).await?;
        let clipped: Vec<(String, i64, i64)> = sqlx::query_as(CLIPPED)
            .bind(chain.to_string())
            .bind(range.start().cast_signed())
            .bind(range.end().cast_signed())
            .fetch_all(db)
            .await?;
        let mut rows: BTreeMap<String, Ranges> = BTreeMap::new();
        for (source, low, high) in clipped {
            if counts(&source) {
                let ranges = rows.entry(source).or_default();
                ranges.push(low.cast_unsigned()..=high.cast_unsigned());
            }
        }
        // A source has a row for each proof.
        let rows = rows.into_iter().map(|(source, ranges)| (source, merge(ranges)));
        let rows = rows.collect();
        Ok(Known { rows, members })
    }

    /// Reads what every decoder, registered contract and the archive cover of `range`.
    pub(crate) async fn all(
        db: &mut PgConnection,
        store: &Store,
        chain: ChainId,
        range: &RangeInclusive<u64>,
    ) -> Result<Self, SinkError> {
        // Sources of stored ABIs cover no facts.
        let of_facts = |source: &str| !source.contains(':') || source.starts_with(Family::Contracts.cohorts());
        Known::read(db, store, chain, &of_facts, range).await
    }

    /// Whether nothing is covered.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Reads it so that it stays true until the transaction ends.
    pub(crate) async fn lock(
        db: &mut PgConnection,
        store: &Store,
        chain: ChainId,
        counts: &(dyn Fn(&str) -> bool + Sync),
        range: &RangeInclusive<u64>,
    ) -> Result<Self, SinkError> {
        alone(db, &chain.to_string()).await?;
        Self::read(db, store, chain, counts, range).await
    }

    /// Who shares rows.
    pub(crate) fn members(&self) -> &Arc<Members> {
        &self.members
    }

    fn row(&self, source: &str) -> &[RangeInclusive<u64>] {
        self.rows.get(source).map_or(&[], Vec::as_slice)
    }

    /// Whether `source` was applied for `block`.
    pub(crate) fn holds(&self, source: &str, block: u64) -> bool {
        let shared = |member: &Member| member.since <= block && ranges::holds(self.row(&member.cohort), block);
        ranges::holds(self.row(source), block) || self.members.member(source).is_some_and(shared)
    }

    /// The parts of `range` that `source` was not applied for, in ascending order.
    pub(crate) fn missing(&self, source: &str, range: &RangeInclusive<u64>) -> Ranges {
        let gaps = less(std::slice::from_ref(range), self.row(source));
        match self.members.member(source) {
            Some(member) => less(&gaps, &above(self.row(&member.cohort), member.since)),
            None => gaps,
        }
    }

    /// What is wanted of `range` and missing.
    fn missing_of(&self, wanted: &Wanted, range: &RangeInclusive<u64>) -> Ranges {
        let range = wanted.from.max(*range.start())..=*range.end();
        if range.is_empty() {
            return Ranges::new();
        }
        self.missing(&wanted.source, &range)
    }

    /// Whether both saw the same.
    pub(crate) fn same(&self, other: &Known) -> bool {
        self.rows == other.rows && self.members.same(&other.members)
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
    // Gaps alone: a block stays under the proof it was first applied with, because what was not compared is not proven.
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

/// Uncovers the block `first` of `chain` and every one above it, for all sources.
pub(crate) async fn revert_from(db: &mut PgConnection, chain: &str, first: u64) -> Result<(), SinkError> {
    sqlx::query(UNCOVER)
        .bind(chain)
        .bind(first.cast_signed())
        .execute(db)
        .await?;
    Ok(())
}

// Through the view, which joins what members share to what is their own.
const READ: &str = "select c.source, c.proof, lower(r), upper(r) - 1
    from indexer_service.source_coverage c, unnest(c.covered) r
    where c.chain_id = $1 order by c.source, lower(r)";

// The server clips to the range: the history of a source may be many ranges, of which a span touches few.
const CLIPPED: &str = "select c.source, lower(r), upper(r) - 1
    from indexer_service.indexer_coverage c, unnest(c.covered * int8multirange(int8range($2, $3, '[]'))) r
    where c.chain_id = $1 order by c.source, lower(r)";

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

const UNCOVER: &str = "update indexer_service.indexer_coverage
    set covered = covered - int8multirange(int8range($2, null, '[)')), updated_at = now()
    where chain_id = $1 and covered && int8multirange(int8range($2, null, '[)'))";

#[cfg(test)]
mod tests {
    use super::*;

    fn known(rows: &[(&str, &[RangeInclusive<u64>])]) -> Known {
        let rows = rows.iter();
        Known {
            rows: rows
                .map(|(source, ranges)| ((*source).to_owned(), ranges.to_vec()))
                .collect(),
            members: Arc::default(),
        }
    }

    #[test]
    fn what_is_missing_is_the_range_less_what_is_covered() {
        let known = known(&[("a", &[3..=6]), ("b", &[0..=9])]);
        assert_eq!(known.missing("a", &(0..=9)), [0..=2, 7..=9]);
        assert_eq!(known.missing("a", &(3..=6)), [] as [RangeInclusive<u64>; 0]);
        assert_eq!(known.missing("b", &(0..=9)), [] as [RangeInclusive<u64>; 0]);
        assert_eq!(known.missing("c", &(0..=9)), [0..=9]);
        assert!(known.holds("a", 4) && !known.holds("a", 7));
    }
}
