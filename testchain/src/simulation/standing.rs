//! How the markets stand at a height: the state of every order, and what sales and listings state of tokens and collections.

use std::collections::BTreeMap;

use alloy_primitives::{Address, U256};

use super::books::Books;
use super::holdings::{Holdings, Token};
use super::trades::{Ending, Order, Position, Reason, Sale, Side};
use super::transfers::Standard;

/// How an order stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// It can be taken.
    Active,
    /// All of it was taken.
    Filled,
    /// It was taken back, replaced, or ended by the market.
    Canceled,
    /// Its time is over.
    Expired,
    /// A listing whose maker holds less than what is left of it, and may hold enough again.
    Invalid,
}

/// An order's state, and what is left of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// How it stands.
    pub state: State,
    /// Units not taken.
    pub remaining: U256,
}

/// What sales and listings state of a token or of a collection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Sales.
    pub sales: u64,
    /// What was paid, by currency; sales without a known price add nothing.
    pub volume: BTreeMap<Address, U256>,
    /// Position and item of the last sale that was no part of a bundle.
    pub last_sale: Option<(Position, u32)>,
    /// The lowest price of one unit, rounded down, among active listings that anybody may take, by currency.
    pub floor: BTreeMap<Address, U256>,
}

impl Books {
    /// How every order opened up to `height` stands after the block there, by the log that opened it.
    ///
    /// An end counts even after the order's time was over.
    pub fn standings(&self, height: u64) -> BTreeMap<Position, Standing> {
        let (held, time) = (self.at(height), self.time(height));
        let mut endings: BTreeMap<Position, Vec<&Ending>> = BTreeMap::new();
        for ending in self.endings().iter().filter(|ending| ending.position.block <= height) {
            endings.entry(ending.order).or_default().push(ending);
        }
        let opened = self.orders().iter().filter(|order| order.position.block <= height);
        opened
            .map(|order| {
                let endings = endings.get(&order.position).map_or(&[][..], Vec::as_slice);
                (order.position, standing(order, endings, &held, time))
            })
            .collect()
    }

    /// What sales and listings up to `height` state of each collection that has any.
    pub fn collection_statistics(&self, height: u64) -> BTreeMap<Address, Statistics> {
        self.statistics(height, |token| Some(token.contract))
    }

    /// What sales and listings up to `height` state of each token that has any.
    pub fn token_statistics(&self, height: u64) -> BTreeMap<Token, Statistics> {
        self.statistics(height, Some)
    }

    fn statistics<K: Ord>(&self, height: u64, key: impl Fn(Token) -> Option<K>) -> BTreeMap<K, Statistics> {
        let mut all: BTreeMap<K, Statistics> = BTreeMap::new();
        for sale in self.sales().iter().filter(|sale| sale.position.block <= height) {
            let token = Token {
                contract: sale.contract,
                id: sale.token,
            };
            if let Some(key) = key(token) {
                all.entry(key).or_default().count(sale);
            }
        }
        let standings = self.standings(height);
        for order in self.orders() {
            let active = standings
                .get(&order.position)
                .is_some_and(|standing| standing.state == State::Active);
            let token = order.token.map(|id| Token {
                contract: order.contract,
                id,
            });
            if let Some(key) = token.filter(|_| active).and_then(&key) {
                all.entry(key).or_default().lower(order);
            }
        }
        all.retain(|_, statistics| *statistics != Statistics::default());
        all
    }
}

impl Statistics {
    fn count(&mut self, sale: &Sale) {
        self.sales += 1;
        if let Some(price) = sale.price {
            *self.volume.entry(sale.currency).or_default() += price;
        }
        if sale.bundle_size == 1 {
            self.last_sale = Some((sale.position, sale.item));
        }
    }

    fn lower(&mut self, order: &Order) {
        if order.side == Side::Listing && order.taker.is_none() {
            let price = order.price / order.quantity;
            let floor = self.floor.entry(order.currency).or_insert(price);
            *floor = price.min(*floor);
        }
    }
}

fn standing(order: &Order, endings: &[&Ending], held: &Holdings, time: u64) -> Standing {
    let mut remaining = order.quantity;
    for ending in endings {
        match (ending.reason, ending.quantity) {
            (Reason::Filled, quantity) => remaining -= quantity.unwrap_or(remaining),
            _ => {
                return Standing {
                    state: State::Canceled,
                    remaining,
                };
            }
        }
    }
    let state = if remaining.is_zero() {
        State::Filled
    } else if order.expires_at.is_some_and(|end| end <= time) {
        State::Expired
    } else if order.side == Side::Listing && !order.escrowed && !has(order, remaining, held) {
        State::Invalid
    } else {
        State::Active
    };
    Standing { state, remaining }
}

/// Whether the maker of a listing holds what is left of it.
fn has(order: &Order, remaining: U256, held: &Holdings) -> bool {
    let Some(id) = order.token else {
        return true;
    };
    let token = Token {
        contract: order.contract,
        id,
    };
    match order.standard {
        Standard::Erc1155 => held.balance(token, order.maker) >= remaining,
        Standard::Erc721 | Standard::CryptoPunks => held.owner(&token) == Some(order.maker),
    }
}
