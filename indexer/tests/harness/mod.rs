//! What the test binaries of this crate share and what needs its internals: a served chain indexed by the pipeline, and the real
//! program. What tests of other crates can use as well is in `testkit`.

#![allow(
    dead_code,
    clippy::allow_attributes,
    reason = "each test binary uses its part of the harness"
)]

pub(crate) mod chain;
pub(crate) mod daemon;
pub(crate) mod program;
pub(crate) mod spans;

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
