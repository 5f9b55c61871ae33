//! What people do with CryptoPunks, whose contract is their market too, with the faults of its source: an accepted bid names
//! neither buyer nor price, and bids and offers end without a word (contract `CryptoPunksMarket`).

use alloy_primitives::{Address, B256, U256, b256};

use super::super::events::{self, Parties, log};
use super::super::orders::lot::Lot;
use super::super::orders::order_book::{Ask, Bid};
use super::super::orders::price::Price;
use super::super::roster::{CRYPTOPUNKS, Owner, Serial};
use super::super::script::Move;
use super::super::script::{Call, calldata};
use super::super::stage::Stage;
use super::super::trades::{Market, Order, Reason, Sale, Side};
use super::super::transfers::Layout;
use super::bookkeeping::{end, plain_order, sale};
use super::prices::odd_price;

const PUNK_OFFERED: B256 = b256!("3c7b682d5da98001a9b8cbda6c647d2c63d698a4184fd1d55e2ce7b66f5d21eb");
const PUNK_BID_ENTERED: B256 = b256!("5b859394fabae0c1ba88baffe67e751ab5248d2e879028b8c8d6897b0519f56a");
const PUNK_BID_WITHDRAWN: B256 = b256!("6f30e1ee4d81dcc7a8a478577f65d2ed2edb120565960ac45fe7c50551c87932");

/// Somebody offers their punk, to anybody or to one only, who may get it for nothing; or takes the offer back.
pub(super) fn offer(stage: &mut Stage<'_>) -> Option<Call> {
    let lot = owned(stage)?;
    let punk = U256::from(lot.serial);
    if stage.world.order_book.punk_offers.contains_key(&lot.serial) && stage.permille() < 400 {
        withdraw_offer(stage, lot.serial);
        return Some(call(lot.holder, U256::ZERO, ("punkNoLongerForSale(uint256)", &[punk])));
    }
    let taker = lot.buyer(stage).filter(|_| stage.permille() < 250);
    let price = match taker {
        Some(_) if stage.permille() < 300 => U256::ZERO,
        _ => odd_price(stage) * U256::from(1_000),
    };
    let to = taker.map(|taker| stage.roster.address(taker));
    let order = Order {
        price,
        taker: to,
        ..plain_order(stage, Market::CryptoPunks, Side::Listing, &lot, lot.holder)
    };
    // For nothing to one taker is how punks are given away and wrapped.
    let is_gift = price.is_zero();
    let ask = Ask {
        opened: (!is_gift).then_some(order.position),
        seller: lot.holder,
        price,
        taker,
    };
    if let Some(old) = stage.world.order_book.punk_offers.insert(lot.serial, ask) {
        end(stage, old.opened, Reason::Replaced);
    }
    if !is_gift {
        stage.open(order);
    }
    let to = to.unwrap_or_default();
    stage.emit(log(CRYPTOPUNKS, [PUNK_OFFERED, punk.into(), to.into_word()], [price]));
    Some(if to.is_zero() {
        call(
            lot.holder,
            U256::ZERO,
            ("offerPunkForSale(uint256,uint256)", &[punk, price]),
        )
    } else {
        let words = [punk, price, events::word(to)];
        call(
            lot.holder,
            U256::ZERO,
            ("offerPunkForSaleToAddress(uint256,uint256,address)", &words),
        )
    })
}

/// Somebody buys a punk that is offered; a bid of their own on it is refunded without a word.
pub(super) fn buy(stage: &mut Stage<'_>) -> Option<Call> {
    let count = stage.world.order_book.punk_offers.len();
    let place = stage.below(count as u32) as usize;
    let (&serial, &ask) = stage.world.order_book.punk_offers.iter().nth(place)?;
    let lot = lot(stage, serial, ask.seller)?;
    let buyer = match ask.taker {
        Some(taker) => taker,
        None => lot.buyer(stage)?,
    };
    let (punk, part) = (U256::from(serial), moved(&lot, buyer));
    let parties = stage.parties(&part);
    stage.emit(events::erc20_transfer(CRYPTOPUNKS, parties, U256::ONE));
    stage.world.order_book.punk_offers.remove(&serial);
    end(stage, ask.opened, Reason::Filled);
    stage.emit(events::punk_no_longer_for_sale(CRYPTOPUNKS, punk));
    // For nothing is no sale.
    if !ask.price.is_zero() {
        let price = Price::plain(Address::ZERO, ask.price);
        let sale = sale(stage, Market::CryptoPunks, Side::Listing, &lot, buyer).at(&price);
        stage.sell(sale);
    }
    refund(stage, serial, buyer);
    stage.world.hand_over(stage.roster, &part);
    let bought = events::punk_bought(CRYPTOPUNKS, parties, punk, ask.price);
    stage.emit_moves(Layout::PunkBought, bought, &[part]);
    Some(call(buyer, ask.price, ("buyPunk(uint256)", &[punk])))
}

/// Somebody bids more for a punk than was bid before.
pub(super) fn bid(stage: &mut Stage<'_>) -> Option<Call> {
    let lot = owned(stage)?;
    let buyer = lot.buyer(stage)?;
    let least = stage.world.order_book.punk_bids.get(&lot.serial).map(|bid| bid.price);
    let price = least.unwrap_or_default() + odd_price(stage) * U256::from(500);
    let order = Order {
        price,
        ..plain_order(stage, Market::CryptoPunks, Side::Offer, &lot, buyer)
    };
    let bid = Bid {
        opened: order.position,
        buyer,
        price,
        until: None,
    };
    if let Some(old) = stage.world.order_book.punk_bids.insert(lot.serial, bid) {
        end(stage, old.opened, Reason::Replaced);
    }
    stage.open(order);
    let (punk, bidder) = (U256::from(lot.serial), stage.roster.address(buyer));
    stage.write_bid(punk, Some((bidder, price)));
    stage.emit(log(
        CRYPTOPUNKS,
        [PUNK_BID_ENTERED, punk.into(), bidder.into_word()],
        [price],
    ));
    Some(call(buyer, price, ("enterBidForPunk(uint256)", &[punk])))
}

/// A bid is accepted by who owns the punk, or withdrawn by who made it.
pub(super) fn settle_bid(stage: &mut Stage<'_>) -> Option<Call> {
    let count = stage.world.order_book.punk_bids.len();
    let place = stage.below(count as u32) as usize;
    let (&serial, &bid) = stage.world.order_book.punk_bids.iter().nth(place)?;
    let punk = U256::from(serial);
    if stage.permille() < 250 {
        let bidder = stage.roster.address(bid.buyer);
        end_bid(stage, serial, Reason::Canceled);
        stage.emit(log(
            CRYPTOPUNKS,
            [PUNK_BID_WITHDRAWN, punk.into(), bidder.into_word()],
            [bid.price],
        ));
        return Some(call(bid.buyer, U256::ZERO, ("withdrawBidForPunk(uint256)", &[punk])));
    }
    let contract = stage.roster.punks?;
    let holder = stage.world.collection(contract).owner(serial)?;
    let lot = lot(stage, serial, holder)?;
    let part = moved(&lot, bid.buyer);
    let parties = stage.parties(&part);
    stage.emit(events::erc20_transfer(CRYPTOPUNKS, parties, U256::ONE));
    let price = Price::plain(Address::ZERO, bid.price);
    let sale = sale(stage, Market::CryptoPunks, Side::Offer, &lot, bid.buyer).at(&price);
    stage.sell(sale);
    end_bid(stage, serial, Reason::Filled);
    if let Some(ask) = stage.world.order_book.punk_offers.remove(&serial) {
        end(stage, ask.opened, Reason::Invalidated);
    }
    stage.world.hand_over(stage.roster, &part);
    let zero = Parties {
        to: Address::ZERO,
        ..parties
    };
    let bought = events::punk_bought(CRYPTOPUNKS, zero, punk, U256::ZERO);
    stage.emit_moves(Layout::PunkBought, bought, &[part]);
    let least = if stage.permille() < 500 { bid.price } else { U256::ONE };
    Some(call(
        holder,
        U256::ZERO,
        ("acceptBidForPunk(uint256,uint256)", &[punk, least]),
    ))
}

/// Enters the sale of a punk that no one had offered or bid for before, on a chain without markets: for `price` if it was
/// bought, for an unknown price if a bid was accepted.
pub(in crate::simulation) fn sell_unlisted(stage: &mut Stage<'_>, part: &Move, price: Option<U256>) {
    let side = if price.is_some() { Side::Listing } else { Side::Offer };
    let lot = Lot {
        contract: part.contract,
        serial: part.serial,
        quantity: 1,
        holder: part.from,
    };
    let sale = sale(stage, Market::CryptoPunks, side, &lot, part.to);
    stage.sell(Sale { price, ..sale });
}

/// Emits that a punk which changed owners in the world was given away: its offer ends with a word, a bid of the new owner's
/// without one.
pub(in crate::simulation) fn hand_over(stage: &mut Stage<'_>, part: &Move) {
    if stage.world.order_book.punk_offers.contains_key(&part.serial) {
        withdraw_offer(stage, part.serial);
    }
    let parties = stage.parties(part);
    stage.emit(events::erc20_transfer(CRYPTOPUNKS, parties, U256::ONE));
    refund(stage, part.serial, part.to);
    let log = events::punk_transfer(CRYPTOPUNKS, parties, U256::from(part.serial));
    stage.emit_moves(Layout::PunkTransfer, log, &[*part]);
}

/// Ends the offer of a punk, which there is, with the log that states so.
fn withdraw_offer(stage: &mut Stage<'_>, serial: Serial) {
    if let Some(ask) = stage.world.order_book.punk_offers.remove(&serial) {
        end(stage, ask.opened, Reason::Canceled);
    }
    stage.emit(events::punk_no_longer_for_sale(CRYPTOPUNKS, U256::from(serial)));
}

/// Ends the live bid on a punk if it is the new owner's, who needs it no more.
fn refund(stage: &mut Stage<'_>, serial: Serial, owner: Owner) {
    if stage
        .world
        .order_book
        .punk_bids
        .get(&serial)
        .is_some_and(|bid| bid.buyer == owner)
    {
        end_bid(stage, serial, Reason::Invalidated);
    }
}

fn end_bid(stage: &mut Stage<'_>, serial: Serial, reason: Reason) {
    if let Some(bid) = stage.world.order_book.punk_bids.remove(&serial) {
        end(stage, bid.opened, reason);
        stage.write_bid(U256::from(serial), None);
    }
}

/// Some punk held by a person.
fn owned(stage: &mut Stage<'_>) -> Option<Lot> {
    let contract = stage.roster.punks?;
    Lot::of_collection(stage, contract)
}

fn lot(stage: &Stage<'_>, serial: Serial, holder: Owner) -> Option<Lot> {
    Some(Lot {
        contract: stage.roster.punks?,
        serial,
        quantity: 1,
        holder,
    })
}

fn moved(lot: &Lot, to: Owner) -> Move {
    Move {
        contract: lot.contract,
        serial: lot.serial,
        from: lot.holder,
        to,
        quantity: 1,
    }
}

fn call(from: Owner, value: U256, (signature, words): (&str, &[U256])) -> Call {
    Call {
        from,
        to: CRYPTOPUNKS,
        value,
        input: calldata(signature, words),
    }
}
