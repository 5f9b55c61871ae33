//! What a simulated chain with markets promises: every seller owns what is sold, money adds up, and the books state the
//! state of every order at every height of every branch.

#![cfg(test)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use alloy_primitives::{Address, B256, Bytes, U256, b256};
use proptest::prelude::*;
use testchain::block::{Block, Log};
use testchain::server::state::{Call, State as _};
use testchain::simulation::{
    Books, Ending, Market, Order, Position, Reason, Sale, Settings, Side, Simulation, Standing, State, Token, Transfer,
};

const WETH: &str = "0xC02aaA39b223FE8D0A0e5C4F27eAD9083C756Cc2";
const ORDER_FULFILLED: B256 = b256!("9d9af8e38d66c62e2c12f0225249fd9d721c54b83f48d9352c97c6cacdcb6f31");
const ORDER_VALIDATED: B256 = b256!("f280791efe782edcf06ce15c8f4dff17601db3b88eb3805a0db7d77faf757f04");

fn chain(seed: u64, blocks: u64) -> (Simulation, Vec<Block>) {
    let mut simulation = Simulation::new(Settings::market(seed));
    let blocks = simulation.blocks(blocks);
    (simulation, blocks)
}

fn log_at(blocks: &[Block], position: Position) -> &Log {
    let block = &blocks[position.block as usize];
    let mut logs = block.receipts.iter().flat_map(|receipt| &receipt.logs);
    logs.find(|log| log.log_index == position.log_index).unwrap()
}

/// The index of the transaction in its block, and its first and last log.
fn transaction_of(blocks: &[Block], position: Position) -> (usize, u32, u32) {
    let receipts = &blocks[position.block as usize].receipts;
    let ranges = receipts
        .iter()
        .enumerate()
        .filter(|(_, receipt)| !receipt.logs.is_empty());
    ranges
        .map(|(index, receipt)| {
            let logs = &receipt.logs;
            (index, logs[0].log_index, logs[logs.len() - 1].log_index)
        })
        .find(|(_, first, last)| (first..=last).contains(&&position.log_index))
        .unwrap()
}

#[test]
fn every_market_and_every_way_of_trading_turns_up() {
    let (simulation, _) = chain(1, 500);
    let books = simulation.books();
    let sales = books.sales();
    let kinds: BTreeSet<(Market, Side)> = sales.iter().map(|sale| (sale.market, sale.side)).collect();
    assert_eq!(kinds.len(), 10, "{kinds:?}");
    let shown: BTreeSet<(Market, Side)> = books.orders().iter().map(|order| (order.market, order.side)).collect();
    assert_eq!(shown.len(), 6, "{shown:?}");
    assert!(sales.iter().any(|sale| sale.bundle_size > 2), "bundles");
    for side in [Side::Listing, Side::Offer] {
        let routed = |sale: &Sale| sale.side == side && sale.router.is_some();
        assert!(sales.iter().any(routed), "routers, {side:?}");
    }
    assert!(
        sales.iter().any(|sale| sale.fees.len() == 3),
        "two creators beside the market"
    );
    assert!(sales.iter().any(|sale| sale.quantity > U256::ONE), "quantities");
    let currencies: BTreeSet<Address> = sales.iter().map(|sale| sale.currency).collect();
    assert!(
        currencies.len() >= 4,
        "native, wrapped, of the pool, another: {currencies:?}"
    );
    let reasons: BTreeSet<Reason> = books.endings().iter().map(|ending| ending.reason).collect();
    assert_eq!(reasons.len(), 4);
    let partly = |standing: &&Standing| standing.state == State::Active && standing.remaining > U256::ONE;
    let standings = books.standings(499);
    assert!(standings.values().any(|standing| partly(&standing)), "partly filled");
    let states: BTreeSet<State> = standings.values().map(|standing| standing.state).collect();
    assert_eq!(states.len(), 5, "{states:?}");
    let orders = || books.orders().iter();
    assert!(orders().any(|order| order.token.is_none()), "offers on a collection");
    assert!(orders().any(|order| order.taker.is_some()), "listings for one buyer");
    assert!(
        orders().all(|order| !order.price.is_zero()),
        "what costs nothing is no listing"
    );
}

/// The units of a token that moved on from `from` within one transaction, and where they ended.
fn destinations(moves: &[Transfer], sale: &Sale, from: Address) -> Vec<Address> {
    let of_token = |part: &&Transfer| part.contract == sale.contract && part.token == sale.token;
    let first = moves
        .iter()
        .filter(of_token)
        .filter(|part| part.from == from && part.quantity >= sale.quantity);
    let onward = |holder: Address| {
        let next = moves
            .iter()
            .filter(of_token)
            .find(|part| part.from == holder && sale.router == Some(holder));
        next.map_or(holder, |part| part.to)
    };
    first.map(|part| onward(part.to)).collect()
}

#[test]
fn what_is_sold_moves_from_the_seller_to_the_buyer_in_the_same_transaction() {
    let (simulation, blocks) = chain(2, 400);
    let books = simulation.books();
    for sale in books.sales() {
        let (_, first, last) = transaction_of(&blocks, sale.position);
        let moves: Vec<Transfer> = books
            .transfers_in(sale.position.block..=sale.position.block)
            .filter(|part| (first..=last).contains(&part.log_index))
            .collect();
        let escrow = log_at(&blocks, sale.position).address;
        let reached = [sale.seller, escrow].map(|from| destinations(&moves, sale, from));
        assert!(reached.concat().contains(&sale.buyer), "{sale:?} {moves:?}");
        assert_ne!(sale.seller, sale.buyer);
        assert!(sale.maker == sale.seller || sale.maker == sale.buyer);
    }
}

#[test]
fn money_adds_up() {
    let (simulation, blocks) = chain(3, 400);
    let mut bundles: BTreeMap<Position, Vec<&Sale>> = BTreeMap::new();
    let mut native: BTreeMap<(u64, usize), U256> = BTreeMap::new();
    for sale in simulation.books().sales() {
        let price = sale.price.unwrap();
        let fees: U256 = sale.fees.iter().map(|fee| fee.amount).sum();
        assert_eq!(sale.seller_net().unwrap() + fees, price);
        assert!(!price.is_zero() && fees <= price / U256::from(2) && sale.fees.is_sorted());
        bundles.entry(sale.position).or_default().push(sale);
        let (index, ..) = transaction_of(&blocks, sale.position);
        let escrowed = sale.side == Side::Offer && sale.currency.is_zero();
        if sale.currency.is_zero() && !escrowed {
            *native.entry((sale.position.block, index)).or_default() += price;
        }
    }
    for sales in bundles.values() {
        assert!(sales.iter().all(|sale| sale.bundle_size as usize == sales.len()));
        assert!(sales.iter().zip(0..).all(|(sale, item)| sale.item == item));
        let prices: BTreeSet<U256> = sales[..sales.len() - 1]
            .iter()
            .map(|sale| sale.price.unwrap())
            .collect();
        assert!(prices.len() <= 1, "equal parts");
    }
    // Who buys with native currency sends it along; money in escrow was sent along before.
    for ((block, index), paid) in native {
        let transaction = &blocks[block as usize].transactions[index];
        assert_eq!(transaction.value, paid, "{transaction:?}");
        assert!(!transaction.input.is_empty());
    }
}

/// What somebody spends, and what is left to somebody, in one transaction.
type Purse = ((u64, usize), Address);

/// Wrapped ether moves as the sales of a transaction state: from the buyer, and to the seller what is left.
#[test]
fn wrapped_ether_moves_from_the_buyer_to_the_seller() {
    let (simulation, blocks) = chain(4, 300);
    let weth: Address = WETH.parse().unwrap();
    let (mut paid, mut got): (BTreeMap<Purse, U256>, BTreeMap<Purse, U256>) = Default::default();
    for sale in simulation.books().sales().iter().filter(|sale| sale.currency == weth) {
        let (index, ..) = transaction_of(&blocks, sale.position);
        let place = (sale.position.block, index);
        *paid.entry((place, sale.buyer)).or_default() += sale.price.unwrap();
        *got.entry((place, sale.seller)).or_default() += sale.seller_net().unwrap();
    }
    let moved = |(block, index): (u64, usize), person: Address, [here, there]: [usize; 2]| {
        let logs = &blocks[block as usize].receipts[index].logs;
        let payments = logs.iter().filter(|log| log.address == weth);
        let at = |log: &Log, topic: usize| Address::from_word(log.topics[topic]) == person;
        let amount = |log: &Log| U256::from_be_slice(&log.data);
        let sum = |topic: usize| payments.clone().filter(|log| at(log, topic)).map(amount).sum::<U256>();
        sum(here) - sum(there)
    };
    for ((place, buyer), price) in &paid {
        assert_eq!(moved(*place, *buyer, [1, 2]), *price, "{place:?}");
    }
    for ((place, seller), net) in &got {
        assert_eq!(moved(*place, *seller, [2, 1]), *net, "{place:?}");
    }
    assert!(paid.len() > 20);
}

/// The considerations of Seaport's events, read here by hand, are the prices of listings.
#[test]
fn events_tell_the_prices_that_the_books_hold() {
    let (simulation, blocks) = chain(5, 300);
    let listings = simulation.books().sales().iter();
    let listings = listings.filter(|sale| sale.market == Market::Seaport && sale.side == Side::Listing);
    let mut checked = 0;
    for sale in listings.filter(|sale| sale.bundle_size == 1) {
        let log = log_at(&blocks, sale.position);
        let word = |index: usize| U256::from_be_slice(&log.data[32 * index..32 * (index + 1)]);
        assert_eq!(
            (log.topics[0], Some(word(0).into())),
            (ORDER_FULFILLED, sale.order_hash)
        );
        let at = word(3).to::<usize>() / 32;
        let items = (0..word(at).to::<usize>()).map(|item| at + 1 + 5 * item);
        let payments = items.filter(|item| word(*item) < U256::from(2));
        let total: U256 = payments.map(|item| word(item + 3)).sum();
        assert_eq!(Some(total), sale.price);
        checked += 1;
    }
    assert!(checked > 50);
}

fn check_endings(books: &Books) {
    let orders: BTreeMap<Position, &Order> = books.orders().iter().map(|order| (order.position, order)).collect();
    assert_eq!(orders.len(), books.orders().len(), "no log opens two orders");
    let mut left: BTreeMap<Position, U256> = orders
        .iter()
        .map(|(position, order)| (*position, order.quantity))
        .collect();
    for Ending {
        position,
        order,
        reason,
        quantity,
    } in books.endings()
    {
        let left = left.get_mut(order).expect("what ends was open");
        assert!(
            position >= order && !left.is_zero(),
            "ends once: {reason:?} at {position:?}"
        );
        *left -= quantity.unwrap_or(*left);
    }
    assert!(books.endings().is_sorted_by_key(|ending| ending.position));
    assert!(books.sales().is_sorted_by_key(|sale| (sale.position, sale.item)));
    assert!(books.orders().is_sorted_by_key(|order| order.position));
}

#[test]
fn orders_end_once_and_their_hashes_are_their_own() {
    let (simulation, blocks) = chain(6, 400);
    let books = simulation.books();
    check_endings(books);
    let hashes: Vec<B256> = books.orders().iter().filter_map(|order| order.hash).collect();
    assert_eq!(hashes.iter().collect::<BTreeSet<_>>().len(), hashes.len());
    for order in books.orders().iter().filter(|order| order.market == Market::Seaport) {
        let log = log_at(&blocks, order.position);
        assert_eq!(
            (log.topics[0], Some(B256::from_slice(&log.data[..32]))),
            (ORDER_VALIDATED, order.hash)
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn branches_have_books_of_their_own(seed in any::<u64>(), ancestor in 20..80_u64, branch in 1..9_u64) {
        let (origin, _) = chain(seed, 100);
        let mut fork = origin.fork(ancestor, branch).unwrap();
        let (short, _) = chain(seed, ancestor + 1);
        for books in [fork.books(), origin.books()] {
            prop_assert_eq!(books.standings(ancestor), short.books().standings(ancestor));
            prop_assert_eq!(books.collection_statistics(ancestor), short.books().collection_statistics(ancestor));
        }
        prop_assert_eq!(fork.books().sales(), short.books().sales());
        fork.blocks(60);
        check_endings(fork.books());
        check_endings(origin.books());
        prop_assert_ne!(fork.books().sales(), origin.books().sales());
    }
}

#[test]
fn statistics_are_sums_of_the_sales() {
    let (simulation, _) = chain(7, 300);
    let books = simulation.books();
    let (collections, tokens) = (books.collection_statistics(299), books.token_statistics(299));
    let count: u64 = collections.values().map(|statistics| statistics.sales).sum();
    assert_eq!(count, books.sales().len() as u64);
    for (contract, statistics) in &collections {
        let of_it = || {
            tokens
                .iter()
                .filter(|(token, _)| token.contract == *contract)
                .map(|(_, stats)| stats)
        };
        assert_eq!(statistics.sales, of_it().map(|stats| stats.sales).sum::<u64>());
        assert_eq!(statistics.last_sale, of_it().filter_map(|stats| stats.last_sale).max());
        for (currency, floor) in &statistics.floor {
            assert_eq!(of_it().filter_map(|stats| stats.floor.get(currency)).min(), Some(floor));
        }
        for (currency, volume) in &statistics.volume {
            let total: U256 = of_it().filter_map(|stats| stats.volume.get(currency)).sum();
            assert_eq!(total, *volume);
        }
    }
    assert!(collections.values().any(|statistics| !statistics.floor.is_empty()));
}

fn asked(simulation: &Simulation, block: &Arc<Block>, to: Address, call: (&str, &[U256])) -> Option<Vec<U256>> {
    let mut input = alloy_primitives::keccak256(call.0)[..4].to_vec();
    call.1.iter().for_each(|word| input.extend(word.to_be_bytes::<32>()));
    let call = Call {
        to,
        input: Bytes::from(input),
        block: block.clone(),
    };
    let answer = simulation.answers().call(&call).ok()?;
    Some(answer.chunks(32).map(U256::from_be_slice).collect())
}

#[test]
fn contracts_answer_what_the_books_hold_on_every_branch() {
    let (origin, blocks) = chain(8, 120);
    let mut fork = origin.fork(60, 3).unwrap();
    let branched = fork.blocks(50);
    let mut bids = 0;
    for (simulation, block) in [(&origin, &blocks[40]), (&origin, &blocks[119]), (&fork, &branched[49])] {
        let block = Arc::new(block.clone());
        let held = simulation.books().at(block.number);
        let word = |address: Address| U256::from_be_bytes(address.into_word().0);
        let mut counts: BTreeMap<(Address, Address), u64> = BTreeMap::new();
        let punks: Address = "0xb47e3cd837dDF8e4c57F05d70Ab865de6e193BBB".parse().unwrap();
        for (token, owner) in held.owners() {
            let question = if token.contract == punks {
                "punkIndexToAddress(uint256)"
            } else {
                "ownerOf(uint256)"
            };
            let answer = asked(&origin, &block, token.contract, (question, &[token.id]));
            assert_eq!(answer, Some(vec![word(owner)]), "{token:?}");
            *counts.entry((token.contract, owner)).or_default() += 1;
        }
        for ((contract, owner), count) in counts {
            let answer = asked(&origin, &block, contract, ("balanceOf(address)", &[word(owner)]));
            assert_eq!(answer, Some(vec![U256::from(count)]));
        }
        for (token, owner, quantity) in held.balances() {
            let question = ("balanceOf(address,uint256)", &[word(owner), token.id][..]);
            assert_eq!(asked(&origin, &block, token.contract, question), Some(vec![quantity]));
        }
        for Token { contract, id } in held.burned() {
            assert_eq!(asked(&origin, &block, contract, ("ownerOf(uint256)", &[id])), None);
        }
        bids += check_bids(simulation, &block, punks);
    }
    assert!(bids > 0);
    assert_eq!(
        asked(&origin, &Arc::new(blocks[9].clone()), Address::ZERO, ("name()", &[])),
        None
    );
}

/// How many live bids the contract knows as the books do.
fn check_bids(simulation: &Simulation, block: &Arc<Block>, punks: Address) -> usize {
    let books = simulation.books();
    let standings = books.standings(block.number);
    let live = |order: &&Order| {
        standings
            .get(&order.position)
            .is_some_and(|order| order.state == State::Active)
    };
    let bids = books
        .orders()
        .iter()
        .filter(|order| order.market == Market::CryptoPunks && order.side == Side::Offer);
    let bids: BTreeMap<U256, &Order> = bids.filter(live).map(|order| (order.token.unwrap(), order)).collect();
    let owned = books.at(block.number);
    for (token, _) in owned.owners().filter(|(token, _)| token.contract == punks) {
        let answer = asked(simulation, block, punks, ("punkBids(uint256)", &[token.id])).unwrap();
        let bidder = Address::from_word(answer[2].into());
        match bids.get(&token.id) {
            Some(order) => assert_eq!((bidder, answer[3]), (order.maker, order.price)),
            None => assert_eq!((answer[0], bidder, answer[3]), (U256::ZERO, Address::ZERO, U256::ZERO)),
        }
    }
    bids.len()
}
