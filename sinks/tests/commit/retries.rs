//! What must be tried again is decided by the commit that records it, and by nothing that comes after.

use std::ops::RangeInclusive;

use crate::world::{CHAIN, World};
use decoders::fact::{Facts, Fault, reason};
use sinks::commit::{self, Move, apply};
use sinks::facts::faults::{self, ATTEMPTS, AtFault, Taken};
use sinks::progress::basis::Basis;
use sinks::store::Store;
use testkit::database::with_store;
use uuid::Uuid;

const BLOCKS: RangeInclusive<u64> = 0..=19;

/// A span with faults of two kinds: some that another try may mend, at least as many that none does.
fn span() -> Facts {
    let mut facts = World::new(3, 20).facts(BLOCKS);
    let template = facts.faults.first().expect("a world with faults").clone();
    facts.faults.clear();
    for (log_index, reason) in [reason::UNANSWERED, reason::DATA_NOT_WORDS, reason::CONTRACT_UNKNOWN]
        .into_iter()
        .enumerate()
    {
        for block_number in [4, 9] {
            facts.faults.push(Fault {
                block_number,
                log_index: 1_000 + u32::try_from(log_index).unwrap(),
                reason,
                ..template.clone()
            });
        }
    }
    facts
}

async fn taken(store: &Store, last_final: u64) -> Vec<Taken> {
    faults::take(store, CHAIN, last_final, 100).await.unwrap()
}

async fn replace(store: &Store, facts: &Facts) {
    let basis = Basis::read(store, CHAIN, BLOCKS, None).await.unwrap();
    commit::replace(store, facts, &basis).await.unwrap();
}

async fn make_due(store: &Store) {
    sqlx::query("update indexer_service.decode_faults set next_attempt_at = now() where next_attempt_at is not null")
        .execute(&store.pool)
        .await
        .unwrap();
}

async fn waiting(store: &Store) -> Vec<AtFault> {
    faults::waiting(store, CHAIN, Uuid::nil(), 100).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_that_another_try_may_mend_is_due_with_its_commit() {
    with_store(1, |store| async move {
        apply(&store, &span(), Move::Backfill { branch: 0 }).await.unwrap();
        assert_eq!(waiting(&store).await.len(), 4);
        assert_eq!(
            taken(&store, 8).await.len(),
            2,
            "blocks above the final ones are left alone"
        );
        assert_eq!(taken(&store, 100).await.len(), 2);
        assert_eq!(taken(&store, 100).await, [], "what is taken is not taken twice");
        make_due(&store).await;
        assert_eq!(taken(&store, 100).await.len(), 4, "what was not settled is taken again");
        assert!(
            waiting(&store).await.iter().all(|fault| fault.attempts == 0),
            "nothing was tried"
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn attempts_survive_a_replay_and_end() {
    with_store(1, |store| async move {
        let facts = span();
        apply(&store, &facts, Move::Backfill { branch: 0 }).await.unwrap();
        for attempt in 1..=ATTEMPTS {
            make_due(&store).await;
            let tried = taken(&store, 100).await;
            assert_eq!(tried.len(), 4, "attempt {attempt}");
            replace(&store, &facts).await;
            faults::settle(&store, CHAIN, &tried).await.unwrap();
            assert!(waiting(&store).await.iter().all(|fault| fault.attempts == attempt));
        }
        make_due(&store).await;
        assert_eq!(taken(&store, 100).await, [], "enough is enough");
        replace(&store, &facts).await;
        assert_eq!(taken(&store, 100).await, []);

        let ids: Vec<Uuid> = waiting(&store).await.iter().map(|fault| fault.id).collect();
        assert_eq!(ids.len(), 4);
        faults::urge(&store, CHAIN, &ids[..1]).await.unwrap();
        assert_eq!(taken(&store, 100).await.len(), 1, "an operator may ask for more");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_mended_is_forgotten_in_the_commit_that_mends_it() {
    with_store(1, |store| async move {
        let mut facts = span();
        apply(&store, &facts, Move::Backfill { branch: 0 }).await.unwrap();
        let tried = taken(&store, 100).await;
        facts.faults.retain(|fault| fault.reason != reason::UNANSWERED);
        replace(&store, &facts).await;
        assert_eq!(waiting(&store).await.len(), 2);
        faults::settle(&store, CHAIN, &tried).await.unwrap();
        assert_eq!(waiting(&store).await.len(), 2);
    })
    .await;
}
