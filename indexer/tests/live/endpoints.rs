//! An operator whose endpoints are wrong: what the program states of it, and how soon it goes on once one is right.

use testchain::faults::{Faults, Settings as FaultSettings};
use testchain::server::Server;
use testchain::simulation::Settings;

use crate::harness::chain::Chain;
use crate::harness::program::{Process, Program, Setup};
use crate::outages::readiness;
use testkit::database::Database;
use testkit::patience::eventually;
use testkit::wire::Wire;

/// Blocks between head and finalized block.
const FINALIZED_DEPTH: u64 = 8;
/// Where nothing listens.
const CLOSED: &str = "http://127.0.0.1:1/v2/S3CRET";

/// A program that follows `chain`, whose endpoints it has from the registry alone, and is ready.
async fn ready(chain: &Chain, database: &Database) -> (Program, Process) {
    let program = Program::new(&Setup::new(database, chain.id(), &[]));
    add(&program, chain, &chain.server.http_url()).await;
    let mut process = program.start(&["run"]);
    chain.indexed(&database.store, 0, "with a good endpoint").await;
    process.ready().await;
    (program, process)
}

async fn add(program: &Program, chain: &Chain, url: &str) {
    let name = chain.id().to_string();
    program
        .run(&["registry", "endpoints", "add", "--chain", &name, "--url", url])
        .await;
}

async fn set(program: &Program, id: i32, change: [&str; 2]) {
    let id = id.to_string();
    let edit = ["registry", "endpoints", "set", &id];
    program.run(&[&edit[..], &change].concat()).await;
}

async fn metrics(address: &str) -> String {
    let answer = reqwest::get(format!("{address}/metrics")).await.unwrap();
    answer.text().await.unwrap()
}

/// The registry's number of the endpoint with this URL.
async fn id(database: &Database, url: &str) -> i32 {
    sqlx::query_scalar("select id from chain_registry_service.chain_endpoints where rtrim(url, '/') = rtrim($1, '/')")
        .bind(url)
        .fetch_one(&database.store.pool)
        .await
        .unwrap()
}

/// Another endpoint that refuses every request.
async fn refusing(chain: &Chain) -> Server {
    let faults = Faults::with(
        5,
        FaultSettings {
            server_error_rate: 1.0,
            ..FaultSettings::default()
        },
    );
    chain.endpoint(&faults).await
}

#[tokio::test(flavor = "multi_thread")]
async fn endpoints_of_which_none_ever_answered_are_named_and_a_corrected_one_is_used() {
    let mut chain = Chain::start(Settings::small(181), 30, FINALIZED_DEPTH).await;
    let database = Database::new().await;
    let (program, mut process) = ready(&chain, &database).await;
    let good = id(&database, &chain.server.http_url()).await;
    let wire = Wire::to(&chain.server.http_url()).await;
    wire.mute();
    let hanging = wire.url(&chain.server.http_url());
    let refusing = refusing(&chain).await;

    // One edit after the other: in the end every endpoint is wrong, each in its way.
    add(&program, &chain, &hanging).await;
    add(&program, &chain, &refusing.http_url()).await;
    set(&program, good, ["--url", CLOSED]).await;
    process.unready("no endpoint answers: ").await;
    let address = process.address().await;
    eventually("every endpoint is named with what it fails with", async || {
        let causes = readiness(&address).await.1.to_string();
        assert!(!causes.contains("its endpoints have block"), "{causes}");
        let parts = ["http://127.0.0.1:1 ", "503", hanging.trim_end_matches('/')];
        parts.iter().all(|part| causes.contains(part)).then_some(())
    })
    .await;
    process.logs("takes effect at once").await;
    let log = process.log();
    assert!(!log.contains("S3CRET"), "{log}");
    assert_eq!(log.matches("takes effect at once").count(), 1, "one warning");
    // Edits that come while one is carried out are one.
    let replaced = log.matches("endpoints replaced").count();
    assert!((1..=3).contains(&replaced), "{replaced} lines for three edits");

    set(&program, good, ["--url", &chain.server.http_url()]).await;
    chain.grow(3);
    chain.indexed(&database.store, 0, "with the endpoint corrected").await;
    process.ready().await;
    process.logs("an endpoint answers again").await;

    // What is deactivated is shown no more.
    let shown = id(&database, &hanging).await;
    let series = format!("endpoint=\"{shown}\"");
    eventually("the endpoint is shown", async || {
        metrics(&address).await.contains(&series).then_some(())
    })
    .await;
    set(&program, shown, ["--active", "false"]).await;
    eventually("it is shown no more", async || {
        (!metrics(&address).await.contains(&series)).then_some(())
    })
    .await;
    let name = chain.id().to_string();
    assert!(
        metrics(&address)
            .await
            .contains(&format!("indexer_blocks_applied_total{{chain=\"{name}\"}}"))
    );
    program
        .run(&["registry", "chains", "set", &name, "--enabled", "false"])
        .await;
    eventually("nothing of the chain is shown", async || {
        (!metrics(&address).await.contains(&name)).then_some(())
    })
    .await;
    assert!(process.stop().await.success(), "it stops well");
    process.assert_no_panic();
    chain.assert_true(&database.store, 0, "after the edits").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_that_cannot_begin_is_a_cause_until_it_can() {
    let chain = Chain::start(Settings::small(182), 30, FINALIZED_DEPTH).await;
    let database = Database::new().await;
    let (program, mut process) = ready(&chain, &database).await;
    let chains = ["registry", "chains"];
    program
        .run(&[&chains[..], &["add", "eip155:4242", "--name", "Other"]].concat())
        .await;
    process.unready("start eip155:4242").await;
    program
        .run(&[
            "registry",
            "endpoints",
            "add",
            "--chain",
            "eip155:4242",
            "--url",
            CLOSED,
        ])
        .await;
    process.unready("no endpoint of eip155:4242 answered").await;
    program
        .run(&[&chains[..], &["set", "eip155:4242", "--enabled", "false"]].concat())
        .await;
    process.ready().await;
    assert!(process.stop().await.success(), "it stops well");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_comes_back_lower_is_called_that() {
    let mut chain = Chain::start(Settings::small(183), 30, FINALIZED_DEPTH).await;
    let database = Database::new().await;
    let (_program, mut process) = ready(&chain, &database).await;
    chain.faults.change(|faults| faults.stale_by = 3);
    process.logs("went back below the checkpoint").await;
    chain.faults.clear();
    chain.grow(5);
    chain.indexed(&database.store, 0, "once it is above again").await;
    process.ready().await;
    assert!(process.stop().await.success(), "it stops well");
    process.assert_no_panic();
    chain
        .assert_true(&database.store, 0, "after a head that came back lower")
        .await;
}
