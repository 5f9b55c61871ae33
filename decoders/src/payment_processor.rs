//! Limit Break's Payment Processor v1 and v2, Magic Eden's on EVM chains (decoding specification, section 4.17;
//! `limitbreakinc/payment-processor`).
//!
//! Fees and royalties stand in the calldata only; paid in an ERC-20 they are seen all the same: the creator's, the market's, then
//! the seller's share. What a front end takes on top is told nowhere. v1 tells listings and accepted offers by one event: whoever
//! sent the transaction took.
//!
//! Orders are signed off the chain and known by their maker's nonce or by their digest. A fill ends the nonce, or the digest, in
//! a log of its own.

use std::mem;
use std::ops::Range;

use alloy_primitives::{Address, B256, U256, address, b256};

use crate::abi::{Reader, Refusal, Tuple, Word, uint};
use crate::block::Log;
use crate::deal::{Deal, Line, Market};
use crate::events::Events;
use crate::fact::{Closing, ClosingReason, FeeKind, Nonces, Reach, Side, Standard, flag, reason};
use crate::id::MAX_ITEM;
use crate::orders::{Key, canceled, closing, filled, revoked};
use crate::registry::{Claim, Decoder, EVERY_CHAIN};
use crate::trail::Trail;
use crate::transaction::Transaction;

const V1: &[(u64, Address)] = &[
    (1, address!("009a1dc9f1a6e2134ad4236fcd75b1ae62858507")),
    (137, address!("009a1d0fecd7d6475188082f3f542e93f5e07ff1")),
];
const V2: &[(u64, Address)] = &[(EVERY_CHAIN, address!("9a1d00bed7cd04bcda516d721a596eb22aac6834"))];

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

/// Both versions.
pub(crate) const DECODER: Decoder = Decoder {
    name: "payment_processor",
    claims: &[
        Claim::of(V1, BUY_SINGLE, 4).with_envelope(),
        Claim::of(V1, BUNDLE_721, 4),
        Claim::of(V1, BUNDLE_1155, 4),
        Claim::of(V1, SWEEP_721, 4),
        Claim::of(V1, SWEEP_1155, 4),
        Claim::of(V2, BUY_721, 4),
        Claim::of(V2, BUY_1155, 4),
        Claim::of(V2, OFFER_721, 4),
        Claim::of(V2, OFFER_1155, 4),
        Claim::of(V1, MASTER_NONCE_FIRST, 3),
        Claim::of(V1, NONCE_FIRST, 4),
        Claim::of(V2, MASTER_NONCE, 2),
        Claim::of(V2, NONCE, 3),
        Claim::of(V2, DIGEST, 3),
    ],
    decode,
};

fn decode(transaction: &Transaction<'_>, events: &mut Events) {
    let trail = events.trail(transaction);
    let mut since = 0;
    for log in transaction.claimed() {
        // Nonces end before anything is paid.
        let paid = Paid {
            trail: &trail,
            window: mem::replace(&mut since, log.log_index + 1)..log.log_index,
        };
        let told = match log.topic0() {
            Some(&BUY_SINGLE) => single(transaction, log, paid),
            Some(&BUNDLE_721 | &BUNDLE_1155 | &SWEEP_721 | &SWEEP_1155) => several(log),
            Some(&MASTER_NONCE_FIRST | &NONCE_FIRST | &MASTER_NONCE | &NONCE | &DIGEST) => {
                events.say(log, ended(log));
                continue;
            }
            _ => second_version(log, paid),
        };
        let verdict = told.map(|(deals, doubt)| {
            deals.into_iter().for_each(|deal| events.deal(log, deal));
            doubt
        });
        events.settle(log, verdict);
    }
}

/// What was paid before a log and after the one before it.
struct Paid<'a> {
    trail: &'a Trail,
    window: Range<u32>,
}

type Told = (Vec<Deal>, Option<&'static str>);

fn market(version: &'static str) -> Market {
    Market {
        name: "payment_processor",
        version,
    }
}

/// The end of all orders of a maker, of those under one nonce, or of the one with a digest.
fn ended(log: &Log) -> Result<(Closing, Option<&'static str>), Refusal> {
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
    Ok((closing, reader.doubt()))
}

fn single(transaction: &Transaction<'_>, log: &Log, paid: Paid<'_>) -> Result<Told, Refusal> {
    let mut reader = Reader::new(log);
    let [buyer, seller, token, quantity, price] = reader.head()?;
    let (buyer, seller) = (reader.address(buyer), reader.address(seller));
    let side = if transaction.sender() == Some(seller) {
        Side::Offer
    } else {
        Side::Listing
    };
    let line = Line::of(reader.topic_address(2), uint(token), uint(quantity)).between(seller, buyer);
    let mut deal = Deal {
        currency: reader.topic_address(3),
        ..Deal::of(market("v1"), side, line, uint(price))
    };
    if transaction.envelope.is_none() {
        deal.flags.push(flag::NO_ENVELOPE);
    }
    let marketplace = reader.topic_address(1);
    deal.fees_of_payments(paid.trail, paid.window, |_, share| {
        if share.to == marketplace {
            FeeKind::Marketplace
        } else {
            FeeKind::Royalty
        }
    });
    Ok((vec![deal], reader.doubt()))
}

/// Bundles and sweeps tell the price of every token; positions that failed sold nothing.
fn several(log: &Log) -> Result<Told, Refusal> {
    let mut reader = Reader::new(log);
    let of_one_seller = matches!(log.topic0(), Some(&BUNDLE_721 | &BUNDLE_1155));
    let with_amounts = matches!(log.topic0(), Some(&BUNDLE_1155 | &SWEEP_1155));
    // Buyer, seller or none, then the arrays: failures, sellers or none, tokens, amounts or none, prices.
    let [buyer, second, third, tokens_at, fourth] = reader.words(Tuple::ROOT)?;
    let (failed_at, sellers_at) = if of_one_seller {
        (third, None)
    } else {
        (second, Some(third))
    };
    let (amounts_at, prices_at) = if with_amounts {
        let [.., prices_at] = reader.head::<6>()?;
        (Some(fourth), prices_at)
    } else {
        reader.head::<5>()?;
        (None, fourth)
    };
    let failed = reader.list(Tuple::ROOT, failed_at)?;
    let tokens = reader.list(Tuple::ROOT, tokens_at)?;
    let prices = reader.list(Tuple::ROOT, prices_at)?;
    let sellers = sellers_at.map(|at| reader.list(Tuple::ROOT, at)).transpose()?;
    let amounts = amounts_at.map(|at| reader.list(Tuple::ROOT, at)).transpose()?;
    let same = |list: &[Word]| list.len() == tokens.len();
    if !(same(failed) && same(prices) && sellers.is_none_or(same) && amounts.is_none_or(same)) {
        return Err(Refusal(reason::BATCH_LENGTH_MISMATCH));
    }
    if tokens.len() > MAX_ITEM as usize {
        return Err(Refusal(reason::BATCH_TOO_LONG));
    }
    let (contract, currency) = (reader.topic_address(2), reader.topic_address(3));
    let buyer = reader.address(buyer);
    let mut deals = Vec::new();
    for index in (0..tokens.len()).filter(|index| uint(&failed[*index]).is_zero()) {
        let seller = reader.address(sellers.map_or(second, |sellers| &sellers[index]));
        let quantity = amounts.map_or(U256::ONE, |amounts| uint(&amounts[index]));
        let line = Line::of(contract, uint(&tokens[index]), quantity).between(seller, buyer);
        // One payment holds the shares of several tokens.
        let mut deal = Deal {
            currency,
            ..Deal::of(market("v1"), Side::Listing, line, uint(&prices[index]))
        };
        deal.flags.push(flag::FEES_UNKNOWN);
        deals.push(deal);
    }
    Ok((deals, reader.doubt()))
}

fn second_version(log: &Log, paid: Paid<'_>) -> Result<Told, Refusal> {
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
    let (side, seller) = match log.topic0() {
        Some(&OFFER_721 | &OFFER_1155) => (Side::Offer, first),
        _ => (Side::Listing, second),
    };
    let line = Line {
        standard,
        ..Line::of(reader.topic_address(3), uint(token), quantity).between(seller, reader.address(beneficiary))
    };
    // Whoever pays may buy for another.
    let mut deal = Deal {
        maker: second,
        taker_raw: Some(first),
        currency: reader.address(currency),
        ..Deal::of(market("v2"), side, line, uint(price))
    };
    deal.flags.push(flag::FEES_ON_TOP_UNKNOWN);
    let kinds = [FeeKind::Royalty, FeeKind::Marketplace];
    deal.fees_of_payments(paid.trail, paid.window, |place, _| kinds[place.min(1)]);
    Ok((vec![deal], reader.doubt()))
}
