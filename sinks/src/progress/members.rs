//! Sources that advance together: registered contracts share a row of coverage instead of keeping one each.
//!
//! A member's coverage is its own rows, and those of its cohort from one block on. So a block costs one row however many contracts
//! there are. A contract registered later joins a cohort that misses what it misses, whose gaps are filled like any, and moves
//! to the first cohort once it has caught up. Which contracts share changes nothing of what is covered; see
//! docs/decisions/0012-contracts-that-advance-together.md.

use std::ops::RangeInclusive;
use std::sync::Arc;

use alloy_primitives::Address;
use decoders::block::ChainId;
use rustc_hash::{FxHashMap, FxHashSet};
use sqlx::PgConnection;

use crate::error::SinkError;
use crate::store::Store;

/// What a source states about its contract; sources of one family share rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// `0x…`: its logs were decoded.
    Contracts,
    /// `logs:0x…`: every log of it is archived.
    Logs,
    /// `abi:0x…`: its archived logs were read by its ABI.
    Abi,
}

impl Family {
    const ALL: [Family; 3] = [Family::Contracts, Family::Logs, Family::Abi];

    /// What the names of its sources have before the address.
    const fn prefix(self) -> &'static str {
        match self {
            Family::Contracts => "",
            Family::Logs => "logs:",
            Family::Abi => "abi:",
        }
    }

    /// What the names of its sources begin with.
    pub(crate) const fn sources(self) -> &'static str {
        match self {
            Family::Contracts => "0x",
            other => other.prefix(),
        }
    }

    /// What the names of its cohorts have before their number.
    pub(crate) const fn cohorts(self) -> &'static str {
        match self {
            Family::Contracts => "shared:contracts:",
            Family::Logs => "shared:logs:",
            Family::Abi => "shared:abi:",
        }
    }

    /// The source of `contract`.
    pub fn source(self, contract: &Address) -> String {
        format!("{}{contract:#x}", self.prefix())
    }
}

/// Whether `source` is a cohort's row.
pub(crate) fn is_cohort(source: &str) -> bool {
    source.starts_with("shared:")
}

/// The contract that `source` is about, and what it states about it; none for the sources of no contract.
fn contract_of(source: &str) -> Option<(Family, Address)> {
    // Every name begins with the empty prefix, but then only an address is one.
    let of = |family: Family| Some((family, source.strip_prefix(family.prefix())?.parse().ok()?));
    Family::ALL.into_iter().find_map(of)
}

/// Where a source's coverage is kept beside its own rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    /// The source whose rows it shares.
    pub(crate) cohort: Arc<str>,
    /// The lowest block for which they count.
    pub(crate) since: u64,
}

/// Who shares which rows on one chain.
#[derive(Debug, Default)]
pub(crate) struct Members {
    /// Grows with every change.
    edition: i64,
    of: FxHashMap<(Family, Address), Member>,
    /// The first blocks of each cohort's members, ascending.
    cohorts: FxHashMap<Arc<str>, Vec<u64>>,
}

impl Members {
    /// Who shares which rows now. Where nothing changed since the last time, one row is read.
    pub(crate) async fn read(db: &mut PgConnection, store: &Store, chain: ChainId) -> Result<Arc<Self>, SinkError> {
        let name = chain.to_string();
        let edition: Option<i64> = sqlx::query_scalar(EDITION).bind(&name).fetch_optional(&mut *db).await?;
        let edition = edition.unwrap_or(0);
        let known = store.remembered::<Members>(chain);
        if let Some(known) = known.filter(|known| known.edition == edition) {
            return Ok(known);
        }
        let members = Arc::new(Members::load(db, &name, edition).await?);
        store.remember(chain, Arc::clone(&members));
        Ok(members)
    }

    async fn load(db: &mut PgConnection, chain: &str, edition: i64) -> Result<Self, SinkError> {
        let rows: Vec<(String, String, i64)> = if edition == 0 {
            Vec::new()
        } else {
            sqlx::query_as(MEMBERS).bind(chain).fetch_all(db).await?
        };
        let mut members = Members {
            edition,
            ..Members::default()
        };
        for (source, cohort, since) in rows {
            let Some(contract) = contract_of(&source) else { continue };
            let (cohort, since) = (Arc::<str>::from(cohort), since.cast_unsigned());
            let firsts = members.cohorts.entry(Arc::clone(&cohort)).or_default();
            firsts.push(since);
            members.of.insert(contract, Member { cohort, since });
        }
        members.cohorts.values_mut().for_each(|firsts| firsts.sort_unstable());
        Ok(members)
    }

    /// Whether nothing changed from the one to the other.
    pub(crate) fn same(&self, other: &Members) -> bool {
        self.edition == other.edition
    }

    /// Where the coverage of `source` is kept beside its own rows.
    pub(crate) fn member(&self, source: &str) -> Option<&Member> {
        self.of.get(&contract_of(source)?)
    }

    /// Where the coverage of a contract is kept beside its own rows.
    pub(crate) fn of(&self, family: Family, contract: &Address) -> Option<&Member> {
        self.of.get(&(family, *contract))
    }

    /// The members of a family.
    pub(crate) fn all(&self, family: Family) -> impl Iterator<Item = (&Address, &Member)> {
        let members = self.of.iter().filter(move |((of, _), _)| *of == family);
        members.map(|((_, contract), member)| (contract, member))
    }

    /// How many members a family has.
    pub(crate) fn count(&self, family: Family) -> usize {
        let cohorts = self.cohorts.iter();
        let of_family = cohorts.filter(|(cohort, _)| cohort.starts_with(family.cohorts()));
        of_family.map(|(_, firsts)| firsts.len()).sum()
    }

    /// How many cohorts a family has.
    pub(crate) fn cohorts(&self, family: Family) -> usize {
        let cohorts = self.cohorts.keys();
        cohorts.filter(|cohort| cohort.starts_with(family.cohorts())).count()
    }

    /// The rows by which `contracts` are covered for `range`: one of each cohort whose members were all read, as far as they begin
    /// by its end, and one of each other contract.
    pub(crate) fn shares(
        self: &Arc<Self>,
        family: Family,
        contracts: &[Address],
        range: &RangeInclusive<u64>,
    ) -> Shares {
        let mut read: FxHashMap<&Arc<str>, usize> = FxHashMap::default();
        for member in contracts
            .iter()
            .filter_map(|contract| self.of.get(&(family, *contract)))
        {
            *read.entry(&member.cohort).or_default() += usize::from(member.since <= *range.end());
        }
        let begun = |cohort: &Arc<str>| {
            let firsts = self.cohorts.get(cohort);
            firsts.map_or(0, |firsts| firsts.partition_point(|first| first <= range.end()))
        };
        let whole = read.into_iter().filter(|(cohort, read)| *read == begun(cohort));
        Shares {
            family,
            members: Arc::clone(self),
            whole: whole.map(|(cohort, _)| Arc::clone(cohort)).collect(),
        }
    }
}

/// By which rows some contracts are covered.
#[derive(Debug)]
pub(crate) struct Shares {
    family: Family,
    members: Arc<Members>,
    /// The cohorts that are covered as one.
    whole: FxHashSet<Arc<str>>,
}

impl Shares {
    fn shared(&self, contract: &Address) -> Option<&Member> {
        let member = self.members.of.get(&(self.family, *contract))?;
        self.whole.contains(&member.cohort).then_some(member)
    }

    /// Whether the rows show for `contract`, one of those they cover, that it was read at `block`. What is below its cohort's
    /// first block for it is not wanted.
    pub(crate) fn cover(&self, contract: &Address, block: u64) -> bool {
        self.shared(contract).is_none_or(|member| member.since <= block)
    }

    /// The names of the rows that cover `contracts`.
    pub(crate) fn rows(&self, contracts: &[Address]) -> Vec<String> {
        let alone = contracts.iter().filter(|contract| self.shared(contract).is_none());
        let alone = alone.map(|contract| self.family.source(contract));
        self.whole
            .iter()
            .map(|cohort| cohort.to_string())
            .chain(alone)
            .collect()
    }
}

const EDITION: &str = "select edition from indexer_service.coverage_editions where chain_id = $1";

const MEMBERS: &str = "select source, cohort, since from indexer_service.coverage_members where chain_id = $1";
