//! The market of CryptoPunks, in the contract of the punks (decoding specification section 1.5; `CryptoPunksMarket` on Ethereum).
//! Punks V1 is left out: its sales paid nobody.
//!
//! An accepted bid clears the bid before it tells of it: `PunkBought` then names no price and no buyer. The buyer is the one
//! the punk moved to, as `cryptopunks` has told; the price is that of his live bid: the last one entered earlier in the block, or
//! else the one the contract held after the block before.

use alloy_primitives::{Address, B256, U256, address, b256, hex};

use crate::abi::{Reader, Refusal, uint};
use crate::block::{Call, Log};
use crate::cryptopunks::PUNK_BOUGHT;
use crate::deal::{Deal, Line, Market};
use crate::events::Events;
use crate::fact::{PriceAllocation, Side, Standard, flag, reason};
use crate::registry::{Claim, Decoder};
use crate::trail::Trail;
use crate::transaction::Transaction;

const ETHEREUM: u64 = 1;
const CONTRACTS: &[(u64, Address)] = &[(ETHEREUM, address!("b47e3cd837ddf8e4c57f05d70ab865de6e193bbb"))];
const MARKET: Market = Market {
    name: "cryptopunks",
    version: "",
};

/// `PunkBidEntered(uint256 indexed punkIndex, uint256 value, address indexed fromAddress)`.
const PUNK_BID_ENTERED: B256 = b256!("5b859394fabae0c1ba88baffe67e751ab5248d2e879028b8c8d6897b0519f56a");
/// `PunkBidWithdrawn(uint256 indexed punkIndex, uint256 value, address indexed fromAddress)`.
const PUNK_BID_WITHDRAWN: B256 = b256!("6f30e1ee4d81dcc7a8a478577f65d2ed2edb120565960ac45fe7c50551c87932");

/// `punkBids(uint256)`: whether there is a bid on the punk, the punk, the bidder, the bid.
const PUNK_BIDS: [u8; 4] = hex!("6e743fa9");

/// The market on Ethereum.
pub(crate) const DECODER: Decoder = Decoder {
    name: "cryptopunks_market",
    claims: &[
        Claim::of(CONTRACTS, PUNK_BOUGHT, 4).asking(),
        Claim::of(CONTRACTS, PUNK_BID_ENTERED, 3),
        Claim::of(CONTRACTS, PUNK_BID_WITHDRAWN, 3),
    ],
    decode,
};

fn decode(transaction: &Transaction<'_>, events: &mut Events) {
    let trail = events.trail(transaction);
    for log in transaction.claimed().filter(|log| log.topic0() == Some(&PUNK_BOUGHT)) {
        let verdict = punk_bought(transaction, log, &trail, events);
        events.settle(log, verdict);
    }
}

fn punk_bought(
    transaction: &Transaction<'_>,
    log: &Log,
    trail: &Trail,
    events: &mut Events,
) -> Result<Option<&'static str>, Refusal> {
    let mut reader = Reader::new(log);
    let [value] = reader.head()?;
    let (punk, named_buyer) = (reader.topic_uint(1), reader.topic_address(3));
    let moved = trail.movements(log.log_index..log.log_index + 1).first();
    let moved = moved.ok_or(Refusal(reason::PUNK_BUYER_UNKNOWN))?;
    let line = Line {
        standard: Standard::CryptoPunks,
        ..Line::of(log.address, punk, U256::ONE).between(moved.from, moved.to)
    };
    let deal = if named_buyer.is_zero() {
        bid_accepted(line, live_bid(transaction, log, punk, events))
    } else {
        Deal::of(MARKET, Side::Listing, line, uint(value))
    };
    events.deal(log, deal);
    Ok(reader.doubt())
}

/// The deal for a punk whose owner accepted a bid. A live bid of somebody else is not the one.
fn bid_accepted(line: Line, bid: Option<Bid>) -> Deal {
    let price = bid.filter(|bid| bid.bidder == line.buyer).map(|bid| bid.value);
    let mut deal = Deal {
        price,
        allocation: PriceAllocation::Inferred,
        ..Deal::of(MARKET, Side::Offer, line, U256::ZERO)
    };
    if price.is_none() {
        deal.allocation = PriceAllocation::Unknown;
        deal.flags.push(flag::PRICE_OF_BID);
    }
    deal
}

/// A bid on a punk.
#[derive(Clone, Copy, Debug)]
struct Bid {
    bidder: Address,
    value: U256,
}

/// The bid on `punk` that was live when `log` accepted it, as far as it can be told.
fn live_bid(transaction: &Transaction<'_>, log: &Log, punk: U256, events: &mut Events) -> Option<Bid> {
    let mut bids = transaction
        .back_from(log)
        .filter(|other| other.address == log.address && is_of_bid(other, punk));
    if let Some(last) = bids.next() {
        return Bid::entered(last);
    }
    let arguments = [punk.into()];
    let call = Call::of(log.address, PUNK_BIDS, &arguments).before_block(log.block_number);
    let [is_live, _punk, bidder, value] = events.ask::<4>(transaction, call).ok()??;
    (!uint(is_live).is_zero()).then(|| Bid {
        bidder: Address::from_word(bidder.into()),
        value: uint(value),
    })
}

/// Whether `log` enters, withdraws or uses up a bid on `punk`.
fn is_of_bid(log: &Log, punk: U256) -> bool {
    let is_of_punk = log.topics.get(1) == Some(&B256::from(punk));
    is_of_punk
        && match (log.topic0(), log.topics.len()) {
            (Some(&PUNK_BID_ENTERED | &PUNK_BID_WITHDRAWN), 3) => true,
            (Some(&PUNK_BOUGHT), 4) => log.topics[3].is_zero(),
            _ => false,
        }
}

impl Bid {
    /// The bid that `log` enters, if it enters one.
    fn entered(log: &Log) -> Option<Self> {
        if log.topic0() != Some(&PUNK_BID_ENTERED) {
            return None;
        }
        let mut reader = Reader::new(log);
        let [value] = reader.head().ok()?;
        Some(Bid {
            bidder: reader.topic_address(2),
            value: uint(value),
        })
    }
}
