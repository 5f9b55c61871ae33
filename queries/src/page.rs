//! Keyset pages: each begins behind the last row of the one before, so that what is written meanwhile shifts no row from one page to
//! another, and the last page costs what the first does.

use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

use serde::{Serialize, Serializer};
use uuid::Uuid;

/// A row of a listing that is read page by page.
pub trait Keyed {
    /// What the listing is ordered by; no two rows share it.
    type Key;

    /// Where the row stands in the listing.
    fn key(&self) -> Self::Key;
}

/// Where a page ended. To readers it is text that they give back as they got it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor<Key>(Key);

/// A text that no page ended with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no place that a page named")]
pub struct CursorError(String);

impl<Key> Cursor<Key> {
    /// Behind the row with this key.
    pub fn behind(key: Key) -> Self {
        Cursor(key)
    }

    /// The key of the row that it stands behind.
    pub fn key(&self) -> &Key {
        &self.0
    }
}

impl<Key: FromStr> FromStr for Cursor<Key> {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Cursor).map_err(|_| CursorError(text.to_owned()))
    }
}

impl<Key: Display> Display for Cursor<Key> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<Key: Display> Serialize for Cursor<Key> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Which page is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageRequest<Key = Uuid> {
    /// Where the page before ended; absent for the first page.
    pub after: Option<Cursor<Key>>,
    /// Rows at most.
    pub limit: i64,
}

impl<Key> PageRequest<Key> {
    /// The first page, of at most `limit` rows.
    pub fn first(limit: i64) -> Self {
        PageRequest { after: None, limit }
    }
}

impl PageRequest<Uuid> {
    /// The bound of a page of facts, newest first: every id of the page is below it. No id is above the last one.
    pub(crate) fn below(&self) -> Uuid {
        self.after.as_ref().map_or(Uuid::max(), |cursor| *cursor.key())
    }
}

/// One page of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<Row: Keyed> {
    /// The rows, in order.
    pub rows: Vec<Row>,
    /// Where it ended; absent on the last page, which has fewer rows than were asked for.
    pub next: Option<Cursor<Row::Key>>,
}

impl<Row: Keyed> Page<Row> {
    /// The page that `rows` are when at most `limit` were asked for.
    pub(crate) fn of(rows: Vec<Row>, limit: i64) -> Self {
        // A full page may be the last one: the next is then empty, which costs less than asking for a row more each time.
        let full = i64::try_from(rows.len()).is_ok_and(|count| count == limit);
        let next = rows.last().filter(|_| full).map(|last| Cursor(last.key()));
        Page { rows, next }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Numbered(u128);

    impl Keyed for Numbered {
        type Key = Uuid;

        fn key(&self) -> Uuid {
            Uuid::from_u128(self.0)
        }
    }

    #[test]
    fn a_full_page_names_the_next_one() {
        let rows = |numbers: &[u128]| numbers.iter().map(|number| Numbered(*number)).collect::<Vec<_>>();
        let next = Page::of(rows(&[9, 7]), 2).next.unwrap();
        assert_eq!(*next.key(), Uuid::from_u128(7));
        assert_eq!(Page::of(rows(&[9]), 2).next, None);
        assert_eq!(Page::of(rows(&[]), 2).next, None);
    }

    #[test]
    fn a_cursor_reads_back_as_it_was_shown() {
        let cursor = Cursor::behind(Uuid::from_u128(7));
        assert_eq!(cursor.to_string().parse(), Ok(cursor.clone()));
        let wrong = "seven".parse::<Cursor<Uuid>>().unwrap_err();
        assert_eq!(wrong.to_string(), "\"seven\" is no place that a page named");
        let request = PageRequest {
            after: Some(cursor),
            limit: 1,
        };
        assert_eq!(request.below(), Uuid::from_u128(7));
        assert_eq!(PageRequest::first(1).below(), Uuid::max());
    }
}
