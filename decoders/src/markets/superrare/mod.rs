//! SuperRare: its first token, the market and auction contracts after it, the Bazaar (decoding specification, section 4.11;
//! `superrare/pixura-contracts`).
//!
//! Events state an amount and neither the commission or royalty taken out of it nor the 3% that buyers pay on top of it, or, at
//! the first token, within it.

mod orders;

use alloy_primitives::{Address, B256, U256, address, b256};

use crate::block::Log;
use crate::chains;
use crate::decoder::{Claim, Decoder};
use crate::events::Events;
use crate::fact::{Side, flag};
use crate::log_reader::{DecodeError, Reader, Tuple, uint};
use crate::markets::superrare::orders::{Piece, market};
use crate::trade::orders::{LogOutcome, filled, invalidated};
use crate::trade::{LineItem, Market, Trade};
use crate::transaction::Transaction;

const TOKEN: &[(u64, Address)] = &[(chains::ETHEREUM, address!("41a322b28d0ff354040e2cbc676f0320d8c8850d"))];
const MARKETS: &[(u64, Address)] = &[
    (chains::ETHEREUM, address!("2947f98c42597966a0ec25e92843c09ac17fbaa7")),
    (chains::ETHEREUM, address!("65b49f7aee40347f5a90b714be4ef086f3fe5e2c")),
];
const AUCTION_HOUSE: &[(u64, Address)] = &[(chains::ETHEREUM, address!("8c9f364bf7a56ed058fc63ef81c6cf09c833e656"))];
const BAZAAR: &[(u64, Address)] = &[(chains::ETHEREUM, address!("6d7c44773c52d396f43c2d511b81aa168e9a7a42"))];

/// The token's `Sold(address,address,uint256,uint256)`.
const TOKEN_SOLD: B256 = b256!("16dd16959a056953a63cf14bf427881e762e54f03d86b864efea8238dd3b822f");
/// The token's `AcceptBid(address,address,uint256,uint256)`.
const TOKEN_ACCEPT_BID: B256 = b256!("d6deddb2e105b46d4644d24aac8c58493a0f107e7973b2fe8d8fa7931a2912be");
/// The markets' `Sold(address,address,address,uint256,uint256)`.
const SOLD: B256 = b256!("5764dbcef91eb6f946584f4ea671217c686fa7e858ce4f9f42d08422b86556a9");
/// The markets' `AcceptBid(address,address,address,uint256,uint256)`.
const ACCEPT_BID: B256 = b256!("2a9d06eec42acd217a17785dbec90b8b4f01a93ecd8c127edd36bfccf239f8b6");
/// The auction house's `AuctionSettled(address,address,address,uint256,uint256)`.
const AUCTION_SETTLED: B256 = b256!("ea6d16c6bfcad11577aef5cc6728231c9f069ac78393828f8ca96847405902a9");
/// The Bazaar's `Sold(address,address,address,address,uint256,uint256)`.
const BAZAAR_SOLD: B256 = b256!("6f9e7bc841408072f4a49e469f90e1a634b85251803662bc8e5c220b28782472");
/// The Bazaar's `AcceptOffer(address,address,address,address,uint256,uint256,address[],uint8[])`.
const ACCEPT_OFFER: B256 = b256!("97c3d2068ce177bc33d84acecc45eededcf298c4a9d4340ae03d4afbb3993f7b");
/// The Bazaar's `AuctionSettled(address,address,address,uint256,address,uint256)`.
const BAZAAR_SETTLED: B256 = b256!("ef4e2262a841641690bb931801dc0d1923e6b417cd217f91f8049d8aa9f5f086");

/// All contracts on Ethereum. Who set a price is shown by the transaction's sender.
pub(crate) const DECODER: Decoder = Decoder {
    name: "superrare",
    claims: &[
        Claim::of(TOKEN, TOKEN_SOLD, 4).with_envelope(),
        Claim::of(TOKEN, TOKEN_ACCEPT_BID, 4).with_envelope(),
        Claim::of(MARKETS, SOLD, 4).with_envelope(),
        Claim::of(MARKETS, ACCEPT_BID, 4).with_envelope(),
        Claim::of(AUCTION_HOUSE, AUCTION_SETTLED, 4).with_envelope(),
        Claim::of(BAZAAR, BAZAAR_SOLD, 4).with_envelope(),
        Claim::of(BAZAAR, ACCEPT_OFFER, 4).with_envelope(),
        Claim::of(BAZAAR, BAZAAR_SETTLED, 4).with_envelope(),
        Claim::of(TOKEN, orders::TOKEN_PRICE, 3).with_envelope(),
        Claim::of(TOKEN, orders::TOKEN_BID, 4),
        Claim::of(TOKEN, orders::TOKEN_CANCEL_BID, 4),
        Claim::of(MARKETS, orders::PRICE, 2).with_envelope(),
        Claim::of(MARKETS, orders::BID, 3),
        Claim::of(MARKETS, orders::CANCEL_BID, 3),
        Claim::of(AUCTION_HOUSE, orders::COLDIE_AUCTION, 4),
        Claim::of(AUCTION_HOUSE, orders::SCHEDULED_AUCTION, 4),
        Claim::of(AUCTION_HOUSE, orders::AUCTION_BID, 4),
        Claim::of(AUCTION_HOUSE, orders::CANCEL_AUCTION, 4),
        Claim::of(BAZAAR, orders::BAZAAR_PRICE, 3).with_envelope(),
        Claim::of(BAZAAR, orders::OFFER_PLACED, 4),
        Claim::of(BAZAAR, orders::CANCEL_OFFER, 4),
        Claim::of(BAZAAR, orders::NEW_AUCTION, 4),
        Claim::of(BAZAAR, orders::CANCEL_AUCTION, 4),
        Claim::of(BAZAAR, orders::BAZAAR_BID, 4),
    ],
    decode,
    ..Decoder::NONE
};

fn decode(transaction: &Transaction<'_>, events: &mut Events) {
    let transfers = events.transfer_index(transaction);
    for log in transaction.claimed() {
        match log.topic0() {
            Some(
                &TOKEN_SOLD | &TOKEN_ACCEPT_BID | &SOLD | &ACCEPT_BID | &AUCTION_SETTLED | &BAZAAR_SOLD | &ACCEPT_OFFER
                | &BAZAAR_SETTLED,
            ) => events.emit(log, sale(log)),
            _ => events.emit(log, orders::outcome(transaction, log, &transfers)),
        }
    }
}

/// What one event states, whatever its layout.
struct SaleTerms {
    version: &'static str,
    side: Side,
    contract: Address,
    token: U256,
    seller: Address,
    buyer: Address,
    currency: Address,
    amount: U256,
}

fn sale(log: &Log) -> Result<(LogOutcome, Option<&'static str>), DecodeError> {
    let mut reader = Reader::new(log);
    let terms = match log.topic0() {
        Some(&TOKEN_SOLD) => transfers_of(&mut reader, log, Side::Listing)?,
        Some(&TOKEN_ACCEPT_BID) => transfers_of(&mut reader, log, Side::Offer)?,
        Some(&SOLD) => of_market(&mut reader, Side::Listing)?,
        Some(&ACCEPT_BID) => of_market(&mut reader, Side::Offer)?,
        Some(&AUCTION_SETTLED) => {
            let [seller, amount] = reader.head()?;
            let (seller, amount) = (reader.address(seller), uint(amount));
            settled(&mut reader, "auction_house", seller, Address::ZERO, amount)
        }
        Some(&BAZAAR_SETTLED) => {
            let [seller, currency, amount] = reader.head()?;
            let (seller, currency) = (reader.address(seller), reader.address(currency));
            settled(&mut reader, "bazaar", seller, currency, uint(amount))
        }
        _ => of_bazaar(&mut reader, log)?,
    };
    let (contract, token) = (terms.contract, terms.token);
    let (market, piece) = (market(terms.version), Piece { log, contract, token });
    if terms.side == Side::Auction && terms.buyer.is_zero() {
        // An auction without a bid.
        return Ok((invalidated(market, log, piece.auction()).into(), reader.warning()));
    }
    let line = LineItem::of(contract, token, U256::ONE).between(terms.seller, terms.buyer);
    let mut trade = Trade {
        currency: terms.currency,
        ..Trade::of(market, terms.side, line, terms.amount)
    };
    trade.flags.push(flag::FEES_UNKNOWN);
    // The 3% that the buyer adds on top stands in no event (decoding specification, section 4.11).
    trade.flags.push(if terms.version == "v1" {
        flag::UNCONFIRMED
    } else {
        flag::FEES_ON_TOP_UNKNOWN
    });
    let for_all = piece.price_for(Address::ZERO);
    let outcome = LogOutcome::from(trade);
    let outcome = match terms.side {
        Side::Auction => outcome.and(filled(market, log, piece.auction())),
        // The token's price ends with the bid on it.
        Side::Offer => outcome
            .and(filled(market, log, piece.offer_in(terms.currency)))
            .and(invalidated(market, log, for_all)),
        _ => bought(outcome, market, piece, &terms).and(filled(market, log, for_all)),
    };
    Ok((outcome, reader.warning()))
}

/// What ends beside the price for all. The token refunds any bid, the contracts after it the buyer's own one. At the Bazaar,
/// a buyer with a price of their own is charged that.
fn bought(outcome: LogOutcome, market: Market, piece: Piece<'_>, terms: &SaleTerms) -> LogOutcome {
    let log = piece.log;
    match terms.version {
        "v1" => outcome.and(invalidated(market, log, piece.offer_in(Address::ZERO))),
        "bazaar" => outcome
            .and(piece.paid_back(market, terms.buyer, terms.currency))
            .and(filled(market, log, piece.price_for(terms.buyer))),
        _ => outcome.and(piece.paid_back(market, terms.buyer, terms.currency)),
    }
}

fn transfers_of(reader: &mut Reader<'_>, log: &Log, side: Side) -> Result<SaleTerms, DecodeError> {
    let [amount] = reader.head()?;
    Ok(SaleTerms {
        version: "v1",
        side,
        contract: log.address,
        token: reader.topic_uint(3),
        buyer: reader.topic_address(1),
        seller: reader.topic_address(2),
        currency: Address::ZERO,
        amount: uint(amount),
    })
}

fn of_market(reader: &mut Reader<'_>, side: Side) -> Result<SaleTerms, DecodeError> {
    let [amount, token] = reader.head()?;
    Ok(SaleTerms {
        version: "market",
        side,
        contract: reader.topic_address(1),
        token: uint(token),
        buyer: reader.topic_address(2),
        seller: reader.topic_address(3),
        currency: Address::ZERO,
        amount: uint(amount),
    })
}

fn of_bazaar(reader: &mut Reader<'_>, log: &Log) -> Result<SaleTerms, DecodeError> {
    let (side, [currency, amount, token]) = if log.topic0() == Some(&ACCEPT_OFFER) {
        let [terms @ .., receivers_at, ratios_at] = reader.head::<5>()?;
        reader.list(Tuple::ROOT, receivers_at)?;
        reader.list(Tuple::ROOT, ratios_at)?;
        (Side::Offer, terms)
    } else {
        (Side::Listing, reader.head::<3>()?)
    };
    Ok(SaleTerms {
        version: "bazaar",
        side,
        contract: reader.topic_address(1),
        token: uint(token),
        buyer: reader.topic_address(2),
        seller: reader.topic_address(3),
        currency: reader.address(currency),
        amount: uint(amount),
    })
}

fn settled(
    reader: &mut Reader<'_>,
    version: &'static str,
    seller: Address,
    currency: Address,
    amount: U256,
) -> SaleTerms {
    SaleTerms {
        version,
        side: Side::Auction,
        contract: reader.topic_address(1),
        token: reader.topic_uint(3),
        buyer: reader.topic_address(2),
        seller,
        currency,
        amount,
    }
}
