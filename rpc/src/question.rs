//! What the pool is asked, how an answer is read, and why there may be none.

use std::time::Duration;

use super::wire::call::Call;
use super::wire::rejection::{Hint, Rejection};
use super::wire::{Body, Unread};

/// Answers longer than this are read on a blocking thread.
const LONG: usize = 256 << 10;

/// What is asked.
#[derive(Clone, Debug)]
pub(super) struct Ask {
    pub(super) calls: Vec<Call>,
    /// In words, for messages.
    pub(super) what: String,
    pub(super) patience: Duration,
    /// The highest block the answer needs, when its height is known.
    pub(super) block: Option<u64>,
    /// Blocks of an `eth_getLogs` range.
    pub(super) span: Option<u64>,
    /// Needs `eth_getBlockReceipts`.
    pub(super) receipts: bool,
    /// Reading the answer takes long, however short it is.
    pub(super) heavy: bool,
    /// Endpoints to leave out while there are others.
    pub(super) shun: Vec<i32>,
    /// Each call stands for itself: where one has no answer the reader is given an error in its place.
    pub(super) each: bool,
    /// When none answers the whole question, what an endpoint has answered of it is read, with errors in place of the rest.
    pub(super) in_part: bool,
}

impl Ask {
    /// A question of the ordinary kind.
    pub(super) fn of(calls: Vec<Call>, what: String, patience: Duration) -> Self {
        Ask {
            calls,
            what,
            patience,
            block: None,
            span: None,
            receipts: false,
            heavy: false,
            shun: Vec::new(),
            each: false,
            in_part: false,
        }
    }

    /// Whether the refusal is about the range asked for, which can be split.
    pub(super) fn is_too_wide(&self, rejection: &Rejection) -> bool {
        matches!(rejection, Rejection::TooMuch(_)) && self.span.is_some_and(|blocks| blocks > 1)
    }
}

/// Reads what answers the calls of a question, one body for each. It may run on a blocking thread, and again for the next endpoint.
pub(super) trait Reader<T>: Fn(&[Body]) -> Result<T, Unread> + Clone + Send + Sync + 'static {}

impl<T, R> Reader<T> for R where R: Fn(&[Body]) -> Result<T, Unread> + Clone + Send + Sync + 'static {}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// Ask for fewer blocks.
    TooMuch(Option<Hint>),
    /// No endpoint has it.
    Absent,
    /// No endpoint knows the method.
    Unsupported,
    /// Endpoints answer, but not this question; how.
    Refused(String),
    /// Every answer failed a check.
    Unproven {
        /// Which check, per endpoint.
        reason: String,
        /// Endpoints whose answers were not only without proof but false.
        liars: Vec<i32>,
    },
    /// No endpoint answers; why.
    Unreachable(String),
    /// Every endpoint serves another chain; which.
    WrongChain(String),
    NoEndpoints,
    Cancelled,
}

/// Reads an answer of so many bytes, on a blocking thread where they are many.
pub(super) async fn off_thread<T: Send + 'static>(
    bytes: usize,
    read: impl FnOnce() -> Result<T, Unread> + Send + 'static,
) -> Result<T, Unread> {
    if bytes <= LONG {
        return read();
    }
    let reading = tokio::task::spawn_blocking(read);
    reading
        .await
        .unwrap_or_else(|error| Err(Unread::Malformed(error.to_string())))
}
