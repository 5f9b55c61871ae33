//! Places for connections: a limited number, of which those that wait for a client make room for new ones.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// The places of a server.
///
/// A connection waits from its beginning, and from each of its answers, until its next request is complete. When every place is taken,
/// the one that has waited longest is closed, so that clients which open connections and send nothing keep no one out.
#[derive(Debug)]
pub(super) struct Places {
    limit: usize,
    open: Mutex<Open>,
    freed: Notify,
}

#[derive(Debug, Default)]
struct Open {
    taken: usize,
    next_ticket: u64,
    /// What closes each connection that waits; tickets are given out in order, so the first has waited longest.
    waiting: BTreeMap<u64, CancellationToken>,
}

impl Open {
    fn wait(&mut self, closed: &CancellationToken) -> u64 {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.waiting.insert(ticket, closed.clone());
        ticket
    }
}

/// One connection's place; given up when dropped.
#[derive(Debug)]
pub(super) struct Place {
    places: Arc<Places>,
    closed: CancellationToken,
    /// The ticket of a connection that waits; one that is no longer in the list was closed, and its place is another's.
    ticket: Mutex<Option<u64>>,
}

impl Places {
    pub(super) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Places {
            limit,
            open: Mutex::default(),
            freed: Notify::new(),
        })
    }

    /// A place: a free one, or that of the connection that has waited longest. Where every connection has a request under way, the
    /// first that is done makes room.
    pub(super) async fn take(self: &Arc<Self>) -> Place {
        loop {
            if let Some(place) = self.try_take() {
                return place;
            }
            self.freed.notified().await;
        }
    }

    fn try_take(self: &Arc<Self>) -> Option<Place> {
        let mut open = self.open();
        if open.taken < self.limit {
            open.taken += 1;
        } else {
            // Its place passes on, so the number of those taken stays.
            let (_, longest) = open.waiting.pop_first()?;
            longest.cancel();
        }
        let closed = CancellationToken::new();
        let ticket = open.wait(&closed);
        drop(open);
        Some(Place {
            places: Arc::clone(self),
            closed,
            ticket: Mutex::new(Some(ticket)),
        })
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Ends when the place was given to another connection.
    pub(super) async fn closed(&self) {
        self.closed.cancelled().await;
    }

    /// Notes that a request is complete: it is answered, however many others come.
    pub(super) fn begin(&self) {
        let mut ticket = self.ticket.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(number) = *ticket
            && self.places.open().waiting.remove(&number).is_some()
        {
            *ticket = None;
        }
    }

    /// Notes that the answer is made: what remains is the client's part, to take it in and to ask again.
    pub(super) fn answered(&self) {
        let mut ticket = self.ticket.lock().unwrap_or_else(PoisonError::into_inner);
        if ticket.is_none() {
            *ticket = Some(self.places.open().wait(&self.closed));
            self.places.freed.notify_one();
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let ticket = *self.ticket.get_mut().unwrap_or_else(PoisonError::into_inner);
        let mut open = self.places.open();
        let is_ours = ticket.is_none_or(|number| open.waiting.remove(&number).is_some());
        if is_ours {
            open.taken -= 1;
            self.places.freed.notify_one();
        }
    }
}
