//! The endpoint as its clients see it, over real HTTP and WebSocket connections.

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
