//! Tokens older than ERC-721 whose `Transfer(address,address,uint256)` indexes less than the standard does (decoding
//! specification section 1.2).
//!
//! Their logs look like an ERC-20's, byte for byte, so only contracts known to hold tokens are trusted. A contract is
//! listed after its numbers were seen to be ids (`ownerOf` agrees with them), never for its name. Of one that is not listed and
//! indexes nothing a log is accepted that the transaction's calldata spells in a way that ERC-20 does not have: a
//! `safeTransferFrom` (EIP-721) of the contract itself, or the order of a sale through Wyvern (decoding specification,
//! section 9).

use alloy_primitives::{Address, U256, address, hex};

use crate::block::{Envelope, Log};
use crate::chains;
use crate::decoder::{Claim, Decoder};
use crate::events::{Events, Item, Parties};
use crate::fact::Standard;
use crate::log_reader::{DecodeError, Reader, Tuple, uint};
use crate::signatures::TRANSFER;
use crate::transaction::Transaction;

/// `transferFrom(address,address,uint256)`, which ERC-20 has as well.
const TRANSFER_FROM: [u8; 4] = hex!("23b872dd");
/// `safeTransferFrom(address,address,uint256)`.
const SAFE_TRANSFER: [u8; 4] = hex!("42842e0e");
/// `safeTransferFrom(address,address,uint256,bytes)`.
const SAFE_TRANSFER_WITH_DATA: [u8; 4] = hex!("b88d4fde");

/// Contracts that index nothing.
const UNINDEXED: &[(u64, Address)] = &[
    // CryptoKitties.
    (chains::ETHEREUM, address!("06012c8cf97bead5deae237070f9587f8e7a266d")),
];

/// Contracts that index the parties and not the id, as ERC-20 does.
const ERC20_LIKE: &[(u64, Address)] = &[
    // Cryptovoxels parcels.
    (chains::ETHEREUM, address!("79986af15539de2db9a5086382daeda917a9cf0c")),
    // CryptoArte.
    (chains::ETHEREUM, address!("bace7e22f06554339911a03b8e0ae28203da9598")),
    // Beeple.
    (chains::ETHEREUM, address!("23cd7da31501aa54f61384a3756fb4a1329dbb2c")),
    // SuperRare v1. The specification has not checked the address, and no log of it was available.
    (chains::ETHEREUM, address!("41a322b28d0ff354040e2cbc676f0320d8c8850d")),
];

/// The early contracts, by address, and what calldata shows to be like them.
pub(crate) const DECODER: Decoder = Decoder {
    name: "erc721_legacy",
    claims: &[
        Claim::of(UNINDEXED, TRANSFER, 1),
        Claim::any(TRANSFER, 1).with_envelope().beside(),
        Claim::of(ERC20_LIKE, TRANSFER, 3),
    ],
    decode,
    ..Decoder::NONE
};

fn decode(transaction: &Transaction<'_>, events: &mut Events) {
    let spelled = transaction
        .envelope
        .and_then(|envelope| Spelled::read(transaction, envelope));
    for log in transaction.claimed() {
        let is_listed = UNINDEXED.contains(&(transaction.chain.0, log.address));
        let verdict = match log.topics.len() {
            // What nothing shows to be a token may be an ERC-20, and is passed over like one.
            1 if !is_listed && !spelled.as_ref().is_some_and(|spelled| spelled.is(log)) => continue,
            1 => unindexed(log, events),
            _ => erc20_like(log, events),
        };
        events.settle(log, verdict);
    }
}

/// The movement of a token that calldata spells.
struct Spelled {
    contract: Address,
    from: Address,
    to: Address,
    token: U256,
}

impl Spelled {
    /// What `envelope` has moved, if it calls an exchange that names it or the token itself by a function that ERC-20 does not have.
    fn read(transaction: &Transaction<'_>, envelope: &Envelope) -> Option<Self> {
        if let Some(call) = transaction.roster.inner_call(envelope) {
            return Self::of(
                call.target,
                &call.input,
                &[TRANSFER_FROM, SAFE_TRANSFER, SAFE_TRANSFER_WITH_DATA],
            );
        }
        Self::of(envelope.to?, &envelope.input, &[SAFE_TRANSFER, SAFE_TRANSFER_WITH_DATA])
    }

    fn of(contract: Address, input: &[u8], functions: &[[u8; 4]]) -> Option<Self> {
        let (selector, arguments) = input.split_first_chunk::<4>()?;
        let mut reader = Reader::over(arguments);
        let [from, to, token] = reader
            .words(Tuple::ROOT)
            .ok()
            .filter(|_| functions.contains(selector))?;
        Some(Spelled {
            contract,
            from: reader.address(from),
            to: reader.address(to),
            token: uint(token),
        })
    }

    /// Whether `log` shows the same movement.
    fn is(&self, log: &Log) -> bool {
        let mut reader = Reader::new(log);
        let Ok([from, to, token]) = reader.head::<3>() else {
            return false;
        };
        let found = (log.address, reader.address(from), reader.address(to), uint(token));
        found == (self.contract, self.from, self.to, self.token)
    }
}

fn unindexed(log: &Log, events: &mut Events) -> Result<Option<&'static str>, DecodeError> {
    let mut reader = Reader::new(log);
    let [from, to, token] = reader.head()?;
    let parties = Parties::between(reader.address(from), reader.address(to))?;
    events.transfer(log, Standard::Erc721, &parties, Item::sole(uint(token)));
    Ok(reader.warning())
}

fn erc20_like(log: &Log, events: &mut Events) -> Result<Option<&'static str>, DecodeError> {
    let mut reader = Reader::new(log);
    let [token] = reader.head()?;
    let parties = Parties::between(reader.topic_address(1), reader.topic_address(2))?;
    events.transfer(log, Standard::Erc721, &parties, Item::sole(uint(token)));
    Ok(reader.warning())
}
