//! What a user of the program sees around the pipeline: configuration, command line, database, registry, API, health.

#![cfg(test)]
#![expect(clippy::too_many_lines, reason = "a test reads from top to bottom")]

mod api;
mod bench;
mod commands;
mod config;
mod database;
mod decode;
mod health;
mod postgres;
mod process;
mod readme;
mod registry;
mod services;
mod tls;
