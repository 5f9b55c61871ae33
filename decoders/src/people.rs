//! The people behind a sale: which movement delivered it, and who stands behind the router that took it (decoding
//! specification, sections 2.1 and 2.2).

use alloy_primitives::{Address, U256, address};

use crate::fact::{Sale, Side, flag};
use crate::trail::{Movement, Trail};
use crate::transaction::Transaction;

/// Routers that take in other people's name. A router that is not listed is still found where the token passes through it.
const ROUTERS: &[Address] = &[
    // Blur.
    address!("39da41747a83aee658334415666f3ef92dd0d541"),
    // Gem.
    address!("83c8f28c26bf6aaca652df1dbbe0e1b56f8baba2"),
    // Genie.
    address!("2af4b707e1dce8fc345f38cfeeaa2421e54976d5"),
    address!("0a267cf51ef038fc00e71801f5a524aec06e4f07"),
    // Uniswap.
    address!("ef1c6e67703c7bd7107eed8303fbe6ec2554bf6b"),
    // Nameless, in blocks of 2023.
    address!("ef0b56692f78a44cf4034b07f80204757c31bcc9"),
];

/// Contracts that hold tokens in their own right: nobody is looked for behind them.
const HOLDERS: &[Address] = &[
    // Blend.
    address!("29469395eaf6f95920e59f858042f0e28d98a20b"),
];

/// Through how many hands a token is followed. Routers are one or two; what goes further is made to be followed.
const MAX_HANDS: usize = 32;

/// Finds, for every sale of one transaction in log order, the movement that delivered it and the people behind its taker.
pub(crate) fn resolve(transaction: &Transaction<'_>, trail: &Trail, sales: &mut [Sale]) {
    let movements = trail.all_movements();
    let mut left: Vec<U256> = movements.iter().map(|movement| movement.quantity).collect();
    let deliveries: Vec<Option<usize>> = sales.iter().map(|sale| delivery(trail, sale, &mut left)).collect();
    for (sale, delivery) in sales.iter_mut().zip(deliveries) {
        match delivery {
            Some(delivery) => {
                sale.standard = movements[delivery].standard;
                if matches!(sale.side, Side::Listing | Side::Offer | Side::AmmBuy | Side::AmmSell) {
                    let mut chain = Chain {
                        transaction,
                        trail,
                        movements,
                        left: &mut left,
                        sale,
                    };
                    chain.follow(delivery);
                }
            }
            None if sale.token.is_some() => sale.flags.push(flag::NO_TRANSFER),
            None => {}
        }
        name_router(transaction, sale);
        sale.flags.sort_unstable();
        sale.flags.dedup();
    }
}

/// The movement that hands over what `sale` sold; its units are taken.
fn delivery(trail: &Trail, sale: &Sale, left: &mut [U256]) -> Option<usize> {
    let mut best = None;
    let candidates = trail.of_token(sale.contract, sale.token?);
    for (index, movement) in candidates.filter(|(index, _)| !left[*index].is_zero()) {
        let badness = (fit(sale, movement), left[index] < sale.quantity);
        if badness.0 < STRANGERS && best.is_none_or(|(least, _)| badness < least) {
            best = Some((badness, index));
        }
        if badness == PERFECT {
            break;
        }
    }
    let (_, found) = best?;
    left[found] = left[found].saturating_sub(sale.quantity);
    Some(found)
}

/// Between the parties of the sale, and of enough units.
const PERFECT: (u8, bool) = (0, false);
const STRANGERS: u8 = 4;

/// How badly a movement fits the parties of a sale.
fn fit(sale: &Sale, movement: &Movement) -> u8 {
    match (movement.from == sale.seller, movement.to == sale.buyer) {
        (true, true) => 0,
        (true, false) => 1,
        (false, true) => 2,
        (false, false) if movement.from.is_zero() => 3,
        (false, false) => STRANGERS,
    }
}

/// One token on its way through the routers of a transaction.
struct Chain<'a, 't> {
    transaction: &'a Transaction<'t>,
    trail: &'a Trail,
    movements: &'a [Movement],
    left: &'a mut [U256],
    sale: &'a mut Sale,
}

impl<'a> Chain<'a, '_> {
    /// Puts the person in the taker's place, from the movement that delivered on.
    fn follow(&mut self, delivery: usize) {
        if self.buyer_takes() {
            let mut holder = self.movements[delivery].to;
            let mut at = delivery;
            for _ in 0..MAX_HANDS {
                let Some(next) = self.next(at, holder) else { break };
                holder = self.movements[next].to;
                at = next;
            }
            self.sale.buyer = holder;
        } else {
            let mut holder = self.movements[delivery].from;
            if self.is_end(holder) {
                return;
            }
            let mut at = delivery;
            for _ in 0..MAX_HANDS {
                let Some(previous) = self.previous(at, holder) else {
                    break;
                };
                holder = self.movements[previous].from;
                at = previous;
            }
            self.sale.seller = holder;
        }
    }

    fn buyer_takes(&self) -> bool {
        matches!(self.sale.side, Side::Listing | Side::AmmBuy)
    }

    /// The movement by which `holder` hands the token on after movement `at`.
    fn next(&mut self, at: usize, holder: Address) -> Option<usize> {
        if self.is_person(holder) {
            return None;
        }
        let places = self.places();
        let mut later = places[places.partition_point(|index| *index <= at)..].iter();
        let found = *later.find(|index| {
            let movement = &self.movements[**index];
            movement.from == holder && !movement.to.is_zero() && self.is_free(**index)
        })?;
        self.left[found] -= self.sale.quantity;
        Some(found)
    }

    /// The movement by which `holder` got the token before movement `at`.
    fn previous(&mut self, at: usize, holder: Address) -> Option<usize> {
        if self.is_person(holder) {
            return None;
        }
        let places = self.places();
        let mut earlier = places[..places.partition_point(|index| *index < at)].iter().rev();
        let found = *earlier.find(|index| {
            let movement = &self.movements[**index];
            movement.to == holder && !self.is_end(movement.from) && self.is_free(**index)
        })?;
        self.left[found] -= self.sale.quantity;
        Some(found)
    }

    /// Where the token's movements stand among all.
    fn places(&self) -> &'a [usize] {
        self.trail
            .places(self.sale.contract, self.sale.token.unwrap_or_default())
    }

    /// Whether no other sale has told the movement.
    fn is_free(&self, index: usize) -> bool {
        self.left[index] >= self.sale.quantity
    }

    /// Whether the token is where a person wanted it: with who signed, with the maker, with one who holds in his own right.
    fn is_person(&self, holder: Address) -> bool {
        self.transaction.sender() == Some(holder) || holder == self.sale.maker || HOLDERS.contains(&holder)
    }

    /// Whether nobody stands behind: a mint, a holder in his own right, the market's own escrow.
    fn is_end(&self, holder: Address) -> bool {
        let logs = self.transaction.logs;
        let emitter = logs.binary_search_by_key(&self.sale.log_index, |log| log.log_index);
        holder.is_zero() || HOLDERS.contains(&holder) || emitter.is_ok_and(|index| logs[index].address == holder)
    }
}

/// Names the router: the taker if a person was found behind it, else the contract called if it is a known one.
fn name_router(transaction: &Transaction<'_>, sale: &mut Sale) {
    let called = transaction.envelope.and_then(|envelope| envelope.to);
    let taker = sale.taker_raw;
    let stands_between = taker != sale.buyer && taker != sale.seller && !taker.is_zero() && !HOLDERS.contains(&taker);
    sale.aggregator = if stands_between {
        Some(taker)
    } else {
        called.filter(|called| ROUTERS.contains(called))
    };
}
