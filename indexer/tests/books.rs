//! The decoders against the simulated chain's own books: every movement of every layout, and every malformed log.
//!
//! The books are kept by the generator while it draws the traffic and never see a log, so they are an independent count.

#![cfg(test)]

use std::collections::BTreeSet;

use alloy_primitives::{Address, U256};
use decoders::block::{Block, ChainId, Context, Log, Proof, Span};
use testchain::simulation::{Layout, Settings, Simulation, Standard};

/// What a transfer says, whoever says it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Said {
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

fn decoded(facts: &decoders::fact::Facts) -> Vec<Said> {
    let said = |transfer: &decoders::fact::Transfer| Said {
        position: (transfer.block_number, transfer.log_index, transfer.item),
        token: (transfer.contract, transfer.token),
        parties: (transfer.from, transfer.to),
        quantity: transfer.quantity,
        standard: transfer.standard.as_str(),
    };
    facts.transfers.iter().map(said).collect()
}

fn entered(simulation: &Simulation) -> Vec<Said> {
    let said = |transfer: testchain::simulation::Transfer| Said {
        position: (transfer.block, transfer.log_index, transfer.item),
        token: (transfer.contract, transfer.token),
        parties: (transfer.from, transfer.to),
        quantity: transfer.quantity,
        standard: match transfer.layout.standard() {
            Standard::Erc721 => "erc721",
            Standard::Erc1155 => "erc1155",
            Standard::CryptoPunks => "cryptopunks",
        },
    };
    simulation.books().transfers().map(said).collect()
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
