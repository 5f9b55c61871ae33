//! Aavegotchi's Baazaar (decoding specification, section 9; `LibERC721Marketplace.sol`, `LibERC1155Marketplace.sol`,
//! `ERC721BuyOrderFacet.sol` and `LibSharedMarketplace.sol` of aavegotchi/aavegotchi-contracts).
//!
//! Everything is paid in GHST, seen in the payments: three shares of fixed rates for the market, the seller's, and after it those of an
//! affiliate and of creators. An ERC-1155 listing states the price of one unit. Orders have numbers, ERC-721 and ERC-1155
//! listings and buy orders each their own; an ERC-721 listing does not state its price, and prices changed later do not show of
//! what, so both are left to their numbers. The market holds no token of a listing.

use std::mem;
use std::ops::Range;

use alloy_primitives::{Address, B256, U256, address, b256};

use crate::block::Log;
use crate::chains;
use crate::decoder::{Claim, Decoder};
use crate::events::Events;
use crate::fact::{FeeKind, Order, OrderKind, Side, Standard, flag, reason};
use crate::log_reader::{DecodeError, Reader, Word, share, uint, words};
use crate::trade::orders::{Key, LogOutcome, canceled, filled, filled_by, order, part, until};
use crate::trade::transfer_index::{Payment, TransferIndex};
use crate::trade::{LineItem, Market, Trade};
use crate::transaction::Transaction;

const CONTRACTS: &[(u64, Address)] = &[
    (chains::POLYGON, address!("86935f11c86623dec8a25696e1c19a8659cbf95d")),
    (chains::BASE, address!("a99c4b08201f2913db8d28e71d020c4298f29dbf")),
];
/// GHST on the same chains.
const COINS: &[(u64, Address)] = &[
    (chains::POLYGON, address!("385eeac5cb85a38a9a07a70c73e0a3271cfb54a7")),
    (chains::BASE, address!("cd2f22236dd9dfe2356d7c543161d4d260fd9bcb")),
];
const MARKET: Market = Market {
    name: "baazaar",
    version: "",
};
/// What the market takes: for its makers, its treasury, its players. Of a whole of 1,000.
const RATES: [u64; 3] = [20, 10, 5];
const WHOLE: u64 = 1_000;

/// `ERC721ExecutedListing(uint256,address,address,address,uint256,uint256,uint256,uint256)`.
const EXECUTED_721: B256 = b256!("8abb27e53fc4ab514e7e5521910bdf2d1e48a69f150dbb671efa7ccc8f44bb28");
/// `ERC1155ExecutedListing(uint256,address,address,address,uint256,uint256,uint256,uint256,uint256)`.
const EXECUTED_1155: B256 = b256!("4004185f45cf5f331fe63afc9aa5aa0a0d8cfa1d6bc5d8c6cb0304136c49515c");
/// `ERC721BuyOrderExecuted(uint256,address,address,address,uint256,uint256,uint256)`.
const BUY_ORDER_EXECUTED: B256 = b256!("252535f1a39f70d3b2977fceb3cf2fd747ea9d87c08b27704737adfb129f14f6");
/// `ERC721ListingAdd(uint256,address,address,uint256,uint256,uint256)`.
const LISTED_721: B256 = b256!("d9b541cd1d9650dbbcb9b244efe4aa9455a9e7bb329f80cd30ab25275534c72d");
/// `ERC1155ListingAdd(uint256,address,address,uint256,uint256,uint256,uint256,uint256)`.
const LISTED_1155: B256 = b256!("f99a07edc22c88f73b19df09fffa9b11c9ab5c5dd6dfc2f6e103a95f5b40e2fc");
/// `ERC721BuyOrderAdded(uint256,address,address,uint256,uint256,uint256,uint256,bytes32,uint256)`.
const BUY_ORDER_ADDED: B256 = b256!("427c7dcdefdb1654e9ab491c1fc9a1f83a16e79968042c8bb54873541173a656");
/// `ERC721ListingCancelled(uint256,uint256,uint256)`.
const CANCELLED_721: B256 = b256!("10e53bca620314e794d61e37932062e81c48e88233765d09da42aeb00ae4dba0");
/// `ERC1155ListingCancelled(uint256,uint256,uint256)`.
const CANCELLED_1155: B256 = b256!("c1ee70d4dadc0ea8041f31f81b07d0ac9374b6bf41956d9cae562e672f3f8a91");
/// `ERC721BuyOrderCanceled(uint256,uint256)`.
const BUY_ORDER_CANCELED: B256 = b256!("2c10b67d57c65fd2fc6cc56eba63f4c5c704a09abf5aa54cec0753bfeda09c56");

words! {
    /// What [`EXECUTED_721`] states.
    struct Executed721 { buyer, erc721_token_address, erc721_token_id, price_in_wei, time }

    /// What [`EXECUTED_1155`] states.
    struct Executed1155 { buyer, erc1155_token_address, erc1155_type_id, quantity, price_in_wei, time }

    /// What [`BUY_ORDER_EXECUTED`] states.
    struct BuyOrderExecuted { seller, erc721_token_address, erc721_token_id, price_in_wei, time }

    /// What [`LISTED_1155`] states.
    struct Listed1155 { erc1155_token_address, erc1155_type_id, quantity, price_in_wei, time }

    /// What [`BUY_ORDER_ADDED`] states.
    struct BuyOrderAdded { erc721_token_address, erc721_token_id, price_in_wei, duration, validation_hash, time }
}

/// The market on Polygon, and on Base since it moved there.
pub(crate) const DECODER: Decoder = Decoder {
    name: "baazaar",
    claims: &[
        Claim::of(CONTRACTS, EXECUTED_721, 4).with_envelope(),
        Claim::of(CONTRACTS, EXECUTED_1155, 4).with_envelope(),
        Claim::of(CONTRACTS, BUY_ORDER_EXECUTED, 3).with_envelope(),
        Claim::of(CONTRACTS, LISTED_721, 4),
        Claim::of(CONTRACTS, LISTED_1155, 4),
        Claim::of(CONTRACTS, BUY_ORDER_ADDED, 4),
        Claim::of(CONTRACTS, CANCELLED_721, 2),
        Claim::of(CONTRACTS, CANCELLED_1155, 2),
        Claim::of(CONTRACTS, BUY_ORDER_CANCELED, 2),
    ],
    factories: &[COINS],
    decode,
    ..Decoder::NONE
};

fn decode(transaction: &Transaction<'_>, events: &mut Events) {
    let transfers = events.transfer_index(transaction);
    let coin = transaction.here(COINS).unwrap_or_default();
    let mut since = 0;
    for log in transaction.claimed() {
        let decoded = match log.topic0() {
            Some(&EXECUTED_721 | &EXECUTED_1155 | &BUY_ORDER_EXECUTED) => {
                let window = mem::replace(&mut since, log.log_index + 1)..log.log_index;
                sale(log, coin, &transfers, window)
            }
            Some(&LISTED_721 | &LISTED_1155) => listed(log, coin),
            Some(&BUY_ORDER_ADDED) => buy_order(log, coin),
            _ => taken_back(log),
        };
        events.emit(log, decoded);
    }
}

/// A listing of either standard by its number.
fn listing(log: &Log, standard: Standard) -> Key {
    let standard = U256::from(if standard == Standard::Erc1155 { 1155 } else { 721 });
    Key::natural(log, OrderKind::Listing, &[part(standard), log.topics[1]])
}

fn buy_order_of(log: &Log) -> Key {
    Key::natural(log, OrderKind::Offer, &[log.topics[1]])
}

fn total(price: U256, quantity: U256) -> Result<U256, DecodeError> {
    price.checked_mul(quantity).ok_or(DecodeError(reason::AMOUNT_OVERFLOW))
}

fn erc721(reader: &mut Reader<'_>, contract: &Word, token: &Word) -> LineItem {
    LineItem::of(reader.address(contract), uint(token), U256::ONE)
}

fn sale(
    log: &Log,
    coin: Address,
    transfers: &TransferIndex,
    window: Range<u32>,
) -> Result<(LogOutcome, Option<&'static str>), DecodeError> {
    let mut reader = Reader::new(log);
    let named = reader.topic_address(2);
    let (side, other, line, price) = match log.topic0() {
        Some(&EXECUTED_1155) => {
            let sold = Executed1155::of(reader.head()?);
            let line = LineItem {
                standard: Standard::Erc1155,
                ..LineItem::of(
                    reader.address(sold.erc1155_token_address),
                    uint(sold.erc1155_type_id),
                    uint(sold.quantity),
                )
            };
            let price = total(uint(sold.price_in_wei), line.quantity)?;
            (Side::Listing, reader.address(sold.buyer), line, price)
        }
        Some(&EXECUTED_721) => {
            let sold = Executed721::of(reader.head()?);
            let line = erc721(&mut reader, sold.erc721_token_address, sold.erc721_token_id);
            (Side::Listing, reader.address(sold.buyer), line, uint(sold.price_in_wei))
        }
        _ => {
            let sold = BuyOrderExecuted::of(reader.head()?);
            let line = erc721(&mut reader, sold.erc721_token_address, sold.erc721_token_id);
            (Side::Offer, reader.address(sold.seller), line, uint(sold.price_in_wei))
        }
    };
    let (seller, buyer) = if side == Side::Offer {
        (other, named)
    } else {
        (named, other)
    };
    let mut trade = Trade {
        currency: coin,
        ..Trade::of(MARKET, side, line.between(seller, buyer), price)
    };
    share_out(&mut trade, price, transfers.payments(window));
    let filled = match log.topic0() {
        Some(&EXECUTED_1155) => filled_by(MARKET, log, listing(log, Standard::Erc1155), line.quantity),
        Some(&EXECUTED_721) => filled(MARKET, log, listing(log, Standard::Erc721)),
        _ => filled(MARKET, log, buy_order_of(log)),
    };
    Ok((LogOutcome::from(trade).and(filled), reader.warning()))
}

/// Records the shares of the price by the last payments in the coin, all by one party, that make it up. The market's are known by
/// their amounts: what creators and affiliates get has no fixed place among them, and only ERC-721 tokens pay creators.
fn share_out(trade: &mut Trade, price: U256, payments: &[Payment]) {
    let line = trade.lines[0];
    let in_coin = |payment: &&Payment| payment.currency == trade.currency;
    // All shares are paid by one party, which shows by the payment to the seller.
    let payer = payments
        .iter()
        .rev()
        .filter(in_coin)
        .find(|payment| payment.to == line.seller);
    let Some(payer) = payer.map(|payment| payment.from) else {
        trade.flags.push(flag::FEES_UNKNOWN);
        return;
    };
    let mut missing = price;
    let mut shares = Vec::new();
    for payment in payments
        .iter()
        .rev()
        .filter(in_coin)
        .filter(|payment| payment.from == payer)
    {
        let Some(left) = missing.checked_sub(payment.amount) else {
            break;
        };
        missing = left;
        shares.push(*payment);
    }
    // Shares that do not add up are someone else's payments: none of them is recorded.
    if !missing.is_zero() {
        trade.flags.push(flag::FEES_UNKNOWN);
        return;
    }
    let mut of_market = RATES.map(|rate| share(price, U256::from(rate), WHOLE).ok());
    for payment in shares.iter().rev().filter(|payment| payment.to != line.seller) {
        let own = of_market.iter_mut().find(|amount| **amount == Some(payment.amount));
        let kind = match own {
            Some(own) => {
                *own = None;
                FeeKind::Marketplace
            }
            None if line.standard == Standard::Erc1155 => FeeKind::Other,
            None => FeeKind::Royalty,
        };
        trade.fee(payment.to, payment.amount, kind);
    }
}

fn listed(log: &Log, coin: Address) -> Result<(LogOutcome, Option<&'static str>), DecodeError> {
    let mut reader = Reader::new(log);
    let seller = reader.topic_address(2);
    let (line, price) = if log.topic0() == Some(&LISTED_1155) {
        let added = Listed1155::of(reader.head()?);
        let line = LineItem {
            standard: Standard::Erc1155,
            ..LineItem::of(
                reader.address(added.erc1155_token_address),
                uint(added.erc1155_type_id),
                uint(added.quantity),
            )
        };
        (line, Some(total(uint(added.price_in_wei), line.quantity)?))
    } else {
        let [contract, token, _time] = reader.head()?;
        (erc721(&mut reader, contract, token), None)
    };
    let opened = Order {
        currency: coin,
        price,
        ..order(
            MARKET,
            log,
            OrderKind::Listing,
            listing(log, line.standard),
            seller,
            line,
        )
    };
    Ok((opened.into(), reader.warning()))
}

fn buy_order(log: &Log, coin: Address) -> Result<(LogOutcome, Option<&'static str>), DecodeError> {
    let mut reader = Reader::new(log);
    let added = BuyOrderAdded::of(reader.head()?);
    let line = erc721(&mut reader, added.erc721_token_address, added.erc721_token_id);
    let duration = uint(added.duration);
    let lasts = (!duration.is_zero()).then(|| uint(added.time).saturating_add(duration));
    let buyer = reader.topic_address(2);
    let opened = Order {
        currency: coin,
        price: Some(uint(added.price_in_wei)),
        expires_at: lasts.and_then(until),
        ..order(MARKET, log, OrderKind::Offer, buy_order_of(log), buyer, line)
    };
    Ok((opened.into(), reader.warning()))
}

fn taken_back(log: &Log) -> Result<(LogOutcome, Option<&'static str>), DecodeError> {
    let mut reader = Reader::new(log);
    let key = match log.topic0() {
        Some(&BUY_ORDER_CANCELED) => {
            let [_time] = reader.head()?;
            buy_order_of(log)
        }
        named => {
            let [_category, _time] = reader.head()?;
            let is_1155 = named == Some(&CANCELLED_1155);
            listing(log, if is_1155 { Standard::Erc1155 } else { Standard::Erc721 })
        }
    };
    Ok((canceled(MARKET, log, key).into(), reader.warning()))
}
