//! Listings, offers and auctions of SuperRare (decoding specification, sections 4.11 and 5).
//!
//! The token and the markets after it keep one price and one bid per token; the Bazaar one price per token and the taker it is
//! for, and one offer per token and currency. A price of nothing takes the token off the market. The auction contracts keep
//! one auction per token; one without a start takes the token with its first bid. A buyer at its price gets their own offer in
//! that currency back without a log. An offer therefore bears what distinguishes it from that buyer's others as the nonce by
//! which it is reached.

use alloy_primitives::{Address, B256, U256, b256};

use crate::block::Log;
use crate::fact::{Closing, ClosingReason, Nonces, Order, OrderKind, Reach};
use crate::log_reader::{DecodeError, Reader, Tuple, uint, words};
use crate::trade::orders::{Key, LogOutcome, canceled, closing, from, lister, only, order, part};
use crate::trade::transfer_index::TransferIndex;
use crate::trade::{LineItem, Market};
use crate::transaction::Transaction;

/// The token's `SalePriceSet(uint256,uint256)`.
pub(crate) const TOKEN_PRICE: B256 = b256!("e23ea816dce6d7f5c0b85cbd597e7c3b97b2453791152c0b94e5e5c5f314d2f0");
/// The token's `Bid(address,uint256,uint256)`.
pub(crate) const TOKEN_BID: B256 = b256!("19421268847f42dd61705778018ddfc43bcdce8517e7a630acb12f122c709481");
/// The token's `CancelBid(address,uint256,uint256)`.
pub(crate) const TOKEN_CANCEL_BID: B256 = b256!("09dcebe16a733e22cc47e4959c50d4f21624d9f1815db32c2e439fbbd7b3eda0");
/// The markets' `SetSalePrice(address,uint256,uint256)`.
pub(crate) const PRICE: B256 = b256!("b0b0e4adf2724af8f1646eae3a16f45d696c9334594729d09bf192da1f783871");
/// The markets' `Bid(address,address,uint256,uint256)`.
pub(crate) const BID: B256 = b256!("d21fbaad97462831ad0c216f300fefb33a10b03bb18bb70ed668562e88d15d53");
/// The markets' `CancelBid(address,address,uint256,uint256)`.
pub(crate) const CANCEL_BID: B256 = b256!("99a3761c98d7a0c3980cbeb3d8009b315a463f8020b43ca1e6901611b06547f9");
/// The auction house's `NewColdieAuction(address,uint256,address,uint256,uint256)`, which starts with its first bid.
pub(crate) const COLDIE_AUCTION: B256 = b256!("51d3615735f04b7ff33bfd9f5eb857d899bf9b848d3858cba7db855bc69fb914");
/// The auction house's `NewScheduledAuction(address,uint256,address,uint256,uint256,uint256)`, which starts with a block.
pub(crate) const SCHEDULED_AUCTION: B256 = b256!("97ef537a4a14d8899c80db7b0665dac266da778443e37e073ec2a11ec62bea5b");
/// The auction house's `AuctionBid(address,address,uint256,uint256,bool,uint256,address)`.
pub(crate) const AUCTION_BID: B256 = b256!("5d22b2d23515fb6c26c46ebec88f4a8b503493be518661c852adf894344cbae7");
/// `CancelAuction(address,uint256,address)`, of the auction house and of the Bazaar.
pub(crate) const CANCEL_AUCTION: B256 = b256!("26d4510b556e779d6507640413e013206e44c8f5d018c7c74ed8926f3f024a9c");
/// The Bazaar's `SetSalePrice(address,address,address,uint256,uint256,address[],uint8[])`.
pub(crate) const BAZAAR_PRICE: B256 = b256!("b6039ff1edf80efca6bc48b89f5415ba07fecb2d321058dae9ce6369b2ff964b");
/// The Bazaar's `OfferPlaced(address,address,address,uint256,uint256,bool)`.
pub(crate) const OFFER_PLACED: B256 = b256!("acbe96367816f728b84abf006ca777225b704072592132845e9a3dbd7b023691");
/// The Bazaar's `CancelOffer(address,address,address,uint256,uint256)`.
pub(crate) const CANCEL_OFFER: B256 = b256!("b9a071fe7d38dc86fbc448d440311b6bd67e5e09de8b1b62c72f5fe344100453");
/// The Bazaar's `NewAuction(address,uint256,address,address,uint256,uint256,uint256)`.
pub(crate) const NEW_AUCTION: B256 = b256!("db89081d9a5399380ffbcc376a961ed023027fca462e08b3d23146e4c6ac62f2");
/// The Bazaar's `AuctionBid(address,address,uint256,address,uint256,bool,uint256,address)`.
pub(crate) const BAZAAR_BID: B256 = b256!("189a468e632a450afd491f84aa9ae94addc6813c7e309a7b1b1223f88802a77d");

words! {
    /// What [`BAZAAR_PRICE`] states.
    struct BazaarPrice { target, amount, token_id, split_recipients_at, split_ratios_at }

    /// What [`BAZAAR_BID`] states.
    struct BazaarBid { currency_address, amount, started_auction, new_auction_length, previous_bidder }
}

pub(crate) fn market(version: &'static str) -> Market {
    Market {
        name: "superrare",
        version,
    }
}

/// One token at one contract of the market.
#[derive(Clone, Copy)]
pub(crate) struct Piece<'a> {
    pub(crate) log: &'a Log,
    pub(crate) contract: Address,
    pub(crate) token: U256,
}

impl Piece<'_> {
    /// The price for one buyer, or, for the zero address, for anybody.
    pub(crate) fn price_for(&self, buyer: Address) -> Key {
        let parts = [self.contract.into_word(), part(self.token), buyer.into_word()];
        Key::natural(self.log, OrderKind::Listing, &parts)
    }

    /// The offer in one currency.
    pub(crate) fn offer_in(&self, currency: Address) -> Key {
        let parts = [self.contract.into_word(), part(self.token), currency.into_word()];
        Key::natural(self.log, OrderKind::Offer, &parts)
    }

    /// The end of a buyer's own offer in one currency.
    pub(crate) fn paid_back(&self, market: Market, buyer: Address, currency: Address) -> Closing {
        let reach = Reach::Maker {
            maker: buyer,
            nonces: Nonces::Exactly(self.offer_in(currency).number()),
        };
        closing(market, self.log, ClosingReason::Invalidated, reach)
    }

    /// The auction.
    pub(crate) fn auction(&self) -> Key {
        let parts = [self.contract.into_word(), part(self.token)];
        Key::natural(self.log, OrderKind::Listing, &parts)
    }

    fn order(&self, market: Market, kind: OrderKind, key: Key, maker: Address) -> Order {
        let line = LineItem::of(self.contract, self.token, U256::ONE);
        order(market, self.log, kind, key, maker, line)
    }
}

/// What a log that is no sale states of orders.
pub(crate) fn outcome(
    transaction: &Transaction<'_>,
    log: &Log,
    transfers: &TransferIndex,
) -> Result<(LogOutcome, Option<&'static str>), DecodeError> {
    let mut reader = Reader::new(log);
    let outcome = match log.topic0() {
        Some(&TOKEN_PRICE | &PRICE | &BAZAAR_PRICE) => priced(transaction, log, &mut reader, transfers)?,
        Some(&TOKEN_BID | &TOKEN_CANCEL_BID) => bid_on_token(log, &mut reader),
        Some(&BID | &CANCEL_BID | &OFFER_PLACED | &CANCEL_OFFER) => offered(log, &mut reader)?,
        Some(&AUCTION_BID | &BAZAAR_BID) => first_bid(transaction, log, &mut reader, transfers)?,
        _ => auctioned(log, &mut reader)?,
    };
    Ok((outcome, reader.warning()))
}

/// A price, and the one it is for; the zero address stands for anybody.
struct Price<'a> {
    piece: Piece<'a>,
    market: Market,
    amount: U256,
    currency: Address,
    buyer: Address,
}

impl<'a> Price<'a> {
    fn read(log: &'a Log, reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let in_native = |version, contract, token, amount| Price {
            piece: Piece { log, contract, token },
            market: market(version),
            amount,
            currency: Address::ZERO,
            buyer: Address::ZERO,
        };
        Ok(match log.topic0() {
            Some(&TOKEN_PRICE) => in_native("v1", log.address, reader.topic_uint(1), reader.topic_uint(2)),
            Some(&PRICE) => {
                let [amount, token] = reader.head()?;
                in_native("market", reader.topic_address(1), uint(token), uint(amount))
            }
            _ => {
                let set = BazaarPrice::of(reader.head()?);
                reader.list(Tuple::ROOT, set.split_recipients_at)?;
                reader.list(Tuple::ROOT, set.split_ratios_at)?;
                let contract = reader.topic_address(1);
                Price {
                    currency: reader.topic_address(2),
                    buyer: reader.address(set.target),
                    ..in_native("bazaar", contract, uint(set.token_id), uint(set.amount))
                }
            }
        })
    }
}

/// A price whose setter the log does not name, or, if it is nothing, taken away.
fn priced(
    transaction: &Transaction<'_>,
    log: &Log,
    reader: &mut Reader<'_>,
    transfers: &TransferIndex,
) -> Result<LogOutcome, DecodeError> {
    let price = Price::read(log, reader)?;
    let (piece, key) = (price.piece, price.piece.price_for(price.buyer));
    if price.amount.is_zero() {
        return Ok(canceled(price.market, log, key).into());
    }
    let maker = lister(transaction, transfers, log, piece.contract, piece.token);
    let listing = maker.map(|maker| Order {
        currency: price.currency,
        price: Some(price.amount),
        taker: only(price.buyer),
        ..piece.order(price.market, OrderKind::Listing, key, maker)
    });
    Ok(listing.into())
}

fn bid_on_token(log: &Log, reader: &mut Reader<'_>) -> LogOutcome {
    let (bidder, amount, token) = (reader.topic_address(1), reader.topic_uint(2), reader.topic_uint(3));
    let piece = Piece {
        log,
        contract: log.address,
        token,
    };
    placed(piece, market("v1"), bidder, Address::ZERO, amount)
}

fn offered(log: &Log, reader: &mut Reader<'_>) -> Result<LogOutcome, DecodeError> {
    let (contract, bidder) = (reader.topic_address(1), reader.topic_address(2));
    let (version, currency, [amount, token]) = match log.topic0() {
        Some(&OFFER_PLACED) => {
            let [terms @ .., _convertible] = reader.head::<3>()?;
            ("bazaar", reader.topic_address(3), terms)
        }
        Some(&CANCEL_OFFER) => ("bazaar", reader.topic_address(3), reader.head::<2>()?),
        _ => ("market", Address::ZERO, reader.head::<2>()?),
    };
    let piece = Piece {
        log,
        contract,
        token: uint(token),
    };
    Ok(placed(piece, market(version), bidder, currency, uint(amount)))
}

/// An offer made or taken back.
fn placed(piece: Piece<'_>, market: Market, bidder: Address, currency: Address, amount: U256) -> LogOutcome {
    let key = piece.offer_in(currency);
    if matches!(
        piece.log.topic0(),
        Some(&TOKEN_CANCEL_BID | &CANCEL_BID | &CANCEL_OFFER)
    ) {
        return canceled(market, piece.log, key).into();
    }
    let offer = Order {
        currency,
        price: Some(amount),
        nonce: Some(key.number()),
        ..piece.order(market, OrderKind::Offer, key, bidder)
    };
    offer.into()
}

fn auctioned(log: &Log, reader: &mut Reader<'_>) -> Result<LogOutcome, DecodeError> {
    let (contract, token, maker) = (reader.topic_address(1), reader.topic_uint(2), reader.topic_address(3));
    let piece = Piece { log, contract, token };
    let auction = |version| Order {
        auction: true,
        ..piece.order(market(version), OrderKind::Listing, piece.auction(), maker)
    };
    let listing = match log.topic0() {
        Some(&COLDIE_AUCTION) => {
            let [reserve, _length] = reader.head()?;
            Order {
                price: Some(uint(reserve)),
                ..auction("auction_house")
            }
        }
        Some(&SCHEDULED_AUCTION) => {
            let [_block, least, _length] = reader.head()?;
            Order {
                price: Some(uint(least)),
                escrowed: true,
                ..auction("auction_house")
            }
        }
        Some(&NEW_AUCTION) => {
            let [currency, start, least, _length] = reader.head()?;
            Order {
                currency: reader.address(currency),
                price: Some(uint(least)),
                starts_at: from(uint(start)),
                escrowed: !uint(start).is_zero(),
                ..auction("bazaar")
            }
        }
        // An end is recorded of the contract, whatever its version.
        _ => return Ok(canceled(market("bazaar"), log, piece.auction()).into()),
    };
    Ok(listing.into())
}

/// The first bid on an auction transfers the token: what was its creator's is the contract's from now on. If the auction was
/// created with it, it is an offer that the owner made an auction of.
fn first_bid(
    transaction: &Transaction<'_>,
    log: &Log,
    reader: &mut Reader<'_>,
    transfers: &TransferIndex,
) -> Result<LogOutcome, DecodeError> {
    let (contract, bidder, token) = (reader.topic_address(1), reader.topic_address(2), reader.topic_uint(3));
    let (version, currency, amount, is_first) = if log.topic0() == Some(&BAZAAR_BID) {
        let bid = BazaarBid::of(reader.head()?);
        let currency = reader.address(bid.currency_address);
        ("bazaar", currency, bid.amount, bid.started_auction)
    } else {
        let [amount, is_first, _length, _previous] = reader.head()?;
        ("auction_house", Address::ZERO, amount, is_first)
    };
    let mut moves = transfers.transfers_of(contract, token).map(|(_, movement)| movement);
    let handed_over = moves.find(|movement| movement.to == log.address && movement.from != log.address);
    let Some(creator) = handed_over.filter(|_| !uint(is_first).is_zero()) else {
        return Ok(LogOutcome::default());
    };
    let (market, piece) = (market(version), Piece { log, contract, token });
    let outcome = LogOutcome::from(Order {
        currency,
        price: Some(uint(amount)),
        escrowed: true,
        auction: true,
        ..piece.order(market, OrderKind::Listing, piece.auction(), creator.from)
    });
    let mut before = transaction.before(log).iter().rev();
    let created = before.find(|other| other.address == log.address);
    // An owner may make an auction of an offer: the auction's creation then stands directly before its first bid.
    let is_converted = created.is_some_and(|created| {
        created.topic0() == Some(&NEW_AUCTION) && created.topics.get(1..3) == Some(&[log.topics[1], log.topics[3]])
    });
    Ok(if is_converted {
        outcome.and(piece.paid_back(market, bidder, currency))
    } else {
        outcome
    })
}
