//! How Seaport 1.5 fills orders: what moves, which payments go where, and which log stands where.

use alloy_primitives::{Address, B256, Bytes, U256};
use rand::RngExt;

use super::super::events::Parties;
use super::super::orders::order_book::Signed;
use super::super::orders::price::Price;
use super::super::orders::terms::{Item, SEAPORT, orders_matched};
use super::super::roster::{Owner, ROUTER};
use super::super::script::Call;
use super::super::stage::Stage;
use super::lots::pay;
use super::signing::Filling;

/// `fulfillBasicOrder_efficient_6GL6yc`.
const FULFILL_BASIC: [u8; 4] = [0x00, 0x00, 0x00, 0x00];
/// `fulfillAdvancedOrder`.
pub(super) const FULFILL_ADVANCED: [u8; 4] = [0xe7, 0xac, 0xab, 0x24];
/// `fulfillAvailableAdvancedOrders`.
pub(super) const FULFILL_AVAILABLE: [u8; 4] = [0x87, 0x20, 0x1b, 0x41];
/// `matchAdvancedOrders`.
const MATCH_ADVANCED: [u8; 4] = [0xf2, 0xd1, 0x2b, 0x12];
/// `validate`.
pub(super) const VALIDATE: [u8; 4] = [0x88, 0x14, 0x77, 0x32];
/// `cancel`.
pub(super) const CANCEL: [u8; 4] = [0xfd, 0x9f, 0x1e, 0x10];

/// A listing is taken as such: a basic order is logged before the token moves, any other one after.
pub(super) fn buy(stage: &mut Stage<'_>, order: &Signed, filling: &Filling) -> Call {
    let cost = order.cost(stage, filling);
    let parts = order.parts(filling);
    let basic = parts.len() == 1 && filling.units == order.units() && stage.dice.random_bool(0.5);
    if basic {
        order.fulfill(stage, filling);
    }
    for lot in parts {
        lot.send(stage, filling.taker);
    }
    settle(stage, &cost, [filling.taker, order.maker]);
    if !basic {
        order.fulfill(stage, filling);
    }
    let value = if cost.currency.is_zero() {
        cost.total()
    } else {
        U256::ZERO
    };
    Call {
        from: filling.taker,
        to: SEAPORT,
        value,
        input: input(if basic { FULFILL_BASIC } else { FULFILL_ADVANCED }, order),
    }
}

/// An offer is accepted as such, by who holds the token or by a router that they sent it to.
pub(super) fn accept(stage: &mut Stage<'_>, order: &Signed, filling: &Filling) -> Call {
    let cost = order.cost(stage, filling);
    let seller = filling.taker;
    let mut lot = order.parts(filling)[0];
    if filling.recipient == ROUTER {
        lot = lot.send_by(stage, ROUTER, stage.roster.address(seller));
    }
    let basic = !order.any && filling.units == order.units() && stage.dice.random_bool(0.5);
    if basic {
        order.fulfill(stage, filling);
        lot.send(stage, order.maker);
        settle(stage, &cost, [order.maker, lot.holder]);
    } else {
        // Everything offered goes to the seller, who then sends on the fees.
        transfer(stage, &cost, [order.maker, lot.holder], cost.total());
        lot.send(stage, order.maker);
        let from = stage.roster.address(lot.holder);
        for fee in &cost.fees {
            let to = fee.recipient;
            pay(stage, cost.currency, Parties { from, to }, fee.amount);
        }
        order.fulfill(stage, filling);
    }
    let to = if filling.recipient == ROUTER {
        transfer(stage, &cost, [ROUTER, seller], cost.net);
        stage.roster.address(ROUTER)
    } else {
        SEAPORT
    };
    Call {
        from: seller,
        to,
        value: U256::ZERO,
        input: input(if basic { FULFILL_BASIC } else { FULFILL_ADVANCED }, order),
    }
}

/// Bids are matched with what one seller signs against them, who need not be the one who calls.
pub(super) fn match_bids(stage: &mut Stage<'_>, fillings: &[(Signed, Filling)]) -> Call {
    let seller = fillings[0].1.taker;
    let stranger = Some(stage.owner()).filter(|owner| {
        let is_party = |(bid, _): &(Signed, Filling)| bid.maker == *owner;
        *owner != seller && !fillings.iter().any(is_party)
    });
    let caller = stranger.filter(|_| stage.permille() < 250).unwrap_or(seller);
    let mut hashes: Vec<B256> = Vec::new();
    let mut moves = Vec::new();
    for (bid, filling) in fillings {
        let filling = Filling {
            recipient: caller,
            ..*filling
        };
        let (cost, lot) = (bid.cost(stage, &filling), bid.parts(&filling)[0]);
        let in_bid = |recipient: Address| bid.terms.consideration.iter().any(|item| item.recipient == recipient);
        let mut asked = cost.clone();
        asked.fees.retain(|fee| !in_bid(fee.recipient));
        let mirror = Signed::listing(stage, vec![lot], asked, None);
        bid.fulfill(stage, &filling);
        let mirrored = Filling {
            recipient: caller,
            ..Filling::whole(&mirror, bid.maker)
        };
        mirror.emit(stage, &mirrored);
        hashes.extend([bid.hash, mirror.hash]);
        moves.push((lot, bid.maker, cost));
    }
    stage.emit(orders_matched(&hashes));
    for (lot, buyer, cost) in moves {
        lot.send(stage, buyer);
        settle(stage, &cost, [buyer, seller]);
    }
    Call {
        from: caller,
        to: SEAPORT,
        value: U256::ZERO,
        input: input(MATCH_ADVANCED, &fillings[0].0),
    }
}

/// A listing is matched with the bid that its buyer signs against it and calls with.
pub(super) fn match_listing(stage: &mut Stage<'_>, listing: &Signed, buyer: Owner) -> Call {
    let filling = Filling::whole(listing, buyer);
    let (cost, lot) = (listing.cost(stage, &filling), listing.lots[0]);
    let mirror = Signed::offer(stage, buyer, lot, Price::plain(cost.currency, cost.total()), false);
    listing.fulfill(stage, &filling);
    mirror.emit(
        stage,
        &Filling {
            recipient: buyer,
            ..Filling::whole(&mirror, listing.maker)
        },
    );
    stage.emit(orders_matched(&[listing.hash, mirror.hash]));
    lot.send(stage, buyer);
    settle(stage, &cost, [buyer, listing.maker]);
    Call {
        from: buyer,
        to: SEAPORT,
        value: U256::ZERO,
        input: input(MATCH_ADVANCED, listing),
    }
}

/// A private listing names its buyer itself, who matches it with an order that gives money and asks for nothing.
pub(super) fn match_private(stage: &mut Stage<'_>, order: &Signed, buyer: Owner) -> Call {
    let filling = Filling::whole(order, buyer);
    let (cost, lot) = (order.cost(stage, &filling), order.lots[0]);
    let mut payment = Signed::offer(stage, buyer, lot, Price::plain(cost.currency, cost.total()), false);
    payment.terms.offer = vec![Item::payment(cost.currency, cost.total(), Address::ZERO)];
    payment.terms.consideration.clear();
    payment.rehash(stage);
    order.fulfill(stage, &filling);
    payment.emit(stage, &Filling::whole(&payment, buyer));
    stage.emit(orders_matched(&[order.hash, payment.hash]));
    lot.send(stage, buyer);
    settle(stage, &cost, [buyer, order.maker]);
    Call {
        from: buyer,
        to: SEAPORT,
        value: if cost.currency.is_zero() {
            cost.total()
        } else {
            U256::ZERO
        },
        input: input(MATCH_ADVANCED, order),
    }
}

/// Sends everybody their share of the buyer's money, fees first.
fn settle(stage: &mut Stage<'_>, cost: &Price, [buyer, seller]: [Owner; 2]) {
    let from = stage.roster.address(buyer);
    for fee in &cost.fees {
        let to = fee.recipient;
        pay(stage, cost.currency, Parties { from, to }, fee.amount);
    }
    transfer(stage, cost, [buyer, seller], cost.net);
}

/// A payment between two accounts in the currency of a price.
fn transfer(stage: &mut Stage<'_>, cost: &Price, accounts: [Owner; 2], amount: U256) {
    let [from, to] = accounts.map(|owner| stage.roster.address(owner));
    pay(stage, cost.currency, Parties { from, to }, amount);
}

/// A call about an order, which stands for its arguments by its hash.
pub(super) fn input(selector: [u8; 4], order: &Signed) -> Bytes {
    [&selector[..], order.hash.as_slice()].concat().into()
}
