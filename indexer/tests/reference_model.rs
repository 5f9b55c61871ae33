//! The decoders against the simulated chain's own books: every movement of every layout, every malformed log, every sale,
//! and every order in every state.
//!
//! The books are kept by the generator while it draws the traffic and never see a log, so they are an independent count.

#![cfg(test)]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use alloy_primitives::{Address, B256, U256};
use decoders::block::{Answer, Block, Call, ChainId, Context, Envelope, Log, Proof, Span};
use decoders::fact::{ClosingReason, Facts, Nonces, OrderKind, Reach, flag, reason};
use testchain::simulation::{Cause, Layout, Position, Settings, Side, Simulation, Standard, State};

/// What a transfer states, whichever source states it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Emitted {
    position: (u64, u32, u32),
    token: (Address, U256),
    parties: (Address, Address),
    quantity: U256,
    standard: &'static str,
}

/// The simulated blocks as the span an endpoint would have read.
fn span(chain: u64, blocks: &[testchain::block::Block]) -> Span {
    let range = blocks[0].number..=blocks[blocks.len() - 1].number;
    let headers = blocks.iter().map(|block| Block {
        number: block.number,
        hash: block.hash,
        time: block.timestamp,
    });
    let logs = blocks.iter().flat_map(logs).collect();
    let blocks = headers.collect();
    Span {
        chain: ChainId(chain),
        range,
        parent_hash: None,
        blocks,
        logs,
        proof: Proof::Chained,
        context: Context::default(),
    }
}

fn logs(block: &testchain::block::Block) -> impl Iterator<Item = Log> {
    let transactions = (0..).zip(block.transactions.iter().zip(&block.receipts));
    transactions.flat_map(move |(tx_index, (transaction, receipt))| {
        receipt.logs.iter().map(move |log| Log {
            block_number: block.number,
            log_index: log.log_index,
            tx_index,
            tx_hash: transaction.hash,
            address: log.address,
            topics: log.topics.iter().copied().collect(),
            data: log.data.clone(),
        })
    })
}

fn decoded(facts: &decoders::fact::Facts) -> Vec<Emitted> {
    let emitted = |transfer: &decoders::fact::Transfer| Emitted {
        position: (transfer.block_number, transfer.log_index, transfer.item),
        token: (transfer.contract, transfer.token),
        parties: (transfer.from, transfer.to),
        quantity: transfer.quantity,
        standard: transfer.standard.as_str(),
    };
    facts.transfers.iter().map(emitted).collect()
}

fn entered(simulation: &Simulation) -> Vec<Emitted> {
    let emitted = |transfer: testchain::simulation::Transfer| Emitted {
        position: (transfer.block, transfer.log_index, transfer.item),
        token: (transfer.contract, transfer.token),
        parties: (transfer.from, transfer.to),
        quantity: transfer.quantity,
        standard: standard(transfer.layout.standard()),
    };
    simulation.books().transfers().map(emitted).collect()
}

#[test]
fn the_decoders_say_what_the_books_say() {
    for seed in [1, 2, 3] {
        let mut simulation = Simulation::new(Settings::small(seed));
        let blocks = simulation.blocks(1500);
        let facts = decoders::decode(&span(simulation.settings().chain_id, &blocks));
        assert_eq!(decoded(&facts), entered(&simulation), "seed {seed}");

        let refused: Vec<(u64, u32)> = facts
            .faults
            .iter()
            // Contracts are not asked here.
            .filter(|fault| fault.reason != reason::UNANSWERED)
            .map(|fault| (fault.block_number, fault.log_index))
            .collect();
        let books = simulation.books();
        let malformed: Vec<(u64, u32)> = books.malformed().iter().map(|log| (log.block, log.log_index)).collect();
        assert_eq!(refused, malformed, "seed {seed}");

        // Nothing above holds by chance of an empty chain.
        let layouts: BTreeSet<Layout> = books.transfers().map(|transfer| transfer.layout).collect();
        assert_eq!(layouts.len(), 9, "seed {seed}: {layouts:?}");
        assert!(!malformed.is_empty());
    }
}

/// The span, with what decoding wants to know beside its logs.
fn answered(simulation: &Simulation, blocks: &[testchain::block::Block]) -> Span {
    let mut span = span(simulation.settings().chain_id, blocks);
    for _ in 0..decoders::ROUNDS {
        let wants = decoders::wants(&span);
        for hash in wants.envelopes {
            let transactions = blocks.iter().flat_map(|block| &block.transactions);
            let found = transactions
                .into_iter()
                .find(|transaction| transaction.hash == hash)
                .unwrap();
            let envelope = Envelope {
                from: found.from,
                to: found.to,
                value: found.value,
                input: found.input.clone(),
            };
            span.context.envelopes.insert(hash, envelope);
        }
        for call in wants.calls {
            let answer = answer(simulation, blocks, &call);
            span.context.answers.insert(call, answer);
        }
    }
    assert!(decoders::wants(&span).is_empty(), "nothing is wanted in the end");
    span
}

fn answer(simulation: &Simulation, blocks: &[testchain::block::Block], call: &Call) -> Answer {
    let at = call.at.unwrap_or(blocks[blocks.len() - 1].number);
    let answer = simulation
        .answers()
        .answer(blocks[at as usize].hash, call.to, &call.input);
    answer.map_or(Answer::Reverted, Answer::Returned)
}

fn market(seed: u64) -> (Simulation, Facts) {
    let mut simulation = Simulation::new(Settings::market(seed));
    let blocks = simulation.blocks(600);
    let facts = decoders::decode(&answered(&simulation, &blocks));
    (simulation, facts)
}

/// Asserts that two lists are the same, showing the first differences only.
fn assert_same<T: Debug + PartialEq>(actual: &[T], expected: &[T], context: &str) {
    let differ = actual
        .iter()
        .zip(expected)
        .filter(|(actual, expected)| actual != expected);
    let shown: Vec<String> = differ
        .take(3)
        .map(|(actual, expected)| format!("decoded {actual:#?}\nin the books {expected:#?}"))
        .collect();
    assert!(shown.is_empty(), "{context}: {}", shown.join("\n"));
    assert_eq!(actual.len(), expected.len(), "{context}");
}

fn standard(standard: Standard) -> &'static str {
    match standard {
        Standard::Erc721 => "erc721",
        Standard::Erc1155 => "erc1155",
        Standard::CryptoPunks => "cryptopunks",
    }
}

/// What a sale states, whichever source states it.
#[derive(Debug, PartialEq)]
struct Sold {
    position: (u64, u32, u32),
    marketplace: &'static str,
    side: &'static str,
    token: (Address, Option<U256>),
    standard: &'static str,
    quantity: U256,
    seller: Address,
    buyer: Address,
    maker: Address,
    router: Option<Address>,
    currency: Address,
    price: Option<U256>,
    net: Option<U256>,
    fees: Vec<(Address, U256, &'static str)>,
    order_hash: Option<B256>,
    bundle_size: u32,
}

fn sold(sale: &decoders::fact::Sale) -> Sold {
    let mut fees: Vec<_> = sale
        .fees
        .iter()
        .map(|fee| (fee.recipient, fee.amount, fee.kind.as_str()))
        .collect();
    fees.sort_unstable();
    Sold {
        position: (sale.block_number, sale.log_index, sale.item),
        marketplace: sale.marketplace,
        side: sale.side.as_str(),
        token: (sale.contract, sale.token),
        standard: sale.standard.as_str(),
        quantity: sale.quantity,
        seller: sale.seller,
        buyer: sale.buyer,
        maker: sale.maker,
        router: sale.aggregator,
        currency: sale.currency,
        price: sale.price,
        net: sale.seller_net,
        fees,
        order_hash: sale.order_hash,
        bundle_size: sale.bundle_size,
    }
}

fn side(side: Side) -> &'static str {
    match side {
        Side::Listing => "listing",
        Side::Offer => "offer",
    }
}

fn entered_sale(sale: &testchain::simulation::Sale) -> Sold {
    let kind = |cause| match cause {
        Cause::Marketplace => "marketplace",
        Cause::Royalty => "royalty",
    };
    let mut fees: Vec<_> = sale
        .fees
        .iter()
        .map(|fee| (fee.recipient, fee.amount, kind(fee.cause)))
        .collect();
    fees.sort_unstable();
    Sold {
        position: (sale.position.block, sale.position.log_index, sale.item),
        marketplace: sale.market.name(),
        side: side(sale.side),
        token: (sale.contract, Some(sale.token)),
        standard: standard(sale.standard),
        quantity: sale.quantity,
        seller: sale.seller,
        buyer: sale.buyer,
        maker: sale.maker,
        router: sale.router,
        currency: sale.currency,
        price: sale.price,
        net: sale.seller_net(),
        fees,
        order_hash: sale.order_hash,
        bundle_size: sale.bundle_size,
    }
}

#[test]
fn the_decoders_tell_the_sales_that_the_books_hold() {
    for seed in [1, 2, 3] {
        let (simulation, facts) = market(seed);
        let stated: Vec<Sold> = facts.sales.iter().map(sold).collect();
        let expected: Vec<Sold> = simulation.books().sales().iter().map(entered_sale).collect();
        assert_same(&stated, &expected, &format!("seed {seed}"));
        assert!(expected.len() > 500);
        let flags: BTreeSet<&str> = facts.sales.iter().flat_map(|sale| sale.flags.clone()).collect();
        assert_eq!(flags, BTreeSet::from([flag::PRIMARY]), "nothing is uncertain");
        assert_eq!(decoded(&facts), entered(&simulation), "seed {seed}");
        let refused: Vec<(u64, u32)> = facts
            .faults
            .iter()
            .map(|fault| (fault.block_number, fault.log_index))
            .collect();
        let malformed = simulation.books().malformed().iter();
        assert_eq!(
            refused,
            malformed.map(|log| (log.block, log.log_index)).collect::<Vec<_>>()
        );
    }
}

/// What an order states, whichever source states it.
#[derive(Debug, PartialEq)]
struct Opened {
    position: (u64, u32),
    marketplace: &'static str,
    kind: &'static str,
    hash: Option<B256>,
    maker: Address,
    token: (Address, Option<U256>),
    standard: &'static str,
    quantity: U256,
    currency: Address,
    price: Option<U256>,
    starts_at: Option<u64>,
    expires_at: Option<u64>,
    taker: Option<Address>,
    escrowed: bool,
}

fn opened(order: &decoders::fact::Order) -> Opened {
    assert_eq!((order.item, order.auction), (0, false));
    Opened {
        position: (order.block_number, order.log_index),
        marketplace: order.marketplace,
        kind: order.kind.as_str(),
        hash: order.hashed.then_some(order.key),
        maker: order.maker,
        token: (order.contract, order.token),
        standard: order.standard.as_str(),
        quantity: order.quantity,
        currency: order.currency,
        price: order.price,
        starts_at: order.starts_at,
        expires_at: order.expires_at,
        taker: order.taker,
        escrowed: order.escrowed,
    }
}

fn entered_order(order: &testchain::simulation::Order) -> Opened {
    Opened {
        position: (order.position.block, order.position.log_index),
        marketplace: order.market.name(),
        kind: side(order.side),
        hash: order.hash,
        maker: order.maker,
        token: (order.contract, order.token),
        standard: standard(order.standard),
        quantity: order.quantity,
        currency: order.currency,
        price: Some(order.price),
        starts_at: order.starts_at,
        expires_at: order.expires_at,
        taker: order.taker,
        escrowed: order.escrowed,
    }
}

/// What the orders and closings up to `height` make of an order opened there: whether it was filled or closed otherwise, and
/// what is left of it.
fn fate(facts: &Facts, order: &decoders::fact::Order, height: u64) -> (Option<&'static str>, U256) {
    let place = (order.block_number, order.log_index);
    let later = |block, log_index| (block, log_index) > place && block <= height;
    let mut ends: Vec<(u64, u32, &str, Option<U256>)> = Vec::new();
    for other in facts
        .orders
        .iter()
        .filter(|other| later(other.block_number, other.log_index))
    {
        if (other.market, other.key) == (order.market, order.key) {
            ends.push((other.block_number, other.log_index, "canceled", None));
        }
    }
    for closing in facts
        .closings
        .iter()
        .filter(|closing| later(closing.block_number, closing.log_index))
    {
        let reached = closing.market == order.market
            && match closing.reach {
                Reach::Key(key) => key == order.key,
                Reach::Maker { maker, nonces } => {
                    maker == order.maker
                        && match nonces {
                            Nonces::All => true,
                            Nonces::Below(nonce) => order.nonce.is_some_and(|own| own < nonce),
                            Nonces::Exactly(nonce) => order.nonce == Some(nonce),
                        }
                }
            };
        let filled = closing.reason == ClosingReason::Filled;
        let state = if filled { "filled" } else { "canceled" };
        ends.extend(reached.then_some((closing.block_number, closing.log_index, state, closing.quantity)));
    }
    ends.sort_unstable();
    let mut left = order.quantity;
    for (_, _, state, quantity) in ends {
        left = left.saturating_sub(quantity.unwrap_or(left).min(left) * U256::from(u8::from(state == "filled")));
        if state == "canceled" || left.is_zero() {
            return (Some(state), left);
        }
    }
    (None, left)
}

#[test]
fn the_decoders_tell_the_orders_that_the_books_hold_and_what_became_of_them() {
    for seed in [1, 2, 3] {
        let (simulation, facts) = market(seed);
        let books = simulation.books();
        let stated: Vec<Opened> = facts.orders.iter().map(opened).collect();
        let expected: Vec<Opened> = books.orders().iter().map(entered_order).collect();
        assert_same(&stated, &expected, &format!("seed {seed}"));
        for height in [100, 350, 599] {
            let standings: BTreeMap<Position, _> = books.standings(height);
            for order in facts.orders.iter().filter(|order| order.block_number <= height) {
                let position = Position {
                    block: order.block_number,
                    log_index: order.log_index,
                };
                let standing = standings[&position];
                let state = match standing.state {
                    State::Filled => Some("filled"),
                    State::Canceled => Some("canceled"),
                    State::Active | State::Expired | State::Invalid => None,
                };
                assert_eq!(
                    fate(&facts, order, height),
                    (state, standing.remaining),
                    "seed {seed}, height {height}: {order:#?} {standing:?}"
                );
            }
        }
        let kinds: BTreeSet<OrderKind> = facts.orders.iter().map(|order| order.kind).collect();
        assert_eq!(kinds.len(), 2);
    }
}
