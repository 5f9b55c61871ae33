//! Rows and pages, read from tables that `sinks` filled with known facts.

#![cfg(test)]

mod facts;
mod pages;
mod summary;
