//! The program against what it meets outside: a real node that mines and reorganises, real blocks, the recording in the
//! repository, and services that are missing, wrong or go away.

#![cfg(test)]

#[path = "../harness/mod.rs"]
mod harness;

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
