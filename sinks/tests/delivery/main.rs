//! Delivery against a real PostgreSQL and a real RabbitMQ: what is owed is told, at least once, in order, and can be watched.

#![cfg(test)]

mod broker;
mod consumer;
mod ledger;
mod publisher;
#[path = "../scratch/mod.rs"]
mod scratch;
mod tail;
