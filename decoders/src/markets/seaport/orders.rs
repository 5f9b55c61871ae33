//! Orders that stand on the chain because somebody validated them at Seaport (decoding specification, section 4.1).
//!
//! From 1.2 on `OrderValidated` states the terms. That of 1.1 does not: they are read off the calldata of a plain `validate`,
//! where every order of the call was validated by it, so that the nth log is the nth order's.

use alloy_primitives::{Address, B256, U256};

use crate::block::{Envelope, Log};
use crate::events::Events;
use crate::fact::{Order, OrderKind};
use crate::log_reader::{DecodeError, Reader, Tuple, Word, uint, words};
use crate::markets::seaport::fulfillment::{ItemWords, OrderItem, market};
use crate::trade::orders::{Key, from, order, until};
use crate::trade::{LineItem, sum_of};
use crate::transaction::Transaction;

/// `validate(((...),bytes)[])`.
const VALIDATE: [u8; 4] = [0x88, 0x14, 0x77, 0x32];

words! {
    /// `OrderParameters`.
    struct Parameters {
        offerer, zone, offer_at, consideration_at, order_type, start_time, end_time, zone_hash, salt, conduit_key,
        total_original_consideration_items,
    }
}

/// The order that an `OrderValidated` with terms opens, if it is a listing or an offer of one token in one currency.
pub(crate) fn validated(
    transaction: &Transaction<'_>,
    log: &Log,
) -> Result<(Option<Order>, Option<&'static str>), DecodeError> {
    let mut reader = Reader::new(log);
    let [hash, terms_at] = reader.head()?;
    let terms = reader.tuple(Tuple::ROOT, terms_at)?;
    let terms = Terms::read(transaction, &mut reader, terms)?;
    let order = terms.order(log, B256::from(*hash))?;
    Ok((order, reader.warning()))
}

/// The orders that `logs`, the `OrderValidated` without terms of a transaction, open as far as its calldata shows them.
pub(crate) fn validated_unseen(transaction: &Transaction<'_>, logs: &[&Log], events: &mut Events) {
    let called = transaction.envelope.and_then(|envelope| envelope.to);
    let (called, others): (Vec<&Log>, Vec<&Log>) = logs.iter().partition(|log| Some(log.address) == called);
    let terms = transaction
        .envelope
        .filter(|_| !called.is_empty())
        .and_then(|envelope| validated_terms(transaction, envelope))
        .filter(|terms| terms.len() == called.len())
        .unwrap_or_default();
    let terms = terms.iter().map(Some).chain(std::iter::repeat(None));
    for (log, terms) in called.into_iter().zip(terms) {
        events.emit(log, unseen(log, terms));
    }
    for log in others {
        events.emit(log, unseen(log, None));
    }
}

fn unseen(log: &Log, terms: Option<&Terms>) -> Result<(Option<Order>, Option<&'static str>), DecodeError> {
    let mut reader = Reader::new(log);
    let [hash] = reader.head()?;
    let (offerer, hash) = (reader.topic_address(1), B256::from(*hash));
    let order = match terms.filter(|terms| terms.offerer == offerer) {
        Some(terms) => terms.order(log, hash)?,
        None => None,
    };
    Ok((order, reader.warning()))
}

/// The terms of every order in the calldata of a `validate`.
fn validated_terms(transaction: &Transaction<'_>, envelope: &Envelope) -> Option<Vec<Terms>> {
    let (selector, arguments) = envelope.input.split_first_chunk::<4>()?;
    if *selector != VALIDATE {
        return None;
    }
    let mut reader = Reader::over(arguments);
    let [orders_at] = reader.words(Tuple::ROOT).ok()?;
    let mut terms = Vec::new();
    for order in reader.tuples(Tuple::ROOT, orders_at).ok()? {
        let [terms_at, _signature_at] = reader.words(order).ok()?;
        let at = reader.tuple(order, terms_at).ok()?;
        terms.push(Terms::read(transaction, &mut reader, at).ok()?);
    }
    Some(terms)
}

/// `OrderParameters`: what an order gives, what it asks for, and when.
struct Terms {
    offerer: Address,
    offer: Vec<Priced>,
    consideration: Vec<Priced>,
    starts_at: U256,
    ends_at: U256,
}

/// An item whose amount may change while the order stands; `item.amount` is the first.
struct Priced {
    item: OrderItem,
    last: U256,
}

impl Priced {
    /// The first five words of an `OfferItem` or a `ConsiderationItem`.
    fn read(transaction: &Transaction<'_>, reader: &mut Reader<'_>, words: &[Word; 5]) -> Result<Self, DecodeError> {
        let [item @ .., end_amount] = words;
        let item = OrderItem::read(transaction, reader, ItemWords::of(item))?;
        Ok(Priced {
            item,
            last: uint(end_amount),
        })
    }
}

impl Terms {
    fn read(transaction: &Transaction<'_>, reader: &mut Reader<'_>, at: Tuple) -> Result<Self, DecodeError> {
        let parameters = Parameters::of(reader.words(at)?);
        let mut offer = Vec::new();
        for words in reader.records::<5>(at, parameters.offer_at)? {
            offer.push(Priced::read(transaction, reader, words)?);
        }
        let mut consideration = Vec::new();
        for [words @ .., recipient] in reader.records::<6>(at, parameters.consideration_at)? {
            let priced = Priced::read(transaction, reader, words)?;
            let recipient = reader.address(recipient);
            let item = OrderItem {
                recipient,
                ..priced.item
            };
            consideration.push(Priced { item, ..priced });
        }
        Ok(Terms {
            offerer: reader.address(parameters.offerer),
            offer,
            consideration,
            starts_at: uint(parameters.start_time),
            ends_at: uint(parameters.end_time),
        })
    }

    /// The order these terms make, if they are a listing or an offer of one token in one currency.
    fn order(&self, log: &Log, hash: B256) -> Result<Option<Order>, DecodeError> {
        let (given, paid) = split(&self.offer);
        let (asked, charged) = split(&self.consideration);
        let (kind, tokens, price) = match (given.is_empty(), paid.is_empty()) {
            (false, true) => (OrderKind::Listing, &given, &charged),
            (true, false) => (OrderKind::Offer, &asked, &paid),
            _ => return Ok(None),
        };
        let (Some(token), Some(first)) = (tokens.first(), price.first()) else {
            return Ok(None);
        };
        let of_one_token = |item: &&Priced| item.last == item.item.amount && is_same(&item.item, &token.item);
        let in_one_currency =
            |item: &&Priced| item.item.kind == first.item.kind && item.item.currency() == first.item.currency();
        // A listing that asks for its own token is for the receiver of that token.
        if !given.iter().chain(&asked).all(of_one_token) || !paid.iter().chain(&charged).all(in_one_currency) {
            return Ok(None);
        }
        let quantity = sum_of(tokens.iter().map(|item| item.item.amount))?;
        let by_criteria = token.item.kind > 3;
        let line = LineItem {
            token: (!by_criteria).then_some(token.item.token),
            quantity,
            ..token.item.line(Address::ZERO, Address::ZERO)
        };
        let taker = asked.first().filter(|_| kind == OrderKind::Listing);
        Ok((!quantity.is_zero()).then_some(Order {
            currency: first.item.currency(),
            price: Some(sum_of(price.iter().map(|item| item.item.amount))?),
            starts_at: from(self.starts_at),
            expires_at: until(self.ends_at),
            taker: taker.map(|item| item.item.recipient),
            ..order(market(log), log, kind, Key::hash(hash), self.offerer, line)
        }))
    }
}

/// The tokens among `items`, and the payments.
fn split(items: &[Priced]) -> (Vec<&Priced>, Vec<&Priced>) {
    items.iter().partition(|item| !item.item.is_payment())
}

/// Whether two items stand for the same token, or for the same choice of tokens.
fn is_same(one: &OrderItem, other: &OrderItem) -> bool {
    one.is_same_token(other) && one.kind == other.kind
}
