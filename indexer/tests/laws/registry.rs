//! The registry is the truth: edits of a running daemon's endpoints take effect without a restart.

use testchain::faults::Faults;
use testchain::simulation::Settings;

use crate::harness::chain::Chain;
use crate::harness::patience::eventually;
use crate::harness::program::{Program, Setup};
use crate::harness::stores::Database;

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_added_and_the_bad_one_removed_let_a_running_daemon_go_on_without_a_restart() {
    let mut chain = Chain::start(Settings::small(111), 30, 8).await;
    let database = Database::new().await;
    let program = Program::new(&Setup::new(&database, chain.id(), &[]));
    let name = chain.id().to_string();
    program
        .run(&[
            "registry",
            "endpoints",
            "add",
            "--chain",
            &name,
            "--url",
            &chain.server.http_url(),
        ])
        .await;
    let mut daemon = program.start(&["run"]);
    chain.indexed(&database.store, 0, "while the endpoint is good").await;
    let address = daemon.address().await;
    eventually("the daemon is ready", async || {
        causes(&address).await.is_none().then_some(())
    })
    .await;

    chain.faults.change(|settings| settings.server_error_rate = 1.0);
    chain.grow(20);
    eventually(
        "the daemon says that it is not ready, and what the endpoint answers",
        async || causes(&address).await.filter(|cause| cause.contains("503")),
    )
    .await;

    let bad: i32 = sqlx::query_scalar("select id from chain_registry_service.chain_endpoints")
        .fetch_one(&database.store.pool)
        .await
        .unwrap();
    let good = chain.endpoint(&Faults::new(112)).await;
    program
        .run(&[
            "registry",
            "endpoints",
            "add",
            "--chain",
            &name,
            "--url",
            &good.http_url(),
        ])
        .await;
    program
        .run(&["registry", "endpoints", "remove", &bad.to_string()])
        .await;

    chain.indexed(&database.store, 0, "after the edit").await;
    eventually("the daemon is ready again", async || {
        causes(&address).await.is_none().then_some(())
    })
    .await;
    let asked = chain.server.counts().requests;
    chain.grow(5);
    chain.indexed(&database.store, 0, "after more blocks").await;
    assert_eq!(
        chain.server.counts().requests,
        asked,
        "a removed endpoint is asked no more"
    );
    assert!(daemon.stop().await.success());
    daemon.assert_no_panic();
    chain.assert_true(&database.store, 0, "after the edit").await;
}

/// What `/readyz` complains about; `None` when the daemon is ready.
async fn causes(address: &str) -> Option<String> {
    let answer = reqwest::get(format!("{address}/readyz")).await.unwrap();
    let ready = answer.status().is_success();
    let text = answer.text().await.unwrap();
    (!ready).then_some(text)
}
