//! Foundation's market (decoding specification, section 4.10; Foundation's published market ABI).
//!
//! Every sale is paid in native currency and tells three shares: the market's, the creator's, the seller's. Their receivers are
//! not told. A finalized auction names itself only by number; its token is the one that leaves the market for the winner.

use alloy_primitives::{Address, B256, U256, address, b256};

use crate::abi::{Reader, Refusal, Word, uint};
use crate::block::Log;
use crate::deal::{Deal, Line, Market, sum_of};
use crate::events::Events;
use crate::fact::{FeeKind, Side, flag};
use crate::registry::{Claim, Decoder};
use crate::trail::{Movement, Trail};
use crate::transaction::Transaction;

const ETHEREUM: u64 = 1;
const CONTRACTS: &[(u64, Address)] = &[(ETHEREUM, address!("cda72070e455bb31c7690a170224ce43623d0b6f"))];
const MARKET: Market = Market {
    name: "foundation",
    version: "",
};

/// `BuyPriceAccepted(address,uint256,address,address,uint256,uint256,uint256)`.
const BUY_PRICE_ACCEPTED: B256 = b256!("d28c0a7dd63bc853a4e36306655da9f8c0b29ff9d0605bb976ae420e46a99930");
/// `OfferAccepted(address,uint256,address,address,uint256,uint256,uint256)`.
const OFFER_ACCEPTED: B256 = b256!("1cb8adb37d6d35e94cd0695ca39895b84371864713f5ca7eada52af9ff23744b");
/// `PrivateSaleFinalized(address,uint256,address,address,uint256,uint256,uint256,uint256)`.
const PRIVATE_SALE_FINALIZED: B256 = b256!("6c623fa5e13aaaf28288f807e5b4f9ec6fb7ef812568e00317c552663bea918f");
/// `ReserveAuctionFinalized(uint256,address,address,uint256,uint256,uint256)`.
const RESERVE_AUCTION_FINALIZED: B256 = b256!("2edb0e99c6ac35be6731dab554c1d1fa1b7beb675090dbb09fb14e615aca1c4a");

/// The market on Ethereum.
pub(crate) const DECODER: Decoder = Decoder {
    name: "foundation",
    claims: &[
        Claim::of(CONTRACTS, BUY_PRICE_ACCEPTED, 4),
        Claim::of(CONTRACTS, OFFER_ACCEPTED, 4),
        Claim::of(CONTRACTS, PRIVATE_SALE_FINALIZED, 4),
        Claim::of(CONTRACTS, RESERVE_AUCTION_FINALIZED, 4),
    ],
    decode,
};

fn decode(transaction: &Transaction<'_>, events: &mut Events) {
    let trail = events.trail(transaction);
    let mut since = 0;
    for log in transaction.claimed() {
        let verdict = sale(log, &trail, since).map(|(deal, doubt)| {
            events.deal(log, deal);
            doubt
        });
        events.settle(log, verdict);
        since = log.log_index + 1;
    }
}

fn sale(log: &Log, trail: &Trail, since: u32) -> Result<(Deal, Option<&'static str>), Refusal> {
    let mut reader = Reader::new(log);
    if log.topic0() == Some(&RESERVE_AUCTION_FINALIZED) {
        let shares = reader.head::<3>()?;
        let (seller, winner) = (reader.topic_address(2), reader.topic_address(3));
        let before = trail.movements(since..log.log_index).iter().rev();
        let moved = before
            .chain(trail.movements(log.log_index..u32::MAX))
            .find(|movement| movement.to == winner && (movement.from == log.address || movement.from == seller));
        let deal = shared(Side::Auction, auctioned(moved).between(seller, winner), shares)?;
        return Ok((deal, reader.doubt()));
    }
    let (other, shares) = if log.topic0() == Some(&PRIVATE_SALE_FINALIZED) {
        let [other, shares @ .., _deadline] = reader.head::<5>()?;
        (other, shares)
    } else {
        let [other, shares @ ..] = reader.head::<4>()?;
        (other, shares)
    };
    let (named, other) = (reader.topic_address(3), reader.address(other));
    let (side, seller, buyer) = match log.topic0() {
        Some(&OFFER_ACCEPTED) => (Side::Offer, other, named),
        Some(&PRIVATE_SALE_FINALIZED) => (Side::Private, named, other),
        _ => (Side::Listing, named, other),
    };
    let line = Line::of(reader.topic_address(1), reader.topic_uint(2), U256::ONE).between(seller, buyer);
    Ok((shared(side, line, shares)?, reader.doubt()))
}

/// The token of an auction, as it moved.
fn auctioned(moved: Option<&Movement>) -> Line {
    match moved {
        Some(movement) => Line::of(movement.contract, movement.token, movement.quantity),
        None => Line {
            token: None,
            ..Line::of(Address::ZERO, U256::ZERO, U256::ONE)
        },
    }
}

/// The deal of a line for what market, creator and seller got. Where the seller got nothing, he is the creator.
fn shared(side: Side, line: Line, shares: &[Word; 3]) -> Result<Deal, Refusal> {
    let [market, creator, seller] = [&shares[0], &shares[1], &shares[2]].map(uint);
    let mut deal = Deal::of(MARKET, side, line, sum_of([market, creator, seller])?);
    deal.fee(Address::ZERO, market, FeeKind::Marketplace);
    if seller.is_zero() {
        deal.flags.push(flag::PRIMARY);
    } else {
        deal.fee(Address::ZERO, creator, FeeKind::Royalty);
    }
    if line.token.is_none() {
        deal.flags.push(flag::TOKEN_UNKNOWN);
    }
    Ok(deal)
}
