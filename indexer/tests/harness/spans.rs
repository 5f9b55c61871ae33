//! Spans made from simulated blocks directly, without an endpoint in between.

use decoders::block::{Block, ChainId, Context, Log, Proof, Span};
use decoders::fact::Facts;
use indexer::pipeline::ARCHIVE_SOURCE;

/// The span that a faultless endpoint would serve for these blocks, which follow each other.
pub(crate) fn span(chain: ChainId, blocks: &[&testchain::block::Block]) -> Span {
    let (first, last) = (
        blocks.first().expect("a span has a block"),
        blocks.last().expect("a span has a block"),
    );
    Span {
        chain,
        range: first.number..=last.number,
        parent_hash: Some(first.parent_hash),
        blocks: blocks.iter().map(|block| header(block)).collect(),
        logs: blocks.iter().flat_map(|block| logs(block)).collect(),
        proof: Proof::Receipts,
        context: Context::default(),
    }
}

/// What the pipeline makes of these blocks.
pub(crate) fn facts(chain: ChainId, blocks: &[&testchain::block::Block]) -> Facts {
    let mut facts = decoders::decode(&span(chain, blocks));
    facts.sources.push(ARCHIVE_SOURCE);
    facts.sources.sort_unstable();
    facts
}

fn header(block: &testchain::block::Block) -> Block {
    Block {
        number: block.number,
        hash: block.hash,
        time: block.timestamp,
    }
}

fn logs(block: &testchain::block::Block) -> Vec<Log> {
    let transactions = block.transactions.iter().zip(&block.receipts).zip(0..);
    let logs = transactions.flat_map(|((transaction, receipt), tx_index)| {
        receipt.logs.iter().map(move |log| Log {
            block_number: block.number,
            log_index: log.log_index,
            tx_index,
            tx_hash: transaction.hash,
            address: log.address,
            topics: log.topics.iter().copied().collect(),
            data: log.data.clone(),
        })
    });
    logs.collect()
}
