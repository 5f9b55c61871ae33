//! What tests of several crates share, built for tests alone.
//!
//! Without features it knows where real blocks are, which is all that tests of the pure crates need. The feature `services` adds
//! databases, clients of the broker, relays that can be cut, and what the tables must hold.

#![cfg_attr(
    feature = "services",
    expect(
        clippy::unwrap_used,
        clippy::panic,
        reason = "a test that cannot go on fails there and then"
    )
)]

pub mod real_blocks;

#[cfg(feature = "services")]
pub mod broker;
#[cfg(feature = "services")]
mod columns;
#[cfg(feature = "services")]
pub mod database;
#[cfg(feature = "services")]
pub mod mongo;
#[cfg(feature = "services")]
pub mod outbox;
#[cfg(feature = "services")]
pub mod patience;
#[cfg(feature = "services")]
pub mod rules;
#[cfg(feature = "services")]
pub mod services;
#[cfg(feature = "services")]
pub mod tables;
#[cfg(feature = "services")]
pub mod trades;
#[cfg(feature = "services")]
pub mod wire;
