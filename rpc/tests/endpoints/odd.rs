//! Endpoints that are odd in one way all the time, as real ones are: the span is the truth all the same, proven as far as it then can
//! be, and a chain never stands still for it.

use std::sync::Arc;

use decoders::block::{LATEST_TIME, Log, Proof, Span};
use decoders::failure::Class;
use rpc::{EndpointError, Filter, Pool};
use serde_json::{Value, json};
use testchain::block::Block;
use testchain::quirks::{Quirk, Reply};

use crate::world::{World, health, nft, options, reference, setting};

const LAST: u64 = 39;
const RECEIPTS: &str = "eth_getBlockReceipts";
const LOGS: &str = "eth_getLogs";
const BY_HASH: &str = "eth_getBlockByHash";
const BY_NUMBER: &str = "eth_getBlockByNumber";

/// Changes the log in this place of an answer.
type Bend = fn(usize, &mut Value);

/// A chain behind one endpoint with these habits.
async fn world(quirks: Vec<Quirk>) -> World {
    let world = World::new(LAST + 1, 1).await;
    world.change(0, |faults| faults.quirks = quirks);
    world
}

fn unknown(method: &str) -> Quirk {
    Quirk::always(
        method,
        Reply::error(-32601, "the method does not exist/is not available"),
    )
}

/// A block in the middle with logs of several transactions that are asked for.
fn busy(world: &World) -> Arc<Block> {
    let blocks = world.ledger.range(5, LAST - 5);
    let count = |block: &Arc<Block>| world.truth(block.number..=block.number, &nft()).len();
    blocks.into_iter().max_by_key(count).unwrap()
}

/// What stands in the answers of a method about a block, by the object that names the block.
fn about(number: u64, object: &Value) -> bool {
    object["blockNumber"] == json!(format!("{number:#x}"))
}

fn set(object: &mut Value, member: &str, value: impl Into<Value>) {
    object[member] = value.into();
}

async fn range(pool: &Pool, wanted: Proof) -> Result<Span, EndpointError> {
    pool.range_span(0..=LAST, &nft(), wanted).await
}

/// Reads everything in a range and block by block, over HTTP and over a WebSocket, and compares it with the truth.
async fn assert_truth(what: &str, world: &World, wanted: Proof, proven: Proof) {
    for url in [world.servers[0].0.http_url(), world.servers[0].0.ws_url()] {
        let pool = pool_at(&url).await;
        let span = range(&pool, wanted)
            .await
            .unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(span.logs, world.truth(0..=LAST, &nft()), "{what} at {url}");
        assert_eq!(span.proof, proven, "{what} at {url}");
        let block = busy(world);
        let live = pool.block_span(reference(&block), &nft(), wanted).await;
        let live = live.unwrap_or_else(|error| panic!("{what}, a single block: {error}"));
        let number = block.number;
        assert_eq!(
            live.logs,
            world.truth(number..=number, &nft()),
            "{what} at {url}, a single block"
        );
        assert_eq!(live.proof, proven, "{what} at {url}, a single block");
    }
}

async fn pool_at(url: &str) -> Pool {
    let cancel = tokio_util::sync::CancellationToken::new();
    let pool = Pool::connect(decoders::block::ChainId(1), vec![setting(0, url)], options(), cancel);
    pool.await.expect("the endpoint serves the chain")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_root_covers_is_derived_in_a_proven_block() {
    let shift = |by: u64| {
        move |_: usize, log: &mut Value| {
            let index = u64::from_str_radix(&log["logIndex"].as_str().unwrap()[2..], 16).unwrap();
            set(log, "logIndex", format!("{:#x}", index + by));
        }
    };
    let member = |name: &'static str, value: Value| move |_: usize, log: &mut Value| set(log, name, value.clone());
    let elsewhere = json!(format!("0x{}", "ab".repeat(32)));
    let quirks = [
        ("indexes shifted by five", Quirk::logs(RECEIPTS, shift(5))),
        ("indexes beyond 32 bits", Quirk::logs(RECEIPTS, shift(1 << 33))),
        (
            "the same index everywhere",
            Quirk::logs(RECEIPTS, member("logIndex", json!("0x1"))),
        ),
        ("no index", Quirk::logs(RECEIPTS, member("logIndex", Value::Null))),
        (
            "an index of another shape",
            Quirk::logs(RECEIPTS, member("logIndex", json!([{}]))),
        ),
        ("removed", Quirk::logs(RECEIPTS, member("removed", json!(true)))),
        (
            "removed, in words",
            Quirk::logs(RECEIPTS, member("removed", json!("yes"))),
        ),
        (
            "logs of another block",
            Quirk::logs(RECEIPTS, member("blockHash", elsewhere.clone())),
        ),
        (
            "logs at another height",
            Quirk::logs(RECEIPTS, member("blockNumber", json!("0x1"))),
        ),
        (
            "logs at another time",
            Quirk::logs(RECEIPTS, member("blockTimestamp", json!("0xffffffffffffffff"))),
        ),
        (
            "logs of another transaction",
            Quirk::logs(RECEIPTS, member("transactionHash", elsewhere.clone())),
        ),
        (
            "logs at another transaction",
            Quirk::logs(RECEIPTS, member("transactionIndex", json!("0x63"))),
        ),
        (
            "receipts at another transaction",
            receipts(|place, receipt| {
                set(receipt, "transactionIndex", format!("{:#x}", place + 3));
            }),
        ),
        (
            "receipts without a place",
            receipts(|_, receipt| set(receipt, "transactionIndex", Value::Null)),
        ),
        (
            "receipts of another block",
            receipts(move |_, receipt| set(receipt, "blockHash", elsewhere.clone())),
        ),
        (
            "receipts backwards",
            Quirk::new(RECEIPTS, |_, truth| {
                truth.map(|result| result.as_array_mut().into_iter().for_each(|all| all.reverse()))
            }),
        ),
    ];
    for (what, quirk) in quirks {
        assert_truth(what, &world(vec![quirk]).await, Proof::Receipts, Proof::Receipts).await;
    }
}

fn receipts(change: impl Fn(usize, &mut Value) + Send + Sync + 'static) -> Quirk {
    Quirk::new(RECEIPTS, move |_, truth| {
        truth.map(|result| {
            let all = result.as_array_mut().into_iter().flatten();
            all.enumerate().for_each(|(place, receipt)| change(place, receipt));
        })
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn receipts_of_other_transactions_prove_nothing() {
    let renamed = receipts(|place, receipt| {
        let hash = format!("0x{:064x}", place + 1);
        for log in receipt["logs"].as_array_mut().unwrap() {
            set(log, "transactionHash", hash.clone());
        }
        set(receipt, "transactionHash", hash);
    });
    // The receipts of single transactions name them rightly, and prove the block as well.
    let world = world(vec![renamed]).await;
    let pool = world.pool().await;
    for _ in 0..3 {
        let span = range(&pool, Proof::Receipts).await.unwrap();
        assert!(span.proof >= Proof::Bloom);
        assert_eq!(span.logs, world.truth(0..=LAST, &nft()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_of_other_transactions_are_asked_for_elsewhere() {
    let wrong: [(&str, Bend); 3] = [
        ("of a transaction the block does not have", |place, log| {
            set(log, "transactionHash", format!("0x{:064x}", place + 1))
        }),
        ("at another transaction", |_, log| set(log, "transactionIndex", "0x0")),
        ("beyond the last transaction", |_, log| {
            set(log, "transactionIndex", "0xffff")
        }),
    ];
    for (what, change) in wrong {
        let world = world(vec![Quirk::logs(LOGS, change)]).await;
        assert_truth(what, &world, Proof::Bloom, Proof::Bloom).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_numbered_per_transaction_are_told_apart_by_their_place_in_the_block() {
    let number = |method: &str| {
        Quirk::new(method, |_, truth| {
            truth.map(|result| {
                let mut seen = std::collections::BTreeMap::<String, u64>::new();
                let mut renumber = |log: &mut Value| {
                    let next = seen.entry(log["transactionHash"].to_string()).or_default();
                    set(log, "logIndex", format!("{next:#x}"));
                    *next += 1;
                };
                for each in result.as_array_mut().into_iter().flatten() {
                    match each.get_mut("logs").and_then(Value::as_array_mut) {
                        Some(logs) => logs.iter_mut().for_each(&mut renumber),
                        None => renumber(each),
                    }
                }
            })
        })
    };
    let world = world(vec![number(LOGS), number(RECEIPTS)]).await;
    for wanted in [Proof::Bloom, Proof::Receipts] {
        assert_truth("numbered per transaction", &world, wanted, wanted).await;
    }
    assert_eq!(health(&world.pool().await, 0).lies, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn receipts_are_asked_for_by_height_where_they_are_not_given_by_hash() {
    for rejection in [
        Reply::error(-32602, "invalid argument 0: hex number > 64 bits"),
        Reply::error(-32603, "internal error"),
        Reply::error(
            -32601,
            "the method eth_getBlockReceipts does not exist/is not available",
        ),
        Reply::error(-32000, "forbidden"),
        Reply::Result(Value::Null),
        Reply::Result(json!("0x")),
        Reply::Result(json!({})),
        Reply::Nothing,
    ] {
        let world = world(vec![Quirk::by_hash(RECEIPTS, rejection.clone())]).await;
        assert_truth(&format!("{rejection:?}"), &world, Proof::Receipts, Proof::Receipts).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_and_logs_do_where_receipts_are_never_given() {
    for rejection in [
        Reply::error(-32000, "eth_getBlockReceipts is not supported on your plan"),
        Reply::error(-32603, "internal error"),
        Reply::error(-32000, "forbidden: upgrade your api key"),
        Reply::Result(Value::Null),
        Reply::Result(json!([null])),
        Reply::Result(json!("")),
        Reply::Result(json!(-1)),
        Reply::Text("[".repeat(200) + &"]".repeat(200)),
        Reply::Text(r#"[{"logs":[],"logs":[]}]"#.to_owned()),
        Reply::Nothing,
    ] {
        let world = world(vec![Quirk::always(RECEIPTS, rejection.clone())]).await;
        assert_truth(&format!("{rejection:?}"), &world, Proof::Receipts, Proof::Bloom).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_block_without_receipts_costs_the_proof_and_not_the_chain() {
    for reply in [
        Reply::error(-32000, "method handler crashed"),
        Reply::error(-32601, "method not found"),
        Reply::Result(Value::Null),
        Reply::Nothing,
    ] {
        let world = world(Vec::new()).await;
        let block = busy(&world);
        let names = [json!(block.hash), json!(format!("{:#x}", block.number))];
        let answer = reply.clone();
        let quirk = Quirk::new(RECEIPTS, move |params, truth| {
            if names.contains(&params[0]) {
                answer.clone()
            } else {
                truth
            }
        });
        world.change(0, |faults| faults.quirks = vec![quirk]);
        assert_truth(&format!("{reply:?}"), &world, Proof::Receipts, Proof::Bloom).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn receipts_that_are_none_of_the_blocks_are_read_one_by_one() {
    let world = world(vec![Quirk::always(RECEIPTS, Reply::Result(json!([])))]).await;
    let pool = world.pool().await;
    for _ in 0..3 {
        let span = range(&pool, Proof::Receipts).await.unwrap();
        assert!(span.proof >= Proof::Bloom);
        assert_eq!(span.logs, world.truth(0..=LAST, &nft()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn blocks_are_asked_for_by_height_where_they_are_not_given_by_hash() {
    for rejection in [
        Reply::error(-32602, "invalid argument 0: unknown field blockHash"),
        Reply::error(-32603, "internal error"),
        Reply::Result(Value::Null),
        Reply::Result(json!("0x")),
        Reply::Nothing,
    ] {
        let quirks = vec![unknown(RECEIPTS), Quirk::by_hash(LOGS, rejection.clone())];
        assert_truth(
            &format!("logs by hash: {rejection:?}"),
            &world(quirks).await,
            Proof::Bloom,
            Proof::Bloom,
        )
        .await;
        let quirks = vec![Quirk::always(BY_HASH, rejection.clone())];
        let what = format!("headers by hash: {rejection:?}");
        assert_truth(&what, &world(quirks).await, Proof::Receipts, Proof::Receipts).await;
    }
    let quirks = vec![
        unknown(BY_HASH),
        unknown(RECEIPTS),
        Quirk::by_hash(LOGS, Reply::error(-32602, "no")),
    ];
    assert_truth("nothing by hash", &world(quirks).await, Proof::Receipts, Proof::Bloom).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_that_come_empty_by_hash_are_asked_for_by_height() {
    let quirks = vec![unknown(RECEIPTS), Quirk::by_hash(LOGS, Reply::Result(json!([])))];
    assert_truth("empty by hash", &world(quirks).await, Proof::Bloom, Proof::Bloom).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_that_fails_in_a_range_is_read_in_another_way() {
    for reply in [
        Reply::error(-32000, "failed to get logs for block #9 (0xff68a7..396b6d)"),
        Reply::Result(json!("0x")),
        Reply::Result(json!([{"address": "0x"}])),
        Reply::Nothing,
    ] {
        for quirks in [Vec::new(), vec![unknown(RECEIPTS)]] {
            let world = world(Vec::new()).await;
            let block = busy(&world);
            let (number, hash, answer) = (block.number, json!(block.hash), reply.clone());
            let fails = Quirk::new(LOGS, move |params, truth| {
                let height = |member: &str| u64::from_str_radix(&params[0][member].as_str()?[2..], 16).ok();
                let inside = height("fromBlock")
                    .zip(height("toBlock"))
                    .is_some_and(|(from, to)| (from..=to).contains(&number));
                if inside || params[0]["blockHash"] == hash {
                    answer.clone()
                } else {
                    truth
                }
            });
            world.change(0, |faults| faults.quirks = [quirks, vec![fails]].concat());
            assert_truth(&format!("{reply:?}"), &world, Proof::Bloom, Proof::Bloom).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn receipts_do_where_no_endpoint_knows_logs() {
    assert_truth(
        "no eth_getLogs",
        &world(vec![unknown(LOGS)]).await,
        Proof::Bloom,
        Proof::Bloom,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_words_in_logs_are_read_for_what_they_mean() {
    let zero = |place: usize, log: &mut Value| {
        for member in ["transactionIndex", "logIndex"] {
            if log[member] == "0x0" {
                set(log, member, if place.is_multiple_of(2) { "0x" } else { "0x0000" });
            }
        }
    };
    let removed = |_: usize, log: &mut Value| set(log, "removed", true);
    let absent = |_: usize, log: &mut Value| drop(log.as_object_mut().unwrap().remove("removed"));
    for quirk in [
        Quirk::logs(LOGS, zero),
        Quirk::logs(LOGS, removed),
        Quirk::logs(LOGS, absent),
        repeating(),
    ] {
        let quirks = vec![unknown(RECEIPTS), quirk];
        assert_truth("odd words", &world(quirks).await, Proof::Bloom, Proof::Bloom).await;
    }
}

/// Lists every log twice, the second time at the end.
fn repeating() -> Quirk {
    Quirk::new(LOGS, |_, truth| {
        truth.map(|result| {
            let logs = result.as_array_mut().unwrap();
            logs.extend(logs.clone());
        })
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_wrong_in_one_block_is_settled_in_all_of_them() {
    // In one block a log is there that the bloom excludes; in the others some are left out, which no bloom shows.
    let world = world(Vec::new()).await;
    let truth = world.truth(0..=LAST, &nft());
    let several = |log: &&Log| {
        truth
            .iter()
            .filter(|other| other.block_number == log.block_number)
            .count()
            > 1
    };
    let (first, last) = (
        truth.iter().find(several).unwrap(),
        truth.iter().rfind(several).unwrap(),
    );
    assert_ne!(first.block_number, last.block_number);
    for (wrong, short) in [(first, last), (last, first)] {
        let (wrong, short) = (wrong.clone(), short.clone());
        let quirk = Quirk::new(LOGS, move |_, truth| {
            truth.map(|result| {
                let logs = result.as_array_mut().unwrap();
                let is = |object: &Value, log: &Log| {
                    about(log.block_number, object) && object["logIndex"] == json!(format!("{:#x}", log.log_index))
                };
                logs.retain(|log| !is(log, &short));
                for log in logs.iter_mut().filter(|log| is(log, &wrong)) {
                    set(log, "address", format!("0x{}", "99".repeat(20)));
                }
            })
        });
        world.change(0, |faults| faults.quirks = vec![quirk]);
        let pool = world.pool().await;
        let span = range(&pool, Proof::Bloom).await.unwrap();
        assert_eq!((span.proof, span.logs), (Proof::Bloom, truth.clone()));
        assert!(health(&pool, 0).lies > 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn times_of_any_size_are_kept_as_far_as_tables_hold_them() {
    for (stated, kept) in [("0x18bcfe56800", 0x18b_cfe5_6800), ("0xffffffffffffffff", LATEST_TIME)] {
        let time = move |_: &[Value], truth: Reply| truth.map(|header| set(header, "timestamp", stated));
        let world = world(vec![Quirk::new(BY_HASH, time), Quirk::new(BY_NUMBER, time)]).await;
        let pool = world
            .pool_with(|options| options.header_hash = rpc::HeaderHash::Opaque)
            .await
            .unwrap();
        let span = range(&pool, Proof::Bloom).await.unwrap();
        assert!(span.blocks.iter().all(|block| block.time == kept));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn absurd_heights_and_lengths_are_their_endpoints_fault() {
    let heights = [
        "0x1000000000",
        "0xffffffffffffffff",
        "0x10000000000000000",
        "-0x1",
        "0x",
    ];
    let odd = heights
        .map(|height| json!(height))
        .into_iter()
        .chain([json!(-1), json!(1e30), json!([]), Value::Null]);
    for height in odd {
        let mut world = world(Vec::new()).await;
        world.add(testchain::faults::Settings::default()).await;
        let stated = height.clone();
        let change = move |_: &[Value], truth: Reply| {
            let stated = stated.clone();
            truth.map(move |header| set(header, "number", stated))
        };
        let quirks = vec![Quirk::new(BY_HASH, change.clone()), Quirk::new(BY_NUMBER, change)];
        world.change(0, |faults| faults.quirks = quirks);
        let pool = world.pool().await;
        assert_eq!(pool.heads().await.unwrap().latest.number, LAST, "{height}");
        let span = range(&pool, Proof::Receipts).await.unwrap();
        assert_eq!(
            (span.proof, span.logs),
            (Proof::Receipts, world.truth(0..=LAST, &nft())),
            "{height}"
        );
        assert!(health(&pool, 0).failures > 0, "{height}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn junk_from_one_endpoint_is_asked_elsewhere_and_alone_it_is_transient() {
    let junk = [
        Reply::Nothing,
        Reply::Result(json!("0x")),
        Reply::Result(json!([])),
        Reply::Text("1".repeat(4_000)),
        Reply::Text("[".repeat(4_000) + &"]".repeat(4_000)),
        Reply::Text(r#"{"number":"0x1","number":"0x2"}"#.to_owned()),
        Reply::Text(format!("[{}[]]", "[],".repeat(300_000))),
        Reply::error(i32::MIN, "x".repeat(1 << 20)),
    ];
    for method in [BY_NUMBER, LOGS, RECEIPTS] {
        for reply in &junk {
            let what = format!(
                "{method}: {}",
                format!("{reply:?}").chars().take(80).collect::<String>()
            );
            let mut world = world(vec![Quirk::always(method, reply.clone())]).await;
            let alone = world.pool_with(|options| options.rounds = 2).await.unwrap();
            if let Err(error) = range(&alone, Proof::Bloom).await {
                assert_eq!(error.class(), Class::Transient, "{what}");
                assert!(error.to_string().len() < 12_000, "{what}");
            }
            world.add(testchain::faults::Settings::default()).await;
            let span = range(&world.pool().await, Proof::Receipts).await.unwrap();
            assert_eq!(span.proof, Proof::Receipts, "{what}");
            assert_eq!(span.logs, world.truth(0..=LAST, &nft()), "{what}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_changes_its_chain_while_in_use_is_noticed() {
    let mut world = world(Vec::new()).await;
    let pool = world.pool().await;
    assert_eq!(pool.heads().await.unwrap().latest.number, LAST);
    world.change(0, |faults| faults.chain_id = Some(5));
    let error = pool.heads().await.unwrap_err();
    assert_eq!(error.class(), Class::Transient, "{error}");
    assert!(error.to_string().contains("eip155:5"), "{error}");
    let error = range(&pool, Proof::Bloom).await.unwrap_err();
    assert!(error.to_string().contains("eip155:5"), "{error}");
    world.add(testchain::faults::Settings::default()).await;
    pool.replace_endpoints(world.settings());
    assert_eq!(pool.heads().await.unwrap().latest.number, LAST);
    assert_eq!(health(&pool, 0).state, rpc::EndpointState::Quarantined);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_lone_endpoint_always_answers_oddly_is_remembered() {
    let world = world(vec![Quirk::by_hash(
        RECEIPTS,
        Reply::error(-32602, "hex number > 64 bits"),
    )])
    .await;
    let pool = world.pool().await;
    let filter = Filter::default();
    for block in world.ledger.range(10, 14) {
        pool.block_span(reference(&block), &filter, Proof::Receipts)
            .await
            .unwrap();
    }
    let asked = world.servers[0].0.counts();
    assert_eq!(
        asked.calls_of(RECEIPTS),
        8,
        "the first block by hash: beside its header, alone and once more; then as it answers"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn who_sends_blocks_that_build_on_none_of_its_own_is_left_out() {
    let world = World::new(LAST + 1, 2).await;
    let honest = world.ledger.clone();
    let other = World::of(testchain::simulation::Settings::small(8), LAST + 1, 1).await;
    // In lists of ten headers, the third is of another chain; the preferred endpoint is truthful about every block below.
    let mut forged = std::collections::BTreeMap::new();
    for number in 20..=LAST {
        let asked = json!({"jsonrpc": "2.0", "id": 1, "method": BY_NUMBER, "params": [format!("{number:#x}"), false]});
        let sent = reqwest::Client::new()
            .post(other.servers[0].0.http_url())
            .body(asked.to_string());
        let answer = sent.send().await.unwrap().bytes().await.unwrap();
        let answer: Value = serde_json::from_slice(&answer).unwrap();
        forged.insert(number, answer["result"].clone());
    }
    let quirk = Quirk::new(BY_NUMBER, move |params, truth| {
        let number = params[0]
            .as_str()
            .and_then(|text| u64::from_str_radix(text.trim_start_matches("0x"), 16).ok());
        match number.filter(|number| *number >= 20) {
            Some(number) => Reply::Result(forged[&number].clone()),
            None => truth,
        }
    });
    world.change(0, |faults| faults.quirks = vec![quirk]);
    let mut settings = world.settings();
    settings[1].priority += 1;
    let options = rpc::PoolOptions { batch: 10, ..options() };
    let cancel = tokio_util::sync::CancellationToken::new();
    let pool = Pool::connect(decoders::block::ChainId(1), settings, options, cancel)
        .await
        .unwrap();
    let span = pool.range_span(0..=LAST - 5, &nft(), Proof::Bloom).await.unwrap();
    assert_eq!(span.logs, world.truth(0..=LAST - 5, &nft()));
    assert_eq!(
        span.blocks.last().unwrap().hash,
        honest.by_number(LAST - 5).unwrap().hash
    );
}
