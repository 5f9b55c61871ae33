//! The market of CryptoPunks, in the contract of the punks (decoding specification section 1.5; `CryptoPunksMarket` on Ethereum).
//! Punks V1 is left out: its sales paid no seller.
//!
//! An accepted bid clears the bid before it emits the sale: `PunkBought` then names no price and no buyer. The buyer is the one
//! the punk moved to, as `cryptopunks` has decoded; the price is that of the buyer's live bid: the last one entered earlier in
//! the block, or else the one the contract held after the block before.
//!
//! A punk has one price and one live bid; a new one takes the place of the old. Some ends are emitted by no log of their own:
//! accepting a bid ends the price, and a new owner of a punk, bought or given, gets their bid on it back. A bid therefore bears
//! its punk as the nonce by which it is reached. A price of nothing for one taker is how punks are given away and wrapped: no
//! listing.

use alloy_primitives::{Address, B256, U256, address, b256, hex};

use crate::block::{Call, Log};
use crate::chains;
use crate::decoder::{Claim, Decoder};
use crate::events::Events;
use crate::fact::{
    Closing, ClosingReason, Nonces, Order, OrderKind, PriceAllocation, Reach, Side, Standard, flag, reason,
};
use crate::log_reader::{self, DecodeError, Reader, uint};
use crate::tokens::cryptopunks::{PUNK_BOUGHT, PUNK_TRANSFER};
use crate::trade::orders::{Key, LogOutcome, canceled, closing, filled, invalidated, lister, only, order, part};
use crate::trade::transfer_index::TransferIndex;
use crate::trade::{LineItem, Market, Trade};
use crate::transaction::{Latest, Transaction};

const CONTRACTS: &[(u64, Address)] = &[(chains::ETHEREUM, address!("b47e3cd837ddf8e4c57f05d70ab865de6e193bbb"))];
const MARKET: Market = Market {
    name: "cryptopunks",
    version: "",
};

/// `PunkBidEntered(uint256 indexed punkIndex, uint256 value, address indexed fromAddress)`.
const PUNK_BID_ENTERED: B256 = b256!("5b859394fabae0c1ba88baffe67e751ab5248d2e879028b8c8d6897b0519f56a");
/// `PunkBidWithdrawn(uint256 indexed punkIndex, uint256 value, address indexed fromAddress)`.
const PUNK_BID_WITHDRAWN: B256 = b256!("6f30e1ee4d81dcc7a8a478577f65d2ed2edb120565960ac45fe7c50551c87932");

/// `PunkOffered(uint256 indexed punkIndex, uint256 minValue, address indexed toAddress)`.
const PUNK_OFFERED: B256 = b256!("3c7b682d5da98001a9b8cbda6c647d2c63d698a4184fd1d55e2ce7b66f5d21eb");
/// `PunkNoLongerForSale(uint256 indexed punkIndex)`.
const PUNK_NO_LONGER_FOR_SALE: B256 = b256!("b0e0a660b4e50f26f0b7ce75c24655fc76cc66e3334a54ff410277229fa10bd4");

/// `punkBids(uint256)`: whether there is a bid on the punk, the punk, the bidder, the bid.
const PUNK_BIDS: [u8; 4] = hex!("6e743fa9");

/// The market on Ethereum. Who offers a punk is shown by the transaction's sender.
pub(crate) const DECODER: Decoder = Decoder {
    name: "cryptopunks_market",
    claims: &[
        Claim::of(CONTRACTS, PUNK_BOUGHT, 4).asking().with_envelope(),
        Claim::of(CONTRACTS, PUNK_BID_ENTERED, 3),
        Claim::of(CONTRACTS, PUNK_BID_WITHDRAWN, 3),
        Claim::of(CONTRACTS, PUNK_OFFERED, 3).with_envelope(),
        Claim::of(CONTRACTS, PUNK_NO_LONGER_FOR_SALE, 2),
        Claim::of(CONTRACTS, PUNK_TRANSFER, 3),
    ],
    decode,
    ..Decoder::NONE
};

fn decode(transaction: &Transaction<'_>, events: &mut Events) {
    let transfers = events.transfer_index(transaction);
    let mut bids = Latest::new(punk_of_bid);
    for log in transaction.claimed() {
        match log.topic0() {
            Some(&PUNK_BOUGHT) => {
                let decoded = punk_bought(transaction, log, &transfers, &mut bids, events);
                events.emit(log, decoded);
            }
            Some(&PUNK_OFFERED) => events.emit(log, punk_offered(transaction, log, &transfers)),
            Some(&PUNK_NO_LONGER_FOR_SALE) => events.emit(log, no_longer_for_sale(transaction, log)),
            Some(&PUNK_TRANSFER) => events.emit(log, punk_given(log)),
            _ => events.emit(log, bid(log)),
        }
    }
}

/// The price of a punk.
fn price_of(log: &Log, punk: U256) -> Key {
    Key::natural(log, OrderKind::Listing, &[part(punk)])
}

/// The bid on a punk.
fn bid_on(log: &Log, punk: U256) -> Key {
    Key::natural(log, OrderKind::Offer, &[part(punk)])
}

fn line_of(log: &Log, punk: U256) -> LineItem {
    LineItem {
        standard: Standard::CryptoPunks,
        ..LineItem::of(log.address, punk, U256::ONE)
    }
}

/// The end of a new owner's own bid on the punk.
fn bid_returned(log: &Log, owner: Address, punk: U256) -> Closing {
    let reach = Reach::Maker {
        maker: owner,
        nonces: Nonces::Exactly(punk),
    };
    closing(MARKET, log, ClosingReason::Invalidated, reach)
}

fn punk_offered(
    transaction: &Transaction<'_>,
    log: &Log,
    transfers: &TransferIndex,
) -> Result<(LogOutcome, Option<&'static str>), DecodeError> {
    let mut reader = Reader::new(log);
    let [least] = reader.head()?;
    let (punk, taker) = (reader.topic_uint(1), only(reader.topic_address(2)));
    let key = price_of(log, punk);
    if uint(least).is_zero() && taker.is_some() {
        return Ok((canceled(MARKET, log, key).into(), reader.warning()));
    }
    let maker = lister(transaction, transfers, log, log.address, punk);
    let listing = maker.map(|maker| Order {
        price: Some(uint(least)),
        taker,
        ..order(MARKET, log, OrderKind::Listing, key, maker, line_of(log, punk))
    });
    Ok((listing.into(), reader.warning()))
}

/// The end of a price, unless the sale that follows emits it.
fn no_longer_for_sale(
    transaction: &Transaction<'_>,
    log: &Log,
) -> Result<(LogOutcome, Option<&'static str>), DecodeError> {
    let reader = Reader::new(log);
    let punk = reader.topic_uint(1);
    let mut later = transaction.after(log).iter();
    let sold = later.find(|other| other.address == log.address).is_some_and(|next| {
        next.topic0() == Some(&PUNK_BOUGHT) && next.topics.len() == 4 && next.topics[1] == log.topics[1]
    });
    let ended = (!sold).then(|| canceled(MARKET, log, price_of(log, punk)));
    Ok((ended.into(), reader.warning()))
}

fn punk_given(log: &Log) -> Result<(Closing, Option<&'static str>), DecodeError> {
    let mut reader = Reader::new(log);
    let [punk] = reader.head()?;
    let owner = reader.topic_address(2);
    Ok((bid_returned(log, owner, uint(punk)), reader.warning()))
}

fn bid(log: &Log) -> Result<(LogOutcome, Option<&'static str>), DecodeError> {
    let mut reader = Reader::new(log);
    let [value] = reader.head()?;
    let (punk, bidder) = (reader.topic_uint(1), reader.topic_address(2));
    let key = bid_on(log, punk);
    if log.topic0() == Some(&PUNK_BID_WITHDRAWN) {
        return Ok((canceled(MARKET, log, key).into(), reader.warning()));
    }
    let offer = Order {
        price: Some(uint(value)),
        nonce: Some(punk),
        ..order(MARKET, log, OrderKind::Offer, key, bidder, line_of(log, punk))
    };
    Ok((offer.into(), reader.warning()))
}

fn punk_bought<'a>(
    transaction: &Transaction<'a>,
    log: &Log,
    transfers: &TransferIndex,
    bids: &mut Latest<'a>,
    events: &mut Events,
) -> Result<(LogOutcome, Option<&'static str>), DecodeError> {
    let mut reader = Reader::new(log);
    let [value] = reader.head()?;
    let (punk, named_buyer) = (reader.topic_uint(1), reader.topic_address(3));
    let moved = transfers.movements(log.log_index..log.log_index + 1).first();
    let moved = moved.ok_or(DecodeError(reason::PUNK_BUYER_UNKNOWN))?;
    let line = line_of(log, punk).between(moved.from, moved.to);
    let (price, bid) = (price_of(log, punk), bid_on(log, punk));
    let outcome = if named_buyer.is_zero() {
        LogOutcome::from(bid_accepted(line, live_bid(transaction, log, punk, bids, events)))
            .and(filled(MARKET, log, bid))
            .and(invalidated(MARKET, log, price))
    } else {
        LogOutcome::from(Trade::of(MARKET, Side::Listing, line, uint(value)))
            .and(filled(MARKET, log, price))
            .and(bid_returned(log, moved.to, punk))
    };
    Ok((outcome, reader.warning()))
}

/// The trade for a punk whose owner accepted a bid. A live bid of somebody else is not the one.
fn bid_accepted(line: LineItem, bid: Option<Bid>) -> Trade {
    let price = bid.filter(|bid| bid.bidder == line.buyer).map(|bid| bid.value);
    let mut trade = Trade {
        price,
        allocation: PriceAllocation::Inferred,
        ..Trade::of(MARKET, Side::Offer, line, U256::ZERO)
    };
    if price.is_none() {
        trade.allocation = PriceAllocation::Unknown;
        trade.flags.push(flag::PRICE_OF_BID);
    }
    trade
}

/// A bid on a punk.
#[derive(Clone, Copy, Debug)]
struct Bid {
    bidder: Address,
    value: U256,
}

/// The bid on `punk` that was live when `log` accepted it, as far as it is known.
fn live_bid<'a>(
    transaction: &Transaction<'a>,
    log: &Log,
    punk: U256,
    bids: &mut Latest<'a>,
    events: &mut Events,
) -> Option<Bid> {
    if let Some(last) = bids.before(transaction, log, &part(punk)) {
        return Bid::entered(last);
    }
    let arguments = [punk.into()];
    let call = Call::of(log.address, PUNK_BIDS, &arguments).before_block(log.block_number);
    let [is_live, _punk, bidder, value] = events.ask::<4>(transaction, call).ok()??;
    (!uint(is_live).is_zero()).then(|| Bid {
        bidder: log_reader::address(bidder),
        value: uint(value),
    })
}

/// The punk on which `log` enters, withdraws or uses up a bid, if it does.
fn punk_of_bid(log: &Log) -> Option<B256> {
    let is_of_bid = match (log.topic0(), log.topics.len()) {
        (Some(&PUNK_BID_ENTERED | &PUNK_BID_WITHDRAWN), 3) => true,
        (Some(&PUNK_BOUGHT), 4) => log.topics[3].is_zero(),
        _ => false,
    };
    is_of_bid.then(|| log.topics[1])
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
