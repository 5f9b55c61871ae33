//! `examples/consumer.rs`, run as its first lines state: killed at work, sent everything twice, with facts that go and come back.

use std::time::Duration;

use lapin::options::{
    BasicPublishOptions, ConfirmSelectOptions, QueueBindOptions, QueueDeclareOptions, QueueDeleteOptions,
};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use sinks::store::Store;
use sqlx::ConnectOptions;
use tokio::process::{Child, Command};
use uuid::Uuid;

use crate::ledger;
use crate::publisher::{Running, options};
use testkit::broker::{self, Consumer};
use testkit::database::with_store;
use testkit::services::unique;

/// Facts that only one of both holds to be true.
const DIFFERENT: &str = "select count(*) from (select id from nft_facts where standing) consumed
  full join catalog_service.ownership_transfers indexed using (id)
 where consumed.id is null or indexed.id is null";

/// The program, which cargo builds together with the tests; it keeps its tables in the store's own database.
fn start(queue: &str, store: &Store) -> Child {
    let tests = std::env::current_exe().unwrap();
    let program = tests.parent().unwrap().with_file_name("examples").join("consumer");
    assert!(
        program.exists(),
        "cargo build -p sinks --examples makes {}",
        program.display()
    );
    let database = store.pool.connect_options().to_url_lossy();
    Command::new(program)
        .args([&broker::url(), queue, database.as_str()])
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

/// Waits until the program has committed the fact `id`, and whatever came before it.
async fn until_standing(store: &Store, id: Uuid) {
    // The program makes its tables itself, so they may be missing yet.
    while !sqlx::query_scalar("select standing from nft_facts where id = $1")
        .bind(id)
        .fetch_optional(&store.pool)
        .await
        .is_ok_and(|standing| standing == Some(true))
    {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn count(store: &Store, statement: &'static str) -> i64 {
    sqlx::query_scalar(statement).fetch_one(&store.pool).await.unwrap()
}

/// A channel in confirm mode with a durable queue of its own, as `indexer bind-queue` makes one.
async fn bind_queue(connection: &Connection, exchange: &str, queue: &str) -> Channel {
    let channel = connection.create_channel().await.unwrap();
    let durable = QueueDeclareOptions {
        durable: true,
        ..QueueDeclareOptions::default()
    };
    channel
        .queue_declare(queue.into(), durable, FieldTable::default())
        .await
        .unwrap();
    let everything = QueueBindOptions::default();
    channel
        .queue_bind(
            queue.into(),
            exchange.into(),
            "#".into(),
            everything,
            FieldTable::default(),
        )
        .await
        .unwrap();
    channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
    channel
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_consumer_ends_with_what_stands() {
    with_store(4, |store| async move {
        let (exchange, queue) = (unique("events"), unique("queue"));
        let witness = Consumer::bind(&exchange, "#").await;
        let connection = Connection::connect(&broker::url(), ConnectionProperties::default())
            .await
            .unwrap();
        let channel = bind_queue(&connection, &exchange, &queue).await;
        let publisher = Running::start(&store, options(&broker::url(), &exchange));

        let mut program = start(&queue, &store);
        let early = ledger::transfers(&store, 1, 100, 20).await;
        until_standing(&store, early[0]).await;
        let orphaned = ledger::transfers(&store, 1, 101, 300).await;
        until_standing(&store, orphaned[0]).await;
        program.kill().await.unwrap();
        // Meanwhile the block leaves the chain, and a part of it comes back under the ids it had.
        ledger::undo(&store, 1, &orphaned).await;
        ledger::transfers(&store, 1, 101, 7).await;
        let last = ledger::transfers(&store, 1, 102, 1).await;
        let mut program = start(&queue, &store);
        until_standing(&store, last[0]).await;
        assert_eq!(count(&store, DIFFERENT).await, 0);

        // Everything comes again, from the first message on.
        for message in witness.until(last[0]).await {
            let text = message.body.to_string();
            channel
                .basic_publish(
                    "".into(),
                    queue.as_str().into(),
                    BasicPublishOptions::default(),
                    text.as_bytes(),
                    BasicProperties::default(),
                )
                .await
                .unwrap()
                .await
                .unwrap();
        }
        let last = ledger::transfers(&store, 1, 103, 1).await;
        until_standing(&store, last[0]).await;
        assert_eq!(count(&store, DIFFERENT).await, 0);
        let held = "select sum(quantity)::bigint from nft_holdings where quantity > 0";
        assert_eq!(
            count(&store, held).await,
            20 + 7 + 1 + 1,
            "each fact that stands was applied once"
        );

        program.kill().await.unwrap();
        publisher.stop().await;
        channel
            .queue_delete(queue.as_str().into(), QueueDeleteOptions::default())
            .await
            .unwrap();
        witness.delete().await;
    })
    .await;
}
