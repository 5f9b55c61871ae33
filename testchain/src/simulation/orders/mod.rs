//! Orders and what they are made of, apart from what is done with them.

pub(super) mod lot;
pub(super) mod order_book;
pub(super) mod price;
pub(super) mod terms;
