//! Treasure's marketplace on Arbitrum and Ethereum (decoding specification, section 4.18; public copies of its source).
//!
//! Fees follow the contract's configuration and are told by no event.

use alloy_primitives::{Address, B256, address, b256};

use crate::abi::{Reader, Refusal, Tuple, uint};
use crate::block::Log;
use crate::deal::{Deal, Line, Market};
use crate::events::Events;
use crate::fact::{Side, flag, reason};
use crate::registry::{Claim, Decoder};
use crate::transaction::Transaction;

const CONTRACTS: &[(u64, Address)] = &[
    (42161, address!("09986b4e255b3c548041a30a2ee312fe176731c2")),
    (1, address!("68d25992b1b04be8a70104de8cb598170ab9aad5")),
];
const MARKET: Market = Market {
    name: "treasure",
    version: "",
};

/// `ItemSold(address,address,address,uint256,uint64,uint128,address)`.
const ITEM_SOLD: B256 = b256!("72d3f914473a393354e6fcd9c3cb7d2eee53924b9b856f9da274e024566292a5");
/// `BidAccepted(address,address,address,uint256,uint64,uint128,address,uint8)`.
const BID_ACCEPTED: B256 = b256!("f6b2b7813b1815a0e2e32964b4f22ec24862322d9c9c0e0eefac425dfc455ab1");

/// The marketplace on both chains.
pub(crate) const DECODER: Decoder = Decoder {
    name: "treasure",
    claims: &[
        Claim::of(CONTRACTS, ITEM_SOLD, 1),
        Claim::of(CONTRACTS, BID_ACCEPTED, 1),
    ],
    decode,
};

fn decode(transaction: &Transaction<'_>, events: &mut Events) {
    for log in transaction.claimed() {
        let verdict = sale(log).map(|(deal, doubt)| {
            events.deal(log, deal);
            doubt
        });
        events.settle(log, verdict);
    }
}

fn sale(log: &Log) -> Result<(Deal, Option<&'static str>), Refusal> {
    let mut reader = Reader::new(log);
    let [seller, buyer, contract, token, quantity, price, currency] = reader.words(Tuple::ROOT)?;
    let side = if log.topic0() == Some(&BID_ACCEPTED) {
        reader.head::<8>()?;
        Side::Offer
    } else {
        reader.head::<7>()?;
        Side::Listing
    };
    let (seller, buyer) = (reader.address(seller), reader.address(buyer));
    let line = Line::of(reader.address(contract), uint(token), uint(quantity)).between(seller, buyer);
    let total = uint(price)
        .checked_mul(uint(quantity))
        .ok_or(Refusal(reason::AMOUNT_OVERFLOW))?;
    let mut deal = Deal {
        currency: reader.address(currency),
        ..Deal::of(MARKET, side, line, total)
    };
    deal.flags.extend([flag::FEES_UNKNOWN, flag::UNCONFIRMED]);
    Ok((deal, reader.doubt()))
}
