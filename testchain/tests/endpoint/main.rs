//! The endpoint as its clients see it, over real HTTP and WebSocket connections.

#![cfg(test)]

mod chain;
mod client;
mod command;
mod faults;
mod fixtures;
mod limits;
mod logs;
mod methods;
mod quirks;
mod recordings;
mod sockets;
