//! The registry on a real PostgreSQL: seeded, edited, watched.

use std::time::Duration;

use alloy_primitives::Address;
use decoders::block::{ChainId, Proof};
use indexer::config::{AuthType, Config, EndpointUrl, HeaderHash, Scope};
use indexer::database;
use indexer::registry::{self, Abi, Contract, Endpoint, RegistryError, Seeded, Watch};
use testkit::database::Database;

use crate::postgres;

const FILE: &str = r#"
    [[chains]]
    caip2 = "eip155:1"
    name = "Ethereum"
    native_symbol = "ETH"
    explorer_url = "https://etherscan.io/"
    start_block = 3914495
    finality_depth = 64
    integrity_backfill = "receipts"
    gas_policy = { max_fee_gwei = 100.5, priority_fee_gwei = 1.5, multiplier = 1.2 }
    endpoints = [{ url = "http://127.0.0.1:8545", rate_limit = 25 }, { url = "ws://127.0.0.1:8546/${KEY}", priority = 1, auth_type = "url" }]
    contracts = [{ name = "Punks", address = "0xB47e3cd837dDF8e4c57F05d70Ab865de6e193BBB", standard = "cryptopunks", start_block = 3914495 }]

    [[chains]]
    caip2 = "eip155:11297108109"
    name = "Palm"
    native_symbol = "PALM"
    enabled = false
"#;

const ETHEREUM: ChainId = ChainId(1);

fn punks() -> Address {
    "0xb47e3cd837ddf8e4c57f05d70ab865de6e193bbb".parse().unwrap()
}

fn abi(name: &str) -> Abi {
    Abi::parse(&format!(
        r#"[{{"type":"event","name":"{name}","anonymous":false,"inputs":[]}}]"#
    ))
    .unwrap()
}

fn seeded_config(database: &Database) -> Config {
    let mut config = postgres::config(database);
    config.chains = Config::parse(FILE, "test").unwrap().chains;
    config
}

fn endpoint(url: &str) -> Endpoint {
    Endpoint {
        id: 0,
        chain: ETHEREUM,
        url: EndpointUrl::parse(url).unwrap(),
        priority: 2,
        weight: 3,
        rate_limit: None,
        auth_type: AuthType::Basic,
        active: false,
    }
}

#[tokio::test]
async fn a_seed_adds_what_is_missing_and_never_overwrites() {
    let test = Database::empty(1).await;
    let config = seeded_config(&test);
    let database = database::open(&config).await.unwrap();
    let store = &database.store;
    assert_eq!(
        registry::seed(store, &config).await.unwrap(),
        Seeded {
            chains: 2,
            endpoints: 2,
            contracts: 1
        }
    );

    let entry = registry::load_chain(store, ETHEREUM).await.unwrap();
    assert_eq!(
        (entry.chain.name.as_str(), entry.chain.start_block, entry.chain.scope),
        ("Ethereum", 3_914_495, Scope::All)
    );
    assert_eq!(
        (entry.chain.settings.finality_depth, entry.chain.settings.head_proof),
        (Some(64), None)
    );
    assert_eq!(entry.chain.settings.backfill_proof, Some(Proof::Receipts));
    assert_eq!(entry.chain.settings.header_hash, HeaderHash::Auto);
    assert_eq!(
        entry
            .endpoints
            .iter()
            .map(|e| (e.url.expose(), e.rate_limit))
            .collect::<Vec<_>>(),
        [
            ("http://127.0.0.1:8545", Some(25)),
            ("ws://127.0.0.1:8546/${KEY}", None)
        ]
    );
    assert_eq!(entry.contracts[0].address, punks());
    assert_eq!(entry.gas_policy.unwrap().max_fee_gwei, Some(100.5));

    // Edits survive a second seed, and nothing is added twice.
    registry::edit_chain(store, ETHEREUM, |chain| {
        chain.name = "Mainnet".to_owned();
        chain.settings.finality_depth = None;
        chain.explorer_url = None;
    })
    .await
    .unwrap();
    registry::edit_endpoint(store, entry.endpoints[0].id, |endpoint| endpoint.active = false)
        .await
        .unwrap();
    assert_eq!(registry::seed(store, &config).await.unwrap(), Seeded::default());
    let again = registry::load_chain(store, ETHEREUM).await.unwrap();
    assert_eq!(
        (
            again.chain.name.as_str(),
            again.chain.settings.finality_depth,
            again.chain.explorer_url
        ),
        ("Mainnet", None, None)
    );
    assert!(!again.endpoints[0].active);
    let chains = registry::chains(store).await.unwrap();
    assert_eq!(
        chains
            .iter()
            .map(|chain| (chain.chain.0, chain.enabled))
            .collect::<Vec<_>>(),
        [(1, true), (11_297_108_109, false)]
    );
    database.close().await;
}

#[tokio::test]
async fn keys_of_other_services_in_features_survive_an_edit() {
    let test = Database::empty(1).await;
    let config = seeded_config(&test);
    let database = database::open(&config).await.unwrap();
    registry::seed(&database.store, &config).await.unwrap();
    let theirs = "update chain_registry_service.chains set features_json = features_json || '{\"eip1559\": true}' where caip2 = 'eip155:1'";
    sqlx::query(theirs).execute(&database.store.pool).await.unwrap();
    registry::edit_chain(&database.store, ETHEREUM, |chain| chain.settings.poll_interval_ms = 500)
        .await
        .unwrap();
    let features: serde_json::Value =
        sqlx::query_scalar("select features_json from chain_registry_service.chains where caip2 = 'eip155:1'")
            .fetch_one(&database.store.pool)
            .await
            .unwrap();
    assert_eq!(features["eip1559"], true);
    assert_eq!(features["poll_interval_ms"], 500);
    assert_eq!(features.get("head_proof"), None, "a key without a value is not stored");
    database.close().await;
}

#[tokio::test]
async fn endpoints_make_the_round_and_go_with_their_chain() {
    let test = Database::empty(1).await;
    let config = seeded_config(&test);
    let database = database::open(&config).await.unwrap();
    let store = &database.store;
    registry::seed(store, &config).await.unwrap();

    let id = registry::add_endpoint(store, &endpoint("https://u:p@h/k"))
        .await
        .unwrap();
    let added = registry::endpoints(store, Some(ETHEREUM))
        .await
        .unwrap()
        .into_iter()
        .find(|e| e.id == id)
        .unwrap();
    assert_eq!(
        added,
        Endpoint {
            id,
            ..endpoint("https://u:p@h/k")
        }
    );
    let again = registry::add_endpoint(store, &endpoint("https://u:p@h/k"))
        .await
        .unwrap_err()
        .to_string();
    assert!(
        again.contains("https://h/… already") && !again.contains("u:p"),
        "{again}"
    );
    let taken = registry::edit_endpoint(store, id, |e| {
        e.url = EndpointUrl::parse("http://127.0.0.1:8545").unwrap()
    })
    .await;
    assert!(matches!(taken, Err(RegistryError::Refused(_))));
    registry::remove_endpoint(store, id).await.unwrap();
    assert!(matches!(
        registry::remove_endpoint(store, id).await,
        Err(RegistryError::Unknown { .. })
    ));
    let nowhere = Endpoint {
        chain: ChainId(5),
        ..endpoint("http://u:p@h")
    };
    assert!(
        registry::add_endpoint(store, &nowhere)
            .await
            .unwrap_err()
            .to_string()
            .contains("eip155:5 is not in the registry")
    );

    registry::remove_chain(store, ETHEREUM).await.unwrap();
    assert!(registry::endpoints(store, None).await.unwrap().is_empty());
    assert!(
        registry::load_chain(store, ETHEREUM)
            .await
            .unwrap_err()
            .to_string()
            .contains("registry chains add")
    );
    database.close().await;
}

#[tokio::test]
async fn contracts_and_abis_make_the_round() {
    let test = Database::empty(1).await;
    let config = seeded_config(&test);
    let database = database::open(&config).await.unwrap();
    let store = &database.store;
    registry::seed(store, &config).await.unwrap();

    let (one, other) = (abi("One"), abi("Other"));
    let address = Address::repeat_byte(7);
    let contract = Contract {
        chain: ETHEREUM,
        address,
        name: Some("Seven".to_owned()),
        standard: Some("erc721".to_owned()),
        start_block: 9,
        abi_sha256: None,
        impl_address: Some(Address::repeat_byte(8)),
    };
    registry::add_contract(store, &contract, Some(&one)).await.unwrap();
    assert!(matches!(
        registry::add_contract(store, &contract, None).await,
        Err(RegistryError::Refused(_))
    ));
    let edited = registry::edit_contract(store, (ETHEREUM, address), Some(&other), |c| c.impl_address = None)
        .await
        .unwrap();
    assert_eq!(
        (edited.abi_sha256.as_deref(), edited.impl_address),
        (Some(other.sha256.as_str()), None)
    );
    assert!(
        registry::contracts(store, Some(ETHEREUM))
            .await
            .unwrap()
            .contains(&edited)
    );
    let missing = "0".repeat(64);
    let broken = registry::edit_contract(store, (ETHEREUM, address), None, |c| c.abi_sha256 = Some(missing))
        .await
        .unwrap_err();
    assert!(
        broken.to_string().contains("is not in the registry: add it"),
        "{broken}"
    );

    assert_eq!(registry::abis(store).await.unwrap().len(), 2);
    assert_eq!(registry::abi_json(store, &one.sha256).await.unwrap()[0]["name"], "One");
    let used = registry::remove_abi(store, &other.sha256).await.unwrap_err();
    assert!(used.to_string().contains("is used by a contract"), "{used}");
    registry::remove_abi(store, &one.sha256).await.unwrap();
    registry::add_abi(store, &one, None, Some("erc721")).await.unwrap();
    registry::add_abi(store, &one, None, None).await.unwrap();
    registry::remove_contract(store, ETHEREUM, address).await.unwrap();
    assert!(matches!(
        registry::remove_contract(store, ETHEREUM, address).await,
        Err(RegistryError::Unknown { .. })
    ));
    database.close().await;
}

#[tokio::test]
async fn what_the_schema_refuses_is_a_refusal_not_an_outage() {
    let test = Database::empty(1).await;
    let config = seeded_config(&test);
    let database = database::open(&config).await.unwrap();
    let store = &database.store;
    registry::seed(store, &config).await.unwrap();
    let chain = registry::load_chain(store, ETHEREUM).await.unwrap().chain;
    for broken in [
        registry::Chain {
            chain: ChainId(2),
            decimals: 99,
            ..chain.clone()
        },
        registry::Chain {
            chain: ChainId(u64::MAX),
            ..chain.clone()
        },
        registry::Chain {
            chain: ChainId(2),
            start_block: u64::MAX,
            ..chain
        },
    ] {
        assert!(
            matches!(
                registry::add_chain(store, &broken).await,
                Err(RegistryError::Refused(_))
            ),
            "{broken:?}"
        );
    }
    database.close().await;
}

#[tokio::test]
async fn a_watch_tells_of_every_edit_and_survives_its_connection() {
    let test = Database::empty(1).await;
    let config = seeded_config(&test);
    let database = database::open(&config).await.unwrap();
    let store = &database.store;
    registry::seed(store, &config).await.unwrap();
    let mut watch = Watch::start(&database).await.unwrap();
    let soon = Duration::from_secs(100);

    registry::edit_chain(store, ETHEREUM, |chain| chain.enabled = false)
        .await
        .unwrap();
    tokio::time::timeout(soon, watch.changed())
        .await
        .expect("an edited chain is announced");
    registry::add_endpoint(store, &endpoint("http://u:p@new"))
        .await
        .unwrap();
    tokio::time::timeout(soon, watch.changed())
        .await
        .expect("a new endpoint is announced");
    tokio::time::timeout(Duration::from_millis(300), watch.changed())
        .await
        .expect_err("nothing is announced twice");

    let cut = "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid() \
               and query ilike 'listen%'";
    let cut = sqlx::query(cut).execute(&store.pool).await.unwrap();
    assert_eq!(cut.rows_affected(), 1);
    tokio::time::timeout(soon, watch.changed())
        .await
        .expect("a lost connection counts as a change");
    registry::remove_chain(store, ETHEREUM).await.unwrap();
    tokio::time::timeout(soon, watch.changed())
        .await
        .expect("it listens again");
    database.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn daemons_that_start_at_the_same_moment_add_a_chain_once() {
    let test = Database::empty(1).await;
    let config = seeded_config(&test);
    let database = database::open(&config).await.unwrap();
    let store = &database.store;
    for round in 0..20 {
        sqlx::query("delete from chain_registry_service.chains")
            .execute(&store.pool)
            .await
            .unwrap();
        let seeding = (0..6).map(|_| registry::seed(store, &config));
        let seeded = futures::future::join_all(seeding).await;
        let added: u32 = seeded.into_iter().map(|seeded| seeded.unwrap().chains).sum();
        assert_eq!(added, 2, "round {round}");
    }
    database.close().await;
}
