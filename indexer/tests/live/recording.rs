//! The recording in the repository: the tables, the demo and the node that was recorded agree.

use std::collections::{BTreeMap, BTreeSet};
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use alloy_primitives::{Address, Bytes, U256};
use decoders::block::ChainId;
use indexer::database;
use serde_json::Value;
use sinks::digest::digest;
use sinks::store::Store;
use testchain::faults::Faults;
use testchain::recording::{self, Recorded};
use testchain::simulation::Token;
use testkit::database::Database;
use testkit::mongo::MongoDatabase;
use testkit::patience::eventually;
use testkit::tables::{Quantity, Stats, Tables};

use crate::harness::program::{Program, Setup};

/// The recorded chain.
const CHAIN: ChainId = ChainId(31337);

#[tokio::test(flavor = "multi_thread")]
async fn the_recording_backfilled_and_replayed_holds_what_its_node_answered() {
    let expected = Expected::read();
    let ledger = recorded().into_ledger();
    let server = testchain::server::serve(ledger, Faults::new(0), "127.0.0.1:0".parse().unwrap())
        .await
        .unwrap();
    let (database, mongo) = (Database::new().await, MongoDatabase::new());
    let setup = Setup::new(&database, CHAIN, &[server.http_url()]).archived_in(&mongo);
    let program = Program::new(&setup);
    let (chain, last) = (CHAIN.to_string(), expected.last.to_string());
    let range = ["--chain", &chain, "--from", "0", "--to", &last];
    let answered = program.run(&[&["backfill"], &range[..]].concat()).await;
    assert!(
        answered.starts_with(&format!("{} blocks, ", expected.last + 1)),
        "{answered}"
    );
    expected.assert_matches(&Tables::read(&database.store, CHAIN).await, "backfilled");
    let digests = digest(&database.store, CHAIN).await.unwrap();

    // The archive alone holds the same, with no endpoint to ask.
    server.stop().await;
    let answered = program.run(&[&["replay"], &range[..]].concat()).await;
    assert!(
        answered.contains(" facts as before, 0 new, 0 retracted\n"),
        "{answered}"
    );
    assert!(!answered.contains("not in the archive"), "{answered}");
    assert_eq!(digest(&database.store, CHAIN).await.unwrap(), digests, "replayed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_reads_what_an_older_archive_lacks_where_it_may_ask() {
    let expected = Expected::read();
    let server = testchain::server::serve(recorded().into_ledger(), Faults::new(0), "127.0.0.1:0".parse().unwrap())
        .await
        .unwrap();
    let database = Database::new().await;
    let url = server.http_url();
    let program = Program::new(&Setup::new(&database, CHAIN, std::slice::from_ref(&url)));
    let (chain, last) = (CHAIN.to_string(), expected.last.to_string());
    let range = ["--chain", &chain, "--from", "0", "--to", &last];
    program.run(&[&["backfill"], &range[..]].concat()).await;
    let digests = digest(&database.store, CHAIN).await.unwrap();
    let held = async || -> i64 {
        sqlx::query_scalar("select count(*) from indexer_service.raw_transactions")
            .fetch_one(&database.store.pool)
            .await
            .unwrap()
    };
    let archived = held().await;
    assert!(archived > 50, "{archived} transactions are archived");
    sqlx::query("truncate indexer_service.raw_transactions")
        .execute(&database.store.pool)
        .await
        .unwrap();

    let answered = program.run(&[&["replay"], &range[..]].concat()).await;
    assert!(
        answered.contains(&format!("{archived} transactions and answers")),
        "{answered}"
    );
    assert!(answered.contains("with --fetch they are read"), "{answered}");
    let answered = program
        .run(&[&["replay"], &range[..], &["--fetch", "--rpc", &url]].concat())
        .await;
    assert!(!answered.contains("transactions and answers"), "{answered}");
    assert_eq!(held().await, archived);
    assert_eq!(digest(&database.store, CHAIN).await.unwrap(), digests, "fetched");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_says_what_the_node_said_and_a_second_start_resumes_and_changes_nothing() {
    let expected = Expected::read();
    let demo = Demo::new();
    let first = demo.run(&["--once"]).await;
    assert!(
        first.starts_with(&format!("indexing {} blocks", expected.last + 1)),
        "{first}"
    );
    expected.assert_summed_up_by(&first);
    let kept = demo.look(async |store| {
        expected.assert_matches(&Tables::read(store, CHAIN).await, "the demo");
        digest(store, CHAIN).await.unwrap()
    });
    let kept = kept.await;

    let second = demo.run(&["--once"]).await;
    assert!(
        second.starts_with(&format!("resuming after block {0} of {0}\n", expected.last)),
        "{second}"
    );
    assert_eq!(summary(&second), summary(&first), "the second summary");
    assert_eq!(
        demo.look(async |store| digest(store, CHAIN).await.unwrap()).await,
        kept,
        "the second start"
    );
    demo.serves_until_interrupted(&expected).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_demo_interrupted_in_the_middle_ends_well_and_the_next_one_goes_on() {
    let expected = Expected::read();
    let demo = Demo::new();
    let mut process = demo.start(&[]);
    eventually("the demo has written something", async || {
        process.log().contains("\"applied\"").then_some(())
    })
    .await;
    process.signal("INT");
    assert!(process.end().await.success(), "interrupted, it ends well");
    assert!(
        !process.stdout().contains("refused logs"),
        "it was interrupted before its summary"
    );

    let answered = demo.run(&["--once"]).await;
    assert!(answered.starts_with("resuming after block "), "{answered}");
    expected.assert_summed_up_by(&answered);
    demo.look(async |store| expected.assert_matches(&Tables::read(store, CHAIN).await, "gone on"))
        .await;
}

/// The demo with a folder of its own.
struct Demo {
    program: Program,
    folder: String,
    _taken: TcpListener,
}

impl Demo {
    fn new() -> Demo {
        // An address that is taken, for which the demo takes another.
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut setup = Setup::embedded(CHAIN, &[]);
        setup.listen = taken.local_addr().unwrap().to_string();
        let program = Program::new(&setup);
        let config = program.config();
        let folder = config.resolve(&config.database.data_dir).display().to_string();
        Demo {
            program,
            folder,
            _taken: taken,
        }
    }

    fn start(&self, arguments: &[&str]) -> crate::harness::program::Process {
        self.program
            .start(&[&["demo", "--data-dir", &self.folder], arguments].concat())
    }

    async fn run(&self, arguments: &[&str]) -> String {
        let mut process = self.start(arguments);
        process.succeeds().await;
        process.assert_no_panic();
        process.stdout()
    }

    /// Opens the demo's database while no demo runs.
    async fn look<T>(&self, look: impl AsyncFnOnce(&Store) -> T) -> T {
        let database = database::open(&self.program.config()).await.unwrap();
        let seen = look(&database.store).await;
        database.close().await;
        seen
    }

    /// Without `--once`: serves health, metrics and the API, keeps others from its folder, and ends well at SIGINT.
    async fn serves_until_interrupted(&self, expected: &Expected) {
        let mut process = self.start(&[]);
        let address = eventually("the demo serves", async || {
            assert!(process.ended().is_none(), "the demo has ended");
            let answered = process.stdout();
            let address = answered.split_once("serving ")?.1.split_once("/v1/status")?.0;
            Some(address.to_owned())
        })
        .await;
        let get = async |path: &str| {
            let answer = reqwest::get(format!("{address}{path}")).await.unwrap();
            (answer.status().as_u16(), answer.text().await.unwrap())
        };
        for path in ["/readyz", "/healthz"] {
            assert_eq!(get(path).await.0, 200, "{path}");
        }
        let (code, metrics) = get("/metrics").await;
        assert!(code == 200 && metrics.contains("# TYPE indexer_"), "{metrics}");
        let (code, status) = get("/v1/status").await;
        let status: Value = serde_json::from_str(&status).unwrap();
        let chain = &status["chains"][0];
        assert_eq!(
            (code, &chain["checkpoint"]["number"]),
            (200, &expected.last.into()),
            "{status}"
        );
        assert_eq!(chain["coverage"]["erc721"]["missing_blocks"], 0, "{status}");

        for arguments in [
            &["demo", "--once", "--data-dir", &self.folder][..],
            &["migrate"],
            &["status"],
        ] {
            self.program
                .fails(arguments, 4, &["in use by another process", "stop that one"])
                .await;
        }
        process.signal("INT");
        assert!(process.end().await.success(), "interrupted, the demo ends well");
        process.assert_no_panic();
    }
}

/// What the demo prints from the first line of its summary on.
fn summary(answered: &str) -> &str {
    answered
        .split_once("\n\n")
        .unwrap_or_else(|| panic!("no summary in {answered}"))
        .1
}

/// What the recorded node reported at the last block.
#[derive(Debug, Default)]
struct Expected {
    last: u64,
    owners: BTreeMap<Token, Address>,
    burned: BTreeSet<Token>,
    balances: BTreeMap<(Token, Address), Quantity>,
    counters: BTreeMap<Address, [u64; 3]>,
}

impl Expected {
    fn read() -> Expected {
        let node = node();
        let mut expected = Expected {
            last: node["head"]["number"].as_u64().unwrap(),
            ..Expected::default()
        };
        for collection in node["collections"].as_array().unwrap() {
            let contract: Address = collection["address"].as_str().unwrap().parse().unwrap();
            let count = |kind: &str| collection["counts"][kind].as_u64().unwrap();
            expected
                .counters
                .insert(contract, ["transfers", "mints", "burns"].map(count));
            let token = |id: &Value| Token {
                contract,
                id: number(id),
            };
            expected
                .burned
                .extend(collection["burned"].as_array().into_iter().flatten().map(token));
            for (owner, ids) in collection["owners"].as_object().into_iter().flatten() {
                let owner: Address = owner.parse().unwrap();
                expected
                    .owners
                    .extend(ids.as_array().unwrap().iter().map(|id| (token(id), owner)));
            }
            for (holder, held) in collection["balances"].as_object().into_iter().flatten() {
                let holder: Address = holder.parse().unwrap();
                for (id, quantity) in held.as_object().unwrap() {
                    expected.balances.insert(
                        (token(&id.as_str().into()), holder),
                        quantity.as_str().unwrap().to_owned(),
                    );
                }
            }
        }
        expected
    }

    /// Transfers, mints and burns of all collections.
    fn kinds(&self) -> [u64; 3] {
        let sum = |kind: usize| self.counters.values().map(|kinds| kinds[kind]).sum();
        [sum(0), sum(1), sum(2)]
    }

    /// Items sold, by the books of the script that played the market.
    fn sales(&self) -> usize {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../recordings/market.sales.json.gz");
        let books = flate2::read::GzDecoder::new(std::fs::File::open(path).unwrap());
        let books: Value = serde_json::from_reader(books).unwrap();
        let sales = books["sales"].as_array().unwrap().iter();
        sales.map(|sale| sale["items"].as_array().unwrap().len()).sum()
    }

    fn facts(&self) -> u64 {
        self.kinds().iter().sum()
    }

    /// Live tokens and their holders.
    fn holdings(&self) -> BTreeMap<(Token, Address), Quantity> {
        let single = self
            .owners
            .iter()
            .map(|(token, owner)| ((*token, *owner), "1".to_owned()));
        single.chain(self.balances.clone()).collect()
    }

    fn stats(&self) -> BTreeMap<Address, Stats> {
        let (mut items, mut owners) = (BTreeSet::new(), BTreeSet::new());
        for ((token, owner), _) in self.holdings() {
            items.insert(token);
            owners.insert((token.contract, owner));
        }
        let of = |(contract, kinds): (&Address, &[u64; 3])| {
            let stats = Stats {
                items: items.iter().filter(|token| token.contract == *contract).count() as u64,
                owners: owners.iter().filter(|(owned, _)| owned == contract).count() as u64,
                kinds: *kinds,
            };
            (*contract, stats)
        };
        self.counters.iter().map(of).collect()
    }

    fn assert_matches(&self, tables: &Tables, context: &str) {
        assert!(
            self.owners.len() > 1000 && self.balances.len() > 100,
            "{context}: the node was asked"
        );
        assert_eq!(tables.owners, self.owners, "{context}: owners");
        assert_eq!(tables.burned, self.burned, "{context}: burned tokens");
        assert_eq!(tables.balances, self.balances, "{context}: balances");
        assert_eq!(tables.holdings, self.holdings(), "{context}: the view of all holdings");
        assert_eq!(tables.counters, self.counters, "{context}: counters");
        assert_eq!(tables.stats, self.stats(), "{context}: collection stats");
        assert_eq!(tables.facts.len() as u64, self.facts(), "{context}: facts");
        assert_eq!(tables.refused, BTreeSet::new(), "{context}: refused logs");
    }

    /// The totals a person can check.
    fn assert_summed_up_by(&self, answered: &str) {
        let [transfers, mints, burns] = self.kinds();
        let stats = self.stats();
        let live: u64 = stats.values().map(|stats| stats.items).sum();
        let totals = format!(
            "{} blocks (0 to {}) of {CHAIN}\n{mints} mints, {transfers} transfers, {burns} burns, {} sales, 0 refused logs; {live} live tokens in {} collections\n",
            self.last + 1,
            self.last,
            self.sales(),
            stats.len()
        );
        assert!(summary(answered).starts_with(&totals), "no {totals} in {answered}");
        for (
            contract,
            Stats {
                items,
                owners,
                kinds: [transfers, mints, burns],
            },
        ) in stats
        {
            let numbers = [items, owners, mints, transfers, burns].map(|number| number.to_string());
            let row = answered.lines().find(|line| line.contains(&format!("{contract:#x}")));
            let row = row.unwrap_or_else(|| panic!("no {contract:#x} in {answered}"));
            assert!(
                row.split_whitespace().skip(2).eq(numbers.iter()),
                "{row} does not show {numbers:?}"
            );
        }
    }
}

fn number(text: &Value) -> U256 {
    U256::from_str_radix(text.as_str().unwrap(), 10).unwrap()
}

/// The committed recording.
fn recorded() -> Recorded {
    recording::read(&folder().join("market.zst")).unwrap()
}

fn node() -> Value {
    serde_json::from_str(&std::fs::read_to_string(folder().join("market.expected.json")).unwrap()).unwrap()
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../recordings")
}

/// The creation code, arguments included, of the collections with these names.
pub(crate) fn creations(names: &[&str]) -> Vec<Bytes> {
    let (node, recorded) = (node(), recorded());
    let sent = recorded
        .blocks
        .iter()
        .flat_map(|block| block.transactions.iter().zip(&block.receipts));
    let mut created = BTreeMap::new();
    for (transaction, receipt) in sent.filter(|(transaction, _)| transaction.to.is_none()) {
        let verbatim: Value = serde_json::from_str(receipt.verbatim.as_ref().unwrap().get()).unwrap();
        created.insert(
            verbatim["contractAddress"].as_str().unwrap().to_lowercase(),
            transaction.input.clone(),
        );
    }
    let creation = |name: &&str| {
        let mut collections = node["collections"].as_array().unwrap().iter();
        let collection = collections.find(|collection| collection["name"] == **name).unwrap();
        created[collection["address"].as_str().unwrap()].clone()
    };
    names.iter().map(creation).collect()
}
