//! Event signatures that belong to no one protocol: standards share them, and markets read them beside their own.

use alloy_primitives::{B256, b256};

/// `Transfer(address,address,uint256)`, of ERC-20 with two indexed arguments, of ERC-721 with three, and of contracts older than both.
pub(crate) const TRANSFER: B256 = b256!("ddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef");
