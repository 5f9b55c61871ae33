//! What columns hold, read as what it is.

use alloy_primitives::{Address, U256};

/// A column of an address.
pub(crate) fn address(text: &str) -> Address {
    text.parse()
        .unwrap_or_else(|error| panic!("{text:?} is no address: {error}"))
}

/// A column of a decimal number.
pub(crate) fn number(text: &str) -> U256 {
    U256::from_str_radix(text, 10).unwrap_or_else(|error| panic!("{text:?} is no number: {error}"))
}

/// A column of a count.
pub(crate) fn count(stored: i64) -> u64 {
    u64::try_from(stored).unwrap()
}
