//! PostgreSQL: commit and rewind, projections, coverage, outbox; RabbitMQ: the publisher.
//!
//! This crate never sees an RPC type. Only `publisher` knows RabbitMQ.

pub mod error;
pub mod publisher;
pub mod store;
