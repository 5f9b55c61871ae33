//! The head of one chain: wait, advance, rewind.
//!
//! Only the holder of the chain's lease runs a follower, and every commit it makes names the checkpoint it started from and the
//! lease's token, so a second daemon can never interleave.

pub mod ancestor;
pub mod decision;

use std::ops::RangeInclusive;
use std::time::Duration;

use decoders::block::{BlockRef, Proof, Span};
use sinks::commit::{self, Move};
use sinks::error::SinkError;
use sinks::progress::checkpoint::{self, Observation, Stand};
use sinks::progress::lease::{self, Lease};
use sinks::store::Store;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, instrument, warn};

use crate::error::Error;
use crate::health::{TaskHealth, WaitsFor};
use crate::pipeline::Pipeline;
use crate::retry;
use decision::{Step, decide};
use decoders::failure::Class;
use rpc::Heads;

/// How long the database may take to take a lease back.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(2);

/// How a chain is followed; see `config.toml` for the meaning and the defaults.
#[derive(Clone, Debug)]
pub struct FollowerSettings {
    /// The lowest block of interest.
    pub start_block: u64,
    /// Blocks below the head that count as final where the chain has no `finalized` tag.
    pub finality_depth: u64,
    /// What has to be proven of a head block.
    pub proof: Proof,
    /// How long a lease lasts without renewal.
    pub lease_ttl: Duration,
    /// A head that does not move for this long is reported as a stall.
    pub stall_after: Duration,
    /// Stop once the checkpoint has reached this block.
    pub until: Option<u64>,
}

/// Follows the head of one chain.
pub struct Follower {
    /// The chain's parts.
    pub pipeline: Pipeline,
    /// How the chain is followed.
    pub settings: FollowerSettings,
    /// Name of this daemon in the lease table.
    pub holder: String,
    /// The chain's lease while this daemon holds it.
    pub leading: watch::Sender<Option<Lease>>,
    /// Signalled with every step, and when blocks have become final.
    pub moves: watch::Sender<()>,
    /// Where `/readyz` hears of this chain.
    pub health: TaskHealth,
}

/// What one step came to.
enum Outcome {
    /// The checkpoint moved; there may be more to do at once.
    Moved,
    /// Nothing to do until a newer head.
    AtHead,
    /// The endpoints' head lies below the checkpoint, on the stored branch: nothing to do until it has come back up.
    Below { head: u64, checkpoint: u64 },
    /// Everything up to the last block wanted is applied.
    Done,
}

/// What the follower remembers between steps; all of it can be lost.
struct Memory {
    lease: Lease,
    seen: Option<(BlockRef, BlockRef)>,
    /// The heads at which there was nothing to do, and since when.
    rests: Option<((BlockRef, BlockRef), Instant)>,
    moved: Instant,
    /// Whether the log states that the endpoints' head lies below the checkpoint.
    is_below: bool,
}

/// Renews `lease` until it is lost, and returns by what. A database that does not answer is asked again: as long as none took the
/// lease, it is still held.
async fn renewed(store: Store, lease: Lease, ttl: Duration) -> SinkError {
    loop {
        tokio::time::sleep(ttl / 3).await;
        match lease::renew(&store, &lease, ttl).await {
            Ok(()) => {}
            Err(lost @ SinkError::LeaseLost { .. }) => return lost,
            Err(error) => warn!(%error, "failed to renew the lease, trying again"),
        }
    }
}

impl Follower {
    /// Follows until cancelled, or until the checkpoint reaches `settings.until`.
    ///
    /// Waits as a standby while another daemon holds the chain's lease.
    ///
    /// # Errors
    /// Only what no further attempt would mend.
    #[instrument(name = "follow", skip_all, fields(chain = %self.pipeline.chain))]
    pub async fn follow(&self, cancel: &CancellationToken) -> Result<(), Error> {
        loop {
            let Some(lease) = self.acquire(cancel).await? else {
                return Ok(());
            };
            self.leading.send_replace(Some(lease.clone()));
            let ended = self.while_held(&lease, cancel).await;
            self.leading.send_replace(None);
            match ended {
                Err(Error::Sink(SinkError::LeaseLost { .. })) => {
                    warn!("another daemon took the chain over; standing by")
                }
                ended => {
                    self.release(&lease).await;
                    self.health.rests();
                    return ended.or_else(|error| match error {
                        Error::Cancelled => Ok(()),
                        error => Err(error),
                    });
                }
            }
        }
    }

    /// Follows while the lease is held: a task of its own renews it, however long a step takes, and its loss ends the step under way.
    async fn while_held(&self, lease: &Lease, cancel: &CancellationToken) -> Result<(), Error> {
        // Ends with this function, because a set aborts its tasks when it is dropped.
        let mut renewal = JoinSet::new();
        renewal.spawn(renewed(
            self.pipeline.store.clone(),
            lease.clone(),
            self.settings.lease_ttl,
        ));
        // A step may take longer than the lease lasts. When the lease is lost the step is dropped where it stands: its commit
        // would be refused.
        tokio::select! {
            ended = self.follow_with(lease.clone(), cancel) => ended,
            Some(lost) = renewal.join_next() => Err(match lost {
                Ok(error) => error.into(),
                Err(error) => Error::Broken(error.to_string()),
            }),
        }
    }

    async fn acquire(&self, cancel: &CancellationToken) -> Result<Option<Lease>, Error> {
        let mut is_logged = false;
        loop {
            let attempt = || async {
                Ok(lease::acquire(
                    &self.pipeline.store,
                    self.pipeline.chain,
                    &self.holder,
                    self.settings.lease_ttl,
                )
                .await?)
            };
            match retry::persist(cancel, "taking the lease", attempt).await {
                Ok(Some(lease)) => return Ok(Some(lease)),
                Ok(None) => {}
                Err(Error::Cancelled) => return Ok(None),
                Err(error) => return Err(error),
            }
            if !is_logged {
                info!("another daemon holds the chain; standing by");
                is_logged = true;
            }
            // Standing by is what a second daemon is for: it is ready.
            self.health.ok();
            tokio::select! {
                () = cancel.cancelled() => return Ok(None),
                // Often enough to take over soon after a lease ran out.
                () = tokio::time::sleep(self.settings.lease_ttl / 3) => {}
            }
        }
    }

    /// Gives the lease back; where that fails, it expires.
    async fn release(&self, lease: &Lease) {
        match tokio::time::timeout(SHUTDOWN_GRACE, lease::release(&self.pipeline.store, lease)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => warn!(%error, "failed to give the lease back, it ends on its own"),
            Err(_) => warn!("the database does not take the lease back, it ends on its own"),
        }
    }

    async fn follow_with(&self, lease: Lease, cancel: &CancellationToken) -> Result<(), Error> {
        let mut memory = Memory {
            lease,
            seen: None,
            rests: None,
            moved: Instant::now(),
            is_below: false,
        };
        let mut pauses = retry::pauses();
        let mut edits = self.pipeline.endpoints.edits();
        loop {
            // Between steps and not within one: the first signal lets the block under way be finished.
            if cancel.is_cancelled() {
                return Err(Error::Cancelled);
            }
            match self.look_and_step(&mut memory).await {
                Ok(Outcome::Moved) => {
                    pauses = retry::pauses();
                    self.moves.send_replace(());
                }
                Ok(Outcome::Done) => return Ok(()),
                Ok(Outcome::AtHead | Outcome::Below { .. }) => {
                    pauses = retry::pauses();
                    self.wait_for_head(cancel).await;
                }
                Err(error) => {
                    self.absorb(error)?;
                    tokio::select! {
                        () = cancel.cancelled() => {}
                        () = tokio::time::sleep(pauses.next().unwrap_or(self.settings.lease_ttl / 3)) => {}
                        // The operator may have exchanged the endpoint that failed; there is no reason to wait for the old one's
                        // pause.
                        () = retry::exchanged(Some(&mut edits)) => pauses = retry::pauses(),
                    }
                }
            }
        }
    }

    /// Decides what an error of one step means: another attempt, or the end.
    fn absorb(&self, error: Error) -> Result<(), Error> {
        match error.class() {
            Class::Reorg => warn!(%error, "the checkpoint moved under the follower, reading it again"),
            Class::Transient => warn!(%error, "a step failed, trying again"),
            Class::Fatal | Class::Cancelled => return Err(error),
        }
        self.health.failing(error.to_string());
        Ok(())
    }

    async fn is_done(&self) -> Result<bool, Error> {
        let Some(until) = self.settings.until else {
            return Ok(false);
        };
        let stored = checkpoint::read(&self.pipeline.store, self.pipeline.chain).await?;
        Ok(stored.is_some_and(|stored| stored.block.number >= until))
    }

    async fn wait_for_head(&self, cancel: &CancellationToken) {
        tokio::select! {
            () = cancel.cancelled() => {}
            () = self.pipeline.endpoints.next_head() => {}
            () = tokio::time::sleep(self.settings.lease_ttl / 3) => {}
        }
    }

    async fn look_and_step(&self, memory: &mut Memory) -> Result<Outcome, Error> {
        self.health
            .begins(WaitsFor::Endpoints, "asking the endpoints for the head");
        let heads = self.pipeline.endpoints.heads().await?;
        let finalized = self.finalized(&heads).await?;
        if self.rests(memory, (heads.latest.block_ref(), finalized)) {
            self.assess(&Outcome::AtHead, memory);
            return Ok(Outcome::AtHead);
        }
        self.health
            .begins(WaitsFor::Stores, "looking up where the tables stand");
        // Before the step, so that other writers know what is final even while this one cannot go on.
        self.observe(&heads, finalized, memory).await?;
        memory.rests = None;
        let outcome = self.step(&heads, finalized, &memory.lease).await?;
        memory.rests = memory
            .seen
            .filter(|_| matches!(outcome, Outcome::AtHead))
            .map(|seen| (seen, Instant::now()));
        self.assess(&outcome, memory);
        if matches!(outcome, Outcome::AtHead | Outcome::Below { .. }) && self.is_done().await? {
            return Ok(Outcome::Done);
        }
        Ok(outcome)
    }

    /// Whether there was nothing to do at these heads a moment ago: another process that changes the tables without a lease, which a
    /// backfill does that met another branch, is found out about once in the time of a lease.
    fn rests(&self, memory: &Memory, heads: (BlockRef, BlockRef)) -> bool {
        let lasts = |since: Instant| since.elapsed() < self.settings.lease_ttl;
        self.settings.until.is_none() && memory.rests.is_some_and(|(at, since)| at == heads && lasts(since))
    }

    /// Reports to `/readyz` whether the head moves.
    fn assess(&self, outcome: &Outcome, memory: &mut Memory) {
        if matches!(outcome, Outcome::Moved) {
            memory.moved = Instant::now();
        }
        let chain = self.pipeline.chain;
        let below = match outcome {
            Outcome::Below { head, checkpoint } => Some(format!(
                "the head that the endpoints of {chain} have, block {head}, went back below the checkpoint, block {checkpoint}"
            )),
            Outcome::Moved | Outcome::AtHead | Outcome::Done => None,
        };
        if let Some(cause) = below.as_ref().filter(|_| !memory.is_below) {
            warn!("{cause}, on the same branch; waiting until it has come back up");
        }
        memory.is_below = below.is_some();
        if memory.moved.elapsed() > self.settings.stall_after {
            let seconds = memory.moved.elapsed().as_secs();
            self.health.failing(match below {
                Some(below) => format!("{below}; nothing new for {seconds} s"),
                None => format!("the head of {chain} has not moved for {seconds} s on any endpoint"),
            });
        } else {
            self.health.ok();
        }
    }

    /// The finalized block: by the chain's own tag, or by depth where it has none.
    async fn finalized(&self, heads: &Heads) -> Result<BlockRef, Error> {
        if let Some(finalized) = heads.finalized {
            return Ok(finalized);
        }
        let number = heads.latest.number.saturating_sub(self.settings.finality_depth);
        let header = self.pipeline.endpoints.header_at(number).await?;
        header
            .map(|header| header.block.block_ref())
            .ok_or_else(|| Error::Stalled(format!("no endpoint serves block {number}, which is below the head")))
    }

    async fn observe(&self, heads: &Heads, finalized: BlockRef, memory: &mut Memory) -> Result<(), Error> {
        let seen = (heads.latest.block_ref(), finalized);
        if memory.seen != Some(seen) {
            let observation = Observation {
                head: heads.latest.number,
                safe: heads.safe.map(|block| block.number),
                finalized: Some(finalized.number),
                base_fee: heads.base_fee,
            };
            checkpoint::observe(&self.pipeline.store, &memory.lease, &observation).await?;
            memory.seen = Some(seen);
            self.moves.send_replace(());
        }
        Ok(())
    }

    async fn step(&self, heads: &Heads, finalized: BlockRef, lease: &Lease) -> Result<Outcome, Error> {
        // Before any step: what stands below may be of another branch, and every block put on it would be too.
        let Stand { checkpoint, suspect } = checkpoint::stand(&self.pipeline.store, self.pipeline.chain).await?;
        if let Some(suspect) = suspect {
            ancestor::mend(&self.pipeline, suspect, self.settings.start_block, lease).await?;
            return Ok(Outcome::Moved);
        }
        let stored = checkpoint.map(|stored| stored.block);
        // Read anew with every look and not remembered: another process may have moved the checkpoint.
        match (decide(stored, heads.latest.block_ref(), finalized), stored) {
            (Step::Wait, _) => Ok(Outcome::AtHead),
            (Step::Begin(finalized), _) => match self.standing_point(finalized, heads.latest.number).await? {
                Some(block) if stored.is_none_or(|stored| stored.number < block.number) => {
                    self.begin(stored, block, lease).await
                }
                _ => Ok(Outcome::AtHead),
            },
            (Step::Advance(range), Some(from)) => match self.limited(range) {
                Some(range) => self.advance(from, range, heads, lease).await,
                None => Ok(Outcome::AtHead),
            },
            (Step::Compare(latest), Some(from)) => self.compare(from, latest, lease).await,
            (Step::Advance(_) | Step::Compare(_), None) => Ok(Outcome::AtHead),
        }
    }

    fn limited(&self, range: RangeInclusive<u64>) -> Option<RangeInclusive<u64>> {
        let last = self
            .settings
            .until
            .map_or(*range.end(), |until| until.min(*range.end()));
        (*range.start() <= last).then(|| *range.start()..=last)
    }

    /// Where to stand when `finalized` is the finalized block: there, unless that is below the first or above the last block wanted.
    async fn standing_point(&self, finalized: BlockRef, latest: u64) -> Result<Option<BlockRef>, Error> {
        let last = self.settings.until.unwrap_or(u64::MAX);
        let number = finalized.number.max(self.settings.start_block).min(last);
        if number == finalized.number || number > latest {
            return Ok((number <= latest).then_some(finalized));
        }
        // The hash is that of the chain as it is served now; the checkpoint is moved to it under the lease like to any other.
        let header = self.pipeline.endpoints.header_at(number).await?;
        header
            .map(|header| Some(header.block.block_ref()))
            .ok_or_else(|| Error::Stalled(format!("no endpoint serves block {number}, which is below the head")))
    }

    /// Stands at `block`, jumping over what gap filling will take.
    async fn begin(&self, from: Option<BlockRef>, block: BlockRef, lease: &Lease) -> Result<Outcome, Error> {
        // A jump leaves blocks out, so no parent links the two: the old checkpoint is looked up on the chain instead.
        if let Some(from) = from
            && !ancestor::is_canonical(&self.pipeline, from, false).await?
        {
            return self.rewind(from, lease).await;
        }
        self.reads(&(block.number..=block.number));
        let span = self.pipeline.read_block(block, self.settings.proof).await?;
        self.write(from, &span, lease).await
    }

    async fn advance(
        &self,
        from: BlockRef,
        range: RangeInclusive<u64>,
        heads: &Heads,
        lease: &Lease,
    ) -> Result<Outcome, Error> {
        self.reads(&range);
        let one_block = *range.start() == heads.latest.number;
        let span = if one_block {
            // The head itself shows that it does not follow: its block need not be read to find that out.
            if heads.latest_parent != from.hash {
                return self.rewind(from, lease).await;
            }
            self.pipeline
                // By hash, so that a chain that moves meanwhile cannot put another block at its height.
                .read_block(heads.latest.block_ref(), self.settings.proof)
                .await?
        } else {
            self.pipeline.read_range(range, self.settings.proof).await?
        };
        // A range is read by height: only its parent shows on which branch it was.
        if span.parent_hash != Some(from.hash) {
            return self.rewind(from, lease).await;
        }
        self.write(Some(from), &span, lease).await
    }

    fn reads(&self, range: &RangeInclusive<u64>) {
        let (first, last) = (range.start(), range.end());
        let what = format!("reading blocks {first} to {last} from the endpoints");
        self.health.begins(WaitsFor::Endpoints, what);
    }

    async fn write(&self, from: Option<BlockRef>, span: &Span, lease: &Lease) -> Result<Outcome, Error> {
        let (first, last) = (span.range.start(), span.range.end());
        let what = format!("writing blocks {first} to {last} to the archive and the tables");
        self.health.begins(WaitsFor::Stores, what);
        let applied = match self.pipeline.write(span, Move::Head { from, lease }).await {
            // A backfill was ahead, going by its own endpoints. The holder of the lease decides, so those blocks are taken back
            // and read again.
            Err(Error::Sink(SinkError::CoveredAhead { .. })) => {
                return self.disown(from, *span.range.start(), lease).await;
            }
            applied => applied?,
        };
        info!(
            block = *span.range.end(),
            blocks = span.blocks.len(),
            facts = applied.facts.to_string(),
            proof = span.proof.as_str(),
            "applied"
        );
        Ok(Outcome::Moved)
    }

    /// Takes back what a backfill wrote at `first` and above, before the head came there: it may be of another branch.
    async fn disown(&self, from: Option<BlockRef>, first: u64, lease: &Lease) -> Result<Outcome, Error> {
        let undone = commit::disown(&self.pipeline.store, from, first, lease).await?;
        warn!(
            first,
            facts = undone.to_string(),
            "blocks above the checkpoint were covered; taken back"
        );
        Ok(Outcome::Moved)
    }

    async fn compare(&self, from: BlockRef, latest: BlockRef, lease: &Lease) -> Result<Outcome, Error> {
        let kept = checkpoint::kept(&self.pipeline.store, self.pipeline.chain).await?;
        match kept.iter().find(|block| block.number == latest.number) {
            // An ancestor of the checkpoint: the endpoints lag, and nothing has to be undone.
            Some(block) if block.hash == latest.hash => Ok(Outcome::Below {
                head: latest.number,
                checkpoint: from.number,
            }),
            Some(_) => self.rewind(from, lease).await,
            None if latest.number == from.number => self.rewind(from, lease).await,
            // Below everything that is kept: the archive shows whether the chain became shorter or an endpoint is far behind.
            None if ancestor::left_below(&self.pipeline, latest.number, self.settings.start_block).await? => {
                self.rewind(from, lease).await
            }
            None => Err(Error::Stalled(format!(
                "every endpoint's head ({latest}) is far below the checkpoint ({from})"
            ))),
        }
    }

    async fn rewind(&self, from: BlockRef, lease: &Lease) -> Result<Outcome, Error> {
        let what = format!("looking for the block below {from} that is still on the chain");
        self.health.begins(WaitsFor::Endpoints, what);
        let ancestor = ancestor::find(&self.pipeline, self.settings.start_block, from.number).await?;
        // The checkpoint is still on the chain, so there is nothing to undo: waiting lets the endpoints settle what follows it.
        if ancestor == from {
            return Err(Error::Stalled(format!(
                "endpoints disagree about what follows block {from}"
            )));
        }
        let rewound = commit::rewind(&self.pipeline.store, self.pipeline.chain, from, ancestor, lease).await?;
        self.pipeline.metrics.reorgs.inc();
        self.pipeline
            .metrics
            .rewound_blocks
            .inc_by(from.number - ancestor.number);
        warn!(%from, %ancestor, facts = rewound.to_string(), "the chain left the stored branch; rewound");
        Ok(Outcome::Moved)
    }
}
