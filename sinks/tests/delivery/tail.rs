//! Watching messages go by, on the broker and in the outbox.

use std::sync::Arc;
use std::time::Duration;

use decoders::block::ChainId;
use decoders::id::retraction_of;
use futures::{Stream, StreamExt};
use sinks::publisher::tail::{Filter, Seen, from_broker, from_outbox};
use sinks::publisher::{Options, Publisher, PublisherError};
use testkit::broker;
use testkit::broker::Consumer;
use testkit::database::with_store;
use testkit::services::unique;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::ledger;

/// Ids of the next `count` messages.
async fn ids(stream: impl Stream<Item = Result<Seen, PublisherError>>, count: usize) -> Vec<Uuid> {
    let taken = stream.take(count).map(|seen| {
        let body: serde_json::Value = serde_json::from_slice(&seen.unwrap().body).unwrap();
        body["id"].as_str().unwrap().parse::<Uuid>().unwrap()
    });
    tokio::time::timeout(Duration::from_secs(100), taken.collect())
        .await
        .expect("messages in time")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_outbox_is_read_to_its_end_in_order_and_left_as_it_is() {
    with_store(1, |store| async move {
        let mut wanted = ledger::transfers(&store, 1, 100, 1_500).await;
        wanted.extend(ledger::transfers(&store, 137, 100, 3).await);
        wanted.extend(ledger::transfers(&store, 1, 101, 2).await);
        let read = ids(from_outbox(store.clone(), 0, Filter::default(), None), usize::MAX).await;
        assert_eq!(read.len(), wanted.len());
        let of_chain = Filter {
            chain: Some(ChainId(137)),
            ..Filter::default()
        };
        assert_eq!(
            ids(from_outbox(store.clone(), 0, of_chain, None), usize::MAX).await,
            wanted[1_500..1_503]
        );
        assert_eq!(
            ids(from_outbox(store.clone(), 1_503, Filter::default(), None), usize::MAX).await,
            wanted[1_503..]
        );
        assert_eq!(ledger::pending(&store).await, 1_505);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_outbox_is_filtered_by_kind_and_contract() {
    with_store(1, |store| async move {
        let transfers = ledger::transfers(&store, 1, 100, 2).await;
        let mints = ledger::mints(&store, 1, 101, 2).await;
        ledger::undo(&store, 1, &mints).await;
        let kind = |kind: &str| Filter {
            kind: Some(kind.into()),
            ..Filter::default()
        };
        assert_eq!(
            ids(from_outbox(store.clone(), 0, kind("transfer"), None), usize::MAX).await,
            transfers
        );
        let retractions: Vec<Uuid> = mints.iter().rev().map(|id| retraction_of(*id)).collect();
        assert_eq!(
            ids(from_outbox(store.clone(), 0, kind("retraction"), None), usize::MAX).await,
            retractions
        );
        assert!(
            ids(from_outbox(store.clone(), 0, kind("mint"), None), usize::MAX)
                .await
                .is_empty()
        );
        let contract = |text: &str| Filter {
            contract: Some(text.parse().unwrap()),
            ..Filter::default()
        };
        assert_eq!(
            ids(
                from_outbox(store.clone(), 0, contract(ledger::CONTRACT), None),
                usize::MAX
            )
            .await
            .len(),
            4
        );
        assert!(
            ids(from_outbox(store, 0, contract(ledger::ALICE), None), usize::MAX)
                .await
                .is_empty()
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_of_the_outbox_sees_what_is_committed_late() {
    with_store(3, |store| async move {
        let first = ledger::transfers(&store, 1, 100, 2).await;
        let stream = from_outbox(store.clone(), 0, Filter::default(), Some(Duration::from_millis(20)));
        let mut stream = Box::pin(stream);
        assert_eq!(ids(&mut stream, 2).await, first);
        // More than any fixed number of them, on both sides.
        let late = ledger::begin_transfers(&store, 1, 102, 12_000).await;
        let next = ledger::transfers(&store, 1, 103, 11_000).await;
        assert_eq!(ids(&mut stream, next.len()).await, next);
        let late = late.commit().await;
        assert_eq!(ids(&mut stream, late.len()).await, late);
        let last = ledger::transfers(&store, 1, 104, 2).await;
        assert_eq!(ids(&mut stream, 2).await, last, "and nothing twice");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_broker_is_watched_without_taking_messages_from_others() {
    with_store(1, |store| async move {
        let exchange = unique("events");
        let consumer = Consumer::bind(&exchange, "#").await;
        let url = broker::url();
        let filter = Filter {
            chain: Some(ChainId(1)),
            kind: Some("mint".into()),
            contract: None,
        };
        let watched = from_broker(&url, &exchange, &filter).await.unwrap();
        ledger::transfers(&store, 1, 100, 3).await;
        let mints = ledger::mints(&store, 1, 101, 3).await;
        let options = Options {
            exchange: exchange.clone(),
            ..Options::new(url, "test")
        };
        let (publisher, _status) = Publisher::new(store.clone(), options, Arc::new(Notify::new()));
        let cancel = CancellationToken::new();
        let task = tokio::spawn(publisher.run(cancel.clone()));
        assert_eq!(ids(Box::pin(watched), 3).await, mints);
        assert_eq!(consumer.take(6).await.len(), 6);
        cancel.cancel();
        task.await.unwrap().unwrap();
        consumer.delete().await;
    })
    .await;
}
