//! Real blocks through the real endpoint pool and pipeline: every transfer of an independent count, no other, and nothing more
//! proven than what can be.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Read;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use alloy_primitives::{B256, keccak256};
use decoders::block::{BlockRef, ChainId, Proof};
use flate2::read::GzDecoder;
use indexer::archive::Archive;
use indexer::backfill::{self, Progress};
use indexer::health::Metrics;
use indexer::pipeline::{Pipeline, everything, filter_of};
use indexer::stored::Interpreter;
use rpc::{EndpointSettings, Pool, PoolOptions};
use serde_json::Value;
use sinks::commit::Move;
use sinks::progress::coverage;
use sinks::store::Store;
use testchain::faults::Faults;
use testchain::recording::open_folder;
use testchain::server::{self, Server};
use tokio_util::sync::CancellationToken;

use testkit::database::Database;
use testkit::mongo::MongoDatabase;

testkit::on_real_blocks!(
    async fn every_real_block_is_indexed_in_runs,
    async fn every_real_block_is_indexed_singly_with_all_that_can_be_proven,
    async fn every_real_block_is_indexed_by_its_hash,
);

/// Header and receipt rules of its own: nothing of it can be proven.
const CRONOS: ChainId = ChainId(25);
/// Its logs are not in the table of expected transfers.
const CRYPTO_KITTIES: &str = "0x06012c8cf97bead5deae237070f9587f8e7a266d";
/// Neither are theirs.
const CRYPTO_PUNKS: [&str; 2] = [
    "0xb47e3cd837ddf8e4c57f05d70ab865de6e193bbb",
    "0x6ba6f2207e343923ba692e5cae646fb0f566db8d",
];

/// How the blocks are read.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// Unbroken runs as ranges, as `indexer backfill` reads history.
    Runs(Proof),
    /// Each block as a range of its own.
    Singly(Proof),
    /// Each block by its hash, as the head is read.
    ByHash,
}

async fn every_real_block_is_indexed_in_runs(folder: &Path) {
    index_everything(folder, Way::Runs(Proof::Bloom)).await;
}

async fn every_real_block_is_indexed_singly_with_all_that_can_be_proven(folder: &Path) {
    index_everything(folder, Way::Singly(Proof::Receipts)).await;
}

async fn every_real_block_is_indexed_by_its_hash(folder: &Path) {
    index_everything(folder, Way::ByHash).await;
}

async fn index_everything(folder: &Path, way: Way) {
    let fixtures = read(&folder.join("blocks"));
    let (database, mongo) = (Database::new().await, MongoDatabase::new());
    let archive = Arc::new(Archive::open(&mongo.url, &mongo.name, &database.store).await.unwrap());
    for (chain, served) in serve(&folder.join("blocks")).await {
        let pipeline = pipeline(chain, &served, &archive, &database.store).await;
        let blocks: Vec<&Fixture> = fixtures.iter().filter(|fixture| fixture.chain == chain).collect();
        take(&pipeline, &blocks, way).await;
        assert_proven(&database.store, &blocks, way).await;
    }
    assert_counted(&database.store, &fixtures).await;
    assert_listed(&database.store, folder).await;
    // No log of these blocks is malformed. Three are of markets that are asked about them. As ranges they are: the node runs no contract and
    // answers that the call reverted, but knows no state before its first block. By their hash they are read without asking.
    // Another fault needs its explanation.
    let faults: Vec<(String, i64, i32, String)> =
        sqlx::query_as("select chain_id::text, block_number, log_index, reason from indexer_service.decode_faults")
            .fetch_all(&database.store.pool)
            .await
            .unwrap();
    let faults: BTreeSet<(&str, i64, i32, &str)> = faults
        .iter()
        .map(|(chain, block, log_index, reason)| (chain.as_str(), *block, *log_index, reason.as_str()))
        .collect();
    let mut unanswered = BTreeSet::from([("eip155:1", 9_246_709, 24, "unanswered")]);
    if let Way::ByHash = way {
        unanswered
            .extend([(14_000_012, 106), (15_366_159, 504)].map(|(block, log)| ("eip155:1", block, log, "unanswered")));
    }
    assert_eq!(faults, unanswered, "{way:?}");
}

/// One endpoint per chain.
async fn serve(folder: &Path) -> Vec<(ChainId, Server)> {
    let mut servers = Vec::new();
    for recorded in open_folder(folder).unwrap() {
        let chain = ChainId(recorded.chain_id);
        let server = server::serve(recorded.into_ledger(), Faults::new(0), "127.0.0.1:0".parse().unwrap());
        servers.push((chain, server.await.unwrap()));
    }
    assert_eq!(
        servers.iter().map(|(chain, _)| chain.0).collect::<Vec<_>>(),
        [1, 25, 42161]
    );
    servers
}

async fn pipeline(chain: ChainId, server: &Server, archive: &Arc<Archive>, store: &Store) -> Pipeline {
    let url = server.http_url().parse().unwrap();
    let endpoint = EndpointSettings {
        id: 1,
        url,
        priority: 0,
        weight: 1,
        rate_limit: None,
    };
    let pool = Pool::connect(chain, vec![endpoint], PoolOptions::of(chain), CancellationToken::new())
        .await
        .unwrap();
    Pipeline {
        chain,
        endpoints: Arc::new(pool),
        archive: Arc::clone(archive),
        store: store.clone(),
        metrics: Metrics::new().chain(chain),
        filter: Arc::new(filter_of(chain, Vec::new())),
        wanted: everything().into(),
        stored: Arc::new(Interpreter::new(chain, store.clone(), Arc::clone(archive), Vec::new())),
        committed: Arc::default(),
        span_rows: usize::MAX,
        held: Arc::default(),
    }
}

/// Indexes the blocks.
async fn take(pipeline: &Pipeline, blocks: &[&Fixture], way: Way) {
    let fill = async |range: RangeInclusive<u64>, proof: Proof| {
        let (progress, cancel) = (Arc::<Progress>::default(), CancellationToken::new());
        backfill::fill(pipeline, range.clone(), proof, 1, &progress, &cancel)
            .await
            .unwrap();
        assert_eq!(
            progress.blocks().0,
            range.end() - range.start() + 1,
            "blocks {range:?} of {}",
            pipeline.chain
        );
    };
    match way {
        Way::Runs(proof) => {
            let numbers: Vec<u64> = blocks.iter().map(|block| block.number).collect();
            for run in numbers.chunk_by(|below, above| below + 1 == *above) {
                fill(run[0]..=run[run.len() - 1], proof).await;
            }
        }
        Way::Singly(proof) => {
            for block in blocks {
                fill(block.number..=block.number, proof).await;
            }
        }
        Way::ByHash => {
            for block in blocks {
                let reference = BlockRef {
                    number: block.number,
                    hash: block.hash,
                };
                let span = pipeline
                    .endpoints
                    .block_span(reference, &pipeline.filter, Proof::Receipts)
                    .await
                    .unwrap();
                assert_eq!(
                    (span.range.clone(), span.blocks.len()),
                    (block.number..=block.number, 1)
                );
                pipeline.write(&span, Move::Backfill { branch: 0 }).await.unwrap();
            }
        }
    }
}

/// Asserts that every block is covered for every source at the level that can be proven of it.
async fn assert_proven(store: &Store, blocks: &[&Fixture], way: Way) {
    let chain = blocks[0].chain;
    let (covered, wanted) = (coverage::read(store, chain).await.unwrap(), everything());
    let mut levels: BTreeMap<String, usize> = BTreeMap::new();
    for block in blocks {
        let holding = covered.iter().filter(|covered| covered.range.contains(&block.number));
        let (named, proofs): (BTreeSet<&str>, BTreeSet<&str>) =
            holding.map(|covered| (&covered.source[..], &covered.proof[..])).unzip();
        assert_eq!(
            named,
            wanted.iter().map(|wanted| &wanted.source[..]).collect(),
            "{way:?}: sources of block {} of {chain}",
            block.number
        );
        let possible = block.provable(way);
        assert!(
            proofs.len() == 1 && possible.contains(proofs.first().unwrap()),
            "{way:?}: block {} of {chain} counts as {proofs:?}, and {possible:?} can be proven",
            block.number
        );
        *levels.entry((*proofs.first().unwrap()).to_owned()).or_default() += 1;
    }
    let elsewhere: u64 = covered
        .iter()
        .filter(|covered| covered.source == "erc721")
        .map(|covered| covered.range.end() - covered.range.start() + 1)
        .sum();
    assert_eq!(
        elsewhere,
        blocks.len() as u64,
        "{way:?}: blocks of {chain} that no endpoint served"
    );
    println!("{way:?}: {chain}: {levels:?}");
}

/// Asserts that transfers by standard and kind are as many as the logs state.
async fn assert_counted(store: &Store, fixtures: &[Fixture]) {
    let rows: Vec<(String, String, String, i64)> = sqlx::query_as(
        "select chain_id::text, standard, type, count(*) from catalog_service.activities
         where type in ('transfer', 'mint', 'burn') group by 1, 2, 3",
    )
    .fetch_all(&store.pool)
    .await
    .unwrap();
    let stored: Counts = rows
        .into_iter()
        .map(|(chain, standard, kind, count)| ((chain, standard, kind), count))
        .collect();
    let mut counted = Counts::new();
    for fixture in fixtures {
        for (standard, kind, count) in fixture
            .receipts
            .iter()
            .flat_map(logs)
            .flat_map(|log| transfers(fixture.chain, log))
        {
            *counted
                .entry((fixture.chain.to_string(), standard.to_owned(), kind.to_owned()))
                .or_default() += count;
        }
    }
    counted.retain(|_, count| *count > 0);
    assert!(counted.values().sum::<i64>() > 3_000);
    assert_eq!(stored, counted);
}

type Counts = BTreeMap<(String, String, String), i64>;

/// Asserts that the rows of ERC-721 and ERC-1155 transfers are those that another program found.
async fn assert_listed(store: &Store, folder: &Path) {
    let rows: Vec<String> = sqlx::query_scalar(
        "select concat_ws(',', split_part(chain_id::text, ':', 2), block_number, block_hash, tx_hash, log_index, item, standard, contract,
                          token_number, from_address, to_address, quantity, type)
         from catalog_service.activities where contract <> $1 and standard <> 'cryptopunks'
           and type in ('transfer', 'mint', 'burn')",
    )
    .bind(CRYPTO_KITTIES)
    .fetch_all(&store.pool)
    .await
    .unwrap();
    let table = fs::read_to_string(folder.join("expected_transfers.csv")).unwrap();
    let expected: BTreeSet<&str> = table.lines().skip(1).collect();
    let stored: BTreeSet<&str> = rows.iter().map(String::as_str).collect();
    assert_eq!(stored.len(), rows.len(), "no row is there twice");
    let missed: Vec<&&str> = expected.difference(&stored).collect();
    let invented: Vec<&&str> = stored.difference(&expected).collect();
    assert!(
        missed.is_empty() && invented.is_empty(),
        "missed {missed:#?}, invented {invented:#?}"
    );
}

/// One file of the folder.
struct Fixture {
    chain: ChainId,
    number: u64,
    hash: B256,
    verified: Value,
    receipts: Vec<Value>,
}

impl Fixture {
    /// The levels that may come out, from what the collectors of the folder could recompute.
    fn provable(&self, way: Way) -> &'static [&'static str] {
        let recomputed = |what: &str| self.verified[what] == true;
        // The folder's README states of three blocks that their state roots were not recorded; of one of them they were.
        let rooted = self.receipts.iter().all(|receipt| receipt["root"].is_string());
        let wanted = match way {
            Way::Runs(proof) | Way::Singly(proof) => proof,
            Way::ByHash => Proof::Receipts,
        };
        match (recomputed("headerHash"), recomputed("receiptsRoot") || rooted, wanted) {
            (false, ..) => &["chained"],
            (true, true, Proof::Receipts) => &["receipts"],
            // A bloom that may hold a wanted log which is not there is settled by the receipts.
            (true, true, _) => &["bloom", "receipts"],
            // Before Byzantium receipts held state roots, which were not recorded. Without a second endpoint nothing
            // can show either that a bloom which seems to hold a wanted log is wrong.
            (true, false, _) => &["bloom", "chained"],
        }
    }
}

fn read(folder: &Path) -> Vec<Fixture> {
    let mut paths: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    let mut fixtures: Vec<Fixture> = paths.iter().map(|path| read_one(path)).collect();
    fixtures.sort_by_key(|fixture| (fixture.chain, fixture.number));
    assert!(
        fixtures
            .iter()
            .filter(|fixture| fixture.chain == CRONOS)
            .all(|fixture| fixture.verified["headerHash"] == false)
    );
    fixtures
}

fn read_one(path: &Path) -> Fixture {
    let mut text = String::new();
    GzDecoder::new(File::open(path).unwrap())
        .read_to_string(&mut text)
        .unwrap();
    let mut json: Value = serde_json::from_str(&text).unwrap();
    let number = json["block"]["number"].as_str().unwrap();
    Fixture {
        chain: ChainId(json["chainId"].as_u64().unwrap()),
        number: u64::from_str_radix(number.trim_start_matches("0x"), 16).unwrap(),
        hash: json["block"]["hash"].as_str().unwrap().parse().unwrap(),
        verified: json["verified"].take(),
        receipts: serde_json::from_value(json["receipts"].take()).unwrap(),
    }
}

fn logs(receipt: &Value) -> impl Iterator<Item = &Value> {
    receipt["logs"].as_array().into_iter().flatten()
}

/// Transfers a log states, as standard, kind and number: by signature, count of topics and address alone.
fn transfers(chain: ChainId, log: &Value) -> Vec<(&'static str, &'static str, i64)> {
    let topics: Vec<&str> = log["topics"]
        .as_array()
        .unwrap()
        .iter()
        .map(|topic| topic.as_str().unwrap())
        .collect();
    let Some((topic0, rest)) = topics.split_first() else {
        return Vec::new();
    };
    let is = |signature: &str| *topic0 == keccak256(signature).to_string();
    let data: Vec<&str> = words(log["data"].as_str().unwrap());
    let address = log["address"].as_str().unwrap().to_lowercase();
    let ethereum = chain == ChainId(1);
    if is("Transfer(address,address,uint256)") && rest.len() == 3 {
        return vec![("erc721", kind(rest[0], rest[1]), 1)];
    }
    if is("Transfer(address,address,uint256)") && ethereum && address == CRYPTO_KITTIES {
        return vec![("erc721", kind(data[0], data[1]), 1)];
    }
    if is("TransferSingle(address,address,address,uint256,uint256)") && rest.len() == 3 {
        return vec![("erc1155", kind(rest[1], rest[2]), 1)];
    }
    if is("TransferBatch(address,address,address,uint256[],uint256[])") && rest.len() == 3 {
        let ids = usize::from_str_radix(data[0], 16).unwrap() / 32;
        return vec![(
            "erc1155",
            kind(rest[1], rest[2]),
            i64::from_str_radix(data[ids], 16).unwrap(),
        )];
    }
    if !ethereum || !CRYPTO_PUNKS.contains(&&address[..]) {
        return Vec::new();
    }
    match () {
        () if is("Assign(address,uint256)") => vec![("cryptopunks", "mint", 1)],
        () if is("PunkTransfer(address,address,uint256)") => vec![("cryptopunks", kind(rest[0], rest[1]), 1)],
        () if is("PunkBought(uint256,uint256,address,address)") => vec![("cryptopunks", "transfer", 1)],
        () => Vec::new(),
    }
}

/// From no one, to no one, or from one to another.
fn kind(from: &str, to: &str) -> &'static str {
    let unused = |word: &str| word.trim_start_matches("0x").chars().all(|digit| digit == '0');
    match (unused(from), unused(to)) {
        (true, _) => "mint",
        (false, true) => "burn",
        (false, false) => "transfer",
    }
}

/// The 32-byte words of hexadecimal data.
fn words(data: &str) -> Vec<&str> {
    let data = data.trim_start_matches("0x");
    (0..data.len() / 64)
        .map(|word| &data[word * 64..(word + 1) * 64])
        .collect()
}
