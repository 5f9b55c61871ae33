//! Chains by EIP-155 number.

/// Ethereum.
pub const ETHEREUM: u64 = 1;
/// OP Mainnet.
pub const OPTIMISM: u64 = 10;
/// BNB Smart Chain.
pub const BSC: u64 = 56;
/// Polygon PoS.
pub const POLYGON: u64 = 137;
/// Base.
pub const BASE: u64 = 8_453;
/// Arbitrum One.
pub const ARBITRUM: u64 = 42_161;
/// Avalanche C-Chain.
pub const AVALANCHE: u64 = 43_114;

/// Stands for the chain number of a contract that is the same wherever something stands at its address: the address follows from its
/// code (EIP-1014), or from a key that never deployed anything else first. No chain has this number.
pub const EVERY: u64 = 0;
