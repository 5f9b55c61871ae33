//! Limit Break's Payment Processor v1 and v2, Magic Eden's on EVM chains (decoding specification, section 4.17;
//! `limitbreakinc/payment-processor`).
//!
//! Fees and royalties stand in the calldata only: an order of v2 names the marketplace and its rate, and the most that royalties may
//! be. Paid in an ERC-20 they are seen all the same: the creator's, the market's, then the seller's share. What a front end takes
//! on top is emitted nowhere. v1 emits listings and accepted offers by one event: the one that sent the transaction took.
//!
//! Orders are signed off the chain and known by their maker's nonce or by their digest. A fill ends the nonce, or the digest, in
//! a log of its own.

use std::mem;
use std::ops::Range;
use std::slice;

use alloy_primitives::{Address, B256, U256, address, b256};
use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use crate::block::Log;
use crate::chains;
use crate::decoder::{Claim, Decoder};
use crate::events::Events;
use crate::fact::{Closing, ClosingReason, FeeKind, Nonces, Reach, Side, Standard, flag, reason};
use crate::log_reader::{self, DecodeError, Reader, Tuple, Word, share, uint, words};
use crate::trade::orders::{Key, canceled, closing, filled, revoked};
use crate::trade::transfer_index::{Payment, TransferIndex};
use crate::trade::{LineItem, Market, Trade};
use crate::transaction::Transaction;

/// Each address follows from the code and from which coins its constructor was given, which differ by chain.
const V1: &[(u64, Address)] = &[
    (chains::EVERY, address!("009a1dc9f1a6e2134ad4236fcd75b1ae62858507")),
    (chains::EVERY, address!("009a1d0fecd7d6475188082f3f542e93f5e07ff1")),
    (chains::EVERY, address!("009a1dc629242961c9e4f089b437afd394474cc0")),
    (chains::EVERY, address!("009a1daf6b5b8adc6b3db720c58d43caa2fdac56")),
];
/// Rates are basis points.
const WHOLE: u64 = 10_000;
/// How many orders for one token are looked through for the one that was filled.
const MOST_ORDERS: usize = 16;
const V2: &[(u64, Address)] = &[(chains::EVERY, address!("9a1d00bed7cd04bcda516d721a596eb22aac6834"))];

/// `BuySingleListing(address,address,address,address,address,uint256,uint256,uint256)`.
const BUY_SINGLE: B256 = b256!("7ed668b30822ae5c7db7b4a32f84e6645250bb6db0d1fc73eeb484c5b34b1d1b");
/// `BuyBundledListingERC721(address,address,address,address,address,bool[],uint256[],uint256[])`.
const BUNDLE_721: B256 = b256!("f5960c81abf2cbc811a3b86b2b2c0338bfd5c47ad8815c941f9d59665a8d458b");
/// `BuyBundledListingERC1155(address,address,address,address,address,bool[],uint256[],uint256[],uint256[])`.
const BUNDLE_1155: B256 = b256!("4b761d38cae19a364a5d44d2c4a5cdd41113f9e4d64ae2e21b766d072705b931");
/// `SweepCollectionERC721(address,address,address,address,bool[],address[],uint256[],uint256[])`.
const SWEEP_721: B256 = b256!("8435e05433e0d3a3fe612b10c36f6623deec79239f76721a154687fef0ca46a1");
/// `SweepCollectionERC1155(address,address,address,address,bool[],address[],uint256[],uint256[],uint256[])`.
const SWEEP_1155: B256 = b256!("35cd37c73a78d0322074e1324a7d5d4cf5c7ff21f3265d03f4d085c532c6f019");
/// `BuyListingERC721(address,address,address,address,address,uint256,uint256)`.
const BUY_721: B256 = b256!("ffb29e9cf48456d56b6d414855b66a7ec060ce2054dcb124a1876310e1b7355c");
/// `BuyListingERC1155(address,address,address,address,address,uint256,uint256,uint256)`.
const BUY_1155: B256 = b256!("1217006325a98bdcc6afc9c44965bb66ac7460a44dc57c2ac47622561d25c45a");
/// `AcceptOfferERC721(address,address,address,address,address,uint256,uint256)`.
const OFFER_721: B256 = b256!("8b87c0b049fe52718fe6ff466b514c5a93c405fb0de8fbd761a23483f9f9e198");
/// `AcceptOfferERC1155(address,address,address,address,address,uint256,uint256,uint256)`.
const OFFER_1155: B256 = b256!("6f4c56c4b9a9d2479f963d802b19d17b02293ce1225461ac0cb846c482ee3c3e");
/// v1 `MasterNonceInvalidated(uint256,address)`.
const MASTER_NONCE_FIRST: B256 = b256!("b06d2760711c1c15c05bc011b1009a36c0713c6d63567c267678c3a382188b61");
/// v1 `NonceInvalidated(uint256,address,address,bool)`.
const NONCE_FIRST: B256 = b256!("61b992b9cb8061087d0e50532a8ba94e22379c7edd39cdb465536ef827dc1be7");
/// v2 `MasterNonceInvalidated(address,uint256)`.
const MASTER_NONCE: B256 = b256!("9614574d6542397172c19ba2bf4588434feeb977576e92b7b59b38242ab59609");
/// v2 `NonceInvalidated(uint256,address,bool)`.
const NONCE: B256 = b256!("f3003920635c7d35c4f314eaeeed4b4c653ccb36608a86d57df761d460eab09d");
/// v2 `OrderDigestInvalidated(bytes32,address,bool)`.
const DIGEST: B256 = b256!("c63c82396a1b7865295ff481988a98493c2c3cc29066c229b8001c6f5dd647a9");

words! {
    /// What [`BUY_SINGLE`] states.
    struct BuySingle { buyer, seller, token_id, amount, sale_price }

    /// What [`BUNDLE_721`] states.
    struct Bundle721 { buyer, seller, unsuccessful_fills_at, token_ids_at, sale_prices_at }

    /// What [`BUNDLE_1155`] states.
    struct Bundle1155 { buyer, seller, unsuccessful_fills_at, token_ids_at, amounts_at, sale_prices_at }

    /// What [`SWEEP_721`] states.
    struct Sweep721 { buyer, unsuccessful_fills_at, sellers_at, token_ids_at, sale_prices_at }

    /// What [`SWEEP_1155`] states.
    struct Sweep1155 { buyer, unsuccessful_fills_at, sellers_at, token_ids_at, amounts_at, sale_prices_at }

    /// The words of an `Order` of limitbreakinc/payment-processor-v2 from its marketplace on.
    struct SignedOrder {
        marketplace, fallback_royalty_recipient, payment_method, token_address, token_id, amount, item_price, nonce,
        expiration, marketplace_fee_numerator, max_royalty_fee_numerator,
    }
}

/// Both versions.
pub(crate) const DECODER: Decoder = Decoder {
    name: "payment_processor",
    claims: &[
        Claim::of(V1, BUY_SINGLE, 4).with_envelope(),
        Claim::of(V1, BUNDLE_721, 4).with_envelope(),
        Claim::of(V1, BUNDLE_1155, 4).with_envelope(),
        Claim::of(V1, SWEEP_721, 4).with_envelope(),
        Claim::of(V1, SWEEP_1155, 4).with_envelope(),
        Claim::of(V2, BUY_721, 4).with_envelope(),
        Claim::of(V2, BUY_1155, 4).with_envelope(),
        Claim::of(V2, OFFER_721, 4).with_envelope(),
        Claim::of(V2, OFFER_1155, 4).with_envelope(),
        Claim::of(V1, MASTER_NONCE_FIRST, 3),
        Claim::of(V1, NONCE_FIRST, 4),
        Claim::of(V2, MASTER_NONCE, 2),
        Claim::of(V2, NONCE, 3),
        Claim::of(V2, DIGEST, 3),
    ],
    decode,
    ..Decoder::NONE
};

fn decode(transaction: &Transaction<'_>, events: &mut Events) {
    let transfers = events.transfer_index(transaction);
    let terms = Terms::all(transaction);
    let mut since = 0;
    for log in transaction.claimed() {
        // Nonces end before anything is paid.
        let paid = Paid {
            transfers: &transfers,
            window: mem::replace(&mut since, log.log_index + 1)..log.log_index,
        };
        let decoded = match log.topic0() {
            Some(&BUY_SINGLE) => single(transaction, log, paid),
            Some(&BUNDLE_721 | &BUNDLE_1155 | &SWEEP_721 | &SWEEP_1155) => several(log),
            Some(&MASTER_NONCE_FIRST | &NONCE_FIRST | &MASTER_NONCE | &NONCE | &DIGEST) => {
                events.emit(log, ended(log));
                continue;
            }
            _ => second_version(log, paid, &terms),
        };
        let verdict = decoded.map(|(trades, warning)| {
            trades.into_iter().for_each(|trade| events.trade(log, trade));
            warning
        });
        events.settle(log, verdict);
    }
}

/// What was paid before a log and after the one before it.
struct Paid<'a> {
    transfers: &'a TransferIndex,
    window: Range<u32>,
}

type Trades = (Vec<Trade>, Option<&'static str>);

fn market(version: &'static str) -> Market {
    Market {
        name: "payment_processor",
        version,
    }
}

/// The end of all orders of a maker, of those under one nonce, or of the one with a digest.
fn ended(log: &Log) -> Result<(Closing, Option<&'static str>), DecodeError> {
    let mut reader = Reader::new(log);
    let closing = match log.topic0() {
        Some(&MASTER_NONCE_FIRST) => revoked(market("v1"), log, reader.topic_address(2), Nonces::All),
        Some(&MASTER_NONCE) => {
            let [_nonce] = reader.head()?;
            revoked(market("v2"), log, reader.topic_address(1), Nonces::All)
        }
        named => {
            let [was_cancellation] = reader.head()?;
            let (was_fill, maker) = (uint(was_cancellation).is_zero(), reader.topic_address(2));
            let version = market(if named == Some(&NONCE_FIRST) { "v1" } else { "v2" });
            let nonces = Nonces::Exactly(reader.topic_uint(1));
            let key = Key::hash(log.topics[1]);
            match (named == Some(&DIGEST), was_fill) {
                (true, true) => filled(version, log, key),
                (true, false) => canceled(version, log, key),
                (false, true) => closing(version, log, ClosingReason::Filled, Reach::Maker { maker, nonces }),
                (false, false) => revoked(version, log, maker, nonces),
            }
        }
    };
    Ok((closing, reader.warning()))
}

fn single(transaction: &Transaction<'_>, log: &Log, paid: Paid<'_>) -> Result<Trades, DecodeError> {
    let mut reader = Reader::new(log);
    let sold = BuySingle::of(reader.head()?);
    let (buyer, seller) = (reader.address(sold.buyer), reader.address(sold.seller));
    let side = if transaction.sender() == Some(seller) {
        Side::Offer
    } else {
        Side::Listing
    };
    let (contract, token) = (reader.topic_address(2), uint(sold.token_id));
    let line = LineItem::of(contract, token, uint(sold.amount)).between(seller, buyer);
    let mut trade = Trade {
        currency: reader.topic_address(3),
        ..Trade::of(market("v1"), side, line, uint(sold.sale_price))
    };
    if transaction.envelope.is_none() {
        trade.flags.push(flag::NO_ENVELOPE);
    }
    let marketplace = reader.topic_address(1);
    trade.fees_of_payments(paid.transfers, paid.window, |_, share| {
        if share.to == marketplace {
            FeeKind::Marketplace
        } else {
            FeeKind::Royalty
        }
    });
    Ok((vec![trade], reader.warning()))
}

/// What bundles and sweeps state; fields that end in `_at` are the offsets of arrays.
struct Several<'a> {
    buyer: &'a Word,
    sellers: Sellers<'a>,
    failed_at: &'a Word,
    tokens_at: &'a Word,
    /// Absent for ERC-721.
    amounts_at: Option<&'a Word>,
    prices_at: &'a Word,
}

/// Who sells: one for all tokens of a bundle, one for each of a sweep.
enum Sellers<'a> {
    One(&'a Word),
    EachAt(&'a Word),
}

impl<'a> Several<'a> {
    fn read(log: &Log, reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(match log.topic0() {
            Some(&BUNDLE_721) => {
                let bundle = Bundle721::of(reader.head()?);
                Several {
                    buyer: bundle.buyer,
                    sellers: Sellers::One(bundle.seller),
                    failed_at: bundle.unsuccessful_fills_at,
                    tokens_at: bundle.token_ids_at,
                    amounts_at: None,
                    prices_at: bundle.sale_prices_at,
                }
            }
            Some(&BUNDLE_1155) => {
                let bundle = Bundle1155::of(reader.head()?);
                Several {
                    buyer: bundle.buyer,
                    sellers: Sellers::One(bundle.seller),
                    failed_at: bundle.unsuccessful_fills_at,
                    tokens_at: bundle.token_ids_at,
                    amounts_at: Some(bundle.amounts_at),
                    prices_at: bundle.sale_prices_at,
                }
            }
            Some(&SWEEP_721) => {
                let sweep = Sweep721::of(reader.head()?);
                Several {
                    buyer: sweep.buyer,
                    sellers: Sellers::EachAt(sweep.sellers_at),
                    failed_at: sweep.unsuccessful_fills_at,
                    tokens_at: sweep.token_ids_at,
                    amounts_at: None,
                    prices_at: sweep.sale_prices_at,
                }
            }
            _ => {
                let sweep = Sweep1155::of(reader.head()?);
                Several {
                    buyer: sweep.buyer,
                    sellers: Sellers::EachAt(sweep.sellers_at),
                    failed_at: sweep.unsuccessful_fills_at,
                    tokens_at: sweep.token_ids_at,
                    amounts_at: Some(sweep.amounts_at),
                    prices_at: sweep.sale_prices_at,
                }
            }
        })
    }
}

/// Bundles and sweeps state the price of every token; positions that failed sold nothing.
fn several(log: &Log) -> Result<Trades, DecodeError> {
    let mut reader = Reader::new(log);
    let stated = Several::read(log, &mut reader)?;
    let failed = reader.list(Tuple::ROOT, stated.failed_at)?;
    let tokens = reader.list(Tuple::ROOT, stated.tokens_at)?;
    let prices = reader.list(Tuple::ROOT, stated.prices_at)?;
    let (sellers, of_one_seller) = match stated.sellers {
        Sellers::One(seller) => (slice::from_ref(seller), true),
        Sellers::EachAt(at) => (reader.list(Tuple::ROOT, at)?, false),
    };
    let amounts = stated.amounts_at.map(|at| reader.list(Tuple::ROOT, at)).transpose()?;
    let same = |list: &[Word]| list.len() == tokens.len();
    if !(same(failed) && same(prices) && (of_one_seller || same(sellers)) && amounts.is_none_or(same)) {
        return Err(DecodeError(reason::BATCH_LENGTH_MISMATCH));
    }
    let (contract, currency) = (reader.topic_address(2), reader.topic_address(3));
    let buyer = reader.address(stated.buyer);
    let mut trades = Vec::new();
    for index in (0..tokens.len()).filter(|index| uint(&failed[*index]).is_zero()) {
        let seller = reader.address(&sellers[if of_one_seller { 0 } else { index }]);
        let quantity = amounts.map_or(U256::ONE, |amounts| uint(&amounts[index]));
        let line = LineItem::of(contract, uint(&tokens[index]), quantity).between(seller, buyer);
        // One payment holds the shares of several tokens.
        let mut trade = Trade {
            currency,
            ..Trade::of(market("v1"), Side::Listing, line, uint(&prices[index]))
        };
        trade.flags.push(flag::FEES_UNKNOWN);
        trades.push(trade);
    }
    Ok((trades, reader.warning()))
}

fn second_version(log: &Log, paid: Paid<'_>, terms: &Terms) -> Result<Trades, DecodeError> {
    let mut reader = Reader::new(log);
    let [beneficiary, currency, token, next] = reader.words(Tuple::ROOT)?;
    let (standard, quantity, price) = if matches!(log.topic0(), Some(&BUY_1155 | &OFFER_1155)) {
        let [.., price] = reader.head::<5>()?;
        (Standard::Erc1155, uint(next), price)
    } else {
        reader.head::<4>()?;
        (Standard::Erc721, U256::ONE, next)
    };
    let (first, second) = (reader.topic_address(1), reader.topic_address(2));
    // The two events swap buyer and seller in their topics.
    let (side, seller) = match log.topic0() {
        Some(&OFFER_721 | &OFFER_1155) => (Side::Offer, first),
        _ => (Side::Listing, second),
    };
    let line = LineItem {
        standard,
        ..LineItem::of(reader.topic_address(3), uint(token), quantity).between(seller, reader.address(beneficiary))
    };
    // The payer may buy for another.
    let mut trade = Trade {
        maker: second,
        taker_raw: Some(first),
        currency: reader.address(currency),
        ..Trade::of(market("v2"), side, line, uint(price))
    };
    trade.flags.push(flag::FEES_ON_TOP_UNKNOWN);
    share_out(&mut trade, paid, terms)?;
    Ok((vec![trade], reader.warning()))
}

/// Records the shares of the price: by what the order states of them where calldata shows it, else by their places.
fn share_out(trade: &mut Trade, paid: Paid<'_>, terms: &Terms) -> Result<(), DecodeError> {
    let order = terms.of(trade);
    let price = trade.price.unwrap_or_default();
    let of_market = order.map(|order| share(price, order.rate, WHOLE).map(|amount| (order.marketplace, amount)));
    let of_market = of_market.transpose()?;
    let shares = if trade.currency.is_zero() {
        None
    } else {
        paid.transfers
            .shares(paid.window, trade.currency, price, trade.lines[0].seller)
    };
    if let Some(shares) = shares {
        add_fees(trade, shares, of_market);
        return Ok(());
    }
    if let Some((marketplace, amount)) = of_market.filter(|_| trade.currency.is_zero()) {
        // Nothing shows who is paid in native currency, but without royalties no other share is left.
        trade.fee(marketplace, amount, FeeKind::Marketplace);
    }
    if !order.is_some_and(|order| trade.currency.is_zero() && order.most_royalties.is_zero()) {
        trade.flags.push(flag::FEES_UNKNOWN);
        trade.flags.extend(terms.unseen.then_some(flag::NO_ENVELOPE));
    }
    Ok(())
}

/// Records payments by whose they are. The creator is paid before the marketplace; of one share alone its place shows nothing: it
/// is the marketplace's unless the token's own contract got it, because marketplaces without a fee are rarer than tokens without
/// royalties.
fn add_fees(trade: &mut Trade, mut shares: Vec<Payment>, of_market: Option<(Address, U256)>) {
    let (contract, seller) = (trade.lines[0].contract, trade.lines[0].seller);
    shares.retain(|payment| payment.to != seller);
    let is_decoded = |payment: &Payment| of_market == Some((payment.to, payment.amount));
    let by_order = of_market.is_some_and(|(_, amount)| amount.is_zero()) || shares.iter().any(is_decoded);
    for (place, payment) in shares.iter().enumerate() {
        let is_last = place + 1 == shares.len() && (place > 0 || payment.to != contract);
        let is_of_market = if by_order { is_decoded(payment) } else { is_last };
        let kind = if is_of_market {
            FeeKind::Marketplace
        } else {
            FeeKind::Royalty
        };
        trade.fee(payment.to, payment.amount, kind);
    }
}

/// What the orders of a transaction state of fees, as its calldata holds them: behind routers and forwarders too,
/// which pass it on.
struct Terms {
    orders: FxHashMap<(Address, Address, U256), SmallVec<[OrderTerms; 1]>>,
    /// Whether the calldata was not available.
    unseen: bool,
}

/// What one order states of fees. Rates are basis points.
#[derive(Clone, Copy, Debug)]
struct OrderTerms {
    marketplace: Address,
    rate: U256,
    most_royalties: U256,
    quantity: U256,
    price: U256,
}

impl Terms {
    /// Every order that the calldata may hold. Calls within calls stand four bytes off the words around them.
    fn all(transaction: &Transaction<'_>) -> Self {
        let mut terms = Terms {
            orders: FxHashMap::default(),
            unseen: transaction.envelope.is_none(),
        };
        let is_sale = |log: &Log| matches!(log.topic0(), Some(&BUY_721 | &BUY_1155 | &OFFER_721 | &OFFER_1155));
        let Some(envelope) = transaction.envelope.filter(|_| transaction.claimed().any(is_sale)) else {
            return terms;
        };
        for start in (0..envelope.input.len()).step_by(4) {
            if let Some((key, order)) = OrderTerms::read(&envelope.input[start..]) {
                let orders = terms.orders.entry(key).or_default();
                if orders.len() < MOST_ORDERS {
                    orders.push(order);
                }
            }
        }
        terms
    }

    /// What the order that `trade` filled states, in whole or in part; nothing where orders that fit disagree, because the sender
    /// of the transaction may add what looks like one.
    fn of(&self, trade: &Trade) -> Option<OrderTerms> {
        let line = trade.lines[0];
        let price = trade.price?;
        let orders = self.orders.get(&(trade.currency, line.contract, line.token?))?;
        let is_filled = |order: &&OrderTerms| {
            let parts = [
                order.price.checked_mul(line.quantity),
                price.checked_mul(order.quantity),
            ];
            parts[0].is_some() && parts[0] == parts[1]
        };
        let mut filled = orders.iter().filter(is_filled);
        let first = filled.next()?;
        filled.all(|other| other.fees() == first.fees()).then_some(*first)
    }
}

impl OrderTerms {
    /// The part that states who gets what.
    fn fees(&self) -> (Address, U256, U256) {
        (self.marketplace, self.rate, self.most_royalties)
    }

    /// The order whose marketplace stands at the start of `calldata`, if one may.
    fn read(calldata: &[u8]) -> Option<((Address, Address, U256), Self)> {
        let signed = SignedOrder::of(calldata.as_chunks().0.first_chunk()?);
        let is_address = |word: &Word| word[..12].iter().all(|byte| *byte == 0);
        let is_rate = |rate: U256| rate <= U256::from(WHOLE);
        let order = OrderTerms {
            marketplace: log_reader::address(signed.marketplace),
            rate: uint(signed.marketplace_fee_numerator),
            most_royalties: uint(signed.max_royalty_fee_numerator),
            quantity: uint(signed.amount),
            price: uint(signed.item_price),
        };
        let is_order = is_address(signed.marketplace)
            && is_address(signed.fallback_royalty_recipient)
            && is_address(signed.payment_method)
            && is_address(signed.token_address)
            && is_rate(order.rate)
            && is_rate(order.most_royalties);
        let is_meant =
            is_order && !order.price.is_zero() && !order.quantity.is_zero() && *signed.token_address != [0; 32];
        is_meant.then(|| {
            let currency = log_reader::address(signed.payment_method);
            let contract = log_reader::address(signed.token_address);
            ((currency, contract, uint(signed.token_id)), order)
        })
    }
}
