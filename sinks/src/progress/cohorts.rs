//! Which contracts share a row of coverage: decided anew when contracts are registered, removed, or have caught up.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::sync::Arc;

use alloy_primitives::Address;
use decoders::block::{ChainId, Proof};
use sqlx::PgConnection;

use crate::error::SinkError;
use crate::progress::coverage;
use crate::progress::members::{Family, Member, Members};
use crate::progress::ranges::{Ranges, above, common, less, merge, union};
use crate::store::Store;

/// Every proof, from weak to strong.
const PROOFS: [Proof; 3] = [Proof::Chained, Proof::Bloom, Proof::Receipts];

/// Lets the contracts of `wanted`, each complete from one block on, share rows of coverage with those that are covered as they
/// are; others of the family keep what they are covered for to themselves. What is covered stays as it is.
///
/// To be called where a chain is planned: it reads one row where there is nothing to do.
pub async fn gather(store: &Store, chain: ChainId, family: Family, wanted: &[(Address, u64)]) -> Result<(), SinkError> {
    let name = chain.to_string();
    let mut tx = store.pool.begin().await?;
    let members = Members::read(&mut tx, store, chain).await?;
    if is_gathered(&members, family, wanted) {
        let has_caught_up = members.cohorts(family) > 1 && {
            let rows = Rows::read(&mut tx, &name, family.cohorts()).await?;
            rows.caught_up(&members, family, wanted)
        };
        if !has_caught_up {
            return Ok(());
        }
    }
    coverage::exclude(&mut tx, &name).await?;
    coverage::alone(&mut tx, &name).await?;
    let mut cohorts = Cohorts::read(&mut tx, store, chain, family).await?;
    cohorts.gather(wanted);
    cohorts.write(&mut tx, &name).await?;
    Ok(tx.commit().await?)
}

/// Uncovers ranges of single contracts, which then keep to themselves what they are covered for. The lock of [`coverage::alone`] must
/// be held.
pub(crate) async fn take_back(
    db: &mut PgConnection,
    store: &Store,
    chain: ChainId,
    family: Family,
    ranges: &[(Address, Ranges)],
) -> Result<(), SinkError> {
    let mut cohorts = Cohorts::read(db, store, chain, family).await?;
    for (contract, ranges) in ranges {
        let coverage = cohorts.coverage(contract);
        if common(&all(&coverage), ranges).is_empty() {
            continue;
        }
        cohorts.leave(contract);
        let left = coverage.map(|covered| less(&covered, ranges));
        cohorts.set(family.source(contract), left);
    }
    cohorts.write(db, &chain.to_string()).await
}

/// Whether exactly the contracts of `wanted` share rows, each from no later than it is wanted.
fn is_gathered(members: &Members, family: Family, wanted: &[(Address, u64)]) -> bool {
    let shares = |(contract, from): &(Address, u64)| {
        let member = members.of(family, contract);
        member.is_some_and(|member| member.since <= *from)
    };
    members.count(family) == wanted.len() && wanted.iter().all(shares)
}

/// Blocks by proof, in the order of [`PROOFS`].
type Proven = [Ranges; 3];

fn all(proven: &Proven) -> Ranges {
    merge(proven.iter().flatten().cloned().collect())
}

/// Rows of coverage by source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Rows(BTreeMap<String, Proven>);

impl Rows {
    /// The rows of sources whose names begin with `prefix`.
    async fn read(db: &mut PgConnection, chain: &str, prefix: &str) -> Result<Self, SinkError> {
        let rows: Vec<(String, String, i64, i64)> = sqlx::query_as(ROWS).bind(chain).bind(prefix).fetch_all(db).await?;
        let mut read = Rows::default();
        for (source, proof, low, high) in rows {
            let Some(at) = PROOFS.iter().position(|known| known.as_str() == proof) else {
                continue;
            };
            let ranges = &mut read.0.entry(source).or_default()[at];
            ranges.push(low.cast_unsigned()..=high.cast_unsigned());
        }
        Ok(read)
    }

    fn of(&self, source: &str) -> Proven {
        self.0.get(source).cloned().unwrap_or_default()
    }

    /// Whether a cohort covers what the largest does, as far as it is wanted of its members.
    fn caught_up(&self, members: &Members, family: Family, wanted: &[(Address, u64)]) -> bool {
        let from: BTreeMap<Address, u64> = wanted.iter().copied().collect();
        let mut firsts: BTreeMap<&str, (usize, u64)> = BTreeMap::new();
        for (contract, member) in members.all(family) {
            let (size, first) = firsts.entry(&member.cohort).or_insert((0, u64::MAX));
            *size += 1;
            *first = (*first).min(from.get(contract).copied().unwrap_or(0));
        }
        let Some((main, _)) = firsts.iter().max_by_key(|(_, (size, _))| *size) else {
            return false;
        };
        let of_main = all(&self.of(main));
        let level = |cohort: &str, first: u64| {
            let own = all(&self.of(cohort));
            above(&less(&of_main, &own), first).is_empty() && less(&own, &of_main).is_empty()
        };
        firsts
            .iter()
            .any(|(cohort, (_, first))| cohort != main && level(cohort, *first))
    }
}

/// One family of one chain: its rows, and who shares them.
struct Cohorts {
    family: Family,
    rows: Rows,
    members: BTreeMap<Address, Member>,
    /// How many members each cohort has.
    sizes: BTreeMap<Arc<str>, usize>,
    /// What has changed since it was read.
    changed_rows: BTreeSet<String>,
    changed_members: BTreeSet<Address>,
}

impl Cohorts {
    async fn read(db: &mut PgConnection, store: &Store, chain: ChainId, family: Family) -> Result<Self, SinkError> {
        let name = chain.to_string();
        let members = Members::read(db, store, chain).await?;
        let mut rows = Rows::read(db, &name, family.cohorts()).await?;
        rows.0.extend(Rows::read(db, &name, family.sources()).await?.0);
        let members = members.all(family);
        Ok(Cohorts::of(
            family,
            rows,
            members.map(|(contract, member)| (*contract, member.clone())).collect(),
        ))
    }

    fn of(family: Family, rows: Rows, members: BTreeMap<Address, Member>) -> Self {
        let mut sizes: BTreeMap<Arc<str>, usize> = BTreeMap::new();
        for member in members.values() {
            *sizes.entry(Arc::clone(&member.cohort)).or_default() += 1;
        }
        Cohorts {
            family,
            rows,
            members,
            sizes,
            changed_rows: BTreeSet::new(),
            changed_members: BTreeSet::new(),
        }
    }

    fn gather(&mut self, wanted: &[(Address, u64)]) {
        let from: BTreeMap<Address, u64> = wanted.iter().copied().collect();
        let is_wanted =
            |contract: &Address, member: &Member| from.get(contract).is_some_and(|from| member.since <= *from);
        let gone: Vec<Address> = self
            .members
            .iter()
            .filter(|(contract, member)| !is_wanted(contract, member))
            .map(|(contract, _)| *contract)
            .collect();
        gone.iter().for_each(|contract| self.leave(contract));
        let mut new: Vec<(Address, u64)> = from.iter().map(|(contract, from)| (*contract, *from)).collect();
        new.retain(|(contract, _)| !self.members.contains_key(contract));
        // Who is covered for most begins: the others then miss part of its row, or fit.
        new.sort_by_cached_key(|(contract, _)| Reverse(blocks(&all(&self.coverage(contract)))));
        self.fold_all();
        for (contract, from) in new {
            self.join(contract, from);
        }
        self.fold_all();
        self.merge(&from);
        self.forget_the_empty();
    }

    /// What `contract` is covered for.
    fn coverage(&self, contract: &Address) -> Proven {
        let mut coverage = self.rows.of(&self.family.source(contract));
        if let Some(member) = self.members.get(contract) {
            let own = all(&coverage);
            for (ranges, shared) in coverage.iter_mut().zip(self.rows.of(&member.cohort)) {
                *ranges = union(ranges, &less(&above(&shared, member.since), &own));
            }
        }
        coverage
    }

    /// Cohorts with members by size, the largest first.
    fn by_size(&self) -> Vec<Arc<str>> {
        let mut cohorts: Vec<(&Arc<str>, usize)> = self.sizes.iter().map(|(cohort, size)| (cohort, *size)).collect();
        cohorts.retain(|(_, size)| *size > 0);
        cohorts.sort_by_key(|(_, size)| Reverse(*size));
        cohorts.into_iter().map(|(cohort, _)| Arc::clone(cohort)).collect()
    }

    fn set(&mut self, source: String, proven: Proven) {
        self.changed_rows.insert(source.clone());
        if proven.iter().all(Vec::is_empty) {
            self.rows.0.remove(&source);
        } else {
            self.rows.0.insert(source, proven);
        }
    }

    fn leave(&mut self, contract: &Address) {
        let coverage = self.coverage(contract);
        if let Some(member) = self.members.remove(contract) {
            self.shrink(&member);
            self.changed_members.insert(*contract);
            self.set(self.family.source(contract), coverage);
        }
    }

    fn shrink(&mut self, member: &Member) {
        if let Some(size) = self.sizes.get_mut(&member.cohort) {
            *size -= 1;
        }
    }

    /// Puts `contract`, wanted from one block on, into the largest cohort that is covered for no more than it from there on, or
    /// into one of its own.
    fn join(&mut self, contract: Address, from: u64) {
        let fits = |cohort: &Arc<str>| Some((Arc::clone(cohort), self.fit(&contract, from, cohort)?.since));
        let found = self.by_size().iter().find_map(fits);
        let (cohort, since) = found.unwrap_or_else(|| {
            let coverage = self.coverage(&contract);
            let since = from.min(first(&all(&coverage)).unwrap_or(from));
            let cohort = self.new_name();
            self.set(cohort.clone(), coverage);
            (cohort.into(), since)
        });
        self.admit(contract, &cohort, since);
    }

    /// A name that no cohort has.
    fn new_name(&self) -> String {
        let prefix = self.family.cohorts();
        let rows = self.rows.0.keys().map(String::as_str);
        let taken = rows.chain(self.members.values().map(|member| &*member.cohort));
        let numbers = taken.filter_map(|name| name.strip_prefix(prefix)?.parse::<u64>().ok());
        format!("{prefix}{}", numbers.max().unwrap_or(0) + 1)
    }

    /// From which block on the row of `cohort` could stand for `contract`; none where it would claim too much of what is wanted.
    fn fit(&self, contract: &Address, from: u64, cohort: &str) -> Option<Fit> {
        let (own, row) = (all(&self.coverage(contract)), all(&self.rows.of(cohort)));
        // Where the row covers what the contract is not covered for, the contract may only share what lies above.
        let beyond = less(&row, &own).last().map_or(0, |range| range.end().saturating_add(1));
        let since = beyond.max(from.min(first(&own).unwrap_or(from)));
        (since <= from).then(|| Fit {
            since,
            whole: less(&own, &above(&row, since)).is_empty(),
        })
    }

    /// Makes `contract` a member from `since` on. Where it was proven weaker than the others, the row states so for all.
    fn admit(&mut self, contract: Address, cohort: &Arc<str>, since: u64) {
        let (coverage, mut row) = (self.coverage(&contract), self.rows.of(cohort));
        // A block of the row was proven for all of its members, so it can claim no more than the weakest of them.
        for weak in 0..PROOFS.len() {
            for strong in weak + 1..PROOFS.len() {
                let weaker = above(&common(&coverage[weak], &row[strong]), since);
                row[strong] = less(&row[strong], &weaker);
                row[weak] = union(&row[weak], &weaker);
            }
        }
        let shared = above(&all(&row), since);
        let own = coverage.map(|ranges| less(&ranges, &shared));
        self.set(cohort.to_string(), row);
        self.set(self.family.source(&contract), own);
        let cohort = Arc::clone(cohort);
        *self.sizes.entry(Arc::clone(&cohort)).or_default() += 1;
        if let Some(before) = self.members.insert(contract, Member { cohort, since }) {
            self.shrink(&before);
        }
        self.changed_members.insert(contract);
    }

    /// Moves the members of every cohort that has caught up with the largest there.
    fn merge(&mut self, from: &BTreeMap<Address, u64>) {
        let by_size = self.by_size();
        let Some((main, others)) = by_size.split_first() else {
            return;
        };
        for cohort in others {
            let members = self.members.iter().filter(|(_, member)| *member.cohort == **cohort);
            let members: Vec<(Address, u64)> = members.map(|(contract, _)| (*contract, from[contract])).collect();
            let fits = members.iter().map(|(contract, from)| {
                let fit = self.fit(contract, *from, main).filter(|fit| fit.whole)?;
                Some((*contract, fit.since))
            });
            if let Some(fits) = fits.collect::<Option<Vec<(Address, u64)>>>() {
                fits.into_iter()
                    .for_each(|(contract, since)| self.admit(contract, main, since));
            }
        }
    }

    fn fold_all(&mut self) {
        for cohort in self.by_size() {
            self.fold(&cohort);
        }
    }

    /// Puts what every member is covered for on its own into the row of the cohort, under the weakest proof of any.
    fn fold(&mut self, cohort: &Arc<str>) {
        let members = self.members.iter().filter(|(_, member)| member.cohort == *cohort);
        let members: Vec<(Address, u64)> = members.map(|(contract, member)| (*contract, member.since)).collect();
        let Some(first) = members.iter().map(|(_, since)| *since).min() else {
            return;
        };
        // What the row holds by now is no member's own any more.
        for (contract, since) in &members {
            self.admit(*contract, cohort, *since);
        }
        let mut of_all: Ranges = vec![first..=u64::MAX];
        for (contract, since) in &members {
            // Below its first block a member counts as covered: nothing is wanted of it there, and it must not hold the others
            // back.
            let mut own = all(&self.rows.of(&self.family.source(contract)));
            own.extend(since.checked_sub(1).map(|last| 0..=last));
            of_all = common(&of_all, &merge(own));
            if of_all.is_empty() {
                return;
            }
        }
        let mut row = self.rows.of(cohort);
        let mut rest = of_all.clone();
        // From the weakest proof on, and each block once: a row states one proof for all its members.
        for (proof, ranges) in row.iter_mut().enumerate() {
            for (contract, _) in &members {
                let so_proven = common(&rest, &self.rows.of(&self.family.source(contract))[proof]);
                *ranges = union(ranges, &so_proven);
                rest = less(&rest, &so_proven);
            }
        }
        self.set(cohort.to_string(), row);
        for (contract, since) in members {
            let source = self.family.source(&contract);
            // What the row stands for is taken out of the member's own rows, or a block would stand under two proofs.
            let shared = above(&of_all, since);
            let own = self.rows.of(&source).map(|ranges| less(&ranges, &shared));
            self.set(source, own);
        }
    }

    /// Drops the rows of cohorts without members.
    fn forget_the_empty(&mut self) {
        let (prefix, alive) = (self.family.cohorts(), self.by_size());
        let rows = self.rows.0.keys();
        let empty: Vec<String> = rows
            .filter(|name| name.starts_with(prefix) && !alive.iter().any(|alive| **alive == ***name))
            .cloned()
            .collect();
        empty.into_iter().for_each(|name| self.set(name, Proven::default()));
    }

    async fn write(&self, db: &mut PgConnection, chain: &str) -> Result<(), SinkError> {
        if self.changed_rows.is_empty() && self.changed_members.is_empty() {
            return Ok(());
        }
        let (mut sources, mut proofs, mut lows, mut highs) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for source in &self.changed_rows {
            for (proof, ranges) in PROOFS.iter().zip(self.rows.of(source)) {
                for range in ranges {
                    sources.push(source.as_str());
                    proofs.push(proof.as_str());
                    lows.push(range.start().cast_signed());
                    highs.push(range.end().cast_signed());
                }
            }
        }
        // Rows are dropped and added whole: one statement each, however many sources changed.
        let changed: Vec<&String> = self.changed_rows.iter().collect();
        sqlx::query(DROP_ROWS)
            .bind(chain)
            .bind(changed)
            .execute(&mut *db)
            .await?;
        sqlx::query(ADD_ROWS)
            .bind(chain)
            .bind(sources)
            .bind(proofs)
            .bind(lows)
            .bind(highs)
            .execute(&mut *db)
            .await?;
        self.write_members(db, chain).await
    }

    async fn write_members(&self, db: &mut PgConnection, chain: &str) -> Result<(), SinkError> {
        let source = |contract: &Address| self.family.source(contract);
        let gone: Vec<String> = self.changed_members.iter().map(source).collect();
        let changed = self.changed_members.iter();
        let members: Vec<(String, &Member)> = changed
            .filter_map(|contract| Some((source(contract), self.members.get(contract)?)))
            .collect();
        sqlx::query(DROP_MEMBERS)
            .bind(chain)
            .bind(gone)
            .execute(&mut *db)
            .await?;
        sqlx::query(ADD_MEMBERS)
            .bind(chain)
            .bind(members.iter().map(|(source, _)| source.as_str()).collect::<Vec<_>>())
            .bind(members.iter().map(|(_, member)| &*member.cohort).collect::<Vec<_>>())
            .bind(
                members
                    .iter()
                    .map(|(_, member)| member.since.cast_signed())
                    .collect::<Vec<i64>>(),
            )
            .execute(&mut *db)
            .await?;
        // Commits read this number alone and keep what they know of the members while it stays.
        sqlx::query(NEXT_EDITION).bind(chain).execute(db).await?;
        Ok(())
    }
}

/// How a contract fits a cohort.
struct Fit {
    /// From which block on the cohort's row stands for it.
    since: u64,
    /// Whether the row then states all it is covered for.
    whole: bool,
}

fn first(ranges: &[RangeInclusive<u64>]) -> Option<u64> {
    ranges.first().map(|range| *range.start())
}

fn blocks(ranges: &[RangeInclusive<u64>]) -> u64 {
    ranges.iter().map(|range| range.end() - range.start() + 1).sum()
}

const ROWS: &str = "select c.source, c.proof, lower(r), upper(r) - 1
    from indexer_service.indexer_coverage c, unnest(c.covered) r
    where c.chain_id = $1 and starts_with(c.source, $2) order by c.source, lower(r)";

const DROP_ROWS: &str = "delete from indexer_service.indexer_coverage where chain_id = $1 and source = any($2)";

const ADD_ROWS: &str = "insert into indexer_service.indexer_coverage (chain_id, source, proof, covered)
    select $1, s.source, s.proof, range_agg(int8range(s.low, s.high, '[]'))
    from unnest($2::text[], $3::text[], $4::int8[], $5::int8[]) as s (source, proof, low, high)
    group by s.source, s.proof";

const DROP_MEMBERS: &str = "delete from indexer_service.coverage_members where chain_id = $1 and source = any($2)";

const ADD_MEMBERS: &str = "insert into indexer_service.coverage_members (chain_id, source, cohort, since)
    select $1, s.* from unnest($2::text[], $3::text[], $4::int8[]) as s (source, cohort, since)";

const NEXT_EDITION: &str = "insert into indexer_service.coverage_editions as e (chain_id, edition) values ($1, 1)
    on conflict (chain_id) do update set edition = e.edition + 1";
