//! The program against what it meets outside: a real node that mines and reorganises, real blocks, the recording in the
//! repository, and services that are missing, wrong or go away.

#![cfg(test)]

#[path = "../../../sinks/tests/delivery/broker.rs"]
#[expect(
    dead_code,
    reason = "its wire leads to the broker only, and some messages' fields are looked at elsewhere"
)]
mod broker;
#[path = "../harness/mod.rs"]
mod harness;
#[path = "../../../sinks/tests/scratch/mod.rs"]
#[expect(
    dead_code,
    reason = "the harness makes databases whose URL can be given to a program"
)]
mod scratch;

mod anvil;
mod contracts;
mod endpoints;
mod errors;
mod fixtures;
mod logs;
mod market;
mod node;
mod outages;
mod recording;

use harness::wire;
