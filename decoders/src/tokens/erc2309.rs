//! ERC-2309 `ConsecutiveTransfer(uint256 indexed fromTokenId, uint256 toTokenId, address indexed fromAddress, address
//! indexed toAddress)` (EIP-2309; decoding specification section 1.4).
//!
//! A range is expanded into one movement per token, both ends included. A log costs its sender the same whatever the
//! length of its range, so ranges beyond the budget of their transaction or block are faults, not rows.

use alloy_primitives::{Address, B256, U256, b256};

use crate::block::Log;
use crate::budget::MAX_EXTRA_FACTS_PER_TRANSACTION;
use crate::decoder::{Claim, Decoder};
use crate::events::{Events, Item, Parties};
use crate::fact::{Standard, reason};
use crate::log_reader::{DecodeError, Reader, uint};
use crate::signatures::TRANSFER;
use crate::transaction::Transaction;

/// `ConsecutiveTransfer(uint256,uint256,address,address)`.
const CONSECUTIVE_TRANSFER: B256 = b256!("deaa91b6123d068f5821d0fb0678463d1a8a6079fe8af5de3ce5e896dcf9133d");

/// Ranges of ERC-721 tokens.
pub(crate) const DECODER: Decoder = Decoder {
    name: "erc2309",
    claims: &[
        Claim::any(CONSECUTIVE_TRANSFER, 4),
        Claim::any(CONSECUTIVE_TRANSFER, 3),
        Claim::any(CONSECUTIVE_TRANSFER, 2),
        Claim::any(CONSECUTIVE_TRANSFER, 1),
    ],
    ranges: true,
    decode,
    ..Decoder::NONE
};

fn decode(transaction: &Transaction<'_>, events: &mut Events) {
    let minted = Minted::by(transaction.logs);
    for log in transaction.claimed() {
        let verdict = range(log, &minted, events);
        events.settle(log, verdict);
    }
}

fn range(log: &Log, minted: &Minted, events: &mut Events) -> Result<Option<&'static str>, DecodeError> {
    if log.topics.len() != 4 {
        return Err(DecodeError(reason::TOPIC_COUNT));
    }
    let mut reader = Reader::new(log);
    let [last] = reader.head()?;
    let (first, last) = (reader.topic_uint(1), uint(last));
    let parties = Parties::between(reader.topic_address(2), reader.topic_address(3))?;
    let length = length(first, last)?;
    events.take_extra(length as usize - 1)?;
    for index in 0..length {
        let token = first + U256::from(index);
        // A mint that a contract emits both ways is recorded once: its single Transfer is kept.
        if !(parties.is_mint() && minted.contains(log.address, token)) {
            events.transfer(
                log,
                Standard::Erc721,
                &parties,
                Item {
                    index,
                    token,
                    quantity: U256::ONE,
                },
            );
        }
    }
    Ok(reader.warning())
}

/// Number of ids from `first` to `last`, both included; no more than a transaction may make.
fn length(first: U256, last: U256) -> Result<u32, DecodeError> {
    let steps = last.checked_sub(first).ok_or(DecodeError(reason::RANGE_BACKWARDS))?;
    match u32::try_from(steps) {
        Ok(steps) if steps as usize <= MAX_EXTRA_FACTS_PER_TRANSACTION => Ok(steps + 1),
        _ => Err(DecodeError(reason::RANGE_TOO_LONG)),
    }
}

/// Tokens that a transaction mints by single Transfers, sorted.
struct Minted(Vec<(Address, U256)>);

impl Minted {
    fn by(logs: &[Log]) -> Self {
        let mints = logs
            .iter()
            .filter(|log| log.topic0() == Some(&TRANSFER) && log.topics.len() == 4);
        let mut minted: Vec<(Address, U256)> = mints
            .map(|log| (log, Reader::new(log)))
            .filter_map(|(log, mut reader)| {
                let is_mint = reader.topic_address(1).is_zero() && !reader.topic_address(2).is_zero();
                is_mint.then(|| (log.address, reader.topic_uint(3)))
            })
            .collect();
        minted.sort_unstable();
        Minted(minted)
    }

    fn contains(&self, contract: Address, token: U256) -> bool {
        self.0.binary_search(&(contract, token)).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_has_both_ends_and_a_limit() {
        let (at, most) = (U256::from(7), MAX_EXTRA_FACTS_PER_TRANSACTION as u32);
        assert_eq!(length(at, at), Ok(1));
        assert_eq!(length(at, at + U256::from(most)), Ok(most + 1));
        assert_eq!(
            length(at, at + U256::from(most + 1)),
            Err(DecodeError(reason::RANGE_TOO_LONG))
        );
        assert_eq!(length(U256::ZERO, U256::MAX), Err(DecodeError(reason::RANGE_TOO_LONG)));
        assert_eq!(length(at, U256::ZERO), Err(DecodeError(reason::RANGE_BACKWARDS)));
        assert_eq!(length(U256::MAX, U256::MAX), Ok(1), "the last id there is");
    }
}
