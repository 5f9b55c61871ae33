//! Services that go away while the program works and come back: it goes on running, reports why it is not ready, and ends up with
//! everything.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use indexer::pipeline::everything;
use rand::RngExt;
use serde_json::Value;
use sinks::progress::coverage;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use testchain::simulation::Settings;
use testkit::broker::{self, Consumer};
use testkit::database::Database;
use testkit::mongo::MongoDatabase;
use testkit::outbox;
use testkit::patience::eventually;
use testkit::services::unique;
use testkit::tables::Tables;
use testkit::wire::Wire;
use uuid::Uuid;

use crate::harness::chain::Chain;
use crate::harness::dice;
use crate::harness::program::{Process, Program, Setup};

/// Blocks between head and finalized block.
const FINALIZED_DEPTH: u64 = 8;
/// Heights of a chain that is backfilled.
const HISTORY: u64 = 200;
/// How long a slow endpoint takes for an answer.
const SLOW: Duration = Duration::from_millis(1_000);

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_goes_away_is_waited_for() {
    let mut dice = dice(171);
    let mut chain = Chain::start(Settings::small(171), 40, FINALIZED_DEPTH).await;
    let database = Database::new().await;
    let wire = Wire::to(&database.url).await;
    let setup = Setup {
        database: wire.url(&database.url),
        ..Setup::new(&database, chain.id(), &[chain.server.http_url()])
    };
    let program = Program::new(&setup);
    let mut process = program.start(&["run"]);
    chain.indexed(&database.store, 0, "before the outage").await;
    process.ready().await;

    wire.cut();
    chain.grow(5);
    process.unready("PostgreSQL at 127.0.0.1").await;
    process.unready("cannot be reached").await;
    wire.restore();
    chain.indexed(&database.store, 0, "after the outage").await;
    process.ready().await;

    for _ in 0..12 {
        chain.grow(dice.random_range(1..4));
        tokio::time::sleep(Duration::from_millis(dice.random_range(0..200))).await;
        if dice.random_range(0..2) == 0 {
            wire.cut();
            tokio::time::sleep(Duration::from_millis(dice.random_range(0..50))).await;
            wire.restore();
        } else {
            end_connections(&database).await;
        }
    }
    chain.indexed(&database.store, 0, "after many short outages").await;
    process.ready().await;

    // The connection on which edits of the registry are heard has come back too.
    let name = chain.id().to_string();
    program
        .run(&["registry", "chains", "set", &name, "--enabled", "false"])
        .await;
    process.logs("disabled in the registry").await;
    assert!(process.stop().await.success(), "it stops well");
    process.assert_no_panic();
    chain
        .assert_true(&database.store, 0, "after outages of the database")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_falls_silent_is_noticed() {
    let mut chain = Chain::start(Settings::small(176), 30, FINALIZED_DEPTH).await;
    let database = Database::new().await;
    let wire = Wire::to(&database.url).await;
    let setup = Setup {
        database: wire.url(&database.url),
        ..Setup::new(&database, chain.id(), &[chain.server.http_url()])
    };
    let program = Program::new(&setup);
    let mut process = program.start(&["run"]);
    chain.indexed(&database.store, 0, "before the silence").await;
    process.ready().await;
    wire.mute();
    chain.grow(3);
    process.unready("does not answer").await;
    wire.restore();
    chain.indexed(&database.store, 0, "after the silence").await;
    process.ready().await;
    assert!(process.stop().await.success(), "it stops well");
    chain
        .assert_true(&database.store, 0, "after a silence of the database")
        .await;
}

/// A standby that a failover made of the primary refuses to write; a server whose disk is slow cancels what takes too long. Neither
/// ends the process, and both are named.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_demoted_or_cancels_statements_is_waited_for() {
    let mut chain = Chain::start(Settings::small(177), 40, FINALIZED_DEPTH).await;
    let database = Database::new().await;
    let exchange = unique("events");
    let consumer = Consumer::bind(&exchange, "#").await;
    let setup = Setup {
        broker: Some((broker::url(), exchange)),
        ..Setup::new(&database, chain.id(), &[chain.server.http_url()])
    };
    let program = Program::new(&setup);
    let mut process = program.start(&["run"]);
    chain.indexed(&database.store, 0, "before the failover").await;
    process.ready().await;

    let settings = [
        ("default_transaction_read_only", "on", "read-only transaction"),
        ("statement_timeout", "1", "statement timeout"),
        ("default_transaction_read_only", "on", "read-only transaction"),
    ];
    for (setting, value, cause) in settings {
        set(&database, &format!("set {setting} = {value}")).await;
        chain.grow(4);
        process.unready(cause).await;
        set(&database, &format!("reset {setting}")).await;
        chain.indexed(&database.store, 0, setting).await;
        process.ready().await;
    }
    assert!(process.stop().await.success(), "it stops well");
    process.assert_no_panic();
    chain.assert_true(&database.store, 0, "after failovers").await;
    consumer.delete().await;
}

/// Changes a setting of the database for every client, those that are connected included.
async fn set(database: &Database, change: &str) {
    let mut admin = PgConnection::connect_with(&database.store.pool.connect_options())
        .await
        .unwrap();
    sqlx::raw_sql("set default_transaction_read_only = off; set statement_timeout = 0")
        .execute(&mut admin)
        .await
        .unwrap();
    let name: String = sqlx::query_scalar("select current_database()::text")
        .fetch_one(&mut admin)
        .await
        .unwrap();
    sqlx::raw_sql(AssertSqlSafe(format!("alter database \"{name}\" {change}")))
        .execute(&mut admin)
        .await
        .unwrap();
    sqlx::query(
        "select pg_terminate_backend(pid) from pg_stat_activity where datname = $1 and pid <> pg_backend_pid()",
    )
    .bind(name)
    .execute(&mut admin)
    .await
    .unwrap();
}

/// What PostgreSQL does to its clients when it is shut down.
async fn end_connections(database: &Database) {
    sqlx::query(
        "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and application_name = 'indexer'",
    )
    .execute(&database.store.pool)
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_that_goes_away_is_waited_for() {
    let mut dice = dice(172);
    let mut chain = Chain::start(Settings::small(172), 40, FINALIZED_DEPTH).await;
    let (database, mongo) = (Database::new().await, MongoDatabase::new());
    let wire = Wire::to(&mongo.url).await;
    let setup = Setup {
        archive: Some((mongo.through(&wire), mongo.name.clone())),
        ..Setup::new(&database, chain.id(), &[chain.server.http_url()])
    };
    let program = Program::new(&setup);
    let mut process = program.start(&["run"]);
    chain.indexed(&database.store, 0, "before the outage").await;
    process.ready().await;

    wire.cut();
    chain.grow(5);
    process.unready("no server can be used (127.0.0.1").await;
    assert!(
        !process.log().contains("Topology"),
        "it states what is the matter: {}",
        process.log_end()
    );
    wire.restore();
    chain.indexed(&database.store, 0, "after the outage").await;
    process.ready().await;

    for _ in 0..8 {
        chain.grow(dice.random_range(1..4));
        tokio::time::sleep(Duration::from_millis(dice.random_range(0..200))).await;
        wire.cut();
        tokio::time::sleep(Duration::from_millis(dice.random_range(0..50))).await;
        wire.restore();
    }
    chain.indexed(&database.store, 0, "after many short outages").await;
    assert!(process.stop().await.success(), "it stops well");
    process.assert_no_panic();
    chain
        .assert_true(&database.store, 0, "after outages of the archive")
        .await;
    let (name, head) = (chain.id().to_string(), chain.head().number.to_string());
    let answered = program
        .run(&["replay", "--chain", &name, "--from", "0", "--to", &head])
        .await;
    assert!(
        answered.contains("0 new, 0 retracted"),
        "the archive holds what the tables hold: {answered}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_goes_away_holds_up_messages_and_nothing_else() {
    let mut chain = Chain::start(Settings::small(173), 40, FINALIZED_DEPTH).await;
    let (database, exchange) = (Database::new().await, unique("live"));
    let consumer = Consumer::bind(&exchange, "#").await;
    let wire = Wire::to(&broker::url()).await;
    wire.cut();
    let setup = Setup {
        broker: Some((wire.url(&broker::url()), exchange)),
        ..Setup::new(&database, chain.id(), &[chain.server.http_url()])
    };
    let program = Program::new(&setup);
    let mut process = program.start(&["run"]);
    chain.indexed(&database.store, 0, "with no broker at the start").await;
    process.unready("rabbitmq").await;
    wire.restore();
    process.ready().await;

    let mut tail = program.start(&["tail", "--from", "broker"]);
    eventually("the tail prints something", async || {
        chain.grow(1);
        (tail.stdout().lines().count() > 0).then_some(())
    })
    .await;
    wire.cut();
    tail.fails(6, &["rabbitmq"]).await;
    chain.grow(10);
    chain.indexed(&database.store, 0, "while the broker is away").await;
    process.unready("rabbitmq").await;
    wire.restore();
    process.ready().await;
    eventually("everything pending is published", async || {
        outbox::pending(&database.store, chain.id())
            .await
            .is_empty()
            .then_some(())
    })
    .await;
    assert!(process.stop().await.success(), "it stops well");
    process.assert_no_panic();

    let stated: BTreeSet<Uuid> = consumer.drain().await.iter().map(|message| message.id).collect();
    consumer.delete().await;
    assert_eq!(
        stated,
        outbox::fact_ids(&database.store, chain.id()).await,
        "messages and facts"
    );
    chain
        .assert_true(&database.store, 0, "after outages of the broker")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_goes_away_is_waited_for() {
    let mut chain = Chain::start(Settings::small(174), 40, FINALIZED_DEPTH).await;
    let database = Database::new().await;
    let wire = Wire::to(&chain.server.http_url()).await;
    let url = wire.url(&chain.server.http_url());
    let program = Program::new(&Setup::new(&database, chain.id(), &[url]));
    let mut process = program.start(&["run"]);
    chain.indexed(&database.store, 0, "before the outage").await;
    process.ready().await;

    wire.cut();
    chain.grow(5);
    process.unready("no endpoint of").await;
    wire.restore();
    chain.indexed(&database.store, 0, "after the outage").await;
    process.ready().await;
    assert!(process.stop().await.success(), "it stops well");
    process.assert_no_panic();
    chain
        .assert_true(&database.store, 0, "after an outage of the endpoint")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_falls_silent_is_named() {
    let mut chain = Chain::start(Settings::small(177), 30, FINALIZED_DEPTH).await;
    let database = Database::new().await;
    let wire = Wire::to(&chain.server.http_url()).await;
    let url = wire.url(&chain.server.http_url());
    let program = Program::new(&Setup::new(&database, chain.id(), std::slice::from_ref(&url)));
    let mut process = program.start(&["run"]);
    chain.indexed(&database.store, 0, "before the silence").await;
    process.ready().await;
    wire.mute();
    chain.grow(3);
    process
        .unready(&format!("{} has not answered", url.trim_end_matches('/')))
        .await;
    wire.restore();
    chain.indexed(&database.store, 0, "after the silence").await;
    process.ready().await;
    assert!(process.stop().await.success(), "it stops well");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_that_moves_while_its_head_stands_still_is_not_ready_whoever_holds_it() {
    let mut chain = Chain::start(Settings::small(178), 30, FINALIZED_DEPTH).await;
    let database = Database::new().await;
    let program = Program::new(&Setup::new(&database, chain.id(), &[chain.server.http_url()]));
    let mut process = program.start(&["run"]);
    chain.indexed(&database.store, 0, "before").await;
    process.ready().await;
    // Another daemon takes the chain and does nothing with it.
    sqlx::query(
        "update indexer_service.chain_leases set holder = 'hung', token = token + 1, expires_at = now() + interval '1 day'",
    )
    .execute(&database.store.pool)
    .await
    .unwrap();
    chain.grow(3);
    process.unready("stands at block").await;
    sqlx::query("update indexer_service.chain_leases set expires_at = now()")
        .execute(&database.store.pool)
        .await
        .unwrap();
    chain.indexed(&database.store, 0, "after").await;
    process.ready().await;
    assert!(process.stop().await.success(), "it stops well");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_load_on_the_api_holds_up_the_head() {
    let mut chain = Chain::start(Settings::small(179), 30, FINALIZED_DEPTH).await;
    let database = Database::new().await;
    let program = Program::new(&Setup::new(&database, chain.id(), &[chain.server.http_url()]));
    let mut process = program.start(&["run"]);
    chain.indexed(&database.store, 0, "before the load").await;
    process.ready().await;
    let address = process.address().await;
    let known = reqwest::get(format!("{address}/v1/status")).await.unwrap();
    assert_eq!(known.status().as_u16(), 200);
    // Every request now takes without end, as one does that scans a large table.
    let mut lock = database.store.pool.begin().await.unwrap();
    sqlx::query("lock table chain_registry_service.chain_contracts in access exclusive mode")
        .execute(&mut *lock)
        .await
        .unwrap();
    let url = format!("{address}/v1/collections");
    let crowd: Vec<_> = (0..100).map(|_| tokio::spawn(reqwest::get(url.clone()))).collect();
    for _ in 0..10 {
        chain.grow(1);
        eventually("the head goes on under load", async || {
            let stored = sinks::progress::checkpoint::read(&database.store, chain.id())
                .await
                .unwrap()?;
            (stored.block == chain.head()).then_some(())
        })
        .await;
    }
    let status = reqwest::get(format!("{address}/v1/status")).await.unwrap();
    assert_eq!(
        status.status().as_u16(),
        200,
        "the status is answered with what is known"
    );
    for request in crowd {
        let answer = request.await.unwrap().unwrap();
        assert_eq!(answer.status().as_u16(), 503);
        assert!(answer.headers().contains_key("retry-after"));
    }
    lock.rollback().await.unwrap();
    process.ready().await;
    assert!(process.stop().await.success(), "it stops well");
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_are_true_of_a_standby_and_after_a_start_on_a_quiet_head() {
    let chain = Chain::start(Settings::small(180), 30, FINALIZED_DEPTH).await;
    let database = Database::new().await;
    let program = Program::new(&Setup::new(&database, chain.id(), &[chain.server.http_url()]));
    let mut first = program.start(&["run"]);
    chain.indexed(&database.store, 0, "by the first").await;
    let mut standby = program.start(&["run"]);
    standby.shows(&chain).await;
    for process in [&mut first, &mut standby] {
        assert!(process.stop().await.success(), "it stops well");
    }
    let mut again = program.start(&["run"]);
    again.shows(&chain).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backfill_outlives_an_outage_of_its_database() {
    backfill_without(Lost::Database).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backfill_outlives_an_outage_of_its_archive() {
    backfill_without(Lost::Archive).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backfill_outlives_an_outage_of_its_endpoint() {
    backfill_without(Lost::Endpoint).await;
}

/// Which service goes away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lost {
    Database,
    Archive,
    Endpoint,
}

/// Backfills a chain, and cuts the wire to one service in the middle.
async fn backfill_without(lost: Lost) {
    let chain = Chain::start(Settings::small(175), HISTORY + FINALIZED_DEPTH + 1, FINALIZED_DEPTH).await;
    // So slow, and asked for so little at once, that there is a middle in which to cut: the first question is refused.
    chain.faults.change(|faults| {
        faults.latency = SLOW;
        faults.limits.block_range = Some(20);
    });
    let (database, mongo, http) = (Database::new().await, MongoDatabase::new(), chain.server.http_url());
    let wire = Wire::to(match lost {
        Lost::Database => &database.url,
        Lost::Archive => &mongo.url,
        Lost::Endpoint => &http,
    });
    let wire = wire.await;
    let mut setup = Setup::new(&database, chain.id(), std::slice::from_ref(&http)).archived_in(&mongo);
    match lost {
        Lost::Database => setup.database = wire.url(&database.url),
        Lost::Archive => setup.archive = Some((mongo.through(&wire), mongo.name.clone())),
        Lost::Endpoint => setup.endpoints = vec![wire.url(&http)],
    }
    let (name, to) = (chain.id().to_string(), HISTORY.to_string());
    let program = Program::new(&setup);
    let range = ["--chain", &name, "--from", "0", "--to", &to];
    let mut process = program.start(&[&["backfill"], &range[..]].concat());
    eventually("spans are being read", async || {
        (chain.server.counts().calls_of("eth_getLogs") > 0).then_some(())
    })
    .await;
    wire.cut();
    tokio::time::sleep(SLOW).await;
    chain.faults.clear();
    process.logs("trying again").await;
    assert!(process.ended().is_none(), "{lost:?}: the backfill gave up");
    assert!(
        missing(&database, &chain).await > 0,
        "{lost:?}: the backfill was through before the service went away"
    );
    wire.restore();
    process.succeeds().await;
    process.assert_no_panic();
    assert_eq!(missing(&database, &chain).await, 0, "{lost:?}");
    let expected = Tables::of(chain.simulation.books(), HISTORY);
    Tables::read(&database.store, chain.id())
        .await
        .assert_equals(&expected, &format!("{lost:?}"));
    let answered = program.run(&[&["replay"], &range[..]].concat()).await;
    assert!(
        answered.contains("0 new, 0 retracted"),
        "{lost:?}: the archive holds what the tables hold: {answered}"
    );
}

/// Blocks of the history that are not covered yet.
async fn missing(database: &Database, chain: &Chain) -> u64 {
    let gaps = coverage::missing(&database.store, chain.id(), &everything(), 0..=HISTORY)
        .await
        .unwrap();
    gaps.iter().map(|gap| gap.end() - gap.start() + 1).sum()
}

impl Process {
    /// Waits until `/readyz` answers that everything works.
    pub(crate) async fn ready(&mut self) {
        let (address, began) = (self.address().await, Instant::now());
        eventually("it is ready", async || {
            (readiness(&address).await.0 == 200).then_some(())
        })
        .await;
        println!("ready after {:?}", began.elapsed());
    }

    /// Waits until `/readyz` answers that something does not work, and that the cause has `part` in it.
    pub(crate) async fn unready(&mut self, part: &str) {
        let (address, began) = (self.address().await, Instant::now());
        eventually(&format!("it is not ready because of {part}"), async || {
            let (code, causes) = readiness(&address).await;
            (code == 503 && causes.to_string().contains(part)).then_some(())
        })
        .await;
        println!("not ready because of {part} after {:?}", began.elapsed());
        assert!(self.ended().is_none(), "it goes on running");
    }

    /// Waits until its metrics show that it stands at the head of `chain`.
    async fn shows(&mut self, chain: &Chain) {
        let address = self.address().await;
        let (name, head) = (chain.id(), chain.head().number);
        let lines = [
            format!("indexer_head_block{{chain=\"{name}\"}} {head}"),
            format!("indexer_checkpoint_block{{chain=\"{name}\"}} {head}"),
            format!("indexer_lag_blocks{{chain=\"{name}\"}} 0"),
            format!("indexer_outbox_depth{{chain=\"{name}\"}}"),
        ];
        eventually("metrics show where the chain stands", async || {
            let text = reqwest::get(format!("{address}/metrics"))
                .await
                .unwrap()
                .text()
                .await
                .unwrap();
            lines.iter().all(|line| text.contains(line)).then_some(())
        })
        .await;
    }

    /// Waits until a line of the log has `part` in it.
    pub(crate) async fn logs(&mut self, part: &str) {
        eventually(&format!("it logs {part}"), async || {
            assert!(self.ended().is_none(), "it has ended: {}", self.log());
            self.log().contains(part).then_some(())
        })
        .await;
    }
}

pub(crate) async fn readiness(address: &str) -> (u16, Value) {
    let answer = reqwest::get(format!("{address}/readyz")).await.unwrap();
    let code = answer.status().as_u16();
    let body: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    (code, body["causes"].clone())
}
