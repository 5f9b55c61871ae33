//! Law 5: replay from the archive = live.

use alloy_primitives::{Address, U256};
use decoders::block::ChainId;
use decoders::fact::Facts;
use sinks::commit;
use sinks::digest::digest;
use sinks::progress::basis::Basis;
use testchain::simulation::{Settings, Step};
use testkit::database::Database;
use testkit::mongo::MongoDatabase;
use testkit::outbox;
use testkit::patience::eventually;

use crate::harness::chain::Chain;
use crate::harness::daemon::Running;
use crate::harness::program::{Program, Setup};
use crate::harness::{spans, traffic};

/// Blocks between head and finalized block.
const FINALIZED_DEPTH: u64 = 8;
/// The same, of a chain of which nearly nothing is final.
const DEEP: u64 = 500;

#[tokio::test(flavor = "multi_thread")]
async fn law_5_replaying_everything_from_mongodb_changes_nothing() {
    let (mongo, database) = (MongoDatabase::new(), Database::new().await);
    replay_changes_nothing(91, &database, |setup| setup.archived_in(&mongo)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn law_5_replaying_everything_from_postgresql_changes_nothing() {
    replay_changes_nothing(92, &Database::new().await, |setup| setup).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn law_5_replaying_a_range_that_other_decoders_wrote_restores_what_live_wrote() {
    let (mongo, database) = (MongoDatabase::new(), Database::new().await);
    let chain = Chain::start(Settings::small(93), 60, FINALIZED_DEPTH).await;
    let program = Program::new(&Setup::new(&database, chain.id(), &[chain.server.http_url()]).archived_in(&mongo));
    follow(&program, &chain, &database).await;
    let live = digest(&database.store, chain.id()).await.unwrap();

    let blocks = chain.ledger.range(20, 45);
    let blocks: Vec<_> = blocks.iter().map(AsRef::as_ref).collect();
    let mut facts = spans::facts(chain.id(), &blocks, &chain.simulation.answers());
    distort(&mut facts, chain.id());
    let basis = Basis::read(&database.store, chain.id(), 20..=45, None).await.unwrap();
    let replaced = commit::replace(&database.store, &facts, &basis).await.unwrap();
    assert!(
        replaced.retracted > 0 && replaced.announced > 0 && replaced.kept > 0,
        "{replaced:?}"
    );
    assert_ne!(digest(&database.store, chain.id()).await.unwrap(), live);

    replay(&program, &chain, 20, 45).await;
    assert_eq!(digest(&database.store, chain.id()).await.unwrap(), live);
    chain.assert_true(&database.store, 0, "replayed").await;
    let facts = outbox::fact_ids(&database.store, chain.id()).await;
    let pending = outbox::pending(&database.store, chain.id()).await;
    outbox::assert_tells(&pending, &facts, "replayed");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_endpoint_answered_is_asked_again_long_before_its_block_is_final() {
    let (mongo, database) = (MongoDatabase::new(), Database::new().await);
    let mut chain = Chain::start(Settings::market(95), 120, DEEP).await;
    chain
        .faults
        .change(|settings| settings.missing_methods = vec!["eth_call".to_owned()]);
    let program = Program::new(&Setup::new(&database, chain.id(), &[chain.server.http_url()]).archived_in(&mongo));
    let daemon = Running::start(&program, None).await;
    chain.indexed(&database.store, 0, "without eth_call").await;
    let without = unanswered(&database, chain.id()).await;
    assert!(without > 0, "the chain was chosen for its questions");
    assert!(chain.head().number < DEEP, "nothing but the first block is final");
    chain.grow(1);
    chain.play(Step::Reorg {
        depth: 2,
        blocks: 3,
        branch: 1,
    });
    chain.faults.change(|settings| settings.missing_methods.clear());
    eventually("every question is answered", async || {
        make_due(&database).await;
        (unanswered(&database, chain.id()).await == 0).then_some(())
    })
    .await;
    chain.indexed(&database.store, 0, "answered").await;
    daemon.stop().await;
    chain.assert_true(&database.store, 0, "answered").await;
    let facts = outbox::fact_ids(&database.store, chain.id()).await;
    let pending = outbox::pending(&database.store, chain.id()).await;
    outbox::assert_tells(&pending, &facts, "answered");
}

/// Logs whose questions wait for an endpoint that answers.
async fn unanswered(database: &Database, chain: ChainId) -> i64 {
    sqlx::query_scalar(
        "select count(*) from indexer_service.decode_faults where chain_id = $1 and reason = 'unanswered'",
    )
    .bind(chain.to_string())
    .fetch_one(&database.store.pool)
    .await
    .unwrap()
}

/// Ends the pauses between attempts, which are long.
async fn make_due(database: &Database) {
    sqlx::query("update indexer_service.decode_faults set next_attempt_at = now() where next_attempt_at > now()")
        .execute(&database.store.pool)
        .await
        .unwrap();
}

/// Follows a chain through reorgs, replays it whole, and compares.
async fn replay_changes_nothing(seed: u64, database: &Database, archived: impl FnOnce(Setup) -> Setup) {
    let mut chain = Chain::start(traffic(seed), 60, FINALIZED_DEPTH).await;
    let program = Program::new(&archived(Setup::new(database, chain.id(), &[chain.server.http_url()])));
    let daemon = Running::start(&program, None).await;
    // The second and third branch are shorter: what the archive holds above them belongs to no chain.
    for (branch, depth, blocks) in [(1, 3, 9), (2, 20, 21), (3, 5, 3), (4, 2, 6)] {
        chain
            .indexed(&database.store, 0, &format!("seed {seed}, before branch {branch}"))
            .await;
        chain.play(Step::Reorg { depth, blocks, branch });
    }
    let context = format!("seed {seed}, followed");
    chain.indexed(&database.store, 0, &context).await;
    daemon.stop().await;
    chain.assert_true(&database.store, 0, &context).await;
    let live = digest(&database.store, chain.id()).await.unwrap();
    let pending = outbox::pending(&database.store, chain.id()).await;

    let output = replay(&program, &chain, 0, chain.head().number).await;
    assert!(
        output.contains(" 0 new, 0 retracted"),
        "seed {seed}: replay printed {output:?}"
    );
    assert_eq!(
        digest(&database.store, chain.id()).await.unwrap(),
        live,
        "seed {seed}, replayed"
    );
    assert_eq!(
        outbox::pending(&database.store, chain.id()).await,
        pending,
        "seed {seed}: a replay that changes nothing publishes nothing"
    );
}

async fn follow(program: &Program, chain: &Chain, database: &Database) {
    let daemon = Running::start(program, None).await;
    chain.indexed(&database.store, 0, "followed").await;
    daemon.stop().await;
}

async fn replay(program: &Program, chain: &Chain, from: u64, to: u64) -> String {
    let (chain, from, to) = (chain.id().to_string(), from.to_string(), to.to_string());
    program
        .run(&["replay", "--chain", &chain, "--from", &from, "--to", &to])
        .await
}

/// What decoders with mistakes would have emitted: some facts missing, some with another receiver or quantity, one invented.
fn distort(facts: &mut Facts, chain: ChainId) {
    let mut number = 0;
    facts.transfers.retain_mut(|transfer| {
        number += 1;
        match number % 5 {
            1 => return false,
            2 => transfer.to = Address::repeat_byte(0x77),
            3 if !transfer.standard.single_owner() => transfer.quantity += U256::from(3),
            _ => {}
        }
        true
    });
    let mut invented = facts.transfers.last().expect("the range holds transfers").clone();
    invented.item += 1;
    invented.token += U256::from(chain.0);
    facts.transfers.push(invented);
    facts.faults.clear();
}
