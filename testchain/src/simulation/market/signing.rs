//! Orders of Seaport: signed by their makers, shown to the chain or not, and filled in whole or in parts.

use alloy_primitives::{Address, B256, U256};
use rand::Rng;

use super::super::orders::lot::Lot;
use super::super::orders::order_book::Signed;
use super::super::orders::price::Price;
use super::super::orders::terms::{Fill, Item, Kind, Terms};
use super::super::roster::{Owner, ROUTER};
use super::super::stage::Stage;
use super::super::trades::{Ending, Market, Order, Reason, Side};
use super::super::transfers::Standard;
use super::bookkeeping::sale;

/// Seconds of a block, or thereabouts: what short orders are measured in.
const SLOT: u64 = 12;

/// One filling of an order.
#[derive(Clone, Copy, Debug)]
pub(super) struct Filling {
    /// The person on the other side.
    pub(super) taker: Owner,
    /// The account that takes, perhaps in the person's name.
    pub(super) recipient: Owner,
    pub(super) units: u128,
}

impl Filling {
    /// The whole of `order`, by `taker` himself.
    pub(super) fn whole(order: &Signed, taker: Owner) -> Self {
        Filling {
            taker,
            recipient: taker,
            units: order.units(),
        }
    }
}

impl Signed {
    /// A listing of `lots`, all of one holder, for anybody or for `taker` alone.
    pub(super) fn listing(stage: &mut Stage<'_>, lots: Vec<Lot>, price: Price, taker: Option<Owner>) -> Self {
        let maker = lots[0].holder;
        let offerer = stage.roster.address(maker);
        let offer = lots.iter().map(|lot| token(stage, lot, offerer)).collect();
        let mut consideration = vec![Item::payment(price.currency, price.net, offerer)];
        consideration.extend(fees(&price));
        if let Some(taker) = taker {
            let buyer = stage.roster.address(taker);
            consideration.extend(lots.iter().map(|lot| token(stage, lot, buyer)));
        }
        let terms = terms(stage, offerer, [offer, consideration], &lots);
        Signed {
            taker,
            ..Signed::new(stage, maker, (Side::Listing, lots), price, terms)
        }
    }

    /// An offer of `maker`'s for `lot`, or for any token of its contract.
    pub(super) fn offer(stage: &mut Stage<'_>, maker: Owner, lot: Lot, price: Price, any: bool) -> Self {
        let offerer = stage.roster.address(maker);
        let offer = vec![Item::payment(price.currency, price.total(), Address::ZERO)];
        let mut wanted = token(stage, &lot, offerer);
        if any {
            wanted.kind = Kind::AnyErc721;
            wanted.token = U256::ZERO;
        }
        let mut consideration = vec![wanted];
        consideration.extend(fees(&price));
        let terms = terms(stage, offerer, [offer, consideration], &[lot]);
        Signed {
            any,
            ..Signed::new(stage, maker, (Side::Offer, vec![lot]), price, terms)
        }
    }

    fn new(stage: &mut Stage<'_>, maker: Owner, (side, lots): (Side, Vec<Lot>), price: Price, terms: Terms) -> Self {
        let mut order = Signed {
            maker,
            side,
            left: lots[0].quantity,
            lots,
            any: false,
            price,
            falls: false,
            taker: None,
            terms,
            hash: B256::ZERO,
            opened: None,
        };
        order.rehash(stage);
        order
    }

    /// Signs again what was changed.
    pub(super) fn rehash(&mut self, stage: &mut Stage<'_>) {
        let counters = &stage.world.order_book.counters;
        self.hash = self.terms.hash(counters.get(&self.maker).copied().unwrap_or_default());
    }

    /// Units of the whole order; one for a bundle.
    pub(super) fn units(&self) -> u128 {
        if self.lots.len() > 1 { 1 } else { self.lots[0].quantity }
    }

    /// The same, signed again with a price that falls to its half until the order ends.
    pub(super) fn falling(mut self, stage: &mut Stage<'_>) -> Self {
        for item in &mut self.terms.consideration {
            item.at_last = item.amount / U256::from(2);
        }
        self.falls = true;
        self.rehash(stage);
        self
    }

    /// What a filling costs now.
    pub(super) fn cost(&self, stage: &Stage<'_>, filling: &Filling) -> Price {
        let mut cost = self.price.scaled(filling.units, self.units());
        if self.falls {
            let now = |amount: U256| self.terms.fallen(amount, amount / U256::from(2), stage.time());
            cost.net = now(cost.net);
            cost.fees.iter_mut().for_each(|fee| fee.amount = now(fee.amount));
        }
        cost
    }

    /// What changes owners in a filling, held by who gives it.
    pub(super) fn parts(&self, filling: &Filling) -> Vec<Lot> {
        let holder = match self.side {
            Side::Listing => self.maker,
            Side::Offer => filling.taker,
        };
        let part = |lot: &Lot| Lot {
            quantity: lot.quantity * filling.units / self.units(),
            holder,
            ..*lot
        };
        self.lots.iter().map(part).collect()
    }

    /// Whether its time is now.
    pub(super) fn is_current(&self, stage: &Stage<'_>) -> bool {
        (self.terms.starts_at..self.terms.ends_at).contains(&stage.time())
    }

    /// Shows the order to the chain and leaves it open.
    pub(super) fn validate(mut self, stage: &mut Stage<'_>) {
        let lot = self.lots[0];
        let position = stage.position();
        let order = Order {
            position,
            market: Market::Seaport,
            side: self.side,
            hash: Some(self.hash),
            maker: stage.roster.address(self.maker),
            contract: stage.roster.contract(lot.contract),
            token: (!self.any).then(|| stage.roster.token(lot.contract, lot.serial)),
            standard: lot.standard(stage),
            quantity: U256::from(self.units()),
            currency: self.price.currency,
            price: self.price.total(),
            starts_at: Some(self.terms.starts_at),
            expires_at: Some(self.terms.ends_at),
            taker: self.taker.map(|taker| stage.roster.address(taker)),
            escrowed: false,
        };
        stage.open(order);
        stage.emit(self.terms.validated(self.hash));
        self.opened = Some(position);
        stage.world.order_book.validated.push(self);
    }

    /// Enters what a filling sells, and emits it.
    pub(super) fn fulfill(&self, stage: &mut Stage<'_>, filling: &Filling) {
        let buyer = match self.side {
            Side::Listing => filling.taker,
            Side::Offer => self.maker,
        };
        let parts = self.parts(filling);
        let prices = self.cost(stage, filling).split(parts.len());
        for (item, (lot, price)) in (0..).zip(parts.iter().zip(prices)) {
            let mut sale = sale(stage, Market::Seaport, self.side, lot, buyer).at(&price);
            sale.item = item;
            sale.order_hash = Some(self.hash);
            sale.bundle_size = parts.len() as u32;
            sale.router = (filling.recipient == ROUTER).then(|| stage.roster.address(ROUTER));
            stage.sell(sale);
        }
        self.end(stage, Reason::Filled, Some(filling.units));
        self.emit(stage, filling);
    }

    /// Emits a filling that sells nothing of its own.
    pub(super) fn emit(&self, stage: &mut Stage<'_>, filling: &Filling) {
        let fill = Fill {
            recipient: stage.roster.address(filling.recipient),
            part: filling.units,
            whole: self.units(),
            chosen: stage.roster.token(self.lots[0].contract, self.lots[0].serial),
            time: stage.time(),
        };
        stage.emit(self.terms.fulfilled(self.hash, &fill));
    }

    /// Enters that the next log ends the order, or `units` of it, if the chain had shown it.
    pub(super) fn end(&self, stage: &mut Stage<'_>, reason: Reason, units: Option<u128>) {
        if let Some(order) = self.opened {
            let position = stage.position();
            stage.end(Ending {
                position,
                order,
                reason,
                quantity: units.map(U256::from),
            });
        }
    }
}

/// What is signed: who gives, what they give and what they want for it.
fn terms(stage: &mut Stage<'_>, offerer: Address, items: [Vec<Item>; 2], lots: &[Lot]) -> Terms {
    let now = stage.time();
    // Never the timestamp of a block, so that before and after are unambiguous.
    let slots = if stage.permille() < 500 {
        4 + stage.below(60)
    } else {
        200_000
    };
    let [offer, consideration] = items;
    let in_parts = lots.len() == 1 && lots[0].standard(stage) == Standard::Erc1155;
    Terms {
        offerer,
        offer,
        consideration,
        order_type: u8::from(in_parts),
        starts_at: now - u64::from(stage.below(600)),
        ends_at: now + SLOT * u64::from(slots) + 5,
        salt: stage.dice.next_u64(),
    }
}

/// The item that is a lot.
pub(super) fn token(stage: &Stage<'_>, lot: &Lot, recipient: Address) -> Item {
    Item {
        kind: if lot.is_multi(stage) {
            Kind::Erc1155
        } else {
            Kind::Erc721
        },
        contract: stage.roster.contract(lot.contract),
        token: stage.roster.token(lot.contract, lot.serial),
        amount: U256::from(lot.quantity),
        at_last: U256::from(lot.quantity),
        recipient,
    }
}

fn fees(price: &Price) -> impl Iterator<Item = Item> + use<'_> {
    price
        .fees
        .iter()
        .map(|fee| Item::payment(price.currency, fee.amount, fee.recipient))
}
