//! A chain read for its registered contracts holds of them what a chain read for all holds, sales included.
//!
//! The laws are those of the other files; here each is held with half of the contracts that trade registered at first.

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::Address;
use decoders::block::ChainId;
use decoders::fact::{Facts, Sale};
use sinks::commit::{self, Move};
use sinks::digest::{TableDigest, digest};
use sinks::progress::{checkpoint, coverage};
use sinks::store::Store;
use testchain::simulation::{Books, Settings, Step};
use testkit::database::Database;
use testkit::mongo::MongoDatabase;
use testkit::outbox;
use testkit::patience::eventually;
use testkit::tables::Tables;

use crate::harness::chain::Chain;
use crate::harness::daemon::Running;
use crate::harness::program::{Program, Setup};
use crate::harness::{seeds, spans};

/// Blocks between head and finalized block.
const FINALIZED_DEPTH: u64 = 8;
/// The call that reads the rest of one transaction.
const RECEIPT: &str = "eth_getTransactionReceipt";

/// A chain of which some contracts are registered.
struct Scope {
    chain: Chain,
    registered: BTreeSet<Address>,
    /// One that trades, too, and is registered later.
    later: Address,
}

impl Scope {
    async fn start(seed: u64, blocks: u64) -> Scope {
        let chain = Chain::start(Settings::market(seed), blocks, FINALIZED_DEPTH).await;
        let traded = traded(chain.simulation.books(), chain.head().number);
        assert!(traded.len() > 3, "seed {seed}: {} contracts trade", traded.len());
        Scope {
            registered: traded[1..].iter().step_by(2).copied().collect(),
            later: traded[0],
            chain,
        }
    }

    fn id(&self) -> ChainId {
        self.chain.id()
    }

    /// The configuration; `lines` are further ones of the chain.
    fn setup(&self, database: &Database, lines: &str) -> Setup {
        let mut setup = Setup::new(database, self.id(), &[self.chain.server.http_url()]);
        setup.chain_lines = format!("scope = \"contracts\"\n{lines}\n");
        for contract in &self.registered {
            let row = format!(
                "[[chains.contracts]]\nname = \"{contract}\"\naddress = \"{contract:#x}\"\nstandard = \"custom\"\n"
            );
            setup.chain_lines.push_str(&row);
        }
        setup
    }

    /// Registers the contract that is still missing on a running daemon, and lets the chain grow until what was applied without it
    /// is final: its gap ends there.
    async fn register(&mut self, program: &Program, store: &Store) {
        let (chain, address) = (self.id().to_string(), format!("{:#x}", self.later));
        let row = ["--chain", &chain, "--address", &address, "--name", "Later"];
        let arguments = [&["registry", "contracts", "add"][..], &row, &["--standard", "custom"]].concat();
        program.run(&arguments).await;
        self.registered.insert(self.later);
        eventually("the daemon reads the contract", async || {
            let covered = coverage::read(store, self.id()).await.unwrap();
            covered.iter().any(|run| run.source == address).then_some(())
        })
        .await;
        self.chain.grow(FINALIZED_DEPTH + 1);
    }

    /// Returns once `store` stands at the head and covers every registered contract up to it.
    async fn indexed(&self, store: &Store, context: &str) {
        let head = self.chain.head();
        let wanted: Vec<_> = self
            .registered
            .iter()
            .map(|contract| indexer::pipeline::wanted(contract, 0))
            .collect();
        let what = format!("{context}: the contracts are indexed up to block {head}");
        eventually(&what, async || {
            let stored = checkpoint::read(store, self.id()).await.unwrap()?;
            let missing = coverage::missing(store, self.id(), &wanted, 0..=head.number);
            (stored.block == head && missing.await.unwrap().is_empty()).then_some(())
        })
        .await;
    }

    /// Asserts that `store` holds what the books state of the contracts, and what an index of the whole chain holds of them.
    async fn assert_true(&self, store: &Store, context: &str) {
        let (books, height) = (self.chain.simulation.books(), self.chain.head().number);
        let expected = Tables::of(books, height).only(books, &self.registered);
        assert!(!expected.trades.sales.is_empty(), "{context}: nothing was sold");
        Tables::read(store, self.id()).await.assert_equals(&expected, context);
        let reference = Database::new().await;
        assert_eq!(
            digest(store, self.id()).await.unwrap(),
            self.whole_digest(&reference).await,
            "{context}: digests"
        );
        let facts = outbox::fact_ids(store, self.id()).await;
        outbox::assert_tells(&outbox::pending(store, self.id()).await, &facts, context);
    }

    /// The digests of what a reader of every log finds, as far as it is of the registered contracts.
    async fn whole_digest(&self, database: &Database) -> Vec<TableDigest> {
        for blocks in self.chain.ledger.range(0, self.chain.head().number).chunks(50) {
            let blocks: Vec<_> = blocks.iter().map(AsRef::as_ref).collect();
            let mut facts = spans::facts(self.id(), &blocks, &self.chain.simulation.answers());
            facts.contracts = self.registered.iter().copied().collect();
            let step = Move::Backfill { branch: 0 };
            commit::apply(&database.store, &facts, step).await.unwrap();
        }
        digest(&database.store, self.id()).await.unwrap()
    }

    async fn replayed(&self, program: &Program) -> String {
        let (chain, head) = (self.id().to_string(), self.chain.head().number.to_string());
        program
            .run(&["replay", "--chain", &chain, "--from", "0", "--to", &head])
            .await
    }
}

/// The contracts whose tokens are sold up to `height`.
fn traded(books: &Books, height: u64) -> Vec<Address> {
    let statistics = books.collection_statistics(height).into_iter();
    statistics
        .filter(|(_, stated)| stated.sales > 0)
        .map(|(contract, _)| contract)
        .collect()
}

/// Applies the blocks of `chain`, read whole, once for each of these sets of registered contracts.
async fn apply(store: &Store, chain: &Chain, distort: fn(&mut Facts), registered: &[&[Address]]) -> Vec<TableDigest> {
    for contracts in registered {
        for blocks in chain.ledger.range(0, chain.head().number).chunks(7) {
            let blocks: Vec<_> = blocks.iter().map(AsRef::as_ref).collect();
            let mut facts = spans::facts(chain.id(), &blocks, &chain.simulation.answers());
            distort(&mut facts);
            facts.contracts = contracts.to_vec();
            commit::apply(store, &facts, Move::Backfill { branch: 0 })
                .await
                .unwrap();
        }
    }
    digest(store, chain.id()).await.unwrap()
}

/// Makes of every sale a bundle with another contract's token.
fn bundle(facts: &mut Facts) {
    let sold: BTreeSet<Address> = facts.sales.iter().map(|sale| sale.contract).collect();
    let other = |contract: Address| {
        sold.iter()
            .copied()
            .find(|other| *other != contract)
            .unwrap_or(contract)
    };
    let beside = |sale: &Sale| Sale {
        contract: other(sale.contract),
        item: sale.item + 100,
        ..sale.clone()
    };
    let beside: Vec<Sale> = facts.sales.iter().map(beside).collect();
    facts.sales.extend(beside);
}

#[tokio::test(flavor = "multi_thread")]
async fn law_1_contracts_end_the_same_in_whatever_order_they_are_registered() {
    let chain = Chain::start(Settings::market(332), 40, FINALIZED_DEPTH).await;
    let mut sold = BTreeMap::<Address, BTreeSet<Address>>::new();
    let blocks = chain.ledger.range(0, chain.head().number);
    let blocks: Vec<_> = blocks.iter().map(AsRef::as_ref).collect();
    for sale in spans::facts(chain.id(), &blocks, &chain.simulation.answers()).sales {
        sold.entry(sale.market).or_default().insert(sale.contract);
    }
    let (market, tokens) = sold.iter().find(|(_, tokens)| tokens.len() > 1).unwrap();
    let (market, one, two) = (*market, *tokens.first().unwrap(), *tokens.last().unwrap());
    let (at_once, in_turn) = (Database::new().await, Database::new().await);
    for (distort, all, first) in [
        (bundle as fn(&mut Facts), &[one, two][..], &[two][..]),
        (unchanged, &[market, one], &[market]),
        (unchanged, &[market, one], &[one]),
        (bundle, &[market, one, two], &[one, two]),
    ] {
        let expected = apply(&at_once.cleared().await, &chain, distort, &[all]).await;
        let rest: Vec<Address> = all.iter().filter(|one| !first.contains(one)).copied().collect();
        // What is registered later is read beside the others or alone.
        for later in [all, &rest] {
            let stated = apply(&in_turn.cleared().await, &chain, distort, &[first, later]).await;
            assert_eq!(stated, expected, "{first:?}, then {later:?}");
        }
    }
}

fn unchanged(_: &mut Facts) {}

#[tokio::test(flavor = "multi_thread")]
async fn registered_contracts_say_in_every_law_what_they_say_on_a_chain_that_is_read_whole() {
    // The head is read by whole blocks of receipts, by logs and receipts of single transactions, and by what cannot be proven.
    let ways = ["", "integrity_head = \"bloom\"", "integrity_head = \"chained\""];
    for (seed, way) in seeds(&[302, 304, 306]).into_iter().zip(ways.iter().cycle()) {
        let mut scope = Scope::start(seed, 40).await;
        let (database, mongo) = (Database::new().await, MongoDatabase::new());
        let setup = scope.setup(&database, way);
        let in_mongo = seed % 4 == 0;
        let program = Program::new(&if in_mongo { setup.archived_in(&mongo) } else { setup });
        let mut daemon = Running::start(&program, None).await;
        for (branch, depth, blocks) in [(1, 3, 9), (2, 20, 21), (3, 5, 3), (4, 2, 6)] {
            let context = format!("seed {seed}, before branch {branch}");
            scope.indexed(&database.store, &context).await;
            scope.chain.play(Step::Reorg { depth, blocks, branch });
            if branch == 2 {
                daemon.stop().await;
                daemon = Running::start(&program, None).await;
            }
        }
        let context = format!("seed {seed}, followed");
        scope.indexed(&database.store, &context).await;
        scope.assert_true(&database.store, &context).await;

        scope.register(&program, &database.store).await;
        let context = format!("seed {seed}, with a contract registered later");
        scope.indexed(&database.store, &context).await;
        daemon.stop().await;
        scope.assert_true(&database.store, &context).await;

        let pending = outbox::pending(&database.store, scope.id()).await;
        let output = scope.replayed(&program).await;
        assert!(
            output.contains(" 0 new, 0 retracted"),
            "{context}: replay printed {output:?}"
        );
        let context = format!("seed {seed}, replayed");
        scope.assert_true(&database.store, &context).await;
        assert_eq!(outbox::pending(&database.store, scope.id()).await, pending, "{context}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn single_receipts_are_read_in_gaps_alone_and_in_a_later_contract_s_gap_for_that_contract_alone() {
    let seed = 312;
    let mut scope = Scope::start(seed, 80).await;
    let database = Database::new().await;
    let program = Program::new(&scope.setup(&database, ""));
    let daemon = Running::start(&program, None).await;
    scope.indexed(&database.store, "the gap").await;
    let receipts = || scope.chain.server.counts().calls_of(RECEIPT);
    let transactions = scope.transactions_of(&scope.registered.clone());
    let read = receipts();
    assert!(
        read > 0 && read <= transactions,
        "{read} receipts of {transactions} transactions"
    );

    scope.chain.grow(20);
    scope.indexed(&database.store, "the head").await;
    let receipts = || scope.chain.server.counts().calls_of(RECEIPT);
    assert_eq!(receipts(), read, "whole blocks of receipts hold what is needed");

    scope.register(&program, &database.store).await;
    scope.indexed(&database.store, "another gap").await;
    let receipts = || scope.chain.server.counts().calls_of(RECEIPT);
    let transactions = scope.transactions_of(&BTreeSet::from([scope.later]));
    let read = receipts() - read;
    assert!(
        read > 0 && read <= transactions,
        "{read} receipts of {transactions} transactions"
    );
    daemon.stop().await;
    scope.assert_true(&database.store, "with another contract").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_without_receipts_goes_on_and_tells_its_sales_once_an_endpoint_has_them() {
    let mut scope = Scope::start(322, 60).await;
    scope.chain.faults.change(|faults| {
        faults.missing_methods = vec![RECEIPT.into(), "eth_getBlockReceipts".into()];
    });
    let database = Database::new().await;
    let program = Program::new(&scope.setup(&database, ""));
    let daemon = Running::start(&program, None).await;
    scope.indexed(&database.store, "without receipts").await;
    daemon.stop().await;
    let (books, height) = (scope.chain.simulation.books(), scope.chain.head().number);
    let expected = Tables::of(books, height).only(books, &scope.registered);
    let stated = Tables::read(&database.store, scope.id()).await;
    assert_eq!((stated.facts, stated.owners), (expected.facts, expected.owners));
    assert!(stated.trades.sales.len() < expected.trades.sales.len());

    // Only final blocks are replayed.
    scope.chain.faults.clear();
    scope.chain.grow(FINALIZED_DEPTH + 1);
    let daemon = Running::start(&program, None).await;
    scope.indexed(&database.store, "with receipts").await;
    daemon.stop().await;
    let (chain, head) = (scope.id().to_string(), height.to_string());
    let output = program
        .run(&["replay", "--chain", &chain, "--from", "0", "--to", &head, "--fetch"])
        .await;
    assert!(output.contains(" 0 retracted"), "{output}");
    scope.assert_true(&database.store, "fetched").await;
}

impl Scope {
    /// How many transactions hold logs of `contracts`.
    fn transactions_of(&self, contracts: &BTreeSet<Address>) -> u64 {
        let blocks = self.chain.ledger.range(0, self.chain.head().number);
        let receipts = blocks.iter().flat_map(|block| &block.receipts);
        let touching = receipts.filter(|receipt| receipt.logs.iter().any(|log| contracts.contains(&log.address)));
        touching.count() as u64
    }
}
