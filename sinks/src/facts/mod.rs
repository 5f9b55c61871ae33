//! Facts in their tables: how each kind is written, read back and taken back, and what its messages are.
//!
//! A kind of fact is a file here and a line in the list below; what has to know all kinds walks it.

pub mod faults;

pub(crate) mod closings;
pub(crate) mod orders;
pub(crate) mod sales;
pub(crate) mod transfers;

use std::ops::RangeInclusive;

use decoders::block::ChainId;
use decoders::fact::{Closing, FactKind as _, Facts, Order, PerKind, Place, Sale, Transfer};
use rustc_hash::FxHashMap;
use serde::de::Error as _;
use serde_json::Value;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::error::SinkError;
use crate::keys::Keys;
use crate::kind::{self, Announced, Replaced, Row, Stored as _, Table};
use crate::message::Message;

/// Makes of the list of kinds what is done with each of them.
macro_rules! kinds {
    ($($list:ident: $Fact:ident,)*) => {
        /// The facts of one span with the keys of every table they touch: those of each kind in ascending order of their ids.
        pub(crate) struct Batch<'a> {
            pub(crate) chain: ChainId,
            /// The chain as CAIP-2 text, as every table writes it.
            pub(crate) chain_name: String,
            /// Whether what a bulk load leaves to its end is left out.
            pub(crate) is_bulk: bool,
            $(pub(crate) $list: Vec<Row<'a, $Fact>>,)*
        }

        impl<'a> Batch<'a> {
            /// The facts of `facts` that `keep` wants.
            ///
            /// Fails on a fact outside the span or its sources, on a position that an id cannot hold, and on two facts of one kind
            /// at one position.
            pub(crate) fn of(
                facts: &'a Facts,
                is_bulk: bool,
                keep: impl Fn(&Place) -> bool,
            ) -> Result<Self, SinkError> {
                let mut keys = Keys::of(facts.chain);
                Ok(Batch {
                    chain: facts.chain,
                    chain_name: facts.chain.to_string(),
                    is_bulk,
                    $($list: kind::rows(facts, &facts.$list, &mut keys, &keep)?,)*
                })
            }

            /// How many facts there are of each kind.
            pub(crate) fn counts(&self) -> PerKind<u64> {
                PerKind { $($list: self.$list.len() as u64,)* }
            }

            /// The facts that have a message, kind by kind.
            pub(crate) fn announced(&self) -> impl Iterator<Item = Announced> {
                std::iter::empty()$(.chain(kind::announced(&self.$list)))*
            }
        }

        /// The tables of facts.
        pub(crate) const TABLES: [Table; [$(stringify!($list)),*].len()] = [$($Fact::TABLE),*];

        /// Writes the facts of `batch`; a kind of which there are none costs no statement.
        pub(crate) async fn apply(db: &mut PgConnection, batch: &Batch<'_>) -> Result<(), SinkError> {
            $(kind::apply(db, &batch.chain_name, &batch.$list).await?;)*
            Ok(())
        }

        /// Takes back the facts of `chain` at the block `first` and above; returns how many.
        pub(crate) async fn revert_from(
            db: &mut PgConnection,
            chain: &str,
            first: u64,
        ) -> Result<PerKind<u64>, SinkError> {
            Ok(PerKind { $($list: kind::revert_from::<$Fact>(db, chain, first).await?,)* })
        }

        /// How many facts of each kind the tables hold of `chain`. It reads all of them: not for every request.
        pub async fn counts(pool: &PgPool, chain: ChainId) -> Result<PerKind<u64>, SinkError> {
            let (mut db, chain) = (pool.acquire().await?, chain.to_string());
            Ok(PerKind { $($list: kind::count::<$Fact>(&mut db, &chain).await?,)* })
        }

        /// Takes back the facts of the blocks `range` that are not among those of `batch`, in which stays what is to be written.
        pub(crate) async fn replace(
            db: &mut PgConnection,
            range: &RangeInclusive<u64>,
            batch: &mut Batch<'_>,
        ) -> Result<PerKind<Replaced>, SinkError> {
            let chain = &batch.chain_name;
            Ok(PerKind { $($list: kind::replace(db, chain, range, &mut batch.$list).await?,)* })
        }

        /// The messages of the facts of `chain` with these names and ids, as far as they stand: one statement per kind among them.
        pub(crate) async fn messages(
            pool: &PgPool,
            chain: ChainId,
            announced: &[(&str, Uuid)],
        ) -> Result<FxHashMap<Uuid, Message>, sqlx::Error> {
            let mut messages = FxHashMap::default();
            $(
                let named = announced.iter().filter(|(name, _)| $Fact::NAMES.contains(name));
                let ids: Vec<Uuid> = named.map(|(_, id)| *id).collect();
                messages.extend(kind::messages::<$Fact>(pool, chain, &ids).await?);
            )*
            Ok(messages)
        }

        /// The message with the id `id` that takes back a fact, of which `body` holds what it stated.
        pub(crate) fn retraction(body: Value, chain: ChainId, id: Uuid) -> Result<Message, serde_json::Error> {
            let name = body["kind"].as_str().unwrap_or_default();
            $(
                if $Fact::NAMES.contains(&name) {
                    return kind::retraction::<$Fact>(body, chain, id);
                }
            )*
            Err(serde_json::Error::custom(format!("no kind of fact is called {name:?}")))
        }
    };
}

// THE list of kinds that have a table, in the order in which all writers write them. It is the list of `decoders::fact`: what misses
// a kind does not compile.
kinds! {
    transfers: Transfer,
    sales: Sale,
    orders: Order,
    closings: Closing,
}

/// Whether some kind of fact has this name in messages.
pub(crate) fn is_known(name: &str) -> bool {
    decoders::fact::KINDS.iter().any(|kind| kind.names.contains(&name))
}

/// Whether the tables hold any fact of `chain` in the blocks `range`.
pub(crate) async fn holds(pool: &PgPool, chain: ChainId, range: &RangeInclusive<u64>) -> Result<bool, SinkError> {
    let (mut db, chain) = (pool.acquire().await?, chain.to_string());
    for table in &TABLES {
        if kind::holds(&mut db, table, &chain, range).await? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Every statement on a table of facts, with the table's name: they are made of it, so that they cannot be found in the source.
pub fn statements() -> impl Iterator<Item = (&'static str, &'static str)> {
    TABLES
        .iter()
        .flat_map(|table| table.statements().map(|statement| (table.name, statement)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_unknown_kind_is_no_transfer() {
        let transfer = json!({
            "fact_id": Uuid::nil(), "kind": "airdrop", "contract": "0x", "token_id": "1", "from": "0x", "to": "0x", "quantity": "1",
            "standard": "erc721", "tx_hash": "0x", "log_index": 1, "item": 0, "block_number": 1, "block_hash": "0x",
            "block_time": "2021-04-22T04:29:57+00:00"
        });
        let error = retraction(transfer.clone(), ChainId(1), Uuid::nil()).unwrap_err();
        assert_eq!(error.to_string(), "no kind of fact is called \"airdrop\"");
        let mut known = transfer;
        known["kind"] = json!("mint");
        retraction(known, ChainId(1), Uuid::nil()).unwrap();
        assert!(retraction(json!({}), ChainId(1), Uuid::nil()).is_err());
        assert!(
            decoders::fact::KINDS
                .iter()
                .flat_map(|kind| kind.names)
                .all(|name| is_known(name))
        );
        assert!(!is_known("airdrop") && !is_known(""));
    }
}
