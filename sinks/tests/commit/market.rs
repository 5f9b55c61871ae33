//! What markets emit in the made-up chain: orders and their ends, so few makers and keys that they meet all the time, and a
//! collection that sells often enough to have a price.

use alloy_primitives::{Address, B256, U256};
use decoders::fact::{Closing, ClosingReason, Nonces, Order, OrderKind, PriceAllocation, Reach, Sale, Side, Standard};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::trade::{OTHER, PEGGED};
use crate::world::{SEAPORT, WYVERN, WithFacts, number_of, person, quantity, speaker};

/// Long over.
pub(crate) const PAST: u64 = 1_600_000_000;
/// Long from now.
pub(crate) const FUTURE: u64 = 4_000_000_000;

/// Appends what the markets emit in block `number`.
pub(crate) fn state(rng: &mut ChaCha8Rng, number: u64, with_facts: &mut WithFacts) {
    let transactions = [(); 2].map(|()| B256::from(rng.random::<[u8; 32]>()));
    for log_index in 60..60 + rng.random_range(0..6) {
        let tx_hash = transactions[usize::from(log_index >= 63)];
        // One log may open an order and end others.
        if rng.random_bool(0.5) {
            with_facts.orders.push(order(rng, number, log_index, tx_hash));
        }
        for item in 0..rng.random_range(0..3) {
            with_facts
                .closings
                .push(closing(rng, number, (log_index, item), tx_hash));
        }
    }
    for log_index in 80..80 + rng.random_range(0..4) {
        with_facts
            .sales
            .push(quick_sale(rng, number, log_index, transactions[0]));
    }
}

fn market(rng: &mut ChaCha8Rng) -> (&'static str, Address) {
    [("seaport", SEAPORT), ("wyvern", WYVERN)][rng.random_range(0..2)]
}

fn key(rng: &mut ChaCha8Rng) -> B256 {
    B256::repeat_byte(rng.random_range(0..5))
}

fn order(rng: &mut ChaCha8Rng, block_number: u64, log_index: u32, tx_hash: B256) -> Order {
    let (standard, _, contract) = speaker(rng);
    let (source, market) = market(rng);
    let moment = |rng: &mut ChaCha8Rng| [None, None, Some(PAST), Some(FUTURE)][rng.random_range(0..4)];
    Order {
        source,
        block_number,
        log_index,
        item: 0,
        tx_hash,
        kind: [OrderKind::Listing, OrderKind::Listing, OrderKind::Offer][rng.random_range(0..3)],
        marketplace: source,
        version: "1.5",
        market,
        key: key(rng),
        hashed: rng.random_bool(0.5),
        maker: person(rng),
        contract,
        token: (!rng.random_ratio(1, 4)).then(|| number_of(rng)),
        standard,
        quantity: if standard.single_owner() {
            U256::ONE
        } else {
            U256::from(rng.random_range(0..5u8))
        },
        currency: [Address::ZERO, PEGGED, OTHER][rng.random_range(0..3)],
        price: (!rng.random_ratio(1, 8)).then(|| U256::from(rng.random_range(1..60u8))),
        starts_at: moment(rng),
        expires_at: moment(rng),
        taker: rng.random_ratio(1, 6).then(|| person(rng)),
        nonce: rng.random_bool(0.7).then(|| U256::from(rng.random_range(0..4u8))),
        escrowed: rng.random_ratio(1, 4),
        auction: rng.random_ratio(1, 6),
    }
}

fn closing(rng: &mut ChaCha8Rng, block_number: u64, (log_index, item): (u32, u32), tx_hash: B256) -> Closing {
    let (source, market) = market(rng);
    let nonce = U256::from(rng.random_range(0..4u8));
    let of = |nonces, maker| Reach::Maker { maker, nonces };
    let (reach, may_fill) = match rng.random_range(0..8) {
        0 => (of(Nonces::All, person(rng)), false),
        1 => (of(Nonces::Below(nonce), person(rng)), false),
        2 => (of(Nonces::Exactly(nonce), person(rng)), true),
        _ => (Reach::Key(key(rng)), true),
    };
    let reason = if may_fill && rng.random_bool(0.6) {
        ClosingReason::Filled
    } else {
        [ClosingReason::Canceled, ClosingReason::Invalidated][rng.random_range(0..2)]
    };
    let filled = reason == ClosingReason::Filled;
    Closing {
        source,
        block_number,
        log_index,
        item,
        tx_hash,
        marketplace: source,
        market,
        reach,
        reason,
        quantity: (filled && rng.random_bool(0.8)).then(|| quantity(rng)),
    }
}

/// A sale of a collection that is traded all the time, now and then far too dear, mostly without a fee.
fn quick_sale(rng: &mut ChaCha8Rng, block_number: u64, log_index: u32, tx_hash: B256) -> Sale {
    let price = U256::from(if rng.random_ratio(1, 6) {
        rng.random_range(20..90u8)
    } else {
        rng.random_range(1..6u8)
    });
    Sale {
        source: "wyvern",
        block_number,
        log_index,
        item: 0,
        tx_hash,
        marketplace: "wyvern",
        version: "",
        market: WYVERN,
        contract: Address::repeat_byte(0xa1),
        token: Some(number_of(rng)),
        standard: Standard::Erc721,
        quantity: U256::ONE,
        seller: [person(rng), crate::suspicion::BLEND][usize::from(rng.random_ratio(1, 6))],
        buyer: [person(rng), crate::suspicion::BLEND][usize::from(rng.random_ratio(1, 6))],
        taker_raw: person(rng),
        aggregator: None,
        maker: person(rng),
        side: Side::Listing,
        currency: [Address::ZERO, PEGGED][usize::from(rng.random_ratio(1, 5))],
        price: Some(price),
        seller_net: Some(price),
        fees: Default::default(),
        order_hash: None,
        bundle_first: 0,
        bundle_size: 1,
        allocation: PriceAllocation::Exact,
        flags: rng.random_ratio(1, 5).then_some("fees_unknown").into_iter().collect(),
    }
}
