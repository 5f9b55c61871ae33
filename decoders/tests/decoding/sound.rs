//! The laws that facts keep, whatever the logs: tests and the fuzzer hold decoders to them.

use std::collections::BTreeSet;

use alloy_primitives::{B256, U256};
use decoders::block::{Log, find_block};
use decoders::fact::{ClosingReason, Facts, PriceAllocation, Reach, Sale, reason};
use uuid::Uuid;

/// Facts stand in chain order, one per position.
pub(crate) fn assert_in_chain_order(facts: &Facts) {
    let hash_of = |number| find_block(&facts.blocks, number).map_or(B256::ZERO, |block| block.hash);
    let ids = |kind: &str, ids: Vec<Uuid>| {
        assert!(
            ids.is_sorted_by(|one, next| one < next),
            "ids of {kind} ascend and none repeats"
        );
    };
    let chain = facts.chain;
    let transfers = facts.transfers.iter();
    ids(
        "transfers",
        transfers
            .map(|fact| fact.id(chain, hash_of(fact.block_number)))
            .collect(),
    );
    let sales = facts.sales.iter();
    ids(
        "sales",
        sales.map(|fact| fact.id(chain, hash_of(fact.block_number))).collect(),
    );
    let orders = facts.orders.iter();
    ids(
        "orders",
        orders.map(|fact| fact.id(chain, hash_of(fact.block_number))).collect(),
    );
    let closings = facts.closings.iter();
    ids(
        "closings",
        closings
            .map(|fact| fact.id(chain, hash_of(fact.block_number)))
            .collect(),
    );
    let faults: Vec<_> = facts
        .faults
        .iter()
        .map(|fault| (fault.block_number, fault.log_index, fault.source))
        .collect();
    assert!(
        faults.is_sorted_by(|one, next| one < next),
        "faults ascend, one per log and source"
    );
}

/// The law of sales: parts add up to the price, and nothing is sold for nothing.
pub(crate) fn assert_adds_up(sale: &Sale) {
    let fees = sale
        .fees
        .iter()
        .try_fold(U256::ZERO, |total, fee| total.checked_add(fee.amount));
    let fees = fees.expect("fees add up");
    match (sale.price, sale.seller_net) {
        (Some(price), Some(net)) => assert_eq!(fees.checked_add(net), Some(price), "{sale:?}"),
        (None, None) => assert!(
            sale.fees.is_empty() && sale.allocation == PriceAllocation::Unknown,
            "{sale:?}"
        ),
        (price, net) => assert_eq!(price, net, "a price without a net, or a net without a price: {sale:?}"),
    }
    assert!(sale.fees.iter().all(|fee| !fee.amount.is_zero()), "{sale:?}");
    assert!(
        sale.bundle_size > 0 && sale.item - sale.bundle_first < sale.bundle_size,
        "{sale:?}"
    );
    assert!(sale.flags.is_sorted_by(|one, next| one < next), "{sale:?}");
}

/// Sales of one transaction went through the same router, whatever each log shows on its own.
pub(crate) fn assert_one_router(facts: &Facts) {
    for pair in facts.sales.windows(2).filter(|pair| pair[0].tx_hash == pair[1].tx_hash) {
        assert_eq!(
            pair[0].aggregator, pair[1].aggregator,
            "{:?} and {:?}",
            pair[0], pair[1]
        );
    }
}

/// The laws of orders and of their ends: they stand at the market that emitted them, an order that sold is filled, and one log
/// fills no order twice.
pub(crate) fn assert_orders_are_sound(facts: &Facts, logs: &[Log]) {
    let emitter = |block_number, log_index| {
        logs.iter()
            .find(|log| (log.block_number, log.log_index) == (block_number, log_index))
            .map(|log| (log.address, log.tx_hash))
    };
    for order in &facts.orders {
        let at = emitter(order.block_number, order.log_index);
        assert_eq!(at, Some((order.market, order.tx_hash)), "{order:?}");
        assert!(order.token.is_some() || !order.escrowed, "{order:?}");
        assert!(order.standard.single_owner() || !order.auction, "{order:?}");
    }
    for sale in facts
        .sales
        .iter()
        .filter(|sale| sale.order_hash.is_some_and(|hash| !hash.is_zero()))
    {
        let ends = facts.closings.iter().any(|closing| {
            (closing.block_number, closing.tx_hash, closing.source) == (sale.block_number, sale.tx_hash, sale.source)
                && closing.reason == ClosingReason::Filled
                && sale.order_hash.map(Reach::Key) == Some(closing.reach)
        });
        assert!(ends, "sold by an order that no closing fills: {sale:?}");
    }
    let mut filled = BTreeSet::new();
    for closing in &facts.closings {
        let at = emitter(closing.block_number, closing.log_index);
        assert_eq!(at, Some((closing.market, closing.tx_hash)), "{closing:?}");
        assert!(
            closing.quantity.is_none() || closing.reason == ClosingReason::Filled,
            "{closing:?}"
        );
        if let (Reach::Key(key), ClosingReason::Filled) = (closing.reach, closing.reason) {
            let decoded = filled.insert((closing.block_number, closing.log_index, key));
            assert!(decoded, "filled twice by one log: {closing:?}");
        }
    }
}

/// A log is accepted whole or not at all.
pub(crate) fn assert_refused_logs_say_nothing(facts: &Facts) {
    for fault in facts.faults.iter().filter(|fault| !reason::is_warning(fault.reason)) {
        let outcome = facts.transfers.iter().any(|transfer| {
            (transfer.block_number, transfer.log_index) == (fault.block_number, fault.log_index)
                && transfer.source == fault.source
        });
        let sold = facts.sales.iter().any(|sale| {
            (sale.block_number, sale.log_index) == (fault.block_number, fault.log_index) && sale.source == fault.source
        });
        let at = (fault.block_number, fault.log_index, fault.source);
        let opened = facts
            .orders
            .iter()
            .any(|order| (order.block_number, order.log_index, order.source) == at);
        let closed = facts
            .closings
            .iter()
            .any(|closing| (closing.block_number, closing.log_index, closing.source) == at);
        assert!(
            !outcome && !sold && !opened && !closed,
            "{fault:?} refused a log that had facts"
        );
    }
}
