//! The laws of the system (design, section 13), held on simulated chains with real stores and the real program.
//!
//! Every test names the law it holds. Chance comes from seeds, and a failing test names its own.

#![cfg(test)]

#[path = "../../../sinks/tests/delivery/broker.rs"]
#[expect(dead_code, reason = "the wire to the broker is cut elsewhere")]
mod broker;
#[path = "../harness/mod.rs"]
mod harness;
#[path = "../../../sinks/tests/scratch/mod.rs"]
#[expect(
    dead_code,
    reason = "the harness makes databases whose URL can be given to a program"
)]
mod scratch;

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
