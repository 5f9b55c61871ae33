//! Delivery against a real PostgreSQL and a real RabbitMQ: pending messages arrive, at least once, in order, and can be watched.

#![cfg(test)]

mod consumer;
mod example;
mod ledger;
mod publisher;
mod tail;
