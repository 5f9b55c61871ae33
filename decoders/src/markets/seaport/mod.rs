//! Seaport 1.1 to 1.6 (decoding specification, section 4.1; contracts `ProjectOpenSea/seaport`).
//!
//! `OrderFulfilled` emits one order as it was filled: what its offerer gave and what had to be given for it. Orders filled
//! against each other form a group ([`seaport_groups`](crate::markets::seaport::groups)).
//!
//! Orders are signed, not sent: only those that somebody validated stand on the chain
//! ([`seaport_orders`](crate::markets::seaport::orders)). They are known by their hash, and a raised counter ends all of an
//! offerer's at that contract.

mod fulfillment;
mod groups;
mod orders;

use std::iter;

use alloy_primitives::{Address, B256, b256};

use crate::block::Log;
use crate::chains;
use crate::decoder::{Claim, Decoder};
use crate::events::Events;
use crate::fact::{Closing, Nonces, Side};
use crate::log_reader::{DecodeError, Reader};
use crate::markets::seaport::fulfillment::{FilledOrder, OrderItem, V1_1, V1_2, V1_3, V1_4, V1_5, V1_6, market, trade};
use crate::markets::seaport::groups::{Groups, Wanted, parts, solve};
use crate::markets::seaport::orders::{validated, validated_unseen};
use crate::trade::orders::{Key, canceled, revoked};
use crate::trade::{LineItem, Trade};
use crate::transaction::Transaction;

/// Created by a factory under addresses that follow from their code, so that they are Seaport on every chain.
const CONTRACTS: &[(u64, Address)] = &[
    (chains::EVERY, V1_1),
    (chains::EVERY, V1_2),
    (chains::EVERY, V1_3),
    (chains::EVERY, V1_4),
    (chains::EVERY, V1_5),
    (chains::EVERY, V1_6),
];

/// `OrderFulfilled(bytes32,address,address,address,(uint8,address,uint256,uint256)[],(uint8,address,uint256,uint256,address)[])`.
const ORDER_FULFILLED: B256 = b256!("9d9af8e38d66c62e2c12f0225249fd9d721c54b83f48d9352c97c6cacdcb6f31");
/// `OrdersMatched(bytes32[])`.
const ORDERS_MATCHED: B256 = b256!("4b9f2d36e1b4c93de62cc077b00b1a91d84b6c31b4a14e012718dcca230689e7");

/// `OrderValidated(bytes32,(address,address,(uint8,address,uint256,uint256,uint256)[],(uint8,address,uint256,uint256,uint256,address)[],uint8,uint256,uint256,bytes32,uint256,bytes32,uint256))`.
const ORDER_VALIDATED: B256 = b256!("f280791efe782edcf06ce15c8f4dff17601db3b88eb3805a0db7d77faf757f04");
/// `OrderValidated(bytes32,address,address)`, of 1.1, which states no terms.
const ORDER_VALIDATED_UNSEEN: B256 = b256!("fde361574a066b44b3b5fe98a87108b7565e327327954c4faeea56a4e6491a0a");
/// `OrderCancelled(bytes32,address,address)`.
const ORDER_CANCELLED: B256 = b256!("6bacc01dbe442496068f7d234edd811f1a5f833243e0aec824f86ab861f3c90d");
/// `CounterIncremented(uint256,address)`.
const COUNTER_INCREMENTED: B256 = b256!("721c20121297512b72821b97f5326877ea8ecf4bb9948fea5bfcb6453074d37f");

/// All versions: their events are alike. Who called distinguishes the maker of a matched pair from its taker, and the calldata
/// what 1.1 does not emit of a validated order.
pub(crate) const DECODER: Decoder = Decoder {
    name: "seaport",
    claims: &[
        Claim::of(CONTRACTS, ORDER_FULFILLED, 3).with_envelope(),
        Claim::of(CONTRACTS, ORDERS_MATCHED, 1).with_envelope(),
        Claim::of(CONTRACTS, ORDER_VALIDATED, 1),
        Claim::of(CONTRACTS, ORDER_VALIDATED_UNSEEN, 3).with_envelope(),
        Claim::of(CONTRACTS, ORDER_CANCELLED, 3),
        Claim::of(CONTRACTS, COUNTER_INCREMENTED, 2),
    ],
    decode,
    ..Decoder::NONE
};

fn decode(transaction: &Transaction<'_>, events: &mut Events) {
    let mut groups = Groups::default();
    let mut unseen: Vec<&Log> = Vec::new();
    for log in transaction.claimed() {
        match log.topic0() {
            Some(&ORDERS_MATCHED) => events.settle(log, groups.matched(log)),
            Some(&ORDER_VALIDATED) => events.emit(log, validated(transaction, log)),
            Some(&ORDER_VALIDATED_UNSEEN) => unseen.push(log),
            Some(&ORDER_CANCELLED | &COUNTER_INCREMENTED) => events.emit(log, taken_back(log)),
            _ => {
                let decoded = FilledOrder::read(transaction, log).map(|(order, warning)| {
                    let fill = order.fill();
                    groups.push(order);
                    (fill, warning)
                });
                events.emit(log, decoded);
            }
        }
    }
    validated_unseen(transaction, &unseen, events);
    // Only now: which orders were matched with each other shows at the end of the transaction.
    let (alone, groups) = groups.finish();
    for order in &alone {
        let decoded = single(order).map(|trade| trade.into_iter().collect());
        emit_all(decoded, order.log, events);
    }
    for group in &groups {
        for part in parts(group) {
            emit_all(solve(transaction, &part), part[0].log, events);
        }
    }
}

fn emit_all(decoded: Result<Vec<(&Log, Trade)>, DecodeError>, log: &Log, events: &mut Events) {
    match decoded {
        Ok(trades) => trades.into_iter().for_each(|(log, trade)| events.trade(log, trade)),
        Err(error) => events.settle(log, Err(error)),
    }
}

/// The end of one order, or of all orders of an offerer: what the offerer's counter is now does not matter.
fn taken_back(log: &Log) -> Result<(Closing, Option<&'static str>), DecodeError> {
    let mut reader = Reader::new(log);
    let [word] = reader.head()?;
    let offerer = reader.topic_address(1);
    let closing = if log.topic0() == Some(&ORDER_CANCELLED) {
        canceled(market(log), log, Key::hash(B256::from(*word)))
    } else {
        revoked(market(log), log, offerer, Nonces::All)
    };
    Ok((closing, reader.warning()))
}

/// An order filled on its own, if it was a sale.
fn single<'a>(order: &FilledOrder<'a>) -> Result<Option<(&'a Log, Trade)>, DecodeError> {
    let gives_tokens = FilledOrder::tokens(&order.offer).next().is_some();
    match (gives_tokens, order.gives_payment()) {
        (true, false) => listing(order),
        (false, true) => offer(order),
        _ => Ok(None),
    }
}

fn listing<'a>(order: &FilledOrder<'a>) -> Result<Option<(&'a Log, Trade)>, DecodeError> {
    let mut returned = Wanted::by(iter::once(order));
    let lines: Vec<LineItem> = FilledOrder::tokens(&order.offer)
        .map(|item| {
            let private = returned.take(item, order.log);
            item.line(order.offerer, private.map_or(order.recipient, |item| item.recipient))
        })
        .collect();
    if !returned.is_empty() {
        return Ok(None);
    }
    let paid: Vec<&OrderItem> = FilledOrder::payments(&order.consideration).collect();
    trade(order, Side::Listing, lines, &paid, &paid)
}

fn offer<'a>(order: &FilledOrder<'a>) -> Result<Option<(&'a Log, Trade)>, DecodeError> {
    let lines = FilledOrder::tokens(&order.consideration)
        .map(|item| item.line(order.recipient, item.recipient))
        .collect();
    let given: Vec<&OrderItem> = order.offer.iter().collect();
    let fees: Vec<&OrderItem> = FilledOrder::payments(&order.consideration).collect();
    trade(order, Side::Offer, lines, &given, &fees)
}
