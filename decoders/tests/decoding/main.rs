//! What decoders must do, shown by cases, by the specification's examples, by real blocks and by laws.
#![cfg(test)]

mod fixtures;
mod hostile;
mod laws;
mod library;
mod logs;
mod mutations;
mod real_blocks;
mod real_more;
mod real_sales;
mod seaport;
mod sound;
mod worked;
