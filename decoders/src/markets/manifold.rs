//! Manifold's marketplace (decoding specification, section 4.16; public copies of `MarketplaceCore`, `MarketplaceLib` and
//! `SettlementLib` by manifold.xyz).
//!
//! The events of a sale name a listing by its number only. What it sells, on whose behalf and in what currency was emitted when
//! it was created, and the market returns it for good: `getListing`. A lazy listing names who creates the token; that token is
//! the one minted to the buyer before the event. Where the market cannot be asked, a purchase is decoded from what the buyer got.
//!
//! The market holds what is listed. A listing of a token that does not exist yet, and one that only invites offers, is none here.

use std::ops::Range;

use alloy_primitives::{Address, B256, U256, address, b256, hex};

use crate::block::{Call, Log};
use crate::chains;
use crate::decoder::{Claim, Decoder};
use crate::events::Events;
use crate::fact::{FeeKind, Order, OrderKind, PriceAllocation, Side, Standard, flag, reason};
use crate::log_reader::{self, DecodeError, Reader, share, uint, words};
use crate::trade::orders::{Key, LogOutcome, canceled, filled, filled_by, from, invalidated, order, until};
use crate::trade::transfer_index::TransferIndex;
use crate::trade::{LineItem, Market, Trade};
use crate::transaction::Transaction;

const CONTRACTS: &[(u64, Address)] = &[
    (chains::ETHEREUM, address!("3a3548e060be10c2614d0a4cb0c03cc9093fd799")),
    (chains::OPTIMISM, address!("5246807fb65d87b0d0a234e0f3d42374de83b421")),
    (chains::BASE, address!("5246807fb65d87b0d0a234e0f3d42374de83b421")),
];
const MARKET: Market = Market {
    name: "manifold",
    version: "",
};

/// `PurchaseEvent(uint40 indexed listingId, address referrer, address buyer, uint24 count, uint256 amount)`.
const PURCHASE: B256 = b256!("0e0d473f43a9d8727e62653cce4cd80d0c870ffb83dc4c93c9db4cb8ffe7053e");
/// `AcceptOfferEvent(uint40 indexed listingId, address oferrer, uint256 amount)`.
const ACCEPT_OFFER: B256 = b256!("d6df7c9a0f20ac7b678de872504d1dc938cd654638a43d5312d295e51c23e470");
/// `FinalizeListing(uint40 indexed listingId)`.
const FINALIZE_LISTING: B256 = b256!("7a64269d6d03ead41925c75675255493546f656ebb9cae4158fea2633d86c541");
/// `CreateListing(uint40,uint16,uint16,uint8,uint24,uint24,uint48,uint48,uint256,uint16,uint16,address,address)`.
const CREATE_LISTING: B256 = b256!("a677084ea9aea69b2640d875bae622e3cf9d7c163f52d2f9d81daa1ed072c985");
/// `CreateListingTokenDetails(uint40,uint256,address,uint8,bool)`, which follows.
const TOKEN_DETAILS: B256 = b256!("c43fa59bf811b406292f853c5888b214b0e868c12884ca93b4956648caa6938a");
/// `ModifyListing(uint40,uint256,uint48,uint48)`.
const MODIFY_LISTING: B256 = b256!("de38900f75163598713718d539a09596c3c1b9bacd1432ea1be04fa658d0cada");
/// `CancelListing(uint40,address,uint16)`.
const CANCEL_LISTING: B256 = b256!("19ef8c897f0ad4be12bac96be8f4a3984059ae9566f02163b0e48cf00f9aa338");
/// `OfferEvent(uint40,address,address,uint256)`.
const OFFER: B256 = b256!("73535bde202cd31a2fe12c1b9e7903a1b273e46e0dbc7d55dc586af898543701");
/// `RescindOfferEvent(uint40,address,uint256)`.
const RESCIND_OFFER: B256 = b256!("3d13f7b5271fd88ba34bfa097c4b522a61f0cfeb1621d43bfae01034fa421e4f");

/// `getListing(uint40)`.
const GET_LISTING: [u8; 4] = hex!("e1f332f1");
/// Where the listing of an answer starts.
const LISTING_OFFSET: U256 = U256::from_limbs([32, 0, 0, 0]);

words! {
    /// What [`CREATE_LISTING`] states.
    struct CreateListing {
        marketplace_bps, referrer_bps, listing_type, total_available, total_per_sale, start_time, end_time,
        initial_amount, extension_interval, min_increment_bps, erc20, identity_verifier,
    }

    /// What the market answers to [`GET_LISTING`], up to the receivers: the listing behind an offset, with its details, its token,
    /// its delivery fees and its bid.
    struct GetListing {
        listing_at, id, seller, finalized, total_sold, marketplace_bps, referrer_bps,
        initial_amount, listing_type, total_available, total_per_sale, extension_interval, min_increment_bps, erc20,
        identity_verifier, start_time, end_time,
        token_id, token_address, token_spec, token_lazy,
        receivers_at,
        deliver_bps, deliver_fixed,
        bid_amount, bidder, bid_delivered, bid_settled, bid_refunded, bid_timestamp, bid_referrer,
    }
}

/// A listing won by bids.
const INDIVIDUAL_AUCTION: u64 = 1;
/// A listing at a price, and one at a price that a contract returns.
const FIXED_PRICE: u64 = 2;
const DYNAMIC_PRICE: u64 = 3;
/// What rates are parts of.
const WHOLE: u64 = 10_000;
/// A token of which there are several.
const ERC1155: u64 = 2;

/// The market on every chain. The details of a listing are claimed to be available where it is created.
pub(crate) const DECODER: Decoder = Decoder {
    name: "manifold",
    claims: &[
        Claim::of(CONTRACTS, PURCHASE, 2).asking().with_envelope(),
        Claim::of(CONTRACTS, ACCEPT_OFFER, 2).asking().with_envelope(),
        Claim::of(CONTRACTS, FINALIZE_LISTING, 2).asking().with_envelope(),
        Claim::of(CONTRACTS, CREATE_LISTING, 2).asking(),
        Claim::of(CONTRACTS, TOKEN_DETAILS, 2),
        Claim::of(CONTRACTS, MODIFY_LISTING, 2).asking(),
        Claim::of(CONTRACTS, CANCEL_LISTING, 2),
        Claim::of(CONTRACTS, OFFER, 2).asking(),
        Claim::of(CONTRACTS, RESCIND_OFFER, 2),
    ],
    decode,
    ..Decoder::NONE
};

fn decode(transaction: &Transaction<'_>, events: &mut Events) {
    let transfers = events.transfer_index(transaction);
    let mut since = 0;
    let mut claimed = transaction.claimed().peekable();
    while let Some(log) = claimed.next() {
        if log.topic0() == Some(&TOKEN_DETAILS) {
            continue;
        }
        if matches!(log.topic0(), Some(&CANCEL_LISTING | &RESCIND_OFFER)) {
            events.emit(log, taken_back(log));
            continue;
        }
        let details = claimed.peek().filter(|details| are_details(details, log));
        let created = details.and_then(|details| Listing::created(log, details, &transfers));
        let listing = created.map_or_else(|| Listing::of(transaction, log, events), Ok);
        if matches!(log.topic0(), Some(&CREATE_LISTING | &MODIFY_LISTING | &OFFER)) {
            events.emit(log, listing.and_then(|listing| opened(log, &listing)));
            continue;
        }
        let window = since..log.log_index;
        since = log.log_index + 1;
        let listing = listing.or_else(|unanswered| Listing::seen(log, &transfers, window.clone()).ok_or(unanswered));
        events.emit(log, listing.and_then(|listing| sale(log, &listing, &transfers, window)));
    }
}

/// Whether `details` are those of the listing that `log` creates.
fn are_details(details: &Log, log: &Log) -> bool {
    log.topic0() == Some(&CREATE_LISTING)
        && details.topic0() == Some(&TOKEN_DETAILS)
        && (details.address, details.topics[1]) == (log.address, log.topics[1])
}

/// The listing that `log` names.
fn listed(log: &Log) -> Key {
    Key::natural(log, OrderKind::Listing, &[log.topics[1]])
}

/// The offer of `maker` for the listing that `log` names.
fn offered(log: &Log, maker: Address) -> Key {
    Key::natural(log, OrderKind::Offer, &[log.topics[1], maker.into_word()])
}

/// A listing made or changed, or an offer for it; none for what no token stands for yet.
fn opened(log: &Log, listing: &Listing) -> Result<(Option<Order>, Option<&'static str>), DecodeError> {
    let mut reader = Reader::new(log);
    let kinds = [INDIVIDUAL_AUCTION, FIXED_PRICE, DYNAMIC_PRICE].map(U256::from);
    let (amount, start, end) = match log.topic0() {
        Some(&OFFER) => {
            let [_referrer, maker, amount] = reader.head()?;
            let maker = reader.address(maker);
            let offer = Order {
                currency: listing.currency,
                price: Some(uint(amount)),
                ..order(
                    MARKET,
                    log,
                    OrderKind::Offer,
                    offered(log, maker),
                    maker,
                    listing.line(listing.per_sale),
                )
            };
            return Ok(((!listing.is_lazy).then_some(offer), reader.warning()));
        }
        Some(&MODIFY_LISTING) => {
            let [amount, start, end] = reader.head()?;
            (uint(amount), uint(start), uint(end))
        }
        _ => {
            let created = CreateListing::of(reader.head()?);
            let (start, end) = (uint(created.start_time), uint(created.end_time));
            (uint(created.initial_amount), start, end)
        }
    };
    if listing.is_lazy || !kinds.contains(&listing.kind) {
        return Ok((None, reader.warning()));
    }
    // Without a start the end is how long it lasts from the first sale or bid on.
    let expires_at = if start.is_zero() { None } else { until(end) };
    let line = listing.line(listing.available);
    let price = amount
        .checked_mul(listing.sales())
        .ok_or(DecodeError(reason::AMOUNT_OVERFLOW))?;
    let opened = Order {
        currency: listing.currency,
        price: (listing.kind != U256::from(DYNAMIC_PRICE)).then_some(price),
        starts_at: from(start),
        expires_at,
        escrowed: true,
        auction: listing.kind == U256::from(INDIVIDUAL_AUCTION),
        ..order(MARKET, log, OrderKind::Listing, listed(log), listing.seller, line)
    };
    Ok((Some(opened), reader.warning()))
}

fn taken_back(log: &Log) -> Result<(LogOutcome, Option<&'static str>), DecodeError> {
    let mut reader = Reader::new(log);
    let [who, _amount] = reader.head()?;
    let who = reader.address(who);
    let key = if log.topic0() == Some(&CANCEL_LISTING) {
        listed(log)
    } else {
        offered(log, who)
    };
    Ok((canceled(MARKET, log, key).into(), reader.warning()))
}

/// What the market keeps of a listing.
struct Listing {
    seller: Address,
    kind: U256,
    available: U256,
    per_sale: U256,
    currency: Address,
    token: U256,
    /// The token's contract, or the one that creates it.
    contract: Address,
    is_1155: bool,
    is_lazy: bool,
    /// Whether the one that takes delivery is charged for it on top.
    has_delivery_fee: bool,
    /// The shares of the market and of who brought the buyer, in ten thousandths.
    rates: [U256; 2],
    bid: U256,
    bidder: Address,
    /// Who brought the bidder.
    referrer: Address,
    /// Whether it is read off its sale, because the market could not be asked.
    is_seen: bool,
}

impl Listing {
    /// The listing that `log` names.
    fn of(transaction: &Transaction<'_>, log: &Log, events: &mut Events) -> Result<Self, DecodeError> {
        let call = Call::of(log.address, GET_LISTING, &[log.topics[1]]);
        let answer = events.ask(transaction, call)?.map(GetListing::of);
        answer
            .filter(|answer| uint(answer.listing_at) == LISTING_OFFSET && *answer.id == log.topics[1].0)
            .map(Self::read)
            .ok_or(DecodeError(reason::CONTRACT_UNKNOWN))
    }

    /// The listing that `log` creates, as far as the transaction shows it: its token in the log of its details, its seller by the
    /// movement that handed the token over.
    fn created(log: &Log, details: &Log, transfers: &TransferIndex) -> Option<Self> {
        let created = CreateListing::of(Reader::new(log).head().ok()?);
        let [token, contract, standard, lazy] = Reader::new(details).head().ok()?;
        let (contract, token, is_lazy) = (log_reader::address(contract), uint(token), !uint(lazy).is_zero());
        let moves = transfers.transfers_of(contract, token).map(|(_, movement)| movement);
        // The log of the listing does not name the seller: the market holds what is listed, so it is who handed the token over.
        let escrow = moves
            .rev()
            .find(|movement| movement.to == log.address && movement.log_index < log.log_index);
        let seller = escrow.map(|movement| movement.from);
        Some(Listing {
            seller: if is_lazy { Address::ZERO } else { seller? },
            kind: uint(created.listing_type),
            available: uint(created.total_available),
            per_sale: uint(created.total_per_sale),
            currency: log_reader::address(created.erc20),
            token,
            contract,
            is_1155: uint(standard) == U256::from(ERC1155),
            is_lazy,
            has_delivery_fee: false,
            rates: [U256::ZERO; 2],
            bid: U256::ZERO,
            bidder: Address::ZERO,
            referrer: Address::ZERO,
            is_seen: false,
        })
    }

    /// The listing as far as its sale shows it: what the market gave the buyer, or what was created for the buyer, and in what
    /// the buyer paid then, or the market paid out what the buyer had deposited for the offer.
    fn seen(log: &Log, transfers: &TransferIndex, window: Range<u32>) -> Option<Self> {
        let mut reader = Reader::new(log);
        let (buyer, count, payer) = match log.topic0() {
            Some(&PURCHASE) => {
                let [_referrer, buyer, count, _amount] = reader.head().ok()?;
                let buyer = reader.address(buyer);
                (buyer, uint(count), buyer)
            }
            Some(&ACCEPT_OFFER) => {
                let [buyer, _amount] = reader.head().ok()?;
                (reader.address(buyer), U256::ONE, log.address)
            }
            _ => return None,
        };
        let handed = transfers
            .movements(window.clone())
            .iter()
            .rfind(|movement| movement.to == buyer && (movement.from.is_zero() || movement.from == log.address))?;
        // From the delivery on: earlier payments of the buyer may be for something else.
        let mut payments = transfers.payments(handed.log_index..window.end).iter();
        let paid = payments.find(|payment| payment.from == payer);
        Some(Listing {
            seller: Address::ZERO,
            kind: U256::ZERO,
            available: handed.quantity,
            per_sale: handed.quantity.checked_div(count)?,
            currency: paid.map_or(Address::ZERO, |payment| payment.currency),
            token: handed.token,
            contract: handed.contract,
            is_1155: !handed.standard.single_owner(),
            is_lazy: handed.from.is_zero(),
            has_delivery_fee: false,
            rates: [U256::ZERO; 2],
            bid: U256::ZERO,
            bidder: Address::ZERO,
            referrer: Address::ZERO,
            is_seen: true,
        })
    }

    fn read(answer: GetListing<'_>) -> Self {
        Listing {
            seller: log_reader::address(answer.seller),
            kind: uint(answer.listing_type),
            available: uint(answer.total_available),
            per_sale: uint(answer.total_per_sale),
            currency: log_reader::address(answer.erc20),
            token: uint(answer.token_id),
            contract: log_reader::address(answer.token_address),
            is_1155: uint(answer.token_spec) == U256::from(ERC1155),
            is_lazy: !uint(answer.token_lazy).is_zero(),
            has_delivery_fee: !uint(answer.deliver_bps).is_zero() || !uint(answer.deliver_fixed).is_zero(),
            rates: [answer.marketplace_bps, answer.referrer_bps].map(uint),
            bid: uint(answer.bid_amount),
            bidder: log_reader::address(answer.bidder),
            referrer: log_reader::address(answer.bid_referrer),
            is_seen: false,
        }
    }

    /// Records the shares of the market, which keeps its own for later, and of the `referrer` where it is known whether there is
    /// one. Creators get theirs before the seller does, and nothing states how much; of what the sale creates they get none.
    fn fees(&self, log: &Log, referrer: Option<Address>, trade: &mut Trade) -> Result<(), DecodeError> {
        let price = trade.price.unwrap_or_default();
        let [of_market, of_referrer] = self.rates;
        trade.fee(log.address, share(price, of_market, WHOLE)?, FeeKind::Marketplace);
        if let Some(referrer) = referrer.filter(|referrer| !referrer.is_zero()) {
            trade.fee(referrer, share(price, of_referrer, WHOLE)?, FeeKind::Tip);
        }
        if self.is_seen || !self.is_lazy || (referrer.is_none() && !of_referrer.is_zero()) {
            trade.flags.push(flag::FEES_UNKNOWN);
        }
        Ok(())
    }

    /// What `count` sales of the listing sell to `buyer`.
    fn lines(
        &self,
        count: U256,
        buyer: Address,
        transfers: &TransferIndex,
        window: Range<u32>,
    ) -> Result<Vec<LineItem>, DecodeError> {
        if self.is_lazy {
            let minted = transfers.movements(window).iter();
            let minted = minted.filter(|movement| movement.from.is_zero() && movement.to == buyer);
            // What else was created for the buyer stands before.
            let contract = minted.clone().next_back().map(|movement| movement.contract);
            let minted = minted.filter(|movement| Some(movement.contract) == contract);
            let lines = minted.map(|movement| LineItem {
                standard: movement.standard,
                ..LineItem::of(movement.contract, movement.token, movement.quantity).between(self.seller, buyer)
            });
            return Ok(lines.collect());
        }
        Ok(vec![self.line(self.units(count)?).between(self.seller, buyer)])
    }

    /// How many units `count` sales sell.
    fn units(&self, count: U256) -> Result<U256, DecodeError> {
        let units = if self.is_1155 { self.per_sale } else { U256::ONE };
        units.checked_mul(count).ok_or(DecodeError(reason::AMOUNT_OVERFLOW))
    }

    /// How many sales sell all of it.
    fn sales(&self) -> U256 {
        self.available
            .checked_div(self.per_sale)
            .unwrap_or(U256::ONE)
            .max(U256::ONE)
    }

    /// `quantity` units of the token; one of a token that is one.
    fn line(&self, quantity: U256) -> LineItem {
        let (standard, quantity) = if self.is_1155 {
            (Standard::Erc1155, quantity)
        } else {
            (Standard::Erc721, U256::ONE)
        };
        LineItem {
            standard,
            ..LineItem::of(self.contract, self.token, quantity)
        }
    }
}

/// The sale that `log` emits of a listing; its end only, where an auction ends without a bid or unsold units go back.
fn sale(
    log: &Log,
    listing: &Listing,
    transfers: &TransferIndex,
    window: Range<u32>,
) -> Result<(LogOutcome, Option<&'static str>), DecodeError> {
    let mut reader = Reader::new(log);
    let (mut buyer, mut count, mut referrer) = (listing.bidder, U256::ONE, Some(listing.referrer));
    let (side, price) = match log.topic0() {
        Some(&PURCHASE) => {
            let [brought_by, taker, times, amount] = reader.head()?;
            (buyer, count) = (reader.address(taker), uint(times));
            referrer = Some(reader.address(brought_by));
            (Side::Listing, uint(amount))
        }
        Some(&ACCEPT_OFFER) => {
            let [maker, amount] = reader.head()?;
            (buyer, referrer) = (reader.address(maker), None);
            (Side::Offer, uint(amount))
        }
        _ => (Side::Auction, listing.bid),
    };
    let is_auction = side == Side::Auction;
    // Finalizing also ends what was never sold, and gives back what is left of a listing.
    if is_auction && (listing.kind != U256::from(INDIVIDUAL_AUCTION) || buyer.is_zero()) {
        return Ok((invalidated(MARKET, log, listed(log)).into(), reader.warning()));
    }
    let nothing = LineItem {
        token: None,
        ..LineItem::of(Address::ZERO, U256::ZERO, U256::ONE).between(listing.seller, buyer)
    };
    let mut trade = Trade {
        currency: listing.currency,
        ..Trade::of(MARKET, side, nothing, price)
    };
    listing.fees(log, referrer, &mut trade)?;
    if listing.has_delivery_fee {
        trade.flags.push(flag::FEES_ON_TOP_UNKNOWN);
    }
    if is_auction {
        trade.allocation = PriceAllocation::Inferred;
    }
    if side != Side::Listing || count > U256::ONE {
        trade.flags.push(flag::UNCONFIRMED);
    }
    if listing.is_lazy {
        trade.flags.push(flag::PRIMARY);
    }
    if listing.is_seen {
        trade.flags.extend([flag::NO_ANSWER, flag::SELLER_UNKNOWN]);
    }
    let lines = listing.lines(count, buyer, transfers, window)?;
    // Without the listing the sale stands all the same, of a token that is not named.
    if lines.is_empty() {
        trade.flags.push(flag::TOKEN_UNKNOWN);
    } else {
        trade.lines = lines.into();
    }
    let fill = match side {
        Side::Listing => filled_by(MARKET, log, listed(log), listing.units(count)?),
        _ => filled(MARKET, log, listed(log)),
    };
    let warning = reader.warning();
    let outcome = LogOutcome::from(trade).and(fill);
    Ok(match side {
        // Accepting an offer ends the auction it was made for.
        Side::Offer => (outcome.and(filled(MARKET, log, offered(log, buyer))), warning),
        _ => (outcome, warning),
    })
}
