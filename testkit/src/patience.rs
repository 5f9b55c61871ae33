//! Waiting for a condition instead of for a time.

use std::time::{Duration, Instant};

/// How long a condition may take on a loaded machine before a test gives up: a lying endpoint alone is left alone for a minute.
pub const PATIENCE: Duration = Duration::from_secs(150);

/// How often a condition is looked at.
const GLANCE: Duration = Duration::from_millis(25);

/// Looks until `look` finds something, at most for `patience`.
pub async fn within<T>(patience: Duration, mut look: impl AsyncFnMut() -> Option<T>) -> Option<T> {
    let began = Instant::now();
    loop {
        if let Some(found) = look().await {
            return Some(found);
        }
        if began.elapsed() > patience {
            return None;
        }
        tokio::time::sleep(GLANCE).await;
    }
}

/// Looks until `look` finds something.
///
/// # Panics
/// After [`PATIENCE`], naming `what` was waited for.
pub async fn eventually<T>(what: &str, look: impl AsyncFnMut() -> Option<T>) -> T {
    within(PATIENCE, look)
        .await
        .unwrap_or_else(|| panic!("not within {PATIENCE:?}: {what}"))
}
