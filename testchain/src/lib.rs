//! Chains to test against: simulated from a seed, recorded from a real node, and served over JSON-RPC with faults by choice.
//!
//! This crate depends on no sibling: what it states about the final state comes from the generator's own books, never from
//! the product's decoders.

pub mod block;
mod encode;
pub mod faults;
pub mod ledger;
pub mod limits;
pub mod playback;
pub mod quirks;
pub mod recording;
mod refusal;
pub mod server;
pub mod simulation;
