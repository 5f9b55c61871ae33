//! The parties behind a sale: which movement delivered it, and who stands behind the router that took it (decoding
//! specification, sections 2.1 and 2.2).

use alloy_primitives::{Address, U256};
use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use crate::fact::{Sale, Side, flag};
use crate::trade::transfer_index::{Movement, TransferIndex};
use crate::transaction::Transaction;

/// Through how many hops a token is followed. Routers are one or two; what goes further is made to be followed.
const MAX_ROUTERS: usize = 32;

/// Finds, for every sale of one transaction in log order, the movement that delivered it and the parties behind its taker.
pub(crate) fn resolve(transaction: &Transaction<'_>, transfers: &TransferIndex, sales: &mut [Sale]) {
    let mut handovers = Handovers::of(transfers, sales);
    let deliveries: Vec<Option<usize>> = sales.iter().map(|sale| handovers.deliver(sale)).collect();
    for (sale, delivery) in sales.iter_mut().zip(deliveries) {
        match delivery {
            Some(delivery) => {
                sale.standard = handovers.movements[delivery].standard;
                if matches!(sale.side, Side::Listing | Side::Offer | Side::AmmBuy | Side::AmmSell) {
                    let mut chain = Chain {
                        transaction,
                        handovers: &mut handovers,
                        sale,
                    };
                    chain.follow(delivery);
                }
            }
            None if sale.token.is_some() => sale.flags.push(flag::NO_TRANSFER),
            None => {}
        }
        sale.flags.sort_unstable();
        sale.flags.dedup();
    }
    let router = router(transaction, transfers, sales);
    sales.iter_mut().for_each(|sale| sale.aggregator = router);
}

/// Giver and receiver; `None` for anybody.
type Hops = [Option<Address>; 2];

/// The movements of tokens that are sold, each found by its token and by either hand or both, so that no sale has to look at all.
struct Handovers<'a> {
    movements: &'a [Movement],
    /// The units of each movement that no sale has accounted for.
    left: Vec<U256>,
    transfers_of: FxHashMap<(Address, U256), FxHashMap<Hops, Queue>>,
}

/// Places among all movements, in order.
#[derive(Default)]
struct Queue {
    places: SmallVec<[usize; 2]>,
    /// How many of the first have nothing left.
    spent: usize,
}

impl<'a> Handovers<'a> {
    fn of(transfers: &'a TransferIndex, sales: &[Sale]) -> Self {
        let movements = transfers.all_movements();
        let mut handovers = Handovers {
            movements,
            left: movements.iter().map(|movement| movement.quantity).collect(),
            transfers_of: FxHashMap::default(),
        };
        for (contract, token) in sales.iter().filter_map(|sale| Some((sale.contract, sale.token?))) {
            handovers.transfers_of.entry((contract, token)).or_insert_with(|| {
                let mut queues: FxHashMap<Hops, Queue> = FxHashMap::default();
                // No one buys for the zero address.
                let moves = transfers.transfers_of(contract, token);
                for (index, Movement { from, to, .. }) in moves.filter(|(_, movement)| !movement.to.is_zero()) {
                    // Queued under each pair a sale may ask for: a transaction with many sales costs their sum with its
                    // movements, not the product.
                    for hops in [[Some(*from), Some(*to)], [Some(*from), None], [None, Some(*to)]] {
                        queues.entry(hops).or_default().places.push(index);
                    }
                }
                queues
            });
        }
        handovers
    }

    /// The movement that delivers what `sale` sold, the one between its parties before one that has to do with either, and
    /// those before a mint; its units are taken.
    fn deliver(&mut self, sale: &Sale) -> Option<usize> {
        let queues = self.transfers_of.get_mut(&(sale.contract, sale.token?))?;
        let [seller, buyer] = [sale.seller, sale.buyer].map(|party| (!party.is_zero()).then_some(party));
        let minted = [Some(Address::ZERO), None];
        // From the strictest to the loosest, so that a sale does not take what fits another one better.
        let mut fits = [[seller, buyer], [seller, None], [None, buyer], minted].into_iter();
        let found = fits.find_map(|hops| queues.get_mut(&hops)?.first(sale.quantity, &self.left))?;
        // Units are taken, because one transfer serves one sale; of ERC-1155 it may serve several.
        self.left[found] = self.left[found].saturating_sub(sale.quantity);
        Some(found)
    }

    /// The places of the movements of what `sale` sold between `hops`.
    fn places(&self, sale: &Sale, hops: Hops) -> &[usize] {
        let queues = sale
            .token
            .and_then(|token| self.transfers_of.get(&(sale.contract, token)));
        let queue = queues.and_then(|queues| queues.get(&hops));
        queue.map_or(&[], |queue| &queue.places)
    }

    /// Whether no other sale has accounted for the movement.
    fn is_free(&self, index: usize, sale: &Sale) -> bool {
        self.left[index] >= sale.quantity
    }
}

impl Queue {
    /// The first place with as much as `quantity` left, else the first with anything.
    fn first(&mut self, quantity: U256, left: &[U256]) -> Option<usize> {
        // What is used up is passed once and never again.
        while self.places.get(self.spent).is_some_and(|place| left[*place].is_zero()) {
            self.spent += 1;
        }
        let mut open = self.places[self.spent..].iter().copied();
        let first = open.clone().next();
        open.find(|place| left[*place] >= quantity).or(first)
    }
}

/// One token on its way through the routers of a transaction.
struct Chain<'a, 't> {
    transaction: &'a Transaction<'t>,
    handovers: &'a mut Handovers<'t>,
    sale: &'a mut Sale,
}

impl Chain<'_, '_> {
    /// Puts the person in the taker's place, from the movement that delivered on. Who a holder took it for may be known already.
    fn follow(&mut self, delivery: usize) {
        if self.buyer_takes() {
            let mut holder = self.handovers.movements[delivery].to;
            // The decoder knew more than the logs show: a lending protocol holds the token for its borrower.
            if self.transaction.roster.is_holder(&holder) && self.sale.buyer != self.sale.taker_raw {
                return;
            }
            let mut at = delivery;
            // Bounded, because contracts can pass a token around in one transaction as often as they like.
            for _ in 0..MAX_ROUTERS {
                let Some(next) = self.next(at, holder) else { break };
                holder = self.handovers.movements[next].to;
                at = next;
            }
            self.sale.buyer = holder;
        } else {
            let mut holder = self.handovers.movements[delivery].from;
            if self.is_end(holder) {
                return;
            }
            let mut at = delivery;
            for _ in 0..MAX_ROUTERS {
                let Some(previous) = self.previous(at, holder) else {
                    break;
                };
                holder = self.handovers.movements[previous].from;
                at = previous;
            }
            self.sale.seller = holder;
        }
    }

    fn buyer_takes(&self) -> bool {
        matches!(self.sale.side, Side::Listing | Side::AmmBuy)
    }

    /// The movement by which `holder` passes the token on after movement `at`; its units are taken.
    fn next(&mut self, at: usize, holder: Address) -> Option<usize> {
        if self.is_person(holder) {
            return None;
        }
        let places = self.handovers.places(self.sale, [Some(holder), None]);
        let mut later = places[places.partition_point(|place| *place <= at)..].iter();
        let found = later.find(|place| self.handovers.is_free(**place, self.sale));
        self.take(*found?)
    }

    /// The movement by which `holder` got the token before movement `at`; its units are taken.
    fn previous(&mut self, at: usize, holder: Address) -> Option<usize> {
        if self.is_person(holder) {
            return None;
        }
        let places = self.handovers.places(self.sale, [None, Some(holder)]);
        let mut earlier = places[..places.partition_point(|place| *place < at)].iter().rev();
        // What a mint or an escrow handed over was not sold by it: the hop before belongs to no seller.
        let found = earlier.find(|place| {
            !self.is_end(self.handovers.movements[**place].from) && self.handovers.is_free(**place, self.sale)
        });
        self.take(*found?)
    }

    fn take(&mut self, found: usize) -> Option<usize> {
        self.handovers.left[found] -= self.sale.quantity;
        Some(found)
    }

    /// Whether the token is where a person wanted it: with who signed, with the maker, with one that holds in its own right.
    fn is_person(&self, holder: Address) -> bool {
        self.transaction.sender() == Some(holder)
            || holder == self.sale.maker
            || self.transaction.roster.is_holder(&holder)
    }

    /// Whether no one stands behind: a mint, a holder in its own right, the market's own escrow.
    fn is_end(&self, holder: Address) -> bool {
        let logs = self.transaction.logs;
        let emitter = logs.binary_search_by_key(&self.sale.log_index, |log| log.log_index);
        holder.is_zero()
            || self.transaction.roster.is_holder(&holder)
            || emitter.is_ok_and(|index| logs[index].address == holder)
    }
}

/// The router that a transaction went through, the same for all its sales: the contract called if it is known or seen at work, else a
/// known router that is seen at work, else the first taker who stands between. The modules of a router are the router.
fn router(transaction: &Transaction<'_>, transfers: &TransferIndex, sales: &[Sale]) -> Option<Address> {
    let takers = sales.iter().filter(|sale| stands_between(transaction, sale));
    let mut takers = takers.map(|sale| sale.taker_raw);
    let envelope = transaction.envelope;
    // The contract that was called is the router even where a module of it did the work.
    if let Some(called) = envelope.and_then(|envelope| envelope.to) {
        let is_payer = envelope.is_some_and(|envelope| !envelope.value.is_zero()) && takers.clone().next().is_some();
        // A called contract that merely happens to be there is no aggregator: value, tokens or payments must pass through it.
        let works =
            || is_payer || takers.clone().any(|taker| taker == called) || hops(transfers).any(|hand| hand == called);
        if transaction.roster.is_router(&called) || may_route(transaction, sales, called) && works() {
            return Some(called);
        }
    }
    let is_known = |hand: &Address| transaction.roster.is_router(hand);
    takers
        .clone()
        // Without the envelope a known router is still recognised by what it moved.
        .find(is_known)
        .or_else(|| hops(transfers).find(is_known))
        .or_else(|| takers.next())
}

/// Whether the taker that the log names took for another.
fn stands_between(transaction: &Transaction<'_>, sale: &Sale) -> bool {
    let taker = sale.taker_raw;
    let is_party = [sale.buyer, sale.seller].contains(&taker) || transaction.sender() == Some(taker);
    !is_party && !taker.is_zero() && !transaction.roster.is_holder(&taker)
}

/// Whether `called` has no other part in the sales: it is no market, no token, and no party that sells or buys.
fn may_route(transaction: &Transaction<'_>, sales: &[Sale], called: Address) -> bool {
    let has_part = |sale: &Sale| {
        [
            sale.market,
            sale.contract,
            sale.currency,
            sale.seller,
            sale.buyer,
            sale.maker,
        ]
        .contains(&called)
    };
    let roster = transaction.roster;
    !sales.iter().any(has_part) && !roster.is_holder(&called) && !roster.lists(transaction.chain, called)
}

/// Who gives tokens and payments, or gets them.
fn hops(transfers: &TransferIndex) -> impl Iterator<Item = Address> {
    let moved = transfers
        .all_movements()
        .iter()
        .flat_map(|moved| [moved.from, moved.to]);
    let paid = transfers.payments(0..u32::MAX).iter();
    moved.chain(paid.flat_map(|payment| [payment.from, payment.to]))
}
