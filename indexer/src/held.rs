//! What is held of one chain between its endpoints and the tables: counted in rows, so that the bound of memory can be seen to hold.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use decoders::block::Span;

/// Rows held now, and the most there ever were.
#[derive(Debug, Default)]
pub struct Held {
    now: AtomicUsize,
    most: AtomicUsize,
}

impl Held {
    /// Counts `rows` as held until the result is dropped.
    pub fn hold(self: &Arc<Self>, rows: usize) -> Holding {
        let now = self.now.fetch_add(rows, Ordering::Relaxed) + rows;
        self.most.fetch_max(now, Ordering::Relaxed);
        Holding {
            held: Arc::clone(self),
            rows,
        }
    }

    /// The most rows that were ever held at once.
    pub fn most(&self) -> usize {
        self.most.load(Ordering::Relaxed)
    }
}

/// Rows that are held.
#[derive(Debug)]
pub struct Holding {
    held: Arc<Held>,
    rows: usize,
}

impl Drop for Holding {
    fn drop(&mut self) {
        self.held.now.fetch_sub(self.rows, Ordering::Relaxed);
    }
}

/// A span as it was read, counted as held for as long as it is.
#[derive(Debug)]
pub struct HeldSpan {
    span: Span,
    _holding: Holding,
}

impl HeldSpan {
    /// `span`, counted in `held`.
    pub fn new(span: Span, held: &Arc<Held>) -> Self {
        let holding = held.hold(span.rows());
        HeldSpan {
            span,
            _holding: holding,
        }
    }
}

impl Deref for HeldSpan {
    type Target = Span;

    fn deref(&self) -> &Span {
        &self.span
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_is_of_one_moment() {
        let held = Arc::<Held>::default();
        let first = held.hold(3);
        drop(held.hold(4));
        drop(first);
        drop(held.hold(5));
        assert_eq!(held.most(), 7);
    }
}
