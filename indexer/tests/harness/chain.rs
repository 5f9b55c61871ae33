//! A simulated chain with its books, served over JSON-RPC.

use std::ops::RangeInclusive;
use std::sync::Arc;

use decoders::block::{BlockRef, ChainId};
use sinks::commit::{self, Move};
use sinks::digest::{TableDigest, digest};
use sinks::progress::{checkpoint, coverage};
use sinks::store::Store;
use testchain::faults::Faults;
use testchain::ledger::{Finality, Ledger};
use testchain::server::{self, Server};
use testchain::simulation::{Answers, Settings, Simulation, Step};
use testkit::database::Database;
use testkit::patience::eventually;
use testkit::tables::Tables;
use tokio::sync::OnceCell;

use super::spans;

/// Blocks per span where a chain is indexed without an endpoint.
const CLEAN_SPAN: usize = 50;

/// A chain that grows, and an endpoint without faults.
pub(crate) struct Chain {
    /// Its generator.
    pub(crate) simulation: Simulation,
    /// What endpoints serve.
    pub(crate) ledger: Ledger,
    /// The endpoint.
    pub(crate) server: Server,
    /// The endpoint's faults; none at first.
    pub(crate) faults: Arc<Faults>,
    /// Where the canonical chain is indexed for comparison; made when first needed.
    reference: OnceCell<Database>,
}

impl Chain {
    /// A chain of `blocks` blocks whose finalized block lies `finalized_depth` below its head.
    pub(crate) async fn start(settings: Settings, blocks: u64, finalized_depth: u64) -> Chain {
        let mut simulation = Simulation::new(settings);
        let finality = Finality {
            safe_depth: finalized_depth / 2,
            finalized_depth,
        };
        let ledger = Ledger::new(simulation.settings().chain_id, simulation.blocks(blocks), finality);
        let faults = Faults::new(simulation.settings().seed);
        let server = serve(&ledger, &faults, simulation.answers()).await;
        Chain {
            simulation,
            ledger,
            server,
            faults,
            reference: OnceCell::new(),
        }
    }

    /// The chain's name.
    pub(crate) fn id(&self) -> ChainId {
        ChainId(self.ledger.chain_id())
    }

    /// The canonical head.
    pub(crate) fn head(&self) -> BlockRef {
        let head = self.ledger.head().expect("the chain has a block");
        BlockRef {
            number: head.number,
            hash: head.hash,
        }
    }

    /// Appends blocks.
    pub(crate) fn grow(&mut self, blocks: u64) {
        self.simulation.play(Step::Advance { blocks }, &self.ledger);
    }

    /// Takes one step of a schedule.
    pub(crate) fn play(&mut self, step: Step) {
        self.simulation.play(step, &self.ledger);
    }

    /// Another endpoint over the same ledger, with faults of its own.
    pub(crate) async fn endpoint(&self, faults: &Arc<Faults>) -> Server {
        serve(&self.ledger, faults, self.simulation.answers()).await
    }

    /// What the tables must hold when everything up to the head is indexed.
    pub(crate) fn expected(&self) -> Tables {
        Tables::of(self.simulation.books(), self.head().number)
    }

    /// Returns once `store` stands at the head and covers everything from `start` up to it.
    pub(crate) async fn indexed(&self, store: &Store, start: u64, context: &str) {
        let head = self.head();
        eventually(
            &format!("{context}: everything up to block {head} is indexed"),
            async || {
                let stored = checkpoint::read(store, self.id()).await.unwrap()?;
                (stored.block == head && self.missing(store, start).await == 0).then_some(())
            },
        )
        .await;
    }

    /// Blocks from `start` up to the head that `store` does not cover.
    pub(crate) async fn missing(&self, store: &Store, start: u64) -> u64 {
        let (wanted, range) = (indexer::pipeline::everything(), start..=self.head().number);
        let gaps = coverage::missing(store, self.id(), &wanted, range).await.unwrap();
        gaps.iter().map(|gap| gap.end() - gap.start() + 1).sum()
    }

    /// The digests of the canonical blocks from `start` on, indexed once and in order.
    pub(crate) async fn clean_digest(&self, start: u64) -> Vec<TableDigest> {
        let database = self.reference.get_or_init(Database::new).await;
        let answers = self.simulation.answers();
        clean_digest(database, &self.ledger, &answers, start..=self.head().number).await
    }

    /// Asserts that `store` holds what the books state, and what a clean index of blocks `start` and up holds.
    pub(crate) async fn assert_true(&self, store: &Store, start: u64, context: &str) {
        Tables::read(store, self.id())
            .await
            .assert_equals(&self.expected(), context);
        assert_eq!(
            digest(store, self.id()).await.unwrap(),
            self.clean_digest(start).await,
            "{context}: digests"
        );
    }
}

/// The digests of the canonical blocks in `range`, indexed once and in order into `database`, which holds nothing else then.
pub(crate) async fn clean_digest(
    database: &Database,
    ledger: &Ledger,
    answers: &Answers,
    range: RangeInclusive<u64>,
) -> Vec<TableDigest> {
    let store = database.cleared().await;
    let chain = ChainId(ledger.chain_id());
    let blocks = ledger.range(*range.start(), *range.end());
    for chunk in blocks.chunks(CLEAN_SPAN) {
        let facts = spans::facts(chain, &chunk.iter().map(AsRef::as_ref).collect::<Vec<_>>(), answers);
        commit::apply(&store, &facts, Move::Backfill { branch: 0 })
            .await
            .unwrap();
    }
    digest(&store, chain).await.unwrap()
}

async fn serve(ledger: &Ledger, faults: &Arc<Faults>, answers: Arc<Answers>) -> Server {
    let listen = "127.0.0.1:0".parse().unwrap();
    server::serve_with_state(ledger.clone(), Arc::clone(faults), listen, answers)
        .await
        .unwrap()
}
