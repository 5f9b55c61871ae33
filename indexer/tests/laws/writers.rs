//! Laws 5 and 8: a writer that is late, or that covered a part, changes nothing; the head moves however slow a step is.

use std::time::Duration;

use decoders::block::ChainId;
use indexer::registry;
use sinks::commit;
use sinks::digest::digest;
use sinks::progress::basis::Basis;
use sinks::store::Store;
use testchain::faults::{Faults, Settings as Oddities};
use testchain::simulation::{Settings, Step};
use testkit::database::Database;
use testkit::mongo::MongoDatabase;
use testkit::outbox;
use testkit::patience::eventually;
use testkit::wire::Wire;

use crate::harness::chain::{Chain, clean_digest};
use crate::harness::daemon::Running;
use crate::harness::program::{Program, Setup};
use crate::harness::spans;

/// Blocks between head and finalized block.
const FINALIZED_DEPTH: u64 = 8;

#[tokio::test(flavor = "multi_thread")]
async fn law_5_a_replay_leaves_alone_what_a_decoder_is_covered_for_in_part() {
    let chain = Chain::start(Settings::small(141), 60, FINALIZED_DEPTH).await;
    let database = Database::new().await;
    let program = Program::new(&Setup::new(&database, chain.id(), &[chain.server.http_url()]));
    let name = chain.id().to_string();
    let range = ["--chain", &name, "--from", "0", "--to", "40"];
    program.run(&[&["backfill"], &range[..]].concat()).await;
    let whole = digest(&database.store, chain.id()).await.unwrap();

    // As if the decoder had come with the release that runs now, and its gap were filled up to block 20.
    let blocks = chain.ledger.range(0, 40);
    let blocks: Vec<_> = blocks.iter().map(AsRef::as_ref).collect();
    let mut facts = spans::facts(chain.id(), &blocks, &chain.simulation.answers());
    facts
        .transfers
        .retain(|fact| fact.source != "erc721" || fact.block_number <= 20);
    let basis = Basis::read(&database.store, chain.id(), 0..=40, None).await.unwrap();
    commit::replace(&database.store, &facts, &basis).await.unwrap();
    uncover(&database.store, chain.id(), "erc721", 21).await;
    let half = digest(&database.store, chain.id()).await.unwrap();
    assert_ne!(half, whole, "the chain has transfers of ERC-721 above block 20");

    let printed = program.run(&[&["replay"], &range[..]].concat()).await;
    assert!(printed.contains(" 0 new, 0 retracted"), "replay printed {printed:?}");
    assert_eq!(digest(&database.store, chain.id()).await.unwrap(), half);
    program.run(&[&["backfill"], &range[..]].concat()).await;
    assert_eq!(digest(&database.store, chain.id()).await.unwrap(), whole);
}

/// A leader is held up between having read a block and having archived it, and stopped; the block leaves the chain, a standby takes
/// over, and the old leader goes on where it was.
#[tokio::test(flavor = "multi_thread")]
async fn law_8_a_leader_that_was_stopped_while_it_wrote_the_archive_changes_nothing() {
    for seed in [142, 143] {
        let mut chain = Chain::start(Settings::small(seed), 40, FINALIZED_DEPTH).await;
        let (database, mongo) = (Database::new().await, MongoDatabase::new());
        let wire = Wire::to(&mongo.url).await;
        let setup = Setup::new(&database, chain.id(), &[chain.server.http_url()]).archived_in(&mongo);
        let held = Setup {
            archive: Some((mongo.through(&wire), mongo.name.clone())),
            ..setup.clone()
        };
        let (late, other) = (Program::new(&held), Program::new(&setup));
        let late = late.start(&["run"]);
        let context = format!("seed {seed}");
        chain.indexed(&database.store, 0, &context).await;

        wire.mute();
        chain.grow(3);
        let intents = "select count(*) from indexer_service.archive_intents";
        eventually("the leader is about to write the archive", async || {
            let begun: i64 = sqlx::query_scalar(intents)
                .fetch_one(&database.store.pool)
                .await
                .unwrap();
            (begun > 0).then_some(())
        })
        .await;
        late.signal("STOP");
        chain.play(Step::Reorg {
            depth: 4,
            blocks: 16,
            branch: 1,
        });
        let mut other_leader = other.start(&["run"]);
        chain.indexed(&database.store, 0, &context).await;

        wire.restore();
        late.signal("CONT");
        eventually("the late leader notices", async || {
            late.log().contains("standing by").then_some(())
        })
        .await;
        chain.grow(1);
        chain.indexed(&database.store, 0, &context).await;
        assert!(other_leader.stop().await.success());
        drop(late);
        chain.assert_true(&database.store, 0, &context).await;

        let (name, last) = (chain.id().to_string(), chain.head().number.to_string());
        let printed = other
            .run(&["replay", "--chain", &name, "--from", "0", "--to", &last])
            .await;
        assert!(
            printed.contains(" 0 new, 0 retracted"),
            "{context}: replay printed {printed:?}"
        );
        chain.assert_true(&database.store, 0, &context).await;
        let facts = outbox::fact_ids(&database.store, chain.id()).await;
        outbox::assert_tells(&outbox::pending(&database.store, chain.id()).await, &facts, &context);
    }
}

/// A process that was stopped while it sent the rows of a `COPY` holds its locks, and no timeout of the server ends that.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_of_a_stopped_process_does_not_keep_the_lease_for_good() {
    let mut chain = Chain::start(Settings::small(146), 20, FINALIZED_DEPTH).await;
    let database = Database::new().await;
    let setup = Setup::new(&database, chain.id(), &[chain.server.http_url()]);
    let first = Program::new(&setup);
    let mut leader = first.start(&["run"]);
    chain.indexed(&database.store, 0, "at first").await;
    leader.kill();

    let mut stopped = database.store.pool.begin().await.unwrap();
    let as_a_daemon = "set local application_name = 'indexer'; select from indexer_service.chain_leases for share";
    sqlx::raw_sql(as_a_daemon).execute(&mut *stopped).await.unwrap();
    let copy = stopped
        .copy_in_raw("copy indexer_service.raw_blocks (id) from stdin")
        .await
        .unwrap();
    chain.grow(3);
    let next = Program::new(&setup);
    let mut next = next.start(&["run"]);
    chain.indexed(&database.store, 0, "beside a stopped process").await;
    assert!(next.log().contains("ended database sessions"), "{}", next.log());
    drop(copy);
    assert!(next.stop().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_daemons_index_a_chain_whose_steps_outlast_the_lease() {
    let chain = Chain::start(Settings::small(145), 20, FINALIZED_DEPTH).await;
    // The lease of these programs ends after a second.
    chain
        .faults
        .change(|faults| faults.latency = Duration::from_millis(1500));
    let database = Database::new().await;
    let setup = Setup::new(&database, chain.id(), &[chain.server.http_url()]);
    let (first, second) = (Program::new(&setup), Program::new(&setup));
    let (_first, _second) = (first.start(&["run"]), second.start(&["run"]));
    chain.indexed(&database.store, 0, "slow answers").await;
}

/// One endpoint of three stays behind on a branch that the chain has left below its finalized block, and answers faster than the others;
/// the head is far away by then.
#[tokio::test(flavor = "multi_thread")]
async fn law_2_a_wrong_ancestor_followed_by_a_jump_leaves_no_orphaned_blocks() {
    for seed in [146, 147] {
        let mut chain = Chain::start(Settings::small(seed), 50, FINALIZED_DEPTH).await;
        // The same blocks, on a node that sees nothing of what comes.
        let left = Chain::start(Settings::small(seed), 50, FINALIZED_DEPTH).await;
        assert_eq!(left.head(), chain.head());
        let database = Database::new().await;
        let setup = Setup::new(&database, chain.id(), &[chain.server.http_url()]);
        let daemon = Running::start(&Program::new(&setup), None).await;
        chain.indexed(&database.store, 0, "before").await;
        daemon.stop().await;

        chain.play(Step::Reorg {
            depth: 26,
            blocks: 300,
            branch: 1,
        });
        let slow = |faults: &mut Oddities| faults.latency = Duration::from_millis(60);
        chain.faults.change(slow);
        let others = Faults::new(seed);
        others.change(slow);
        let third = chain.endpoint(&others).await;
        let setup = Setup {
            endpoints: vec![left.server.http_url(), chain.server.http_url(), third.http_url()],
            ..setup
        };
        let daemon = Running::start(&Program::new(&setup), None).await;
        let context = format!("seed {seed}, one endpoint of three on the branch that was left");
        chain.indexed(&database.store, 0, &context).await;
        daemon.stop().await;
        chain.assert_true(&database.store, 0, &context).await;
    }
}

/// A gap is filled on one branch up to where blocks of another one stand: what a wrong ancestor leaves behind.
#[tokio::test(flavor = "multi_thread")]
async fn law_2_blocks_of_a_branch_that_was_left_are_found_where_a_gap_meets_them() {
    let mut chain = Chain::start(Settings::small(148), 40, FINALIZED_DEPTH).await;
    let database = Database::new().await;
    let program = Program::new(&Setup::new(&database, chain.id(), &[chain.server.http_url()]));
    let name = chain.id().to_string();
    let backfill = async |from: &str, to: &str| {
        program
            .run(&["backfill", "--chain", &name, "--from", from, "--to", to])
            .await
    };
    backfill("0", "31").await;
    chain.play(Step::Reorg {
        depth: 20,
        blocks: 60,
        branch: 1,
    });
    // The command itself finds out, as no daemon follows the chain that would.
    backfill("32", "71").await;
    backfill("0", "71").await;
    let reference = Database::new().await;
    assert_eq!(
        digest(&database.store, chain.id()).await.unwrap(),
        clean_digest(&reference, &chain.ledger, &chain.simulation.answers(), 0..=71).await
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_that_was_removed_comes_back_in_its_scope_only() {
    let chain = Chain::start(Settings::small(149), 40, FINALIZED_DEPTH).await;
    let database = Database::new().await;
    let mut setup = Setup::new(&database, chain.id(), &[chain.server.http_url()]);
    let name = chain.id().to_string();
    Program::new(&setup)
        .run(&["backfill", "--chain", &name, "--from", "0", "--to", "20"])
        .await;
    let program = Program::new(&setup);
    registry::remove_chain(&database.store, chain.id()).await.unwrap();

    // The file of the other program would add it in another scope.
    let contract = "[[chains.contracts]]\nname = \"one\"\naddress = \"0x1111111111111111111111111111111111111111\"\nstandard = \"custom\"";
    setup.chain_lines = format!("scope = \"contracts\"\n{contract}");
    let other = Program::new(&setup);
    let words = [name.as_str(), "its scope stays"];
    other
        .fails(&["backfill", "--chain", &name, "--from", "0", "--to", "20"], 10, &words)
        .await;
    program
        .run(&["backfill", "--chain", &name, "--from", "0", "--to", "20"])
        .await;
}

/// Takes `source` back from block `from` on, as a release does that brings a decoder.
async fn uncover(store: &Store, chain: ChainId, source: &str, from: i64) {
    let statement =
        "update indexer_service.indexer_coverage set covered = covered - int8multirange(int8range($3, null))
        where chain_id = $1 and source = $2";
    sqlx::query(statement)
        .bind(chain.to_string())
        .bind(source)
        .bind(from)
        .execute(&store.pool)
        .await
        .unwrap();
}
