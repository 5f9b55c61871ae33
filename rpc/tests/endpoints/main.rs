//! The endpoint pool against real HTTP and WebSocket servers that fail, lag, disagree and lie.

#![cfg(test)]

mod companions;
mod context;
mod exchanged;
mod fixtures;
mod limits;
mod odd;
mod progress;
mod sockets;
mod truth;
mod world;
