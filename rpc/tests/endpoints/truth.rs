//! Whatever endpoints do, a span is the truth or there is none.

use std::time::{Duration, Instant};

use decoders::block::{BlockRef, ChainId, Proof};
use decoders::failure::Class;
use rpc::{EndpointError, EndpointState, Filter, HeaderHash, Pool, PoolOptions};
use testchain::faults::Failure;
use tokio_util::sync::CancellationToken;

use crate::world::{FOREVER, PATIENCE, World, health, nft, options, reference, setting};

#[tokio::test(flavor = "multi_thread")]
async fn a_range_is_read_whole_and_proven_at_every_level() {
    let world = World::new(260, 1).await;
    let pool = world.pool().await;
    for wanted in [Proof::Chained, Proof::Bloom, Proof::Receipts] {
        for filter in [Filter::default(), nft()] {
            let span = pool.range_span(3..=254, &filter, wanted).await.unwrap();
            assert_eq!(span.proof, wanted);
            assert_eq!((span.range.clone(), span.blocks.len()), (3..=254, 252));
            assert_eq!(span.parent_hash, world.ledger.by_number(2).map(|block| block.hash));
            assert!(span.blocks.iter().all(|block| world.ledger.is_canonical(&block.hash)));
            assert_eq!(span.logs, world.truth(3..=254, &filter), "{wanted:?}");
        }
    }
    assert_eq!(health(&pool, 0).lies, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_by_contract_finds_only_its_logs() {
    let world = World::new(60, 1).await;
    let pool = world.pool().await;
    let address = world.truth(0..=59, &nft())[0].address;
    let filter = Filter {
        addresses: vec![address],
        ..nft()
    };
    for wanted in [Proof::Bloom, Proof::Receipts] {
        let span = pool.range_span(0..=59, &filter, wanted).await.unwrap();
        assert_eq!((span.proof, span.logs), (wanted, world.truth(0..=59, &filter)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_is_read_by_hash() {
    let world = World::new(40, 1).await;
    let pool = world.pool().await;
    for block in world.ledger.range(0, 39) {
        for wanted in [Proof::Chained, Proof::Bloom, Proof::Receipts] {
            let span = pool.block_span(reference(&block), &nft(), wanted).await.unwrap();
            assert_eq!(
                (span.range.clone(), span.parent_hash),
                (block.number..=block.number, Some(block.parent_hash))
            );
            assert_eq!(
                (span.proof, span.logs),
                (wanted, world.truth(block.number..=block.number, &nft()))
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_not_found() {
    let world = World::new(10, 2).await;
    let pool = world.pool().await;
    let missing = pool
        .block_span(
            BlockRef {
                number: 5,
                hash: [1; 32].into(),
            },
            &nft(),
            Proof::Receipts,
        )
        .await
        .unwrap_err();
    assert!(matches!(missing, EndpointError::NotFound { .. }), "{missing}");
    assert_eq!(missing.class(), Class::Reorg);
    let early = pool.range_span(5..=12, &nft(), Proof::Bloom).await.unwrap_err();
    assert_eq!(
        (early.class(), matches!(early, EndpointError::NotFound { .. })),
        (Class::Transient, true)
    );
    assert_eq!(pool.header_at(10).await.unwrap(), None);
    assert_eq!(pool.header_of([1; 32].into()).await.unwrap(), None);
    assert_eq!(pool.header_at(9).await.unwrap().unwrap().block.number, 9);
    #[expect(clippy::reversed_empty_ranges, reason = "that is the point")]
    let backwards = pool.range_span(9..=5, &nft(), Proof::Bloom).await.unwrap_err();
    assert_eq!(backwards, EndpointError::BadRange { start: 9, end: 5 });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reorged_block_is_gone() {
    let world = World::new(20, 1).await;
    let pool = world.pool().await;
    let orphan = reference(&world.ledger.head().unwrap());
    let mut fork = world.simulation.fork(15, 1).unwrap();
    world.ledger.reorg(15, fork.blocks(6));
    let heads = pool.heads().await.unwrap();
    assert_eq!(heads.latest.number, 21);
    // Nodes may still know the orphan by hash; its logs are then its own.
    match pool.block_span(orphan, &nft(), Proof::Receipts).await {
        Ok(span) => assert_eq!(span.blocks[0].block_ref(), orphan),
        Err(error) => assert_eq!(error.class(), Class::Reorg),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn empty_logs_are_not_believed() {
    let world = World::new(120, 2).await;
    world.change(0, |faults| faults.empty_logs_rate = 1.0);
    let pool = world.pool().await;
    let span = pool.range_span(0..=119, &nft(), Proof::Bloom).await.unwrap();
    assert_eq!((span.proof, &span.logs), (Proof::Bloom, &world.truth(0..=119, &nft())));
    let block = world.ledger.by_number(span.logs[0].block_number).unwrap();
    for _ in 0..4 {
        let live = pool.block_span(reference(&block), &nft(), Proof::Bloom).await.unwrap();
        assert_eq!(live.logs, world.truth(block.number..=block.number, &nft()));
    }
    let liar = health(&pool, 0);
    assert!(
        liar.lies > 0 && liar.reason.unwrap().starts_with("lied"),
        "{:?}",
        pool.health()
    );
    assert_eq!(health(&pool, 1).lies, 0);
    assert!(pool.counters().repaired > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn empty_logs_of_the_only_endpoint_are_caught_by_its_receipts() {
    let world = World::new(60, 1).await;
    world.change(0, |faults| faults.empty_logs_rate = 1.0);
    let pool = world.pool().await;
    let span = pool.range_span(0..=59, &nft(), Proof::Bloom).await.unwrap();
    assert_eq!((span.proof, span.logs), (Proof::Bloom, world.truth(0..=59, &nft())));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_second_witness_empty_logs_are_not_called_proven() {
    let world = World::new(60, 1).await;
    world.change(0, |faults| {
        faults.empty_logs_rate = 1.0;
        faults.missing_methods = vec!["eth_getBlockReceipts".to_owned()];
    });
    let pool = world.pool().await;
    let span = pool.range_span(0..=59, &nft(), Proof::Bloom).await.unwrap();
    assert_eq!(span.proof, Proof::Chained);
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_and_altered_logs_do_not_pass_receipts() {
    let world = World::new(80, 2).await;
    for (missing, wrong) in [(0.3, 0.0), (0.0, 0.3)] {
        world.change(0, |faults| {
            faults.logs.missing_rate = missing;
            faults.logs.wrong_rate = wrong;
            faults.receipts.missing_rate = missing;
            faults.receipts.wrong_rate = wrong;
        });
        let pool = world.pool().await;
        let span = pool.range_span(0..=79, &nft(), Proof::Receipts).await.unwrap();
        assert_eq!((span.proof, span.logs), (Proof::Receipts, world.truth(0..=79, &nft())));
        for block in world.ledger.range(60, 79) {
            let live = pool
                .block_span(reference(&block), &nft(), Proof::Receipts)
                .await
                .unwrap();
            assert_eq!(live.logs, world.truth(block.number..=block.number, &nft()));
        }
        let liar = health(&pool, 0);
        assert!(liar.lies > 0 && liar.state != EndpointState::Ok, "{liar:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lies_every_endpoint_tells_are_transient_errors() {
    let world = World::new(40, 2).await;
    for endpoint in 0..2 {
        world.change(endpoint, |faults| faults.wrong_hash_rate = 1.0);
    }
    let pool = world.pool().await;
    let error = pool.range_span(10..=30, &nft(), Proof::Bloom).await.unwrap_err();
    assert!(
        matches!(
            error,
            EndpointError::Unproven { .. } | EndpointError::Unreachable { .. }
        ),
        "{error}"
    );
    assert_eq!(error.class(), Class::Transient);
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_hashes_and_parents_are_asked_elsewhere() {
    let world = World::new(200, 2).await;
    world.change(0, |faults| {
        faults.wrong_hash_rate = 0.05;
        faults.wrong_parent_rate = 0.05;
        faults.null_block_rate = 0.05;
    });
    for mode in [HeaderHash::Ethereum, HeaderHash::Auto] {
        let pool = world.pool_with(|options| options.header_hash = mode).await.unwrap();
        let span = pool.range_span(0..=199, &nft(), Proof::Bloom).await.unwrap();
        assert_eq!((span.proof, span.logs), (Proof::Bloom, world.truth(0..=199, &nft())));
        assert!(span.blocks.iter().all(|block| world.ledger.is_canonical(&block.hash)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_on_its_own_branch_is_outvoted() {
    let world = World::new(200, 3).await;
    world.change(1, |faults| faults.branch_from = Some(50));
    for batch in [10, 100] {
        let pool = world.pool_with(|options| options.batch = batch).await.unwrap();
        for _ in 0..3 {
            let span = pool.range_span(0..=199, &nft(), Proof::Bloom).await.unwrap();
            assert!(span.blocks.iter().all(|block| world.ledger.is_canonical(&block.hash)));
            assert_eq!(span.logs, world.truth(0..=199, &nft()));
        }
        assert!(
            health(&pool, 1).reason.unwrap().contains("branch"),
            "{:?}",
            pool.health()
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_endpoints_that_disagree_are_both_doubted() {
    let world = World::new(60, 2).await;
    world.change(1, |faults| faults.branch_from = Some(20));
    let pool = world.pool().await;
    let error = pool.range_span(0..=59, &nft(), Proof::Bloom).await.unwrap_err();
    assert!(
        matches!(&error, EndpointError::Unproven { reason, .. } if reason.contains("disagree")),
        "{error}"
    );
    assert_eq!(error.class(), Class::Transient);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_endpoint_neither_lowers_the_head_nor_is_asked_beyond_its_own() {
    let world = World::new(300, 2).await;
    world.change(0, |faults| faults.stale_by = 100);
    let pool = world.pool().await;
    for _ in 0..5 {
        let heads = pool.heads().await.unwrap();
        let head = world.ledger.head().unwrap();
        assert_eq!(
            (heads.latest.number, heads.latest.hash, heads.latest_parent),
            (299, head.hash, head.parent_hash)
        );
        assert!(heads.base_fee.is_some_and(|fee| fee > 0), "{heads:?}");
        assert_eq!(heads.safe.map(|block| block.number), Some(297));
        assert_eq!(heads.finalized.map(|block| block.number), Some(295));
    }
    let span = pool.range_span(250..=295, &nft(), Proof::Bloom).await.unwrap();
    assert_eq!(span.logs, world.truth(250..=295, &nft()));
    let stale = health(&pool, 0);
    assert_eq!(
        (stale.state, stale.head, stale.lies),
        (EndpointState::Degraded, Some(199), 0)
    );
    assert!(stale.reason.unwrap().contains("100 blocks behind"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_does_not_fall_back_because_its_endpoint_fell_silent() {
    let world = World::new(100, 2).await;
    world.change(0, |faults| faults.stale_by = 5);
    let pool = world.pool().await;
    assert_eq!(pool.heads().await.unwrap().latest.number, 99);
    world.change(1, |faults| faults.server_error_rate = 1.0);
    assert_eq!(pool.heads().await.unwrap().latest.number, 99);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_chain_is_quarantined_and_alone_it_is_fatal() {
    let world = World::new(20, 2).await;
    world.change(1, |faults| faults.chain_id = Some(5));
    let pool = world.pool().await;
    let wrong = health(&pool, 1);
    assert_eq!(wrong.state, EndpointState::Quarantined);
    assert!(wrong.reason.unwrap().contains("eip155:5"));
    let span = pool.range_span(0..=19, &nft(), Proof::Bloom).await.unwrap();
    assert_eq!(span.logs, world.truth(0..=19, &nft()));
    assert_eq!(health(&pool, 1).requests, 1);

    world.change(0, |faults| faults.chain_id = Some(5));
    let error = world.pool_with(|_| {}).await.unwrap_err();
    assert!(
        matches!(&error, EndpointError::WrongChain { found, .. } if found.contains("eip155:5")),
        "{error}"
    );
    assert_eq!(error.class(), Class::Fatal);
}

#[tokio::test(flavor = "multi_thread")]
async fn endpoints_come_and_go_without_a_new_pool() {
    let world = World::new(30, 2).await;
    let all = world.settings();
    let pool = Pool::connect(ChainId(1), all[..1].to_vec(), options(), CancellationToken::new())
        .await
        .unwrap();
    let before = health(&pool, 0).requests;
    world.change(1, |faults| faults.chain_id = Some(9));
    pool.replace_endpoints(all.clone());
    assert_eq!(health(&pool, 0).requests, before);
    let probed = async {
        while health(&pool, 1).state != EndpointState::Quarantined {
            pool.range_span(0..=29, &nft(), Proof::Bloom).await.unwrap();
        }
    };
    tokio::time::timeout(PATIENCE, probed).await.expect("it is found out");
    pool.replace_endpoints(all[1..].to_vec());
    let error = pool.range_span(0..=29, &nft(), Proof::Bloom).await.unwrap_err();
    assert!(matches!(error, EndpointError::WrongChain { .. }), "{error}");
    pool.replace_endpoints(Vec::new());
    let error = pool.heads().await.unwrap_err();
    assert!(matches!(error, EndpointError::NoEndpoints { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_there_is_unreachable_without_secrets() {
    let gone = World::new(1, 1).await.settings()[0].url.clone();
    let url = format!("{}v2/S3CRETKEYS3CRET?token=T0PS3CRET", gone.as_str());
    let error = Pool::connect(ChainId(1), vec![setting(1, &url)], options(), CancellationToken::new())
        .await
        .unwrap_err();
    assert!(matches!(error, EndpointError::Unreachable { .. }), "{error}");
    assert_eq!(error.class(), Class::Transient);
    for text in [format!("{error}"), format!("{error:?}")] {
        assert!(!text.contains("S3CRET") && text.contains("http://127.0.0.1"), "{text}");
    }
    let none = Pool::connect(ChainId(1), vec![], options(), CancellationToken::new())
        .await
        .unwrap_err();
    assert_eq!(none, EndpointError::NoEndpoints { chain: ChainId(1) });
    let ftp = Pool::connect(
        ChainId(1),
        vec![setting(1, "ftp://x.example/")],
        options(),
        CancellationToken::new(),
    )
    .await;
    assert_eq!(ftp.unwrap_err().class(), Class::Fatal);
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelling_ends_every_wait() {
    let world = World::new(20, 1).await;
    let cancel = CancellationToken::new();
    let forever = PoolOptions {
        request_timeout: FOREVER,
        logs_timeout: FOREVER,
        poll_interval: FOREVER,
        ..options()
    };
    let pool = Pool::connect(ChainId(1), world.settings(), forever, cancel.clone())
        .await
        .unwrap();
    world.change(0, |faults| faults.timeout_rate = 1.0);
    let reading = tokio::spawn({
        let pool = pool.clone();
        async move { pool.range_span(0..=19, &nft(), Proof::Receipts).await }
    });
    tokio::time::sleep(Duration::from_millis(100)).await;
    cancel.cancel();
    let ended = tokio::time::timeout(PATIENCE, reading)
        .await
        .expect("ends before the request does")
        .unwrap();
    assert_eq!(ended.unwrap_err(), EndpointError::Cancelled);
    tokio::time::timeout(PATIENCE, pool.next_head())
        .await
        .expect("ends before the poll does");
    assert_eq!(pool.heads().await.unwrap_err().class(), Class::Cancelled);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_of_failures_is_weathered() {
    let world = World::new(200, 3).await;
    for endpoint in 0..3 {
        world.change(endpoint, |faults| {
            faults.error_rate = 0.1;
            faults.timeout_rate = 0.02;
            faults.too_many_requests_rate = 0.05;
            faults.rate_limit_rate = 0.05;
            faults.server_error_rate = 0.05;
            faults.malformed_rate = 0.1;
            faults.retry_after_s = None;
        });
    }
    let pool = loop {
        let pool = world.pool_with(|options| {
            options.rounds = 10;
            options.request_timeout = Duration::from_millis(500);
            options.logs_timeout = Duration::from_millis(500);
        });
        if let Ok(pool) = pool.await {
            break pool;
        }
    };
    for wanted in [Proof::Bloom, Proof::Receipts] {
        let (mut next, mut logs) = (0, Vec::new());
        while next <= 199 {
            match pool.range_span(next..=199, &nft(), wanted).await {
                Ok(span) => {
                    assert_eq!(*span.range.start(), next);
                    // Receipts that every endpoint fails to send twice over are done without, and the span records so.
                    assert!(span.proof >= Proof::Bloom);
                    next = span.range.end() + 1;
                    logs.extend(span.logs);
                }
                Err(error) => assert_eq!(error.class(), Class::Transient, "{error}"),
            }
        }
        assert!(
            logs == world.truth(0..=199, &nft()),
            "{wanted:?}: other logs than the chain's"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_opens_the_circuit_and_heals() {
    let world = World::new(20, 2).await;
    let pool = world.pool().await;
    world.servers[0].1.fail_next(Failure::Status(503), 5);
    let mut opened = false;
    for number in 0..20 {
        assert!(pool.header_at(number).await.unwrap().is_some());
        opened |= health(&pool, 0).state == EndpointState::Open;
    }
    assert!(opened, "{:?}", pool.health());
    let began = Instant::now();
    while health(&pool, 0).state == EndpointState::Open {
        assert!(began.elapsed() < PATIENCE, "{:?}", pool.health());
        assert!(pool.header_at(3).await.unwrap().is_some());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_requests_are_asked_twice() {
    let world = World::new(20, 2).await;
    let pool = world.pool().await;
    for number in 0..20 {
        pool.header_at(number).await.unwrap();
    }
    world.change(0, |faults| faults.latency = FOREVER);
    for number in 0..4 {
        // Without a second question the request would time out and be asked again elsewhere.
        pool.header_at(number).await.unwrap();
    }
    assert!(pool.counters().hedges > 0);
    assert_eq!(pool.counters().retries, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn classes_are_asked_in_their_order_and_weights_share() {
    let world = World::new(20, 3).await;
    let mut settings = world.settings();
    settings[0].weight = 3;
    settings[2].priority = 1;
    // A second question to another endpoint, where the first is slow, would be counted too.
    let once = PoolOptions {
        hedge: false,
        ..options()
    };
    let pool = Pool::connect(ChainId(1), settings, once, CancellationToken::new())
        .await
        .unwrap();
    let before: Vec<u64> = pool.health().iter().map(|health| health.requests).collect();
    for number in 0..20 {
        pool.header_at(number).await.unwrap();
    }
    let asked: Vec<u64> = pool
        .health()
        .iter()
        .zip(before)
        .map(|(health, before)| health.requests - before)
        .collect();
    assert_eq!((asked[0] + asked[1], asked[2]), (20, 0));
    assert!((13..=17).contains(&asked[0]), "{asked:?}");
    world.change(0, |faults| faults.server_error_rate = 1.0);
    world.change(1, |faults| faults.server_error_rate = 1.0);
    assert!(pool.header_at(3).await.unwrap().is_some());
}
