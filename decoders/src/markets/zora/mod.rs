//! Zora v1 to v3 (decoding specification, section 4.12; `ourzora/core`, `ourzora/auction-house`, `ourzora/v3`).

mod contracts;
mod orders;

use alloy_primitives::{Address, B256, U256, address, b256};

use crate::block::Log;
use crate::chains;
use crate::decoder::{Claim, Decoder};
use crate::events::Events;
use crate::fact::{FeeKind, Side, flag};
use crate::log_reader::{DecodeError, Reader, Word, share, sum, uint, words};
use crate::markets::zora::contracts::{V2, is_auction_house, market, media};
use crate::markets::zora::orders::{BID_FINALIZED, Bid, CoreAuction, Erc20Auction};
use crate::trade::orders::{LogOutcome, filled};
use crate::trade::transfer_index::TransferIndex;
use crate::trade::{LineItem, Trade, sum_of};
use crate::transaction::Transaction;

const V1: &[(u64, Address)] = &[
    (chains::ETHEREUM, address!("e5bfab544eca83849c53464f85b7164375bdaac1")),
    (chains::POLYGON, address!("e20bd7dc76e09aebc2a9a732ab6aee616c5a17eb")),
];
const ASKS: &[(u64, Address)] = &[
    (chains::ETHEREUM, address!("6170b3c3a54c3d8c854934cbc314ed479b2b29a3")),
    (chains::ETHEREUM, address!("ce6cef2a9028e1c3b21647ae3b4251038109f42a")),
    (chains::POLYGON, address!("3634e984ba0373cfa178986fd19f03ba4dd8e469")),
];
const OFFERS: &[(u64, Address)] = &[(chains::ETHEREUM, address!("76744367ae5a056381868f716bdf0b13ae1aeaa3"))];
const CORE_ASKS: &[(u64, Address)] = &[(chains::ETHEREUM, address!("34aa9cbb80dc0b3d82d04900c02fb81468dafcab"))];
const PRIVATE_ASKS: &[(u64, Address)] = &[(chains::ETHEREUM, address!("fbf87e6c2c242d0166e2ddb60db5a94cd4dae00e"))];
const CORE_AUCTIONS: &[(u64, Address)] = &[(chains::ETHEREUM, address!("5f7072e1fa7c01dfac7cf54289621afaad2184d0"))];
const ERC20_AUCTIONS: &[(u64, Address)] = &[(chains::ETHEREUM, address!("53172d999a299198a935f9e424f9f8544e3d4292"))];
/// Every module of v3 that transfers royalties.
const MODULES: &[(u64, Address)] = &[
    (chains::ETHEREUM, address!("6170b3c3a54c3d8c854934cbc314ed479b2b29a3")),
    (chains::ETHEREUM, address!("ce6cef2a9028e1c3b21647ae3b4251038109f42a")),
    (chains::POLYGON, address!("3634e984ba0373cfa178986fd19f03ba4dd8e469")),
    (chains::ETHEREUM, address!("76744367ae5a056381868f716bdf0b13ae1aeaa3")),
    (chains::ETHEREUM, address!("34aa9cbb80dc0b3d82d04900c02fb81468dafcab")),
    (chains::ETHEREUM, address!("fbf87e6c2c242d0166e2ddb60db5a94cd4dae00e")),
    (chains::ETHEREUM, address!("5f7072e1fa7c01dfac7cf54289621afaad2184d0")),
    (chains::ETHEREUM, address!("53172d999a299198a935f9e424f9f8544e3d4292")),
];

/// v2 `AuctionEnded(uint256,uint256,address,address,address,address,uint256,uint256,address)`.
const AUCTION_ENDED: B256 = b256!("4f35fb3ea0081b3ccbe8df613cab0f9e1694d50a025e0aa09b88a86a3d07c2de");
/// v3 `AskFilled(address,uint256,address,address,(address,address,address,uint16,uint256))`.
const ASK_FILLED: B256 = b256!("21a9d8e221211780696258a05c6225b1a24f428e2fd4d51708f1ab2be4224d39");
/// v3 `OfferFilled(address,uint256,uint256,address,address,(address,address,uint16,uint256))`.
const OFFER_FILLED: B256 = b256!("8d496f5c680daaaf5bdacfec3235619ed8eb52d6c31419098dfb83010f37ca22");
/// v3 `RoyaltyPayout(address,uint256,address,uint256)`.
const ROYALTY_PAYOUT: B256 = b256!("866e6ef8682ddf5f1025e64dfdb45527077f7be70fa9ef680b7ffd8cf4ab9c50");
/// v3 `AskFilled(address,uint256,address,address,uint256)`.
const CORE_ASK_FILLED: B256 = b256!("ed509339c949cdfdb11c117315bb3f74aa98886204732c065edd38979d7ccf53");
/// v3 `AskFilled(address,uint256,(address,uint96,address))`.
const PRIVATE_ASK_FILLED: B256 = b256!("9c826e8c90f6a11429369613c862c10af42611ca3c5d4d4be035765cec439cb5");
/// v3 `AuctionEnded(address,uint256,(address,uint96,address,uint96,address,uint32,uint32,uint32))`.
const CORE_AUCTION_ENDED: B256 = b256!("de4690ca69ca2f9bab030a05a3072d626b0692c7020c1ef534aa3cc140fb1ff5");
/// v3 `AuctionEnded(address,uint256,(address,address,uint256,uint256,address,uint48,uint48,address,uint96))`.
const ERC20_AUCTION_ENDED: B256 = b256!("0828c74ed74337090a4c0da7e727f14fca2526cf5b3cbae0ad4f18e329cf1028");

words! {
    /// What [`AUCTION_ENDED`] states.
    struct AuctionEnded { token_owner, curator, winner, amount, curator_fee, auction_currency }

    /// What [`ASK_FILLED`] states.
    struct AskFilled { finder, seller, seller_funds_recipient, ask_currency, finders_fee_bps, ask_price }

    /// What [`OFFER_FILLED`] states.
    struct OfferFilled { taker, finder, maker, currency, finders_fee_bps, amount }
}

/// Rates are basis points.
const WHOLE: u64 = 10_000;

/// All versions. Who sent the transaction distinguishes a bid that met an ask from a bid that was accepted, and who asks.
pub(crate) const DECODER: Decoder = Decoder {
    name: "zora",
    claims: &[
        Claim::of(V1, BID_FINALIZED, 2).with_envelope(),
        Claim::of(V2, AUCTION_ENDED, 4).with_envelope(),
        Claim::of(ASKS, ASK_FILLED, 4).with_envelope(),
        Claim::of(OFFERS, OFFER_FILLED, 4).with_envelope(),
        Claim::of(MODULES, ROYALTY_PAYOUT, 4),
        Claim::of(MODULES, ROYALTY_PAYOUT, 3),
        Claim::of(CORE_ASKS, CORE_ASK_FILLED, 3).with_envelope(),
        Claim::of(PRIVATE_ASKS, PRIVATE_ASK_FILLED, 3).with_envelope(),
        Claim::of(CORE_AUCTIONS, CORE_AUCTION_ENDED, 3).with_envelope(),
        Claim::of(ERC20_AUCTIONS, ERC20_AUCTION_ENDED, 3).with_envelope(),
        Claim::of(V1, orders::BID_CREATED, 2),
        Claim::of(V1, orders::BID_REMOVED, 2),
        Claim::of(V1, orders::V1_ASK_CREATED, 2).with_envelope(),
        Claim::of(V1, orders::V1_ASK_REMOVED, 2),
        Claim::of(V2, orders::V2_AUCTION_CREATED, 4),
        Claim::of(V2, orders::V2_AUCTION_UPDATED, 4).asking(),
        Claim::of(V2, orders::V2_AUCTION_CANCELED, 4),
        Claim::of(ASKS, orders::ASK_CREATED, 3),
        Claim::of(ASKS, orders::ASK_UPDATED, 3),
        Claim::of(ASKS, orders::ASK_CANCELED, 3),
        Claim::of(OFFERS, orders::OFFER_CREATED, 4),
        Claim::of(OFFERS, orders::OFFER_UPDATED, 4),
        Claim::of(OFFERS, orders::OFFER_CANCELED, 4),
        Claim::of(CORE_ASKS, orders::CORE_ASK_CREATED, 3),
        Claim::of(CORE_ASKS, orders::CORE_ASK_UPDATED, 3),
        Claim::of(CORE_ASKS, orders::CORE_ASK_CANCELED, 3),
        Claim::of(PRIVATE_ASKS, orders::PRIVATE_ASK_CREATED, 3),
        Claim::of(PRIVATE_ASKS, orders::PRIVATE_ASK_UPDATED, 3),
        Claim::of(PRIVATE_ASKS, orders::PRIVATE_ASK_CANCELED, 3),
        Claim::of(CORE_AUCTIONS, orders::CORE_AUCTION_CREATED, 3),
        Claim::of(CORE_AUCTIONS, orders::CORE_AUCTION_UPDATED, 3),
        Claim::of(CORE_AUCTIONS, orders::CORE_AUCTION_CANCELED, 3),
        Claim::of(CORE_AUCTIONS, orders::CORE_AUCTION_BID, 3),
        Claim::of(ERC20_AUCTIONS, orders::ERC20_AUCTION_CREATED, 3),
        Claim::of(ERC20_AUCTIONS, orders::ERC20_AUCTION_UPDATED, 3),
        Claim::of(ERC20_AUCTIONS, orders::ERC20_AUCTION_CANCELED, 3),
        Claim::of(ERC20_AUCTIONS, orders::ERC20_AUCTION_BID, 3),
    ],
    decode,
    ..Decoder::NONE
};

fn decode(transaction: &Transaction<'_>, events: &mut Events) {
    let transfers = events.transfer_index(transaction);
    let mut royalties: Vec<Royalty> = Vec::new();
    let mut created = orders::auctions_created();
    let mut last_bid = None;
    for log in transaction.claimed() {
        match log.topic0() {
            Some(&ROYALTY_PAYOUT) => {
                let verdict = Royalty::read(log).map(|(royalty, warning)| {
                    royalties.push(royalty);
                    warning
                });
                events.settle(log, verdict);
            }
            Some(&BID_FINALIZED | &orders::BID_CREATED) => {
                let terms = if log.topic0() == Some(&BID_FINALIZED) {
                    first_version(transaction, log, &transfers, last_bid)
                } else {
                    orders::outcome(transaction, log, &transfers)
                };
                events.emit(log, terms);
                last_bid = Some(log);
            }
            Some(&AUCTION_ENDED) => events.emit(log, second_version(transaction, log)),
            Some(&orders::V2_AUCTION_UPDATED) => {
                let terms = orders::reserve_changed(transaction, log, &mut created, events);
                events.emit(log, terms);
            }
            Some(
                &ASK_FILLED | &OFFER_FILLED | &CORE_ASK_FILLED | &PRIVATE_ASK_FILLED | &CORE_AUCTION_ENDED
                | &ERC20_AUCTION_ENDED,
            ) => {
                events.emit(log, third_version(log, &royalties));
                royalties.clear();
            }
            _ => events.emit(log, orders::outcome(transaction, log, &transfers)),
        }
    }
}

/// A bid on a token of Zora's own contract. What the market paid out shows the creator's shares if it adds up; a bid that took
/// the place of another paid that one back before it was emitted.
fn first_version(
    transaction: &Transaction<'_>,
    log: &Log,
    transfers: &TransferIndex,
    last_bid: Option<&Log>,
) -> Result<(LogOutcome, Option<&'static str>), DecodeError> {
    let mut reader = Reader::new(log);
    let bid = Bid::of(reader.head()?);
    let (bidder, buyer) = (reader.address(bid.bidder), reader.address(bid.recipient));
    if is_auction_house(transaction, bidder) {
        return Ok((LogOutcome::default(), reader.warning()));
    }
    let (media, token) = (media(transaction), reader.topic_uint(1));
    let mut moves = transfers.transfers_of(media, token).map(|(_, movement)| movement);
    let seller = moves.rfind(|movement| movement.log_index < log.log_index && movement.to == buyer);
    let seller = seller.map_or(Address::ZERO, |movement| movement.from);
    let line = LineItem::of(media, token, U256::ONE).between(seller, buyer);
    let side = side_of(transaction, log, last_bid, [bidder, buyer]);
    let mut trade = Trade {
        currency: reader.address(bid.currency),
        ..Trade::of(market("v1"), side, line, uint(bid.amount))
    };
    if transaction.envelope.is_none() {
        trade.flags.push(flag::NO_ENVELOPE);
    }
    if seller.is_zero() {
        trade.flags.push(flag::SELLER_UNKNOWN);
    }
    let since = last_bid.map_or(0, |last| last.log_index);
    let payments = transfers.payments(since..log.log_index).iter();
    let paid: Vec<_> = payments
        .filter(|payment| payment.currency == trade.currency && payment.from == log.address)
        .collect();
    if sum_of(paid.iter().map(|payment| payment.amount)).ok() == trade.price {
        for payment in paid {
            trade.fee(payment.to, payment.amount, FeeKind::Royalty);
        }
    } else {
        trade.flags.push(flag::FEES_UNKNOWN);
    }
    let key = orders::first_bid(log, token, bidder);
    Ok((
        LogOutcome::from(trade).and(filled(market("v1"), log, key)),
        reader.warning(),
    ))
}

/// A bid that meets the ask is emitted and finalized at once: its bidder took a listing. Else the owner accepted it, unless who
/// sent the transaction is the one who bids.
fn side_of(transaction: &Transaction<'_>, log: &Log, last_bid: Option<&Log>, bidding: [Address; 2]) -> Side {
    let is_new = last_bid.is_some_and(|bid| {
        bid.topic0() == Some(&orders::BID_CREATED) && bid.topics.get(1) == log.topics.get(1) && bid.data == log.data
    });
    let is_bidding = transaction.sender().is_some_and(|sender| bidding.contains(&sender));
    if is_new || is_bidding {
        Side::Listing
    } else {
        Side::Offer
    }
}

fn second_version(transaction: &Transaction<'_>, log: &Log) -> Result<(LogOutcome, Option<&'static str>), DecodeError> {
    let mut reader = Reader::new(log);
    let ended = AuctionEnded::of(reader.head()?);
    let (seller, winner) = (reader.address(ended.token_owner), reader.address(ended.winner));
    let (curator, curator_fee) = (reader.address(ended.curator), uint(ended.curator_fee));
    let (contract, token) = (reader.topic_address(3), reader.topic_uint(2));
    let line = LineItem::of(contract, token, U256::ONE).between(seller, winner);
    let mut trade = Trade {
        currency: reader.address(ended.auction_currency),
        ..Trade::of(market("v2"), Side::Auction, line, sum(uint(ended.amount), curator_fee)?)
    };
    trade.fee(curator, curator_fee, FeeKind::Tip);
    if contract == media(transaction) {
        // The amount is what the owner got: the creator's share went before.
        trade.flags.push(flag::FEES_ON_TOP_UNKNOWN);
    }
    let key = orders::numbered(log, reader.topic_uint(1));
    Ok((
        LogOutcome::from(trade).and(filled(market("v2"), log, key)),
        reader.warning(),
    ))
}

/// One `RoyaltyPayout`; the deployed modules index its receiver, the repository's head does not.
struct Royalty {
    module: Address,
    contract: Address,
    token: U256,
    recipient: Address,
    amount: U256,
}

impl Royalty {
    fn read(log: &Log) -> Result<(Self, Option<&'static str>), DecodeError> {
        let mut reader = Reader::new(log);
        let (recipient, amount) = if log.topics.len() == 4 {
            let [amount] = reader.head()?;
            (reader.topic_address(3), amount)
        } else {
            let [recipient, amount] = reader.head()?;
            (reader.address(recipient), amount)
        };
        let royalty = Royalty {
            module: log.address,
            contract: reader.topic_address(1),
            token: reader.topic_uint(2),
            recipient,
            amount: uint(amount),
        };
        Ok((royalty, reader.warning()))
    }
}

/// What a module of v3 emits, whatever its layout.
struct SaleTerms {
    side: Side,
    seller: Address,
    buyer: Address,
    currency: Address,
    price: U256,
    finder: Address,
    /// Of what royalties leave.
    finder_rate: U256,
}

fn third_version(log: &Log, royalties: &[Royalty]) -> Result<(LogOutcome, Option<&'static str>), DecodeError> {
    let mut reader = Reader::new(log);
    let terms = terms(log, &mut reader)?;
    let (contract, token) = (reader.topic_address(1), reader.topic_uint(2));
    let line = LineItem::of(contract, token, U256::ONE).between(terms.seller, terms.buyer);
    let mut trade = Trade {
        currency: terms.currency,
        ..Trade::of(market("v3"), terms.side, line, terms.price)
    };
    // Each module takes royalties out of what it sells; those of another token of the transaction are not this one's.
    let is_meant =
        |royalty: &&Royalty| royalty.module == log.address && royalty.contract == contract && royalty.token == token;
    let mut rest = terms.price;
    for royalty in royalties.iter().filter(is_meant) {
        // The finder's share is taken of what royalties leave.
        rest = rest.saturating_sub(royalty.amount);
        if royalty.recipient != terms.seller {
            trade.fee(royalty.recipient, royalty.amount, FeeKind::Royalty);
        }
    }
    if !terms.finder.is_zero() {
        trade.fee(
            terms.finder,
            share(rest, terms.finder_rate, WHOLE)?,
            FeeKind::Marketplace,
        );
    }
    let key = if terms.side == Side::Offer {
        orders::offered(log, contract, token, reader.topic_uint(3))
    } else {
        orders::listed(log, contract, token)
    };
    Ok((
        LogOutcome::from(trade).and(filled(market("v3"), log, key)),
        reader.warning(),
    ))
}

fn terms(log: &Log, reader: &mut Reader<'_>) -> Result<SaleTerms, DecodeError> {
    let plain = |side, seller, buyer, currency, price: &Word| SaleTerms {
        side,
        seller,
        buyer,
        currency,
        price: uint(price),
        finder: Address::ZERO,
        finder_rate: U256::ZERO,
    };
    let native = Address::ZERO;
    Ok(match log.topic0() {
        Some(&ASK_FILLED) => {
            let ask = AskFilled::of(reader.head()?);
            let (seller, currency) = (reader.address(ask.seller), reader.address(ask.ask_currency));
            SaleTerms {
                finder: reader.address(ask.finder),
                finder_rate: uint(ask.finders_fee_bps),
                ..plain(Side::Listing, seller, reader.topic_address(3), currency, ask.ask_price)
            }
        }
        Some(&OFFER_FILLED) => {
            let offer = OfferFilled::of(reader.head()?);
            let (seller, buyer) = (reader.address(offer.taker), reader.address(offer.maker));
            let currency = reader.address(offer.currency);
            SaleTerms {
                finder: reader.address(offer.finder),
                finder_rate: uint(offer.finders_fee_bps),
                ..plain(Side::Offer, seller, buyer, currency, offer.amount)
            }
        }
        Some(&CORE_ASK_FILLED) => {
            let [buyer, seller, price] = reader.head()?;
            plain(
                Side::Listing,
                reader.address(seller),
                reader.address(buyer),
                native,
                price,
            )
        }
        Some(&PRIVATE_ASK_FILLED) => {
            let [seller, price, buyer] = reader.head()?;
            plain(
                Side::Private,
                reader.address(seller),
                reader.address(buyer),
                native,
                price,
            )
        }
        Some(&CORE_AUCTION_ENDED) => {
            let auction = CoreAuction::of(reader.head()?);
            let (seller, bidder) = (reader.address(auction.seller), reader.address(auction.highest_bidder));
            plain(Side::Auction, seller, bidder, native, auction.highest_bid)
        }
        _ => {
            let auction = Erc20Auction::of(reader.head()?);
            let (seller, bidder) = (reader.address(auction.seller), reader.address(auction.highest_bidder));
            let currency = reader.address(auction.currency);
            plain(Side::Auction, seller, bidder, currency, auction.highest_bid)
        }
    })
}
