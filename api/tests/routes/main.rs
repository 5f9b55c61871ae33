//! Every route over tables with known rows, asked through the router.

#![cfg(test)]
#![expect(clippy::too_many_lines, reason = "known rows read from top to bottom")]

mod asked;
mod catalog;
mod limits;
mod orders;
mod requests;
mod rows;
mod sales;
mod shape;
mod status;
mod transfers;
