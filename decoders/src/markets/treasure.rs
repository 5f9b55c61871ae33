//! Treasure's marketplace on Arbitrum and Ethereum (decoding specification, section 4.18; public copies of its source).
//!
//! Fees follow the contract's configuration and are emitted by no event; paid in an ERC-20 they are seen: the market's share, the
//! one of the collection's owner if it has one, then the seller's. A seller has one listing of a token, a bidder one bid on
//! it and one on its collection; another takes its place. Bids on collections are for ERC-721 tokens only.

use std::mem;
use std::ops::Range;

use alloy_primitives::{Address, B256, U256, address, b256};

use crate::block::Log;
use crate::chains;
use crate::decoder::{Claim, Decoder};
use crate::events::Events;
use crate::fact::{Closing, FeeKind, Order, OrderKind, Side, Standard, flag, reason};
use crate::log_reader::{DecodeError, Reader, Tuple, Word, uint, words};
use crate::trade::orders::{Key, LogOutcome, canceled, filled_by, order, part, until};
use crate::trade::transfer_index::TransferIndex;
use crate::trade::{LineItem, Market, Trade};
use crate::transaction::Transaction;

const CONTRACTS: &[(u64, Address)] = &[
    (chains::ARBITRUM, address!("09986b4e255b3c548041a30a2ee312fe176731c2")),
    (chains::ETHEREUM, address!("68d25992b1b04be8a70104de8cb598170ab9aad5")),
];
const MARKET: Market = Market {
    name: "treasure",
    version: "",
};

/// `ItemSold(address,address,address,uint256,uint64,uint128,address)`.
const ITEM_SOLD: B256 = b256!("72d3f914473a393354e6fcd9c3cb7d2eee53924b9b856f9da274e024566292a5");
/// `BidAccepted(address,address,address,uint256,uint64,uint128,address,uint8)`.
const BID_ACCEPTED: B256 = b256!("f6b2b7813b1815a0e2e32964b4f22ec24862322d9c9c0e0eefac425dfc455ab1");
/// `ItemListed(address,address,uint256,uint64,uint128,uint64,address)`.
const ITEM_LISTED: B256 = b256!("b21f4a0122c6667aa16da06fcb7d9d3b2688164dfb40b7253aed80ea36d88e99");
/// `ItemUpdated(address,address,uint256,uint64,uint128,uint64,address)`.
const ITEM_UPDATED: B256 = b256!("de1951e410d2f4644b8dd23d6b9e5d2e862b417055f42e3939ab16b4635ec6de");
/// `ItemCanceled(address,address,uint256)`.
const ITEM_CANCELED: B256 = b256!("9ba1a3cb55ce8d63d072a886f94d2a744f50cddf82128e897d0661f5ec623158");
/// `TokenBidCreatedOrUpdated(address,address,uint256,uint64,uint128,uint64,address)`.
const TOKEN_BID: B256 = b256!("aa16fd3f89fcc221b55be8ebd56c20abf3a580c60a83d5de297e0edf750aeae8");
/// `TokenBidCancelled(address,address,uint256)`.
const TOKEN_BID_CANCELLED: B256 = b256!("c98088fb062dda614ae7304b89526258370705c2646039e06beff408428a6b9c");
/// `CollectionBidCreatedOrUpdated(address,address,uint64,uint128,uint64,address)`.
const COLLECTION_BID: B256 = b256!("9f6945ee84d160722b736d12d84f9f3349075d2c78064575b40620be21bf6eef");
/// `CollectionBidCancelled(address,address)`.
const COLLECTION_BID_CANCELLED: B256 = b256!("f5913151c29e184e3a477be2274f0b06b63cd67c1ab11e1cc103d25701cfbdf2");

words! {
    /// What [`ITEM_SOLD`] states; [`BID_ACCEPTED`] states one word more, `bid_type`, and calls its buyer `bidder`.
    struct Sold { seller, buyer, nft_address, token_id, quantity, price_per_item, payment_token }

    /// What [`ITEM_LISTED`] and [`ITEM_UPDATED`] state of a `seller`, and [`TOKEN_BID`] of a `bidder`.
    struct Opened { maker, nft_address, token_id, quantity, price_per_item, expiration_time, payment_token }

    /// What [`COLLECTION_BID`] states.
    struct CollectionBid { bidder, nft_address, quantity, price_per_item, expiration_time, payment_token }
}

/// The marketplace on both chains.
pub(crate) const DECODER: Decoder = Decoder {
    name: "treasure",
    claims: &[
        Claim::of(CONTRACTS, ITEM_SOLD, 1).with_envelope(),
        Claim::of(CONTRACTS, BID_ACCEPTED, 1).with_envelope(),
        Claim::of(CONTRACTS, ITEM_LISTED, 1),
        Claim::of(CONTRACTS, ITEM_UPDATED, 1),
        Claim::of(CONTRACTS, ITEM_CANCELED, 4),
        Claim::of(CONTRACTS, TOKEN_BID, 1),
        Claim::of(CONTRACTS, TOKEN_BID_CANCELLED, 1),
        Claim::of(CONTRACTS, COLLECTION_BID, 1),
        Claim::of(CONTRACTS, COLLECTION_BID_CANCELLED, 1),
    ],
    decode,
    ..Decoder::NONE
};

fn decode(transaction: &Transaction<'_>, events: &mut Events) {
    let transfers = events.transfer_index(transaction);
    let mut since = 0;
    for log in transaction.claimed() {
        let window = mem::replace(&mut since, log.log_index + 1)..log.log_index;
        match log.topic0() {
            Some(&ITEM_SOLD | &BID_ACCEPTED) => events.emit(log, sale(log, &transfers, window)),
            Some(&COLLECTION_BID) => events.emit(log, collection_bid(log)),
            Some(&ITEM_LISTED | &ITEM_UPDATED | &TOKEN_BID) => events.emit(log, opened(log)),
            _ => events.emit(log, taken_back(log)),
        }
    }
}

/// What `maker` lists or bids for, by kind: of one token, or of any of a contract.
fn key(log: &Log, kind: OrderKind, maker: Address, contract: Address, token: Option<U256>) -> Key {
    let parts = [maker, contract].map(|address| address.into_word());
    let parts: Vec<B256> = parts.into_iter().chain(token.map(part)).collect();
    Key::natural(log, kind, &parts)
}

fn total(price: &Word, quantity: &Word) -> Result<U256, DecodeError> {
    uint(price)
        .checked_mul(uint(quantity))
        .ok_or(DecodeError(reason::AMOUNT_OVERFLOW))
}

fn sale(
    log: &Log,
    transfers: &TransferIndex,
    window: Range<u32>,
) -> Result<(LogOutcome, Option<&'static str>), DecodeError> {
    let mut reader = Reader::new(log);
    let sold = Sold::of(reader.words(Tuple::ROOT)?);
    let (seller, buyer) = (reader.address(sold.seller), reader.address(sold.buyer));
    let (contract, token) = (reader.address(sold.nft_address), uint(sold.token_id));
    let quantity = uint(sold.quantity);
    let (side, filled) = if log.topic0() == Some(&BID_ACCEPTED) {
        let [.., kind] = reader.head::<8>()?;
        let transfers_of = match u8::try_from(uint(kind)) {
            Ok(0) => Some(token),
            Ok(1) => None,
            _ => return Err(DecodeError(reason::UNKNOWN_VARIANT)),
        };
        (Side::Offer, key(log, OrderKind::Offer, buyer, contract, transfers_of))
    } else {
        reader.head::<7>()?;
        (
            Side::Listing,
            key(log, OrderKind::Listing, seller, contract, Some(token)),
        )
    };
    let line = LineItem::of(contract, token, quantity).between(seller, buyer);
    let mut trade = Trade {
        currency: reader.address(sold.payment_token),
        ..Trade::of(MARKET, side, line, total(sold.price_per_item, sold.quantity)?)
    };
    trade.flags.push(flag::UNCONFIRMED);
    let kinds = [FeeKind::Marketplace, FeeKind::Royalty];
    // The market takes its share first, then the creator gets one: their place is all that distinguishes them.
    trade.fees_of_payments(transfers, window, |place, _| kinds[place.min(1)]);
    let outcome = LogOutcome::from(trade).and(filled_by(MARKET, log, filled, quantity));
    Ok((outcome, reader.warning()))
}

/// A listing, or a bid on one token.
fn opened(log: &Log) -> Result<(Order, Option<&'static str>), DecodeError> {
    let mut reader = Reader::new(log);
    let stated = Opened::of(reader.head()?);
    let kind = if log.topic0() == Some(&TOKEN_BID) {
        OrderKind::Offer
    } else {
        OrderKind::Listing
    };
    let (maker, contract) = (reader.address(stated.maker), reader.address(stated.nft_address));
    let token = uint(stated.token_id);
    let line = LineItem::of(contract, token, uint(stated.quantity));
    let key = key(log, kind, maker, contract, Some(token));
    let opened = Order {
        currency: reader.address(stated.payment_token),
        price: Some(total(stated.price_per_item, stated.quantity)?),
        expires_at: until(uint(stated.expiration_time)),
        ..order(MARKET, log, kind, key, maker, line)
    };
    Ok((opened, reader.warning()))
}

fn collection_bid(log: &Log) -> Result<(Order, Option<&'static str>), DecodeError> {
    let mut reader = Reader::new(log);
    let bid = CollectionBid::of(reader.head()?);
    let (maker, contract) = (reader.address(bid.bidder), reader.address(bid.nft_address));
    let line = LineItem {
        token: None,
        standard: Standard::Erc721,
        ..LineItem::of(contract, U256::ZERO, uint(bid.quantity))
    };
    let key = key(log, OrderKind::Offer, maker, contract, None);
    let offer = Order {
        currency: reader.address(bid.payment_token),
        price: Some(total(bid.price_per_item, bid.quantity)?),
        expires_at: until(uint(bid.expiration_time)),
        ..order(MARKET, log, OrderKind::Offer, key, maker, line)
    };
    Ok((offer, reader.warning()))
}

fn taken_back(log: &Log) -> Result<(Closing, Option<&'static str>), DecodeError> {
    let mut reader = Reader::new(log);
    let key = match log.topic0() {
        Some(&ITEM_CANCELED) => {
            let (maker, contract) = (reader.topic_address(1), reader.topic_address(2));
            key(log, OrderKind::Listing, maker, contract, Some(reader.topic_uint(3)))
        }
        Some(&TOKEN_BID_CANCELLED) => {
            let [maker, contract, token] = reader.head()?;
            let (maker, contract) = (reader.address(maker), reader.address(contract));
            key(log, OrderKind::Offer, maker, contract, Some(uint(token)))
        }
        _ => {
            let [maker, contract] = reader.head()?;
            let (maker, contract) = (reader.address(maker), reader.address(contract));
            key(log, OrderKind::Offer, maker, contract, None)
        }
    };
    Ok((canceled(MARKET, log, key), reader.warning()))
}
