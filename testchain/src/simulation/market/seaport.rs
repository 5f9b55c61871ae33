//! What people do at Seaport 1.5: each act is one transaction, with its logs in the order the contract writes them.

use alloy_primitives::{Address, U256};
use rand::{Rng, RngExt};

use super::super::orders::lot::Lot;
use super::super::orders::order_book::Signed;
use super::super::orders::price::Price;
use super::super::orders::terms::{SEAPORT, counter_incremented, order_cancelled};
use super::super::roster::WETH;
use super::super::roster::{Owner, ROUTER};
use super::super::script::{Call, calldata};
use super::super::stage::Stage;
use super::super::trades::{Cause, Fee, Reason, Side};
use super::prices::{odd_price, unit_price};
use super::settlement::{
    CANCEL, FULFILL_ADVANCED, FULFILL_AVAILABLE, VALIDATE, accept, buy, input, match_bids, match_listing, match_private,
};
use super::signing::{Filling, token};

/// Orders in one sweep, at most.
const SWEPT: usize = 4;
/// Tokens in one bundle, at most.
const BUNDLED: usize = 4;

/// Somebody takes a listing that the chain had not seen.
pub(super) fn take_listing(stage: &mut Stage<'_>) -> Option<Call> {
    let lot = Lot::any(stage)?;
    let buyer = lot.buyer(stage)?;
    let order = list(stage, lot, None);
    let units = units(stage, lot.quantity);
    Some(buy(
        stage,
        &order,
        &Filling {
            taker: buyer,
            recipient: buyer,
            units,
        },
    ))
}

/// Somebody takes an offer that the chain had not seen: for their token, or for any of its collection.
pub(super) fn take_offer(stage: &mut Stage<'_>) -> Option<Call> {
    let lot = Lot::any(stage)?;
    let maker = lot.buyer(stage)?;
    let any = !lot.is_multi(stage) && stage.dice.random_bool(0.4);
    let price = price(stage, &lot, WETH);
    let order = Signed::offer(stage, maker, lot, price, any);
    let units = units(stage, lot.quantity);
    let recipient = if stage.dice.random_bool(0.25) {
        ROUTER
    } else {
        lot.holder
    };
    let filling = Filling {
        taker: lot.holder,
        recipient,
        units,
    };
    Some(accept(stage, &order, &filling))
}

/// Somebody buys several tokens for one price.
pub(super) fn sell_bundle(stage: &mut Stage<'_>) -> Option<Call> {
    let first = Lot::single(stage)?;
    let buyer = first.buyer(stage)?;
    let mut lots = vec![first];
    let others = stage.world.collection(first.contract).tokens_of(first.holder);
    let others = others.into_iter().filter(|serial| *serial != first.serial);
    lots.extend(others.take(BUNDLED - 2).map(|serial| Lot { serial, ..first }));
    let units = Lot::units(stage).filter(|lot| lot.holder == first.holder && lot.suits(stage, buyer));
    lots.extend(units);
    if lots.len() < 2 {
        return None;
    }
    let total = odd_price(stage);
    let price = Price::with_fees(stage, Address::ZERO, first.contract, total);
    let order = Signed::listing(stage, lots, price, None);
    let filling = Filling::whole(&order, buyer);
    Some(buy(stage, &order, &filling))
}

/// A bid and the listing that mirrors it are filled against each other, by the seller or by a stranger.
pub(super) fn match_orders(stage: &mut Stage<'_>) -> Option<Call> {
    let lot = Lot::any(stage)?;
    let buyer = lot.buyer(stage)?;
    if stage.dice.random_bool(0.3) {
        let price = price(stage, &lot, WETH);
        let listing = Signed::listing(stage, vec![lot], price, None);
        return Some(match_listing(stage, &listing, buyer));
    }
    let mut fillings = vec![bid_for(stage, lot, buyer)];
    if !lot.is_multi(stage) && stage.dice.random_bool(0.4) {
        let others = stage.world.collection(lot.contract).tokens_of(lot.holder);
        let other = others.into_iter().find(|serial| *serial != lot.serial);
        if let Some(serial) = other {
            let other = Lot { serial, ..lot };
            let bidder = other.buyer(stage).unwrap_or(buyer);
            fillings.push(bid_for(stage, other, bidder));
        }
    }
    Some(match_bids(stage, &fillings))
}

/// A bid with a fee for the market, while the listing that mirrors it has one for the creators.
fn bid_for(stage: &mut Stage<'_>, lot: Lot, bidder: Owner) -> (Signed, Filling) {
    let price = price(stage, &lot, WETH);
    let (asked, left): (Vec<Fee>, Vec<Fee>) = price.fees.iter().partition(|fee| fee.cause == Cause::Marketplace);
    let left: U256 = left.iter().map(|fee| fee.amount).sum();
    let signed = Price {
        net: price.net + left,
        fees: asked,
        ..price
    };
    let mut bid = Signed::offer(stage, bidder, lot, signed, false);
    bid.price = price;
    let filling = Filling::whole(&bid, lot.holder);
    (bid, filling)
}

/// Somebody buys what was listed for them alone.
pub(super) fn sell_privately(stage: &mut Stage<'_>) -> Option<Call> {
    let lot = Lot::any(stage)?;
    let buyer = lot.buyer(stage)?;
    let order = list(stage, lot, Some(buyer));
    Some(match_private(stage, &order, buyer))
}

/// Several listings are taken at once: through a router that passes on what it gets, or at the market itself.
pub(super) fn sweep(stage: &mut Stage<'_>) -> Option<Call> {
    let first = Lot::any(stage)?;
    let buyer = first.buyer(stage)?;
    let mut lots: Vec<Lot> = vec![first];
    for _ in 1..SWEPT {
        let more = Lot::any(stage).filter(|lot| lot.holder != buyer && lot.suits(stage, buyer));
        let is_new = |lot: &Lot| {
            let same = |other: &Lot| (other.contract, other.serial, other.holder);
            lots.iter().all(|other| same(other) != same(lot))
        };
        lots.extend(more.filter(is_new));
    }
    let recipient = if stage.dice.random_bool(0.6) { ROUTER } else { buyer };
    let mut value = U256::ZERO;
    let mut fillings = Vec::new();
    for lot in lots {
        let price = price(stage, &lot, Address::ZERO);
        let order = Signed::listing(stage, vec![lot], price, None);
        let filling = Filling {
            recipient,
            ..Filling::whole(&order, buyer)
        };
        value += order.price.total();
        // A router may come back to an order it has taken a part of.
        let first = filling.units - filling.units / 2;
        if recipient == ROUTER && first < filling.units && stage.dice.random_bool(0.3) {
            let part = |units| Filling { units, ..filling };
            fillings.push((order.clone(), part(first)));
            fillings.push((order, part(filling.units - first)));
        } else {
            fillings.push((order, filling));
        }
    }
    let to = if recipient == ROUTER {
        sweep_by_router(stage, &fillings, buyer);
        stage.roster.address(ROUTER)
    } else {
        sweep_at_once(stage, &fillings);
        SEAPORT
    };
    Some(Call {
        from: buyer,
        to,
        value,
        input: input(FULFILL_AVAILABLE, &fillings[0].0),
    })
}

/// The router takes one listing after the other and passes on everything in the end.
fn sweep_by_router(stage: &mut Stage<'_>, fillings: &[(Signed, Filling)], buyer: Owner) {
    let mut bought = Vec::new();
    for (order, filling) in fillings {
        bought.extend(order.parts(filling).into_iter().map(|lot| lot.send(stage, ROUTER)));
        order.fulfill(stage, filling);
    }
    let router = stage.roster.address(ROUTER);
    for lot in bought {
        lot.send_by(stage, buyer, router);
    }
}

/// The market logs every order first and then moves the tokens.
fn sweep_at_once(stage: &mut Stage<'_>, fillings: &[(Signed, Filling)]) {
    for (order, filling) in fillings {
        order.fulfill(stage, filling);
    }
    for (order, filling) in fillings {
        for lot in order.parts(filling) {
            lot.send(stage, filling.taker);
        }
    }
}

/// Two people swap tokens, perhaps with money on top: no sale.
pub(super) fn swap(stage: &mut Stage<'_>) -> Option<Call> {
    let [given, wanted] = [Lot::single(stage)?, Lot::single(stage)?];
    let value = if stage.dice.random_bool(0.4) {
        unit_price(stage)
    } else {
        U256::ZERO
    };
    (given.holder != wanted.holder).then(|| exchange(stage, given, wanted.holder, Some(wanted), value))
}

/// Somebody gives a token away by an order that asks for nothing: no sale.
pub(super) fn give(stage: &mut Stage<'_>) -> Option<Call> {
    let lot = Lot::single(stage)?;
    let friend = lot.buyer(stage)?;
    Some(exchange(stage, lot, friend, None, U256::ZERO))
}

/// Fills an order that is no sale.
fn exchange(stage: &mut Stage<'_>, given: Lot, taker: Owner, wanted: Option<Lot>, value: U256) -> Call {
    let offerer = stage.roster.address(given.holder);
    let mut order = Signed::listing(stage, vec![given], Price::plain(Address::ZERO, value), None);
    order.terms.consideration.retain(|item| !item.amount.is_zero());
    let wanted_item = wanted.map(|lot| token(stage, &lot, offerer));
    order.terms.consideration.splice(0..0, wanted_item);
    order.rehash(stage);
    given.send(stage, taker);
    if let Some(wanted) = wanted {
        wanted.send(stage, given.holder);
    }
    order.emit(stage, &Filling::whole(&order, taker));
    Call {
        from: taker,
        to: SEAPORT,
        value,
        input: input(FULFILL_ADVANCED, &order),
    }
}

/// Somebody shows the chain what they have signed.
pub(super) fn validate(stage: &mut Stage<'_>) -> Option<Call> {
    let lot = Lot::any(stage)?;
    let other = lot.buyer(stage)?;
    let order = match stage.permille() {
        0..600 => list(stage, lot, None),
        600..680 => list(stage, lot, Some(other)),
        roll => {
            let any = !lot.is_multi(stage) && roll < 800;
            let price = price(stage, &lot, WETH);
            Signed::offer(stage, other, lot, price, any)
        }
    };
    let call = Call {
        from: order.maker,
        to: SEAPORT,
        value: U256::ZERO,
        input: input(VALIDATE, &order),
    };
    order.validate(stage);
    Some(call)
}

/// Somebody takes an order that the chain has seen, or as much of it as they can.
pub(super) fn take_validated(stage: &mut Stage<'_>) -> Option<Call> {
    let index = drawn(stage)?;
    let order = stage.world.order_book.validated[index].clone();
    if !order.is_current(stage) {
        return None;
    }
    let (filling, lot) = match order.side {
        Side::Listing => (buying(stage, &order)?, order.lots[0]),
        Side::Offer => selling(stage, &order)?,
    };
    let order = Signed {
        lots: vec![lot],
        ..order
    };
    let call = match (order.side, order.taker) {
        (Side::Listing, Some(taker)) => match_private(stage, &order, taker),
        (Side::Listing, None) => buy(stage, &order, &filling),
        (Side::Offer, _) if !order.any && stage.dice.random_bool(0.3) => match_bids(stage, &[(order, filling)]),
        (Side::Offer, _) => accept(stage, &order, &filling),
    };
    let book = &mut stage.world.order_book.validated;
    book[index].left -= filling.units;
    if book[index].left == 0 {
        book.remove(index);
    }
    Some(call)
}

/// Somebody who takes from a listing whose maker still has some of the token.
fn buying(stage: &mut Stage<'_>, order: &Signed) -> Option<Filling> {
    let lot = order.lots[0];
    let taker = match order.taker {
        Some(taker) => taker,
        None => lot.buyer(stage)?,
    };
    let most = order.left.min(lot.held(stage));
    let units = if order.taker.is_some() {
        order.units()
    } else {
        units(stage, most)
    };
    (most > 0 && units <= most).then_some(Filling {
        taker,
        recipient: taker,
        units,
    })
}

/// Somebody who holds what an offer asks for, and the token, which is any where any will do.
fn selling(stage: &mut Stage<'_>, order: &Signed) -> Option<(Filling, Lot)> {
    let wanted = order.lots[0];
    let lot = if order.any {
        Lot::of_collection(stage, wanted.contract)?
    } else if wanted.is_multi(stage) {
        wanted.elsewhere(stage)?
    } else {
        wanted.at_home(stage)?
    };
    let most = order.left.min(lot.held(stage));
    if most == 0 || lot.holder == order.maker || !stage.roster.is_person(lot.holder) {
        return None;
    }
    let filling = Filling {
        taker: lot.holder,
        recipient: lot.holder,
        units: units(stage, most),
    };
    Some((filling, lot))
}

/// Somebody takes back an order, one that the chain has seen or one that it has not.
pub(super) fn cancel(stage: &mut Stage<'_>) -> Option<Call> {
    let seen = drawn(stage).filter(|_| stage.dice.random_bool(0.8));
    let order = match seen {
        Some(index) => stage.world.order_book.validated.remove(index),
        None => {
            let lot = Lot::any(stage)?;
            list(stage, lot, None)
        }
    };
    order.end(stage, Reason::Canceled, None);
    stage.emit(order_cancelled(order.hash, order.terms.offerer));
    Some(Call {
        from: order.maker,
        to: SEAPORT,
        value: U256::ZERO,
        input: input(CANCEL, &order),
    })
}

/// Somebody takes back everything they ever signed.
pub(super) fn raise_counter(stage: &mut Stage<'_>) -> Option<Call> {
    let maker = match drawn(stage) {
        Some(index) => stage.world.order_book.validated[index].maker,
        None => stage.owner(),
    };
    let all = std::mem::take(&mut stage.world.order_book.validated);
    let (ended, left) = all.into_iter().partition(|order: &Signed| order.maker == maker);
    stage.world.order_book.validated = left;
    let ended: Vec<Signed> = ended;
    for order in &ended {
        order.end(stage, Reason::Canceled, None);
    }
    // The step is half of a block hash, which no one can foresee.
    let step = U256::from(stage.dice.next_u64()) << 64 | U256::from(stage.dice.next_u64());
    let counter = stage.world.order_book.counters.entry(maker).or_default();
    *counter += step;
    let log = counter_incremented(*counter, stage.roster.address(maker));
    stage.emit(log);
    Some(Call {
        from: maker,
        to: SEAPORT,
        value: U256::ZERO,
        input: calldata("incrementCounter()", &[]),
    })
}

/// A listing at a price of its own, mostly in native currency.
fn list(stage: &mut Stage<'_>, lot: Lot, taker: Option<Owner>) -> Signed {
    let currency = match stage.permille() {
        0..800 => Address::ZERO,
        800..950 => WETH,
        _ => stage.roster.erc20[0],
    };
    let price = price(stage, &lot, currency);
    let order = Signed::listing(stage, vec![lot], price, taker);
    if lot.quantity == 1 && taker.is_none() && stage.dice.random_bool(0.1) {
        return order.falling(stage);
    }
    order
}

/// What all of a lot costs; each unit the same.
fn price(stage: &mut Stage<'_>, lot: &Lot, currency: Address) -> Price {
    let total = if lot.quantity == 1 && stage.dice.random_bool(0.3) {
        odd_price(stage)
    } else {
        unit_price(stage) * U256::from(lot.quantity)
    };
    Price::with_fees(stage, currency, lot.contract, total)
}

/// All units, or some.
fn units(stage: &mut Stage<'_>, most: u128) -> u128 {
    if most < 2 || stage.dice.random_bool(0.5) {
        return most;
    }
    stage.dice.random_range(1..=most)
}

/// Some order that the chain has seen.
fn drawn(stage: &mut Stage<'_>) -> Option<usize> {
    let count = stage.world.order_book.validated.len();
    (count > 0).then(|| stage.dice.random_range(0..count))
}
