//! What every kind of fact does alike: written by COPY, compared with what is stored, moved into a temporary table when taken back,
//! read again for its message.
//!
//! A kind of fact is a file of [`crate::facts`] with its [`Stored`] and its part of the SQL.

use std::ops::RangeInclusive;

use decoders::block::{Block, ChainId, find_block};
use decoders::fact::{Facts, Listed, Place};
use decoders::id::{MAX_BLOCK, MAX_ITEM, MAX_LOG_INDEX, Position};
use rustc_hash::FxHashMap;
use serde_json::Value;
use sqlx::{PgConnection, PgPool, Row as _};
use uuid::Uuid;

use crate::copy::{Rows, Statements, add, fields, timestamp};
use crate::error::SinkError;
use crate::keys::Keys;
use crate::message::{Message, MessageFact, Stated};

/// A kind of fact that has a table.
pub(crate) trait Stored: Listed + Sync {
    /// The ids of what a fact is about.
    type Key: Send + Sync;

    /// What its messages state.
    type Message: Stated;

    /// The table's SQL.
    const TABLE: Table;

    /// The ids of what this fact is about.
    fn key(&self, block: &Block, keys: &mut Keys) -> Self::Key;

    /// Appends the columns that facts of this kind have beside their place.
    fn write(row: &Row<'_, Self>, rows: &mut Rows);
}

/// A fact, its id, and the keys of what it is about.
pub(crate) struct Row<'a, F: Stored> {
    pub(crate) fact: &'a F,
    pub(crate) block: &'a Block,
    pub(crate) id: Uuid,
    pub(crate) key: F::Key,
}

/// The statements of one kind, made of its names by [`table`].
pub(crate) struct Table {
    /// The table, with its schema.
    pub(crate) name: &'static str,
    /// Take the place of a fact, then what [`Stored::write`] appends.
    pub(crate) add: Statements,
    /// Reads the blocks from $2 up to below $3: the first columns of `copy`, as many as a decoder decides.
    pub(crate) stored: &'static str,
    /// Whether there is anything in the blocks from $2 up to below $3.
    pub(crate) holds: &'static str,
    /// Makes the temporary table of what is taken back. It is kept by the connection and emptied by every commit, so that no
    /// catalog rows are made per rewind; a migration beside this process has it made anew.
    pub(crate) make_undone: &'static str,
    /// Moves what stands at $2 and above there.
    pub(crate) take_above: &'static str,
    /// Moves what has one of the ids $2 there.
    pub(crate) take: &'static str,
    /// Updates the planner's statistics of it.
    pub(crate) analyze: &'static str,
    /// Passes what it stated to the outbox, in the fields that `message` reads from the table.
    pub(crate) retract: &'static str,
    /// Reads what the messages of the facts with the ids $2 state, as far as these stand.
    pub(crate) message: &'static str,
    /// Counts its facts of chain $1.
    pub(crate) count: &'static str,
    /// Number and digest of its facts of chain $1.
    pub(crate) digest: &'static str,
}

impl Table {
    /// Its statements, those that make the temporary table first.
    pub(crate) fn statements(&self) -> [&'static str; 12] {
        [
            self.make_undone,
            self.add.copy,
            self.add.insert,
            self.stored,
            self.holds,
            self.take_above,
            self.take,
            self.analyze,
            self.retract,
            self.message,
            self.count,
            self.digest,
        ]
    }
}

/// How many columns a list of columns names.
pub(crate) const fn count_columns(list: &str) -> i16 {
    let (list, mut at, mut count) = (list.as_bytes(), 0, 1);
    while at < list.len() {
        if list[at] == b',' {
            count += 1;
        }
        at += 1;
    }
    count
}

/// The [`Table`] of a kind.
///
/// - `table`: its name, with the schema, and `undone`: that of the temporary table of what is taken back.
/// - `columns`: those a decoder decides, beside the place, and `computed`: others that are written with them, each after a comma.
/// - `message`: the fields that its messages state, of the row `f`, and `join`: what else they are read from.
/// - `announced`: which rows `f` have a message.
/// - `digest`: what two runs that index the same chain must agree on.
macro_rules! table {
    (
        table: $table:literal,
        undone: $undone:literal,
        columns: $columns:literal,
        computed: $computed:literal,
        message: $message:literal,
        join: $join:literal,
        announced: $announced:literal,
        digest: $digest:literal,
    ) => {
        $crate::kind::Table {
            name: $table,
            add: $crate::copy::Statements {
                columns: concat!($crate::kind::place!(), ", ", $columns, $computed),
                count: $crate::kind::count_columns(concat!($crate::kind::place!(), ", ", $columns, $computed)),
                copy: concat!(
                    "copy ",
                    $table,
                    " (",
                    $crate::kind::place!(),
                    ", ",
                    $columns,
                    $computed,
                    ") from stdin (format binary)"
                ),
                insert: concat!(
                    "insert into ",
                    $table,
                    " (",
                    $crate::kind::place!(),
                    ", ",
                    $columns,
                    $computed,
                    ") select ",
                    $crate::kind::place!(),
                    ", ",
                    $columns,
                    $computed,
                    " from jsonb_populate_recordset(null::",
                    $table,
                    ", $1::text::jsonb)"
                ),
            },
            stored: concat!(
                "select ",
                $crate::kind::place!(),
                ", ",
                $columns,
                " from ",
                $table,
                " where chain_id = $1 and id >= $2 and id < $3"
            ),
            holds: concat!(
                "select exists (select from ",
                $table,
                " where chain_id = $1 and id >= $2 and id < $3)"
            ),
            make_undone: concat!("select indexer_service.make_undone('", $undone, "', '", $table, "')"),
            take_above: concat!(
                "with taken as (delete from ",
                $table,
                " where chain_id = $1 and id >= $2 returning *)
                 insert into ",
                $undone,
                " select * from taken"
            ),
            take: concat!(
                "with taken as (delete from ",
                $table,
                " where chain_id = $1 and id = any($2) returning *)
                 insert into ",
                $undone,
                " select * from taken"
            ),
            analyze: concat!("analyze ", $undone),
            retract: concat!(
                "insert into undone (id, body)
                 select f.id, to_jsonb(stated) from ",
                $undone,
                " f ",
                $join,
                "
                 cross join lateral (select ",
                $message,
                ", ",
                $crate::kind::message_place!(),
                ") stated
                 where ",
                $announced
            ),
            message: concat!(
                "select ",
                $message,
                ", ",
                $crate::kind::message_place!(),
                "
                 from ",
                $table,
                " f ",
                $join,
                " where f.chain_id = $1 and f.id = any($2)"
            ),
            count: concat!("select count(*) from ", $table, " where chain_id = $1"),
            digest: concat!(
                "select count(*), coalesce(sum(('x' || left(md5(t::text), 16))::bit(64)::bigint), 0)::text
                 from (select ",
                $digest,
                " from ",
                $table,
                " where chain_id = $1) t"
            ),
        }
    };
}

/// The columns of a fact's place; block, log and item are parts of its id.
macro_rules! place {
    () => {
        "chain_id, id, tx_hash, block_hash, block_time"
    };
}

/// The fields of a fact's place that its messages state, of the row `f`.
macro_rules! message_place {
    () => {
        "f.id as fact_id, catalog_service.hex(f.tx_hash) as tx_hash, catalog_service.log_index_of(f.id) as log_index,
         catalog_service.item_of(f.id) as item, catalog_service.block_of(f.id) as block_number,
         catalog_service.hex(f.block_hash) as block_hash, f.block_time"
    };
}

pub(crate) use {message_place, place, table};

/// The rows of one kind.
pub(crate) fn rows<'a, F: Stored>(
    facts: &'a Facts,
    decoded: &'a [F],
    keys: &mut Keys,
    keep: impl Fn(&Place) -> bool,
) -> Result<Vec<Row<'a, F>>, SinkError> {
    let reject = |reason| SinkError::Inconsistent {
        chain: facts.chain,
        range: facts.range.clone(),
        reason,
    };
    let mut rows = Vec::with_capacity(decoded.len());
    for (fact, place) in decoded
        .iter()
        .map(|fact| (fact, fact.place()))
        .filter(|(_, place)| keep(place))
    {
        let Some(block) = find_block(&facts.blocks, place.block_number) else {
            return Err(reject("a fact names a block the span does not hold"));
        };
        if !facts.range.contains(&place.block_number) || !facts.sources.contains(&place.source) {
            return Err(reject("a fact lies outside the range or the sources of its span"));
        }
        if place.block_number > MAX_BLOCK || place.log_index > MAX_LOG_INDEX || place.item > MAX_ITEM {
            return Err(reject("a fact's position exceeds what an id can hold"));
        }
        rows.push(Row {
            fact,
            block,
            id: place.id(F::RECORD, facts.chain, block.hash),
            key: fact.key(block, keys),
        });
    }
    // Every writer writes in the order of the key, so that two with facts in common wait for each other and do not deadlock.
    rows.sort_by_key(|row| row.id);
    if rows.windows(2).any(|pair| pair[0].id == pair[1].id) {
        return Err(reject("two facts stand at one position"));
    }
    Ok(rows)
}

/// Writes facts; none cost no statement.
pub(crate) async fn apply<F: Stored>(
    db: &mut PgConnection,
    chain: &str,
    facts: &[Row<'_, F>],
) -> Result<(), SinkError> {
    if facts.is_empty() {
        return Ok(());
    }
    add(db, F::TABLE.add, facts.iter(), |fact, rows| write(fact, chain, rows)).await
}

fn write<F: Stored>(fact: &Row<'_, F>, chain: &str, rows: &mut Rows) {
    rows.row()
        .text(chain)
        .uuid(fact.id)
        .bytes(fact.fact.place().tx_hash.as_slice())
        .bytes(fact.block.hash.as_slice())
        .time(timestamp(fact.block.time));
    F::write(fact, rows);
}

/// Takes back the facts of `chain` at the block `first` and above; returns how many.
pub(crate) async fn revert_from<F: Stored>(db: &mut PgConnection, chain: &str, first: u64) -> Result<u64, SinkError> {
    sqlx::query(F::TABLE.make_undone).execute(&mut *db).await?;
    let taken = sqlx::query(F::TABLE.take_above)
        .bind(chain)
        .bind(Position::floor(first))
        .execute(&mut *db)
        .await?;
    retract::<F>(db, taken.rows_affected()).await
}

/// Takes back the facts of `chain` with these ids; returns how many.
async fn revert<F: Stored>(db: &mut PgConnection, chain: &str, ids: &[Uuid]) -> Result<u64, SinkError> {
    // Even for none: what follows from several kinds reads the table of each.
    sqlx::query(F::TABLE.make_undone).execute(&mut *db).await?;
    if ids.is_empty() {
        return Ok(0);
    }
    let taken = sqlx::query(F::TABLE.take)
        .bind(chain)
        .bind(ids)
        .execute(&mut *db)
        .await?;
    retract::<F>(db, taken.rows_affected()).await
}

/// Has the facts that were taken back retracted.
async fn retract<F: Stored>(db: &mut PgConnection, taken: u64) -> Result<u64, SinkError> {
    if taken > 0 {
        // Autovacuum never looks at temporary tables, so the planner knows nothing of this one's size unless it is counted here.
        sqlx::query(F::TABLE.analyze).execute(&mut *db).await?;
        sqlx::query(F::TABLE.retract).execute(db).await?;
    }
    Ok(taken)
}

/// What replacing stored facts by others came to.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Replaced {
    /// Those that were taken back: the others do not hold them, or state them differently.
    pub(crate) gone: u64,
    /// Those that stayed.
    pub(crate) kept: u64,
}

/// Takes back the facts of the blocks `range` that are not among `facts`, in which stays what is to be written. Two facts are the
/// same when their rows are, byte for byte.
pub(crate) async fn replace<F: Stored>(
    db: &mut PgConnection,
    chain: &str,
    range: &RangeInclusive<u64>,
    facts: &mut Vec<Row<'_, F>>,
) -> Result<Replaced, SinkError> {
    let stored = sqlx::query(F::TABLE.stored)
        .bind(chain)
        .bind(Position::floor(*range.start()))
        .bind(Position::floor(range.end() + 1))
        .fetch_all(&mut *db)
        .await?;
    let mut others: FxHashMap<Uuid, Vec<u8>> = FxHashMap::default();
    for row in &stored {
        others.insert(row.try_get("id")?, fields(row)?);
    }
    facts.retain(|fact| {
        let mut decoded = Rows::new(F::TABLE.add.count);
        write(fact, chain, &mut decoded);
        let stays = others
            .get(&fact.id)
            // Computed columns come last and are not compared: they follow from other facts and are kept by their projections.
            .is_some_and(|stored| decoded.fields().starts_with(stored));
        if stays {
            others.remove(&fact.id);
        }
        !stays
    });
    let gone: Vec<Uuid> = others.into_keys().collect();
    Ok(Replaced {
        gone: revert::<F>(db, chain, &gone).await?,
        kept: (stored.len() - gone.len()) as u64,
    })
}

/// Whether there are facts of `chain` in the blocks `range`.
pub(crate) async fn holds(
    db: &mut PgConnection,
    table: &Table,
    chain: &str,
    range: &RangeInclusive<u64>,
) -> Result<bool, SinkError> {
    let held = sqlx::query_scalar(table.holds)
        .bind(chain)
        .bind(Position::floor(*range.start()))
        .bind(Position::floor(range.end() + 1));
    Ok(held.fetch_one(db).await?)
}

/// How many facts of `chain` there are.
pub(crate) async fn count<F: Stored>(db: &mut PgConnection, chain: &str) -> Result<u64, SinkError> {
    let count: i64 = sqlx::query_scalar(F::TABLE.count).bind(chain).fetch_one(db).await?;
    Ok(count.cast_unsigned())
}

/// A fact with a message.
pub(crate) struct Announced {
    pub(crate) id: Uuid,
    /// What the message calls it.
    pub(crate) name: &'static str,
}

/// Those of `rows` that have a message.
pub(crate) fn announced<F: Stored>(rows: &[Row<'_, F>]) -> impl Iterator<Item = Announced> {
    rows.iter().filter_map(|row| {
        Some(Announced {
            id: row.id,
            name: row.fact.name()?,
        })
    })
}

/// The messages of the facts of `chain` with the ids `ids`, as far as these stand; none cost no statement.
pub(crate) async fn messages<F: Stored>(
    pool: &PgPool,
    chain: ChainId,
    ids: &[Uuid],
) -> Result<Vec<(Uuid, Message)>, sqlx::Error> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let facts: Vec<MessageFact<F::Message>> = sqlx::query_as(F::TABLE.message)
        .bind(chain.to_string())
        .bind(ids)
        .fetch_all(pool)
        .await?;
    Ok(facts
        .into_iter()
        .map(|fact| (fact.fact_id, fact.message(chain)))
        .collect())
}

/// The message with the id `id` that takes back a fact, of which `body` holds what it stated.
pub(crate) fn retraction<F: Stored>(body: Value, chain: ChainId, id: Uuid) -> Result<Message, serde_json::Error> {
    let fact: MessageFact<F::Message> = serde_json::from_value(body)?;
    Ok(fact.retraction(chain, id))
}
