//! What decoders must do, told by cases, by the specification's examples, by real blocks and by laws.
//!
//! The modules say that they are tests so that clippy lets them unwrap outside of `#[test]` functions too.

#[cfg(test)]
mod fixtures;
#[cfg(test)]
mod laws;
#[cfg(test)]
mod logs;
#[cfg(test)]
mod real_blocks;
#[cfg(test)]
mod worked;
