//! The shell around the pipeline: configuration, command line, database, registry, API, health.

#![expect(
    clippy::unwrap_used,
    clippy::too_many_lines,
    reason = "a test may unwrap, and reads from top to bottom"
)]

mod api;
mod commands;
mod config;
mod database;
mod health;
mod postgres;
mod process;
mod registry;
mod services;
mod tls;
