//! Tokens older than ERC-721 whose `Transfer(address,address,uint256)` indexes less than the standard does (decoding
//! specification section 1.2).
//!
//! Their logs look like an ERC-20's, byte for byte, so only contracts known to hold tokens are believed. A contract is
//! listed after its numbers were seen to be ids (`ownerOf` agrees with them), never for its name.

use alloy_primitives::{Address, address};

use crate::abi::{Reader, Refusal, uint};
use crate::block::Log;
use crate::erc721::TRANSFER;
use crate::events::{Events, Item, Parties};
use crate::fact::Standard;
use crate::registry::{Claim, Decoder};
use crate::transaction::Transaction;

const ETHEREUM: u64 = 1;

/// Contracts that index nothing.
const UNINDEXED: &[(u64, Address)] = &[
    // CryptoKitties.
    (ETHEREUM, address!("06012c8cf97bead5deae237070f9587f8e7a266d")),
];

/// Contracts that index the parties and not the id, as ERC-20 does.
const ERC20_LIKE: &[(u64, Address)] = &[
    // Cryptovoxels parcels.
    (ETHEREUM, address!("79986af15539de2db9a5086382daeda917a9cf0c")),
    // CryptoArte.
    (ETHEREUM, address!("bace7e22f06554339911a03b8e0ae28203da9598")),
    // Beeple.
    (ETHEREUM, address!("23cd7da31501aa54f61384a3756fb4a1329dbb2c")),
    // SuperRare v1. The specification has not checked the address, and no log of it was at hand.
    (ETHEREUM, address!("41a322b28d0ff354040e2cbc676f0320d8c8850d")),
];

/// The early contracts, by address.
pub(crate) const DECODER: Decoder = Decoder {
    name: "erc721_legacy",
    claims: &[Claim::of(UNINDEXED, TRANSFER, 1), Claim::of(ERC20_LIKE, TRANSFER, 3)],
    decode,
};

fn decode(transaction: &Transaction<'_>, events: &mut Events) {
    for log in transaction.claimed() {
        let verdict = match log.topics.len() {
            1 => unindexed(log, events),
            _ => erc20_like(log, events),
        };
        events.settle(log, verdict);
    }
}

fn unindexed(log: &Log, events: &mut Events) -> Result<Option<&'static str>, Refusal> {
    let mut reader = Reader::new(log);
    let [from, to, token] = reader.head()?;
    let parties = Parties::between(reader.address(from), reader.address(to))?;
    events.transfer(log, Standard::Erc721, &parties, Item::sole(uint(token)));
    Ok(reader.doubt())
}

fn erc20_like(log: &Log, events: &mut Events) -> Result<Option<&'static str>, Refusal> {
    let mut reader = Reader::new(log);
    let [token] = reader.head()?;
    let parties = Parties::between(reader.topic_address(1), reader.topic_address(2))?;
    events.transfer(log, Standard::Erc721, &parties, Item::sole(uint(token)));
    Ok(reader.doubt())
}
