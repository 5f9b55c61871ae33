//! The write path on a real PostgreSQL: the schema, what a commit does and refuses, and the laws that hold whatever it is given.
#![cfg(test)]

mod carry_over;
mod cohorts;
mod commit;
mod currency;
mod depth;
mod laws;
mod leftovers;
mod maintenance;
mod market;
mod open;
mod proxies;
mod recomputing;
mod reference_model;
mod replay;
mod retries;
mod schema;
mod schema_map;
mod statements;
mod suspicion;
mod trade;
mod world;
