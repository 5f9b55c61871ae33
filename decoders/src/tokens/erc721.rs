//! ERC-721 `Transfer(address indexed from, address indexed to, uint256 indexed tokenId)` (EIP-721; decoding specification
//! sections 1.1 and 1.2).
//!
//! ERC-20 shares the signature, and with it the hash. The number of topics distinguishes them: four are an ERC-721 transfer,
//! three with a data word are an ERC-20 one and of no concern here. What is neither is a fault, where it is read: what has not four
//! topics is read beside sales alone.

use crate::block::Log;
use crate::decoder::{Claim, Decoder};
use crate::events::{Events, Item, Parties};
use crate::fact::{Standard, reason};
use crate::log_reader::{DecodeError, Reader};
use crate::signatures::TRANSFER;
use crate::transaction::Transaction;

/// ERC-721 with every argument indexed.
pub(crate) const DECODER: Decoder = Decoder {
    name: "erc721",
    claims: &[
        Claim::any(TRANSFER, 4),
        Claim::any(TRANSFER, 3).beside(),
        Claim::any(TRANSFER, 2).beside(),
        Claim::any(TRANSFER, 1).beside(),
    ],
    decode,
    ..Decoder::NONE
};

fn decode(transaction: &Transaction<'_>, events: &mut Events) {
    for log in transaction.claimed() {
        let verdict = match log.topics.len() {
            4 => transfer(log, events),
            _ => other_transfer(log),
        };
        events.settle(log, verdict);
    }
}

fn transfer(log: &Log, events: &mut Events) -> Result<Option<&'static str>, DecodeError> {
    let mut reader = Reader::new(log);
    let parties = Parties::between(reader.topic_address(1), reader.topic_address(2))?;
    events.transfer(log, Standard::Erc721, &parties, Item::sole(reader.topic_uint(3)));
    Ok(reader.warning())
}

/// A transfer that is not indexed like ERC-721's. With nothing indexed it may be an ERC-20's or an unlisted old token's: no
/// log can show which, so it is passed over.
fn other_transfer(log: &Log) -> Result<Option<&'static str>, DecodeError> {
    let needed_words = match log.topics.len() {
        3 => 1,
        1 => 3,
        _ => return Err(DecodeError(reason::TOPIC_COUNT)),
    };
    if log.data.len() < needed_words * 32 {
        Err(DecodeError(reason::DATA_TOO_SHORT))
    } else {
        Ok(None)
    }
}
