//! What a user gets where a command cannot begin, or cannot end in time: the exit code and one line.

use std::net::TcpListener;

use decoders::block::ChainId;
use serde_json::Value;
use sqlx::{Connection, PgConnection};
use testchain::simulation::Settings;
use testkit::database::Database;
use testkit::patience::eventually;
use testkit::wire::Wire;

use crate::harness::chain::Chain;
use crate::harness::program::{Process, Program, Setup};

/// An address where nothing listens.
const UNUSED: &str = "http://127.0.0.1:1";

#[tokio::test(flavor = "multi_thread")]
async fn the_status_of_a_chain_whose_endpoints_are_missing_or_wrong_says_so_and_is_no_failure() {
    let chain = Chain::start(Settings::small(161), 20, 4).await;
    let database = Database::new().await;
    let dead = Program::new(&Setup::new(&database, chain.id(), &[UNUSED.to_owned()]));
    let answered = dead.run(&["status"]).await;
    assert!(
        answered.contains("endpoints: no endpoint of") && answered.contains(UNUSED),
        "{answered}"
    );

    let (other, database) = (ChainId(chain.id().0 + 1), Database::new().await);
    let wrong = Program::new(&Setup::new(&database, other, &[chain.server.http_url()]));
    let status: Value = serde_json::from_str(&wrong.run(&["status", "--json"]).await).unwrap();
    let error = status["chains"][0]["endpoints_error"].as_str().unwrap();
    assert!(
        error.contains(&chain.id().to_string()) && error.contains(&other.to_string()),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_names_an_endpoint_that_refuses_and_blocks_that_no_daemon_has_seen() {
    let chain = Chain::start(Settings::small(165), 200, 4).await;
    let database = Database::new().await;
    let endpoints = [chain.server.http_url(), UNUSED.to_owned()];
    let program = Program::new(&Setup::new(&database, chain.id(), &endpoints));
    let name = chain.id().to_string();
    program
        .run(&["backfill", "--chain", &name, "--from", "0", "--to", "49"])
        .await;
    let answered = program.run(&["status"]).await;
    let dead = answered.lines().find(|line| line.contains(UNUSED)).unwrap();
    assert!(dead.contains("unreachable"), "{answered}");
    assert!(
        !answered.contains("no gaps"),
        "only 50 of 200 blocks are there: {answered}"
    );
    assert!(answered.contains("missing: 50-"), "{answered}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_is_taken_ends_a_run_with_11() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let chain = Chain::start(Settings::small(162), 5, 2).await;
    let mut setup = Setup::embedded(chain.id(), &[chain.server.http_url()]);
    setup.listen = address.clone();
    let program = Program::new(&setup);
    program.fails(&["run"], 11, &[&address, "api.listen"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_a_run_that_cannot_finish() {
    let (mut process, _silent) = stuck("").await;
    process.signal("INT");
    eventually("it waits for what it has begun", async || {
        assert!(process.ended().is_none(), "it has ended");
        process.log().contains("once more to stop at once").then_some(())
    })
    .await;
    process.signal("TERM");
    process.fails(130, &["second signal", "done again"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_cannot_finish_ends_at_its_deadline() {
    let (mut process, _silent) = stuck("stop_deadline_ms = 1500").await;
    assert!(
        process.stop().await.success(),
        "it was asked to stop once, and nothing is lost"
    );
    assert!(
        process.log().contains("done again"),
        "it states what it left: {}",
        process.log()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_database_is_away_stops_well_all_the_same() {
    let (mut process, keep) = stuck("").await;
    let (_, _, _, wire) = &keep;
    wire.cut();
    process.signal("TERM");
    assert!(process.end().await.success(), "there is nothing it has to finish");
    process.assert_no_panic();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backfill_that_cannot_finish_ends_at_a_second_signal() {
    let chain = Chain::start(Settings::small(164), 60, 4).await;
    let database = Database::new().await;
    let wire = Wire::to(&database.url).await;
    let setup = Setup {
        database: wire.url(&database.url),
        ..Setup::new(&database, chain.id(), &[chain.server.http_url()])
    };
    let program = Program::new(&setup);
    let lock = lock(&database).await;
    let mut process = program.start(&[
        "backfill",
        "--chain",
        &chain.id().to_string(),
        "--from",
        "0",
        "--to",
        "50",
    ]);
    silence(lock, &wire).await;
    process.signal("INT");
    process.signal("TERM");
    process.fails(130, &["second signal", "done again"]).await;
}

/// Keeps every commit from writing its facts.
async fn lock(database: &Database) -> PgConnection {
    let mut connection = PgConnection::connect(&database.url).await.unwrap();
    sqlx::raw_sql("begin; lock table catalog_service.transfer_facts in share mode")
        .execute(&mut connection)
        .await
        .unwrap();
    connection
}

/// Waits until a commit waits for the lock, and lets the database fall silent before it goes on.
async fn silence(mut lock: PgConnection, wire: &Wire) {
    eventually("a commit waits", async || {
        let waiting: i64 = sqlx::query_scalar(
            "select count(*) from pg_locks where not granted and relation = 'catalog_service.transfer_facts'::regclass
             or not granted and relation in (select inhrelid from pg_inherits where inhparent = 'catalog_service.transfer_facts'::regclass)",
        )
        .fetch_one(&mut lock)
        .await
        .unwrap();
        (waiting > 0).then_some(())
    })
    .await;
    wire.mute();
    lock.close().await.unwrap();
}

/// A program in the middle of a commit to a database that has fallen silent, and what keeps it silent.
async fn stuck(pipeline: &str) -> (Process, (Program, Chain, Database, Wire)) {
    let mut chain = Chain::start(Settings::small(163), 20, 4).await;
    let database = Database::new().await;
    let wire = Wire::to(&database.url).await;
    let setup = Setup {
        database: wire.url(&database.url),
        pipeline: pipeline.to_owned(),
        ..Setup::new(&database, chain.id(), &[chain.server.http_url()])
    };
    let program = Program::new(&setup);
    let mut process = program.start(&["run"]);
    process.address().await;
    chain.indexed(&database.store, 0, "before the silence").await;
    let lock = lock(&database).await;
    chain.grow(1);
    silence(lock, &wire).await;
    (process, (program, chain, database, wire))
}
