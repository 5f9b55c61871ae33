//! What the integration tests stand on: stores of their own, a served chain, the real program, and what the tables must hold.
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
pub(crate) mod trades;
pub(crate) mod wire;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use testchain::simulation::Settings;

/// Dice whose rolls a failing test can name by their seed.
pub(crate) type Dice = ChaCha8Rng;

/// The dice of `seed`.
pub(crate) fn dice(seed: u64) -> Dice {
    Dice::seed_from_u64(seed)
}

/// Traffic of a small chain; every second seed trades as well.
pub(crate) fn traffic(seed: u64) -> Settings {
    if seed.is_multiple_of(2) {
        Settings::market(seed)
    } else {
        Settings::small(seed)
    }
}

/// `usual`, or what the environment variable `LAW_SEEDS` names instead: `LAW_SEEDS=7,8,9 cargo nextest run …` tries other chance.
pub(crate) fn seeds(usual: &[u64]) -> Vec<u64> {
    match std::env::var("LAW_SEEDS") {
        Ok(listed) => listed.split(',').map(|seed| seed.trim().parse().unwrap()).collect(),
        Err(_) => usual.to_vec(),
    }
}
