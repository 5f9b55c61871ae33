//! The laws of the system (design, section 13), held on simulated chains with real stores and the real program.
//!
//! Every test names the law it holds. Chance comes from seeds, and a failing test names its own.

#![cfg(test)]

#[path = "../harness/mod.rs"]
mod harness;

mod delivery;
mod embedded;
mod hostile;
mod kills;
mod lies;
mod order;
mod registry;
mod reorgs;
mod replay;
mod scope;
mod standby;
mod writers;
