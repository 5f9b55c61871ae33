//! Contracts decoded by stored ABIs, on a real node: added and edited while the daemon runs, upgraded, reorganised, at fault.

use std::collections::BTreeMap;
use std::time::Duration;

use alloy_primitives::{Address, B256, Bytes, U256, hex, keccak256};
use mongodb::bson::doc;
use serde_json::{Value, json};
use sinks::abis::abi_source;
use sinks::progress::checkpoint;
use sinks::progress::coverage::{self, Wanted};
use testkit::database::Database;
use testkit::mongo::MongoDatabase;
use testkit::patience::{PATIENCE, eventually, within};

use crate::harness::program::{Program, Setup};
use crate::node::{FINALIZED_DEPTH, Node};

/// Emits what it is given: the call's first word is the number of topics, the next three are topics, the rest is data.
const LOGGER: &str = "6045600c60003960456000f36080360360806000376000358060021460245760031460335760203560803603\
                      6000a1005b60403560203560803603\
                      6000a2005b60603560403560203560803603\
                      6000a300";

/// A contract that emits what it is given.
struct Logger<'a> {
    node: &'a Node,
    address: Address,
}

impl<'a> Logger<'a> {
    async fn deploy(node: &'a Node) -> Logger<'a> {
        let creation: Bytes = hex::decode(LOGGER).unwrap().into();
        let address = node.deploy(node.accounts[0], &creation).await;
        Logger { node, address }
    }

    /// The transaction that emits a log.
    fn transaction(&self, topics: &[B256], data: &[u8]) -> Value {
        let mut call = U256::from(topics.len()).to_be_bytes_vec();
        for place in 0..3 {
            call.extend(topics.get(place).copied().unwrap_or_default());
        }
        call.extend(data);
        json!({ "from": self.node.accounts[0], "to": self.address, "data": Bytes::from(call), "gas": "0x7a1200" })
    }

    async fn emit(&self, topics: &[B256], data: &[u8]) {
        self.node.send(&self.transaction(topics, data)).await;
        self.node.mine().await;
    }

    async fn staked(&self, amount: u64) {
        self.emit(
            &[keccak256("Staked(address,uint256)"), self.address.into_word()],
            &word(amount),
        )
        .await;
    }

    async fn ping(&self, number: u64) {
        self.emit(&[keccak256("Ping(uint256)")], &word(number)).await;
    }
}

fn word(number: u64) -> Vec<u8> {
    U256::from(number).to_be_bytes_vec()
}

fn event(name: &str, inputs: &[(&str, &str, bool)]) -> Value {
    let input = |(name, kind, indexed): &(&str, &str, bool)| json!({ "name": name, "type": kind, "indexed": indexed });
    json!({ "type": "event", "name": name, "anonymous": false, "inputs": inputs.iter().map(input).collect::<Vec<_>>() })
}

/// The node, the program that follows it, and its stores.
struct World {
    node: Node,
    database: Database,
    mongo: Option<MongoDatabase>,
    program: Program,
    folder: tempfile::TempDir,
}

impl World {
    async fn new(mongo: Option<MongoDatabase>) -> World {
        let node = Node::start().await;
        let database = Database::new().await;
        let setup = Setup::new(&database, node.chain(), &[node.http_url()]);
        let setup = mongo.iter().fold(setup, |setup, mongo| setup.archived_in(mongo));
        World {
            program: Program::new(&setup),
            folder: tempfile::tempdir().unwrap(),
            node,
            database,
            mongo,
        }
    }

    fn file(&self, name: &str, abi: &[Value]) -> String {
        let path = self.folder.path().join(name);
        std::fs::write(&path, Value::from(abi.to_vec()).to_string()).unwrap();
        path.to_str().unwrap().to_owned()
    }

    async fn mine(&self, blocks: u64) {
        self.node.call("anvil_mine", json!([format!("{blocks:#x}")])).await;
    }

    async fn registry(&self, verb: &str, address: Address, more: &[&str]) {
        let (chain, address) = (self.node.chain().to_string(), format!("{address:#x}"));
        let mut arguments = vec!["registry", "contracts", verb, "--chain", &chain, "--address", &address];
        if verb == "add" {
            arguments.extend(["--name", "Logger", "--standard", "custom"]);
        }
        arguments.extend(more);
        self.program.run(&arguments).await;
    }

    /// Waits until the tables stand at the node's head.
    async fn at_head(&self, context: &str) {
        let (store, chain, head) = (&self.database.store, self.node.chain(), self.node.head().await);
        eventually(&format!("{context}: at block {head}"), async || {
            let stored = checkpoint::read(store, chain).await.unwrap()?;
            (stored.block == head).then_some(())
        })
        .await;
    }

    /// Waits until every log of `contract` up to the head is read by its ABIs; the chain goes on meanwhile, because what was applied
    /// before the contract was known is asked for once it is final.
    async fn read(&self, contract: Address, context: &str) {
        let (store, chain, head) = (&self.database.store, self.node.chain(), self.node.head().await);
        let wanted = [Wanted {
            source: abi_source(&contract),
            from: 0,
        }];
        eventually(&format!("{context}: every log is read"), async || {
            let missing = coverage::missing(store, chain, &wanted, 0..=head.number).await.unwrap();
            if missing.is_empty() {
                return Some(());
            }
            self.mine(FINALIZED_DEPTH / 4).await;
            tokio::time::sleep(Duration::from_millis(500)).await;
            None
        })
        .await;
        self.at_head(context).await;
    }

    /// What the archive decodes of the contract's logs, in chain order.
    async fn events(&self, contract: Address) -> Vec<(Option<String>, Value)> {
        let address = format!("{contract:#x}");
        let Some(mongo) = &self.mongo else {
            let rows: Vec<(Option<String>, Option<Value>)> = sqlx::query_as(
                "select event_type, event_data from indexer_service.raw_events where address = $1 order by id",
            )
            .bind(&address)
            .fetch_all(&self.database.store.pool)
            .await
            .unwrap();
            return rows
                .into_iter()
                .map(|(kind, data)| (kind, data.unwrap_or_default()))
                .collect();
        };
        let client = mongodb::Client::with_uri_str(&mongo.url).await.unwrap();
        let events = client
            .database(&mongo.name)
            .collection::<mongodb::bson::Document>("raw_events");
        let mut cursor = events
            .find(doc! { "address": &address })
            .sort(doc! { "_id": 1 })
            .await
            .unwrap();
        let mut found = Vec::new();
        while cursor.advance().await.unwrap() {
            let document = cursor.deserialize_current().unwrap();
            let data: Value =
                mongodb::bson::deserialize_from_bson(document.get("event_data").unwrap().clone()).unwrap();
            found.push((document.get_str("event_type").ok().map(str::to_owned), data));
        }
        found
    }

    /// Waits until the archive holds just this.
    async fn holds(&self, contract: Address, expected: &[(&str, Value)], context: &str) {
        let expected: Vec<(Option<String>, Value)> = expected
            .iter()
            .map(|(kind, data)| ((!kind.is_empty()).then(|| (*kind).to_owned()), data.clone()))
            .collect();
        let mut last = Vec::new();
        let stated = within(PATIENCE, async || {
            last = self.events(contract).await;
            (last == expected).then_some(())
        })
        .await;
        assert!(stated.is_some(), "{context}: {last:#?} is not {expected:#?}");
    }

    /// What the processing queue shows, by status.
    async fn queued(&self) -> Vec<(String, i64)> {
        let Some(mongo) = &self.mongo else {
            let counts =
                "select status, count(*) from indexer_service.processing_queue group by status order by status";
            return sqlx::query_as(counts)
                .fetch_all(&self.database.store.pool)
                .await
                .unwrap();
        };
        let client = mongodb::Client::with_uri_str(&mongo.url).await.unwrap();
        let entries = client
            .database(&mongo.name)
            .collection::<mongodb::bson::Document>("processing_queue");
        let mut counts = BTreeMap::new();
        let mut cursor = entries.find(doc! {}).await.unwrap();
        while cursor.advance().await.unwrap() {
            let status = cursor
                .deserialize_current()
                .unwrap()
                .get_str("status")
                .unwrap()
                .to_owned();
            *counts.entry(status).or_insert(0) += 1;
        }
        counts.into_iter().collect()
    }

    async fn faults(&self) -> Vec<String> {
        let text = self.program.run(&["faults", "list", "--json"]).await;
        let listed: Value = serde_json::from_str(&text).unwrap();
        let reasons = listed["faults"].as_array().unwrap().iter();
        reasons
            .map(|fault| fault["reason"].as_str().unwrap().to_owned())
            .collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_contract_added_to_a_running_daemon_is_read_from_its_first_block_on_into_mongodb() {
    added_and_edited(Some(MongoDatabase::new())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_contract_added_to_a_running_daemon_is_read_from_its_first_block_on_into_postgresql() {
    added_and_edited(None).await;
}

async fn added_and_edited(mongo: Option<MongoDatabase>) {
    let world = World::new(mongo).await;
    let logger = Logger::deploy(&world.node).await;
    let contract = logger.address;
    logger.staked(1).await;
    logger
        .emit(&[keccak256("Staked(address,uint256)"), B256::ZERO], &[7; 31])
        .await;
    logger.ping(5).await;
    world.mine(FINALIZED_DEPTH + 8).await;
    logger.staked(2).await;

    let daemon = world.program.start(&["run"]);
    world.at_head("before the contract is known").await;
    assert_eq!(world.events(contract).await, [], "its logs were never asked for");

    let inputs = [("who", "address", true), ("amount", "uint256", false)];
    let abi = world.file("staking.json", &[event("Staked", &inputs)]);
    world.registry("add", contract, &["--abi", &abi]).await;
    let who = format!("{contract:#x}");
    let staked = |amount: &str| ("Staked(address,uint256)", json!({ "who": who, "amount": amount }));
    let none = ("", Value::Null);
    world.read(contract, "added").await;
    world
        .holds(
            contract,
            &[staked("1"), none.clone(), none.clone(), staked("2")],
            "history",
        )
        .await;
    logger.staked(3).await;
    world
        .holds(
            contract,
            &[staked("1"), none.clone(), none.clone(), staked("2"), staked("3")],
            "live",
        )
        .await;
    assert_eq!(world.faults().await, ["data_too_short", "event_unknown"]);
    let retried = world.program.run(&["faults", "retry"]).await;
    assert_eq!(retried.trim(), "2 faults tried again: 0 mended, 2 remain");

    // Another ABI: other names, and one event more.
    let inputs = [("", "address", true), ("wei", "uint256", false)];
    let wider = [event("Staked", &inputs), event("Ping", &[("number", "uint256", false)])];
    let abi = world.file("wider.json", &wider);
    world.registry("set", contract, &["--abi", &abi]).await;
    let staked = |amount: &str| ("Staked(address,uint256)", json!({ "0": who, "wei": amount }));
    let ping = ("Ping(uint256)", json!({ "number": "5" }));
    let expected = [staked("1"), none, ping, staked("2"), staked("3")];
    world.holds(contract, &expected, "by another abi").await;
    world.read(contract, "by another abi").await;
    assert_eq!(world.faults().await, ["data_too_short"]);
    let shown = world
        .program
        .run(&["faults", "list", "--reason", "data_too_short", "--since", "1h"])
        .await;
    assert!(shown.contains(&who) && shown.contains("data_too_short"), "{shown}");
    let shown = world
        .program
        .run(&["faults", "list", "--reason", "event_unknown"])
        .await;
    assert_eq!(shown.trim(), "no faults");
    drop(daemon);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_is_read_by_the_abi_of_the_implementation_in_force_at_each_log_into_mongodb() {
    upgraded_and_reorganised(Some(MongoDatabase::new())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_is_read_by_the_abi_of_the_implementation_in_force_at_each_log_into_postgresql() {
    upgraded_and_reorganised(None).await;
}

async fn upgraded_and_reorganised(mongo: Option<MongoDatabase>) {
    let world = World::new(mongo).await;
    let proxy = Logger::deploy(&world.node).await;
    let (one, two) = (Address::repeat_byte(0x11), Address::repeat_byte(0x22));
    let upgraded = keccak256("Upgraded(address)");
    let first = world.file("one.json", &[event("Ping", &[("one", "uint256", false)])]);
    let second = world.file("two.json", &[event("Ping", &[("two", "uint256", false)])]);
    proxy.ping(1).await;
    proxy.emit(&[upgraded, one.into_word()], &[]).await;
    proxy.ping(2).await;
    // The old form states the implementation in the data.
    proxy.emit(&[upgraded], two.into_word().as_slice()).await;
    proxy.ping(3).await;
    world.mine(FINALIZED_DEPTH + 8).await;

    let daemon = world.program.start(&["run"]);
    world.at_head("at first").await;
    let own = world.file("proxy.json", &[event("Unseen", &[])]);
    world.registry("add", proxy.address, &["--abi", &own]).await;
    let ping = |key: &str, number: &str| ("Ping(uint256)", json!({ key: number }));
    let upgrade = |to: Address| ("Upgraded(address)", json!({ "implementation": format!("{to:#x}") }));
    let none = ("", Value::Null);
    world.read(proxy.address, "without implementations").await;
    let untold = [none.clone(), upgrade(one), none.clone(), upgrade(two), none.clone()];
    world.holds(proxy.address, &untold, "without implementations").await;
    assert_eq!(world.faults().await, ["event_unknown", "abi_unknown", "abi_unknown"]);
    eventually("the queue shows what waits", async || {
        (world.queued().await == [("pending".to_owned(), 2)]).then_some(())
    })
    .await;

    world.registry("add", two, &["--abi", &second]).await;
    world.registry("add", one, &["--abi", &first]).await;
    let stated = [
        none.clone(),
        upgrade(one),
        ping("one", "2"),
        upgrade(two),
        ping("two", "3"),
    ];
    world.holds(proxy.address, &stated, "with implementations").await;
    eventually("what waited is done", async || {
        let retried = world.program.run(&["faults", "retry", "--reason", "abi_unknown"]).await;
        retried.contains("0 remain").then_some(())
    })
    .await;
    assert_eq!(world.faults().await, ["event_unknown"]);
    eventually("the queue shows so", async || {
        world.queued().await.is_empty().then_some(())
    })
    .await;

    // Upgraded back, and used: until a reorg takes the upgrade away and leaves the use.
    let at = world.node.head().await;
    proxy.emit(&[upgraded, one.into_word()], &[]).await;
    proxy.ping(4).await;
    let longer = [&stated[..], &[upgrade(one), ping("one", "4")]].concat();
    world.holds(proxy.address, &longer, "upgraded back").await;
    let depth = world.node.head().await.number - at.number;
    let use_again = proxy.transaction(&[keccak256("Ping(uint256)")], &word(4));
    world.node.reorganise(depth, &[(use_again, 1)]).await;
    world.mine(2).await;
    world.at_head("after the reorg").await;
    let shorter = [&stated[..], &[ping("two", "4")]].concat();
    world.holds(proxy.address, &shorter, "after the reorg").await;
    drop(daemon);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_tells_no_upgrade_is_read_by_what_the_registry_says_of_each_block_into_mongodb() {
    read_as_the_registry_states(Some(MongoDatabase::new())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_tells_no_upgrade_is_read_by_what_the_registry_says_of_each_block_into_postgresql() {
    read_as_the_registry_states(None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stands_below_a_contracts_first_block_is_left_out_whoever_reads_it_into_mongodb() {
    decoded_from_its_first_block_of_interest(Some(MongoDatabase::new())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stands_below_a_contracts_first_block_is_left_out_whoever_reads_it_into_postgresql() {
    decoded_from_its_first_block_of_interest(None).await;
}

async fn decoded_from_its_first_block_of_interest(mongo: Option<MongoDatabase>) {
    let world = World::new(mongo).await;
    let logger = Logger::deploy(&world.node).await;
    let mut blocks = Vec::new();
    for number in 1..=3 {
        logger.ping(number).await;
        blocks.push(world.node.head().await.number.to_string());
    }
    world.mine(FINALIZED_DEPTH + 8).await;
    let abi = world.file("one.json", &[event("Ping", &[("one", "uint256", false)])]);
    let first = ["--abi", &abi, "--start-block", &blocks[1]];
    world.registry("add", logger.address, &first).await;

    // The history of the chain is read with the contract's logs in it, those of before included.
    let _daemon = world.program.start(&["run"]);
    world.at_head("at first").await;
    let ping = |number: &str| ("Ping(uint256)", json!({ "one": number }));
    let stated = ["2", "3"].map(ping);
    world
        .holds(logger.address, &stated, "from its first block of interest on")
        .await;
    world
        .registry("set", logger.address, &["--start-block", &blocks[0]])
        .await;
    let stated = ["1", "2", "3"].map(ping);
    world.holds(logger.address, &stated, "from an earlier block on").await;
}

async fn read_as_the_registry_states(mongo: Option<MongoDatabase>) {
    let world = World::new(mongo).await;
    let proxy = Logger::deploy(&world.node).await;
    let mut blocks = Vec::new();
    for number in 1..=5 {
        proxy.ping(number).await;
        blocks.push(world.node.head().await.number.to_string());
    }
    world.mine(FINALIZED_DEPTH + 8).await;
    let daemon = world.program.start(&["run"]);
    world.at_head("at first").await;

    let names = ["one", "two", "three"];
    let implementations = [0x11, 0x22, 0x33].map(Address::repeat_byte);
    for (name, address) in names.iter().zip(implementations) {
        let abi = world.file(&format!("{name}.json"), &[event("Ping", &[(name, "uint256", false)])]);
        world.registry("add", address, &["--abi", &abi]).await;
    }
    let [one, two, three] = implementations.map(|address| format!("{address:#x}"));
    let ping = |key: &str, number: &str| ("Ping(uint256)", json!({ key: number }));

    let first = ["--impl", &one, "--start-block", &blocks[1]];
    world.registry("add", proxy.address, &first).await;
    let stated = ["2", "3", "4", "5"].map(|number| ping("one", number));
    world
        .holds(proxy.address, &stated, "from its first block of interest on")
        .await;

    // The registry learns of the upgrades later, and the last one first.
    let since =
        |implementation: &str, block: &str| ["--impl", implementation, "--from-block", block].map(str::to_owned);
    for (upgrade, stated) in [
        (since(&three, &blocks[4]), ["one", "one", "one", "three"]),
        (since(&two, &blocks[2]), ["one", "two", "two", "three"]),
    ] {
        let arguments: Vec<&str> = upgrade.iter().map(String::as_str).collect();
        world.registry("set", proxy.address, &arguments).await;
        let numbers = ["2", "3", "4", "5"].iter();
        let stated: Vec<_> = stated
            .iter()
            .zip(numbers)
            .map(|(key, number)| ping(key, number))
            .collect();
        world.holds(proxy.address, &stated, &format!("with {upgrade:?}")).await;
    }
    proxy.ping(6).await;
    let now = [("one", "2"), ("two", "3"), ("two", "4"), ("three", "5"), ("three", "6")];
    let now = now.map(|(key, number)| ping(key, number));
    world.holds(proxy.address, &now, "live").await;

    // An earlier first block is a gap of the contract.
    world
        .registry("set", proxy.address, &["--start-block", &blocks[0]])
        .await;
    let all = [&[ping("one", "1")], &now[..]].concat();
    world.holds(proxy.address, &all, "from an earlier block on").await;
    assert_eq!(world.faults().await, [] as [String; 0]);
    drop(daemon);
}
