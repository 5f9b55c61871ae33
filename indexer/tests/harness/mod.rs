//! What the integration tests stand on: stores of their own, a served chain, the real program, and what the tables must say.
//!
//! A test binary that uses it also has `sinks/tests/scratch` as its module `scratch`.

#![allow(
    dead_code,
    clippy::allow_attributes,
    reason = "each test binary uses its part of the harness"
)]

pub(crate) mod chain;
pub(crate) mod daemon;
pub(crate) mod outbox;
pub(crate) mod patience;
pub(crate) mod program;
pub(crate) mod spans;
pub(crate) mod stores;
pub(crate) mod tables;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

/// Dice whose rolls a failing test can name by their seed.
pub(crate) type Dice = ChaCha8Rng;

/// The dice of `seed`.
pub(crate) fn dice(seed: u64) -> Dice {
    Dice::seed_from_u64(seed)
}
