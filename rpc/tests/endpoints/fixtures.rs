//! Real blocks: what the fixtures' README states of each must be what the pool proves of it.

use std::path::Path;

use decoders::block::{ChainId, Proof};
use rpc::{Filter, HeaderHash, Pool};
use testchain::faults::Faults;
use testchain::recording::open_folder;
use testchain::server::serve;
use tokio_util::sync::CancellationToken;

use crate::world::{options, reference, setting};

testkit::on_real_blocks!(
    async fn every_real_block_is_proven_as_far_as_it_can_be,
);

/// Mainnet blocks without the `root` of their receipts (3,842,489 has them after all), and those recorded without `mixHash`.
const NO_ROOTS: [u64; 2] = [3_846_659, 3_862_484];
const NO_MIX_HASH: [u64; 2] = [17_173_049, 17_173_050];

fn expected(chain: u64, number: u64) -> Proof {
    match chain {
        25 => Proof::Chained,
        1 if NO_MIX_HASH.contains(&number) => Proof::Chained,
        1 if NO_ROOTS.contains(&number) => Proof::Bloom,
        _ => Proof::Receipts,
    }
}

async fn every_real_block_is_proven_as_far_as_it_can_be(folder: &Path) {
    let mut seen = 0;
    for recorded in open_folder(&folder.join("blocks")).unwrap() {
        let chain = recorded.chain_id;
        let ledger = recorded.clone().into_ledger();
        let server = serve(ledger, Faults::new(1), "127.0.0.1:0".parse().unwrap())
            .await
            .unwrap();
        let options = rpc::PoolOptions {
            header_hash: HeaderHash::Auto,
            ..options()
        };
        let settings = vec![setting(1, &server.http_url())];
        let pool = Pool::connect(ChainId(chain), settings, options, CancellationToken::new())
            .await
            .unwrap();
        for block in &recorded.blocks {
            let all: usize = block.receipts.iter().map(|receipt| receipt.logs.len()).sum();
            let span = pool
                .block_span(reference(block), &Filter::default(), Proof::Receipts)
                .await;
            let span = span.unwrap_or_else(|error| panic!("{chain}-{}: {error}", block.number));
            assert_eq!(
                (span.proof, span.logs.len()),
                (expected(chain, block.number), all),
                "{chain}-{}",
                block.number
            );
            assert_eq!(
                (span.blocks[0].hash, span.blocks[0].time),
                (block.hash, block.timestamp)
            );

            // By logs alone the bloom is the most that can be shown, and the logs are the same.
            let by_logs = pool
                .range_span(block.number..=block.number, &Filter::default(), Proof::Bloom)
                .await;
            let by_logs = by_logs.unwrap_or_else(|error| panic!("{chain}-{}: {error}", block.number));
            assert_eq!(by_logs.logs, span.logs, "{chain}-{}", block.number);
            assert_eq!(by_logs.proof, span.proof.min(Proof::Bloom), "{chain}-{}", block.number);
            seen += 1;
        }
        assert_eq!(pool.health()[0].lies, 0, "{:?}", pool.health());
    }
    assert_eq!(seen, 93);
}
