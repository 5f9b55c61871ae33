//! One head per chain: a second daemon stands by, and takes over.

use decoders::block::ChainId;
use sinks::store::Store;
use testchain::simulation::schedule;
use testkit::database::Database;
use testkit::outbox;
use testkit::patience::eventually;

use crate::harness::chain::Chain;
use crate::harness::program::{Process, Program, Setup};
use crate::harness::traffic;

#[tokio::test(flavor = "multi_thread")]
async fn one_head_per_chain_a_standby_takes_over_after_a_sigkill_and_nothing_is_written_twice() {
    let seed = 101;
    let mut chain = Chain::start(traffic(seed), 30, 8).await;
    let database = Database::new().await;
    let program = Program::new(&Setup::new(&database, chain.id(), &[chain.server.http_url()]));
    let mut leader = program.start(&["run"]);
    leads(&database.store, chain.id(), &leader).await;
    let mut steps = schedule(seed, 24, 5).into_iter();
    for handover in 1..=2 {
        let standby = program.start(&["run"]);
        eventually("the second daemon stands by", async || {
            standby.log().contains("standing by").then_some(())
        })
        .await;
        for step in steps.by_ref().take(8) {
            chain.play(step);
            chain
                .indexed(&database.store, 0, &format!("seed {seed}, before handover {handover}"))
                .await;
        }
        leader.kill();
        leads(&database.store, chain.id(), &standby).await;
        leader = standby;
    }
    steps.for_each(|step| chain.play(step));
    chain
        .indexed(&database.store, 0, &format!("seed {seed}, after the handovers"))
        .await;
    assert!(leader.stop().await.success());
    leader.assert_no_panic();
    let context = format!("seed {seed}, two handovers");
    chain.assert_true(&database.store, 0, &context).await;
    let facts = outbox::fact_ids(&database.store, chain.id()).await;
    outbox::assert_tells(&outbox::pending(&database.store, chain.id()).await, &facts, &context);
}

/// Returns once `process` holds the lease of `chain`; its holder names the process.
async fn leads(store: &Store, chain: ChainId, process: &Process) {
    let own = format!("-{}-", process.id());
    eventually(&format!("process {} leads {chain}", process.id()), async || {
        let holder: Option<Option<String>> =
            sqlx::query_scalar("select holder from indexer_service.chain_leases where chain_id = $1")
                .bind(chain.to_string())
                .fetch_optional(&store.pool)
                .await
                .unwrap();
        holder.flatten().filter(|holder| holder.contains(&own)).map(drop)
    })
    .await;
}
