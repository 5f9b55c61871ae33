//! Foundation's market (decoding specification, section 4.10; Foundation's published market ABI).
//!
//! Every sale is paid in native currency and states three shares: the market's, the creator's, the seller's. The market's goes to
//! its treasury, which the code of the market names, less what the buyer's referrer gets, named by a log before the sale.
//! Who gets the creator's is not emitted. A finalized auction names itself only by number; its token is the one that leaves the
//! market for the winner. A winner who lists or sells the token at once leaves it there: then it is what the auction was
//! created for.
//!
//! A token has one price and one offer at a time, and a new one takes the place of the old. The market holds what is listed. A
//! new reserve names its auction by number: what it is about was emitted when it was created, earlier in the block, or
//! else is asked.

use alloy_primitives::{Address, B256, U256, address, b256, hex};

use crate::block::{Call, Log};
use crate::chains;
use crate::decoder::{Claim, Decoder};
use crate::events::Events;
use crate::fact::{FeeKind, Order, OrderKind, Side, flag};
use crate::log_reader::{self, DecodeError, Reader, Tuple, Word, uint};
use crate::trade::orders::{Key, LogOutcome, canceled, filled, invalidated, order, part, until};
use crate::trade::transfer_index::Movement;
use crate::trade::{LineItem, Market, Trade, sum_of};
use crate::transaction::{Latest, Transaction};

const CONTRACTS: &[(u64, Address)] = &[(chains::ETHEREUM, address!("cda72070e455bb31c7690a170224ce43623d0b6f"))];
/// Gets the market's share of every sale: `getFoundationTreasury()` of the market, which no upgrade has changed.
const TREASURY: Address = address!("67df244584b67e8c51b10ad610aaffa9a402fdb6");
const MARKET: Market = Market {
    name: "foundation",
    version: "",
};

/// `BuyPriceAccepted(address,uint256,address,address,uint256,uint256,uint256)`.
const BUY_PRICE_ACCEPTED: B256 = b256!("d28c0a7dd63bc853a4e36306655da9f8c0b29ff9d0605bb976ae420e46a99930");
/// `OfferAccepted(address,uint256,address,address,uint256,uint256,uint256)`.
const OFFER_ACCEPTED: B256 = b256!("1cb8adb37d6d35e94cd0695ca39895b84371864713f5ca7eada52af9ff23744b");
/// `PrivateSaleFinalized(address,uint256,address,address,uint256,uint256,uint256,uint256)`.
const PRIVATE_SALE_FINALIZED: B256 = b256!("6c623fa5e13aaaf28288f807e5b4f9ec6fb7ef812568e00317c552663bea918f");
/// `ReserveAuctionFinalized(uint256,address,address,uint256,uint256,uint256)`.
const RESERVE_AUCTION_FINALIZED: B256 = b256!("2edb0e99c6ac35be6731dab554c1d1fa1b7beb675090dbb09fb14e615aca1c4a");
/// `BuyReferralPaid(address,uint256,address,uint256,uint256)`.
const BUY_REFERRAL_PAID: B256 = b256!("141b92fd9766c80ab120598ea2f6be9802470ec59b5446dd9bf46214ead8d08e");
/// `BuyPriceSet(address,uint256,address,uint256)`.
const BUY_PRICE_SET: B256 = b256!("fcc77ea8bdcce862f43b7fb00fe6b0eb90d6aeead27d3800d9257cf7a05f9d96");
/// `BuyPriceCanceled(address,uint256)`.
const BUY_PRICE_CANCELED: B256 = b256!("70c7877531c04c7d9caa8a7eca127384f04e8a6ee58b63f778ce5401d8bcae41");
/// `BuyPriceInvalidated(address,uint256)`.
const BUY_PRICE_INVALIDATED: B256 = b256!("aa6271d89a385571e237d3e7254ccc7c09f68055e6e9b410ed08233a8b9a05cf");
/// `OfferMade(address,uint256,address,uint256,uint256)`.
const OFFER_MADE: B256 = b256!("00ce0a712e4e277ac7b34942865f0de7a5629dffe0539b70423ad5ff1ed6ab42");
/// `OfferInvalidated(address,uint256)`.
const OFFER_INVALIDATED: B256 = b256!("30c264456cbd17f5f67d7534654161414f34c0e6cc1b7500e169b7a7aea4afc0");
/// `OfferCanceledByAdmin(address,uint256,string)`.
const OFFER_CANCELED_BY_ADMIN: B256 = b256!("d3802baab3d80ff411a2f83c8394d07877339ff8352f7c1b02fbcd70ea7cac8c");
/// `ReserveAuctionCreated(address,address,uint256,uint256,uint256,uint256,uint256)`.
const AUCTION_CREATED: B256 = b256!("1062dd3b35f12b4064331244d00f40c1d4831965e4285654157a2409c6217cff");
/// `ReserveAuctionUpdated(uint256,uint256)`.
const AUCTION_UPDATED: B256 = b256!("0c0f2662914f0cd1e952db2aa425901cb00e7c1f507687d22cb04e836d55d9c7");
/// `ReserveAuctionCanceled(uint256)`.
const AUCTION_CANCELED: B256 = b256!("14b9c40404d5b41deb481f9a40b8aeb2bf4b47679b38cf757075a66ed510f7f1");
/// `ReserveAuctionCanceledByAdmin(uint256,string)`.
const AUCTION_CANCELED_BY_ADMIN: B256 = b256!("1d56d378404d81e3fc5f3dfbf88359b8cb2ecafa73b3270c478bf7b2bdd14469");
/// `ReserveAuctionInvalidated(uint256)`.
const AUCTION_INVALIDATED: B256 = b256!("5603897cc9b1e866f3f7395ffc6638776041f21c094d0b4e748ff44c407fa362");

/// `getReserveAuction(uint256)`: contract, token, seller, two durations, end, bidder, amount.
const GET_RESERVE_AUCTION: [u8; 4] = hex!("9e79b41f");

/// The market on Ethereum.
pub(crate) const DECODER: Decoder = Decoder {
    name: "foundation",
    claims: &[
        Claim::of(CONTRACTS, BUY_PRICE_ACCEPTED, 4).with_envelope(),
        Claim::of(CONTRACTS, OFFER_ACCEPTED, 4).with_envelope(),
        Claim::of(CONTRACTS, PRIVATE_SALE_FINALIZED, 4).with_envelope(),
        Claim::of(CONTRACTS, RESERVE_AUCTION_FINALIZED, 4)
            .asking()
            .with_envelope(),
        Claim::of(CONTRACTS, BUY_REFERRAL_PAID, 3),
        Claim::of(CONTRACTS, BUY_PRICE_SET, 4),
        Claim::of(CONTRACTS, BUY_PRICE_CANCELED, 3),
        Claim::of(CONTRACTS, BUY_PRICE_INVALIDATED, 3),
        Claim::of(CONTRACTS, OFFER_MADE, 4),
        Claim::of(CONTRACTS, OFFER_INVALIDATED, 3),
        Claim::of(CONTRACTS, OFFER_CANCELED_BY_ADMIN, 3),
        Claim::of(CONTRACTS, AUCTION_CREATED, 4),
        Claim::of(CONTRACTS, AUCTION_UPDATED, 2).asking(),
        Claim::of(CONTRACTS, AUCTION_CANCELED, 2),
        Claim::of(CONTRACTS, AUCTION_CANCELED_BY_ADMIN, 2),
        Claim::of(CONTRACTS, AUCTION_INVALIDATED, 2),
    ],
    decode,
    ..Decoder::NONE
};

fn decode(transaction: &Transaction<'_>, events: &mut Events) {
    let transfers = events.transfer_index(transaction);
    let mut created = Latest::new(Auction::number_of);
    let mut referral = None;
    // What moved before an earlier sale of the transaction belongs to that sale.
    let mut since = 0;
    for log in transaction.claimed() {
        let decoded = match log.topic0() {
            // The referral is emitted before its sale and divides the market's share.
            Some(&BUY_REFERRAL_PAID) => {
                let verdict = Referral::read(log).map(|(paid, warning)| {
                    referral = Some(paid);
                    warning
                });
                events.settle(log, verdict);
                continue;
            }
            Some(&BUY_PRICE_ACCEPTED | &OFFER_ACCEPTED | &PRIVATE_SALE_FINALIZED) => sale(log),
            Some(&RESERVE_AUCTION_FINALIZED) => {
                let moved = transfers.movements(since..log.log_index);
                finalized(transaction, log, moved, &mut created, events)
            }
            Some(&BUY_PRICE_SET | &OFFER_MADE | &AUCTION_CREATED) => opened(log),
            Some(&AUCTION_UPDATED) => reserve_changed(transaction, log, &mut created, events),
            _ => ended(log),
        };
        let decoded = decoded.map(|(mut outcome, warning)| {
            for trade in &mut outcome.trades {
                share_out(trade, referral.take());
                since = log.log_index + 1;
            }
            (outcome, warning)
        });
        events.emit(log, decoded);
    }
}

/// The price of a token.
fn price_of(log: &Log, contract: Address, token: U256) -> Key {
    Key::natural(log, OrderKind::Listing, &[contract.into_word(), part(token)])
}

/// The offer for a token.
fn offer_for(log: &Log, contract: Address, token: U256) -> Key {
    Key::natural(log, OrderKind::Offer, &[contract.into_word(), part(token)])
}

/// The auction with a number.
fn auction(log: &Log, number: U256) -> Key {
    Key::natural(log, OrderKind::Listing, &[part(number)])
}

fn opened(log: &Log) -> Result<(LogOutcome, Option<&'static str>), DecodeError> {
    let mut reader = Reader::new(log);
    if log.topic0() == Some(&AUCTION_CREATED) {
        let [_duration, _extension, reserve, number] = reader.head()?;
        let auction = Auction::created(&mut reader, uint(number));
        return Ok((auction.order(log, uint(reserve)).into(), reader.warning()));
    }
    let (contract, token, maker) = (reader.topic_address(1), reader.topic_uint(2), reader.topic_address(3));
    let line = LineItem::of(contract, token, U256::ONE);
    let opened = if log.topic0() == Some(&OFFER_MADE) {
        let [amount, expiration] = reader.head()?;
        let key = offer_for(log, contract, token);
        Order {
            price: Some(uint(amount)),
            expires_at: until(uint(expiration)),
            ..order(MARKET, log, OrderKind::Offer, key, maker, line)
        }
    } else {
        let [price] = reader.head()?;
        let key = price_of(log, contract, token);
        Order {
            price: Some(uint(price)),
            escrowed: true,
            ..order(MARKET, log, OrderKind::Listing, key, maker, line)
        }
    };
    Ok((opened.into(), reader.warning()))
}

/// What an auction is about.
struct Auction {
    number: U256,
    seller: Address,
    contract: Address,
    token: U256,
}

impl Auction {
    /// The auction that the log under `reader` creates.
    fn created(reader: &mut Reader<'_>, number: U256) -> Self {
        Auction {
            number,
            seller: reader.topic_address(1),
            contract: reader.topic_address(2),
            token: reader.topic_uint(3),
        }
    }

    /// The number of the auction that `log` creates, if it creates one.
    fn number_of(log: &Log) -> Option<B256> {
        let is_created = log.topic0() == Some(&AUCTION_CREATED) && log.topics.len() == 4;
        let [_, _, _, number] = Reader::new(log).head().ok().filter(|_| is_created)?;
        Some(B256::from(*number))
    }

    fn line(&self) -> LineItem {
        LineItem::of(self.contract, self.token, U256::ONE)
    }

    fn order(&self, log: &Log, reserve: U256) -> Order {
        let key = auction(log, self.number);
        Order {
            price: Some(reserve),
            escrowed: true,
            auction: true,
            ..order(MARKET, log, OrderKind::Listing, key, self.seller, self.line())
        }
    }
}

/// The auction with this number: as a log of the block before `log` created it, else as the market knew it after the block
/// before; none if the market knows of no such auction.
fn auction_of<'a>(
    transaction: &Transaction<'a>,
    log: &Log,
    number: U256,
    created: &mut Latest<'a>,
    events: &mut Events,
) -> Result<Option<Auction>, DecodeError> {
    if let Some(creation) = created.before(transaction, log, &part(number)) {
        let mut reader = Reader::new(creation);
        return Ok(Some(Auction::created(&mut reader, number)));
    }
    let call = Call::of(log.address, GET_RESERVE_AUCTION, &[part(number)]).before_block(log.block_number);
    let answer = events.ask::<8>(transaction, call)?;
    let known = answer.map(|[contract, token, seller, ..]| Auction {
        number,
        seller: log_reader::address(seller),
        contract: log_reader::address(contract),
        token: uint(token),
    });
    Ok(known.filter(|auction| !auction.seller.is_zero()))
}

/// The auction with its new reserve.
fn reserve_changed<'a>(
    transaction: &Transaction<'a>,
    log: &Log,
    created: &mut Latest<'a>,
    events: &mut Events,
) -> Result<(LogOutcome, Option<&'static str>), DecodeError> {
    let mut reader = Reader::new(log);
    let [reserve] = reader.head()?;
    let auction = auction_of(transaction, log, reader.topic_uint(1), created, events)?;
    let changed = auction.map(|auction| auction.order(log, uint(reserve)));
    Ok((changed.into(), reader.warning()))
}

fn ended(log: &Log) -> Result<(LogOutcome, Option<&'static str>), DecodeError> {
    let mut reader = Reader::new(log);
    if matches!(
        log.topic0(),
        Some(&OFFER_CANCELED_BY_ADMIN | &AUCTION_CANCELED_BY_ADMIN)
    ) {
        let [reason_at] = reader.words(Tuple::ROOT)?;
        reader.bytes(Tuple::ROOT, reason_at)?;
    }
    let closing = match log.topic0() {
        Some(&AUCTION_CANCELED) => canceled(MARKET, log, auction(log, reader.topic_uint(1))),
        Some(&AUCTION_CANCELED_BY_ADMIN | &AUCTION_INVALIDATED) => {
            invalidated(MARKET, log, auction(log, reader.topic_uint(1)))
        }
        named => {
            let (contract, token) = (reader.topic_address(1), reader.topic_uint(2));
            match named {
                Some(&BUY_PRICE_CANCELED) => canceled(MARKET, log, price_of(log, contract, token)),
                Some(&BUY_PRICE_INVALIDATED) => invalidated(MARKET, log, price_of(log, contract, token)),
                _ => invalidated(MARKET, log, offer_for(log, contract, token)),
            }
        }
    };
    Ok((closing.into(), reader.warning()))
}

fn sale(log: &Log) -> Result<(LogOutcome, Option<&'static str>), DecodeError> {
    let mut reader = Reader::new(log);
    let (other, shares) = if log.topic0() == Some(&PRIVATE_SALE_FINALIZED) {
        let [other, shares @ .., _deadline] = reader.head::<5>()?;
        (other, shares)
    } else {
        let [other, shares @ ..] = reader.head::<4>()?;
        (other, shares)
    };
    let (named, other) = (reader.topic_address(3), reader.address(other));
    let (side, seller, buyer) = match log.topic0() {
        Some(&OFFER_ACCEPTED) => (Side::Offer, other, named),
        Some(&PRIVATE_SALE_FINALIZED) => (Side::Private, named, other),
        _ => (Side::Listing, named, other),
    };
    let (contract, token) = (reader.topic_address(1), reader.topic_uint(2));
    let line = LineItem::of(contract, token, U256::ONE).between(seller, buyer);
    let trade = LogOutcome::from(shared(side, line, shares)?);
    let outcome = match side {
        Side::Offer => trade.and(filled(MARKET, log, offer_for(log, contract, token))),
        Side::Listing => trade.and(filled(MARKET, log, price_of(log, contract, token))),
        _ => trade,
    };
    Ok((outcome, reader.warning()))
}

/// An auction that ended with a sale; `moved` is what moved since the sale before.
fn finalized<'a>(
    transaction: &Transaction<'a>,
    log: &Log,
    moved: &[Movement],
    created: &mut Latest<'a>,
    events: &mut Events,
) -> Result<(LogOutcome, Option<&'static str>), DecodeError> {
    let mut reader = Reader::new(log);
    let shares = reader.head::<3>()?;
    let (number, seller, winner) = (reader.topic_uint(1), reader.topic_address(2), reader.topic_address(3));
    let mut deliveries = moved.iter().rev();
    // The log has the auction's number alone; the token is the one that leaves for the winner.
    let delivered = deliveries.find(|moved| moved.to == winner && (moved.from == log.address || moved.from == seller));
    let line = match delivered {
        Some(moved) => LineItem::of(moved.contract, moved.token, moved.quantity),
        // Without an answer the sale stands, of a token that is not named.
        None => match auction_of(transaction, log, number, created, events).ok().flatten() {
            Some(auction) => auction.line(),
            None => LineItem {
                token: None,
                ..LineItem::of(Address::ZERO, U256::ZERO, U256::ONE)
            },
        },
    };
    let trade = shared(Side::Auction, line.between(seller, winner), shares)?;
    let closing = filled(MARKET, log, auction(log, number));
    Ok((LogOutcome::from(trade).and(closing), reader.warning()))
}

/// The trade of a line for what market, creator and seller got. Where the seller got nothing, the seller is the creator.
fn shared(side: Side, line: LineItem, shares: &[Word; 3]) -> Result<Trade, DecodeError> {
    let [market, creator, seller] = [&shares[0], &shares[1], &shares[2]].map(uint);
    let mut trade = Trade::of(MARKET, side, line, sum_of([market, creator, seller])?);
    trade.fee(TREASURY, market, FeeKind::Marketplace);
    if !seller.is_zero() {
        trade.fee(Address::ZERO, creator, FeeKind::Royalty);
    } else if !creator.is_zero() {
        trade.flags.push(flag::PRIMARY);
    }
    if line.token.is_none() {
        trade.flags.push(flag::TOKEN_UNKNOWN);
    }
    Ok(trade)
}

/// What the market paid out of its share to the one that referred the buyer of a token.
struct Referral {
    contract: Address,
    token: U256,
    referrer: Address,
    amount: U256,
}

impl Referral {
    fn read(log: &Log) -> Result<(Self, Option<&'static str>), DecodeError> {
        let mut reader = Reader::new(log);
        let [referrer, amount, _of_seller] = reader.head()?;
        let referral = Referral {
            contract: reader.topic_address(1),
            token: reader.topic_uint(2),
            referrer: reader.address(referrer),
            amount: uint(amount),
        };
        Ok((referral, reader.warning()))
    }
}

/// Takes the payment for a referral out of the market's share.
fn share_out(trade: &mut Trade, referral: Option<Referral>) {
    let line = trade.lines[0];
    let Some(paid) = referral.filter(|paid| (paid.contract, Some(paid.token)) == (line.contract, line.token)) else {
        return;
    };
    let mut fees = trade.fees.iter_mut();
    let market = fees.find(|fee| fee.kind == FeeKind::Marketplace && fee.amount >= paid.amount);
    if let Some(market) = market {
        market.amount -= paid.amount;
        trade.fee(paid.referrer, paid.amount, FeeKind::Marketplace);
    }
}
