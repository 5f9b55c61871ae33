//! The servers that `scripts/services` starts for tests.

use std::time::{SystemTime, UNIX_EPOCH};

/// The value of a `TEST_*` variable that `scripts/services env` sets.
///
/// # Panics
/// When it is not set: a test that needs a server must not pass without it.
pub fn service(variable: &str) -> String {
    std::env::var(variable)
        .unwrap_or_else(|_| panic!("{variable} is not set; start the services: eval \"$(scripts/services env)\""))
}

/// A name no other test uses, for a database, an exchange or a queue.
pub fn unique(prefix: &str) -> String {
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
    format!("{prefix}_{:x}_{:08x}", nanos, rand::random::<u32>())
}
