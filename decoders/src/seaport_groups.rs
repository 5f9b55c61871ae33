//! Seaport orders filled against each other (decoding specification, section 4.1).
//!
//! From 1.2 on `OrdersMatched` names them; 1.1 tells nothing, but leaves their recipient empty. A group is taken apart into the
//! orders that exchange tokens with each other, and each part is one deal.
//!
//! How many orders a group holds is up to whoever emits its logs: nothing here compares each with each.

use std::collections::VecDeque;

use alloy_primitives::{Address, B256, U256};
use rustc_hash::{FxHashMap, FxHashSet};

use crate::abi::{Reader, Refusal, Tuple};
use crate::block::Log;
use crate::deal::{Deal, Line, total};
use crate::fact::{FeeKind, Side, flag};
use crate::seaport::{Item, Order, V1_1, deal, sellers};
use crate::transaction::Transaction;

/// The orders of one transaction in log order, and those of them that were filled against each other.
#[derive(Default)]
pub(crate) struct Groups<'a> {
    /// Absent once a group has it.
    orders: Vec<Option<Order<'a>>>,
    /// Where the orders of each contract and hash stand.
    places: FxHashMap<(Address, B256), Vec<usize>>,
    groups: Vec<Vec<Order<'a>>>,
}

impl<'a> Groups<'a> {
    pub(crate) fn push(&mut self, order: Order<'a>) {
        let places = self.places.entry((order.log.address, order.hash)).or_default();
        places.push(self.orders.len());
        self.orders.push(Some(order));
    }

    /// Makes the group that `OrdersMatched` names: for each hash its latest order that no group has yet.
    pub(crate) fn matched(&mut self, log: &Log) -> Result<Option<&'static str>, Refusal> {
        let mut reader = Reader::new(log);
        let [hashes_at] = reader.head()?;
        let mut group = Vec::new();
        for hash in reader.list(Tuple::ROOT, hashes_at)? {
            let places = self.places.get_mut(&(log.address, B256::from(*hash)));
            let latest = places.and_then(Vec::pop);
            group.extend(latest.and_then(|place| self.orders[place].take()));
        }
        self.groups.push(group);
        Ok(reader.doubt())
    }

    /// The orders filled on their own, and the groups. Those of 1.1 have no recipient, and their logs stand back to back.
    pub(crate) fn finish(mut self) -> (Vec<Order<'a>>, Vec<Vec<Order<'a>>>) {
        let (unnamed, alone): (Vec<_>, Vec<_>) = (self.orders.into_iter().flatten())
            .partition(|order| order.log.address == V1_1 && order.recipient.is_zero());
        let mut last = None;
        for order in unnamed {
            let log_index = order.log.log_index;
            match self.groups.last_mut() {
                Some(group) if last.is_some_and(|last: u32| last + 1 == log_index) => group.push(order),
                _ => self.groups.push(vec![order]),
            }
            last = Some(log_index);
        }
        (alone, self.groups)
    }
}

/// The orders of a group that exchange tokens with each other, one list per exchange; orders of payments only belong to none.
pub(crate) fn parts<'g, 'a>(group: &'g [Order<'a>]) -> Vec<Vec<&'g Order<'a>>> {
    let tokens = |items: fn(&'g Order<'a>) -> &'g [Item]| -> FxHashSet<(Address, U256)> {
        group
            .iter()
            .flat_map(|order| Order::tokens(items(order)))
            .map(Item::token)
            .collect()
    };
    let (given, wanted) = (tokens(|order| &order.offer), tokens(|order| &order.consideration));
    let mut sets = Sets((0..group.len()).collect());
    let mut firsts = FxHashMap::default();
    for (index, order) in group.iter().enumerate() {
        let tokens = Order::tokens(&order.offer)
            .chain(Order::tokens(&order.consideration))
            .map(Item::token);
        for token in tokens.filter(|token| given.contains(token) && wanted.contains(token)) {
            sets.join(index, *firsts.entry(token).or_insert(index));
        }
    }
    let mut parts = vec![Vec::new(); group.len()];
    for (index, order) in group.iter().enumerate() {
        parts[sets.least(index)].push(order);
    }
    parts.retain(|part| part.iter().any(|order| Order::tokens(&order.offer).next().is_some()));
    parts
}

/// Numbers that belong together: each points to a lower one of its set, the least to itself.
struct Sets(Vec<usize>);

impl Sets {
    fn least(&mut self, mut number: usize) -> usize {
        while self.0[number] != number {
            self.0[number] = self.0[self.0[number]];
            number = self.0[number];
        }
        number
    }

    fn join(&mut self, one: usize, other: usize) {
        let (one, other) = (self.least(one), self.least(other));
        self.0[one.max(other)] = one.min(other);
    }
}

/// The deals of orders filled against each other: one, unless tokens went both ways.
pub(crate) fn solve<'a>(transaction: &Transaction<'_>, part: &[&Order<'a>]) -> Result<Vec<(&'a Log, Deal)>, Refusal> {
    if part.iter().any(|order| order.is_swap()) {
        return Ok(Vec::new());
    }
    let bids: Vec<&Item> = part.iter().flat_map(|order| Order::payments(&order.offer)).collect();
    let asked: Vec<&Item> = part
        .iter()
        .flat_map(|order| Order::payments(&order.consideration))
        .collect();
    let caller = transaction.sender().unwrap_or(part[0].recipient);
    let maker = part.iter().find(|order| order.offerer != caller).unwrap_or(&part[0]);
    let lines = lines_of(part);
    let side = if maker.gives_payment() {
        Side::Offer
    } else {
        Side::Listing
    };
    let given = if bids.is_empty() { &asked } else { &bids };
    let Some((log, mut deal)) = deal(maker, side, lines, given, &asked)? else {
        return Ok(Vec::new());
    };
    keep_the_rest(&mut deal, part, &asked);
    if transaction.envelope.is_none() {
        deal.flags.push(flag::NO_ENVELOPE);
    }
    Ok(vec![(log, deal)])
}

/// Each token given, with who asked for it.
fn lines_of(part: &[&Order<'_>]) -> Vec<Line> {
    let mut wanted = Wanted::by(part.iter().copied());
    let mut lines = Vec::new();
    for order in part {
        for item in Order::tokens(&order.offer) {
            let asking = wanted.take(item, order.log);
            let buyer = asking.map_or(order.recipient, |item| item.recipient);
            lines.push(item.line(order.offerer, buyer));
        }
    }
    lines
}

/// The tokens that orders ask for, each where it is asked for, in order.
pub(crate) struct Wanted<'o>(FxHashMap<(Address, U256), VecDeque<(u32, &'o Item)>>);

impl<'o> Wanted<'o> {
    pub(crate) fn by<'a: 'o>(orders: impl Iterator<Item = &'o Order<'a>>) -> Self {
        let mut wanted: FxHashMap<_, VecDeque<_>> = FxHashMap::default();
        for order in orders {
            for item in Order::tokens(&order.consideration) {
                let asking = wanted.entry(item.token()).or_default();
                asking.push_back((order.log.log_index, item));
            }
        }
        Wanted(wanted)
    }

    /// Takes out what asks for the token that `log` gives: in another order if there is one, else in its own.
    pub(crate) fn take(&mut self, given: &Item, log: &Log) -> Option<&'o Item> {
        let asking = self.0.get_mut(&given.token())?;
        let abroad = asking.iter().position(|(log_index, _)| *log_index != log.log_index);
        asking.remove(abroad.unwrap_or_default()).map(|(_, item)| item)
    }

    /// Whether nobody asks for anything more.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.values().all(VecDeque::is_empty)
    }
}

/// What was offered and nobody asked for goes to the caller: to the seller if he called, else it is a fee.
fn keep_the_rest(deal: &mut Deal, part: &[&Order<'_>], asked: &[&Item]) {
    let is_seller = sellers(&deal.lines);
    let to_sellers = asked.iter().filter(|item| is_seller(item.recipient));
    let kept = to_sellers.fold(total(&deal.fees), |kept, item| kept.saturating_add(item.amount));
    let rest = deal.price.unwrap_or_default().saturating_sub(kept);
    let caller = part[0].recipient;
    let redirected = deal.flags.contains(&flag::PROCEEDS_REDIRECTED);
    if !redirected && !caller.is_zero() && !is_seller(caller) && part.len() > 1 && !asked.is_empty() {
        deal.fee(caller, rest, FeeKind::Other);
    }
}
