//! How orders stand, found by going through orders and closings one by one, and what the views show of them.

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::{Address, B256, U256, U512};
use decoders::fact::{Closing, ClosingReason, Facts, Nonces, Order, OrderKind, Reach};
use sinks::store::Store;
use uuid::Uuid;

use crate::market::{FUTURE, PAST};
use crate::trade::PEGGED;

/// State, whether it can be taken now, units left, and why and by what it ended.
type Stand = (String, bool, String, Option<String>, Option<Uuid>);

/// Lowest listing, best offer, tokens listed; prices in the smallest unit.
type Prices = (Option<String>, Option<String>, i64);

type StandRow = (Uuid, String, bool, String, Option<String>, Option<Uuid>);
type PricesRow = (String, String, Option<String>, Option<String>, i64);

/// Every relation that shows orders.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Open {
    listings: BTreeMap<Uuid, Stand>,
    offers: BTreeMap<Uuid, Stand>,
    collections: BTreeMap<String, Prices>,
    tokens: BTreeMap<(String, String), Prices>,
}

/// An order on its way.
struct Life<'a> {
    id: Uuid,
    order: &'a Order,
    taken: U512,
    end: Option<(Uuid, &'static str)>,
    /// The transaction in which it ended without a fill.
    ended_in: Option<B256>,
    replaced: bool,
}

impl<'a> Life<'a> {
    fn reached(&self, closing: &Closing) -> bool {
        let reached = match closing.reach {
            Reach::Key(key) => key == self.order.key,
            Reach::Maker { maker, nonces } => {
                let nonce = self.order.nonce;
                maker == self.order.maker
                    && match nonces {
                        Nonces::All => true,
                        Nonces::Below(limit) => nonce.is_some_and(|nonce| nonce < limit),
                        Nonces::Exactly(exactly) => nonce == Some(exactly),
                    }
            }
        };
        reached && closing.market == self.order.market && !self.replaced
    }

    fn close(&mut self, id: Uuid, closing: &Closing) {
        let filled = closing.reason == ClosingReason::Filled;
        let late = self.end.is_some();
        if late && !(filled && self.ended_in == Some(closing.tx_hash)) {
            return;
        }
        let whole = U512::from(self.order.quantity);
        if filled {
            self.taken = (self.taken + closing.quantity.map_or(whole, U512::from)).min(whole);
            if late || closing.quantity.is_none() || self.taken == whole {
                self.end = Some((id, "filled"));
            }
        } else {
            self.end = Some((id, closing.reason.as_str()));
            self.ended_in = Some(closing.tx_hash);
        }
    }

    /// Whether the token is known to be with somebody else.
    fn elsewhere(&self, holdings: &Holdings) -> bool {
        let order = self.order;
        let Some(token) = order.token else { return false };
        let key = (order.contract, token);
        if order.kind == OrderKind::Offer || order.escrowed || !holdings.tokens.contains(&key) {
            return false;
        }
        if order.standard.single_owner() {
            return holdings
                .owners
                .get(&key)
                .is_some_and(|owner| owner.is_zero() || *owner != order.maker);
        }
        let (gained, lost) = holdings.units.get(&(key, order.maker)).copied().unwrap_or_default();
        gained < lost + (U512::from(order.quantity) - self.taken)
    }

    fn stand(&self, holdings: &Holdings) -> Stand {
        let (expired, begun) = (
            self.order.expires_at == Some(PAST),
            self.order.starts_at != Some(FUTURE),
        );
        let state = match self.end {
            Some((_, "filled")) => "filled",
            Some(_) => "canceled",
            None if expired => "expired",
            None if self.elsewhere(holdings) => "invalid",
            None => "active",
        };
        let left = U512::from(self.order.quantity) - self.taken;
        let (by, reason) = (
            self.end.map(|(id, _)| id),
            self.end.map(|(_, reason)| reason.to_owned()),
        );
        (
            state.to_owned(),
            state == "active" && begun,
            left.to_string(),
            reason,
            by,
        )
    }

    /// What one unit costs, where everyone may have it at once for what is worth the chain's own currency.
    fn unit_price(&self) -> Option<U256> {
        let order = self.order;
        let comparable = [Address::ZERO, PEGGED].contains(&order.currency) && order.taker.is_none() && !order.auction;
        order
            .price
            .filter(|_| comparable)
            .and_then(|price| price.checked_div(order.quantity))
    }
}

/// Who holds what, as far as transfers show.
#[derive(Default)]
struct Holdings {
    tokens: BTreeSet<(Address, U256)>,
    owners: BTreeMap<(Address, U256), Address>,
    units: BTreeMap<((Address, U256), Address), (U512, U512)>,
}

impl Holdings {
    fn of(facts: &Facts) -> Self {
        let mut holdings = Holdings::default();
        for fact in facts.transfers.iter().filter(|fact| !fact.quantity.is_zero()) {
            let key = (fact.contract, fact.token);
            holdings.tokens.insert(key);
            if fact.standard.single_owner() {
                holdings.owners.insert(key, fact.to);
                continue;
            }
            let quantity = U512::from(fact.quantity);
            for (party, (gained, lost)) in [(fact.to, (quantity, U512::ZERO)), (fact.from, (U512::ZERO, quantity))] {
                let held = holdings.units.entry((key, party)).or_default();
                *held = (held.0 + gained, held.1 + lost);
            }
        }
        // The zero address holds nothing, in neither standard.
        holdings.units.retain(|(_, party), _| !party.is_zero());
        holdings
    }
}

/// What happens to orders, in chain order.
enum Event<'a> {
    Opened(&'a Order),
    Closed(&'a Closing),
}

fn lives(facts: &Facts) -> Vec<Life<'_>> {
    let hash = |number| facts.blocks.iter().find(|block| block.number == number).unwrap().hash;
    let mut events: BTreeMap<Uuid, Event<'_>> = BTreeMap::new();
    for order in &facts.orders {
        events.insert(order.id(facts.chain, hash(order.block_number)), Event::Opened(order));
    }
    for closing in &facts.closings {
        events.insert(
            closing.id(facts.chain, hash(closing.block_number)),
            Event::Closed(closing),
        );
    }
    let mut lives: Vec<Life<'_>> = Vec::new();
    for (id, event) in events {
        match event {
            Event::Closed(closing) => {
                for life in lives.iter_mut().filter(|life| life.reached(closing)) {
                    life.close(id, closing);
                }
            }
            Event::Opened(order) => {
                let place = (order.market, order.key);
                for life in lives
                    .iter_mut()
                    .filter(|life| (life.order.market, life.order.key) == place)
                {
                    life.replaced = true;
                    life.end.get_or_insert((id, "replaced"));
                }
                lives.push(Life {
                    id,
                    order,
                    taken: U512::ZERO,
                    end: None,
                    ended_in: None,
                    replaced: false,
                });
            }
        }
    }
    lives
}

impl Open {
    /// How the orders of `facts` stand; their ids, and those of what canceled them, go to `activities`.
    pub(crate) fn of(facts: &Facts, activities: &mut Vec<Uuid>) -> Self {
        let (holdings, lives) = (Holdings::of(facts), lives(facts));
        let mut open = Open::default();
        let mut prices: BTreeMap<(Address, Option<U256>), Tally> = BTreeMap::new();
        for (contract, token) in &holdings.tokens {
            prices.entry((*contract, Some(*token))).or_default();
            prices.entry((*contract, None)).or_default();
        }
        for life in &lives {
            let stand = life.stand(&holdings);
            activities.push(life.id);
            activities.extend(
                life.end
                    .filter(|(_, why)| ["canceled", "invalidated"].contains(why))
                    .map(|end| end.0),
            );
            if stand.1 {
                let order = life.order;
                for about in [
                    Some((order.contract, None)),
                    order.token.map(|token| (order.contract, Some(token))),
                ] {
                    if let Some(tally) = about.and_then(|about| prices.get_mut(&about)) {
                        tally.add(life, about.is_some_and(|(_, token)| token.is_some()));
                    }
                }
            }
            let stands = match life.order.kind {
                OrderKind::Listing => &mut open.listings,
                OrderKind::Offer => &mut open.offers,
            };
            stands.insert(life.id, stand);
        }
        for ((contract, token), tally) in prices {
            let contract = format!("{contract:#x}");
            match token {
                Some(token) => open.tokens.insert((contract, token.to_string()), tally.prices()),
                None => open.collections.insert(contract, tally.prices()),
            };
        }
        open
    }

    /// What the views show.
    pub(crate) async fn read(store: &Store) -> Self {
        let stands = async |statement: &'static str| {
            let rows: Vec<StandRow> = sqlx::query_as(statement).fetch_all(&store.pool).await.unwrap();
            let stand = |(id, state, active, left, reason, by)| (id, (state, active, left, reason, by));
            rows.into_iter().map(stand).collect::<BTreeMap<Uuid, Stand>>()
        };
        let collections: Vec<(String, Option<String>, Option<String>, i64)> = sqlx::query_as(
            "select s.contract_address, trim_scale(s.floor_price_native * 1e18)::text,
                    trim_scale(p.best_offer_native * 1e18)::text, s.listed_count
             from catalog_service.collection_stats s
             join catalog_service.collection_prices p on p.collection_id = s.collection_id",
        )
        .fetch_all(&store.pool)
        .await
        .unwrap();
        let tokens: Vec<PricesRow> = sqlx::query_as(
            "select contract_address, token_number, trim_scale(lowest_listing_native * 1e18)::text,
                    trim_scale(best_offer_native * 1e18)::text, (listings_count > 0)::integer::bigint
             from catalog_service.token_prices",
        )
        .fetch_all(&store.pool)
        .await
        .unwrap();
        Open {
            listings: stands(
                "select id, state, is_active, remaining::text, closed_reason, closed_by from catalog_service.listings",
            )
            .await,
            offers: stands(
                "select id, state, is_active, remaining::text, closed_reason, closed_by from catalog_service.offers",
            )
            .await,
            collections: collections
                .into_iter()
                .map(|(contract, floor, best, listed)| (contract, (floor, best, listed)))
                .collect(),
            tokens: tokens
                .into_iter()
                .map(|(contract, number, floor, best, listed)| ((contract, number), (floor, best, listed)))
                .collect(),
        }
    }
}

/// The active orders of one token or collection.
#[derive(Default)]
struct Tally {
    floor: Option<U256>,
    best: Option<U256>,
    listed: BTreeSet<U256>,
}

impl Tally {
    fn add(&mut self, life: &Life<'_>, of_token: bool) {
        let (price, token) = (life.unit_price(), life.order.token);
        match life.order.kind {
            OrderKind::Listing => {
                self.listed.extend(token);
                if let Some(price) = price.filter(|_| token.is_some()) {
                    self.floor = Some(self.floor.map_or(price, |floor| floor.min(price)));
                }
            }
            // An offer for a token is no offer for any token.
            OrderKind::Offer if of_token || token.is_none() => {
                if let Some(price) = price {
                    self.best = Some(self.best.map_or(price, |best| best.max(price)));
                }
            }
            OrderKind::Offer => {}
        }
    }

    fn prices(&self) -> Prices {
        let text = |price: Option<U256>| price.map(|price| price.to_string());
        (text(self.floor), text(self.best), self.listed.len() as i64)
    }
}
