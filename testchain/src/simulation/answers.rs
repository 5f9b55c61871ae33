//! What the simulated contracts answer, at any block of any branch: `ownerOf`, `balanceOf`, the storage of bids on punks, and what
//! wrapped ether reports of itself.

use std::sync::{PoisonError, RwLock};

use alloy_primitives::{Address, B256, Bytes, U256};
use rustc_hash::{FxHashMap, FxHashSet};

use super::events::word;
use super::roster::{CRYPTOPUNKS, WETH};
use super::script::BidWritten;
use super::transfers::{Standard, Transfer};
use crate::block::Block;
use crate::server::state::{Call, Revert, State};

/// `ownerOf(uint256)`.
const OWNER_OF: [u8; 4] = [0x63, 0x52, 0x21, 0x1e];
/// `punkIndexToAddress(uint256)`.
const PUNK_INDEX_TO_ADDRESS: [u8; 4] = [0x58, 0x17, 0x81, 0x68];
/// `balanceOf(address)`.
const BALANCE_OF: [u8; 4] = [0x70, 0xa0, 0x82, 0x31];
/// `balanceOf(address,uint256)`.
const BALANCE_OF_TOKEN: [u8; 4] = [0x00, 0xfd, 0xd5, 0x8e];
/// `punkBids(uint256)`.
const PUNK_BIDS: [u8; 4] = [0x6e, 0x74, 0x3f, 0xa9];
/// `symbol()`.
const SYMBOL: [u8; 4] = [0x95, 0xd8, 0x9b, 0x41];
/// `decimals()`.
const DECIMALS: [u8; 4] = [0x31, 0x3c, 0xe5, 0x67];

/// The state of the simulated contracts, to be served beside the chain. It follows the simulation it comes from through
/// its growth and its reorgs.
#[derive(Debug, Default)]
pub struct Answers {
    blocks: RwLock<FxHashMap<B256, Changes>>,
}

/// What one block changed.
#[derive(Debug)]
struct Changes {
    parent_hash: B256,
    transfers: Vec<Transfer>,
    bids: Vec<BidWritten>,
}

impl Answers {
    /// What the contract at `to` returns after the block with this hash; nothing is known of blocks made elsewhere.
    ///
    /// # Errors
    /// When the contract would revert.
    pub fn answer(&self, hash: B256, to: Address, input: &[u8]) -> Result<Bytes, Revert> {
        let selector: [u8; 4] = input.first_chunk().copied().ok_or(Revert::BARE)?;
        let argument = |index: usize| {
            let at = 4 + 32 * index;
            input.get(at..at + 32).map(U256::from_be_slice).ok_or(Revert::BARE)
        };
        let person = |index: usize| Ok(Address::from_word(argument(index)?.into()));
        let is_punks = to == CRYPTOPUNKS;
        let answer = match selector {
            OWNER_OF if !is_punks => {
                let owner = self.owner(hash, to, argument(0)?);
                owner.filter(|owner| !owner.is_zero()).map(word)
            }
            PUNK_INDEX_TO_ADDRESS if is_punks => Some(word(self.owner(hash, to, argument(0)?).unwrap_or_default())),
            BALANCE_OF => self.count(hash, to, person(0)?),
            BALANCE_OF_TOKEN => self.balance(hash, to, person(0)?, argument(1)?),
            SYMBOL if to == WETH => return Ok(text("WETH")),
            DECIMALS if to == WETH => Some(U256::from(18)),
            PUNK_BIDS if is_punks && self.knows(hash) => return Ok(self.bid(hash, argument(0)?)),
            _ => None,
        };
        let answer = answer.ok_or(Revert::BARE)?;
        Ok(answer.to_be_bytes::<32>().into())
    }

    fn knows(&self, hash: B256) -> bool {
        let blocks = self.blocks.read().unwrap_or_else(PoisonError::into_inner);
        blocks.contains_key(&hash)
    }

    pub(super) fn record(&self, block: &Block, transfers: Vec<Transfer>, bids: Vec<BidWritten>) {
        let changes = Changes {
            parent_hash: block.parent_hash,
            transfers,
            bids,
        };
        let mut blocks = self.blocks.write().unwrap_or_else(PoisonError::into_inner);
        blocks.insert(block.hash, changes);
    }

    /// Goes through the changes of the block with this hash and of those below it, newest first, until `found` something.
    fn newest<T>(&self, hash: B256, mut found: impl FnMut(&Changes) -> Option<T>) -> Option<T> {
        let blocks = self.blocks.read().unwrap_or_else(PoisonError::into_inner);
        let mut changes = blocks.get(&hash)?;
        loop {
            if let Some(found) = found(changes) {
                return Some(found);
            }
            changes = blocks.get(&changes.parent_hash)?;
        }
    }

    /// The last transfer of a token of `standard`'s.
    fn last_transfer(&self, hash: B256, contract: Address, token: U256) -> Option<Transfer> {
        let meant = |transfer: &&Transfer| transfer.contract == contract && transfer.token == token;
        self.newest(hash, |changes| changes.transfers.iter().rev().find(meant).copied())
    }

    /// The owner of a token that has one owner.
    fn owner(&self, hash: B256, contract: Address, token: U256) -> Option<Address> {
        let last = self.last_transfer(hash, contract, token)?;
        (last.layout.standard() != Standard::Erc1155).then_some(last.to)
    }

    /// How many tokens of a contract with single owners somebody has; absent where there is no such contract.
    fn count(&self, hash: B256, contract: Address, owner: Address) -> Option<U256> {
        let (mut seen, mut count, mut known) = (FxHashSet::default(), U256::ZERO, false);
        self.newest(hash, |changes| {
            let single = changes.transfers.iter().rev();
            for transfer in single.filter(|transfer| transfer.contract == contract) {
                known |= transfer.layout.standard() != Standard::Erc1155;
                if seen.insert(transfer.token) && transfer.to == owner {
                    count += U256::ONE;
                }
            }
            None::<()>
        });
        known.then_some(count)
    }

    /// How much of an ERC-1155 token somebody holds; absent where there is no such contract.
    fn balance(&self, hash: B256, contract: Address, owner: Address, token: U256) -> Option<U256> {
        let (mut received, mut sent, mut known) = (U256::ZERO, U256::ZERO, false);
        self.newest(hash, |changes| {
            for transfer in changes
                .transfers
                .iter()
                .filter(|transfer| transfer.contract == contract)
            {
                known |= transfer.layout.standard() == Standard::Erc1155;
                if transfer.token == token {
                    received += if transfer.to == owner {
                        transfer.quantity
                    } else {
                        U256::ZERO
                    };
                    sent += if transfer.from == owner {
                        transfer.quantity
                    } else {
                        U256::ZERO
                    };
                }
            }
            None::<()>
        });
        known.then(|| received - sent)
    }

    /// The four words of `punkBids`: whether there is a bid, the punk, the bidder, the value.
    fn bid(&self, hash: B256, punk: U256) -> Bytes {
        let written = self.newest(hash, |changes| {
            let mut written = changes.bids.iter().rev();
            written.find(|written| written.punk == punk).copied()
        });
        // A punk no one ever bid on is zero in all of its storage, its number too.
        let words = match written {
            None => [U256::ZERO; 4],
            Some(BidWritten { bid: None, .. }) => [U256::ZERO, punk, U256::ZERO, U256::ZERO],
            Some(BidWritten {
                bid: Some((bidder, value)),
                ..
            }) => [U256::ONE, punk, word(bidder), value],
        };
        words.map(|word| word.to_be_bytes::<32>()).concat().into()
    }
}

/// A short string as a contract returns it.
fn text(text: &str) -> Bytes {
    let mut bytes = vec![0; 96];
    bytes[31] = 32;
    bytes[63] = u8::try_from(text.len()).expect("a short string is meant");
    bytes[64..64 + text.len()].copy_from_slice(text.as_bytes());
    bytes.into()
}

impl State for Answers {
    fn call(&self, call: &Call) -> Result<Bytes, Revert> {
        self.answer(call.block.hash, call.to, &call.input)
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::keccak256;

    use super::*;

    #[test]
    fn selectors_are_those_of_their_signatures() {
        let signatures = [
            ("ownerOf(uint256)", OWNER_OF),
            ("punkIndexToAddress(uint256)", PUNK_INDEX_TO_ADDRESS),
            ("balanceOf(address)", BALANCE_OF),
            ("balanceOf(address,uint256)", BALANCE_OF_TOKEN),
            ("punkBids(uint256)", PUNK_BIDS),
        ];
        for (signature, selector) in signatures {
            assert_eq!(keccak256(signature)[..4], selector, "{signature}");
        }
    }
}
