//! Wyvern v1 and v2, OpenSea's exchange until 2022 (decoding specification, section 4.2; contracts
//! `ProjectWyvern/wyvern-ethereum`).
//!
//! `OrdersMatched` states maker, taker and price, and neither token nor currency. Both moved just before it: what lies
//! between one match and the one before it in a transaction belongs to the later.

use std::ops::Range;

use alloy_primitives::{Address, B256, U256, address, b256};

use crate::block::{Envelope, Log};
use crate::chains;
use crate::decoder::{Claim, Decoder};
use crate::events::Events;
use crate::fact::{Closing, FeeKind, Nonces, Side, flag};
use crate::log_reader::{DecodeError, Reader, Tuple, share, uint, words};
use crate::roster::InnerCall;
use crate::trade::orders::{Key, LogOutcome, canceled, revoked};
use crate::trade::transfer_index::{Movement, Payment, TransferIndex};
use crate::trade::{LineItem, Market, Trade, sum_of};
use crate::transaction::Transaction;

const V1: Address = address!("7be8076f4ea4a4ad08075c2508e481d6c946d12b");
const V2: Address = address!("7f268357a8c2552623316e2562d90e642bb538e5");
const CONTRACTS: &[(u64, Address)] = &[(chains::ETHEREUM, V1), (chains::ETHEREUM, V2)];
const SECOND: &[(u64, Address)] = &[(chains::ETHEREUM, V2)];

/// `OrdersMatched(bytes32,bytes32,address,address,uint256,bytes32)`.
const ORDERS_MATCHED: B256 = b256!("c4109843e0b7d514e4c093114b863f8e7d8d9a458c372cd51bfe526b588006c9");
/// `OrderCancelled(bytes32)`.
const ORDER_CANCELLED: B256 = b256!("5152abf959f6564662358c2e52b702259b78bac5ee7842a0f01937e670efcc7d");
/// v2 `NonceIncremented(address,uint256)`.
const NONCE_INCREMENTED: B256 = b256!("a82a649bbd060c9099cd7b7326e2b0dc9e9af0836480e0f849dc9eaa79710b3b");

/// `atomicMatch_(address[14],uint256[18],...)`.
const ATOMIC_MATCH: [u8; 4] = [0xab, 0x83, 0x4b, 0xab];

words! {
    /// The two orders that an [`ATOMIC_MATCH`] starts with: `addrs`, then `uints`.
    struct MatchedOrders {
        buy_exchange, buy_maker, buy_taker, buy_fee_recipient, buy_target, buy_static_target, buy_payment_token,
        sell_exchange, sell_maker, sell_taker, sell_fee_recipient, sell_target, sell_static_target, sell_payment_token,
        buy_maker_relayer_fee, buy_taker_relayer_fee, buy_maker_protocol_fee, buy_taker_protocol_fee, buy_base_price,
        buy_extra, buy_listing_time, buy_expiration_time, buy_salt,
        sell_maker_relayer_fee, sell_taker_relayer_fee, sell_maker_protocol_fee, sell_taker_protocol_fee, sell_base_price,
        sell_extra, sell_listing_time, sell_expiration_time, sell_salt,
    }
}

const WHOLE: u64 = 10_000;

/// Both versions. Fees of sales in native currency stand in the calldata only.
pub(crate) const DECODER: Decoder = Decoder {
    name: "wyvern",
    claims: &[
        Claim::of(CONTRACTS, ORDERS_MATCHED, 4).with_envelope(),
        Claim::of(CONTRACTS, ORDER_CANCELLED, 2),
        Claim::of(SECOND, NONCE_INCREMENTED, 2),
    ],
    inner_call: Some(inner_call),
    decode,
    ..Decoder::NONE
};

fn decode(transaction: &Transaction<'_>, events: &mut Events) {
    let transfers = events.transfer_index(transaction);
    let (matches, ends): (Vec<&Log>, Vec<&Log>) = transaction
        .claimed()
        .partition(|log| log.topic0() == Some(&ORDERS_MATCHED));
    for log in ends {
        events.emit(log, taken_back(log));
    }
    for (nth, log) in matches.iter().enumerate() {
        let others = |other: &&&Log| other.address == log.address;
        let start = matches[..nth]
            .iter()
            .rfind(others)
            .map_or(0, |before| before.log_index + 1);
        let context = Context {
            transaction,
            transfers: &transfers,
            window: start..log.log_index,
            is_last: nth + 1 == matches.len(),
            is_only: matches.len() == 1,
        };
        events.emit(log, matched(log, &context));
    }
}

fn market(log: &Log) -> Market {
    Market {
        name: "wyvern",
        version: if log.address == V1 { "v1" } else { "v2" },
    }
}

/// The end of one order, or of all that the maker signed under the nonces before.
fn taken_back(log: &Log) -> Result<(Closing, Option<&'static str>), DecodeError> {
    let mut reader = Reader::new(log);
    let closing = if log.topic0() == Some(&ORDER_CANCELLED) {
        canceled(market(log), log, Key::hash(log.topics[1]))
    } else {
        let [_nonce] = reader.head()?;
        revoked(market(log), log, reader.topic_address(1), Nonces::All)
    };
    Ok((closing, reader.warning()))
}

/// What surrounds one match.
struct Context<'a> {
    transaction: &'a Transaction<'a>,
    transfers: &'a TransferIndex,
    window: Range<u32>,
    is_last: bool,
    is_only: bool,
}

fn matched(log: &Log, context: &Context<'_>) -> Result<(LogOutcome, Option<&'static str>), DecodeError> {
    let mut reader = Reader::new(log);
    let [buy_hash, sell_hash, price] = reader.head()?;
    let (maker, taker) = (reader.topic_address(1), reader.topic_address(2));
    let bid = match (B256::from(*buy_hash).is_zero(), B256::from(*sell_hash).is_zero()) {
        (true, _) => false,
        (_, true) => true,
        // Both are signed: the one that sent the token sold, or the one it was minted to bought.
        _ => !context
            .transfers
            .movements(context.window.clone())
            .iter()
            .any(|movement| movement.from == maker || movement.from.is_zero() && movement.to == taker),
    };
    let (seller, buyer) = if bid { (taker, maker) } else { (maker, taker) };
    let price = uint(price);
    let side = if bid { Side::Offer } else { Side::Listing };
    // The log names neither token nor currency: both are what moved since the match before (decoding specification, section 4.2).
    let mut sold = sold(log, context, seller, buyer);
    // Some contracts emit the same movement by both standards.
    sold.dedup_by(|next, one| {
        let is_one = one.standard.single_owner() || next.standard.single_owner();
        is_one && (one.contract, one.token) == (next.contract, next.token)
    });
    let mut trade = Trade {
        order_hash: Some(B256::from(if bid { *buy_hash } else { *sell_hash })),
        lines: sold.iter().map(|movement| line(movement, seller, buyer)).collect(),
        ..Trade::of(market(log), side, unknown().between(seller, buyer), price)
    };
    // A match that moved nothing visible was still paid: the sale stands without its token.
    if trade.lines.is_empty() {
        trade.lines.push(unknown().between(seller, buyer));
        trade.flags.push(flag::TOKEN_UNKNOWN);
    }
    pay(&mut trade, context, seller, buyer)?;
    let outcome = LogOutcome::from(trade).and_both(market(log), log, [buy_hash, sell_hash], None);
    Ok((outcome, reader.warning()))
}

/// The movements that a match between `seller` and `buyer` sold.
fn sold(log: &Log, context: &Context<'_>, seller: Address, buyer: Address) -> Vec<Movement> {
    let before = context.transfers.movements(context.window.clone());
    let from_seller: Vec<Movement> = before
        .iter()
        .filter(|movement| movement.from == seller)
        .copied()
        .collect();
    if !from_seller.is_empty() {
        return from_seller;
    }
    let sender = context.transaction.sender();
    let is_meant =
        |movement: &&Movement| movement.from.is_zero() || movement.to == buyer || Some(movement.to) == sender;
    let meant: Vec<Movement> = before.iter().filter(is_meant).copied().collect();
    if !meant.is_empty() || !context.is_last {
        return meant;
    }
    let after = context.transfers.movements(log.log_index + 1..u32::MAX);
    after
        .iter()
        .filter(|movement| movement.from == seller)
        .copied()
        .collect()
}

fn line(movement: &Movement, seller: Address, buyer: Address) -> LineItem {
    LineItem {
        standard: movement.standard,
        ..LineItem::of(movement.contract, movement.token, movement.quantity).between(seller, buyer)
    }
}

fn unknown() -> LineItem {
    LineItem {
        token: None,
        ..LineItem::of(Address::ZERO, U256::ZERO, U256::ONE)
    }
}

/// Fills in what was paid in and which parts of it the seller did not keep. The exchange has the buyer pay the seller before
/// either is charged fees.
fn pay(trade: &mut Trade, context: &Context<'_>, seller: Address, buyer: Address) -> Result<(), DecodeError> {
    let payments = context.transfers.payments(context.window.clone());
    let price = trade.price.unwrap_or_default();
    let is_price = |payment: &Payment| (payment.from, payment.to) == (buyer, seller) && payment.amount <= price;
    let Some(at) = payments.iter().position(is_price) else {
        return pay_otherwise(trade, context, seller, buyer);
    };
    trade.currency = payments[at].currency;
    let later = payments[at + 1..].iter().filter(|fee| fee.currency == trade.currency);
    let (by_seller, by_others): (Vec<&Payment>, Vec<&Payment>) = later.partition(|fee| fee.from == seller);
    let on_top: Vec<&Payment> = by_others.into_iter().filter(|fee| fee.from == buyer).collect();
    trade.price = Some(sum_of(on_top.iter().map(|fee| fee.amount).chain([price]))?);
    for fee in by_seller.into_iter().chain(on_top) {
        trade.fee(fee.to, fee.amount, FeeKind::Marketplace);
    }
    Ok(())
}

/// A listing bought in native currency, or of a router that was paid the price in another one and changed it.
fn pay_otherwise(trade: &mut Trade, context: &Context<'_>, seller: Address, buyer: Address) -> Result<(), DecodeError> {
    let sender = context.transaction.sender().filter(|_| trade.side == Side::Listing);
    let payments = context.transfers.payments(context.window.clone()).iter();
    let mut to_router = payments.filter(|payment| payment.to == buyer && Some(payment.amount) == trade.price);
    let Some(changed) = to_router.find(|payment| Some(payment.from) == sender) else {
        return native_fees(trade, context, seller);
    };
    trade.currency = changed.currency;
    trade.flags.push(flag::FEES_UNKNOWN);
    Ok(())
}

/// The fee of a listing paid in native currency, from the calldata of a plain `atomicMatch_`.
fn native_fees(trade: &mut Trade, context: &Context<'_>, seller: Address) -> Result<(), DecodeError> {
    let Some(envelope) = context.transaction.envelope else {
        trade.flags.extend([flag::FEES_UNKNOWN, flag::NO_ENVELOPE]);
        return Ok(());
    };
    let Some(terms) = SellTerms::read(envelope).filter(|terms| context.is_only && terms.maker == seller) else {
        trade.flags.push(flag::FEES_UNKNOWN);
        return Ok(());
    };
    let fee = share(trade.price.unwrap_or_default(), terms.maker_fee, WHOLE)?;
    trade.fee(terms.fee_recipient, fee, FeeKind::Marketplace);
    if !terms.taker_fee.is_zero() {
        trade.flags.push(flag::FEES_ON_TOP_UNKNOWN);
    }
    Ok(())
}

/// The call that the orders of `envelope` agree on, if it calls an exchange itself: that of the sell order, with what its replacement
/// pattern leaves open filled in by the buy order (`ExchangeCore.atomicMatch`).
fn inner_call(envelope: &Envelope) -> Option<InnerCall> {
    let arguments = match_arguments(envelope)?;
    let mut reader = Reader::over(arguments);
    // The orders and eight options; then the calldata of both orders, and their patterns.
    let words = reader.words::<44>(Tuple::ROOT).ok()?;
    let [.., calldata_buy_at, calldata_sell_at, _pattern_buy_at, pattern_sell_at] = words;
    let orders = MatchedOrders::of(reader.words(Tuple::ROOT).ok()?);
    let target = reader.address(orders.sell_target);
    let buy = reader.bytes(Tuple::ROOT, calldata_buy_at).ok()?;
    let sell = reader.bytes(Tuple::ROOT, calldata_sell_at).ok()?;
    let pattern = reader.bytes(Tuple::ROOT, pattern_sell_at).ok()?;
    let mask = |at: usize| pattern.get(at).copied().unwrap_or_default();
    let filled = sell.iter().enumerate().map(|(at, byte)| {
        let other = buy.get(at).copied().unwrap_or_default();
        (byte & !mask(at)) | (other & mask(at))
    });
    Some(InnerCall {
        target,
        input: filled.collect(),
    })
}

/// The arguments of a plain `atomicMatch_` of either exchange.
fn match_arguments(envelope: &Envelope) -> Option<&[u8]> {
    let (selector, arguments) = envelope.input.split_first_chunk::<4>()?;
    let is_match = *selector == ATOMIC_MATCH && envelope.to.is_some_and(|to| to == V1 || to == V2);
    is_match.then_some(arguments)
}

/// What the sell order of an `atomicMatch_` states about fees, in basis points.
struct SellTerms {
    maker: Address,
    fee_recipient: Address,
    maker_fee: U256,
    taker_fee: U256,
}

impl SellTerms {
    /// The terms, if the transaction calls the exchange itself and the sell order is the one that names a fee recipient.
    fn read(envelope: &Envelope) -> Option<Self> {
        let mut reader = Reader::over(match_arguments(envelope)?);
        let orders = MatchedOrders::of(reader.words(Tuple::ROOT).ok()?);
        let terms = SellTerms {
            maker: reader.address(orders.sell_maker),
            fee_recipient: reader.address(orders.sell_fee_recipient),
            maker_fee: uint(orders.sell_maker_relayer_fee),
            taker_fee: uint(orders.sell_taker_relayer_fee),
        };
        (!terms.fee_recipient.is_zero()).then_some(terms)
    }
}
