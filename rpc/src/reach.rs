//! How far a span can be read. A part that cannot be read ends the span before it, and costs nothing of what lies below.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::question::Trouble;

/// The lowest block that could not be read, and why.
#[derive(Default)]
pub(super) struct Horizon(Mutex<Option<(u64, Trouble)>>);

impl Horizon {
    /// Whether everything up to this block can still be read.
    pub(super) fn holds(&self, number: u64) -> bool {
        self.lock().as_ref().is_none_or(|(end, _)| number < *end)
    }

    /// Ends the span before `number`. Trouble that no shorter span is spared is the caller's.
    pub(super) fn end(&self, number: u64, trouble: Trouble) -> Result<(), Trouble> {
        match trouble {
            Trouble::TooMuch(_)
            | Trouble::Unsupported
            | Trouble::Absent
            | Trouble::Refused(_)
            | Trouble::Unproven { .. }
            | Trouble::Unreachable(_) => {
                let mut end = self.lock();
                if end.as_ref().is_none_or(|(end, _)| number < *end) {
                    *end = Some((number, trouble));
                }
                Ok(())
            }
            Trouble::WrongChain(_) | Trouble::NoEndpoints | Trouble::Cancelled => Err(trouble),
        }
    }

    /// The first block that could not be read, and why.
    pub(super) fn ended(&self) -> Option<(u64, Trouble)> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Option<(u64, Trouble)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_block_ends_the_span() {
        let reach = Horizon::default();
        let trouble = |cause: &str| Trouble::Unreachable(cause.to_owned());
        assert!(reach.holds(u64::MAX));
        assert_eq!(reach.end(9, trouble("first")), Ok(()));
        assert_eq!(reach.end(12, trouble("higher")), Ok(()));
        assert_eq!(reach.end(5, trouble("lower")), Ok(()));
        assert_eq!((reach.holds(4), reach.holds(5)), (true, false));
        assert_eq!(reach.end(0, Trouble::Cancelled), Err(Trouble::Cancelled));
        assert_eq!(reach.ended(), Some((5, trouble("lower"))));
    }
}
