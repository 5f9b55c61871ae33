//! Law 5 on the functions alone: a replay changes what was applied, block by block, and nothing that was not.

use std::time::Duration;

use crate::laws::clear;
use crate::world::{CHAIN, SOURCES, World, wanted};
use decoders::failure::Class;
use sinks::commit::{Move, apply, disown, replace, rewind};
use sinks::digest::digest;
use sinks::error::SinkError;
use sinks::progress::basis::Basis;
use sinks::progress::checkpoint::{self, Observation};
use sinks::progress::coverage;
use sinks::progress::lease::{Lease, acquire};
use sinks::store::Store;
use testkit::database::with_store;

#[tokio::test(flavor = "multi_thread")]
async fn law_5_a_replay_leaves_alone_what_a_source_is_covered_for_in_part() {
    with_store(1, |store| async move {
        for seed in 1..=6 {
            clear(&store).await;
            let world = World::new(seed, 12);
            let (half, rest) = SOURCES.split_at(3);
            apply(&store, &world.facts_of(0..=9, rest), Move::Backfill { branch: 0 })
                .await
                .unwrap();
            for range in [0..=2, 5..=6] {
                apply(&store, &world.facts_of(range, half), Move::Backfill { branch: 0 })
                    .await
                    .unwrap();
            }
            let before = digest(&store, CHAIN).await.unwrap();
            let gaps = coverage::missing(&store, CHAIN, &wanted(&SOURCES), 0..=11)
                .await
                .unwrap();

            let basis = Basis::read(&store, CHAIN, 0..=11, None).await.unwrap();
            let replaced = replace(&store, &world.facts(0..=11), &basis).await.unwrap();
            assert_eq!((replaced.retracted, replaced.announced), (0, 0), "seed {seed}");
            assert_eq!(digest(&store, CHAIN).await.unwrap(), before, "seed {seed}");
            let after = coverage::missing(&store, CHAIN, &wanted(&SOURCES), 0..=11)
                .await
                .unwrap();
            assert_eq!(after, gaps, "seed {seed}: a replay fills no gap");

            apply(&store, &world.facts(0..=11), Move::Backfill { branch: 0 })
                .await
                .unwrap();
            let filled = digest(&store, CHAIN).await.unwrap();
            clear(&store).await;
            apply(&store, &world.facts(0..=11), Move::Backfill { branch: 0 })
                .await
                .unwrap();
            assert_eq!(filled, digest(&store, CHAIN).await.unwrap(), "seed {seed}: once filled");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_that_read_before_a_rewind_or_before_another_writer_is_refused() {
    with_store(1, |store| async move {
        let mut world = World::new(21, 12);
        let lease = stand(&store, &world, 9, 9).await;
        let orphaned = world.facts(6..=9);
        let read_before = Basis::read(&store, CHAIN, 6..=9, None).await.unwrap();
        rewind(&store, CHAIN, world.block(9), world.block(5), &lease)
            .await
            .unwrap();
        assert_refused(&store, &orphaned, &read_before).await;

        // The archive still holds the old branch of blocks that the follower is about to cover.
        let read_between = Basis::read(&store, CHAIN, 6..=9, None).await.unwrap();
        let ancestor = world.block(5);
        world.reorg(6, 6, 1);
        let head = Move::Head {
            from: Some(ancestor),
            lease: &lease,
        };
        apply(&store, &world.facts(6..=9), head).await.unwrap();
        let before = digest(&store, CHAIN).await.unwrap();
        assert_refused(&store, &orphaned, &read_between).await;
        assert_eq!(digest(&store, CHAIN).await.unwrap(), before);

        let basis = Basis::read(&store, CHAIN, 6..=9, None).await.unwrap();
        let replaced = replace(&store, &world.facts(6..=9), &basis).await.unwrap();
        assert_eq!((replaced.retracted, replaced.announced), (0, 0));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn blocks_that_are_not_final_are_not_replaced() {
    with_store(1, |store| async move {
        let world = World::new(22, 12);
        stand(&store, &world, 9, 6).await;
        assert_eq!(checkpoint::last_final(&store, CHAIN).await.unwrap(), 6);
        let basis = Basis::read(&store, CHAIN, 3..=7, None).await.unwrap();
        assert!(!basis.is_within_reach());
        assert_refused(&store, &world.facts(3..=7), &basis).await;
        let basis = Basis::read(&store, CHAIN, 3..=6, None).await.unwrap();
        assert!(basis.is_within_reach());
        replace(&store, &world.facts(3..=6), &basis).await.unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_holder_of_the_lease_replaces_up_to_its_checkpoint() {
    with_store(1, |store| async move {
        let world = World::new(26, 12);
        let lease = stand(&store, &world, 9, 6).await;
        let all = world.facts(3..=9);
        let basis = Basis::read(&store, CHAIN, 3..=9, Some(&lease)).await.unwrap();
        assert!(basis.is_within_reach());
        let before = digest(&store, CHAIN).await.unwrap();
        let mut fewer = all.clone();
        fewer.sales.clear();
        let replaced = replace(&store, &fewer, &basis).await.unwrap();
        assert!(replaced.retracted > 0 && replaced.announced == 0, "{replaced:?}");
        assert_ne!(digest(&store, CHAIN).await.unwrap(), before);
        replace(&store, &all, &basis).await.unwrap();
        assert_eq!(digest(&store, CHAIN).await.unwrap(), before);
        let above = Basis::read(&store, CHAIN, 3..=10, Some(&lease)).await.unwrap();
        assert!(!above.is_within_reach(), "block 10 is above the checkpoint");

        // Its archive may be completed under the same right, and under no other.
        let mut archived = Basis::read(&store, CHAIN, 7..=9, Some(&lease)).await.unwrap();
        archived.register(&store).await.unwrap();
        replace(&store, &world.facts(7..=9), &archived).await.unwrap();
        let mut without = Basis::read(&store, CHAIN, 7..=9, None).await.unwrap();
        let refused = without.register(&store).await;
        assert!(matches!(refused, Err(SinkError::Raced { .. })), "{refused:?}");

        // Another daemon took the chain over meanwhile.
        let mut late = Basis::read(&store, CHAIN, 3..=9, Some(&lease)).await.unwrap();
        sinks::progress::lease::release(&store, &lease).await.unwrap();
        acquire(&store, CHAIN, "there", Duration::from_secs(600))
            .await
            .unwrap()
            .unwrap();
        let refused = replace(&store, &fewer, &late).await.unwrap_err();
        assert!(matches!(refused, SinkError::LeaseLost { .. }), "{refused}");
        let refused = late.register(&store).await;
        assert!(matches!(refused, Err(SinkError::LeaseLost { .. })), "{refused:?}");
        assert_eq!(digest(&store, CHAIN).await.unwrap(), before);
        // Final blocks need none.
        let basis = Basis::read(&store, CHAIN, 3..=6, Some(&lease)).await.unwrap();
        replace(&store, &world.facts(3..=6), &basis).await.unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_meets_covered_blocks_is_refused_and_takes_them_back() {
    with_store(1, |store| async move {
        let world = World::new(23, 12);
        let lease = stand(&store, &world, 6, 6).await;
        // A backfill whose endpoints are ahead, and call the blocks final.
        apply(&store, &world.facts(7..=9), Move::Backfill { branch: 0 })
            .await
            .unwrap();
        let from = Some(world.block(6));
        let head = || Move::Head { from, lease: &lease };
        let refused = apply(&store, &world.facts(7..=11), head()).await.unwrap_err();
        assert!(matches!(refused, SinkError::CoveredAhead { .. }), "{refused}");
        assert_eq!(refused.class(), Class::Reorg);

        let elsewhere = disown(&store, Some(world.block(5)), 7, &lease).await.unwrap_err();
        assert!(matches!(elsewhere, SinkError::CheckpointMoved { .. }), "{elsewhere}");
        disown(&store, from, 7, &lease).await.unwrap();
        apply(&store, &world.facts(7..=11), head()).await.unwrap();
        let stored = digest(&store, CHAIN).await.unwrap();
        clear(&store).await;
        apply(&store, &world.facts(0..=11), Move::Backfill { branch: 0 })
            .await
            .unwrap();
        assert_eq!(digest(&store, CHAIN).await.unwrap(), stored);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn spans_of_two_branches_do_not_meet() {
    with_store(1, |store| async move {
        let world = World::new(24, 40);
        let mut other = world.clone();
        other.reorg(30, 30, 1);
        let backfill = || Move::Backfill { branch: 0 };
        for (stored, span, at) in [(15..=19, 20..=24, 19), (20..=24, 15..=19, 19), (15..=19, 12..=16, 16)] {
            clear(&store).await;
            apply(&store, &world.facts(0..=5), backfill()).await.unwrap();
            apply(&store, &other.facts(stored.clone()), backfill()).await.unwrap();
            let before = digest(&store, CHAIN).await.unwrap();
            let refused = apply(&store, &world.facts(span.clone()), backfill()).await.unwrap_err();
            // Inside of what is stored, the edges of spans are known, and one block in 128.
            let expected = if span == (12..=16) { 14 } else { at };
            assert!(
                matches!(refused, SinkError::Torn { block, .. } if block == expected),
                "{refused}"
            );
            assert_eq!(refused.class(), Class::Reorg);
            assert_eq!(digest(&store, CHAIN).await.unwrap(), before);
            assert_eq!(checkpoint::stand(&store, CHAIN).await.unwrap().suspect, Some(expected));

            // The other branch is taken back, and with it the warning.
            let lease = acquire(&store, CHAIN, "here", Duration::from_secs(600))
                .await
                .unwrap()
                .unwrap();
            disown(&store, None, 6, &lease).await.unwrap();
            assert_eq!(checkpoint::stand(&store, CHAIN).await.unwrap().suspect, None);
            let backfill = Move::Backfill {
                branch: checkpoint::branch(&store, CHAIN).await.unwrap(),
            };
            apply(&store, &world.facts(span), backfill).await.unwrap();
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gap_that_does_not_fit_the_blocks_beside_a_jump_is_refused() {
    with_store(1, |store| async move {
        let world = World::new(25, 40);
        let mut other = world.clone();
        other.reorg(30, 30, 1);
        // The head was left on one branch, and jumped on another.
        let lease = stand(&store, &other, 14, 14).await;
        let jump = Move::Head {
            from: Some(other.block(14)),
            lease: &lease,
        };
        apply(&store, &world.facts(30..=31), jump).await.unwrap();
        let observation = Observation {
            head: 31,
            safe: None,
            finalized: Some(30),
            base_fee: None,
        };
        checkpoint::observe(&store, &lease, &observation).await.unwrap();
        let gap = Move::Backfill { branch: 0 };
        let below = apply(&store, &world.facts(15..=20), gap).await.unwrap_err();
        assert!(matches!(below, SinkError::Torn { block: 14, .. }), "{below}");
        let above = apply(&store, &other.facts(21..=29), gap).await.unwrap_err();
        assert!(matches!(above, SinkError::Torn { block: 29, .. }), "{above}");
        apply(&store, &world.facts(21..=29), gap).await.unwrap();
        assert_eq!(checkpoint::stand(&store, CHAIN).await.unwrap().suspect, Some(14));

        rewind(&store, CHAIN, world.block(31), world.block(9), &lease)
            .await
            .unwrap();
        let stored = digest(&store, CHAIN).await.unwrap();
        clear(&store).await;
        apply(&store, &world.facts(0..=9), Move::Backfill { branch: 0 })
            .await
            .unwrap();
        assert_eq!(digest(&store, CHAIN).await.unwrap(), stored);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rewind_below_all_that_is_stored_leaves_no_hash_of_the_branch_that_was_left() {
    with_store(1, |store| async move {
        let mut world = World::new(26, 20);
        apply(&store, &world.facts(10..=12), Move::Backfill { branch: 0 })
            .await
            .unwrap();
        let lease = acquire(&store, CHAIN, "here", Duration::from_secs(600))
            .await
            .unwrap()
            .unwrap();
        let observation = Observation {
            head: 14,
            safe: None,
            finalized: Some(12),
            base_fee: None,
        };
        checkpoint::observe(&store, &lease, &observation).await.unwrap();
        let head = |from| Move::Head { from, lease: &lease };
        apply(&store, &world.facts(13..=14), head(None)).await.unwrap();
        let left = world.block(14);
        world.reorg(15, 15, 1);
        // The block below the first one wanted, as the chain has it now.
        let ancestor = world.block(9);
        rewind(&store, CHAIN, left, ancestor, &lease).await.unwrap();
        apply(&store, &world.facts(10..=14), head(Some(ancestor)))
            .await
            .unwrap();
    })
    .await;
}

/// Applies blocks 0 to `last` at the head, of which `finalized` is the last final one.
pub(crate) async fn stand(store: &Store, world: &World, last: u64, finalized: u64) -> Lease {
    let lease = acquire(store, CHAIN, "here", Duration::from_secs(600))
        .await
        .unwrap()
        .unwrap();
    let observation = Observation {
        head: last,
        safe: None,
        finalized: Some(finalized),
        base_fee: None,
    };
    checkpoint::observe(store, &lease, &observation).await.unwrap();
    let head = Move::Head {
        from: None,
        lease: &lease,
    };
    apply(store, &world.facts(0..=last), head).await.unwrap();
    lease
}

async fn assert_refused(store: &Store, facts: &decoders::fact::Facts, basis: &Basis) {
    let refused = replace(store, facts, basis).await.unwrap_err();
    assert!(matches!(refused, SinkError::Raced { .. }), "{refused}");
}
