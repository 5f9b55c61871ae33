//! What the integration tests stand on: stores of their own, a served chain, the real program, and what the tables must say.
//!
//! A test binary that uses it also has `sinks/tests/scratch` as its module `scratch`.

#![allow(dead_code, unreachable_pub, clippy::allow_attributes, reason = "each test binary uses its part of the harness")]

pub mod chain;
pub mod daemon;
pub mod outbox;
pub mod patience;
pub mod program;
pub mod stores;
pub mod spans;
pub mod tables;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

/// Dice whose rolls a failing test can name by their seed.
pub type Dice = ChaCha8Rng;

/// The dice of `seed`.
pub fn dice(seed: u64) -> Dice {
    Dice::seed_from_u64(seed)
}
