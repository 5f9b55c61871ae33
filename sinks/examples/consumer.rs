//! A consumer of the indexer's messages that survives repeats and retractions, with PostgreSQL; docs/consumer.py is the same with
//! SQLite, docs/MESSAGES.md states what it builds on.
//!
//! ```text
//! indexer bind-queue nft
//! cargo run -p sinks --example consumer -- 'amqp://guest:guest@127.0.0.1:5672/%2f' nft postgres://127.0.0.1/shop
//! ```
//!
//! It keeps every fact with one bit: whether the fact stands.
//!
//! - A repeat finds the fact standing, a retraction of a fact that never arrived finds nothing: neither changes anything.
//! - A fact that comes again after its retraction stands again. So ids seen once are not skipped for good.
//! - A message is acknowledged after its transaction is committed. A crash in between brings it back as a repeat.
//! - History may arrive after newer blocks, so what is derived here, who holds how much, does not depend on the order. Where order
//!   matters, ids decide: within a chain they sort in chain order.
//!
//! One consumer per queue: two would take a fact and its retraction out of order, so the subscription is exclusive.

use std::error::Error;
use std::io::Write;
use std::time::Duration;

use futures::StreamExt;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::FieldTable;
use lapin::{Connection, ConnectionProperties};
use serde::Deserialize;
use serde_json::Value;
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;

const SCHEMA_VERSION: i64 = 1;

/// How long the broker or the database is given to come back.
const PAUSE: Duration = Duration::from_secs(5);

const SCHEMA: &str = "
create table if not exists nft_facts (
    id       uuid primary key,
    kind     text not null,
    standing boolean not null,
    body     jsonb not null
);
create table if not exists nft_holdings (
    chain    text not null,
    contract text not null,
    token_id text not null,
    owner    text not null,
    -- Below zero for as long as newer transfers are known and the older ones they build on are not.
    quantity numeric not null,
    primary key (chain, contract, token_id, owner)
);";

/// Changes no row where the fact stands already.
const STAND: &str = "
insert into nft_facts (id, kind, standing, body) values ($1, $2, true, $3)
on conflict (id) do update set standing = true, body = excluded.body where not nft_facts.standing";

/// Returns nothing where the fact does not stand.
const RETRACT: &str = "update nft_facts set standing = false where id = $1 and standing returning body";

/// Takes $6 from one owner and gives it to another; the zero address holds nothing. Both may be the same.
const MOVE: &str = "
insert into nft_holdings (chain, contract, token_id, owner, quantity)
select $1, $2, $3, owner, sum(quantity)
  from (values ($4, -($6::numeric)), ($5, $6::numeric)) as moved (owner, quantity)
 where owner <> '0x0000000000000000000000000000000000000000'
 group by owner
on conflict (chain, contract, token_id, owner) do update set quantity = nft_holdings.quantity + excluded.quantity";

/// What of a message the consumer itself reads.
#[derive(Deserialize)]
struct Message {
    schema_version: i64,
    id: Uuid,
    kind: String,
    retracts: Option<Retracted>,
}

#[derive(Deserialize)]
struct Retracted {
    id: Uuid,
}

/// What of a mint, transfer or burn the holdings follow from.
#[derive(Deserialize)]
struct Movement {
    chain: String,
    contract: String,
    token_id: String,
    from: String,
    to: String,
    quantity: String,
}

/// Why consuming ended.
#[derive(Debug, thiserror::Error)]
enum Stop {
    #[error("the broker: {0}")]
    Broker(#[from] lapin::Error),
    #[error("the broker ended the subscription")]
    Unsubscribed,
    #[error("the database: {0}")]
    Database(#[from] sqlx::Error),
    /// A message that this program must not guess the meaning of.
    #[error("a message that cannot be read: {0}")]
    Unreadable(String),
}

impl From<serde_json::Error> for Stop {
    fn from(error: serde_json::Error) -> Self {
        Stop::Unreadable(error.to_string())
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [broker, queue, database] = arguments.as_slice() else {
        return Err("usage: consumer AMQP_URL QUEUE DATABASE_URL".into());
    };
    let database: PgConnectOptions = database.parse()?;
    loop {
        match consume(broker, queue, &database).await {
            // Neither acknowledged nor rejected: it stays in the queue for a consumer that can read it.
            Err(unreadable @ Stop::Unreadable(_)) => return Err(unreadable.into()),
            Err(stop) => writeln!(std::io::stderr(), "{stop}; trying again in {} s", PAUSE.as_secs())?,
            Ok(never) => match never {},
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn consume(broker: &str, queue: &str, database: &PgConnectOptions) -> Result<std::convert::Infallible, Stop> {
    let mut store = PgConnection::connect_with(database).await?;
    sqlx::raw_sql(SCHEMA).execute(&mut store).await?;
    let connection = Connection::connect(broker, ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    channel.basic_qos(100, BasicQosOptions::default()).await?;
    let alone = BasicConsumeOptions {
        exclusive: true,
        ..BasicConsumeOptions::default()
    };
    let mut deliveries = channel
        .basic_consume(queue.into(), "".into(), alone, FieldTable::default())
        .await?;
    while let Some(delivery) = deliveries.next().await {
        let delivery = delivery?;
        handle(&mut store, &delivery.data).await?;
        delivery.ack(BasicAckOptions::default()).await?;
    }
    Err(Stop::Unsubscribed)
}

/// Applies one message, or finds that it changes nothing.
async fn handle(store: &mut PgConnection, text: &[u8]) -> Result<(), Stop> {
    let message: Message = serde_json::from_slice(text)?;
    if message.schema_version != SCHEMA_VERSION {
        let found = message.schema_version;
        return Err(Stop::Unreadable(format!(
            "schema version {found}, known is {SCHEMA_VERSION}"
        )));
    }
    let mut transaction = store.begin().await?;
    if let Some(retracted) = message.retracts {
        let undone: Option<Value> = sqlx::query_scalar(RETRACT)
            .bind(retracted.id)
            .fetch_optional(&mut *transaction)
            .await?;
        if let Some(fact) = undone {
            undo(&mut transaction, fact).await?;
        }
    } else {
        let fact: Value = serde_json::from_slice(text)?;
        let stood = sqlx::query(STAND)
            .bind(message.id)
            .bind(message.kind)
            .bind(&fact)
            .execute(&mut *transaction)
            .await?;
        if stood.rows_affected() == 1 {
            apply(&mut transaction, fact).await?;
        }
    }
    transaction.commit().await?;
    Ok(())
}

/// What follows from a fact that did not stand before.
async fn apply(store: &mut PgConnection, fact: Value) -> Result<(), Stop> {
    if let Some(moved) = movement(fact)? {
        hand_over(store, moved).await?;
    }
    Ok(())
}

/// Takes back what [`apply`] did for the same fact.
async fn undo(store: &mut PgConnection, fact: Value) -> Result<(), Stop> {
    if let Some(moved) = movement(fact)? {
        let back = Movement {
            from: moved.to,
            to: moved.from,
            ..moved
        };
        hand_over(store, back).await?;
    }
    Ok(())
}

fn movement(fact: Value) -> Result<Option<Movement>, Stop> {
    match fact["kind"].as_str() {
        Some("mint" | "transfer" | "burn") => Ok(Some(serde_json::from_value(fact)?)),
        _ => Ok(None),
    }
}

async fn hand_over(store: &mut PgConnection, moved: Movement) -> Result<(), Stop> {
    sqlx::query(MOVE)
        .bind(moved.chain)
        .bind(moved.contract)
        .bind(moved.token_id)
        .bind(moved.from)
        .bind(moved.to)
        .bind(moved.quantity)
        .execute(store)
        .await?;
    Ok(())
}
