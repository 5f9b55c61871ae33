//! Reading logs of followed contracts by the ABI in force at each of them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use alloy_primitives::Address;
use decoders::block::{ChainId, Log, Span};
use decoders::dynamic::proxy;
use decoders::dynamic::stored::{Abi, Reading};
use decoders::fact::{Facts, Fault, reason};
use decoders::log_reader::DecodeError;
use rustc_hash::{FxHashMap, FxHashSet};
use sinks::abis::{self, Finished, SOURCE, Timeline, Timelines, Upgrade};
use sinks::progress::intents::Intent;
use sinks::store::Store;
use tracing::warn;
use uuid::Uuid;

use super::timeline;
use crate::archive::{Archive, Note, log_id};
use crate::error::Error;
use crate::registry::{self, Followed};

/// Where the logs of a reading come from.
#[derive(Clone, Copy, Debug)]
pub enum Origin<'a> {
    /// The archive, as it is.
    Archive,
    /// They were put into the archive under this intent, which the reading takes out.
    Put(&'a Intent),
    /// They were put into the archive, and committed with what the decoders made of them.
    Committed,
}

/// Reads the logs of one chain's followed contracts.
#[derive(Debug)]
pub struct Interpreter {
    chain: ChainId,
    store: Store,
    archive: Arc<Archive>,
    followed: Vec<Followed>,
    /// As it was when last asked.
    in_force: Mutex<Option<InForce>>,
    /// ABIs by key; `None` for one that cannot be used.
    abis: Mutex<FxHashMap<String, Option<Arc<Abi>>>>,
}

/// By which ABIs logs are read.
#[derive(Clone, Debug)]
struct InForce {
    /// Of what the timelines follow from.
    edition: i64,
    timelines: Arc<Timelines>,
}

/// A log's id, and what it decodes to or why not.
type Read = (Uuid, Result<Reading, DecodeError>);

impl Interpreter {
    /// A reader for `followed`, sorted by address.
    pub fn new(chain: ChainId, store: Store, archive: Arc<Archive>, mut followed: Vec<Followed>) -> Self {
        followed.sort_unstable();
        Interpreter {
            chain,
            store,
            archive,
            followed,
            in_force: Mutex::default(),
            abis: Mutex::default(),
        }
    }

    /// The contracts that are followed.
    pub fn followed(&self) -> &[Followed] {
        &self.followed
    }

    /// Their addresses.
    pub fn contracts(&self) -> Vec<Address> {
        self.followed.iter().map(|followed| followed.address).collect()
    }

    /// Whether the log is of a followed contract, and below its first block of interest.
    pub fn is_early(&self, log: &Log) -> bool {
        let at = self
            .followed
            .binary_search_by_key(&log.address, |followed| followed.address);
        at.is_ok_and(|at| log.block_number < self.followed[at].from)
    }

    /// Reads the logs of `contracts` in `span`, which holds every one of its range, and returns the faults.
    ///
    /// `branch` is the chain's [`branch`](sinks::progress::checkpoint::branch) from before the span was read.
    ///
    /// # Errors
    /// Whatever the archive or the store answers; the range is then not covered for the contracts.
    pub async fn read(
        &self,
        span: &Span,
        contracts: &[Address],
        origin: Origin<'_>,
        branch: i64,
    ) -> Result<Vec<Fault>, Error> {
        let of_contracts: FxHashSet<&Address> = contracts.iter().collect();
        let logs: Vec<(Uuid, &Log)> = span
            .logs
            .iter()
            .filter(|log| of_contracts.contains(&log.address) && !self.is_early(log))
            .filter_map(|log| Some((log_id(self.chain, span.block(log.block_number)?, log), log)))
            .collect();
        let upgrades: Vec<Upgrade> = logs.iter().filter_map(|(id, log)| upgrade(*id, log)).collect();
        // Upgrades first: the logs behind one in this span are read by the ABI it brings.
        if !upgrades.is_empty() {
            abis::record(&self.store, self.chain, branch, &upgrades).await?;
        }
        let InForce { edition, timelines } = self.current().await?;
        let read = self.read_all(&logs, &timelines).await?;
        // Before coverage: a crash in between leaves a gap, and writing the same again changes nothing.
        self.archive.annotate(self.chain, edition, &notes(&read)).await?;
        let mut facts = Facts::of(span);
        let faulty = |((_, read), (_, log)): (&Read, &(Uuid, &Log))| fault(log, read);
        facts.faults = read.iter().zip(&logs).filter_map(faulty).collect();
        let read_by: Vec<(Address, &Timeline)> = contracts
            .iter()
            .filter_map(|contract| Some((*contract, timelines.get(contract)?)))
            .collect();
        let finished = Finished {
            facts: &facts,
            contracts: &read_by,
            branch,
            archived: !matches!(origin, Origin::Archive),
            intent: match origin {
                Origin::Put(intent) => Some(intent),
                Origin::Archive | Origin::Committed => None,
            },
        };
        abis::finish(&self.store, &finished).await?;
        Ok(facts.faults)
    }

    /// Brings what is in force up to date with the registry and the upgrades known; coverage goes where that changes anything.
    ///
    /// # Errors
    /// Whatever the store answers.
    pub async fn refresh(&self) -> Result<(), Error> {
        self.current().await.map(drop)
    }

    /// What is in force, brought up to date. Where neither the registry nor the upgrades changed since the last time, one row is read.
    async fn current(&self) -> Result<InForce, Error> {
        let edition = abis::edition(&self.store).await?;
        let known = self.in_force.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(known) = known.filter(|known| known.edition == edition) {
            return Ok(known);
        }
        let contracts = registry::contracts(&self.store, Some(self.chain))
            .await
            .map_err(Error::from)?;
        let upgrades = abis::upgrades(&self.store, self.chain).await?;
        let timelines = Arc::new(timeline::resolve(&self.followed, &contracts, &upgrades));
        abis::settle(&self.store, self.chain, &timelines).await?;
        // Of before they were read: what changed meanwhile is found the next time.
        let found = InForce { edition, timelines };
        *self.in_force.lock().unwrap_or_else(PoisonError::into_inner) = Some(found.clone());
        Ok(found)
    }

    async fn read_all(&self, logs: &[(Uuid, &Log)], timelines: &Timelines) -> Result<Vec<Read>, Error> {
        let mut usable: BTreeMap<&str, Option<Arc<Abi>>> = BTreeMap::new();
        let mut read = Vec::with_capacity(logs.len());
        for (id, log) in logs {
            let segment = timelines.get(&log.address).and_then(|timeline| timeline.at(*id));
            let mut refused = DecodeError(match segment {
                Some(segment) if segment.known => reason::EVENT_UNKNOWN,
                _ => reason::ABI_UNKNOWN,
            });
            let mut found = None;
            // The implementation's ABI before the proxy's own, which knows only its own events.
            for key in segment.iter().flat_map(|segment| &segment.abis) {
                if !usable.contains_key(key.as_str()) {
                    usable.insert(key, self.abi(key).await?);
                }
                let Some(abi) = &usable[key.as_str()] else { continue };
                match abi.read(log) {
                    Ok(reading) => {
                        found = Some(reading);
                        break;
                    }
                    Err(DecodeError(reason::EVENT_UNKNOWN)) => {}
                    // The ABI that claims the log shows best what is wrong with it.
                    Err(better) => refused = better,
                }
            }
            // Events of the proxy standards are read although no ABI in force names them: proxies seldom declare them.
            let reading = found.or_else(|| proxy::abi().read(log).ok());
            read.push((*id, reading.ok_or(refused)));
        }
        Ok(read)
    }

    /// The ABI under `key`, parsed once; `None` when it is gone or cannot be used.
    async fn abi(&self, key: &str) -> Result<Option<Arc<Abi>>, Error> {
        let known = || self.abis.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(abi) = known().get(key) {
            return Ok(abi.clone());
        }
        let json = match registry::abi_json(&self.store, key).await {
            Ok(json) => json,
            // It was removed after the registry was read; the next reading knows.
            Err(registry::RegistryError::Unknown { .. }) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let abi = match Abi::parse(&json) {
            Ok(abi) => Some(Arc::new(abi)),
            Err(error) => {
                warn!(chain = %self.chain, abi = key, %error, "a stored ABI decodes nothing");
                None
            }
        };
        known().insert(key.to_owned(), abi.clone());
        Ok(abi)
    }
}

fn upgrade(id: Uuid, log: &Log) -> Option<Upgrade> {
    Some(Upgrade {
        contract: log.address,
        valid_from: id,
        change: proxy::change(log)?,
    })
}

fn notes(read: &[Read]) -> Vec<Note> {
    let note = |(id, read): &Read| {
        let reading = read.as_ref().ok();
        Note {
            id: *id,
            event_type: reading.map(|reading| reading.event_type.clone()),
            event_data: reading.map(|reading| reading.event_data.clone()),
        }
    };
    read.iter().map(note).collect()
}

fn fault(log: &Log, read: &Result<Reading, DecodeError>) -> Option<Fault> {
    let reason = match read {
        Ok(reading) => reading.warning?,
        Err(DecodeError(reason)) => reason,
    };
    Some(Fault {
        source: SOURCE,
        block_number: log.block_number,
        log_index: log.log_index,
        tx_hash: log.tx_hash,
        contract: log.address,
        topic0: log.topic0().copied(),
        reason,
    })
}
