//! The outbox as a ledger: what was announced, what was retracted, what is left.

use std::collections::{BTreeMap, BTreeSet};

use decoders::block::ChainId;
use decoders::id::retraction_of;
use sinks::store::Store;
use sqlx::AssertSqlSafe;
use uuid::Uuid;

/// One pending message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Message id.
    pub id: Uuid,
    /// Id of the fact it is about.
    pub fact: Uuid,
    /// `mint`, `burn`, `transfer`, `sale`, `listing`, `offer`, `cancel` or `retraction`.
    pub kind: String,
}

impl Message {
    /// Whether it takes a fact back.
    pub fn retracts(&self) -> bool {
        self.kind == "retraction"
    }
}

/// Every pending message on `chain`, in the order of publishing.
pub async fn pending(store: &Store, chain: ChainId) -> Vec<Message> {
    let rows: Vec<(Uuid, Option<String>, String)> = sqlx::query_as(
        "select fact_id, body ->> 'fact_id', kind from indexer_service.outbox where chain_id = $1 order by seq",
    )
    .bind(chain.to_string())
    .fetch_all(&store.pool)
    .await
    .unwrap();
    let message = |(id, fact, kind): (Uuid, Option<String>, String)| Message {
        id,
        fact: fact.map_or(id, |fact| fact.parse().unwrap()),
        kind,
    };
    rows.into_iter().map(message).collect()
}

/// The id of every fact of `chain` that consumers receive: all but fills, which their sales state.
pub async fn fact_ids(store: &Store, chain: ChainId) -> BTreeSet<Uuid> {
    let tables: BTreeSet<&str> = sinks::facts::statements().map(|(table, _)| table).collect();
    let mut ids = BTreeSet::new();
    for table in tables {
        let announced = match table {
            "catalog_service.order_closings" => "reason <> 'filled'",
            _ => "true",
        };
        let statement = format!("select id from {table} where chain_id = $1 and {announced}");
        let of_kind: Vec<Uuid> = sqlx::query_scalar(AssertSqlSafe(statement))
            .bind(chain.to_string())
            .fetch_all(&store.pool)
            .await
            .unwrap();
        ids.extend(of_kind);
    }
    ids
}

/// Asserts that a consumer who takes `messages` in order ends with exactly `facts`: each fact is announced before it is retracted,
/// never twice in a row, and what is left are the facts of the tables.
pub fn assert_tells(messages: &[Message], facts: &BTreeSet<Uuid>, context: &str) {
    let mut stated: BTreeMap<Uuid, bool> = BTreeMap::new();
    for message in messages {
        if message.retracts() {
            assert_eq!(message.id, retraction_of(message.fact), "{context}: id of a retraction");
        }
        let before = stated.insert(message.fact, !message.retracts()).unwrap_or(false);
        assert_eq!(
            before,
            message.retracts(),
            "{context}: {message:?} repeats what was published before"
        );
    }
    let standing: BTreeSet<Uuid> = stated
        .into_iter()
        .filter(|(_, stands)| *stands)
        .map(|(fact, _)| fact)
        .collect();
    let (lost, false_) = (facts.difference(&standing).count(), standing.difference(facts).count());
    assert!(
        lost == 0 && false_ == 0,
        "{context}: {lost} facts were never announced, {false_} announced ones are not true"
    );
}
