//! Contracts decoded by stored ABIs: what each runs from which position on, and by which ABIs its logs were read.
//!
//! A contract has two sources of coverage. `logs:0x…` holds where the archive has every log of it; `abi:0x…` holds where those
//! logs were read by the ABIs in force. The second is taken back where an upgrade or an edit of the registry changes what is in
//! force, so that the logs are read again, and no endpoint is asked for them. See docs/decisions/0009-stored-abis.md.

use std::ops::RangeInclusive;
use std::sync::Arc;

use alloy_primitives::Address;
use decoders::block::ChainId;
use decoders::dynamic::proxy::Change;
use decoders::fact::Facts;
use decoders::id::{MAX_BLOCK, Position, block_number_of};
use rustc_hash::{FxHashMap, FxHashSet};
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use crate::error::SinkError;
use crate::facts::faults;
use crate::progress::coverage::{self, Known};
use crate::progress::intents::{self, Intent};
use crate::progress::members::{self, Family};
use crate::progress::ranges::merge;
use crate::progress::{checkpoint, cohorts};
use crate::store::Store;

/// The source under which faults of stored ABIs are recorded.
pub const SOURCE: &str = faults::ABI_SOURCE;

/// The coverage source of `contract`'s logs being archived, every one.
pub fn logs_source(contract: &Address) -> String {
    Family::Logs.source(contract)
}

/// The coverage source of `contract`'s archived logs being read by its ABI.
pub fn abi_source(contract: &Address) -> String {
    Family::Abi.source(contract)
}

/// One log that names what its emitter runs from there on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Upgrade {
    /// The emitter.
    pub contract: Address,
    /// Position of the log.
    pub valid_from: Uuid,
    /// What it runs.
    pub change: Change,
}

/// From one position on: the ABIs that logs are read by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segment {
    /// The first position.
    pub from: Uuid,
    /// Keys of the ABIs, the first that knows an event counts.
    pub abis: Vec<String>,
    /// Whether the ABI of the code that runs is among them.
    pub known: bool,
}

/// Segments by ascending position, the first of them from the beginning of the chain.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timeline(pub Vec<Segment>);

impl Timeline {
    /// The segment in force at a position.
    pub fn at(&self, id: Uuid) -> Option<&Segment> {
        let next = self.0.partition_point(|segment| segment.from <= id);
        self.0.get(next.checked_sub(1)?)
    }

    /// The blocks with a position at which this timeline and `other` are not of one mind.
    pub fn differs(&self, other: &Timeline) -> Vec<RangeInclusive<u64>> {
        let mut cuts: Vec<Uuid> = self.0.iter().chain(&other.0).map(|segment| segment.from).collect();
        cuts.sort_unstable();
        cuts.dedup();
        let state_of = |timeline: &Timeline, id| timeline.at(id).map(|segment| (segment.abis.clone(), segment.known));
        let ends = cuts
            .iter()
            .skip(1)
            .map(|next| block_number_of(*next))
            .chain([MAX_BLOCK]);
        cuts.iter()
            .zip(ends)
            .filter(|(from, _)| state_of(self, **from) != state_of(other, **from))
            .map(|(from, last)| block_number_of(*from)..=last)
            .collect()
    }
}

/// The timelines of a chain's contracts.
pub type Timelines = FxHashMap<Address, Timeline>;

/// Everything the chain, or an operator, recorded of what its contracts run.
pub async fn upgrades(store: &Store, chain: ChainId) -> Result<Vec<Upgrade>, SinkError> {
    let rows: Vec<(String, Uuid, String, String)> = sqlx::query_as(UPGRADES)
        .bind(chain.to_string())
        .fetch_all(&store.pool)
        .await?;
    let upgrade = |(contract, valid_from, kind, target): (String, Uuid, String, String)| {
        let target = target.parse().ok()?;
        Some(Upgrade {
            contract: contract.parse().ok()?,
            valid_from,
            change: if kind == "beacon" {
                Change::Beacon(target)
            } else {
                Change::Implementation(target)
            },
        })
    };
    // The schema keeps addresses well formed.
    Ok(rows.into_iter().filter_map(upgrade).collect())
}

/// Keeps what logs of one branch of the chain stated; what is known already stays.
///
/// Fails with class `Transient` when the chain was rewound since [`checkpoint::branch`] returned `branch`.
pub async fn record(store: &Store, chain: ChainId, branch: i64, upgrades: &[Upgrade]) -> Result<(), SinkError> {
    let mut tx = store.pool.begin().await?;
    let name = chain.to_string();
    coverage::share(&mut tx, &name).await?;
    // A rewind takes the lock alone, so the branch that is compared here stays in force to the commit.
    check_branch(&mut tx, chain, &name, branch).await?;
    let kind = |upgrade: &Upgrade| match upgrade.change {
        Change::Implementation(target) => ("implementation", target),
        Change::Beacon(target) => ("beacon", target),
    };
    sqlx::query(RECORD)
        .bind(&name)
        .bind(
            upgrades
                .iter()
                .map(|upgrade| text(&upgrade.contract))
                .collect::<Vec<_>>(),
        )
        .bind(upgrades.iter().map(|upgrade| upgrade.valid_from).collect::<Vec<_>>())
        .bind(upgrades.iter().map(|upgrade| kind(upgrade).0).collect::<Vec<_>>())
        .bind(
            upgrades
                .iter()
                .map(|upgrade| text(&kind(upgrade).1))
                .collect::<Vec<_>>(),
        )
        .execute(&mut *tx)
        .await?;
    Ok(tx.commit().await?)
}

/// Keeps that `contract` runs the code of `implementation` from block `from` on: what no log states, an operator may.
pub async fn add_change(
    store: &Store,
    chain: ChainId,
    contract: Address,
    from: u64,
    implementation: Address,
) -> Result<(), SinkError> {
    sqlx::query(ADD_CHANGE)
        .bind(chain.to_string())
        .bind(text(&contract))
        .bind(Position::floor(from))
        .bind(text(&implementation))
        .execute(&store.pool)
        .await?;
    Ok(())
}

/// Takes back what the chain's logs at the block `first` and above changed.
pub(crate) async fn revert_from(db: &mut PgConnection, chain: &str, first: u64) -> Result<(), SinkError> {
    sqlx::query(REVERT)
        .bind(chain)
        .bind(Position::floor(first))
        .execute(db)
        .await?;
    Ok(())
}

/// Makes `timelines` those in force, and takes back coverage where they differ from those that logs were read by.
pub async fn settle(store: &Store, chain: ChainId, timelines: &Timelines) -> Result<(), SinkError> {
    let name = chain.to_string();
    let mut tx = store.pool.begin().await?;
    if differing(&read(&mut tx, store, chain).await?.timelines, timelines).is_empty() {
        return Ok(());
    }
    coverage::share(&mut tx, &name).await?;
    coverage::alone(&mut tx, &name).await?;
    // Read again under the lock: another process may have settled the same meanwhile.
    let stored = read(&mut tx, store, chain).await?;
    let differing = differing(&stored.timelines, timelines);
    let ranges: Vec<(Address, Vec<RangeInclusive<u64>>)> = differing
        .iter()
        .map(|(contract, _, ranges)| (*contract, merge(ranges.clone())))
        .collect();
    // Coverage goes for the differing blocks alone, whatever changed: what is missing is then found like any other gap.
    cohorts::take_back(&mut tx, store, chain, Family::Abi, &ranges).await?;
    sqlx::query(SETTLE)
        .bind(&name)
        .bind(ranges.iter().map(|(contract, _)| text(contract)).collect::<Vec<_>>())
        .bind(
            differing
                .iter()
                .map(|(_, timeline, _)| Json(*timeline))
                .collect::<Vec<_>>(),
        )
        .execute(&mut *tx)
        .await?;
    Ok(tx.commit().await?)
}

/// A contract whose timeline in force is not the stored one, and the blocks it is about.
type Differing<'a> = (Address, &'a Timeline, Vec<RangeInclusive<u64>>);

fn differing<'a>(stored: &Timelines, timelines: &'a Timelines) -> Vec<Differing<'a>> {
    let none = Timeline::default();
    let mut differing: Vec<Differing<'a>> = timelines
        .iter()
        .filter(|(contract, timeline)| stored.get(*contract) != Some(*timeline))
        .map(|(contract, timeline)| {
            let before = stored.get(contract).unwrap_or(&none);
            (*contract, timeline, timeline.differs(before))
        })
        .collect();
    differing.sort_unstable_by_key(|(contract, ..)| *contract);
    differing
}

/// Logs of some contracts, read by their ABIs.
#[derive(Clone, Copy, Debug)]
pub struct Finished<'a> {
    /// The range and its proof, the blocks with logs, and the faults.
    pub facts: &'a Facts,
    /// The contracts, and what their logs were read by.
    pub contracts: &'a [(Address, &'a Timeline)],
    /// [`checkpoint::branch`] before the logs were read.
    pub branch: i64,
    /// Whether the logs were put into the archive with this reading: every one of the contracts' logs in the range.
    pub archived: bool,
    /// What they were put under, where nothing else was committed since.
    pub intent: Option<&'a Intent>,
}

/// Covers the range for the contracts, and replaces their faults in it.
///
/// Fails with class `Transient` when the chain was rewound, or other ABIs came into force, since the logs were read.
pub async fn finish(store: &Store, finished: &Finished<'_>) -> Result<(), SinkError> {
    let Finished {
        facts,
        contracts,
        branch,
        archived,
        intent,
    } = *finished;
    let (chain, range, name) = (facts.chain, &facts.range, facts.chain.to_string());
    let mut tx = store.pool.begin().await?;
    coverage::share(&mut tx, &name).await?;
    check_branch(&mut tx, chain, &name, branch).await?;
    let of_abis =
        |source: &str| members::is_cohort(source) || source.starts_with("abi:") || source.starts_with("logs:");
    // `settle` takes the same lock, so no other ABI comes into force between the comparison below and the commit.
    let known = Known::lock(&mut tx, store, chain, &of_abis, range).await?;
    let stored = read(&mut tx, store, chain).await?;
    if contracts
        .iter()
        .any(|(contract, timeline)| stored.timelines.get(contract) != Some(*timeline))
    {
        return Err(SinkError::Raced {
            chain,
            range: range.clone(),
        });
    }
    let contracts: Vec<Address> = contracts.iter().map(|(contract, _)| *contract).collect();
    // Faults are replaced in the transaction that covers the range: what waits for an ABI is decided with its fault.
    let faulty = faulty(&mut tx, facts, &name, &contracts).await?;
    faults::replace_of(&mut tx, facts, SOURCE, &faulty).await?;
    let shares = |family| known.members().shares(family, &contracts, range).rows(&contracts);
    let mut rows = shares(Family::Abi);
    if archived {
        rows.extend(shares(Family::Logs));
    }
    coverage::cover(&mut tx, chain, facts.proof, range, &rows, &known).await?;
    if let Some(intent) = intent {
        intents::finish(&mut tx, intent, range).await?;
    }
    Ok(tx.commit().await?)
}

/// Those of `contracts` with faults in the range of `facts`. There are few of them, and the contracts may be many.
async fn faulty(
    db: &mut PgConnection,
    facts: &Facts,
    chain: &str,
    contracts: &[Address],
) -> Result<Vec<String>, SinkError> {
    let mut faulty: Vec<String> = sqlx::query_scalar(FAULTY)
        .bind(chain)
        .bind(Position::floor(*facts.range.start()))
        .bind(Position::floor(facts.range.end() + 1))
        .bind(SOURCE)
        .fetch_all(db)
        .await?;
    let contracts: FxHashSet<Address> = contracts.iter().copied().collect();
    faulty.retain(|contract| {
        contract
            .parse()
            .is_ok_and(|contract: Address| contracts.contains(&contract))
    });
    Ok(faulty)
}

async fn check_branch(db: &mut PgConnection, chain: ChainId, name: &str, branch: i64) -> Result<(), SinkError> {
    if checkpoint::branch_of(db, name).await? == branch {
        return Ok(());
    }
    // Which blocks were meant is the caller's to know; any of them may be of a branch left behind.
    Err(SinkError::Raced {
        chain,
        range: 0..=MAX_BLOCK,
    })
}

/// A number that grows with every change of the registry's contracts, of upgrades, and of what logs were read by: who knows what
/// follows from them, and finds the same number, knows it still.
pub async fn edition(store: &Store) -> Result<i64, SinkError> {
    Ok(sqlx::query_scalar(EDITION).fetch_one(&store.pool).await?)
}

/// What logs were read by, as of one [`edition`].
struct ReadBy {
    edition: i64,
    timelines: Timelines,
}

/// What logs were read by. Where nothing changed since the last time, one row is read.
async fn read(db: &mut PgConnection, store: &Store, chain: ChainId) -> Result<Arc<ReadBy>, SinkError> {
    let edition: i64 = sqlx::query_scalar(EDITION).fetch_one(&mut *db).await?;
    let known = store.remembered::<ReadBy>(chain);
    if let Some(known) = known.filter(|known| known.edition == edition) {
        return Ok(known);
    }
    let rows: Vec<(String, Json<Timeline>)> = sqlx::query_as(READ).bind(chain.to_string()).fetch_all(db).await?;
    let timelines = rows
        .into_iter()
        .filter_map(|(contract, Json(timeline))| Some((contract.parse().ok()?, timeline)));
    let read = Arc::new(ReadBy {
        edition,
        timelines: timelines.collect(),
    });
    store.remember(chain, Arc::clone(&read));
    Ok(read)
}

fn text(address: &Address) -> String {
    format!("{address:#x}")
}

const UPGRADES: &str = "select contract::text, valid_from, kind, target::text
    from chain_registry_service.chain_contract_abis where chain_id = $1 order by contract, valid_from";

const RECORD: &str =
    "insert into chain_registry_service.chain_contract_abis (chain_id, contract, valid_from, kind, target)
    select $1, s.* from unnest($2::text[], $3::uuid[], $4::text[], $5::text[]) as s
    on conflict do nothing";

const ADD_CHANGE: &str = "insert into chain_registry_service.chain_contract_abis
        (chain_id, contract, valid_from, kind, target, source)
    values ($1, $2, $3, 'implementation', $4, 'operator')
    on conflict (chain_id, contract, valid_from) do update set kind = excluded.kind, target = excluded.target";

const REVERT: &str = "delete from chain_registry_service.chain_contract_abis
    where chain_id = $1 and valid_from >= $2 and source = 'chain'";

const READ: &str = "select contract::text, timeline from indexer_service.abi_decodings where chain_id = $1";

const SETTLE: &str = "insert into indexer_service.abi_decodings (chain_id, contract, timeline)
    select $1, s.contract, s.timeline from unnest($2::text[], $3::jsonb[]) as s (contract, timeline)
    on conflict (chain_id, contract) do update set timeline = excluded.timeline, updated_at = now()";

const EDITION: &str = "select edition from indexer_service.abi_edition";

const FAULTY: &str = "select distinct contract::text from indexer_service.decode_faults
    where chain_id = $1 and id >= $2 and id < $3 and source = $4";

#[cfg(test)]
mod tests {
    use super::*;

    fn timeline(segments: &[(u64, &str)]) -> Timeline {
        let segment = |(block, abi): &(u64, &str)| Segment {
            from: if *block == 0 {
                Uuid::nil()
            } else {
                Position::floor(*block)
            },
            abis: vec![(*abi).to_owned()],
            known: true,
        };
        Timeline(segments.iter().map(segment).collect())
    }

    #[test]
    fn the_segment_in_force_is_the_last_one_begun() {
        let timeline = timeline(&[(0, "a"), (5, "b"), (9, "c")]);
        let at = |block| {
            timeline
                .at(Position::floor(block))
                .map(|segment| segment.abis[0].as_str())
        };
        assert_eq!(
            [at(0), at(4), at(5), at(8), at(9), at(MAX_BLOCK)],
            ["a", "a", "b", "b", "c", "c"].map(Some)
        );
        assert_eq!(Timeline::default().at(Uuid::nil()), None);
    }

    #[test]
    fn timelines_differ_only_where_another_abi_is_in_force() {
        let before = timeline(&[(0, "a"), (9, "c")]);
        assert_eq!(timeline(&[(0, "a"), (5, "b"), (9, "c")]).differs(&before), [5..=9]);
        assert_eq!(timeline(&[(0, "a"), (9, "d")]).differs(&before), [9..=MAX_BLOCK]);
        assert_eq!(timeline(&[(0, "a")]).differs(&before), [9..=MAX_BLOCK]);
        assert_eq!(before.differs(&before), [] as [RangeInclusive<u64>; 0]);
        assert_eq!(before.differs(&Timeline::default()), [0..=9, 9..=MAX_BLOCK]);
    }
}
