//! What people do at Foundation's market: prices, whose tokens it holds meanwhile, and offers, one for each token
//! (contracts `f8n/fnd-protocol`, `NFTMarketBuyPrice` and `NFTMarketOffer`).

use alloy_primitives::{Address, B256, Log, U256, address, b256};

use super::super::events::{log, word};
use super::super::orders::lot::Lot;
use super::super::orders::order_book::{Ask, Bid, Piece};
use super::super::orders::price::Price;
use super::super::roster::{FOUNDATION, Owner};
use super::super::script::{Call, calldata};
use super::super::stage::Stage;
use super::super::trades::{Cause, Market, Order, Reason, Side};
use super::bookkeeping::{end, plain_order, sale};
use super::prices::odd_price;

const MARKET: Address = address!("cda72070e455bb31c7690a170224ce43623d0b6f");
/// Gets the market's part (`getFoundationTreasury()`).
const TREASURY: Address = address!("67df244584b67e8c51b10ad610aaffa9a402fdb6");

const BUY_PRICE_SET: B256 = b256!("fcc77ea8bdcce862f43b7fb00fe6b0eb90d6aeead27d3800d9257cf7a05f9d96");
const BUY_PRICE_CANCELED: B256 = b256!("70c7877531c04c7d9caa8a7eca127384f04e8a6ee58b63f778ce5401d8bcae41");
const BUY_PRICE_INVALIDATED: B256 = b256!("aa6271d89a385571e237d3e7254ccc7c09f68055e6e9b410ed08233a8b9a05cf");
const BUY_PRICE_ACCEPTED: B256 = b256!("d28c0a7dd63bc853a4e36306655da9f8c0b29ff9d0605bb976ae420e46a99930");
const OFFER_MADE: B256 = b256!("00ce0a712e4e277ac7b34942865f0de7a5629dffe0539b70423ad5ff1ed6ab42");
const OFFER_INVALIDATED: B256 = b256!("30c264456cbd17f5f67d7534654161414f34c0e6cc1b7500e169b7a7aea4afc0");
const OFFER_ACCEPTED: B256 = b256!("1cb8adb37d6d35e94cd0695ca39895b84371864713f5ca7eada52af9ff23744b");

/// The market's part of every sale, in basis points.
const PROTOCOL_FEE: u64 = 500;
/// The creator's part of every sale but the first.
const CREATOR_FEE: u64 = 1_000;
/// How long an offer holds: a day, in seconds.
const OFFER_TIME: u64 = 86_400;

/// Somebody sets a price, for a token of theirs or one that they have for sale already.
pub(super) fn set_price(stage: &mut Stage<'_>) -> Option<Call> {
    let changed = drawn(stage).filter(|_| stage.permille() < 250);
    let (piece, seller) = match changed {
        Some((piece, ask)) => (piece, ask.seller),
        None => {
            let lot = Lot::single(stage)?;
            ((lot.contract, lot.serial), lot.holder)
        }
    };
    let price = odd_price(stage);
    // An offer as high as the price would be accepted at once.
    if live_offer(stage, piece).is_some_and(|offer| offer.price >= price) {
        return None;
    }
    let lot = lot(piece, seller);
    if changed.is_none() {
        lot.send_by(stage, FOUNDATION, MARKET);
    }
    let order = Order {
        price,
        escrowed: true,
        ..plain_order(stage, Market::Foundation, Side::Listing, &lot, seller)
    };
    let ask = Ask {
        opened: Some(order.position),
        seller,
        price,
        taker: None,
    };
    if let Some(old) = stage.world.order_book.prices.insert(piece, ask) {
        end(stage, old.opened, Reason::Replaced);
    }
    stage.open(order);
    let event = event_of(stage, BUY_PRICE_SET, piece, Some(seller), &[price]);
    stage.emit(event);
    Some(call(
        stage,
        seller,
        U256::ZERO,
        ("setBuyPrice(address,uint256,uint256)", piece, &[price]),
    ))
}

/// Somebody buys at the price, and loses the offer they had made.
pub(super) fn buy(stage: &mut Stage<'_>) -> Option<Call> {
    let (piece, ask) = drawn(stage)?;
    let lot = lot(piece, ask.seller);
    let buyer = lot.buyer(stage)?;
    if stage
        .world
        .order_book
        .offers
        .get(&piece)
        .is_some_and(|offer| offer.buyer == buyer)
    {
        drop_offer(stage, piece);
    }
    stage.world.order_book.prices.remove(&piece);
    held(lot).send_by(stage, buyer, MARKET);
    end(stage, ask.opened, Reason::Filled);
    let shares = sell(stage, Side::Listing, &lot, buyer, ask.price);
    let words = [&[word(stage.roster.address(buyer))][..], &shares].concat();
    let event = event_of(stage, BUY_PRICE_ACCEPTED, piece, Some(ask.seller), &words);
    stage.emit(event);
    Some(call(
        stage,
        buyer,
        ask.price,
        (
            "buyV2(address,uint256,uint256,address)",
            piece,
            &[ask.price, U256::ZERO],
        ),
    ))
}

/// Somebody takes their token back.
pub(super) fn cancel_price(stage: &mut Stage<'_>) -> Option<Call> {
    let (piece, ask) = drawn(stage)?;
    stage.world.order_book.prices.remove(&piece);
    held(lot(piece, ask.seller)).send_by(stage, ask.seller, MARKET);
    end(stage, ask.opened, Reason::Canceled);
    let event = event_of(stage, BUY_PRICE_CANCELED, piece, None, &[]);
    stage.emit(event);
    Some(call(
        stage,
        ask.seller,
        U256::ZERO,
        ("cancelBuyPrice(address,uint256)", piece, &[]),
    ))
}

/// Somebody makes an offer, a tenth above the one it replaces if that one still holds.
pub(super) fn make_offer(stage: &mut Stage<'_>) -> Option<Call> {
    let (piece, owner) = if stage.permille() < 500 {
        let (piece, ask) = drawn(stage)?;
        (piece, ask.seller)
    } else {
        let lot = Lot::single(stage)?;
        ((lot.contract, lot.serial), lot.holder)
    };
    let lot = lot(piece, owner);
    let buyer = lot.buyer(stage)?;
    let standing = live_offer(stage, piece);
    let price = match standing {
        Some(offer) => offer.price + offer.price / U256::from(10) + U256::ONE,
        None => odd_price(stage) / U256::from(2),
    };
    // An offer as high as the price would buy at once.
    let asked = stage.world.order_book.prices.get(&piece);
    if asked.is_some_and(|ask| ask.price <= price) {
        return None;
    }
    let until = stage.time() + OFFER_TIME / u64::from(1 + stage.below(200)) + 5;
    let order = Order {
        price,
        expires_at: Some(until),
        ..plain_order(stage, Market::Foundation, Side::Offer, &lot, buyer)
    };
    let bid = Bid {
        opened: order.position,
        buyer,
        price,
        until: Some(until),
    };
    if let Some(old) = stage.world.order_book.offers.insert(piece, bid) {
        end(stage, old.opened, Reason::Replaced);
    }
    stage.open(order);
    let event = event_of(stage, OFFER_MADE, piece, Some(buyer), &[price, U256::from(until)]);
    stage.emit(event);
    let words = [price, U256::ZERO];
    Some(call(
        stage,
        buyer,
        price,
        ("makeOfferV2(address,uint256,uint256,address)", piece, &words),
    ))
}

/// Somebody accepts the offer for their token, whether they hold it or have it for sale here.
pub(super) fn accept_offer(stage: &mut Stage<'_>) -> Option<Call> {
    let count = stage.world.order_book.offers.len();
    let place = stage.below(count as u32) as usize;
    let piece = *stage.world.order_book.offers.keys().nth(place)?;
    let offer = live_offer(stage, piece)?;
    let ask = stage.world.order_book.prices.get(&piece).copied();
    let owner = stage.world.collection(piece.0).owner(piece.1)?;
    let seller = ask.map_or(owner, |ask| ask.seller);
    if seller == offer.buyer || !stage.roster.is_person(seller) {
        return None;
    }
    stage.world.order_book.offers.remove(&piece);
    let lot = lot(piece, seller);
    if let Some(ask) = ask {
        stage.world.order_book.prices.remove(&piece);
        end(stage, ask.opened, Reason::Invalidated);
        let event = event_of(stage, BUY_PRICE_INVALIDATED, piece, None, &[]);
        stage.emit(event);
        held(lot).send_by(stage, offer.buyer, MARKET);
    } else {
        lot.send_by(stage, offer.buyer, MARKET);
    }
    end(stage, offer.opened, Reason::Filled);
    let shares = sell(stage, Side::Offer, &lot, offer.buyer, offer.price);
    let words = [&[word(stage.roster.address(seller))][..], &shares].concat();
    let event = event_of(stage, OFFER_ACCEPTED, piece, Some(offer.buyer), &words);
    stage.emit(event);
    let words = [word(stage.roster.address(offer.buyer)), offer.price];
    Some(call(
        stage,
        seller,
        U256::ZERO,
        ("acceptOffer(address,uint256,address,uint256)", piece, &words),
    ))
}

/// Enters a sale; what market, creator and seller get of it. The first sale of a token is its creator's.
fn sell(stage: &mut Stage<'_>, side: Side, lot: &Lot, buyer: Owner, total: U256) -> [U256; 3] {
    let price = Price::plain(Address::ZERO, total).less(TREASURY, PROTOCOL_FEE, Cause::Marketplace);
    let protocol = price.fees[0].amount;
    let first = stage.permille() < 150;
    let (price, shares) = if first {
        let net = price.net;
        (price, [protocol, net, U256::ZERO])
    } else {
        let price = price.less(Address::ZERO, CREATOR_FEE, Cause::Royalty);
        let shares = [protocol, price.fees[1].amount, price.net];
        (price, shares)
    };
    let sale = sale(stage, Market::Foundation, side, lot, buyer).at(&price);
    stage.sell(sale);
    shares
}

/// The offer for a token goes because who made it buys the token.
fn drop_offer(stage: &mut Stage<'_>, piece: Piece) {
    if let Some(offer) = stage.world.order_book.offers.remove(&piece) {
        end(stage, offer.opened, Reason::Invalidated);
        let event = event_of(stage, OFFER_INVALIDATED, piece, None, &[]);
        stage.emit(event);
    }
}

/// The offer for a token, if it still holds.
fn live_offer(stage: &Stage<'_>, piece: Piece) -> Option<Bid> {
    let offer = stage.world.order_book.offers.get(&piece).copied();
    offer.filter(|offer| offer.until.is_none_or(|until| until >= stage.time()))
}

/// Some token that is for sale here.
fn drawn(stage: &mut Stage<'_>) -> Option<(Piece, Ask)> {
    let count = stage.world.order_book.prices.len();
    let place = stage.below(count as u32) as usize;
    let (piece, ask) = stage.world.order_book.prices.iter().nth(place)?;
    Some((*piece, *ask))
}

fn lot((contract, serial): Piece, holder: Owner) -> Lot {
    Lot {
        contract,
        serial,
        quantity: 1,
        holder,
    }
}

/// The lot held by the market.
fn held(lot: Lot) -> Lot {
    Lot {
        holder: FOUNDATION,
        ..lot
    }
}

/// An event about a token, which all of them index, and about a party if they name one first.
fn event_of(stage: &Stage<'_>, event: B256, piece: Piece, party: Option<Owner>, words: &[U256]) -> Log {
    let contract = stage.roster.contract(piece.0);
    let mut topics = vec![event, contract.into_word(), stage.roster.token(piece.0, piece.1).into()];
    topics.extend(party.map(|party| stage.roster.address(party).into_word()));
    log(MARKET, topics, words.iter().copied())
}

/// A call about a token.
fn call(stage: &Stage<'_>, from: Owner, value: U256, (signature, piece, words): (&str, Piece, &[U256])) -> Call {
    let token = [
        word(stage.roster.contract(piece.0)),
        stage.roster.token(piece.0, piece.1),
    ];
    Call {
        from,
        to: MARKET,
        value,
        input: calldata(signature, &[&token[..], words].concat()),
    }
}
