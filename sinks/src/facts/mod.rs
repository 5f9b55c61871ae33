//! Facts in their tables: how each kind is written, read back and taken back.

pub mod faults;

pub(crate) mod closings;
pub(crate) mod orders;
pub(crate) mod sales;
pub(crate) mod transfers;
