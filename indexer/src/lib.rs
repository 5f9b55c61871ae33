//! The daemon's parts, in the order a block meets them.

pub mod archive;
pub mod backfill;
pub mod cli;
pub mod config;
pub mod currencies;
pub mod daemon;
pub mod database;
pub mod error;
pub mod faults;
pub mod follower;
pub mod health;
pub mod held;
pub mod pipeline;
pub mod registry;
pub mod retry;
pub mod stored;
pub mod stores;
