//! What a span's decoding wants beside its logs: transactions and contracts' answers, from endpoints that miss, refuse and alter.

use std::path::Path;
use std::sync::Arc;

use alloy_primitives::{Address, B256, Bytes};
use decoders::block::{Answer, Call, ChainId, Envelope, Envelopes};
use rpc::{HeaderHash, Pool, PoolOptions};
use testchain::block::Block;
use testchain::faults::{Faults, Settings as FaultSettings};
use testchain::ledger::{Finality, Ledger};
use testchain::recording::open_folder;
use testchain::server::state::Canned;
use testchain::server::{serve, serve_with_state};
use tokio_util::sync::CancellationToken;

use crate::world::{LOOPBACK, World, health, options, setting};

testkit::on_real_blocks!(
    async fn transactions_of_real_blocks_are_believed,
);

fn blocks(world: &World) -> Vec<Arc<Block>> {
    world.ledger.range(0, u64::MAX)
}

/// The envelopes of every transaction of `blocks`.
fn envelopes<'a>(blocks: impl IntoIterator<Item = &'a Block>) -> Envelopes {
    let transactions = blocks.into_iter().flat_map(|block| &block.transactions);
    let envelope = |transaction: &testchain::block::Transaction| Envelope {
        from: transaction.from,
        to: transaction.to,
        value: transaction.value,
        input: transaction.input.clone(),
    };
    transactions
        .map(|transaction| (transaction.hash, envelope(transaction)))
        .collect()
}

fn hashes(envelopes: &Envelopes) -> Vec<B256> {
    envelopes.keys().copied().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn transactions_come_in_batches_as_large_as_the_endpoint_takes() {
    let world = World::new(60, 1).await;
    let wanted = envelopes(blocks(&world).iter().map(AsRef::as_ref));
    assert!(wanted.len() > 100, "{}", wanted.len());
    let pool = world.pool().await;
    let before = health(&pool, 0).requests;
    assert_eq!(pool.envelopes(&hashes(&wanted)).await.unwrap(), wanted);
    let batches = wanted.len().div_ceil(100) as u64;
    assert!(health(&pool, 0).requests - before <= batches + 1, "{:?}", pool.health());
    for most in [7, 1] {
        world.change(0, |faults| faults.limits.batch = Some(most));
        let pool = world.pool().await;
        assert_eq!(
            pool.envelopes(&hashes(&wanted)).await.unwrap(),
            wanted,
            "at most {most} a batch"
        );
    }
    assert_eq!(health(&pool, 0).lies, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_endpoint_lacks_another_has_and_what_none_has_is_left_out() {
    let mut world = World::new(30, 0).await;
    let all = blocks(&world);
    let half: Vec<Block> = all[..15].iter().map(|block| Block::clone(block)).collect();
    let shorter = Ledger::new(1, half, Finality::default());
    let faults = Faults::new(9);
    let server = serve(shorter, Arc::clone(&faults), LOOPBACK).await.unwrap();
    world.servers.push((server, faults));
    world.add(FaultSettings::default()).await;
    let wanted = envelopes(all.iter().map(AsRef::as_ref));
    let mut asked = hashes(&wanted);
    asked.extend([B256::repeat_byte(7), B256::repeat_byte(8)]);
    let pool = world.pool().await;
    assert_eq!(pool.envelopes(&asked).await.unwrap(), wanted);
    let none = pool.envelopes(&[B256::repeat_byte(7)]).await.unwrap();
    assert!(none.is_empty());

    // An endpoint that does not know the method at all stops none of the others either.
    for endpoint in [0, 1] {
        world.change(endpoint, |faults| {
            faults.missing_methods = vec!["eth_getTransactionByHash".into()]
        });
    }
    assert!(world.pool().await.envelopes(&asked).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_altered_transaction_is_asked_for_elsewhere() {
    let mut world = World::new(20, 0).await;
    let altered: Vec<Block> = blocks(&world)
        .iter()
        .map(|block| {
            let mut block = Block::clone(block);
            for transaction in &mut block.transactions {
                transaction.input = Bytes::from_static(b"another call");
            }
            block
        })
        .collect();
    let faults = Faults::new(3);
    let altered = Ledger::new(1, altered, Finality::default());
    let server = serve(altered, Arc::clone(&faults), LOOPBACK).await.unwrap();
    world.servers.push((server, faults));
    world.add(FaultSettings::default()).await;
    let wanted = envelopes(blocks(&world).iter().map(AsRef::as_ref));
    for _ in 0..4 {
        let pool = world.pool().await;
        assert_eq!(pool.envelopes(&hashes(&wanted)).await.unwrap(), wanted);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_is_an_error_and_not_an_answer() {
    let world = World::new(5, 1).await;
    let wanted = hashes(&envelopes(blocks(&world).iter().map(AsRef::as_ref)));
    let pool = world.pool_with(|options| options.rounds = 2).await.unwrap();
    world.change(0, |faults| faults.server_error_rate = 1.0);
    let error = pool.envelopes(&wanted).await.unwrap_err();
    assert_eq!(error.class(), decoders::failure::Class::Transient, "{error}");
}

fn call(number: u8, at: Option<u64>) -> Call {
    Call {
        to: Address::repeat_byte(0xcc),
        input: Bytes::from(vec![number]),
        at,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn contracts_are_asked_once_for_what_never_changes() {
    let mut world = World::new(20, 0).await;
    let mut state = Canned::default();
    for number in 0..150 {
        let returned = Bytes::from(vec![0, number]);
        state
            .calls
            .insert((Address::repeat_byte(0xcc), vec![number].into()), returned);
    }
    let faults = Faults::new(4);
    let server = serve_with_state(world.ledger.clone(), Arc::clone(&faults), LOOPBACK, Arc::new(state)).await;
    world.servers.push((server.unwrap(), faults));
    let pool = world.pool().await;

    let mut calls: Vec<Call> = (0..160).map(|number| call(number, None)).collect();
    calls.extend([call(3, Some(10)), call(4, Some(1_000_000))]);
    let (answers, asked) = pool.answers(&calls).await.unwrap();
    assert_eq!(
        (answers.len(), asked),
        (161, 162),
        "the state of a block to come is no answer"
    );
    assert_eq!(answers[&call(149, None)], Answer::Returned(vec![0, 149].into()));
    assert_eq!(answers[&call(159, None)], Answer::Reverted);
    assert_eq!(answers[&call(3, Some(10))], Answer::Returned(vec![0, 3].into()));
    assert!(!answers.contains_key(&call(4, Some(1_000_000))));

    let (again, asked) = pool.answers(&calls).await.unwrap();
    assert_eq!(
        (again == answers, asked),
        (true, 2),
        "only what is about a height is asked again"
    );
    world.change(0, |faults| faults.limits.batch = Some(1));
    let pool = world.pool().await;
    assert_eq!(pool.answers(&calls).await.unwrap().0, answers);
}

/// Transactions of every kind Ethereum has had are what the chain hashed and their senders signed.
async fn transactions_of_real_blocks_are_believed(folder: &Path) {
    for recorded in open_folder(&folder.join("blocks")).unwrap() {
        let chain = recorded.chain_id;
        let server = serve(recorded.clone().into_ledger(), Faults::new(1), LOOPBACK)
            .await
            .unwrap();
        let options = PoolOptions {
            header_hash: HeaderHash::Auto,
            ..options()
        };
        let settings = vec![setting(1, &server.http_url())];
        let pool = Pool::connect(ChainId(chain), settings, options, CancellationToken::new())
            .await
            .unwrap();
        let wanted = envelopes(&recorded.blocks);
        let read = pool.envelopes(&hashes(&wanted)).await.unwrap();
        let wrong = wanted
            .iter()
            .filter(|(hash, wanted)| read.get(*hash).is_none_or(|read| !same(read, wanted)))
            .count();
        assert_eq!(
            (wrong, pool.health()[0].lies),
            (0, 0),
            "of {} of chain {chain}",
            wanted.len()
        );
    }
}

/// Some blocks were recorded without senders, which their signatures show.
fn same(read: &Envelope, recorded: &Envelope) -> bool {
    let from = if recorded.from.is_zero() {
        read.from
    } else {
        recorded.from
    };
    *read
        == Envelope {
            from,
            ..recorded.clone()
        }
}
