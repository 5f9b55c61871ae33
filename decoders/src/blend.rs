//! Blend, Blur's lending contract, as far as it sells (decoding specification, section 4.8).
//!
//! `BuyLocked` sells a token out of a loan. It tells no price: the buyer pays from the Blur Pool, and what he pays until the
//! next event of the contract is the price. The lender's part is repaid debt.

use std::ops::Range;

use alloy_primitives::{Address, B256, U256, address, b256};

use crate::abi::{Reader, Refusal, uint};
use crate::block::Log;
use crate::blur::{NONCE_INCREMENTED, POOL, nonce_incremented};
use crate::deal::{Deal, Line, Market, sum_of};
use crate::events::Events;
use crate::fact::{FeeKind, PriceAllocation, Side, flag};
use crate::registry::{Claim, Decoder};
use crate::trail::Trail;
use crate::transaction::Transaction;

const ETHEREUM: u64 = 1;
const CONTRACTS: &[(u64, Address)] = &[(ETHEREUM, address!("29469395eaf6f95920e59f858042f0e28d98a20b"))];
const MARKET: Market = Market {
    name: "blend",
    version: "",
};

/// `BuyLocked(uint256,address,address,address,uint256)`.
const BUY_LOCKED: B256 = b256!("7ffb5bd9cdc79a6f9bc6e00c82f43836e0afbb204d47972001f6e853764a8ef1");
/// `LoanOfferTaken(bytes32,uint256,address,address,address,uint256,uint256,uint256,uint256)`.
const LOAN_OFFER_TAKEN: B256 = b256!("06a333c2d6fe967ca967f7a35be2eb45e8caeb6cf05e16f55d42b91b5fe31255");

/// The contract on Ethereum. New loans are seen only to tell which payments are not a sale's.
pub(crate) const DECODER: Decoder = Decoder {
    name: "blend",
    claims: &[
        Claim::of(CONTRACTS, BUY_LOCKED, 1),
        Claim::of(CONTRACTS, LOAN_OFFER_TAKEN, 1),
        Claim::of(CONTRACTS, NONCE_INCREMENTED, 2),
    ],
    decode,
};

fn decode(transaction: &Transaction<'_>, events: &mut Events) {
    let trail = events.trail(transaction);
    let (raised, logs): (Vec<&Log>, Vec<&Log>) = transaction
        .claimed()
        .partition(|log| log.topic0() == Some(&NONCE_INCREMENTED));
    for log in raised {
        events.say(log, nonce_incremented(MARKET, log));
    }
    for (nth, log) in logs.iter().enumerate() {
        if log.topic0() != Some(&BUY_LOCKED) {
            continue;
        }
        let end = logs.get(nth + 1).map_or(u32::MAX, |next| next.log_index);
        let verdict = buy_locked(log, &trail, log.log_index..end, &logs).map(|(deal, doubt)| {
            events.deal(log, deal);
            doubt
        });
        events.settle(log, verdict);
    }
}

fn buy_locked(
    log: &Log,
    trail: &Trail,
    window: Range<u32>,
    logs: &[&Log],
) -> Result<(Deal, Option<&'static str>), Refusal> {
    let mut reader = Reader::new(log);
    let [_lien, contract, buyer, seller, token] = reader.head()?;
    let (contract, token) = (reader.address(contract), uint(token));
    let (buyer, seller) = (reader.address(buyer), reader.address(seller));
    let line = Line::of(contract, token, U256::ONE).between(seller, buyer);
    let mut deal = Deal {
        currency: POOL,
        price: None,
        allocation: PriceAllocation::Unknown,
        ..Deal::of(MARKET, Side::Listing, line, U256::ZERO)
    };
    // A buyer who borrows the price pays only part of it himself.
    let borrowed = logs.iter().any(|log| is_loan_on(log, contract, token));
    let paid: Vec<_> = trail
        .payments(window)
        .iter()
        .filter(|payment| payment.currency == POOL && payment.from == buyer)
        .collect();
    if borrowed || paid.is_empty() {
        deal.flags.push(flag::FEES_UNKNOWN);
    } else {
        deal.price = Some(sum_of(paid.iter().map(|payment| payment.amount))?);
        deal.allocation = PriceAllocation::Inferred;
        for payment in paid.iter().filter(|payment| payment.to != seller) {
            deal.fee(payment.to, payment.amount, FeeKind::Other);
        }
    }
    Ok((deal, reader.doubt()))
}

/// Whether `log` is a new loan on the token.
fn is_loan_on(log: &Log, contract: Address, token: U256) -> bool {
    let mut reader = Reader::new(log);
    let words = reader.head::<9>();
    log.topic0() == Some(&LOAN_OFFER_TAKEN)
        && words.is_ok_and(|words| reader.address(&words[2]) == contract && uint(&words[7]) == token)
}
