//! Pure decoding of EVM logs into NFT facts.
//!
//! A [`Span`](block::Span) goes in, [`Facts`](fact::Facts) come out. This crate opens no socket, reads no clock, and knows
//! neither SQL nor JSON-RPC; the same bytes give the same facts on every machine.

pub mod block;
pub mod fact;
pub mod id;
