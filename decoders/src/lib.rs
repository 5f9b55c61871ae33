//! Pure decoding of EVM logs into NFT facts.
//!
//! A [`Span`](block::Span) goes in, [`Facts`](fact::Facts) come out. This crate opens no socket, reads no clock, and knows
//! neither SQL nor JSON-RPC; the same bytes give the same facts on every machine. What is decoded, from which contracts and
//! with what limits stands in docs/PROTOCOLS.md.

pub mod block;
pub mod budget;
pub mod chains;
pub mod currency;
pub mod decoder;
pub mod dynamic;
pub mod events;
pub mod explain;
pub mod fact;
pub mod failure;
pub mod id;
pub mod log_reader;
pub mod pass;
pub mod protocols;
mod roster;
mod signatures;
pub mod transaction;

mod markets;
mod tokens;
mod trade;

pub use pass::{
    ROUNDS, SharedTopic, Wants, decode, decode_pieces, intermediaries, is_claimed, may_be_sale, shared_topics, sources,
    topics, wants,
};
