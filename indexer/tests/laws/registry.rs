//! The registry is the truth: edits of a running daemon's endpoints take effect without a restart. What is not in it about a
//! currency the currency's contract does.

use std::collections::BTreeMap;
use std::time::Duration;

use alloy_primitives::Address;
use sinks::abis::abi_source;
use sinks::currencies;
use sinks::progress::coverage::{self, Wanted};
use testchain::faults::Faults;
use testchain::simulation::Settings;
use testkit::database::Database;
use testkit::patience::eventually;

use crate::harness::chain::Chain;
use crate::harness::daemon::Running;
use crate::harness::program::{Program, Setup};

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
        "the daemon reports that it is not ready, and what the endpoint answers",
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

#[tokio::test(flavor = "multi_thread")]
async fn the_gap_of_a_contract_with_an_abi_costs_requests_by_its_blocks_and_not_by_its_events() {
    let depth = 8;
    let chain = Chain::start(Settings::market(114), 400, depth).await;
    let database = Database::new().await;
    let program = Program::new(&Setup::new(&database, chain.id(), &[chain.server.http_url()]));
    let daemon = Running::start(&program, None).await;
    chain.indexed(&database.store, 0, "before").await;
    currencies_are_known(&database, &chain).await;
    let last = chain.head().number - depth;
    let mut events = BTreeMap::<Address, u64>::new();
    let blocks = chain.ledger.range(0, last);
    let logs = blocks
        .iter()
        .flat_map(|block| &block.receipts)
        .flat_map(|receipt| &receipt.logs);
    logs.for_each(|log| *events.entry(log.address).or_default() += 1);
    let busy = *events.iter().max_by_key(|(_, count)| **count).unwrap().0;
    assert!(events[&busy] > 200, "{} events", events[&busy]);
    let quiet = Address::repeat_byte(0x77);

    let folder = tempfile::tempdir().unwrap();
    let abi = folder.path().join("abi.json");
    std::fs::write(
        &abi,
        r#"[{"type":"event","name":"Unseen","anonymous":false,"inputs":[]}]"#,
    )
    .unwrap();
    let (name, abi) = (chain.id().to_string(), abi.to_str().unwrap());
    let mut asked = Vec::new();
    for contract in [quiet, busy] {
        let before = chain.server.counts();
        let address = format!("{contract:#x}");
        let key = ["registry", "contracts", "add", "--chain", &name, "--address", &address];
        let row = ["--name", "Contract", "--standard", "custom", "--abi", abi];
        program.run(&[&key[..], &row].concat()).await;
        eventually("every log of the contract is read", async || {
            let source = abi_source(&contract);
            let wanted = [Wanted { source, from: 0 }];
            let missing = coverage::missing(&database.store, chain.id(), &wanted, 0..=last);
            missing.await.unwrap().is_empty().then_some(())
        })
        .await;
        let after = chain.server.counts();
        let more = |method: &str| after.calls_of(method) - before.calls_of(method);
        for method in ["eth_getTransactionByHash", "eth_getTransactionReceipt", "eth_call"] {
            assert_eq!(
                more(method),
                0,
                "{method} for {} events",
                events.get(&contract).unwrap_or(&0)
            );
        }
        asked.push(more("eth_getLogs") + more("eth_getBlockReceipts"));
    }
    let archived: i64 = sqlx::query_scalar("select count(*) from indexer_service.raw_events where address = $1")
        .bind(format!("{busy:#x}"))
        .fetch_one(&database.store.pool)
        .await
        .unwrap();
    assert!(
        archived.cast_unsigned() >= events[&busy],
        "{archived} events are archived"
    );
    assert!(
        asked.iter().all(|asked| *asked < 10),
        "{asked:?} reads of {} events",
        events[&busy]
    );
    daemon.stop().await;
}

/// The contracts of currencies are asked behind the commits that name them, which is none of what a contract with an ABI costs.
async fn currencies_are_known(database: &Database, chain: &Chain) {
    eventually("every currency has been asked what it is", async || {
        let unknown = currencies::unknown(&database.store, chain.id(), None, 1).await.unwrap();
        unknown.is_empty().then_some(())
    })
    .await;
}

/// Longer than the daemon is idle between two looks at what there is to do.
const QUIET: Duration = Duration::from_secs(3);

/// What the simulated chain trades in beside its own currency.
const WETH: &str = "0xc02aaa39b223fe8d0a0e5c4f27ead9083c756cc2";

/// Symbol, decimals, whether it is worth one of the chain's own, and by which source.
type Currency = (Option<String>, Option<i32>, bool, String);

async fn currency(database: &Database) -> Option<Currency> {
    sqlx::query_as("select symbol, decimals, pegged, source from catalog_service.currencies where address = $1")
        .bind(WETH)
        .fetch_optional(&database.store.pool)
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_currency_that_nobody_told_of_is_asked_what_it_is_and_the_operator_may_say_otherwise() {
    let chain = Chain::start(Settings::market(114), 60, 8).await;
    let endpoint = chain.server.http_url();
    let name = chain.id().to_string();
    let asked = Some((Some("WETH".to_owned()), Some(18), false, "contract".to_owned()));

    let filled = Database::new().await;
    let program = Program::new(&Setup::new(&filled, chain.id(), std::slice::from_ref(&endpoint)));
    program.run(&["registry", "chains", "list"]).await;
    assert_eq!(currency(&filled).await, None);
    program
        .run(&["backfill", "--chain", &name, "--from", "0", "--to", "40"])
        .await;
    assert_eq!(currency(&filled).await, asked);
    let calls = chain.server.counts().calls_of("eth_call");
    program
        .run(&["backfill", "--chain", &name, "--from", "0", "--to", "40"])
        .await;
    assert_eq!(chain.server.counts().calls_of("eth_call"), calls, "it is asked once");
    let stated = [
        "registry",
        "currencies",
        "set",
        "--chain",
        &name,
        "--address",
        WETH,
        "--symbol",
        "Wrapped",
        "--decimals",
        "18",
        "--pegged",
        "true",
    ];
    program.run(&stated).await;
    program
        .run(&["backfill", "--chain", &name, "--from", "0", "--to", "51"])
        .await;
    let operator = (Some("Wrapped".to_owned()), Some(18), true, "operator".to_owned());
    assert_eq!(currency(&filled).await, Some(operator));
    let priced: i64 = sqlx::query_scalar(
        "select count(*) from catalog_service.sales
         where currency_address = $1 and currency_symbol = 'Wrapped' and price_native = price_raw * 1e-18",
    )
    .bind(WETH)
    .fetch_one(&filled.store.pool)
    .await
    .unwrap();
    assert!(priced > 0, "the chain was chosen for its sales in wrapped ether");

    let followed = Database::new().await;
    let program = Program::new(&Setup::new(&followed, chain.id(), &[endpoint]));
    let mut daemon = program.start(&["run"]);
    eventually("the daemon asked what the currency is", async || {
        (currency(&followed).await == asked).then_some(())
    })
    .await;
    assert!(daemon.stop().await.success());
    daemon.assert_no_panic();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_currency_that_no_endpoint_can_ask_holds_nothing_up_and_is_left_alone_for_a_while() {
    let chain = Chain::start(Settings::market(114), 60, 8).await;
    chain
        .faults
        .change(|settings| settings.missing_methods = vec!["eth_call".to_owned()]);
    let database = Database::new().await;
    let program = Program::new(&Setup::new(&database, chain.id(), &[chain.server.http_url()]));
    let mut daemon = program.start(&["run"]);
    chain.indexed(&database.store, 0, "without eth_call").await;
    let unknown = Some((None, None, false, "unknown".to_owned()));
    assert_eq!(currency(&database).await, unknown);
    let in_vain = || daemon.log().matches("no endpoint gives a usable answer").count();
    eventually("it is asked, and then left alone", async || {
        let before = in_vain();
        tokio::time::sleep(QUIET).await;
        (before > 0 && in_vain() == before).then_some(())
    })
    .await;
    assert!(daemon.stop().await.success());
    daemon.assert_no_panic();
}

/// What `/readyz` complains about; `None` when the daemon is ready.
async fn causes(address: &str) -> Option<String> {
    let answer = reqwest::get(format!("{address}/readyz")).await.unwrap();
    let ready = answer.status().is_success();
    let text = answer.text().await.unwrap();
    (!ready).then_some(text)
}
