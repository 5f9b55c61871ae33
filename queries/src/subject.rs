//! What sales and orders are looked up by.

use alloy_primitives::{Address, U256};

/// What sales or orders of one chain are looked up by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// All of the chain.
    Chain,
    /// Those of a contract's tokens.
    Collection(Address),
    /// Those of one token.
    Token {
        /// The token contract.
        contract: Address,
        /// The token's number within it.
        number: U256,
    },
    /// Sales in which it sold or bought; orders that it made.
    Account(Address),
}
