//! Blur v1 and v2 (decoding specification, sections 4.6 and 4.7; the verified source of both contracts).
//!
//! v1 emits both orders in full. v2 packs an order into three or four words and leaves the taker out: it is the one the token
//! went to, or came from.

use alloy_primitives::{Address, B256, U256, address, b256};
use rustc_hash::FxHashMap;

use crate::block::Log;
use crate::chains;
use crate::decoder::{Claim, Decoder};
use crate::events::Events;
use crate::fact::{Closing, FeeKind, Side, flag, reason};
use crate::log_reader::{DecodeError, Reader, Tuple, Word, share, sum, uint, words};
use crate::markets::blend::{BLEND, Loan, NONCE_INCREMENTED, POOL, nonce_incremented};
use crate::trade::orders::{Key, LogOutcome, canceled, filled_by};
use crate::trade::transfer_index::{Movement, TransferIndex};
use crate::trade::{Flags, LineItem, Market, Trade};
use crate::transaction::Transaction;

const V1: &[(u64, Address)] = &[(chains::ETHEREUM, address!("000000000000ad05ccc4f10045630fb830b95127"))];
const V2: &[(u64, Address)] = &[(chains::ETHEREUM, address!("b2ecfe4e4d61f8790bbb9de2d1259b9e2410cea5"))];

const LISTING_POLICIES: [Address; 2] = [
    address!("00000000006411739da1c40b106f8511de5d1fac"),
    address!("0000000000dab4a563819e8fd93dba3b25bc3495"),
];
const BID_POLICY: Address = address!("0000000000b92d5d043faf7cecf7e2ee6aaed232");

/// `OrdersMatched(address,address,(...),bytes32,(...),bytes32)`.
const ORDERS_MATCHED: B256 = b256!("61cbb2a3dee0b6064c2e681aadd61677fb4ef319f0b547508d495626f5a62f64");
/// `Execution((address,uint256,uint256,address,uint8),bytes32,uint256,uint256,(address,uint16),((address,uint16),(address,uint16)),uint8)`.
const EXECUTION: B256 = b256!("f2f66294df6fae7ac681cbe2f6d91c6904485929679dce263e8f6539b7d5c559");
/// `Execution721Packed(bytes32,uint256,uint256)`.
const PACKED: B256 = b256!("1d5e12b51dee5e4d34434576c3fb99714a85f57b0fd546ada4b0bddd736d12b2");
/// `Execution721TakerFeePacked(bytes32,uint256,uint256,uint256)`.
const PACKED_TAKER_FEE: B256 = b256!("0fcf17fac114131b10f37b183c6a60f905911e52802caeeb3e6ea210398b81ab");
/// `Execution721MakerFeePacked(bytes32,uint256,uint256,uint256)`.
const PACKED_MAKER_FEE: B256 = b256!("7dc5c0699ac8dd5250cbe368a2fc3b4a2daadb120ad07f6cccea29f83482686e");
/// v1 `OrderCancelled(bytes32)`.
const ORDER_CANCELLED: B256 = b256!("5152abf959f6564662358c2e52b702259b78bac5ee7842a0f01937e670efcc7d");
/// v2 `CancelTrade(address,bytes32,uint256,uint256)`.
const CANCEL_TRADE: B256 = b256!("f4092a7c54e135dc5f273d6675327b7b7838392537d2f7b63f7acbec8c7cd296");

words! {
    /// An order of [`ORDERS_MATCHED`].
    struct OrderWords {
        trader, side, matching_policy, collection, token_id, amount, payment_token, price, listing_time, expiration_time,
        fees_at, salt, extra_params_at,
    }

    /// What [`EXECUTION`] states, its tuples laid flat.
    struct ExecutionWords {
        trader, id, amount, collection, asset_type, order_hash, listing_index, price, maker_fee_recipient, maker_fee_rate,
        protocol_fee_recipient, protocol_fee_rate, taker_fee_recipient, taker_fee_rate, order_type,
    }
}

/// Rates are basis points.
const WHOLE: u64 = 10_000;
/// The kind of asset whose amount v2 leaves at zero.
const ERC721: U256 = U256::ZERO;

/// Both versions on Ethereum.
pub(crate) const DECODER: Decoder = Decoder {
    name: "blur",
    claims: &[
        Claim::of(V1, ORDERS_MATCHED, 3).with_envelope(),
        Claim::of(V2, EXECUTION, 1).with_envelope(),
        Claim::of(V2, PACKED, 1).with_envelope(),
        Claim::of(V2, PACKED_TAKER_FEE, 1).with_envelope(),
        Claim::of(V2, PACKED_MAKER_FEE, 1).with_envelope(),
        Claim::of(V1, ORDER_CANCELLED, 1),
        Claim::of(V1, NONCE_INCREMENTED, 2),
        Claim::of(V2, CANCEL_TRADE, 2),
        Claim::of(V2, NONCE_INCREMENTED, 2),
    ],
    routers: &[address!("39da41747a83aee658334415666f3ef92dd0d541")],
    decode,
    ..Decoder::NONE
};

fn decode(transaction: &Transaction<'_>, events: &mut Events) {
    let loans = transaction.logs.iter().filter_map(Loan::read);
    let context = Context {
        transaction,
        transfers: events.transfer_index(transaction),
        borrowers: loans.map(|loan| ((loan.contract, loan.token), loan.borrower)).collect(),
    };
    for log in transaction.claimed() {
        match log.topic0() {
            Some(&ORDERS_MATCHED) => events.emit(log, orders_matched(log, &context)),
            Some(&ORDER_CANCELLED | &CANCEL_TRADE) => events.emit(log, taken_back(log)),
            Some(&NONCE_INCREMENTED) => {
                let version = if log.address == V1[0].1 { "v1" } else { "v2" };
                events.emit(log, nonce_incremented(market(version), log));
            }
            Some(&EXECUTION) => events.emit(log, execution(log).and_then(|execution| sold(execution, &context))),
            _ => events.emit(log, packed(log).and_then(|execution| sold(execution, &context))),
        }
    }
}

/// What surrounds the trades of a transaction.
struct Context<'a> {
    transaction: &'a Transaction<'a>,
    transfers: TransferIndex,
    /// Who borrows on which token.
    borrowers: FxHashMap<(Address, U256), Address>,
}

impl Context<'_> {
    /// The person behind `buyer`: where Blend buys a token it does so for who borrows on it.
    fn behind_buyer(&self, buyer: Address, contract: Address, token: U256) -> Address {
        let borrower = self.borrowers.get(&(contract, token)).filter(|_| buyer == BLEND);
        borrower.copied().unwrap_or(buyer)
    }

    /// What Blend passes on where it sells a token out of a loan at `log`: the lender first and then, with what is left, the
    /// borrower.
    fn repaid(&self, seller: Address, log: &Log) -> Option<Repaid> {
        if seller != BLEND {
            return None;
        }
        let paid_on = self.transfers.payments(log.log_index..u32::MAX).iter();
        let mut paid_on = paid_on.filter(|payment| payment.currency == POOL && payment.from == BLEND);
        let (debt, rest) = (paid_on.next()?, paid_on.next()?);
        Some(Repaid {
            lender: debt.to,
            debt: debt.amount,
            borrower: rest.to,
        })
    }
}

/// A loan repaid out of the price of the token that secured it.
struct Repaid {
    lender: Address,
    debt: U256,
    borrower: Address,
}

impl Repaid {
    /// Records the debt as Blend's own sales do: the lender's part of the price.
    fn apply_to(&self, trade: &mut Trade) {
        trade.fee(self.lender, self.debt, FeeKind::Other);
    }
}

fn market(version: &'static str) -> Market {
    Market { name: "blur", version }
}

/// An order, or a part of one, taken back.
fn taken_back(log: &Log) -> Result<(Closing, Option<&'static str>), DecodeError> {
    let mut reader = Reader::new(log);
    let (version, hash) = if log.topic0() == Some(&CANCEL_TRADE) {
        let [hash, _index, _amount] = reader.head()?;
        ("v2", hash)
    } else {
        let [hash] = reader.head()?;
        ("v1", hash)
    };
    let closing = canceled(market(version), log, Key::hash(B256::from(*hash)));
    Ok((closing, reader.warning()))
}

/// An order of v1.
struct MatchedOrder<'a> {
    trader: Address,
    policy: Address,
    contract: Address,
    token: U256,
    quantity: U256,
    currency: Address,
    price: U256,
    listed_at: U256,
    /// Rate and receiver.
    fees: &'a [[Word; 2]],
}

impl<'a> MatchedOrder<'a> {
    fn read(reader: &mut Reader<'a>, at: &Word) -> Result<Self, DecodeError> {
        let order = reader.tuple(Tuple::ROOT, at)?;
        let words = OrderWords::of(reader.words(order)?);
        let fees = reader.records(order, words.fees_at)?;
        let _extra = reader.bytes(order, words.extra_params_at)?;
        Ok(MatchedOrder {
            trader: reader.address(words.trader),
            policy: reader.address(words.matching_policy),
            contract: reader.address(words.collection),
            token: uint(words.token_id),
            quantity: uint(words.amount),
            currency: reader.address(words.payment_token),
            price: uint(words.price),
            listed_at: uint(words.listing_time),
            fees,
        })
    }
}

fn orders_matched(log: &Log, context: &Context<'_>) -> Result<(LogOutcome, Option<&'static str>), DecodeError> {
    let mut reader = Reader::new(log);
    let [sell_at, sell_hash, buy_at, buy_hash] = reader.head()?;
    let sell = MatchedOrder::read(&mut reader, sell_at)?;
    let buy = MatchedOrder::read(&mut reader, buy_at)?;
    // The topics follow listing times and do not name the side; the policy of the sell order does (decoding specification,
    // section 4.6).
    let listed =
        LISTING_POLICIES.contains(&sell.policy) || sell.policy != BID_POLICY && sell.listed_at <= buy.listed_at;
    let side = if listed { Side::Listing } else { Side::Offer };
    let repaid = context.repaid(sell.trader, log);
    let seller = repaid.as_ref().map_or(sell.trader, |repaid| repaid.borrower);
    let buyer = context.behind_buyer(buy.trader, sell.contract, sell.token);
    // From the sell order, because a bid on a collection carries the token zero.
    let line = LineItem::of(sell.contract, sell.token, sell.quantity).between(seller, buyer);
    let market = market("v1");
    let mut price = sell.price;
    let mut on_top = Vec::new();
    for [rate, recipient] in buy.fees {
        let fee = share(sell.price, uint(rate), WHOLE)?;
        price = sum(price, fee)?;
        on_top.push((reader.address(recipient), fee));
    }
    let mut trade = Trade {
        order_hash: Some(B256::from(if listed { *sell_hash } else { *buy_hash })),
        currency: sell.currency,
        taker_raw: Some(if listed { buy.trader } else { sell.trader }),
        ..Trade::of(market, side, line, price)
    };
    for [rate, recipient] in sell.fees {
        trade.fee(
            reader.address(recipient),
            share(sell.price, uint(rate), WHOLE)?,
            FeeKind::Royalty,
        );
    }
    for (recipient, fee) in on_top {
        trade.fee(recipient, fee, FeeKind::Other);
        trade.flags.push(flag::UNCONFIRMED);
    }
    if let Some(repaid) = &repaid {
        repaid.apply_to(&mut trade);
    }
    let outcome = LogOutcome::from(trade).and_both(market, log, [sell_hash, buy_hash], None);
    Ok((outcome, reader.warning()))
}

/// An execution of v2.
struct Execution<'a> {
    log: &'a Log,
    order_hash: B256,
    maker: Address,
    contract: Address,
    token: U256,
    quantity: U256,
    /// Of the whole quantity.
    price: U256,
    is_bid: bool,
    /// Rate and receiver of the fee the maker agreed to.
    maker_fee: (U256, Address),
    taker_fee: (U256, Address),
    protocol_fee: (U256, Address),
}

/// What a trade states.
fn sold(
    (execution, warning): (Execution<'_>, Option<&'static str>),
    context: &Context<'_>,
) -> Result<(LogOutcome, Option<&'static str>), DecodeError> {
    let key = Key::hash(execution.order_hash);
    let fill = filled_by(market("v2"), execution.log, key, execution.quantity);
    Ok((LogOutcome::from(execution.trade(context)?).and(fill), warning))
}

const NO_FEE: (U256, Address) = (U256::ZERO, Address::ZERO);

fn packed(log: &Log) -> Result<(Execution<'_>, Option<&'static str>), DecodeError> {
    let mut reader = Reader::new(log);
    let [order_hash, token_and_trader, contract_and_price] = reader.words(Tuple::ROOT)?;
    let mut execution = Execution {
        log,
        order_hash: B256::from(*order_hash),
        maker: low_address(token_and_trader),
        contract: low_address(contract_and_price),
        token: uint(token_and_trader) >> 168,
        quantity: U256::ONE,
        // 88 bits: the order type stands above the price and is no part of it.
        price: (uint(contract_and_price) >> 160) & U256::MAX >> 168,
        is_bid: is_bid(contract_and_price[0].into())?,
        maker_fee: NO_FEE,
        taker_fee: NO_FEE,
        protocol_fee: NO_FEE,
    };
    if log.topic0() == Some(&PACKED) {
        let [_, _, _] = reader.head()?;
        return Ok((execution, reader.warning()));
    }
    let [_, _, _, fee] = reader.head()?;
    let fee = (uint(fee) >> 160, low_address(fee));
    if log.topic0() == Some(&PACKED_TAKER_FEE) {
        execution.taker_fee = fee;
    } else {
        execution.maker_fee = fee;
    }
    Ok((execution, reader.warning()))
}

fn execution(log: &Log) -> Result<(Execution<'_>, Option<&'static str>), DecodeError> {
    let mut reader = Reader::new(log);
    let words = ExecutionWords::of(reader.head()?);
    let execution = Execution {
        log,
        order_hash: B256::from(*words.order_hash),
        maker: reader.address(words.trader),
        contract: reader.address(words.collection),
        token: uint(words.id),
        quantity: if uint(words.asset_type) == ERC721 {
            U256::ONE
        } else {
            uint(words.amount)
        },
        price: uint(words.price),
        is_bid: is_bid(uint(words.order_type).saturating_to())?,
        maker_fee: (uint(words.maker_fee_rate), reader.address(words.maker_fee_recipient)),
        taker_fee: (uint(words.taker_fee_rate), reader.address(words.taker_fee_recipient)),
        protocol_fee: (
            uint(words.protocol_fee_rate),
            reader.address(words.protocol_fee_recipient),
        ),
    };
    Ok((execution, reader.warning()))
}

fn is_bid(order_type: u64) -> Result<bool, DecodeError> {
    match order_type {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(DecodeError(reason::UNKNOWN_VARIANT)),
    }
}

/// The address that shares a word with other things above it.
fn low_address(word: &Word) -> Address {
    Address::from_word(B256::from(*word))
}

impl Execution<'_> {
    fn trade(&self, context: &Context<'_>) -> Result<Trade, DecodeError> {
        let mut flags = Flags::new();
        let taker = self.taker(context, &mut flags);
        // A seller that is the lending protocol stands for the borrower, whose debt is taken out of the price.
        let repaid = context.repaid(taker, self.log).filter(|_| self.is_bid);
        let (side, seller, buyer) = if self.is_bid {
            let seller = repaid.as_ref().map_or(taker, |repaid| repaid.borrower);
            (Side::Offer, seller, self.maker)
        } else {
            let buyer = context.behind_buyer(taker, self.contract, self.token);
            (Side::Listing, self.maker, buyer)
        };
        let made = share(self.price, self.maker_fee.0, WHOLE)?;
        let taken = share(self.price, self.taker_fee.0, WHOLE)?;
        // The seller's fee is taken off, the buyer's comes on top.
        let on_top = if self.is_bid { made } else { taken };
        let price = sum(self.price, on_top)?;
        if !on_top.is_zero() || self.quantity != U256::ONE {
            flags.push(flag::UNCONFIRMED);
        }
        let line = LineItem::of(self.contract, self.token, self.quantity).between(seller, buyer);
        let mut trade = Trade {
            order_hash: Some(self.order_hash),
            currency: if self.is_bid { POOL } else { Address::ZERO },
            taker_raw: Some(taker),
            flags,
            ..Trade::of(market("v2"), side, line, price)
        };
        trade.fee(self.maker_fee.1, made, FeeKind::Royalty);
        trade.fee(self.taker_fee.1, taken, FeeKind::Royalty);
        let kept = share(self.price, self.protocol_fee.0, WHOLE)?;
        trade.fee(self.protocol_fee.1, kept, FeeKind::Marketplace);
        if let Some(repaid) = &repaid {
            repaid.apply_to(&mut trade);
        }
        Ok(trade)
    }

    /// Where the token went, or came from; of several movements the last before the log, else the first after.
    fn taker(&self, context: &Context<'_>, flags: &mut Flags) -> Address {
        let fits = |movement: &&Movement| self.maker == if self.is_bid { movement.to } else { movement.from };
        let transfers_of = || context.transfers.transfers_of(self.contract, self.token);
        let moves = || transfers_of().map(|(_, movement)| movement);
        let is_before = |movement: &&Movement| movement.log_index < self.log.log_index;
        let before = moves().rev().filter(is_before).find(fits);
        match before.or_else(|| moves().find(fits)) {
            Some(movement) if self.is_bid => movement.from,
            Some(movement) => movement.to,
            None => context.transaction.sender().unwrap_or_else(|| {
                flags.push(if self.is_bid {
                    flag::SELLER_UNKNOWN
                } else {
                    flag::BUYER_UNKNOWN
                });
                Address::ZERO
            }),
        }
    }
}
