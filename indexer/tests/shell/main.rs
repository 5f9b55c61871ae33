//! The shell around the pipeline: configuration, command line, database, registry, API, health.

mod api;
mod commands;
mod config;
mod database;
mod health;
mod postgres;
mod registry;
