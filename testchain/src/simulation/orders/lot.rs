//! What an order is for.

use super::super::roster::{ContractIndex, Owner, Serial};

/// Some units of a token, held by somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lot {
    pub(crate) contract: ContractIndex,
    pub(crate) serial: Serial,
    /// One unless ERC-1155.
    pub(crate) quantity: u128,
    pub(crate) holder: Owner,
}
