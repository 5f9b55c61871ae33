//! The publisher against a real PostgreSQL and a real RabbitMQ, reached through a wire that can be cut.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use decoders::id::retraction_of;
use lapin::types::{AMQPValue, FieldTable};
use sinks::publisher::{Options, Publisher, PublisherError, State, Status, Unroutable, check};
use sinks::store::Store;
use testkit::broker;
use testkit::broker::{Consumer, Queue};
use testkit::database::with_store;
use testkit::services::unique;
use testkit::wire::Wire;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::ledger;

/// A publisher at work.
pub(crate) struct Running {
    pub(crate) status: watch::Receiver<Status>,
    cancel: CancellationToken,
    pub(crate) task: JoinHandle<Result<(), PublisherError>>,
}

impl Running {
    pub(crate) fn start(store: &Store, options: Options) -> Self {
        let (publisher, status) = Publisher::new(store.clone(), options, Arc::new(Notify::new()));
        let cancel = CancellationToken::new();
        let task = tokio::spawn(publisher.run(cancel.clone()));
        Running { status, cancel, task }
    }

    pub(crate) async fn until(&mut self, what: &str, reached: impl FnMut(&Status) -> bool) -> Status {
        let waited = tokio::time::timeout(Duration::from_secs(60), self.status.wait_for(reached)).await;
        waited
            .unwrap_or_else(|_| panic!("never {what}"))
            .expect("the publisher ended")
            .clone()
    }

    pub(crate) async fn stop(self) {
        self.cancel.cancel();
        tokio::time::timeout(Duration::from_secs(60), self.task)
            .await
            .expect("stops in time")
            .unwrap()
            .unwrap();
    }
}

pub(crate) fn options(url: &str, exchange: &str) -> Options {
    Options {
        exchange: exchange.into(),
        poll_interval: Duration::from_millis(50),
        ..Options::new(url, "test")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn transfers_arrive_once_in_order_persistent_with_the_facts_ids() {
    with_store(1, |store| async move {
        let exchange = unique("events");
        let consumer = Consumer::bind(&exchange, "#").await;
        let ids = ledger::transfers(&store, 1, 100, 250).await;
        let mut running = Running::start(&store, options(&broker::url(), &exchange));
        let status = running.until("published", |status| status.published == 250).await;
        assert_eq!((status.unroutable, status.skipped, status.trouble()), (0, 0, None));
        let messages = consumer.take(250).await;
        assert_eq!(messages.iter().map(|message| message.id).collect::<Vec<_>>(), ids);
        let first = &messages[0];
        assert_eq!(first.routing_key, format!("eip155.1.transfer.{}", ledger::CONTRACT));
        assert_eq!(
            (first.delivery_mode, first.content_type.as_str(), first.kind.as_str()),
            (2, "application/json", "transfer")
        );
        assert_eq!(first.schema_version, 1);
        assert_eq!(
            first.body,
            serde_json::json!({
                "schema_version": 1, "id": ids[0], "chain": "eip155:1", "kind": "transfer",
                "block": { "number": 100, "hash": ledger::hash(100), "time": "2023-11-14T22:13:20Z" },
                "tx_hash": ledger::hash(7), "log_index": 0, "item": 0, "contract": ledger::CONTRACT, "token_id": "0",
                "from": ledger::ALICE, "to": ledger::BOB, "quantity": "1", "standard": "erc721",
            })
        );
        assert_eq!(ledger::pending(&store).await, 0);
        assert_eq!(ledger::cursor(&store).await, (250, 250, 0, 0));
        running.stop().await;
        consumer.delete().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rewound_fact_is_skipped_and_its_retraction_sent() {
    with_store(1, |store| async move {
        let exchange = unique("events");
        let consumer = Consumer::bind(&exchange, "#").await;
        let ids = ledger::transfers(&store, 1, 100, 3).await;
        ledger::undo(&store, 1, &ids[1..]).await;
        let mut running = Running::start(&store, options(&broker::url(), &exchange));
        let status = running.until("published", |status| status.published == 3).await;
        assert_eq!(status.skipped, 2);
        let messages = consumer.take(3).await;
        let wanted = [ids[0], retraction_of(ids[2]), retraction_of(ids[1])];
        assert_eq!(messages.iter().map(|message| message.id).collect::<Vec<_>>(), wanted);
        let retraction = &messages[1];
        assert_eq!(
            retraction.routing_key,
            format!("eip155.1.retraction.{}", ledger::CONTRACT)
        );
        assert_eq!(
            retraction.body["retracts"],
            serde_json::json!({ "id": ids[2], "kind": "transfer" })
        );
        assert_eq!(retraction.body["kind"], "retraction");
        assert_eq!(retraction.body["id"], retraction_of(ids[2]).to_string());
        assert_eq!(retraction.body["block"]["number"], 100);
        assert_eq!(retraction.body["token_id"], "2");
        running.stop().await;
        consumer.delete().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_no_queue_bound_messages_stay_owed_until_one_is() {
    with_store(1, |store| async move {
        let exchange = unique("events");
        let ids = ledger::transfers(&store, 1, 100, 40).await;
        let mut running = Running::start(&store, options(&broker::url(), &exchange));
        let status = running.until("held", |status| !status.held.is_empty()).await;
        let cause = status.trouble().unwrap();
        assert!(
            cause.contains("no queue is bound") && cause.contains("eip155.1.transfer"),
            "{cause}"
        );
        assert_eq!(ledger::pending(&store).await, 40);
        let consumer = Consumer::bind(&exchange, "eip155.1.#").await;
        running
            .until("published", |status| {
                status.published == 40 && status.trouble().is_none()
            })
            .await;
        assert_eq!(
            consumer
                .take(40)
                .await
                .iter()
                .map(|message| message.id)
                .collect::<Vec<_>>(),
            ids
        );
        running.stop().await;
        consumer.delete().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_chain_does_not_hold_up_another() {
    with_store(1, |store| async move {
        let exchange = unique("events");
        let consumer = Consumer::bind(&exchange, "eip155.137.#").await;
        ledger::transfers(&store, 1, 100, 5).await;
        let ids = ledger::transfers(&store, 137, 100, 30).await;
        let mut running = Running::start(&store, options(&broker::url(), &exchange));
        running
            .until("published", |status| {
                status.published == 30 && status.held.contains_key(&1)
            })
            .await;
        assert_eq!(
            consumer
                .take(30)
                .await
                .iter()
                .map(|message| message.id)
                .collect::<Vec<_>>(),
            ids
        );
        assert_eq!(ledger::pending(&store).await, 5);
        running.stop().await;
        consumer.delete().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_cannot_be_sent_holds_up_its_own_chain_and_says_so() {
    with_store(1, |store| async move {
        let exchange = unique("events");
        let consumer = Consumer::bind(&exchange, "#").await;
        let before = ledger::transfers(&store, 1, 100, 20).await;
        let spoilt = ledger::transfers(&store, 1, 101, 1).await;
        ledger::undo(&store, 1, &spoilt).await;
        sqlx::query("update indexer_service.outbox set body = '{\"kind\": \"transfer\"}' where body is not null")
            .execute(&store.pool)
            .await
            .unwrap();
        let behind = ledger::transfers(&store, 1, 102, 3).await;
        let other = ledger::transfers(&store, 137, 100, 30).await;
        let mut running = Running::start(&store, options(&broker::url(), &exchange));
        let status = running
            .until("held up", |status| status.published == 50 && status.trouble().is_some())
            .await;
        let cause = status.trouble().unwrap();
        assert!(cause.contains("eip155:1 has a body that cannot be sent"), "{cause}");
        let seen: HashSet<_> = consumer.take(50).await.iter().map(|message| message.id).collect();
        assert_eq!(seen, before.into_iter().chain(other).collect());
        sqlx::query("delete from indexer_service.outbox where body is not null")
            .execute(&store.pool)
            .await
            .unwrap();
        running
            .until("mended", |status| status.published == 53 && status.trouble().is_none())
            .await;
        let seen: Vec<_> = consumer.take(3).await.iter().map(|message| message.id).collect();
        assert_eq!(seen, behind);
        running.stop().await;
        consumer.delete().await;
    })
    .await;
}

/// A newer program may write facts of kinds that this one does not know: they wait for a publisher that does.
#[tokio::test(flavor = "multi_thread")]
async fn a_fact_of_an_unknown_kind_waits_and_is_no_transfer() {
    with_store(1, |store| async move {
        let exchange = unique("events");
        let consumer = Consumer::bind(&exchange, "#").await;
        let before = ledger::transfers(&store, 1, 100, 3).await;
        let unknown = ledger::transfers(&store, 1, 101, 1).await;
        sqlx::query("update indexer_service.outbox set kind = 'airdrop' where fact_id = any($1)")
            .bind(&unknown)
            .execute(&store.pool)
            .await
            .unwrap();
        let mut running = Running::start(&store, options(&broker::url(), &exchange));
        let status = running
            .until("held up", |status| status.published == 3 && status.trouble().is_some())
            .await;
        let cause = status.trouble().unwrap();
        assert!(
            cause.contains("a kind that this program does not know: \"airdrop\""),
            "{cause}"
        );
        sqlx::query("update indexer_service.outbox set kind = 'transfer'")
            .execute(&store.pool)
            .await
            .unwrap();
        running
            .until("known", |status| status.published == 4 && status.trouble().is_none())
            .await;
        let seen: Vec<_> = consumer.take(4).await.iter().map(|message| message.id).collect();
        assert_eq!(seen, before.into_iter().chain(unknown).collect::<Vec<_>>());
        running.stop().await;
        consumer.delete().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dropping_what_nobody_asks_for_counts_it_and_keeps_the_rest() {
    with_store(1, |store| async move {
        let exchange = unique("events");
        let consumer = Consumer::bind(&exchange, "*.*.mint.#").await;
        let mut wanted = Vec::new();
        for block in 0..20 {
            ledger::transfers(&store, 1, 100 + 2 * block, 3).await;
            wanted.extend(ledger::mints(&store, 1, 101 + 2 * block, 2).await);
        }
        let options = Options {
            unroutable: Unroutable::Drop,
            ..options(&broker::url(), &exchange)
        };
        let mut running = Running::start(&store, options);
        let status = running
            .until("paid", |status| status.published + status.unroutable == 100)
            .await;
        assert_eq!((status.published, status.unroutable, status.trouble()), (40, 60, None));
        assert_eq!(
            consumer
                .take(40)
                .await
                .iter()
                .map(|message| message.id)
                .collect::<Vec<_>>(),
            wanted
        );
        assert_eq!(ledger::pending(&store).await, 0);
        running.stop().await;
        consumer.delete().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_full_queue_refuses_stays_owed_until_there_is_room() {
    with_store(1, |store| async move {
        let exchange = unique("events");
        let mut limits = FieldTable::default();
        limits.insert("x-max-length".into(), AMQPValue::LongInt(10));
        limits.insert("x-overflow".into(), AMQPValue::LongString("reject-publish".into()));
        let queue = Queue::bind(&exchange, "#", limits).await;
        let ids = ledger::transfers(&store, 1, 100, 40).await;
        let mut running = Running::start(&store, options(&broker::url(), &exchange));
        let refused = |status: &Status| status.trouble().is_some_and(|cause| cause.contains("refused"));
        running.until("refused", refused).await;
        assert!(
            ledger::pending(&store).await >= 23,
            "a refused message was counted as paid"
        );
        let consumer = queue.consume().await;
        running
            .until("published", |status| {
                status.published == 40 && status.trouble().is_none()
            })
            .await;
        let seen: HashSet<_> = consumer.drain().await.iter().map(|message| message.id).collect();
        assert_eq!(seen, ids.into_iter().collect());
        running.stop().await;
        consumer.delete().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn confirms_lost_on_the_way_make_repeats_with_the_same_ids() {
    with_store(1, |store| async move {
        let exchange = unique("events");
        let consumer = Consumer::bind(&exchange, "#").await;
        let ids = ledger::transfers(&store, 1, 100, 500).await;
        let wire = Wire::to(&broker::url()).await;
        let mut running = Running::start(&store, options(&wire.url(&broker::url()), &exchange));
        // The broker takes the message; its confirm never arrives. A process killed before it settles looks the same.
        running.until("started", |status| status.published == 500).await;
        wire.deafen();
        let last = ledger::transfers(&store, 1, 200, 1).await;
        let mut seen = consumer.until(last[0]).await;
        wire.cut();
        running
            .until("disconnected", |status| {
                matches!(status.state, State::Disconnected { .. })
            })
            .await;
        wire.restore();
        running.until("published", |status| status.published == 501).await;
        seen.extend(consumer.drain().await);
        let mut once = HashSet::new();
        let first: Vec<_> = seen
            .iter()
            .map(|message| message.id)
            .filter(|id| once.insert(*id))
            .collect();
        assert_eq!(first[..500], ids);
        assert_eq!(first.len(), 501);
        assert!(seen.len() > 501, "nothing was repeated");
        running.stop().await;
        consumer.delete().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreachable_broker_is_waited_for_and_says_so() {
    with_store(1, |store| async move {
        let exchange = unique("events");
        let wire = Wire::to(&broker::url()).await;
        wire.cut();
        let error = check(&options(&wire.url(&broker::url()), &exchange)).await.unwrap_err();
        assert!(error.to_string().contains("cannot be used"), "{error}");
        assert!(!error.to_string().contains("guest:guest"), "{error}");
        let consumer = Consumer::bind(&exchange, "#").await;
        let mut running = Running::start(&store, options(&wire.url(&broker::url()), &exchange));
        running
            .until("disconnected", |status| {
                status.trouble().is_some_and(|cause| cause.contains("rabbitmq"))
            })
            .await;
        ledger::transfers(&store, 1, 100, 10).await;
        wire.restore();
        running
            .until("published", |status| {
                status.published == 10 && status.trouble().is_none()
            })
            .await;
        running.stop().await;
        consumer.delete().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_publisher_notices_a_broker_that_goes_away() {
    with_store(1, |store| async move {
        let exchange = unique("events");
        let wire = Wire::to(&broker::url()).await;
        let mut running = Running::start(&store, options(&wire.url(&broker::url()), &exchange));
        running.until("working", |status| status.state == State::Working).await;
        wire.cut();
        running
            .until("disconnected", |status| {
                matches!(status.state, State::Disconnected { .. })
            })
            .await;
        wire.restore();
        running.until("working", |status| status.state == State::Working).await;
        running.stop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_and_a_wrong_address_are_told_without_the_password() {
    let wrong = broker::url().replacen("guest:guest", "guest:hunter2", 1);
    let error = check(&options(&wrong, "events")).await.unwrap_err().to_string();
    assert!(
        error.contains("cannot be used") && !error.contains("hunter2"),
        "{error}"
    );
    let error = check(&options("amqp//guest:hunter2@nowhere", "events"))
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("broker.url is not an address") && !error.contains("hunter2"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn two_publishers_do_not_send_a_chain_twice() {
    with_store(4, |store| async move {
        let exchange = unique("events");
        let consumer = Consumer::bind(&exchange, "#").await;
        let first = Running::start(
            &store,
            Options {
                holder: "first".into(),
                ..options(&broker::url(), &exchange)
            },
        );
        let second = Running::start(
            &store,
            Options {
                holder: "second".into(),
                ..options(&broker::url(), &exchange)
            },
        );
        let mut ids = Vec::new();
        for block in 0..50 {
            ids.extend(ledger::transfers(&store, 1, 100 + block, 20).await);
        }
        let seen = consumer.take(1_000).await;
        assert_eq!(seen.iter().map(|message| message.id).collect::<Vec<_>>(), ids);
        // The one at work stops in order; the other takes over without waiting for the claim to end.
        let published = first.status.borrow().published;
        let (worker, mut other) = if published > 0 {
            (first, second)
        } else {
            (second, first)
        };
        worker.stop().await;
        let more = ledger::transfers(&store, 1, 900, 7).await;
        other.until("taken over", |status| status.published == 7).await;
        assert_eq!(
            consumer
                .take(7)
                .await
                .iter()
                .map(|message| message.id)
                .collect::<Vec<_>>(),
            more
        );
        other.stop().await;
        consumer.delete().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_moment_nothing_is_lost_and_order_holds() {
    const MESSAGES: usize = 20_000;
    with_store(2, |store| async move {
        let exchange = unique("events");
        let consumer = Consumer::bind(&exchange, "#").await;
        let mut ids = Vec::new();
        for block in 0..20 {
            ids.extend(ledger::transfers(&store, 1, 100 + block, MESSAGES / 20).await);
        }
        let started = std::time::Instant::now();
        for life in 1..=4 {
            let running = Running::start(
                &store,
                Options {
                    holder: format!("life {life}"),
                    ..options(&broker::url(), &exchange)
                },
            );
            tokio::time::sleep(Duration::from_millis(rand::random_range(60..400))).await;
            running.task.abort();
            // What a restarted process finds: the claim of a holder that is gone.
            ledger::expire_claims(&store).await;
        }
        let mut running = Running::start(&store, options(&broker::url(), &exchange));
        while ledger::pending(&store).await > 0 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        eprintln!("{MESSAGES} messages over five lives in {:?}", started.elapsed());
        running.until("idle", |status| status.trouble().is_none()).await;
        let seen = consumer.drain().await;
        let mut once = HashSet::new();
        let first: Vec<_> = seen
            .iter()
            .map(|message| message.id)
            .filter(|id| once.insert(*id))
            .collect();
        assert!(
            first == ids,
            "{} of {MESSAGES} distinct messages among {}",
            first.len(),
            seen.len()
        );
        running.stop().await;
        consumer.delete().await;
    })
    .await;
}
