//! Pure decoding of EVM logs into NFT facts.
//!
//! A [`Span`](block::Span) goes in, [`Facts`](fact::Facts) come out. This crate opens no socket, reads no clock, and knows
//! neither SQL nor JSON-RPC; the same bytes give the same facts on every machine. What is decoded, from which contracts and
//! with what limits stands in docs/PROTOCOLS.md.

pub mod abi;
pub mod block;
pub mod currency;
pub mod events;
pub mod explain;
pub mod fact;
pub mod failure;
pub mod id;
pub mod proxy;
pub mod registry;
pub mod stored;
pub mod transaction;

mod baazaar;
mod benddao;
mod blend;
mod blur;
mod clock_auction;
mod cryptopunks;
mod cryptopunks_market;
mod deal;
mod element;
mod erc1155;
mod erc2309;
mod erc721;
mod erc721_legacy;
mod foundation;
mod looksrare;
mod manifold;
mod nftx;
mod nouns;
mod orders;
mod payment_processor;
mod people;
mod rarible;
mod seaport;
mod seaport_groups;
mod seaport_orders;
mod sudoswap;
mod superrare;
mod superrare_orders;
mod trail;
mod treasure;
mod wyvern;
mod x2y2;
mod zeroex;
mod zora;
mod zora_orders;

pub use registry::{Wants, decode, decode_pieces, is_claimed, sources, topics, wants};
