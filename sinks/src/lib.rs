//! PostgreSQL: commit and rewind, projections, coverage, outbox; RabbitMQ: the publisher.
//!
//! This crate never sees an RPC type. Only `publisher` knows RabbitMQ. No function holds two connections at once, because the
//! embedded PostgreSQL has one.
//!
//! [`commit`] is the way in: [`apply`](commit::apply) and its twins [`rewind`](commit::rewind) and [`replace`](commit::replace)
//! call the projections, each of which shows its `apply` beside its `revert`.

pub mod abis;
pub mod basis;
pub mod checkpoint;
pub mod cohorts;
pub mod commit;
pub mod coverage;
pub mod currencies;
pub mod digest;
pub mod error;
pub mod faults;
pub mod intents;
pub mod lease;
pub mod members;
pub mod outbox;
pub mod publisher;
pub mod seams;
pub mod store;
pub mod wash;

mod balances;
mod batch;
mod closings;
mod collections;
mod copy;
mod counters;
mod kind;
mod orders;
mod ranges;
mod sales;
mod settlement;
mod tokens;
mod transfers;
mod volumes;
