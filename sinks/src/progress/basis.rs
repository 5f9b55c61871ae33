//! What a replay stands on: the branch, the finalized block and the coverage that were in force before the archive was read, and the
//! lease where its holder replays.

use std::ops::RangeInclusive;

use alloy_primitives::Address;
use decoders::block::ChainId;
use decoders::fact::Facts;
use sqlx::PgConnection;

use crate::error::SinkError;
use crate::progress::checkpoint::{self, Standing};
use crate::progress::coverage::Known;
use crate::progress::intents::{self, Intent};
use crate::progress::lease::{self, Lease};
use crate::store::Store;

/// Read before the archive, checked again in the transaction that replaces facts: what was read is then still what the tables
/// were written from.
pub struct Basis {
    chain: ChainId,
    range: RangeInclusive<u64>,
    standing: Standing,
    lease: Option<Lease>,
    known: Known,
    is_written: bool,
    intent: Option<Intent>,
}

impl Basis {
    /// What is in force of the blocks `range` of `chain`; with its `lease`, blocks up to the checkpoint may be replaced, without it
    /// only final ones.
    pub async fn read(
        store: &Store,
        chain: ChainId,
        range: RangeInclusive<u64>,
        lease: Option<&Lease>,
    ) -> Result<Self, SinkError> {
        let mut db = store.pool.acquire().await?;
        // Coverage last: what a rewind between the two takes away is noticed by the branch.
        let standing = checkpoint::standing(&mut db, chain).await?;
        let known = Known::all(&mut db, store, chain, &range).await?;
        let is_written = intents::is_written(&mut db, chain, &range, None).await?;
        Ok(Basis {
            chain,
            range,
            standing,
            lease: lease.cloned(),
            known,
            is_written,
            intent: None,
        })
    }

    /// Whether the archive is being written there, or a write was cut short.
    pub fn is_written(&self) -> bool {
        self.is_written
    }

    /// Registers that the archive is completed there, and returns what to write it under.
    ///
    /// Fails with [`SinkError::Raced`] where the chain was rewound since, and with [`SinkError::LeaseLost`] without the lease.
    pub async fn register(&mut self, store: &Store) -> Result<&Intent, SinkError> {
        let mut tx = intents::ordered(store, self.chain).await?;
        let standing = checkpoint::standing(&mut tx, self.chain).await?;
        self.check_right(&mut tx, standing).await?;
        let intent = intents::register(tx, self.chain, self.range.clone()).await?;
        Ok(self.intent.insert(intent))
    }

    pub(crate) fn intent(&self) -> Option<&Intent> {
        self.intent.as_ref()
    }

    /// Whether every block may be replaced: final ones, and with the chain's lease those up to its checkpoint.
    pub fn is_within_reach(&self) -> bool {
        self.reaches(self.standing)
    }

    fn reaches(&self, standing: Standing) -> bool {
        let last = *self.range.end();
        last <= standing.last_final || (self.lease.is_some() && standing.last_block.is_some_and(|block| last <= block))
    }

    /// Fails unless the branch is still the same, and the lease in force where only its holder may replace these blocks.
    async fn check_right(&self, db: &mut PgConnection, standing: Standing) -> Result<(), SinkError> {
        if standing.branch != self.standing.branch || !self.reaches(standing) {
            return Err(self.raced());
        }
        match &self.lease {
            Some(lease) if standing.last_final < *self.range.end() => lease::check(db, lease).await,
            _ => Ok(()),
        }
    }

    fn raced(&self) -> SinkError {
        SinkError::Raced {
            chain: self.chain,
            range: self.range.clone(),
        }
    }

    /// Whether `source` was applied for every block.
    pub fn covers(&self, source: &str) -> bool {
        self.known.missing(source, &self.range).is_empty()
    }

    /// Whether any source was applied for any block.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// Fails unless all of it is still in force, or where `facts` are of other blocks; the chain must be this transaction's alone.
    pub(crate) async fn check(&self, db: &mut PgConnection, store: &Store, facts: &Facts) -> Result<(), SinkError> {
        let standing = checkpoint::standing(&mut *db, self.chain).await?;
        let known = Known::all(&mut *db, store, self.chain, &self.range).await?;
        let is_written = intents::is_written(db, self.chain, &self.range, self.intent()).await?;
        let same = !is_written && known.same(&self.known);
        let within = self.range.contains(facts.range.start()) && self.range.contains(facts.range.end());
        if same && facts.chain == self.chain && within {
            return self.check_right(db, standing).await;
        }
        Err(self.raced())
    }

    /// Whether what `decoder` emitted of `contracts` in `block` is among what the tables were to hold: its source was applied for
    /// this block, whatever it was applied for beside it.
    pub(crate) fn holds(&self, facts: &Facts, decoder: &str, contracts: &[Address], block: u64) -> bool {
        if facts.contracts.is_empty() {
            return self.known.holds(decoder, block);
        }
        let mut names = contracts.iter().map(|contract| format!("{contract:#x}"));
        names.any(|contract| self.known.holds(&contract, block))
    }
}
