//! A chain made from a seed: valid NFT traffic, correct commitments, branches from any height, and honest books.
//!
//! The traffic of a block depends only on the seed, the branch and the height, and on who owns what before it. A fork
//! therefore replays the drawing of traffic up to its ancestor and goes on with another branch number.

mod answers;
mod books;
mod chain;
mod dice;
mod events;
mod holdings;
mod market;
mod multi_owner;
mod noise;
mod orders;
mod roster;
mod schedule;
mod script;
mod seal;
mod settings;
mod single_owner;
mod stage;
mod standing;
mod trades;
mod traffic;
mod transfers;
mod world;

pub use answers::Answers;
pub use books::Books;
pub use chain::Simulation;
pub use holdings::{Holdings, Tally, Token};
pub use schedule::{Step, schedule};
pub use settings::{Births, Mix, Settings};
pub use standing::{Standing, State, Statistics};
pub use trades::{Cause, Ending, Fee, Market, Order, Position, Reason, Sale, Side};
pub use transfers::{Flaw, Layout, Malformed, Standard, Transfer};
