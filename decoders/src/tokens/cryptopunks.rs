//! CryptoPunks, and the abandoned first contract as a collection of its own (decoding specification section 1.5; the
//! contracts `CryptoPunksMarket` and `CryptoPunks` on Ethereum).
//!
//! `Assign` mints and `PunkTransfer` moves. A sale emits neither, only `PunkBought`, behind a 3-topic `Transfer` that counts
//! the punks each party holds. Both contracts clear storage before they emit through a pointer to it, so `PunkBought` names
//! a wrong party, and the count beside it names the right one:
//! - an accepted bid names the zero address as the buyer;
//! - a sale on the first contract names the seller as the buyer.
//!
//! Only movements are decoded here; what was paid is decoded by `cryptopunks_market`.

use alloy_primitives::{Address, B256, address, b256};

use crate::block::Log;
use crate::chains;
use crate::decoder::{Claim, Decoder};
use crate::events::{Events, Item, Parties};
use crate::fact::{Standard, reason};
use crate::log_reader::{DecodeError, Reader, uint};
use crate::signatures::TRANSFER;
use crate::transaction::Transaction;

const CONTRACTS: &[(u64, Address)] = &[
    (chains::ETHEREUM, address!("b47e3cd837ddf8e4c57f05d70ab865de6e193bbb")),
    // Punks V1.
    (chains::ETHEREUM, address!("6ba6f2207e343923ba692e5cae646fb0f566db8d")),
];

/// `Assign(address indexed to, uint256 punkIndex)`.
const ASSIGN: B256 = b256!("8a0e37b73a0d9c82e205d4d1a3ff3d0b57ce5f4d7bccf6bac03336dc101cb7ba");
/// `PunkTransfer(address indexed from, address indexed to, uint256 punkIndex)`.
pub(crate) const PUNK_TRANSFER: B256 = b256!("05af636b70da6819000c49f85b21fa82081c632069bb626f30932034099107d8");
/// `PunkBought(uint256 indexed punkIndex, uint256 value, address indexed fromAddress, address indexed toAddress)`.
pub(crate) const PUNK_BOUGHT: B256 = b256!("58e5d5a525e3b40bc15abaa38b5882678db1ee68befd2f60bafe3a7fd06db9e3");

/// Both contracts.
pub(crate) const DECODER: Decoder = Decoder {
    name: "cryptopunks",
    claims: &[
        Claim::of(CONTRACTS, ASSIGN, 2),
        Claim::of(CONTRACTS, PUNK_TRANSFER, 3),
        Claim::of(CONTRACTS, PUNK_BOUGHT, 4),
        Claim::of(CONTRACTS, TRANSFER, 3),
    ],
    decode,
    ..Decoder::NONE
};

fn decode(transaction: &Transaction<'_>, events: &mut Events) {
    for log in transaction.claimed() {
        let verdict = match log.topic0() {
            Some(&ASSIGN) => assign(log, events),
            Some(&PUNK_TRANSFER) => punk_transfer(log, events),
            // A count, which is read for what stands behind it.
            Some(&TRANSFER) => continue,
            _ => punk_bought(transaction, log, events),
        };
        events.settle(log, verdict);
    }
}

fn assign(log: &Log, events: &mut Events) -> Result<Option<&'static str>, DecodeError> {
    let mut reader = Reader::new(log);
    let [punk] = reader.head()?;
    let parties = Parties::between(Address::ZERO, reader.topic_address(1))?;
    events.transfer(log, Standard::CryptoPunks, &parties, Item::sole(uint(punk)));
    Ok(reader.warning())
}

fn punk_transfer(log: &Log, events: &mut Events) -> Result<Option<&'static str>, DecodeError> {
    let mut reader = Reader::new(log);
    let [punk] = reader.head()?;
    let parties = Parties::between(reader.topic_address(1), reader.topic_address(2))?;
    events.transfer(log, Standard::CryptoPunks, &parties, Item::sole(uint(punk)));
    Ok(reader.warning())
}

fn punk_bought(
    transaction: &Transaction<'_>,
    log: &Log,
    events: &mut Events,
) -> Result<Option<&'static str>, DecodeError> {
    let mut reader = Reader::new(log);
    let [_value] = reader.head()?;
    let (mut seller, mut buyer) = (reader.topic_address(2), reader.topic_address(3));
    if buyer.is_zero() {
        let count = count_before(transaction, log, |count| count.from == seller);
        buyer = count.ok_or(DecodeError(reason::PUNK_BUYER_UNKNOWN))?.to;
    } else if seller == buyer {
        seller = count_before(transaction, log, |count| count.to == buyer).map_or(seller, |count| count.from);
    }
    let parties = Parties::between(seller, buyer)?;
    events.transfer(log, Standard::CryptoPunks, &parties, Item::sole(reader.topic_uint(1)));
    Ok(reader.warning())
}

/// The parties of a 3-topic `Transfer`.
struct Count {
    from: Address,
    to: Address,
}

/// The nearest count before `log`, by the same contract, that `is_meant`.
fn count_before(transaction: &Transaction<'_>, log: &Log, is_meant: impl Fn(&Count) -> bool) -> Option<Count> {
    let counts =
        transaction.before(log).iter().rev().filter(|other| {
            other.address == log.address && other.topic0() == Some(&TRANSFER) && other.topics.len() == 3
        });
    counts
        .map(|count| {
            let mut reader = Reader::new(count);
            Count {
                from: reader.topic_address(1),
                to: reader.topic_address(2),
            }
        })
        .find(is_meant)
}
