//! ERC-1155 `TransferSingle` and `TransferBatch` (EIP-1155; decoding specification section 1.3).

use alloy_primitives::{B256, b256};

use crate::block::Log;
use crate::decoder::{Claim, Decoder};
use crate::events::{Events, Item, Parties};
use crate::fact::{Standard, reason};
use crate::log_reader::{DecodeError, Reader, uint};
use crate::transaction::Transaction;

/// `TransferSingle(address,address,address,uint256,uint256)`.
const TRANSFER_SINGLE: B256 = b256!("c3d58168c5ae7397731d063d5bbf3d657854427343f4c083240f7aacaa2d0f62");
/// `TransferBatch(address,address,address,uint256[],uint256[])`.
const TRANSFER_BATCH: B256 = b256!("4a39dc06d4c0dbc64b70af90fd698a233a518aa5d07e595d983b8c0526c8f7fb");

/// ERC-1155. The topic counts the standard does not know are claimed to be refused: tokens moved, and nothing states how.
pub(crate) const DECODER: Decoder = Decoder {
    name: "erc1155",
    claims: &[
        Claim::any(TRANSFER_SINGLE, 4),
        Claim::any(TRANSFER_SINGLE, 3),
        Claim::any(TRANSFER_SINGLE, 2),
        Claim::any(TRANSFER_SINGLE, 1),
        Claim::any(TRANSFER_BATCH, 4),
        Claim::any(TRANSFER_BATCH, 3),
        Claim::any(TRANSFER_BATCH, 2),
        Claim::any(TRANSFER_BATCH, 1),
    ],
    decode,
    ..Decoder::NONE
};

fn decode(transaction: &Transaction<'_>, events: &mut Events) {
    for log in transaction.claimed() {
        let verdict = match (log.topics.len(), log.topic0()) {
            (4, Some(&TRANSFER_SINGLE)) => single(log, events),
            (4, _) => batch(log, events),
            _ => Err(DecodeError(reason::TOPIC_COUNT)),
        };
        events.settle(log, verdict);
    }
}

fn single(log: &Log, events: &mut Events) -> Result<Option<&'static str>, DecodeError> {
    let mut reader = Reader::new(log);
    let [token, quantity] = reader.head()?;
    let parties = parties(&mut reader)?;
    events.transfer(
        log,
        Standard::Erc1155,
        &parties,
        Item {
            index: 0,
            token: uint(token),
            quantity: uint(quantity),
        },
    );
    Ok(reader.warning())
}

/// One item per position of the arrays; an id that stands twice is two items. A batch is accepted whole or not at all.
fn batch(log: &Log, events: &mut Events) -> Result<Option<&'static str>, DecodeError> {
    let mut reader = Reader::new(log);
    let [tokens_at, quantities_at] = reader.head()?;
    let (tokens, quantities) = (reader.array(tokens_at)?, reader.array(quantities_at)?);
    if tokens.len() != quantities.len() {
        return Err(DecodeError(reason::BATCH_LENGTH_MISMATCH));
    }
    events.take_extra(tokens.len().saturating_sub(1))?;
    if !tokens.is_empty() {
        let parties = parties(&mut reader)?;
        for (index, (token, quantity)) in (0..).zip(tokens.iter().zip(quantities)) {
            events.transfer(
                log,
                Standard::Erc1155,
                &parties,
                Item {
                    index,
                    token: uint(token),
                    quantity: uint(quantity),
                },
            );
        }
    }
    Ok(reader.warning())
}

/// Topic 1 is the operator; owners are topics 2 and 3.
fn parties(reader: &mut Reader<'_>) -> Result<Parties, DecodeError> {
    Parties::between(reader.topic_address(2), reader.topic_address(3))
}
