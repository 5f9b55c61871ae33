//! What holds for any Seaport orders: what buyers gave is what fees and sellers got, nothing lost, nothing sold twice.

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256, Bytes, U256, address, keccak256};
use alloy_sol_types::{SolEvent, sol};
use decoders::block::{Envelope, Envelopes, Log};
use decoders::fact::{Facts, Side, reason};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::logs::{self, decode_with};
use crate::sound::assert_adds_up;

sol! {
    #[derive(Debug)]
    struct Spent { uint8 itemType; address token; uint256 identifier; uint256 amount; }
    #[derive(Debug)]
    struct Received { uint8 itemType; address token; uint256 identifier; uint256 amount; address recipient; }
    #[derive(Debug)]
    event OrderFulfilled(bytes32 orderHash, address indexed offerer, address indexed zone, address recipient, Spent[] offer, Received[] consideration);
    #[derive(Debug)]
    event OrdersMatched(bytes32[] orderHashes);
}

const SEAPORT: Address = address!("0000000000000068f116a894984e2db1123eb395");
const WETH: Address = address!("c02aaa39b223fe8d0a0e5c4f27ead9083c756cc2");

fn person(number: u8) -> Address {
    Address::with_last_byte(number + 1)
}

fn collection(number: u8) -> Address {
    Address::repeat_byte(0x70 + number)
}

fn log<E: SolEvent>(event: &E, index: usize) -> Log {
    let data = event.encode_log_data();
    Log {
        block_number: 1,
        log_index: u32::try_from(index).unwrap(),
        tx_index: 0,
        tx_hash: B256::with_last_byte(1),
        address: SEAPORT,
        topics: data.topics().iter().copied().collect(),
        data: data.data,
    }
}

fn decoded(logs: Vec<Log>) -> Facts {
    decode_with(&logs::span(1, logs), &Envelopes::default())
}

/// Small and large, and now and then larger than any sum can hold.
fn amount() -> impl Strategy<Value = U256> {
    prop_oneof![
        6 => (0u64..100).prop_map(U256::from),
        6 => any::<u128>().prop_map(U256::from),
        1 => Just(U256::MAX),
    ]
}

prop_compose! {
    fn received()(kind in 0u8..7, token in 0u8..3, id in 0u64..3, amount in amount(), to in 0u8..5) -> Received {
        let token = if kind == 1 { WETH } else { collection(token) };
        Received { itemType: kind, token, identifier: U256::from(id), amount, recipient: person(to) }
    }
}

fn spent(item: &Received) -> Spent {
    Spent {
        itemType: item.itemType,
        token: item.token,
        identifier: item.identifier,
        amount: item.amount,
    }
}

prop_compose! {
    fn order()(
        hash in 0u8..6, offerer in 0u8..5, recipient in 0u8..5, offer in vec(received(), 0..4), consideration in vec(received(), 0..5),
    ) -> OrderFulfilled {
        OrderFulfilled {
            orderHash: B256::with_last_byte(hash), offerer: person(offerer), zone: Address::ZERO, recipient: person(recipient),
            offer: offer.iter().map(spent).collect(), consideration,
        }
    }
}

/// What a listing or an offer in one currency should be decoded as: tokens, and the payment for them.
fn expected(order: &OrderFulfilled) -> Option<(usize, U256)> {
    let is_payment = |kind: u8| kind < 2;
    let (given_tokens, given_money): (Vec<&Spent>, Vec<&Spent>) =
        order.offer.iter().partition(|item| !is_payment(item.itemType));
    let (asked_tokens, asked_money): (Vec<&Received>, Vec<&Received>) =
        order.consideration.iter().partition(|item| !is_payment(item.itemType));
    let sum = |amounts: Vec<U256>| amounts.into_iter().try_fold(U256::ZERO, U256::checked_add);
    let kinds: Vec<u8> = given_money
        .iter()
        .map(|item| item.itemType)
        .chain(asked_money.iter().map(|item| item.itemType))
        .collect();
    // Native or wrapped, not both; the wrapped coin is the only ERC-20 here, native items may name any contract.
    let one_currency = kinds.windows(2).all(|pair| pair[0] == pair[1]);
    let asked = sum(asked_money.iter().map(|item| item.amount).collect())?;
    if !one_currency || kinds.is_empty() {
        return None;
    }
    if !given_tokens.is_empty() && given_money.is_empty() && asked_tokens.is_empty() {
        return Some((given_tokens.len(), asked)).filter(|(_, price)| !price.is_zero());
    }
    if given_tokens.is_empty() && !given_money.is_empty() && !asked_tokens.is_empty() {
        let given = sum(given_money.iter().map(|item| item.amount).collect())?;
        return Some((asked_tokens.len(), given.max(asked))).filter(|(_, price)| !price.is_zero());
    }
    None
}

/// Whether a payment of `order` may go to who gets a token.
fn comes_back(order: &OrderFulfilled) -> bool {
    let (tokens, money): (Vec<&Received>, Vec<&Received>) =
        order.consideration.iter().partition(|item| item.itemType >= 2);
    let gets = |address| address == order.recipient || tokens.iter().any(|item| item.recipient == address);
    money.iter().any(|item| gets(item.recipient))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn one_order_is_told_whole(order in order()) {
        let known = order.offer.iter().map(|item| item.itemType).chain(order.consideration.iter().map(|item| item.itemType));
        let known = known.max().unwrap_or(0) <= 5;
        let facts = decoded(vec![log(&order, 0)]);
        facts.sales.iter().for_each(assert_adds_up);
        let price = facts.sales.iter().filter_map(|sale| sale.price).try_fold(U256::ZERO, U256::checked_add);
        match expected(&order).filter(|_| known) {
            Some((lines, paid)) if !comes_back(&order) => {
                prop_assert_eq!(facts.sales.len(), lines);
                prop_assert_eq!(price, Some(paid));
            }
            // A rebate is no part of the price, and without a rest nothing is sold.
            Some((lines, paid)) => prop_assert!(facts.sales.len() <= lines && price.is_some_and(|price| price <= paid)),
            // A private listing asks for its own token.
            None => prop_assert!(facts.sales.iter().all(|sale| sale.side == Side::Listing && !order.consideration.is_empty())),
        }
        for fault in &facts.faults {
            prop_assert!([reason::UNKNOWN_VARIANT, reason::AMOUNT_OVERFLOW].contains(&fault.reason), "{fault:?}");
        }
        prop_assert!(known || facts.sales.is_empty());
    }

    #[test]
    fn any_orders_in_any_groups_add_up(orders in vec(order(), 0..7), groups in vec(vec(0u8..7, 0..5), 0..3), caller in 0u8..6) {
        let mut all: Vec<Log> = orders.iter().enumerate().map(|(index, order)| log(order, index)).collect();
        for hashes in groups {
            let event = OrdersMatched { orderHashes: hashes.into_iter().map(B256::with_last_byte).collect() };
            all.push(log(&event, all.len()));
        }
        let envelope = Envelope { from: person(caller), to: Some(SEAPORT), value: U256::ZERO, input: Bytes::new() };
        let envelopes: Envelopes = [(B256::with_last_byte(1), envelope)].into_iter().collect();
        let span = logs::span(1, all);
        for facts in [decode_with(&span, &Envelopes::default()), decode_with(&span, &envelopes)] {
            facts.sales.iter().for_each(assert_adds_up);
            let tokens = orders.iter().flat_map(|order| &order.offer).filter(|item| item.itemType >= 2).count()
                + orders.iter().flat_map(|order| &order.consideration).filter(|item| item.itemType >= 2).count();
            prop_assert!(facts.sales.len() <= tokens, "no token is sold twice");
        }
    }

    /// Bids, each with its mirror, matched in one call by the seller: every bid is one sale at its own price.
    #[test]
    fn matched_bids_are_sold_once_each(bids in vec((1u64..1_000_000, 0u64..1000, 0u64..1000, 0u8..5), 1..6), turn in any::<u8>()) {
        let seller = person(9);
        let (fee_to, creator) = (person(20), person(21));
        let mut orders = Vec::new();
        let mut wanted: BTreeMap<U256, (Address, U256)> = BTreeMap::new();
        for (index, (net, fee, royalty, buyer)) in bids.iter().enumerate() {
            let (id, price) = (U256::from(index), U256::from(net + fee + royalty));
            let token = |to| Received { itemType: 2, token: collection(0), identifier: id, amount: U256::ONE, recipient: to };
            let money = |amount: u64, to| Received { itemType: 1, token: WETH, identifier: U256::ZERO, amount: U256::from(amount), recipient: to };
            let hash = |side: u8| keccak256([side, u8::try_from(index).unwrap()]);
            let full = money(net + fee + royalty, seller);
            orders.push(OrderFulfilled {
                orderHash: hash(0), offerer: person(*buyer), zone: Address::ZERO, recipient: seller,
                offer: vec![spent(&full)], consideration: vec![token(person(*buyer)), money(*fee, fee_to)],
            });
            orders.push(OrderFulfilled {
                orderHash: hash(1), offerer: seller, zone: Address::ZERO, recipient: seller,
                offer: vec![spent(&token(seller))], consideration: vec![money(*net, seller), money(*royalty, creator)],
            });
            wanted.insert(id, (person(*buyer), price));
        }
        let turn = usize::from(turn) % orders.len();
        orders.rotate_left(turn);
        let hashes = orders.iter().map(|order| order.orderHash).collect();
        let mut all: Vec<Log> = orders.iter().enumerate().map(|(index, order)| log(order, index)).collect();
        all.push(log(&OrdersMatched { orderHashes: hashes }, all.len()));
        let facts = decoded(all);
        let found: BTreeMap<U256, (Address, U256)> =
            facts.sales.iter().map(|sale| (sale.token.unwrap(), (sale.buyer, sale.price.unwrap()))).collect();
        prop_assert_eq!(facts.sales.len(), bids.len());
        prop_assert_eq!(found, wanted);
        for sale in &facts.sales {
            assert_adds_up(sale);
            let (net, fee, royalty, _) = bids[usize::try_from(sale.token.unwrap()).unwrap()];
            prop_assert_eq!((sale.side, sale.seller, sale.seller_net), (Side::Offer, seller, Some(U256::from(net))));
            let got = |to| sale.fees.iter().filter(|part| part.recipient == to).map(|part| part.amount).sum::<U256>();
            prop_assert_eq!((got(fee_to), got(creator)), (U256::from(fee), U256::from(royalty)));
        }
    }
}
