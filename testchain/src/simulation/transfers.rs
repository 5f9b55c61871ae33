//! What logs state about ownership, and those that are to be refused.

use alloy_primitives::{Address, U256};

/// One token, or one quantity of one token, changing owners.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// Height of the block.
    pub block: u64,
    /// Index of the log within its block.
    pub log_index: u32,
    /// Index within the batch or range; zero otherwise.
    pub item: u32,
    /// Token contract.
    pub contract: Address,
    /// Token number within the contract.
    pub token: U256,
    /// Previous owner; zero for a mint.
    pub from: Address,
    /// New owner; zero for a burn.
    pub to: Address,
    /// Units moved: one unless ERC-1155, where it may be zero.
    pub quantity: U256,
    /// How the log stated it.
    pub layout: Layout,
}

/// Token standard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Standard {
    /// ERC-721 and its forerunners.
    Erc721,
    /// ERC-1155.
    Erc1155,
    /// CryptoPunks.
    CryptoPunks,
}

/// The form of the log that moved a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Layout {
    /// `Transfer` with three indexed arguments.
    Erc721,
    /// `Transfer` with none, as CryptoKitties has it.
    Erc721Unindexed,
    /// `Transfer` with the token as data, as ERC-20 has it.
    Erc721Erc20Like,
    /// `ConsecutiveTransfer`.
    Erc2309,
    /// `TransferSingle`.
    Erc1155Single,
    /// `TransferBatch`.
    Erc1155Batch,
    /// `Assign` of CryptoPunks.
    PunkAssign,
    /// `PunkTransfer`.
    PunkTransfer,
    /// `PunkBought`.
    PunkBought,
}

/// A log that claims to be an NFT event and is to be refused with a recorded fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// Height of the block.
    pub block: u64,
    /// Index of the log within its block.
    pub log_index: u32,
    /// Emitting contract.
    pub contract: Address,
    /// What is wrong with it.
    pub flaw: Flaw,
}

/// What is wrong with a malformed log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Flaw {
    /// The data ends before the arguments do.
    DataTooShort,
    /// A batch with more tokens than quantities.
    LengthsDiffer,
    /// An array that starts behind the end of the data.
    OffsetOutside,
    /// From no one to no one.
    ZeroToZero,
    /// An ERC-2309 range that ends before it starts.
    RangeReversed,
    /// An ERC-2309 range no contract could have minted.
    RangeAbsurd,
}

impl Layout {
    /// The standard whose tokens this log moves.
    pub fn standard(self) -> Standard {
        match self {
            Layout::Erc721 | Layout::Erc721Unindexed | Layout::Erc721Erc20Like | Layout::Erc2309 => Standard::Erc721,
            Layout::Erc1155Single | Layout::Erc1155Batch => Standard::Erc1155,
            Layout::PunkAssign | Layout::PunkTransfer | Layout::PunkBought => Standard::CryptoPunks,
        }
    }
}

impl Transfer {
    /// Whether it comes from no one.
    pub fn is_mint(&self) -> bool {
        self.from == Address::ZERO
    }

    /// Whether it goes to no one.
    pub fn is_burn(&self) -> bool {
        self.to == Address::ZERO
    }
}
