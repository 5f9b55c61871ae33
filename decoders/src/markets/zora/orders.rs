//! Listings and offers of Zora v1 to v3 (decoding specification, sections 4.12 and 5).
//!
//! v1 keeps one ask per token and one bid per token and bidder; a movement of the token ends its ask. v2 numbers auctions; whose
//! one with a new reserve is, and in what, was emitted when it was created, earlier in the block, or else is asked. In v3 each
//! module keeps one ask or one auction per token, and numbers offers.

use alloy_primitives::{Address, B256, U256, b256, hex};

use crate::block::{Call, Log};
use crate::events::Events;
use crate::fact::{Closing, Order, OrderKind};
use crate::log_reader::{self, DecodeError, Reader, uint, words};
use crate::markets::zora::contracts::{is_auction_house, market, media};
use crate::trade::LineItem;
use crate::trade::orders::{Key, LogOutcome, canceled, filled, from, invalidated, lister, only, order, part};
use crate::trade::transfer_index::TransferIndex;
use crate::transaction::{Latest, Transaction};

/// v1 `BidCreated(uint256,(uint256,address,address,address,(uint256)))`.
pub(crate) const BID_CREATED: B256 = b256!("327bc9021bfbee403a11b13dd6c819999006aff090cc129f07e9f2840af38dd5");
/// v1 `BidFinalized(uint256,(uint256,address,address,address,(uint256)))`.
pub(crate) const BID_FINALIZED: B256 = b256!("b6ef177c7a6f32b283a49b5e0463a39240cdaa278028dfb219480d050e8ee54c");
/// v1 `BidRemoved(uint256,(uint256,address,address,address,(uint256)))`.
pub(crate) const BID_REMOVED: B256 = b256!("cbebd567b8a5c57f63ec61dc46746aab28daff6bdd1f4a6a0a305c17fa5465c9");
/// v1 `AskCreated(uint256,(uint256,address))`.
pub(crate) const V1_ASK_CREATED: B256 = b256!("f7347cb9e91d8cbe995b51920ba5f92cbf84a9e09cbed3cd7a739fef4d1d07cf");
/// v1 `AskRemoved(uint256,(uint256,address))`.
pub(crate) const V1_ASK_REMOVED: B256 = b256!("bf58f6d6c7d7c6efc69e7444efa93ed26d7cdc0e82e12a37df96f36a367561df");
/// v2 `AuctionCreated(uint256,uint256,address,uint256,uint256,address,address,uint8,address)`.
pub(crate) const V2_AUCTION_CREATED: B256 = b256!("38c0b9047bd28fac9f420b967f6caf4a6260ba09d18940a9a502578a480c0900");
/// v2 `AuctionReservePriceUpdated(uint256,uint256,address,uint256)`.
pub(crate) const V2_AUCTION_UPDATED: B256 = b256!("01e6a465ec1edd582d333147c7b7edf5998164f2cf2269dcb9c93d46c67bd317");
/// v2 `AuctionCanceled(uint256,uint256,address,address)`.
pub(crate) const V2_AUCTION_CANCELED: B256 = b256!("6091afcbe8514686c43b167ca4f1b03e24446d29d8490d496e438f8a2c763439");
/// v3 `AskCreated(address,uint256,(address,address,address,uint16,uint256))`.
pub(crate) const ASK_CREATED: B256 = b256!("5b65b398e1d736436510f4da442eaec71466d2abee0816567088c892c4bcee70");
/// v3 `AskPriceUpdated`, of the same types.
pub(crate) const ASK_UPDATED: B256 = b256!("1a24bcf5290feab70f35cfb4870c294ebf497e608d4262b0ec0debe045008140");
/// v3 `AskCanceled`, of the same types.
pub(crate) const ASK_CANCELED: B256 = b256!("871956abf85befb7c955eacd40fcabe7e01b1702d75764bf7f54bf481933fd35");
/// v3 `OfferCreated(address,uint256,uint256,(address,address,uint16,uint256))`.
pub(crate) const OFFER_CREATED: B256 = b256!("934b27a1f1b0d83e3e6ed7ecfbec90d5ab9e42ebe9c32a3d03f448305aef6eab");
/// v3 `OfferUpdated`, of the same types.
pub(crate) const OFFER_UPDATED: B256 = b256!("78b8e43aa2037c628f2647707ac279be38396d24a1c5084977dd3ee0fc6c0e00");
/// v3 `OfferCanceled`, of the same types.
pub(crate) const OFFER_CANCELED: B256 = b256!("cb93d56cb08ecaf9e15d6148b9ed9c4eddcc476cc2ecf8068c32ec1c408443d8");
/// v3 `AskCreated(address,uint256,address,uint256)`.
pub(crate) const CORE_ASK_CREATED: B256 = b256!("b427f2572be967193f84fe4fa05aa3137657735475127a9dffaf978c15f682be");
/// v3 `AskPriceUpdated`, of the same types.
pub(crate) const CORE_ASK_UPDATED: B256 = b256!("18c0eece1e729d9b8010f8a94ed680280eb3ccfedaedef0218b6c6a64a2d3143");
/// v3 `AskCanceled`, of the same types.
pub(crate) const CORE_ASK_CANCELED: B256 = b256!("be338a95c86a3b9c15c04bcc9498991ef98dc6013ff35a86006784873bf0f9b4");
/// v3 `AskCreated(address,uint256,(address,uint96,address))`.
pub(crate) const PRIVATE_ASK_CREATED: B256 = b256!("a5bd647f34fcbc80ec242a9c943441939ba9c241c90515e6c49bd8c3207a3147");
/// v3 `AskPriceUpdated`, of the same types.
pub(crate) const PRIVATE_ASK_UPDATED: B256 = b256!("0c294c0a739f71ec000739c4763bc46f863f09ca23f26cd9b293094e13e1be1e");
/// v3 `AskCanceled`, of the same types.
pub(crate) const PRIVATE_ASK_CANCELED: B256 = b256!("fa3f57ecc148dff66af5b7988fd23bb7d42b7c6cf1ac1f4c611980667d888007");
/// v3 `AuctionCreated(address,uint256,(address,uint96,address,uint96,address,uint32,uint32,uint32))`.
pub(crate) const CORE_AUCTION_CREATED: B256 = b256!("121f6d6881cb1dd3914c0234659abdd33704f600899be3db716f88f44a22eb71");
/// v3 `AuctionReservePriceUpdated`, of the same types.
pub(crate) const CORE_AUCTION_UPDATED: B256 = b256!("340f8e02bf825f1f02f5409eb2c69a09374d9063b8a3297579b69c9b3643f961");
/// v3 `AuctionCanceled`, of the same types.
pub(crate) const CORE_AUCTION_CANCELED: B256 =
    b256!("03a68264db4df5c4ee072ef5ddf1c65b80a3d96e54c2082d5dbbfa479b4b159a");
/// v3 `AuctionBid(address,uint256,bool,bool,(address,uint96,address,uint96,address,uint32,uint32,uint32))`.
pub(crate) const CORE_AUCTION_BID: B256 = b256!("0a3da7cd15c46d5cafa4dd84d39231172bb1e7822cacea75610917733a77dcc3");
/// v3 `AuctionCreated(address,uint256,(address,address,uint256,uint256,address,uint48,uint48,address,uint96))`.
pub(crate) const ERC20_AUCTION_CREATED: B256 =
    b256!("9ef1635be16736b5f488679d6cea149731e7ab2060548233af28b3c6e6a6cf2b");
/// v3 `AuctionReservePriceUpdated`, of the same types.
pub(crate) const ERC20_AUCTION_UPDATED: B256 =
    b256!("a0e845828d84f82996c49fd0af64ddda6d12b85a6559a46b04aaf92dbe8ce0ab");
/// v3 `AuctionCanceled`, of the same types.
pub(crate) const ERC20_AUCTION_CANCELED: B256 =
    b256!("28d1581c85a979ef8d7973299d416a080ec0cb0a789b1a833da043fc3af2d952");
/// v3 `AuctionBid(address,uint256,bool,bool,(address,address,uint256,uint256,address,uint48,uint48,address,uint96))`.
pub(crate) const ERC20_AUCTION_BID: B256 = b256!("5bbb03ea943511da2700d4a51e8b244ee289f256a69da61c9f1cb6d80fbdb2b6");

/// v2 `auctions(uint256)`.
const AUCTIONS: [u8; 4] = hex!("571a26a0");

words! {
    /// What [`BID_CREATED`], [`BID_FINALIZED`] and [`BID_REMOVED`] state.
    pub(crate) struct Bid { amount, currency, bidder, recipient, sell_on_share }

    /// What [`V2_AUCTION_CREATED`] states.
    struct AuctionCreated { duration, reserve_price, token_owner, curator, curator_fee_percentage, auction_currency }

    /// What the auction house answers to [`AUCTIONS`].
    struct Auction {
        token_id, token_contract, approved, amount, duration, first_bid_time, reserve_price, curator_fee_percentage,
        token_owner, bidder, curator, auction_currency,
    }

    /// What [`ASK_CREATED`], [`ASK_UPDATED`] and [`ASK_CANCELED`] state.
    struct Ask { seller, seller_funds_recipient, ask_currency, finders_fee_bps, ask_price }

    /// What [`CORE_AUCTION_CREATED`] and the other events of these auctions state, [`CORE_AUCTION_BID`] last.
    pub(crate) struct CoreAuction {
        seller, reserve_price, seller_funds_recipient, highest_bid, highest_bidder, duration, start_time, first_bid_time,
    }

    /// What [`ERC20_AUCTION_CREATED`] and the other events of these auctions state, [`ERC20_AUCTION_BID`] last.
    pub(crate) struct Erc20Auction {
        seller, seller_funds_recipient, reserve_price, highest_bid, highest_bidder, duration, start_time, currency,
        first_bid_time,
    }
}

/// The ask for a token of v1.
fn first_ask(log: &Log, token: U256) -> Key {
    Key::natural(log, OrderKind::Listing, &[part(token)])
}

/// The bid of a bidder on a token of v1.
pub(crate) fn first_bid(log: &Log, token: U256, bidder: Address) -> Key {
    Key::natural(log, OrderKind::Offer, &[part(token), bidder.into_word()])
}

/// The auction of v2 with a number.
pub(crate) fn numbered(log: &Log, number: U256) -> Key {
    Key::natural(log, OrderKind::Listing, &[part(number)])
}

/// The ask or the auction of a token at a module of v3.
pub(crate) fn listed(log: &Log, contract: Address, token: U256) -> Key {
    Key::natural(log, OrderKind::Listing, &[contract.into_word(), part(token)])
}

/// The offer for a token with a number, at the offers of v3.
pub(crate) fn offered(log: &Log, contract: Address, token: U256, number: U256) -> Key {
    Key::natural(
        log,
        OrderKind::Offer,
        &[contract.into_word(), part(token), part(number)],
    )
}

/// What a log that is no sale states of orders.
pub(crate) fn outcome(
    transaction: &Transaction<'_>,
    log: &Log,
    transfers: &TransferIndex,
) -> Result<(LogOutcome, Option<&'static str>), DecodeError> {
    let mut reader = Reader::new(log);
    let outcome = match log.topic0() {
        Some(&BID_CREATED | &BID_REMOVED) => bid(transaction, log, &mut reader)?,
        Some(&V1_ASK_CREATED) => asked(transaction, log, &mut reader, transfers)?.into(),
        Some(&V1_ASK_REMOVED) => ask_removed(transaction, log, &mut reader, transfers)?.into(),
        Some(&V2_AUCTION_CREATED) => auctioned(log, &mut reader)?.into(),
        Some(&V2_AUCTION_CANCELED) => {
            let [_owner] = reader.head()?;
            canceled(market("v2"), log, numbered(log, reader.topic_uint(1))).into()
        }
        Some(&OFFER_CREATED | &OFFER_UPDATED | &OFFER_CANCELED) => offer(log, &mut reader)?,
        _ => of_module(log, &mut reader)?,
    };
    Ok((outcome, reader.warning()))
}

/// A bid of v1. Those of the auction house are how it sells: the auction emits them.
fn bid(transaction: &Transaction<'_>, log: &Log, reader: &mut Reader<'_>) -> Result<LogOutcome, DecodeError> {
    let bid = Bid::of(reader.head()?);
    let (token, bidder) = (reader.topic_uint(1), reader.address(bid.bidder));
    let (market, key) = (market("v1"), first_bid(log, token, bidder));
    if is_auction_house(transaction, bidder) {
        return Ok(LogOutcome::default());
    }
    if log.topic0() == Some(&BID_REMOVED) {
        return Ok(canceled(market, log, key).into());
    }
    let line = LineItem::of(media(transaction), token, U256::ONE);
    let offer = Order {
        currency: reader.address(bid.currency),
        price: Some(uint(bid.amount)),
        ..order(market, log, OrderKind::Offer, key, bidder, line)
    };
    Ok(offer.into())
}

/// An ask of v1, if it is known whose it is.
fn asked(
    transaction: &Transaction<'_>,
    log: &Log,
    reader: &mut Reader<'_>,
    transfers: &TransferIndex,
) -> Result<Option<Order>, DecodeError> {
    let [amount, currency] = reader.head()?;
    let (token, currency) = (reader.topic_uint(1), reader.address(currency));
    let media = media(transaction);
    let maker = lister(transaction, transfers, log, media, token);
    Ok(maker.map(|maker| {
        let (key, line) = (first_ask(log, token), LineItem::of(media, token, U256::ONE));
        Order {
            currency,
            price: Some(uint(amount)),
            ..order(market("v1"), log, OrderKind::Listing, key, maker, line)
        }
    }))
}

/// The end of an ask of v1: taken by the bid that met it, ended by a movement of the token, else taken back. Of nothing, where
/// none stood.
fn ask_removed(
    transaction: &Transaction<'_>,
    log: &Log,
    reader: &mut Reader<'_>,
    transfers: &TransferIndex,
) -> Result<Option<Closing>, DecodeError> {
    let [amount, currency] = reader.head()?;
    let (token, currency) = (reader.topic_uint(1), reader.address(currency));
    if uint(amount).is_zero() {
        return Ok(None);
    }
    // An ask is removed before the log that shows why, so the transaction is read on from here.
    let mut later = transaction.after(log).iter().filter(|other| {
        other.address == log.address
            && other.topics.get(1) == log.topics.get(1)
            && matches!(other.topic0(), Some(&BID_FINALIZED | &V1_ASK_REMOVED))
    });
    let met = later
        .next()
        .filter(|other| other.topic0() == Some(&BID_FINALIZED))
        .is_some_and(|other| {
            let mut reader = Reader::new(other);
            let bid = reader.head().map(Bid::of);
            bid.is_ok_and(|bid| uint(bid.amount) >= uint(amount) && reader.address(bid.currency) == currency)
        });
    let mut moves = transfers.transfers_of(media(transaction), token);
    // A token that moves takes its ask away without anyone's wish to cancel it.
    let moved = moves
        .next_back()
        .is_some_and(|(_, last)| last.log_index > log.log_index);
    let (market, key) = (market("v1"), first_ask(log, token));
    Ok(Some(match (met, moved) {
        (true, _) => filled(market, log, key),
        (_, true) => invalidated(market, log, key),
        _ => canceled(market, log, key),
    }))
}

fn auctioned(log: &Log, reader: &mut Reader<'_>) -> Result<Order, DecodeError> {
    let created = AuctionCreated::of(reader.head()?);
    let owner = reader.address(created.token_owner);
    let currency = reader.address(created.auction_currency);
    Ok(auction_of(log, reader, owner, currency, uint(created.reserve_price)))
}

/// The auction that a log of v2 names.
fn auction_of(log: &Log, reader: &mut Reader<'_>, owner: Address, currency: Address, reserve: U256) -> Order {
    let (token, contract) = (reader.topic_uint(2), reader.topic_address(3));
    let (key, line) = (
        numbered(log, reader.topic_uint(1)),
        LineItem::of(contract, token, U256::ONE),
    );
    Order {
        currency,
        price: Some(reserve),
        escrowed: true,
        auction: true,
        ..order(market("v2"), log, OrderKind::Listing, key, owner, line)
    }
}

/// The logs that create auctions of v2, by number.
pub(crate) fn auctions_created<'a>() -> Latest<'a> {
    Latest::new(|log| {
        let is_created = log.topic0() == Some(&V2_AUCTION_CREATED);
        log.topics.get(1).filter(|_| is_created).copied()
    })
}

/// An auction of v2 with its new reserve; none if the auction house knows of no such auction.
pub(crate) fn reserve_changed<'a>(
    transaction: &Transaction<'a>,
    log: &Log,
    created: &mut Latest<'a>,
    events: &mut Events,
) -> Result<(Option<Order>, Option<&'static str>), DecodeError> {
    let mut reader = Reader::new(log);
    let [reserve] = reader.head()?;
    let created = created.before(transaction, log, &log.topics[1]);
    let created = created.and_then(|created| Reader::new(created).head().ok());
    let (owner, currency) = match created.map(AuctionCreated::of) {
        Some(created) => (created.token_owner, created.auction_currency),
        None => {
            let call = Call::of(log.address, AUCTIONS, &[log.topics[1]]).before_block(log.block_number);
            let Some(auction) = events.ask(transaction, call)?.map(Auction::of) else {
                return Ok((None, reader.warning()));
            };
            (auction.token_owner, auction.auction_currency)
        }
    };
    let (owner, currency) = (log_reader::address(owner), log_reader::address(currency));
    let listing = (!owner.is_zero()).then(|| auction_of(log, &mut reader, owner, currency, uint(reserve)));
    Ok((listing, reader.warning()))
}

fn offer(log: &Log, reader: &mut Reader<'_>) -> Result<LogOutcome, DecodeError> {
    let [maker, currency, _rate, amount] = reader.head()?;
    let (contract, token) = (reader.topic_address(1), reader.topic_uint(2));
    let (maker, currency) = (reader.address(maker), reader.address(currency));
    let key = offered(log, contract, token, reader.topic_uint(3));
    if log.topic0() == Some(&OFFER_CANCELED) {
        return Ok(canceled(market("v3"), log, key).into());
    }
    let line = LineItem::of(contract, token, U256::ONE);
    let offer = Order {
        currency,
        price: Some(uint(amount)),
        ..order(market("v3"), log, OrderKind::Offer, key, maker, line)
    };
    Ok(offer.into())
}

/// What a listing module of v3 emits, whatever its layout.
struct Listing {
    seller: Address,
    currency: Address,
    price: U256,
    taker: Address,
    starts_at: U256,
    escrowed: bool,
    auction: bool,
}

fn of_module(log: &Log, reader: &mut Reader<'_>) -> Result<LogOutcome, DecodeError> {
    let Some(listing) = listing(log, reader)? else {
        return Ok(LogOutcome::default());
    };
    let (contract, token) = (reader.topic_address(1), reader.topic_uint(2));
    let key = listed(log, contract, token);
    if matches!(
        log.topic0(),
        Some(
            &ASK_CANCELED
                | &CORE_ASK_CANCELED
                | &PRIVATE_ASK_CANCELED
                | &CORE_AUCTION_CANCELED
                | &ERC20_AUCTION_CANCELED
        )
    ) {
        return Ok(canceled(market("v3"), log, key).into());
    }
    let line = LineItem::of(contract, token, U256::ONE);
    let listing = Order {
        currency: listing.currency,
        price: Some(listing.price),
        taker: only(listing.taker),
        starts_at: from(listing.starts_at),
        escrowed: listing.escrowed,
        auction: listing.auction,
        ..order(market("v3"), log, OrderKind::Listing, key, listing.seller, line)
    };
    Ok(listing.into())
}

/// The listing a log emits; none for a bid that is not the first, which changes nothing of it.
fn listing(log: &Log, reader: &mut Reader<'_>) -> Result<Option<Listing>, DecodeError> {
    let (seller, price, currency, taker) = match log.topic0() {
        Some(&ASK_CREATED | &ASK_UPDATED | &ASK_CANCELED) => {
            let ask = Ask::of(reader.head()?);
            (ask.seller, ask.ask_price, Some(ask.ask_currency), None)
        }
        Some(&CORE_ASK_CREATED | &CORE_ASK_UPDATED | &CORE_ASK_CANCELED) => {
            let [seller, price] = reader.head()?;
            (seller, price, None, None)
        }
        Some(&PRIVATE_ASK_CREATED | &PRIVATE_ASK_UPDATED | &PRIVATE_ASK_CANCELED) => {
            let [seller, price, buyer] = reader.head()?;
            (seller, price, None, Some(buyer))
        }
        Some(&CORE_AUCTION_BID) => {
            let [first, _extended, auction @ ..] = reader.head::<10>()?;
            return Ok((!uint(first).is_zero()).then(|| native_auction(reader, CoreAuction::of(auction), true)));
        }
        Some(&ERC20_AUCTION_BID) => {
            let [first, _extended, auction @ ..] = reader.head::<11>()?;
            return Ok((!uint(first).is_zero()).then(|| erc20_auction(reader, Erc20Auction::of(auction), true)));
        }
        Some(&ERC20_AUCTION_CREATED | &ERC20_AUCTION_UPDATED | &ERC20_AUCTION_CANCELED) => {
            let auction = Erc20Auction::of(reader.head()?);
            return Ok(Some(erc20_auction(reader, auction, false)));
        }
        _ => {
            let auction = CoreAuction::of(reader.head()?);
            return Ok(Some(native_auction(reader, auction, false)));
        }
    };
    Ok(Some(Listing {
        seller: reader.address(seller),
        currency: currency.map_or(Address::ZERO, |currency| reader.address(currency)),
        price: uint(price),
        taker: taker.map_or(Address::ZERO, |taker| reader.address(taker)),
        starts_at: U256::ZERO,
        escrowed: false,
        auction: false,
    }))
}

/// An auction of v3; the module takes the token with the first bid.
fn native_auction(reader: &mut Reader<'_>, auction: CoreAuction<'_>, escrowed: bool) -> Listing {
    Listing {
        seller: reader.address(auction.seller),
        currency: Address::ZERO,
        price: uint(auction.reserve_price),
        taker: Address::ZERO,
        starts_at: uint(auction.start_time),
        escrowed,
        auction: true,
    }
}

fn erc20_auction(reader: &mut Reader<'_>, auction: Erc20Auction<'_>, escrowed: bool) -> Listing {
    Listing {
        seller: reader.address(auction.seller),
        currency: reader.address(auction.currency),
        price: uint(auction.reserve_price),
        taker: Address::ZERO,
        starts_at: uint(auction.start_time),
        escrowed,
        auction: true,
    }
}
