//! What was read and applied, under which lease or branch, and what is known of the blocks where spans meet.

pub mod basis;
pub mod checkpoint;
pub mod cohorts;
pub mod coverage;
pub mod intents;
pub mod lease;
pub mod members;
pub mod seams;
pub mod sessions;

pub(crate) mod moves;
pub(crate) mod ranges;
