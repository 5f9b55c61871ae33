//! Contracts decoded by stored ABIs, and the proxies in front of them.

pub mod proxy;
pub mod stored;
