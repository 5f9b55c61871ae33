//! Manifold's marketplace (decoding specification, section 4.16; public copies of `MarketplaceCore`, `MarketplaceLib` and
//! `SettlementLib` by manifold.xyz).
//!
//! The events of a sale name a listing by its number only. What it sells, for whom and in what currency was told when it was
//! created, and the market returns it for good: `getListing`. A lazy listing names who creates the token; that token is the
//! one minted to the buyer before the event.

use std::ops::Range;

use alloy_primitives::{Address, B256, U256, address, b256, hex};

use crate::abi::{self, Reader, Refusal, Word, uint};
use crate::block::{Call, Log};
use crate::deal::{Deal, Line, Market};
use crate::events::Events;
use crate::fact::{PriceAllocation, Side, Standard, flag, reason};
use crate::registry::{Claim, Decoder};
use crate::trail::Trail;
use crate::transaction::Transaction;

const ETHEREUM: u64 = 1;
const OPTIMISM: u64 = 10;
const BASE: u64 = 8453;
const CONTRACTS: &[(u64, Address)] = &[
    (ETHEREUM, address!("3a3548e060be10c2614d0a4cb0c03cc9093fd799")),
    (OPTIMISM, address!("5246807fb65d87b0d0a234e0f3d42374de83b421")),
    (BASE, address!("5246807fb65d87b0d0a234e0f3d42374de83b421")),
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

/// `getListing(uint40)`.
const GET_LISTING: [u8; 4] = hex!("e1f332f1");
/// Words of a listing before its receivers: itself behind an offset, its details, its token, its fees, its bid.
const LISTING_WORDS: usize = 31;
const LISTING_OFFSET: U256 = U256::from_limbs([32, 0, 0, 0]);

/// A listing won by bids.
const INDIVIDUAL_AUCTION: u64 = 1;
/// A token of which there are several.
const ERC1155: u64 = 2;

/// The market on every chain.
pub(crate) const DECODER: Decoder = Decoder {
    name: "manifold",
    claims: &[
        Claim::of(CONTRACTS, PURCHASE, 2).asking(),
        Claim::of(CONTRACTS, ACCEPT_OFFER, 2).asking(),
        Claim::of(CONTRACTS, FINALIZE_LISTING, 2).asking(),
    ],
    decode,
};

fn decode(transaction: &Transaction<'_>, events: &mut Events) {
    let trail = events.trail(transaction);
    let mut since = 0;
    for log in transaction.claimed() {
        let window = since..log.log_index;
        since = log.log_index + 1;
        let verdict = Listing::of(transaction, log, events).and_then(|listing| sale(log, &listing, &trail, window));
        let verdict = verdict.map(|(deal, doubt)| {
            deal.into_iter().for_each(|deal| events.deal(log, deal));
            doubt
        });
        events.settle(log, verdict);
    }
}

/// What the market keeps of a listing.
struct Listing {
    seller: Address,
    kind: U256,
    per_sale: U256,
    currency: Address,
    token: U256,
    /// The token's contract, or the one that creates it.
    contract: Address,
    is_1155: bool,
    is_lazy: bool,
    /// Whether whoever takes delivery pays for it on top.
    has_delivery_fee: bool,
    bid: U256,
    bidder: Address,
}

impl Listing {
    /// The listing that `log` names.
    fn of(transaction: &Transaction<'_>, log: &Log, events: &mut Events) -> Result<Self, Refusal> {
        let call = Call::of(log.address, GET_LISTING, &[log.topics[1]]);
        let words = events.ask::<LISTING_WORDS>(transaction, call)?;
        words
            .filter(|[offset, id, ..]| uint(offset) == LISTING_OFFSET && *id == log.topics[1].0)
            .map(Self::read)
            .ok_or(Refusal(reason::CONTRACT_UNKNOWN))
    }

    fn read(words: &[Word; LISTING_WORDS]) -> Self {
        // The first word is the offset of the rest.
        let word = |index: usize| &words[index + 1];
        Listing {
            seller: abi::address(word(1)),
            kind: uint(word(7)),
            per_sale: uint(word(9)),
            currency: abi::address(word(12)),
            token: uint(word(16)),
            contract: abi::address(word(17)),
            is_1155: uint(word(18)) == U256::from(ERC1155),
            is_lazy: !uint(word(19)).is_zero(),
            has_delivery_fee: !uint(word(21)).is_zero() || !uint(word(22)).is_zero(),
            bid: uint(word(23)),
            bidder: abi::address(word(24)),
        }
    }

    /// What `count` sales of the listing sell to `buyer`.
    fn lines(&self, count: U256, buyer: Address, trail: &Trail, window: Range<u32>) -> Result<Vec<Line>, Refusal> {
        if self.is_lazy {
            let minted = trail.movements(window).iter();
            let minted = minted.filter(|movement| movement.from.is_zero() && movement.to == buyer);
            let lines = minted.map(|movement| Line {
                standard: movement.standard,
                ..Line::of(movement.contract, movement.token, movement.quantity).between(self.seller, buyer)
            });
            return Ok(lines.collect());
        }
        let quantity = if self.is_1155 {
            let quantity = self.per_sale.checked_mul(count);
            quantity.ok_or(Refusal(reason::AMOUNT_OVERFLOW))?
        } else {
            U256::ONE
        };
        let standard = if self.is_1155 {
            Standard::Erc1155
        } else {
            Standard::Erc721
        };
        let line = Line::of(self.contract, self.token, quantity).between(self.seller, buyer);
        Ok(vec![Line { standard, ..line }])
    }
}

/// The sale that `log` tells of a listing; none where an auction ends without a bid.
fn sale(
    log: &Log,
    listing: &Listing,
    trail: &Trail,
    window: Range<u32>,
) -> Result<(Option<Deal>, Option<&'static str>), Refusal> {
    let mut reader = Reader::new(log);
    let (side, buyer, count, price) = match log.topic0() {
        Some(&PURCHASE) => {
            let [_referrer, buyer, count, amount] = reader.head()?;
            (Side::Listing, reader.address(buyer), uint(count), uint(amount))
        }
        Some(&ACCEPT_OFFER) => {
            let [buyer, amount] = reader.head()?;
            (Side::Offer, reader.address(buyer), U256::ONE, uint(amount))
        }
        _ => (Side::Auction, listing.bidder, U256::ONE, listing.bid),
    };
    let is_auction = side == Side::Auction;
    if is_auction && (listing.kind != U256::from(INDIVIDUAL_AUCTION) || buyer.is_zero()) {
        return Ok((None, reader.doubt()));
    }
    let nothing = Line {
        token: None,
        ..Line::of(Address::ZERO, U256::ZERO, U256::ONE).between(listing.seller, buyer)
    };
    let mut deal = Deal {
        currency: listing.currency,
        ..Deal::of(MARKET, side, nothing, price)
    };
    deal.flags.push(flag::FEES_UNKNOWN);
    if listing.has_delivery_fee {
        deal.flags.push(flag::FEES_ON_TOP_UNKNOWN);
    }
    if is_auction {
        deal.allocation = PriceAllocation::Inferred;
    }
    if side != Side::Listing || count > U256::ONE {
        deal.flags.push(flag::UNCONFIRMED);
    }
    if listing.is_lazy {
        deal.flags.push(flag::PRIMARY);
    }
    let lines = listing.lines(count, buyer, trail, window)?;
    if lines.is_empty() {
        deal.flags.push(flag::TOKEN_UNKNOWN);
    } else {
        deal.lines = lines.into();
    }
    Ok((Some(deal), reader.doubt()))
}
