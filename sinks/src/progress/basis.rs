//! What a replay stands on: the branch, the finalized block and the coverage that were in force before the archive was read.

use std::ops::RangeInclusive;

use alloy_primitives::Address;
use decoders::block::ChainId;
use decoders::fact::Facts;
use sqlx::PgConnection;

use crate::error::SinkError;
use crate::progress::checkpoint::{self, Standing};
use crate::progress::coverage::Known;
use crate::progress::intents::{self, Intent};
use crate::store::Store;

/// Read before the archive, checked again in the transaction that replaces facts: what was read is then still what the tables
/// were written from.
pub struct Basis {
    chain: ChainId,
    range: RangeInclusive<u64>,
    standing: Standing,
    known: Known,
    is_written: bool,
    intent: Option<Intent>,
}

impl Basis {
    /// What is in force of the blocks `range` of `chain`.
    pub async fn read(store: &Store, chain: ChainId, range: RangeInclusive<u64>) -> Result<Self, SinkError> {
        let mut db = store.pool.acquire().await?;
        // Coverage last: what a rewind between the two takes away is noticed by the branch.
        let standing = checkpoint::standing(&mut db, chain).await?;
        let known = Known::all(&mut db, store, chain, &range).await?;
        let is_written = intents::is_written(&mut db, chain, &range, None).await?;
        Ok(Basis {
            chain,
            range,
            standing,
            known,
            is_written,
            intent: None,
        })
    }

    /// The branch to name when what is missing in the archive is added to it.
    pub fn branch(&self) -> i64 {
        self.standing.branch
    }

    /// Whether the archive is being written there, or a write was cut short.
    pub fn is_written(&self) -> bool {
        self.is_written
    }

    /// With what was added to the archive since, under `intent`.
    pub fn with(self, intent: Intent) -> Self {
        Basis {
            intent: Some(intent),
            ..self
        }
    }

    pub(crate) fn intent(&self) -> Option<&Intent> {
        self.intent.as_ref()
    }

    /// Whether every block is final: only those may be replaced without the chain's lease.
    pub fn is_final(&self) -> bool {
        *self.range.end() <= self.standing.last_final
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
        let same = !is_written && standing.branch == self.standing.branch && known.same(&self.known);
        let within = self.range.contains(facts.range.start()) && self.range.contains(facts.range.end());
        if same && facts.chain == self.chain && within && *self.range.end() <= standing.last_final {
            return Ok(());
        }
        Err(SinkError::Raced {
            chain: self.chain,
            range: self.range.clone(),
        })
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
