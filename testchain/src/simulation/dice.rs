//! Chance, decided by a seed.

use rand_chacha::ChaCha8Rng;

/// Dice whose rolls are the same on every platform.
pub(super) type Dice = ChaCha8Rng;
