//! Looking things up by key: one kind of question, of which many go into a batch, and what one answer of a batch states.

use super::wire::call::Call;
use super::wire::{Reply, Unread};

/// What one answer of a batch states.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reported<V> {
    /// It passed its checks.
    Sure(V),
    /// It could not be checked: taken when every endpoint serves it so.
    Unproven(V),
    /// The endpoint does not have it.
    Missing,
    /// The endpoint failed at it, though it answered others.
    Failed,
    /// It contradicts what is known; how. Unlike an answer that is refused as a whole it costs the others of its batch nothing.
    False(String),
}

/// One kind of question.
pub(super) struct Lookup<K, V> {
    /// In words, for messages.
    pub(super) what: &'static str,
    pub(super) call: fn(&K) -> Call,
    /// The lowest height an endpoint must have reached, where the question names one.
    pub(super) height: fn(&K) -> Option<u64>,
    pub(super) read: fn(&K, &Reply<'_>) -> Result<Reported<V>, Unread>,
    /// Reading takes long for its bytes.
    pub(super) heavy: bool,
    /// What is not there yet may come.
    pub(super) may_come: bool,
}

impl<K, V> Clone for Lookup<K, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K, V> Copy for Lookup<K, V> {}
