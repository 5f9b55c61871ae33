//! Spans made from simulated blocks directly, without an endpoint in between.

use alloy_primitives::B256;
use decoders::block::{Answer, Block, Call, ChainId, Context, Envelope, Log, Proof, Span};
use decoders::fact::Facts;
use indexer::pipeline::ARCHIVE_SOURCE;
use testchain::simulation::Answers;

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

/// What the pipeline makes of these blocks, whose contracts answer with `answers`.
pub(crate) fn facts(chain: ChainId, blocks: &[&testchain::block::Block], answers: &Answers) -> Facts {
    let mut span = span(chain, blocks);
    for _ in 0..decoders::ROUNDS {
        let wants = decoders::wants(&span);
        for hash in wants.envelopes {
            span.context.envelopes.insert(hash, envelope(blocks, hash));
        }
        for call in wants.calls {
            let answer = answer(blocks, answers, &call);
            span.context.answers.insert(call, answer);
        }
    }
    let mut facts = decoders::decode(&span);
    facts.sources.push(ARCHIVE_SOURCE);
    facts.sources.sort_unstable();
    facts
}

fn envelope(blocks: &[&testchain::block::Block], hash: B256) -> Envelope {
    let mut transactions = blocks.iter().flat_map(|block| &block.transactions);
    let found = transactions.find(|transaction| transaction.hash == hash);
    let found = found.expect("what is wanted is in the span");
    Envelope {
        from: found.from,
        to: found.to,
        value: found.value,
        input: found.input.clone(),
    }
}

/// What the contract answers after the block asked about, which is one of `blocks` or the one below them.
fn answer(blocks: &[&testchain::block::Block], answers: &Answers, call: &Call) -> Answer {
    let (first, last) = (blocks[0], blocks[blocks.len() - 1]);
    let at = call.at.unwrap_or(last.number);
    let block = blocks.iter().find(|block| block.number == at);
    let hash = block.map_or(first.parent_hash, |block| block.hash);
    let answer = answers.answer(hash, call.to, &call.input);
    answer.map_or(Answer::Reverted, Answer::Returned)
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
