//! The markets: every seller owns what is sold, and every log is one the real contract would have written.
//!
//! What was sold, for how much and to which buyer is entered in the books when it is decided, before a log states it.

mod blur;
mod foundation;
mod lots;
mod order_book;
mod prices;
mod punks;
mod seaport;
mod settlement;
mod signing;
mod terms;
mod x2y2;

use alloy_primitives::{Address, Bytes, U256, address, keccak256};

use super::roster::Owner;
use super::trades::{Ending, Market, Order, Position, Reason, Sale, Side};
use super::traffic::Stage;

use lots::Lot;
use prices::Price;

pub(super) use order_book::OrderBook;
pub(super) use punks::{hand_over as hand_over_punk, sell_unlisted as sell_punk_unlisted};

/// Wrapped ether.
pub(super) const WETH: Address = address!("c02aaa39b223fe8d0a0e5c4f27ead9083c756cc2");

/// Acts tried before a trade is given up for want of anything to trade.
const TRIES: usize = 6;

/// The transaction around a trade.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) from: Owner,
    pub(super) to: Address,
    pub(super) value: U256,
    pub(super) input: Bytes,
}

/// Something that happens at a market in a transaction of its own; nothing is emitted where nothing fits.
type Act = fn(&mut Stage<'_>) -> Option<Call>;

/// Relative weights of what happens.
const ACTS: [(u32, Act); 24] = [
    (150, seaport::take_listing),
    (80, seaport::take_offer),
    (40, seaport::sell_bundle),
    (50, seaport::match_orders),
    (25, seaport::sell_privately),
    (50, seaport::sweep),
    (10, seaport::swap),
    (10, seaport::give),
    (110, seaport::validate),
    (90, seaport::take_validated),
    (30, seaport::cancel),
    (10, seaport::raise_counter),
    (90, blur::take_asks),
    (50, blur::take_bid),
    (45, foundation::set_price),
    (35, foundation::buy),
    (12, foundation::cancel_price),
    (35, foundation::make_offer),
    (30, foundation::accept_offer),
    (30, punks::offer),
    (30, punks::buy),
    (30, punks::bid),
    (35, punks::settle_bid),
    (40, x2y2::take),
];

/// Lets one trade happen, by weight.
pub(super) fn trade(stage: &mut Stage<'_>) {
    let total: u32 = ACTS.iter().map(|(weight, _)| weight).sum();
    for _ in 0..TRIES {
        let mut roll = stage.below(total);
        let act = ACTS.iter().find(|(weight, _)| match roll.checked_sub(*weight) {
            Some(rest) => {
                roll = rest;
                false
            }
            None => true,
        });
        if let Some(call) = act.and_then(|(_, act)| act(stage)) {
            return stage.close_call(call);
        }
    }
}

/// Calldata of a call of `signature` with plain words.
fn calldata(signature: &str, words: &[U256]) -> Bytes {
    let mut data = keccak256(signature)[..4].to_vec();
    words
        .iter()
        .for_each(|word| data.extend_from_slice(&word.to_be_bytes::<32>()));
    data.into()
}

/// The sale of `lot` by who holds it to `buyer`, stated by the next log.
fn sale(stage: &Stage<'_>, market: Market, side: Side, lot: &Lot, buyer: Owner) -> Sale {
    let [seller, buyer] = [lot.holder, buyer].map(|owner| stage.roster.address(owner));
    Sale {
        position: stage.position(),
        item: 0,
        market,
        side,
        contract: stage.roster.contract(lot.contract),
        token: stage.roster.token(lot.contract, lot.serial),
        standard: lot.standard(stage),
        quantity: U256::from(lot.quantity),
        seller,
        buyer,
        maker: if side == Side::Listing { seller } else { buyer },
        router: None,
        currency: Address::ZERO,
        price: None,
        fees: Vec::new(),
        order_hash: None,
        bundle_size: 1,
    }
}

impl Sale {
    /// The same at a price.
    fn at(mut self, price: &Price) -> Self {
        self.currency = price.currency;
        self.price = Some(price.total());
        self.fees = price.fees.clone();
        self.fees.retain(|fee| !fee.amount.is_zero());
        self.fees.sort();
        self
    }
}

/// An order of `maker`'s for one token of a single owner in native currency, opened by the next log.
fn plain_order(stage: &Stage<'_>, market: Market, side: Side, lot: &Lot, maker: Owner) -> Order {
    Order {
        position: stage.position(),
        market,
        side,
        hash: None,
        maker: stage.roster.address(maker),
        contract: stage.roster.contract(lot.contract),
        token: Some(stage.roster.token(lot.contract, lot.serial)),
        standard: lot.standard(stage),
        quantity: U256::from(lot.quantity),
        currency: Address::ZERO,
        price: U256::ZERO,
        starts_at: None,
        expires_at: None,
        taker: None,
        escrowed: false,
    }
}

/// Enters that the next log ends an order whole, if there is one.
fn end(stage: &mut Stage<'_>, order: impl Into<Option<Position>>, reason: Reason) {
    let position = stage.position();
    if let Some(order) = order.into() {
        stage.end(Ending {
            position,
            order,
            reason,
            quantity: None,
        });
    }
}
