//! LooksRare v1 and v2 (decoding specification, sections 4.3 and 4.4; contracts `LooksRare/contracts-exchange-v1` and
//! `-v2`).
//!
//! v1 emits the royalty in a log of its own and the protocol fee not at all: it is read off the payments between one sale
//! and the one before it. v2 emits every share.
//!
//! Orders are signed off the chain, which shows only how they end: a fill ends whatever lives under the order's nonce.

use std::ops::Range;

use alloy_primitives::{Address, B256, U256, address, b256};
use smallvec::SmallVec;

use crate::block::Log;
use crate::chains;
use crate::decoder::{Claim, Decoder};
use crate::events::Events;
use crate::fact::{Closing, ClosingReason, FeeKind, Nonces, Reach, Side, flag, reason};
use crate::log_reader::{DecodeError, Reader, Tuple, Word, uint, words};
use crate::trade::orders::{Key, LogOutcome, closing, filled, filled_by, revoked};
use crate::trade::transfer_index::{Payment, TransferIndex};
use crate::trade::{LineItem, Market, Trade, sum_of};
use crate::transaction::Transaction;

const V1: &[(u64, Address)] = &[(chains::ETHEREUM, address!("59728544b08ab483533076417fbbb2fd0b17ce3a"))];
/// Deployed through the immutable CREATE2 factory.
const V2: &[(u64, Address)] = &[(chains::EVERY, address!("0000000000e655fae4d56241588680f86e3b2377"))];

/// v1 `TakerBid(bytes32,uint256,address,address,address,address,address,uint256,uint256,uint256)`.
pub(crate) const TAKER_BID: B256 = b256!("95fb6205e23ff6bda16a2d1dba56b9ad7c783f67c96fa149785052f47696f2be");
/// v1 `TakerAsk`, of the same types.
pub(crate) const TAKER_ASK: B256 = b256!("68cd251d4d267c6e2034ff0088b990352b97b2002c0476587d0c4da889c11330");
/// `RoyaltyPayment(address,uint256,address,address,uint256)`.
pub(crate) const ROYALTY_PAYMENT: B256 = b256!("27c4f0403323142b599832f26acd21c74a9e5b809f2215726e244a4ac588cd7d");
/// v2 `TakerBid((bytes32,uint256,bool),address,address,uint256,address,address,uint256[],uint256[],address[2],uint256[3])`.
const TAKER_BID_V2: B256 = b256!("3ee3de4684413690dee6fff1a0a4f92916a1b97d1c5a83cdf24671844306b2e3");
/// v2 `TakerAsk`, of the same types.
const TAKER_ASK_V2: B256 = b256!("9aaa45d6db2ef74ead0751ea9113263d1dec1b50cea05f0ca2002cb8063564a4");
/// v1 `CancelAllOrders(address,uint256)`.
pub(crate) const CANCEL_ALL: B256 = b256!("1e7178d84f0b0825c65795cd62e7972809ad3aac6917843aaec596161b2c0a97");
/// v1 `CancelMultipleOrders(address,uint256[])`.
pub(crate) const CANCEL_MULTIPLE: B256 = b256!("fa0ae5d80fe3763c880a3839fab0294171a6f730d1f82c4cd5392c6f67b41732");
/// v2 `NewBidAskNonces(address,uint256,uint256)`.
const NEW_NONCES: B256 = b256!("b738dd6073fae1a7128e3fcc6b4ca6e1356b7232f87cc98f8a2857bcd83dfc44");
/// v2 `OrderNoncesCancelled(address,uint256[])`.
const NONCES_CANCELLED: B256 = b256!("0560c6093fba8a508d0e6ea3b4d7260d7afa9b152731f03a2d05dfe39b0ec425");

words! {
    /// What [`TAKER_BID`] and [`TAKER_ASK`] state.
    struct Taken { order_hash, order_nonce, currency, collection, token_id, amount, price }

    /// What [`TAKER_BID_V2`] states, whose `bid_user` takes for a `bid_recipient`, and [`TAKER_ASK_V2`], whose `ask_user` takes
    /// from a `bid_user`. Its last words are `fee_recipients` and `fee_amounts`.
    struct TakenV2 {
        order_hash, order_nonce, is_nonce_invalidated, taker, buyer, strategy_id, currency, collection, item_ids_at,
        amounts_at, proceeds_to, royalty_to, proceeds, royalty, protocol_fee,
    }
}

/// Both versions.
pub(crate) const DECODER: Decoder = Decoder {
    name: "looksrare",
    claims: &[
        Claim::of(V1, TAKER_BID, 4).with_envelope(),
        Claim::of(V1, TAKER_ASK, 4).with_envelope(),
        Claim::of(V1, ROYALTY_PAYMENT, 4),
        Claim::of(V2, TAKER_BID_V2, 1).with_envelope(),
        Claim::of(V2, TAKER_ASK_V2, 1).with_envelope(),
        Claim::of(V1, CANCEL_ALL, 2),
        Claim::of(V1, CANCEL_MULTIPLE, 2),
        Claim::of(V2, NEW_NONCES, 1),
        Claim::of(V2, NONCES_CANCELLED, 1),
    ],
    decode,
    ..Decoder::NONE
};

fn decode(transaction: &Transaction<'_>, events: &mut Events) {
    decode_as("looksrare", transaction, events);
}

/// Decodes the logs of the market called `name`, which is LooksRare or took over its code.
pub(crate) fn decode_as(name: &'static str, transaction: &Transaction<'_>, events: &mut Events) {
    let market = |version| Market { name, version };
    let (first, second) = (market("v1"), market("v2"));
    let transfers = events.transfer_index(transaction);
    let mut royalties: Vec<Royalty> = Vec::new();
    let mut since = 0;
    for log in transaction.claimed() {
        match log.topic0() {
            Some(&ROYALTY_PAYMENT) => {
                let verdict = Royalty::read(log).map(|(royalty, warning)| {
                    royalties.push(royalty);
                    warning
                });
                events.settle(log, verdict);
            }
            Some(&TAKER_BID | &TAKER_ASK) => {
                events.emit(
                    log,
                    first_version(first, log, &transfers, since..log.log_index, &royalties),
                );
                since = log.log_index + 1;
                // A royalty belongs to the next fill and to no later one.
                royalties.clear();
            }
            Some(&TAKER_BID_V2 | &TAKER_ASK_V2) => events.emit(log, second_version(second, log)),
            Some(&CANCEL_ALL | &CANCEL_MULTIPLE) => events.emit(log, taken_back(first, log)),
            _ => events.emit(log, taken_back(second, log)),
        }
    }
}

/// The orders a maker takes back. New nonces of v2 may spare the maker's bids or asks; nothing that stands on the chain shows
/// which is which, so that all are emitted.
fn taken_back(market: Market, log: &Log) -> Result<(LogOutcome, Option<&'static str>), DecodeError> {
    let mut reader = Reader::new(log);
    let each = |maker, nonces: &[Word]| {
        let exactly = |nonce| revoked(market, log, maker, Nonces::Exactly(uint(nonce)));
        LogOutcome {
            closings: nonces.iter().map(exactly).collect(),
            ..LogOutcome::default()
        }
    };
    let outcome = match log.topic0() {
        Some(&CANCEL_ALL) => {
            let [least] = reader.head()?;
            let below = Nonces::Below(uint(least));
            revoked(market, log, reader.topic_address(1), below).into()
        }
        Some(&CANCEL_MULTIPLE) => {
            let [nonces_at] = reader.head()?;
            let nonces = reader.list(Tuple::ROOT, nonces_at)?;
            each(reader.topic_address(1), nonces)
        }
        Some(&NEW_NONCES) => {
            let [maker, _bids, _asks] = reader.head()?;
            revoked(market, log, reader.address(maker), Nonces::All).into()
        }
        _ => {
            let [maker, nonces_at] = reader.head()?;
            let nonces = reader.list(Tuple::ROOT, nonces_at)?;
            each(reader.address(maker), nonces)
        }
    };
    Ok((outcome, reader.warning()))
}

/// The end of the other orders under the nonce of a filled one.
fn outlived(market: Market, log: &Log, maker: Address, nonce: &Word) -> Closing {
    let nonces = Nonces::Exactly(uint(nonce));
    closing(market, log, ClosingReason::Invalidated, Reach::Maker { maker, nonces })
}

/// One `RoyaltyPayment`.
struct Royalty {
    contract: Address,
    token: U256,
    recipient: Address,
    currency: Address,
    amount: U256,
}

impl Royalty {
    fn read(log: &Log) -> Result<(Self, Option<&'static str>), DecodeError> {
        let mut reader = Reader::new(log);
        let [currency, amount] = reader.head()?;
        let royalty = Royalty {
            contract: reader.topic_address(1),
            token: reader.topic_uint(2),
            recipient: reader.topic_address(3),
            currency: reader.address(currency),
            amount: uint(amount),
        };
        Ok((royalty, reader.warning()))
    }
}

fn first_version(
    market: Market,
    log: &Log,
    transfers: &TransferIndex,
    window: Range<u32>,
    royalties: &[Royalty],
) -> Result<(LogOutcome, Option<&'static str>), DecodeError> {
    let mut reader = Reader::new(log);
    let taken = Taken::of(reader.head()?);
    let (taker, maker) = (reader.topic_address(1), reader.topic_address(2));
    let (currency, contract) = (reader.address(taken.currency), reader.address(taken.collection));
    let (hash, price) = (B256::from(*taken.order_hash), uint(taken.price));
    let (side, seller, buyer) = if log.topic0() == Some(&TAKER_BID) {
        (Side::Listing, maker, taker)
    } else {
        (Side::Offer, taker, maker)
    };
    let line = LineItem::of(contract, uint(taken.token_id), uint(taken.amount)).between(seller, buyer);
    let mut trade = Trade {
        order_hash: Some(hash),
        currency,
        ..Trade::of(market, side, line, price)
    };
    // The nearest one before the fill: orders of one transaction may pay for the same token twice.
    let royalty = royalties.iter().rev().find(|royalty| {
        royalty.contract == contract && Some(royalty.token) == line.token && royalty.currency == currency
    });
    if let Some(royalty) = royalty {
        trade.fee(royalty.recipient, royalty.amount, FeeKind::Royalty);
    }
    protocol_fee(&mut trade, transfers.shares(window, currency, price, seller), royalty);
    let outcome = LogOutcome::from(trade)
        .and(filled(market, log, Key::hash(hash)))
        .and(outlived(market, log, maker, taken.order_nonce));
    Ok((outcome, reader.warning()))
}

/// Records what of the `shares` in the price neither the seller got nor the creator, whose `royalty` is recorded already.
fn protocol_fee(trade: &mut Trade, shares: Option<Vec<Payment>>, royalty: Option<&Royalty>) {
    let Some(mut shares) = shares else {
        trade.flags.push(flag::FEES_UNKNOWN);
        return;
    };
    let paid = royalty.map(|royalty| (royalty.recipient, royalty.amount));
    if let Some(paid) = shares.iter().rposition(|share| Some((share.to, share.amount)) == paid) {
        shares.remove(paid);
    }
    for share in shares {
        trade.fee(share.to, share.amount, FeeKind::Marketplace);
    }
}

fn second_version(market: Market, log: &Log) -> Result<(LogOutcome, Option<&'static str>), DecodeError> {
    let mut reader = Reader::new(log);
    let taken = TakenV2::of(reader.head()?);
    let (taker, buyer) = (reader.address(taken.taker), reader.address(taken.buyer));
    let (proceeds_to, royalty_to) = (reader.address(taken.proceeds_to), reader.address(taken.royalty_to));
    let [proceeds, royalty, protocol_fee] = [taken.proceeds, taken.royalty, taken.protocol_fee].map(uint);
    let (side, seller) = if log.topic0() == Some(&TAKER_BID_V2) {
        (Side::Listing, proceeds_to)
    } else {
        (Side::Offer, taker)
    };
    let (currency, contract) = (reader.address(taken.currency), reader.address(taken.collection));
    let (tokens, quantities) = (
        reader.list(Tuple::ROOT, taken.item_ids_at)?,
        reader.list(Tuple::ROOT, taken.amounts_at)?,
    );
    if tokens.len() != quantities.len() {
        return Err(DecodeError(reason::BATCH_LENGTH_MISMATCH));
    }
    let lines: SmallVec<[LineItem; 1]> = tokens
        .iter()
        .zip(quantities)
        .map(|(token, quantity)| LineItem::of(contract, uint(token), uint(quantity)).between(seller, buyer))
        .collect();
    let Some(line) = lines.first() else {
        return Err(DecodeError(reason::DATA_TOO_SHORT));
    };
    let hash = B256::from(*taken.order_hash);
    let mut trade = Trade {
        order_hash: Some(hash),
        taker_raw: Some(taker),
        currency,
        ..Trade::of(market, side, *line, sum_of([proceeds, royalty, protocol_fee])?)
    };
    trade.fee(royalty_to, royalty, FeeKind::Royalty);
    // The log states the amount only.
    trade.fee(Address::ZERO, protocol_fee, FeeKind::Marketplace);
    let maker = trade.maker;
    let units = lines
        .iter()
        .map(|line| line.quantity)
        .fold(U256::ZERO, U256::saturating_add);
    trade.lines = lines;
    let key = Key::hash(hash);
    let outcome = if uint(taken.is_nonce_invalidated).is_zero() {
        LogOutcome::from(trade).and(filled_by(market, log, key, units))
    } else {
        LogOutcome::from(trade)
            .and(filled(market, log, key))
            .and(outlived(market, log, maker, taken.order_nonce))
    };
    Ok((outcome, reader.warning()))
}
