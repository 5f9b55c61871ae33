//! What the books record of trades and orders, before the log that states it is emitted.

use alloy_primitives::{Address, U256};

use super::super::orders::lot::Lot;
use super::super::orders::price::Price;
use super::super::roster::Owner;
use super::super::stage::Stage;
use super::super::trades::{Ending, Market, Order, Position, Reason, Sale, Side};

/// The sale of `lot` by who holds it to `buyer`, stated by the next log.
pub(super) fn sale(stage: &Stage<'_>, market: Market, side: Side, lot: &Lot, buyer: Owner) -> Sale {
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
    pub(super) fn at(mut self, price: &Price) -> Self {
        self.currency = price.currency;
        self.price = Some(price.total());
        self.fees = price.fees.clone();
        self.fees.retain(|fee| !fee.amount.is_zero());
        self.fees.sort();
        self
    }
}

/// An order of `maker`'s for one token of a single owner in native currency, opened by the next log.
pub(super) fn plain_order(stage: &Stage<'_>, market: Market, side: Side, lot: &Lot, maker: Owner) -> Order {
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
pub(super) fn end(stage: &mut Stage<'_>, order: impl Into<Option<Position>>, reason: Reason) {
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
