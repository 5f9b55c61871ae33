//! PostgreSQL: commit and rewind, projections, coverage, outbox; RabbitMQ: the publisher.
//!
//! This crate never sees an RPC type. Only `publisher` knows RabbitMQ. No function holds two connections at once, because the
//! embedded PostgreSQL has one.
//!
//! [`commit`] is the way in: [`apply`](commit::apply) and its twins [`rewind`](commit::rewind) and [`replace`](commit::replace)
//! call the projections, each of which shows its `apply` beside its `revert`.

pub mod abis;
pub mod commit;
pub mod copy;
pub mod currencies;
pub mod digest;
pub mod error;
pub mod facts;
pub mod maintenance;
pub mod outbox;
pub mod progress;
pub mod projections;
pub mod publisher;
pub mod store;

mod keys;
mod kind;
mod message;
mod projection;
