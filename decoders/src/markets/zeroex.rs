//! 0x v4 NFT orders (decoding specification, section 4.13; 0x `IERC721OrdersFeature` and `IERC1155OrdersFeature`).
//!
//! The amount leaves out the order's fees, which the buyer is charged on top and no log of a sale states. Orders have no hash: a
//! maker has one order per standard and nonce, and stands by it on the chain once it is pre-signed. Who matches a sell order with
//! a buy order has both emitted, one behind the other: that is one sale, for what the buy order gives.

use alloy_primitives::{Address, B256, U256, address, b256};

use crate::block::Log;
use crate::chains;
use crate::decoder::{Claim, Decoder};
use crate::events::Events;
use crate::fact::{Closing, FeeKind, Order, OrderKind, Side, Standard, flag, reason};
use crate::log_reader::{DecodeError, Reader, Tuple, sum, uint};
use crate::trade::orders::{Key, LogOutcome, canceled, filled_by, only, order, part, until};
use crate::trade::{LineItem, Market, Trade, sum_of};
use crate::transaction::Transaction;

const CONTRACTS: &[(u64, Address)] = &[
    // The first contract of a key that deployed nothing else, on every chain but one.
    (chains::EVERY, address!("def1c0ded9bec7f1a1670819833240f027b25eff")),
    (chains::OPTIMISM, address!("def1abe32c034e558cdd535791643c58a13acc10")),
];
const MARKET: Market = Market {
    name: "zeroex",
    version: "v4",
};
/// Stands for the native currency.
const NATIVE: Address = address!("eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee");

/// `ERC721OrderFilled(uint8,address,address,uint256,address,uint256,address,uint256,address)`.
const ERC721_ORDER_FILLED: B256 = b256!("50273fa02273cceea9cf085b42de5c8af60624140168bd71357db833535877af");
/// `ERC1155OrderFilled(uint8,address,address,uint256,address,uint256,address,uint256,uint128,address)`.
const ERC1155_ORDER_FILLED: B256 = b256!("20cca81b0e269b265b3229d6b537da91ef475ca0ef55caed7dd30731700ba98d");
/// `ERC721OrderPreSigned(uint8,address,address,uint256,uint256,address,uint256,(address,uint256,bytes)[],address,uint256,(address,bytes)[])`.
const ERC721_PRE_SIGNED: B256 = b256!("8c5d0c41fb16a7317a6c55ff7ba93d9d74f79e434fefa694e50d6028afbfa3f0");
/// `ERC1155OrderPreSigned(uint8,address,address,uint256,uint256,address,uint256,(address,uint256,bytes)[],address,uint256,(address,bytes)[],uint128)`.
const ERC1155_PRE_SIGNED: B256 = b256!("5e91ddfeb7bf2e12f7e8ab017d2b63a9217f004a15a53346ad90353ec63d14e4");
/// `ERC721OrderCancelled(address,uint256)`.
pub(crate) const ERC721_CANCELLED: B256 = b256!("a015ad2dc32f266993958a0fd9884c746b971b254206f3478bc43e2f125c7b9e");
/// `ERC1155OrderCancelled(address,uint256)`.
pub(crate) const ERC1155_CANCELLED: B256 = b256!("4d5ea7da64f50a4a329921b8d2cab52dff4ebcc58b61d10ff839e28e91445684");

/// The exchange on every chain.
pub(crate) const DECODER: Decoder = Decoder {
    name: "zeroex",
    claims: &[
        Claim::of(CONTRACTS, ERC721_ORDER_FILLED, 1).with_envelope(),
        Claim::of(CONTRACTS, ERC1155_ORDER_FILLED, 1).with_envelope(),
        Claim::of(CONTRACTS, ERC721_PRE_SIGNED, 1),
        Claim::of(CONTRACTS, ERC1155_PRE_SIGNED, 1),
        Claim::of(CONTRACTS, ERC721_CANCELLED, 1),
        Claim::of(CONTRACTS, ERC1155_CANCELLED, 1),
    ],
    decode,
    ..Decoder::NONE
};

fn decode(transaction: &Transaction<'_>, events: &mut Events) {
    let logs: Vec<&Log> = transaction.claimed().collect();
    for (index, log) in logs.iter().enumerate() {
        match log.topic0() {
            Some(&ERC721_PRE_SIGNED | &ERC1155_PRE_SIGNED) => events.emit(log, pre_signed(log)),
            Some(&ERC721_CANCELLED | &ERC1155_CANCELLED) => events.emit(log, taken_back(log)),
            _ => events.emit(log, filled(&logs, index)),
        }
    }
}

/// What stands for an order's hash. A nonce ends whatever lives under it, so that a listing and an offer share the key.
fn key(log: &Log, standard: Standard, maker: Address, nonce: U256) -> Key {
    let standard = U256::from(if standard == Standard::Erc1155 { 1155 } else { 721 });
    Key::natural(
        log,
        OrderKind::Listing,
        &[part(standard), maker.into_word(), part(nonce)],
    )
}

/// Whether the maker sells or buys.
fn kind(direction: U256) -> Result<OrderKind, DecodeError> {
    match u8::try_from(direction) {
        Ok(0) => Ok(OrderKind::Listing),
        Ok(1) => Ok(OrderKind::Offer),
        _ => Err(DecodeError(reason::UNKNOWN_VARIANT)),
    }
}

/// An order taken, in whole or in part.
struct Fill {
    trade: Trade,
    nonce: U256,
    /// Who matched the order with another; zero where its taker took it directly.
    matcher: Address,
}

impl Fill {
    fn read(log: &Log) -> Result<(Self, Option<&'static str>), DecodeError> {
        let mut reader = Reader::new(log);
        let [direction, maker, taker, nonce, paid_in, amount, contract, token, last] = reader.head()?;
        let (standard, quantity, matcher) = if log.topic0() == Some(&ERC1155_ORDER_FILLED) {
            let [.., quantity, matcher] = reader.head::<10>()?;
            (Standard::Erc1155, uint(quantity), matcher)
        } else {
            (Standard::Erc721, U256::ONE, last)
        };
        let (maker, taker) = (reader.address(maker), reader.address(taker));
        let (side, seller, buyer) = match kind(uint(direction))? {
            OrderKind::Listing => (Side::Listing, maker, taker),
            OrderKind::Offer => (Side::Offer, taker, maker),
        };
        let line = LineItem {
            standard,
            ..LineItem::of(reader.address(contract), uint(token), quantity).between(seller, buyer)
        };
        let mut trade = Trade {
            currency: currency(reader.address(paid_in)),
            ..Trade::of(MARKET, side, line, uint(amount))
        };
        trade.flags.push(flag::FEES_ON_TOP_UNKNOWN);
        let fill = Fill {
            trade,
            nonce: uint(nonce),
            matcher: reader.address(matcher),
        };
        Ok((fill, reader.warning()))
    }

    /// The trade, if the one that matched the order is `matcher`.
    fn matched_by(self, matcher: Address) -> Option<Trade> {
        (self.matcher == matcher && !matcher.is_zero()).then_some(self.trade)
    }
}

fn filled(logs: &[&Log], index: usize) -> Result<(LogOutcome, Option<&'static str>), DecodeError> {
    let log = logs[index];
    let (fill, warning) = Fill::read(log)?;
    let line = fill.trade.lines[0];
    let key = key(log, line.standard, fill.trade.maker, fill.nonce);
    let other = counterpart(logs, index, &fill.trade, |other| {
        let fills = other.topic0() == log.topic0();
        let (other, _) = Fill::read(other).ok().filter(|_| fills)?;
        other.matched_by(fill.matcher)
    });
    let trade_of = trade_of(fill.trade, other, fill.matcher);
    Ok((
        LogOutcome::from(trade_of).and(filled_by(MARKET, log, key, line.quantity)),
        warning,
    ))
}

/// What the order was for that the one filled at `index` was matched with, if it was: the log behind a sell order, or before a buy
/// order, fills it with the same token between the same parties.
pub(crate) fn counterpart(
    logs: &[&Log],
    index: usize,
    trade: &Trade,
    read: impl Fn(&Log) -> Option<Trade>,
) -> Option<Trade> {
    let at = match trade.side {
        Side::Listing => index.checked_add(1),
        _ => index.checked_sub(1),
    };
    let other = read(logs.get(at?)?)?;
    let [one, two] = [trade, &other].map(|trade| {
        let line = trade.lines[0];
        (line.contract, line.token, line.quantity, line.seller, line.buyer)
    });
    (trade.side != other.side && one == two).then_some(other)
}

/// What an order sold, if its log emits that: of two matched orders, the one that the matcher did not make does, else the sell
/// order.
pub(crate) fn trade_of(trade: Trade, counterpart: Option<Trade>, matcher: Address) -> Option<Trade> {
    let Some(other) = counterpart else {
        return Some(trade);
    };
    let side = trade.side;
    let (sell, buy) = match side {
        Side::Listing => (trade, other),
        _ => (other, trade),
    };
    Some(matched(&sell, &buy, matcher)).filter(|trade| trade.side == side)
}

/// The trade of two matched orders. The buyer gives what the buy order states, or, as the matcher, what the seller asks. What no
/// log names a receiver for goes to fees of the sell order and to the matcher.
fn matched(sell: &Trade, buy: &Trade, matcher: Address) -> Trade {
    let (stated, other) = if matcher == sell.maker {
        (buy, sell)
    } else {
        (sell, buy)
    };
    let price = if matcher == buy.maker { sell.price } else { buy.price };
    let mut trade = Trade {
        currency: buy.currency,
        price,
        ..stated.clone()
    };
    for fee in &other.fees {
        trade.fee(fee.recipient, fee.amount, fee.kind);
    }
    if matcher != sell.maker {
        let left = |taken| price?.checked_sub(sell.price?)?.checked_sub(taken);
        let of_buyer = sum_of(buy.fees.iter().map(|fee| fee.amount)).ok();
        trade.fee(matcher, of_buyer.and_then(left).unwrap_or_default(), FeeKind::Other);
    }
    trade
}

/// An order as its maker put it on the chain. Conditions in place of a token number stand for any token that meets them.
fn pre_signed(log: &Log) -> Result<(Order, Option<&'static str>), DecodeError> {
    let mut reader = Reader::new(log);
    let [
        direction,
        maker,
        taker,
        end,
        nonce,
        paid_in,
        amount,
        fees_at,
        contract,
        token,
        conditions_at,
    ] = reader.head()?;
    let (standard, quantity) = if log.topic0() == Some(&ERC1155_PRE_SIGNED) {
        let [.., quantity] = reader.head::<12>()?;
        (Standard::Erc1155, uint(quantity))
    } else {
        (Standard::Erc721, U256::ONE)
    };
    let mut price = uint(amount);
    for fee in reader.tuples(Tuple::ROOT, fees_at)? {
        let [_recipient, amount, data_at] = reader.words(fee)?;
        reader.bytes(fee, data_at)?;
        price = sum(price, uint(amount))?;
    }
    let conditions = reader.tuples(Tuple::ROOT, conditions_at)?;
    for condition in &conditions {
        let [_validator, data_at] = reader.words(*condition)?;
        reader.bytes(*condition, data_at)?;
    }
    let (kind, maker) = (kind(uint(direction))?, reader.address(maker));
    let line = LineItem {
        token: conditions.is_empty().then(|| uint(token)),
        standard,
        ..LineItem::of(reader.address(contract), uint(token), quantity)
    };
    let nonce = uint(nonce);
    let opened = Order {
        currency: currency(reader.address(paid_in)),
        price: Some(price),
        expires_at: until(uint(end)),
        taker: only(reader.address(taker)),
        nonce: Some(nonce),
        ..order(MARKET, log, kind, key(log, standard, maker, nonce), maker, line)
    };
    Ok((opened, reader.warning()))
}

fn taken_back(log: &Log) -> Result<(Closing, Option<&'static str>), DecodeError> {
    let mut reader = Reader::new(log);
    let [maker, nonce] = reader.head()?;
    let standard = if log.topic0() == Some(&ERC1155_CANCELLED) {
        Standard::Erc1155
    } else {
        Standard::Erc721
    };
    let key = key(log, standard, reader.address(maker), uint(nonce));
    Ok((canceled(MARKET, log, key), reader.warning()))
}

/// What an order is paid in: zero for the native currency.
pub(crate) fn currency(contract: Address) -> Address {
    if contract == NATIVE { Address::ZERO } else { contract }
}
