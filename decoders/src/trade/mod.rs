//! What markets share: a trade and its items, orders and their ends, a transaction's movements and payments, and who is
//! behind it.

pub(crate) mod deal;
pub(crate) mod orders;
pub(crate) mod people;
pub(crate) mod trail;
