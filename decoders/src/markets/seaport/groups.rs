//! Seaport orders filled against each other (decoding specification, section 4.1).
//!
//! From 1.2 on `OrdersMatched` names them; 1.1 emits nothing, but leaves their recipient empty. A group is taken apart into the
//! orders that exchange tokens with each other, and each part is one trade.
//!
//! How many orders a group holds is up to the emitter of its logs: nothing here compares each with each.

use std::collections::VecDeque;

use alloy_primitives::{Address, B256, U256};
use rustc_hash::{FxHashMap, FxHashSet};

use crate::block::Log;
use crate::fact::{FeeKind, Side, flag};
use crate::log_reader::{DecodeError, Reader, Tuple};
use crate::markets::seaport::fulfillment::{FilledOrder, OrderItem, V1_1, sellers, trade};
use crate::trade::{LineItem, Trade, total};
use crate::transaction::Transaction;

/// The orders of one transaction in log order, and those of them that were filled against each other.
#[derive(Default)]
pub(crate) struct Groups<'a> {
    /// Absent once a group has it.
    orders: Vec<Option<FilledOrder<'a>>>,
    /// Where the orders of each contract and hash stand.
    places: FxHashMap<(Address, B256), Vec<usize>>,
    groups: Vec<Vec<FilledOrder<'a>>>,
}

impl<'a> Groups<'a> {
    pub(crate) fn push(&mut self, order: FilledOrder<'a>) {
        let places = self.places.entry((order.log.address, order.hash)).or_default();
        places.push(self.orders.len());
        self.orders.push(Some(order));
    }

    /// Makes the group that `OrdersMatched` names: for each hash its latest order that no group has yet.
    pub(crate) fn matched(&mut self, log: &Log) -> Result<Option<&'static str>, DecodeError> {
        let mut reader = Reader::new(log);
        let [hashes_at] = reader.head()?;
        let mut group = Vec::new();
        for hash in reader.list(Tuple::ROOT, hashes_at)? {
            let places = self.places.get_mut(&(log.address, B256::from(*hash)));
            let latest = places.and_then(Vec::pop);
            group.extend(latest.and_then(|place| self.orders[place].take()));
        }
        self.groups.push(group);
        Ok(reader.warning())
    }

    /// The orders filled on their own, and the groups. Those of 1.1 have no recipient, and their logs stand back to back.
    pub(crate) fn finish(mut self) -> (Vec<FilledOrder<'a>>, Vec<Vec<FilledOrder<'a>>>) {
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
pub(crate) fn parts<'g, 'a>(group: &'g [FilledOrder<'a>]) -> Vec<Vec<&'g FilledOrder<'a>>> {
    let tokens = |items: fn(&'g FilledOrder<'a>) -> &'g [OrderItem]| -> FxHashSet<(Address, U256)> {
        group
            .iter()
            .flat_map(|order| FilledOrder::tokens(items(order)))
            .map(OrderItem::token)
            .collect()
    };
    // Orders exchange a token only where one gives what another wants; a payment in common joins none.
    let (given, wanted) = (tokens(|order| &order.offer), tokens(|order| &order.consideration));
    // Disjoint sets: a group may hold as many orders as fit a transaction, and joining each with its token's first is enough.
    let mut sets = Sets((0..group.len()).collect());
    let mut firsts = FxHashMap::default();
    for (index, order) in group.iter().enumerate() {
        let tokens = FilledOrder::tokens(&order.offer)
            .chain(FilledOrder::tokens(&order.consideration))
            .map(OrderItem::token);
        for token in tokens.filter(|token| given.contains(token) && wanted.contains(token)) {
            sets.join(index, *firsts.entry(token).or_insert(index));
        }
    }
    let mut parts = vec![Vec::new(); group.len()];
    for (index, order) in group.iter().enumerate() {
        parts[sets.least(index)].push(order);
    }
    parts.retain(|part| {
        part.iter()
            .any(|order| FilledOrder::tokens(&order.offer).next().is_some())
    });
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

/// The trades of orders filled against each other; none if tokens went both ways.
pub(crate) fn solve<'a>(
    transaction: &Transaction<'_>,
    part: &[&FilledOrder<'a>],
) -> Result<Vec<(&'a Log, Trade)>, DecodeError> {
    if part.iter().any(|order| order.is_swap()) {
        return Ok(Vec::new());
    }
    let caller = transaction.sender().unwrap_or(part[0].recipient);
    let mut trades = Vec::new();
    for exchange in apart(part, caller) {
        trades.extend(exchange.trade(transaction, caller)?);
    }
    trades.sort_by_key(|(log, _)| log.log_index);
    Ok(trades)
}

/// What orders exchange for one price.
struct Exchange<'g, 'a> {
    orders: Vec<&'g FilledOrder<'a>>,
    lines: Vec<LineItem>,
    bids: Vec<&'g OrderItem>,
    asked: Vec<&'g OrderItem>,
    /// Whether the orders exchange nothing besides.
    is_whole: bool,
}

impl<'g, 'a> Exchange<'g, 'a> {
    fn whole(orders: Vec<&'g FilledOrder<'a>>) -> Self {
        let payments = |items: fn(&'g FilledOrder<'a>) -> &'g [OrderItem]| {
            let all = orders.iter().flat_map(move |order| FilledOrder::payments(items(order)));
            all.collect()
        };
        Exchange {
            lines: lines_of(&orders),
            bids: payments(|order| &order.offer),
            asked: payments(|order| &order.consideration),
            orders,
            is_whole: true,
        }
    }

    fn trade(self, transaction: &Transaction<'_>, caller: Address) -> Result<Option<(&'a Log, Trade)>, DecodeError> {
        let mut makers = self.orders.iter().filter(|order| order.offerer != caller);
        let maker = makers.next().unwrap_or(&self.orders[0]);
        let side = if maker.gives_payment() {
            Side::Offer
        } else {
            Side::Listing
        };
        let given = if self.bids.is_empty() { &self.asked } else { &self.bids };
        let Some((log, mut trade)) = trade(maker, side, self.lines, given, &self.asked)? else {
            return Ok(None);
        };
        if self.is_whole {
            keep_the_rest(&mut trade, &self.orders, &self.asked);
        }
        if transaction.envelope.is_none() {
            trade.flags.push(flag::NO_ENVELOPE);
        }
        Ok(Some((log, trade)))
    }
}

/// The exchanges of a part: bids for one token each have prices of their own, everything else one price together.
fn apart<'g, 'a>(part: &[&'g FilledOrder<'a>], caller: Address) -> Vec<Exchange<'g, 'a>> {
    let (bids, givers): (Vec<_>, Vec<_>) = part.iter().partition(|order| order.gives_payment());
    let apart = if part.len() > 2 {
        accepted(&bids, &givers, caller).or_else(|| paired(&bids, &givers))
    } else {
        None
    };
    apart.unwrap_or_else(|| vec![Exchange::whole(part.to_vec())])
}

/// Bids that one seller accepts with one order, which asks for nothing but the proceeds: each is what one token was sold for.
fn accepted<'g, 'a>(
    bids: &[&'g FilledOrder<'a>],
    givers: &[&'g FilledOrder<'a>],
    caller: Address,
) -> Option<Vec<Exchange<'g, 'a>>> {
    let [giver] = givers else { return None };
    let given: FxHashSet<_> = FilledOrder::tokens(&giver.offer).map(OrderItem::token).collect();
    let is_his = |address: Address| address == giver.offerer;
    if !FilledOrder::payments(&giver.consideration).all(|item| is_his(item.recipient)) {
        return None;
    }
    let exchange = |bid: &&'g FilledOrder<'a>| {
        let wanted = wanted_by(bid).filter(|item| given.contains(&item.token()))?;
        let by_him = is_his(bid.recipient) || bid.recipient.is_zero() && is_his(caller);
        let is_accepted = by_him && bid.offerer != caller;
        is_accepted.then(|| Exchange {
            orders: vec![*bid, *giver],
            lines: vec![wanted.line(giver.offerer, wanted.recipient)],
            bids: FilledOrder::payments(&bid.offer).collect(),
            asked: FilledOrder::payments(&bid.consideration).collect(),
            is_whole: false,
        })
    };
    bids.iter().map(exchange).collect()
}

/// Bids and orders that each give what one bid asks for, in pairs as they stand.
fn paired<'g, 'a>(bids: &[&'g FilledOrder<'a>], givers: &[&'g FilledOrder<'a>]) -> Option<Vec<Exchange<'g, 'a>>> {
    let mut giving: FxHashMap<_, VecDeque<&'g FilledOrder<'a>>> = FxHashMap::default();
    for giver in givers {
        let given = lone(&giver.offer)?;
        giving
            .entry((given.token(), given.amount))
            .or_default()
            .push_back(giver);
    }
    let pair = |bid: &&'g FilledOrder<'a>| {
        let wanted = wanted_by(bid)?;
        let giver = giving.get_mut(&(wanted.token(), wanted.amount))?.pop_front()?;
        let mut pair = vec![*bid, giver];
        pair.sort_by_key(|order| order.log.log_index);
        Some(Exchange::whole(pair))
    };
    let pairs: Option<Vec<_>> = bids.iter().map(pair).collect();
    pairs.filter(|_| bids.len() == givers.len())
}

/// The token a bid asks for, if it is but one and money is all it gives.
fn wanted_by<'g>(bid: &'g FilledOrder<'_>) -> Option<&'g OrderItem> {
    lone(&bid.consideration).filter(|_| FilledOrder::tokens(&bid.offer).next().is_none())
}

/// The token among `items`, if it is but one.
fn lone(items: &[OrderItem]) -> Option<&OrderItem> {
    let mut tokens = FilledOrder::tokens(items);
    tokens.next().filter(|_| tokens.next().is_none())
}

/// Each token given, with who asked for it.
fn lines_of(part: &[&FilledOrder<'_>]) -> Vec<LineItem> {
    let mut wanted = Wanted::by(part.iter().copied());
    let mut lines = Vec::new();
    for order in part {
        for item in FilledOrder::tokens(&order.offer) {
            let asking = wanted.take(item, order.log);
            let buyer = asking.map_or(order.recipient, |item| item.recipient);
            lines.push(item.line(order.offerer, buyer));
        }
    }
    lines
}

/// The tokens that orders ask for, each where it is asked for, in order.
pub(crate) struct Wanted<'o>(FxHashMap<(Address, U256), VecDeque<(u32, &'o OrderItem)>>);

impl<'o> Wanted<'o> {
    pub(crate) fn by<'a: 'o>(orders: impl Iterator<Item = &'o FilledOrder<'a>>) -> Self {
        let mut wanted: FxHashMap<_, VecDeque<_>> = FxHashMap::default();
        for order in orders {
            for item in FilledOrder::tokens(&order.consideration) {
                let asking = wanted.entry(item.token()).or_default();
                asking.push_back((order.log.log_index, item));
            }
        }
        Wanted(wanted)
    }

    /// Takes out what asks for the token that `log` gives: in another order if there is one, else in its own.
    pub(crate) fn take(&mut self, given: &OrderItem, log: &Log) -> Option<&'o OrderItem> {
        let asking = self.0.get_mut(&given.token())?;
        let abroad = asking.iter().position(|(log_index, _)| *log_index != log.log_index);
        asking.remove(abroad.unwrap_or_default()).map(|(_, item)| item)
    }

    /// Whether no order asks for anything more.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.values().all(VecDeque::is_empty)
    }
}

/// What was offered and no order asked for goes to the caller: to the seller if that is the caller, else it is a fee.
fn keep_the_rest(trade: &mut Trade, part: &[&FilledOrder<'_>], asked: &[&OrderItem]) {
    let is_seller = sellers(&trade.lines);
    let to_sellers = asked.iter().filter(|item| is_seller(item.recipient));
    let kept = to_sellers.fold(total(&trade.fees), |kept, item| kept.saturating_add(item.amount));
    let rest = trade.price.unwrap_or_default().saturating_sub(kept);
    let caller = part[0].recipient;
    let redirected = trade.flags.contains(&flag::PROCEEDS_REDIRECTED);
    if !redirected && !caller.is_zero() && !is_seller(caller) && part.len() > 1 && !asked.is_empty() {
        trade.fee(caller, rest, FeeKind::Other);
    }
}
