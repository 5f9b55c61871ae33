//! One suite for both archives: what is put is read back, exactly and only the last put of each block, whatever happened between.

#![cfg(test)]

use std::collections::BTreeMap;
use std::ops::{Deref, RangeInclusive};
use std::time::Instant;

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use decoders::block::{Answer, Answers, Block, Call, ChainId, Context, Envelope, Envelopes, Log, Proof, Span};
use decoders::fact::Facts;
use decoders::failure::Class;
use indexer::archive::{Archive, ArchiveError, Note, log_id};
use mongodb::Client;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sinks::commit::{self, Move};
use sinks::error::SinkError;
use sinks::progress::intents::{self, Intent};
use sinks::store::{MIGRATOR, Store};
#[cfg(feature = "embedded")]
use sqlx::postgres::PgPoolOptions;
use sqlx::{AssertSqlSafe, Row as _};
use testkit::database::{Database, with_store};
use testkit::mongo::MongoDatabase;

const CHAIN: ChainId = ChainId(1);

/// Runs each named test on MongoDB, on PostgreSQL with one connection, and on the embedded PostgreSQL.
macro_rules! conformance {
    ($($test:ident),* $(,)?) => {
        mod mongo {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $test() {
                super::with_mongo(super::$test).await;
            })*
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $test() {
                super::with_postgres(super::$test).await;
            })*
        }
        #[cfg(feature = "embedded")]
        mod embedded {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $test() {
                super::with_embedded(super::$test).await;
            })*
        }
    };
}

conformance!(
    what_is_put_is_read_back,
    a_repeat_writes_nothing,
    the_last_put_of_a_range_stands_after_a_reorg,
    a_put_cut_short_is_finished_by_the_next,
    a_log_with_other_content_is_replaced,
    neighbours_and_other_chains_are_left_alone,
    writers_at_the_same_time_agree,
    a_late_writer_changes_nothing_that_is_read,
    what_a_writer_left_half_written_is_written_again,
    a_big_span_fits,
    any_history_of_puts_reads_as_the_last_one_of_each_block,
    a_broken_span_is_refused,
    a_context_is_kept_with_its_span,
    a_context_goes_with_its_logs,
    a_context_may_come_later,
    who_read_by_an_earlier_edition_and_is_late_changes_no_note,
    what_one_document_cannot_hold_is_kept_all_the_same,
);

async fn with_mongo<Running: Future<Output = ()> + Send + 'static>(test: fn(Place) -> Running) {
    let mongo = MongoDatabase::new();
    let (url, name) = (mongo.url.clone(), mongo.name.clone());
    with_store(2, move |store| async move {
        test(Place::open(&url, &name, &store).await).await;
    })
    .await;
}

async fn with_postgres<Running: Future<Output = ()> + Send + 'static>(test: fn(Place) -> Running) {
    with_store(1, move |store| async move {
        test(Place::open("", "unused", &store).await).await;
    })
    .await;
}

#[cfg(feature = "embedded")]
async fn with_embedded<Running: Future<Output = ()> + Send + 'static>(test: fn(Place) -> Running) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("postgres");
    // Starting and stopping block.
    let start = move || {
        pglite_oxide::PgliteServer::builder()
            .path(path)
            .database("postgres")
            .start()
            .unwrap()
    };
    let server = tokio::task::spawn_blocking(start).await.unwrap();
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .connect(&server.database_url())
        .await
        .unwrap();
    let store = Store::new(pool.clone());
    store.migrate().await.unwrap();
    let outcome = tokio::spawn(async move { test(Place::open("", "unused", &store).await).await }).await;
    pool.close().await;
    tokio::task::spawn_blocking(move || server.shutdown().unwrap())
        .await
        .unwrap();
    if let Err(failed) = outcome {
        std::panic::resume_unwind(failed.into_panic());
    }
}

/// An archive, and the tables in which its writers register.
#[derive(Clone)]
struct Place {
    archive: Archive,
    store: Store,
    /// URL and database of MongoDB, where the archive is there.
    mongo: Option<(String, String)>,
}

impl Place {
    async fn open(url: &str, database: &str, store: &Store) -> Place {
        Place {
            archive: Archive::open(url, database, store).await.unwrap(),
            store: store.clone(),
            mongo: (!url.is_empty()).then(|| (url.to_owned(), database.to_owned())),
        }
    }

    /// What stands beside archived logs, in their order.
    async fn notes(&self) -> Vec<Option<String>> {
        let Some((url, database)) = &self.mongo else {
            let notes = sqlx::query_scalar("select event_type from indexer_service.raw_events order by id");
            return notes.fetch_all(&self.store.pool).await.unwrap();
        };
        let client = Client::with_uri_str(url).await.unwrap();
        let events = client
            .database(database)
            .collection::<mongodb::bson::Document>("raw_events");
        let mut events = events
            .find(mongodb::bson::Document::new())
            .sort(mongodb::bson::doc! { "_id": 1 })
            .await
            .unwrap();
        let mut notes = Vec::new();
        while events.advance().await.unwrap() {
            notes.push(
                events
                    .deserialize_current()
                    .unwrap()
                    .get_str("event_type")
                    .ok()
                    .map(str::to_owned),
            );
        }
        notes
    }

    /// Registers a writer of the span.
    async fn begin(&self, span: &Span) -> Intent {
        let step = Move::Backfill { branch: 0 };
        intents::begin(&self.store, span.chain, span.range.clone(), &step)
            .await
            .unwrap()
    }

    /// Puts the span as a writer of its own, which never comes to commit it.
    async fn put(&self, span: &Span) -> Result<u64, ArchiveError> {
        let intent = self.begin(span).await;
        self.archive.put(span, &intent).await
    }

    /// Commits what was put under `intent`.
    async fn commit(&self, span: &Span, intent: &Intent) -> Result<(), SinkError> {
        let mut facts = Facts::of(span);
        (facts.sources, facts.parent_hash) = (vec!["archive"], None);
        let step = Move::Backfill { branch: 0 };
        commit::apply_archived(&self.store, &facts, step, Some(intent))
            .await
            .map(drop)
    }
}

impl Deref for Place {
    type Target = Archive;

    fn deref(&self) -> &Archive {
        &self.archive
    }
}

/// A store for archives that do not use one.
fn unused_store() -> Store {
    Store::new(sqlx::PgPool::connect_lazy("postgres://unused@127.0.0.1:1/none").unwrap())
}

/// Block `number` of the branch `branch`.
fn block(number: u64, branch: u64) -> Block {
    let hash = keccak256([number.to_be_bytes(), branch.to_be_bytes()].concat());
    Block {
        number,
        hash,
        time: 1_600_000_000 + 12 * number,
    }
}

/// A log of `block`, different for every index.
fn log(block: &Block, log_index: u32, data: Vec<u8>) -> Log {
    let seed = keccak256([&block.hash[..], &log_index.to_be_bytes()].concat());
    Log {
        block_number: block.number,
        log_index,
        tx_index: log_index / 2,
        tx_hash: keccak256(seed),
        address: Address::from_slice(&seed[..20]),
        topics: (0..log_index % 5)
            .map(|topic| keccak256([topic as u8, seed[0]]))
            .collect(),
        data: Bytes::from(data),
    }
}

/// A span over `range` on `branch` with `per_block` logs in each block.
fn span(range: RangeInclusive<u64>, branch: u64, per_block: u32) -> Span {
    let blocks: Vec<Block> = range.clone().map(|number| block(number, branch)).collect();
    let logs = blocks
        .iter()
        .flat_map(|block| (0..per_block).map(move |index| log(block, 3 * index, vec![index as u8; index as usize])))
        .collect();
    Span {
        chain: CHAIN,
        range,
        parent_hash: Some(B256::ZERO),
        blocks,
        logs,
        proof: Proof::Bloom,
        context: Context::default(),
    }
}

/// What the archive is to answer for `span`: only blocks with logs, nothing proven.
fn archived(span: &Span) -> Span {
    let with_logs: std::collections::BTreeSet<u64> = span.logs.iter().map(|log| log.block_number).collect();
    let blocks = span
        .blocks
        .iter()
        .filter(|block| with_logs.contains(&block.number))
        .copied()
        .collect();
    Span {
        parent_hash: None,
        proof: Proof::Chained,
        blocks,
        ..span.clone()
    }
}

async fn what_is_put_is_read_back(archive: Place) {
    let mut wanted = span(100..=120, 1, 6);
    wanted.logs.retain(|log| log.block_number % 3 != 0);
    let last = wanted.logs.last_mut().unwrap();
    (last.data, last.log_index) = (Bytes::from(vec![0xee; 1_000_000]), decoders::id::MAX_LOG_INDEX);
    assert_eq!(archive.put(&wanted).await.unwrap(), wanted.logs.len() as u64);
    assert_eq!(archive.read(CHAIN, 100..=120).await.unwrap(), archived(&wanted));
    let all = archive.read(CHAIN, 0..=u64::MAX).await.unwrap();
    assert_eq!((all.logs, all.range), (wanted.logs, 0..=u64::MAX));
    let none = archive.read(CHAIN, 121..=1_000).await.unwrap();
    assert!(none.blocks.is_empty() && none.logs.is_empty());
    archive.ping().await.unwrap();
}

async fn a_repeat_writes_nothing(archive: Place) {
    let wanted = span(5..=30, 1, 4);
    assert_eq!(archive.put(&wanted).await.unwrap(), 104);
    assert_eq!(archive.put(&wanted).await.unwrap(), 0);
    assert_eq!(archive.put(&span(7..=8, 1, 4)).await.unwrap(), 0);
    assert_eq!(archive.read(CHAIN, 5..=30).await.unwrap(), archived(&wanted));
}

async fn the_last_put_of_a_range_stands_after_a_reorg(archive: Place) {
    archive.put(&span(10..=20, 1, 5)).await.unwrap();
    assert_eq!(archive.put(&span(15..=20, 2, 3)).await.unwrap(), 18);
    assert_eq!(
        archive.read(CHAIN, 10..=14).await.unwrap(),
        archived(&span(10..=14, 1, 5))
    );
    assert_eq!(
        archive.read(CHAIN, 15..=20).await.unwrap(),
        archived(&span(15..=20, 2, 3))
    );
    // The branch turns out to hold nothing of interest.
    assert_eq!(archive.put(&span(18..=20, 3, 0)).await.unwrap(), 0);
    assert!(archive.read(CHAIN, 18..=20).await.unwrap().logs.is_empty());
    assert_eq!(archive.read(CHAIN, 15..=17).await.unwrap().logs.len(), 9);
}

async fn a_put_cut_short_is_finished_by_the_next(archive: Place) {
    let whole = span(1..=40, 1, 10);
    // A crash leaves any part of an unordered write behind, here every third log, beside leftovers of another branch.
    let mut part = whole.clone();
    let mut counted = 0;
    part.logs.retain(|_| {
        counted += 1;
        counted % 3 == 0
    });
    archive.put(&part).await.unwrap();
    archive.put(&span(30..=50, 2, 2)).await.unwrap();
    archive.put(&whole).await.unwrap();
    assert_eq!(archive.read(CHAIN, 1..=40).await.unwrap(), archived(&whole));
    assert_eq!(
        archive.read(CHAIN, 41..=50).await.unwrap(),
        archived(&span(41..=50, 2, 2))
    );
}

async fn a_log_with_other_content_is_replaced(archive: Place) {
    let stated = span(1..=3, 1, 4);
    let mut lie = stated.clone();
    lie.logs[5].data = Bytes::from_static(b"not what the chain emitted");
    lie.logs[6].topics = [B256::ZERO].into_iter().collect();
    archive.put(&lie).await.unwrap();
    assert_eq!(archive.put(&stated).await.unwrap(), 2);
    assert_eq!(archive.read(CHAIN, 1..=3).await.unwrap(), archived(&stated));
}

async fn neighbours_and_other_chains_are_left_alone(archive: Place) {
    let other = Span {
        chain: ChainId(2),
        ..span(1..=9, 1, 2)
    };
    let next = Span {
        chain: ChainId(u64::MAX >> 1),
        ..span(1..=9, 1, 2)
    };
    archive.put(&other).await.unwrap();
    archive.put(&next).await.unwrap();
    archive.put(&span(1..=9, 1, 2)).await.unwrap();
    archive.put(&span(4..=6, 7, 0)).await.unwrap();
    assert_eq!(archive.read(ChainId(2), 1..=9).await.unwrap(), archived(&other));
    assert_eq!(archive.read(next.chain, 1..=9).await.unwrap(), archived(&next));
    let left = archive.read(CHAIN, 1..=9).await.unwrap();
    assert_eq!(
        left.blocks.iter().map(|block| block.number).collect::<Vec<_>>(),
        [1, 2, 3, 7, 8, 9]
    );
}

async fn writers_at_the_same_time_agree(archive: Place) {
    let wanted = span(1..=200, 1, 20);
    let intent = archive.begin(&wanted).await;
    let puts = (0..4).map(|_| {
        let (archive, wanted, intent) = (archive.clone(), wanted.clone(), intent.clone());
        tokio::spawn(async move { archive.archive.put(&wanted, &intent).await })
    });
    for put in futures::future::join_all(puts).await {
        put.unwrap().unwrap();
    }
    assert_eq!(archive.read(CHAIN, 1..=200).await.unwrap(), archived(&wanted));
}

async fn a_late_writer_changes_nothing_that_is_read(archive: Place) {
    let (orphan, wanted) = (with_context(span(10..=20, 1, 5)), with_context(span(10..=20, 2, 3)));
    let late = archive.begin(&orphan).await;
    let next = archive.begin(&wanted).await;
    assert!(next.contested && next.number > late.number);
    archive.archive.put(&wanted, &next).await.unwrap();
    // Between the other's write and its commit, and after it: a server may take what a stopped process sent any time.
    archive.archive.put(&orphan, &late).await.ok();
    archive.archive.put(&wanted, &next).await.unwrap();
    archive.commit(&wanted, &next).await.unwrap();
    let read = archive.read(CHAIN, 10..=20).await.unwrap();
    archive.archive.put(&orphan, &late).await.ok();
    assert_eq!(archive.read(CHAIN, 10..=20).await.unwrap(), read);
    assert_eq!(read.logs, wanted.logs);
    assert_eq!(read.context.envelopes, wanted.context.envelopes);
    let refused = archive.commit(&orphan, &late).await.unwrap_err();
    assert_eq!(refused.class(), Class::Transient);
}

async fn what_a_writer_left_half_written_is_written_again(archive: Place) {
    let whole = span(1..=9, 1, 4);
    let intent = archive.begin(&whole).await;
    let half = Span {
        logs: whole.logs[..7].to_vec(),
        ..whole.clone()
    };
    archive.archive.put(&half, &intent).await.unwrap();
    let open = |range| {
        let store = archive.store.clone();
        async move { intents::is_open(&store, CHAIN, &range).await.unwrap() }
    };
    assert!(open(3..=4).await && !open(10..=12).await);
    // The writer is gone; two others take its blocks.
    for range in [1..=5, 6..=9] {
        let part = span(range, 1, 4);
        let intent = archive.begin(&part).await;
        archive.archive.put(&part, &intent).await.unwrap();
        archive.commit(&part, &intent).await.unwrap();
    }
    assert!(!open(1..=9).await, "nothing is left to write");
    assert_eq!(archive.read(CHAIN, 1..=9).await.unwrap(), archived(&whole));
}

async fn a_big_span_fits(archive: Place) {
    let mut wanted = span(1..=3_000, 1, 20);
    // As large as logs get: three in a row that no single message could carry together.
    for log in &mut wanted.logs[100..103] {
        log.data = Bytes::from(vec![7; 5_000_000]);
    }
    let started = Instant::now();
    assert_eq!(archive.put(&wanted).await.unwrap(), 60_000);
    let put = started.elapsed();
    let read = archive.read(CHAIN, 1..=3_000).await.unwrap();
    println!(
        "{}: put 60,000 logs in {put:?}, read in {:?}",
        archive.name(),
        started.elapsed() - put
    );
    assert!(read == archived(&wanted));
    let repeat = Instant::now();
    assert_eq!(archive.put(&wanted).await.unwrap(), 0);
    println!("{}: repeat in {:?}", archive.name(), repeat.elapsed());
}

async fn any_history_of_puts_reads_as_the_last_one_of_each_block(archive: Place) {
    let mut random = ChaCha8Rng::seed_from_u64(42);
    let mut model: BTreeMap<u64, Vec<Log>> = BTreeMap::new();
    for _ in 0..80 {
        let from = random.random_range(0..60);
        let to = from + random.random_range(0..20);
        let put = span(from..=to, random.random_range(0..3), random.random_range(0..5));
        archive.put(&put).await.unwrap();
        for number in from..=to {
            model.insert(
                number,
                put.logs
                    .iter()
                    .filter(|log| log.block_number == number)
                    .cloned()
                    .collect(),
            );
        }
        let (from, to) = (random.random_range(0..40), random.random_range(40..90));
        let wanted: Vec<Log> = model.range(from..=to).flat_map(|(_, logs)| logs.clone()).collect();
        assert_eq!(archive.read(CHAIN, from..=to).await.unwrap().logs, wanted);
    }
}

async fn a_broken_span_is_refused(archive: Place) {
    let mut swapped = span(1..=2, 1, 3);
    swapped.logs.swap(0, 1);
    let mut stranger = span(1..=2, 1, 3);
    stranger.logs.push(log(&block(3, 1), 0, Vec::new()));
    for broken in [swapped, stranger] {
        let error = archive.put(&broken).await.unwrap_err();
        assert!(matches!(error, ArchiveError::Span(_)), "{error}");
        assert_eq!(error.class(), Class::Fatal);
    }
    assert!(archive.read(CHAIN, 0..=9).await.unwrap().logs.is_empty());
}

/// An envelope for every other transaction of `span`, and answers about its lowest block and about every height.
fn with_context(mut span: Span) -> Span {
    let mut wanted: Vec<B256> = span.logs.iter().map(|log| log.tx_hash).collect();
    wanted.dedup();
    let envelope = |hash: &B256| Envelope {
        from: Address::from_slice(&hash[..20]),
        to: hash[0].is_multiple_of(2).then(|| Address::from_slice(&hash[12..])),
        value: U256::from_be_bytes(hash.0),
        input: hash[..usize::from(hash[1] % 32)].to_vec().into(),
    };
    let envelopes = wanted.iter().step_by(2).map(|hash| (*hash, envelope(hash)));
    span.context = Context {
        envelopes: envelopes.collect(),
        answers: answers(*span.range.start(), &span),
        ..Context::default()
    };
    span
}

fn call(number: u8, at: Option<u64>) -> Call {
    Call {
        to: Address::repeat_byte(number),
        input: vec![number; 36].into(),
        at,
    }
}

/// What the block at `height` is asked, and what holds everywhere; the answer shows the branch.
fn answers(height: u64, span: &Span) -> Answers {
    let returned = Answer::Returned(span.block(height).unwrap().hash.to_vec().into());
    Answers::from_iter([
        (
            call(1, None),
            Answer::Returned(Bytes::from_static(b"the same on all branches")),
        ),
        (call(2, None), Answer::Reverted),
        (call(1, Some(height)), returned),
        (call(3, Some(height)), Answer::Returned(Bytes::new())),
    ])
}

/// The answers held to every question of [`answers`].
async fn held(archive: &Place, height: u64) -> Answers {
    let calls = [
        call(1, None),
        call(2, None),
        call(1, Some(height)),
        call(3, Some(height)),
        call(9, None),
    ];
    archive.answers(CHAIN, &calls).await.unwrap()
}

async fn a_context_is_kept_with_its_span(archive: Place) {
    let wanted = with_context(span(100..=140, 1, 6));
    let logs = wanted.logs.len() as u64;
    assert_eq!(archive.put(&wanted).await.unwrap(), logs);
    let read = archive.read(CHAIN, 100..=140).await.unwrap();
    assert_eq!(read.context.envelopes, wanted.context.envelopes);
    assert_eq!(read.logs, wanted.logs);
    assert_eq!(held(&archive, 100).await, wanted.context.answers);
    assert_eq!(archive.put(&wanted).await.unwrap(), 0);
    assert_eq!(archive.read(CHAIN, 100..=140).await.unwrap(), read);

    // A part holds its part.
    let part = archive.read(CHAIN, 110..=112).await.unwrap();
    let of_part = |hash: &B256| part.logs.iter().any(|log| log.tx_hash == *hash);
    let mut expected: Envelopes = wanted.context.envelopes.clone();
    expected.retain(|hash, _| of_part(hash));
    assert!(!expected.is_empty());
    assert_eq!(part.context.envelopes, expected);
    assert_eq!(
        archive.read_logs(CHAIN, 110..=112).await.unwrap().context,
        Context::default()
    );
    let elsewhere = archive.answers(ChainId(2), &[call(1, None)]).await.unwrap();
    assert!(elsewhere.is_empty());
}

async fn a_context_goes_with_its_logs(archive: Place) {
    let abandoned = with_context(span(20..=40, 1, 5));
    let mut asked_at_the_fork = abandoned.clone();
    let at_the_fork = answers(29, &abandoned);
    asked_at_the_fork.context.answers.extend(at_the_fork.clone());
    archive.put(&asked_at_the_fork).await.unwrap();
    let standing = with_context(span(30..=40, 2, 5));
    archive.put(&standing).await.unwrap();
    let read = archive.read(CHAIN, 20..=40).await.unwrap();
    assert_eq!(read.logs.len(), 21 * 5);
    let stands = |hash: &B256| read.logs.iter().any(|log| log.tx_hash == *hash);
    let mut expected = abandoned.context.envelopes.clone();
    expected.retain(|hash, _| stands(hash));
    expected.extend(standing.context.envelopes.clone());
    assert_eq!(read.context.envelopes, expected);
    assert_eq!(held(&archive, 20).await, abandoned.context.answers, "below the fork");
    assert_eq!(
        held(&archive, 29).await,
        at_the_fork,
        "the block that both branches stand on"
    );
    assert_eq!(held(&archive, 30).await, standing.context.answers);

    // A branch on which nothing is asked of the block.
    archive.put(&span(30..=40, 3, 5)).await.unwrap();
    let left = archive.read(CHAIN, 30..=40).await.unwrap();
    assert!(left.context.envelopes.is_empty());
    assert_eq!(held(&archive, 30).await.len(), 2, "what holds at every height stays");
}

async fn who_read_by_an_earlier_edition_and_is_late_changes_no_note(archive: Place) {
    let written = span(7..=7, 1, 3);
    archive.put(&written).await.unwrap();
    let block = written.block(7).unwrap();
    let note = |index: usize, event: Option<&str>| Note {
        id: log_id(CHAIN, block, &written.logs[index]),
        event_type: event.map(str::to_owned),
        event_data: event.map(|event| serde_json::json!({ "by": event })),
    };
    let by = |event| [note(0, event), note(1, event)];
    archive.annotate(CHAIN, 5, &by(Some("of five"))).await.unwrap();
    archive.annotate(CHAIN, 6, &by(Some("of six"))).await.unwrap();
    archive.annotate(CHAIN, 5, &by(Some("of five"))).await.unwrap();
    let of_six = || Some("of six".to_owned());
    assert_eq!(archive.notes().await, [of_six(), of_six(), None]);

    // Also where the later edition decodes the same, or nothing at all.
    archive.annotate(CHAIN, 7, &by(Some("of six"))).await.unwrap();
    archive.annotate(CHAIN, 6, &by(None)).await.unwrap();
    assert_eq!(archive.notes().await, [of_six(), of_six(), None]);
    archive.annotate(CHAIN, 8, &by(None)).await.unwrap();
    archive.annotate(CHAIN, 7, &by(Some("of seven"))).await.unwrap();
    assert_eq!(archive.notes().await, [None, None, None]);
}

async fn a_context_may_come_later(archive: Place) {
    let bare = span(7..=9, 1, 4);
    archive.put(&bare).await.unwrap();
    assert_eq!(archive.read(CHAIN, 7..=9).await.unwrap(), archived(&bare));
    let wanted = with_context(bare.clone());
    assert_eq!(archive.put(&wanted).await.unwrap(), 0, "the logs are there");
    let read = archive.read(CHAIN, 7..=9).await.unwrap();
    assert_eq!(read.context.envelopes, wanted.context.envelopes);
    // What could not be had again stays while its log does.
    archive.put(&bare).await.unwrap();
    assert_eq!(archive.read(CHAIN, 7..=9).await.unwrap(), read);
}

/// Bytes of a chain that are hard to compress, such as no document of MongoDB holds as text.
fn huge(seed: u8) -> Bytes {
    let mut rng = ChaCha8Rng::from_seed([seed; 32]);
    let mut bytes = vec![0; 9 << 20];
    rng.fill(&mut bytes[..]);
    bytes.into()
}

async fn what_one_document_cannot_hold_is_kept_all_the_same(archive: Place) {
    let mut wanted = with_context(span(50..=53, 1, 3));
    wanted.logs[4].data = huge(1);
    let hash = *wanted.context.envelopes.keys().min().unwrap();
    wanted.context.envelopes.get_mut(&hash).unwrap().input = huge(2);
    wanted
        .context
        .answers
        .insert(call(3, Some(50)), Answer::Returned(huge(3)));
    assert_eq!(archive.put(&wanted).await.unwrap(), 12);
    let read = archive.read(CHAIN, 50..=53).await.unwrap();
    assert!(read.logs == wanted.logs, "a log reads back otherwise");
    assert!(
        read.context.envelopes == wanted.context.envelopes,
        "a transaction reads back otherwise"
    );
    assert!(
        held(&archive, 50).await == wanted.context.answers,
        "an answer reads back otherwise"
    );
    assert_eq!(archive.put(&wanted).await.unwrap(), 0, "a repeat writes nothing");

    // The same bytes on another branch, where the first one's go.
    let mut other = span(51..=53, 2, 3);
    other.logs[4].data = huge(1);
    archive.put(&other).await.unwrap();
    assert!(archive.read(CHAIN, 51..=53).await.unwrap().logs == other.logs);
}

/// What readers of SQL see of each log: that of its id, and what the table of older releases held.
const SHOWN: &str =
    "select id, block_number::bigint, block_hash::text, block_time, tx_hash::text, tx_index::bigint, log_index::bigint,
        address::text, topics, data, event_type, event_data::text
    from indexer_service.raw_events where chain_id = $1 order by id";

type Shown = (
    uuid::Uuid,
    (i64, String, chrono::DateTime<chrono::Utc>),
    (String, i64, i64, String),
    (Vec<String>, Vec<u8>),
    (Option<String>, Option<String>),
);

async fn shown(store: &Store) -> Vec<Shown> {
    let rows = sqlx::query(SHOWN)
        .persistent(false)
        .bind(CHAIN.to_string())
        .fetch_all(&store.pool)
        .await
        .unwrap();
    let of = |row: &sqlx::postgres::PgRow| {
        (
            row.get(0),
            (row.get(1), row.get(2), row.get(3)),
            (row.get(4), row.get(5), row.get(6), row.get(7)),
            (row.get(8), row.get(9)),
            (row.get(10), row.get(11)),
        )
    };
    rows.iter().map(of).collect()
}

async fn migrate(store: &Store, versions: impl Fn(i64) -> bool) {
    for migration in MIGRATOR.iter().filter(|migration| versions(migration.version)) {
        let sql = AssertSqlSafe(migration.sql.as_str());
        sqlx::raw_sql(sql).execute(&store.pool).await.unwrap();
    }
}

/// Writes `log` as older releases did.
async fn write_as_before(store: &Store, block: &Block, log: &Log, event_type: Option<&str>) {
    sqlx::query(
        "insert into indexer_service.raw_events
             (chain_id, id, block_number, block_hash, block_time, tx_hash, tx_index, log_index, address, topics, data, event_type, abi_edition)
         values ($1, $2, $3, $4, to_timestamp($5), $6, $7, $8, $9, $10, $11, $12, case when $12 is not null then 3 end)",
    )
    .bind(CHAIN.to_string())
    .bind(log_id(CHAIN, block, log))
    .bind(block.number.cast_signed())
    .bind(block.hash.to_string())
    .bind(block.time as f64)
    .bind(log.tx_hash.to_string())
    .bind(log.tx_index.cast_signed())
    .bind(log.log_index.cast_signed())
    .bind(format!("{:#x}", log.address))
    .bind(log.topics.iter().map(B256::to_string).collect::<Vec<_>>())
    .bind(log.data.to_vec())
    .bind(event_type)
    .execute(&store.pool)
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn raw_events_of_an_older_release_are_carried_over_and_shown_as_before() {
    let database = Database::empty(1).await;
    let store = &database.store;
    migrate(store, |version| version < 35).await;
    let mut expected = archived(&span(5..=40, 1, 4));
    // What no id of a fact could hold, and indexes that a signed number cannot.
    let last = *expected.blocks.last().unwrap();
    for index in [1 << 21, (1 << 22) - 1, 1 << 22, (1 << 22) + (1 << 19), u32::MAX] {
        let mut log = log(&last, index, vec![1; 5]);
        log.tx_index = u32::MAX;
        expected.logs.push(log);
    }
    expected.logs[0].topics.clear();
    for (n, log) in expected.logs.iter().enumerate() {
        let block = expected.block(log.block_number).unwrap();
        write_as_before(store, block, log, (n % 7 == 0).then_some("Poke(uint256)")).await;
    }
    let before: Vec<Shown> = shown(store)
        .await
        .into_iter()
        .map(|mut row| {
            // The table held a sign where there is none.
            (row.2.1, row.2.2) = (row.2.1 & 0xffff_ffff, row.2.2 & 0xffff_ffff);
            row
        })
        .collect();
    migrate(store, |version| version >= 35).await;
    assert_eq!(shown(store).await, before);
    let archive = Archive::open("", "unused", store).await.unwrap();
    assert_eq!(archive.read_logs(CHAIN, 0..=100).await.unwrap().logs, expected.logs);
}

#[tokio::test]
async fn an_absent_mongodb_is_told_with_its_place_and_without_its_login() {
    let url = "mongodb://reader:hunter2@127.0.0.1:9/?serverSelectionTimeoutMS=300";
    let error = Archive::open(url, "indexer", &unused_store()).await.unwrap_err();
    let message = error.to_string();
    assert!(
        message.contains("127.0.0.1:9") && message.contains("archive.url"),
        "{message}"
    );
    assert!(!message.contains("hunter2") && !message.contains('\n'), "{message}");
    assert_eq!(error.class(), Class::Transient);
    let error = Archive::open("mongodb://reader:hun@ter2@/", "indexer", &unused_store())
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("archive.url") && !error.to_string().contains("hun"),
        "{error}"
    );
    assert_eq!(error.class(), Class::Fatal);
}
