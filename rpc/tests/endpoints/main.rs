//! The endpoint pool against real HTTP and WebSocket servers that fail, lag, disagree and lie.

#![cfg(test)]

mod context;
mod exchanged;
mod fixtures;
mod limits;
mod odd;
mod positions;
mod progress;
mod sibling_logs;
mod sockets;
mod truth;
mod world;
